//! The EAL: DPDK's run-time, its clock and its threads.

use crate::error::{Errno, Error};
use dpdk_sys as sys;
use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, Ordering};

const NEVER: u8 = 0;
const STARTING: u8 = 1;
const RUNS: u8 = 2;

/// How far the process's one start has come.
static STATE: AtomicU8 = AtomicU8::new(NEVER);

/// Proof that the EAL runs. It runs until the process ends, so that no packet memory can go from under a packet;
/// with `--in-memory` it leaves nothing behind.
#[derive(Clone, Copy, Debug)]
pub struct Eal {
    _private: (),
}

impl Eal {
    /// Starts DPDK with raw EAL arguments, e.g. `--in-memory`, `--no-telemetry`, `-l`, `0`. They are passed as they
    /// are; what is not among them is DPDK's default. `program` becomes the first. The EAL logs to stderr and makes
    /// threads of its own; the calling thread keeps the cores it may run on.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyStarted`] the second time, even if the first failed: DPDK cannot be started again then.
    /// [`Error::Eal`] if it does not start, [`Error::Text`] for an argument with a NUL byte.
    pub fn start(program: &str, args: &[String]) -> Result<Eal, Error> {
        let all = std::iter::once(program).chain(args.iter().map(String::as_str));
        let texts =
            all.map(|text| c_string("EAL argument", text)).collect::<Result<Vec<CString>, Error>>()?;
        if STATE.compare_exchange(NEVER, STARTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(Error::AlreadyStarted);
        }
        // The EAL permutes the pointers and may keep them: both the array and the texts stay for good.
        let mut argv: Vec<*mut c_char> = texts.into_iter().map(CString::into_raw).collect();
        argv.push(std::ptr::null_mut());
        let argv = argv.leak();
        // SAFETY: argv has its count of NUL-terminated, writable, never freed texts and a null behind them. STATE lets
        // this happen once.
        let returned = unsafe { sys::espalier_eal_init(argv.len() as i32 - 1, argv.as_mut_ptr()) };
        if returned < 0 {
            return Err(Error::Eal { arguments: args.join(" "), reason: Errno::of(returned) });
        }
        STATE.store(RUNS, Ordering::Release);
        Ok(Eal { _private: () })
    }

    /// The proof again, wherever it is needed.
    ///
    /// # Errors
    ///
    /// [`Error::NotStarted`] before [`Eal::start`] has returned.
    pub fn running() -> Result<Eal, Error> {
        if STATE.load(Ordering::Acquire) == RUNS { Ok(Eal { _private: () }) } else { Err(Error::NotStarted) }
    }

    /// DPDK's release, e.g. `DPDK 22.11.11`.
    pub fn version() -> String {
        // SAFETY: it returns a static NUL-terminated text, and needs no EAL.
        unsafe { CStr::from_ptr(sys::rte_version()) }.to_string_lossy().into_owned()
    }
}

/// A text for DPDK. Empty ones and those with a NUL byte inside are refused.
pub(crate) fn c_string(what: &'static str, text: &str) -> Result<CString, Error> {
    let refused = || Error::Text { what, text: text.to_owned() };
    if text.is_empty() {
        return Err(refused());
    }
    CString::new(text).map_err(|_| refused())
}

/// Bytes of hugepages of all sizes that nobody uses yet; 0 where the kernel has none or does not say.
pub fn hugepages_free() -> u64 {
    let Ok(sizes) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    let bytes = sizes.flatten().filter_map(|size| {
        let name = size.file_name();
        let kib: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free: u64 =
            std::fs::read_to_string(size.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        kib.checked_mul(1024)?.checked_mul(free)
    });
    bytes.fold(0, u64::saturating_add)
}

/// The time-stamp counter, in its clocks. It is not a barrier: neighbouring instructions may move past it.
#[inline]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction, and Linux lets user space use it.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: it reads a counter of the CPU.
    unsafe {
        sys::espalier_tsc()
    }
}

/// Clocks of [`tsc`] in a second, as the EAL measured them when it started; 0 before.
pub fn tsc_hz() -> u64 {
    // SAFETY: it reads an integer that the EAL's start sets.
    unsafe { sys::rte_get_tsc_hz() }
}

/// The calling thread's number among DPDK's threads, if it is one: the one that started the EAL, or registered.
pub fn lcore_id() -> Option<u32> {
    // SAFETY: it reads a thread-local integer.
    let id = unsafe { sys::espalier_lcore_id() };
    (id != sys::ESPALIER_LCORE_ANY).then_some(id)
}

/// The calling thread is one of DPDK's while this lives: it has a cache in every [`Mempool`](crate::Mempool).
/// Stays on its thread.
#[derive(Debug)]
pub struct Registered {
    /// Raw pointers are neither `Send` nor `Sync`; what happens when this is dropped concerns the thread itself.
    _thread: PhantomData<*mut ()>,
}

/// Registers the calling thread, until the guard is dropped, so that packet memory comes from a cache of its own.
/// Without it everything works, but slower.
///
/// # Errors
///
/// [`Error::NotStarted`]; [`Error::AlreadyRegistered`], also on the thread that started the EAL; [`Error::Register`]
/// if there are too many threads (128 in Debian's build).
pub fn register_thread() -> Result<Registered, Error> {
    Eal::running()?;
    if lcore_id().is_some() {
        return Err(Error::AlreadyRegistered);
    }
    // SAFETY: the EAL runs, and this thread is not one of its.
    match unsafe { sys::rte_thread_register() } {
        0 => Ok(Registered { _thread: PhantomData }),
        returned => Err(Error::Register { reason: Errno::of(returned) }),
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the guard is made by the thread's registration only and cannot leave the thread.
        unsafe { sys::rte_thread_unregister() }
    }
}
