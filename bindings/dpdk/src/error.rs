//! What DPDK refuses, and why.

use dpdk_sys as sys;
use std::ffi::CStr;
use std::fmt;

/// An error number of the system or of DPDK, as a positive number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// Operation not supported: `ENOTSUP` of Linux.
    pub(crate) const NOENT: Errno = Errno(2);
    pub(crate) const NOTSUP: Errno = Errno(95);
    pub(crate) const EXIST: Errno = Errno(17);
    pub(crate) const NODEV: Errno = Errno(19);
    pub(crate) const INVAL: Errno = Errno(22);

    /// From what a DPDK function returned: negative error numbers mostly, and −1 with the reason in `rte_errno`.
    pub(crate) fn of(returned: i32) -> Errno {
        match returned {
            -1 => Errno::last(),
            other => Errno(other.saturating_abs()),
        }
    }

    /// The calling thread's `rte_errno`.
    pub(crate) fn last() -> Errno {
        // SAFETY: it reads a thread-local integer.
        Errno(unsafe { sys::espalier_errno() })
    }

    /// The number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no reason given");
        }
        // SAFETY: rte_strerror() returns a constant or a buffer of the calling thread, NUL-terminated, valid until the
        // thread's next call; it is used up here.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

/// `Ok` for a result that is not negative.
pub(crate) fn check(returned: i32) -> Result<i32, Errno> {
    if returned < 0 { Err(Errno::of(returned)) } else { Ok(returned) }
}

/// Why DPDK did not do it. The EAL's own log on stderr often says more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// [`Eal::start`](crate::Eal::start) was called before in this process.
    #[error("DPDK was started already; a process can start it once")]
    AlreadyStarted,
    /// Something needs the EAL, and it does not run.
    #[error("DPDK is not started")]
    NotStarted,
    /// The EAL does not accept its arguments or cannot have its resources.
    #[error("the EAL refuses to start with `{arguments}`: {reason}")]
    Eal {
        /// What it was started with.
        arguments: String,
        /// What it said.
        reason: Errno,
    },
    /// A text that goes to DPDK has a NUL byte inside, or is too long.
    #[error("`{text}` cannot be a {what}: it is empty, too long or has a NUL byte")]
    Text {
        /// What the text was to be.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// The thread is one of DPDK's already.
    #[error("this thread is registered with DPDK already")]
    AlreadyRegistered,
    /// No more threads, or a secondary process is attached.
    #[error("this thread cannot be registered with DPDK: {reason}")]
    Register {
        /// What DPDK said.
        reason: Errno,
    },
    /// A pool cannot be made.
    #[error("no pool `{name}` of {count} packets: {reason}")]
    Mempool {
        /// The pool's name.
        name: String,
        /// Packets that it was to have.
        count: u32,
        /// What DPDK said.
        reason: Errno,
    },
    /// No driver takes the device, or it is not there.
    #[error(
        "no such device: `{device}` ({reason}); a PCI address needs a NIC bound to vfio-pci, a software port \
             a driver's name and a number, e.g. net_af_packet0,iface=eth1"
    )]
    NoSuchDevice {
        /// The device as it was named.
        device: String,
        /// What DPDK said.
        reason: Errno,
    },
    /// The device is attached already.
    #[error("device `{device}` is in use already")]
    DeviceInUse {
        /// The device as it was named.
        device: String,
    },
    /// One port was wanted of a device that has another number of them.
    #[error("device `{device}` has {ports} ports; one was wanted")]
    PortsOfDevice {
        /// The device as it was named.
        device: String,
        /// The ports it has.
        ports: usize,
    },
    /// The port has fewer queues than were asked for.
    #[error(
        "device `{device}` has {has} {direction} queues and {wanted} are wanted, one for each worker; \
             {mend}"
    )]
    Queues {
        /// The device.
        device: String,
        /// `rx` or `tx`.
        direction: &'static str,
        /// Queues that were asked for.
        wanted: u16,
        /// Queues that it has.
        has: u16,
        /// What to do about it.
        mend: &'static str,
    },
    /// Packets of the MTU fit neither one buffer nor, for want of the device's ability, several.
    #[error(
        "MTU {mtu} of device `{device}` needs buffers of {needs} bytes, and the pool's hold {room}; \
             the device cannot spread a packet over several, so that they must be larger"
    )]
    BufferTooSmall {
        /// The device.
        device: String,
        /// The MTU asked for, in bytes of IP packet.
        mtu: u16,
        /// Bytes of frame.
        needs: u32,
        /// Bytes that a buffer has for one.
        room: u32,
    },
    /// The port was started before.
    #[error("device `{device}` was started already")]
    PortStarted {
        /// The device.
        device: String,
    },
    /// A step of using a device failed.
    #[error("device `{device}`: cannot {step}: {reason}")]
    Port {
        /// The device.
        device: String,
        /// What was tried: "start it", "set its MTU", ...
        step: &'static str,
        /// What DPDK said.
        reason: Errno,
    },
    /// A crypto device cannot be had.
    #[error("no crypto device `{device}`: cannot {step}: {reason}")]
    Cryptodev {
        /// The device as it was named.
        device: String,
        /// What was tried: "find it", "start it", ...
        step: &'static str,
        /// What DPDK said.
        reason: Errno,
    },
    /// A crypto device does not have the algorithms.
    #[error("crypto device `{device}` cannot do {transform}")]
    Transform {
        /// The device.
        device: String,
        /// What it was to do.
        transform: String,
    },
    /// A FIB cannot be made.
    #[error("no FIB `{name}` for {routes} routes: {reason}")]
    Fib {
        /// Its name.
        name: String,
        /// The most routes it was to have.
        routes: u32,
        /// What DPDK said.
        reason: Errno,
    },
    /// A next hop does not fit an entry.
    #[error("next hop {0} is over the highest that a FIB can hold, {max}", max = crate::MAX_NEXT_HOP)]
    NextHop(u32),
    /// A prefix is longer than its address.
    #[error("a prefix of {0} bits is longer than its address")]
    PrefixLength(u8),
    /// A route was not added or removed.
    #[error("cannot {step} route {prefix}: {reason}")]
    Route {
        /// "add" or "remove".
        step: &'static str,
        /// The prefix.
        prefix: String,
        /// What DPDK said: no space is the FIB's capacity, no such entry a route that is not there.
        reason: Errno,
    },
}

impl Error {
    /// The error number behind it, or 0 if there is none. For messages that carry a number only.
    pub fn errno(&self) -> u64 {
        match self {
            Error::Eal { reason, .. }
            | Error::Register { reason }
            | Error::Mempool { reason, .. }
            | Error::NoSuchDevice { reason, .. }
            | Error::Port { reason, .. }
            | Error::Cryptodev { reason, .. }
            | Error::Fib { reason, .. }
            | Error::Route { reason, .. } => u64::from(reason.number().unsigned_abs()),
            Error::AlreadyStarted
            | Error::NotStarted
            | Error::Text { .. }
            | Error::AlreadyRegistered
            | Error::DeviceInUse { .. }
            | Error::PortsOfDevice { .. }
            | Error::Queues { .. }
            | Error::BufferTooSmall { .. }
            | Error::PortStarted { .. }
            | Error::Transform { .. }
            | Error::NextHop(_)
            | Error::PrefixLength(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers() {
        assert_eq!(Errno::of(-22), Errno::INVAL);
        assert_eq!(Errno::INVAL.to_string(), "Invalid argument");
        assert_eq!(check(3), Ok(3));
        assert_eq!(check(-17), Err(Errno::EXIST));
        assert_eq!(Error::Register { reason: Errno::NOTSUP }.errno(), 95);
        assert_eq!(Error::NotStarted.errno(), 0);
    }
}
