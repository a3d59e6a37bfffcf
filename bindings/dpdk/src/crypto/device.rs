//! Crypto devices: found, started, and let go of when nobody has a queue or a session of them any more.

use super::queue::{CryptoQueue, OPERATIONS};
use super::session::{Session, Transform, Way};
use crate::device::hotplug;
use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error, check};
use dpdk_sys as sys;
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions of one pool. More pools come as they are needed.
const SESSIONS: u32 = 512;
/// Entries of a queue's ring, of which one stays empty: a power of two above the operations of a queue.
const DESCRIPTORS: u32 = 2 * OPERATIONS as u32;

/// A crypto device that runs. Clones are the same device.
#[derive(Clone)]
pub struct Cryptodev {
    open: Arc<Open>,
}

/// The device. The last that has it closes it.
pub(super) struct Open {
    id: u8,
    name: String,
    raw: NonNull<sys::rte_device>,
    /// Operations of all queues, which hold them for good.
    operations: Pool,
    sessions: Mutex<Sessions>,
    /// Operations that did not come back in time, and have not yet.
    late: AtomicU32,
}

#[derive(Default)]
struct Sessions {
    pools: Vec<Pool>,
    /// Dropped while the device held operations that may use them.
    dying: Vec<NonNull<c_void>>,
}

// SAFETY: sessions are made and freed under the lock; all else does not change, or is for one queue, which has one owner.
unsafe impl Send for Open {}
// SAFETY: as above.
unsafe impl Sync for Open {}

/// A pool of sessions or operations.
struct Pool(NonNull<sys::rte_mempool>);

impl Pool {
    /// # Safety
    ///
    /// Nobody uses what the pool holds: the device is closed, or was never started.
    unsafe fn free(&self) {
        // SAFETY: as above.
        unsafe { sys::rte_mempool_free(self.0.as_ptr()) }
    }
}

impl Cryptodev {
    /// Takes a crypto device and starts it with so many queues: a software driver (`crypto_aesni_mb`, `crypto_openssl`, with
    /// a number behind it for a second one) or the PCI address of hardware.
    ///
    /// # Errors
    ///
    /// [`Error::Cryptodev`] if no driver takes it, it is in use, or it has not so many queues; [`Error::Mempool`],
    /// [`Error::Text`].
    pub fn open(_eal: &Eal, device: &str, queues: u16) -> Result<(Cryptodev, Vec<CryptoQueue>), Error> {
        let refused = |step| move |reason| Error::Cryptodev { device: device.to_owned(), step, reason };
        let name = device.split(',').next().unwrap_or(device);
        // A software device has the queues that it is asked for at its making, and hardware those that it has.
        let software = name.starts_with("crypto_") && !device.contains("max_nb_queue_pairs=");
        let more = if software { format!(",max_nb_queue_pairs={queues}") } else { String::new() };
        let text = c_string("crypto device", &format!("{device}{more}"))?;
        let lock = hotplug();
        if id_of(name)?.is_some() {
            return Err(refused("take it, as it is in use")(Errno::EXIST));
        }
        // SAFETY: the EAL runs, the text is NUL-terminated, and the lock keeps other changes away.
        check(unsafe { sys::rte_dev_probe(text.as_ptr()) }).map_err(refused("find it"))?;
        let id = id_of(name)?.ok_or_else(|| refused("find it")(Errno::NODEV))?;
        // SAFETY: it reads the description of a device that is there.
        let raw = NonNull::new(unsafe { sys::espalier_crypto_device(id) })
            .ok_or_else(|| refused("find it")(Errno::NODEV))?;
        let count = u32::from(queues) * OPERATIONS as u32;
        let operations = operations(id, count).inspect_err(|_| {
            // SAFETY: the device is there, nobody has anything of it yet, and the lock is held.
            unsafe { sys::rte_dev_remove(raw.as_ptr()) };
        })?;
        // SAFETY: the device is there and not started.
        check(unsafe { sys::espalier_crypto_start(id, queues, DESCRIPTORS) })
            .inspect_err(|_| {
                // SAFETY: as above; a device that did not start used no operation.
                unsafe {
                    sys::rte_dev_remove(raw.as_ptr());
                    operations.free();
                }
            })
            .map_err(refused("start it"))?;
        drop(lock);
        let open = Arc::new(Open {
            id,
            name: name.to_owned(),
            raw,
            operations,
            sessions: Mutex::default(),
            late: AtomicU32::new(0),
        });
        let halves = (0..queues)
            // SAFETY: the device has these queues, and each gets one owner.
            .map(|queue| unsafe { CryptoQueue::new(Arc::clone(&open), queue) })
            .collect::<Result<Vec<CryptoQueue>, Error>>()?;
        Ok((Cryptodev { open }, halves))
    }

    /// Its name, without arguments.
    pub fn name(&self) -> &str {
        &self.open.name
    }

    /// Whether it has the algorithms, for keys and digests of these lengths.
    pub fn can(&self, transform: &Transform<'_>) -> bool {
        let raw = transform.raw(Way::Protect);
        // SAFETY: the device is there, and the transform is read during the call.
        raw.is_some_and(|raw| unsafe { sys::espalier_crypto_capable(self.open.id, &raw) } == 1)
    }

    /// Makes a session. The caller wipes its own copy of the keys.
    ///
    /// # Errors
    ///
    /// [`Error::Transform`] if the device [cannot](Cryptodev::can) do it; [`Error::Mempool`], [`Error::Cryptodev`].
    pub fn session(&self, way: Way, transform: &Transform<'_>) -> Result<Session, Error> {
        let cannot =
            || Error::Transform { device: self.open.name.clone(), transform: format!("{transform:?}") };
        // A session that a driver gives up half made is not wiped; what it can do at all, it does not give up.
        if !self.can(transform) {
            return Err(cannot());
        }
        let raw = transform.raw(way).ok_or_else(cannot)?;
        let session = self.open.session(&raw)?;
        // SAFETY: it was made for this device from this transform just now.
        Ok(unsafe { Session::new(session, Arc::clone(&self.open), transform.shape(), way) })
    }
}

impl fmt::Debug for Cryptodev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cryptodev({})", self.open.name)
    }
}

/// The number of a device of this name, if there is one. A QAT device has a service behind its address.
fn id_of(name: &str) -> Result<Option<u8>, Error> {
    for name in [name.to_owned(), format!("{name}_qat_sym")] {
        let text = c_string("crypto device", &name)?;
        // SAFETY: the text is NUL-terminated.
        let id = unsafe { sys::rte_cryptodev_get_dev_id(text.as_ptr()) };
        if let Ok(id) = u8::try_from(id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn operations(id: u8, count: u32) -> Result<Pool, Error> {
    let name = format!("operations{id}");
    let text = c_string("pool's name", &name)?;
    // SAFETY: the EAL runs, and the name is NUL-terminated and copied.
    let pool = unsafe { sys::espalier_operation_pool(text.as_ptr(), count) };
    NonNull::new(pool).map(Pool).ok_or_else(|| Error::Mempool { name, count, reason: Errno::last() })
}

impl Open {
    pub(super) fn id(&self) -> u8 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Operations for one queue, which keeps them.
    pub(super) fn operations(&self) -> Result<[NonNull<sys::rte_crypto_op>; OPERATIONS], Error> {
        let mut raw = [std::ptr::null_mut(); OPERATIONS];
        let count = OPERATIONS as u16;
        // SAFETY: the array has the room that it is said to have, and the pool was made for operations.
        let got = unsafe { sys::espalier_operations(self.operations.0.as_ptr(), raw.as_mut_ptr(), count) };
        let missing = || Error::Mempool {
            name: format!("operations{}", self.id),
            count: OPERATIONS as u32,
            reason: Errno::last(),
        };
        let mut all = [NonNull::dangling(); OPERATIONS];
        for (place, raw) in all.iter_mut().zip(raw) {
            *place = NonNull::new(raw).filter(|_| got == count).ok_or_else(missing)?;
        }
        Ok(all)
    }

    /// So many operations more are late, or fewer. Whoever says that they are back has taken them from the device.
    pub(super) fn more_late(&self, count: u32) {
        self.late.fetch_add(count, Ordering::Release);
    }

    pub(super) fn one_back(&self) {
        self.late.fetch_sub(1, Ordering::Release);
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // A panic cannot leave it half changed: it is DPDK that changes it.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, transform: &sys::espalier_transform) -> Result<NonNull<c_void>, Error> {
        let mut sessions = self.sessions();
        let create = |pool: &Pool| {
            // SAFETY: the pool was made for sessions of this device, and the transform's keys are lent for the call.
            NonNull::new(unsafe { sys::espalier_session_create(self.id, transform, pool.0.as_ptr()) })
        };
        // The newest pool has room most often.
        if let Some(session) = sessions.pools.iter().rev().find_map(create) {
            return Ok(session);
        }
        let name = format!("sessions{}.{}", self.id, sessions.pools.len());
        let text = c_string("pool's name", &name)?;
        // SAFETY: the device is there, and the name is NUL-terminated and copied.
        let pool = unsafe { sys::espalier_session_pool(self.id, text.as_ptr(), SESSIONS) };
        let pool = NonNull::new(pool).map(Pool).ok_or_else(|| Error::Mempool {
            name,
            count: SESSIONS,
            reason: Errno::last(),
        })?;
        let session = create(&pool);
        let reason = Errno::last();
        sessions.pools.push(pool);
        session.ok_or_else(|| Error::Cryptodev { device: self.name.clone(), step: "make a session", reason })
    }

    /// Frees a session that nobody has any more; or later, if the device may hold an operation that uses it.
    ///
    /// A queue says that operations are late before it gives back the sessions that it was lent. So who drops a session
    /// of such an operation finds it counted here.
    pub(super) fn bury(&self, session: NonNull<c_void>) {
        let mut sessions = self.sessions();
        sessions.dying.push(session);
        if self.late.load(Ordering::Acquire) == 0 {
            for session in sessions.dying.drain(..) {
                // SAFETY: it is a session of this device, nobody has it, and no operation that used it is out. The
                // driver wipes it.
                unsafe { sys::rte_cryptodev_sym_session_free(self.id, session.as_ptr()) };
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.late.load(Ordering::Acquire) != 0 {
            // The device still works on memory of ours: better never to give it back.
            return;
        }
        let sessions = self.sessions.get_mut().unwrap_or_else(PoisonError::into_inner);
        for session in sessions.dying.drain(..) {
            // SAFETY: as in `bury`.
            unsafe { sys::rte_cryptodev_sym_session_free(self.id, session.as_ptr()) };
        }
        let _lock = hotplug();
        // SAFETY: the device is started, its queues and sessions are gone, and no other thread attaches or detaches. An
        // error means that it is gone already, or stays for good. Closed, it uses no pool any more.
        unsafe {
            sys::rte_cryptodev_stop(self.id);
            sys::rte_cryptodev_close(self.id);
            sys::rte_dev_remove(self.raw.as_ptr());
            self.operations.free();
            sessions.pools.iter().for_each(|pool| pool.free());
        }
    }
}
