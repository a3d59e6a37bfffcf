//! Devices: found and attached while the EAL runs, detached when nobody has them any more.

use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error, check};
use crate::port::Port;
use dpdk_sys as sys;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ports of one device that are asked for; DPDK has room for 32 in all in Debian's build.
const PORTS_MAX: usize = 64;

/// Ids of the ports that are handed out. Locked while devices come and go, which DPDK wants one at a time.
static HOTPLUG: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Locks [`HOTPLUG`]. A panic elsewhere leaves the set as it should be.
pub(crate) fn hotplug() -> MutexGuard<'static, BTreeSet<u16>> {
    HOTPLUG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device that drivers have taken. Goes out of DPDK with the last of its ports.
pub(crate) struct Device {
    raw: NonNull<sys::rte_device>,
    name: String,
}

// SAFETY: the pointer is only used to detach the device, under the lock, when nobody else has it.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _lock = hotplug();
        // SAFETY: the device was attached, its ports are closed, and no other thread attaches or detaches. An error
        // means that it is gone already, or stays for good.
        unsafe { sys::rte_dev_remove(self.raw.as_ptr()) };
    }
}

/// Attaches the one port of a device. `device` is a PCI address (`0000:01:00.0`) or a software port's driver and
/// number, each with arguments after commas: `net_af_packet0,iface=eth1`. A device that the EAL took at its start is
/// given out, too. The device is stopped, closed and detached when its port and all queue halves have been dropped.
///
/// # Errors
///
/// [`Error::PortsOfDevice`] if it has more than one; else as [`attach_all`].
pub fn attach(device: &str) -> Result<Port, Error> {
    let mut ports = attach_all(device)?;
    match ports.pop() {
        Some(port) if ports.is_empty() => Ok(port),
        last => Err(Error::PortsOfDevice {
            device: device.to_owned(),
            ports: ports.len() + usize::from(last.is_some()),
        }),
    }
}

/// Attaches all ports of a device: at least one. See [`attach`].
///
/// # Errors
///
/// [`Error::NoSuchDevice`] if no driver takes it, [`Error::DeviceInUse`] if somebody here has it, [`Error::Text`],
/// [`Error::NotStarted`].
pub fn attach_all(device: &str) -> Result<Vec<Port>, Error> {
    Eal::running()?;
    let text = c_string("device", device)?;
    let mut taken = hotplug();
    let in_use = || Error::DeviceInUse { device: device.to_owned() };
    if ports_of(&text).iter().any(|id| taken.contains(id)) {
        return Err(in_use());
    }
    // SAFETY: the EAL runs, the text is NUL-terminated, and the lock keeps other changes away.
    let probed = check(unsafe { sys::rte_dev_probe(text.as_ptr()) });
    let no_such = |reason| Error::NoSuchDevice { device: device.to_owned(), reason };
    match probed {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(reason) => return Err(no_such(reason)),
    }
    let ids = ports_of(&text);
    let raw = ids.first().and_then(|&id| device_of(id)).ok_or_else(|| no_such(Errno::NODEV))?;
    if ids.iter().any(|id| taken.contains(id)) {
        return Err(in_use());
    }
    // SAFETY: the device is attached, and its name is a NUL-terminated text of it.
    let name = unsafe { CStr::from_ptr(sys::rte_dev_name(raw.as_ptr())) }.to_string_lossy().into_owned();
    let attached = Arc::new(Device { raw, name });
    taken.extend(&ids);
    Ok(ids.into_iter().map(|id| Port::new(id, Arc::clone(&attached))).collect())
}

/// The ids of the ports of a device, none if it is not attached.
fn ports_of(device: &CString) -> Vec<u16> {
    let mut ids = [0; PORTS_MAX];
    // SAFETY: the text is NUL-terminated and `ids` has the room that it is said to have.
    let count = unsafe { sys::espalier_ports_of(device.as_ptr(), ids.as_mut_ptr(), PORTS_MAX as u32) };
    ids[..PORTS_MAX.min(count as usize)].to_vec()
}

/// The device that a port is of.
fn device_of(id: u16) -> Option<NonNull<sys::rte_device>> {
    // SAFETY: all zeroes is a value of this structure of integers and pointers.
    let mut info: sys::rte_eth_dev_info = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is of the type that is written.
    check(unsafe { sys::rte_eth_dev_info_get(id, &mut info) }).ok()?;
    NonNull::new(info.device)
}
