//! Which cores the workers run on, and the claim on each.

use crate::args::{CoreList, Idle};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Why the cores asked for cannot be had. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoreError {
    /// The system would not say which cores we may use.
    #[error("cannot learn which cores this process may run on")]
    Unknown,
    /// A core is not there, or outside the affinity that we were started with.
    #[error("core {core} is not ours to use: this process may run on {allowed:?}; name other --cores")]
    NotAllowed {
        /// The core asked for.
        core: usize,
        /// What the affinity mask leaves us.
        allowed: Vec<usize>,
    },
    /// Another data plane polls on it.
    #[error(
        "core {core} is busy: another espalier-dataplane polls on it; name another with --cores, \
         or start both with --idle sleep"
    )]
    Busy {
        /// The core asked for.
        core: usize,
    },
    /// The claim could not be written.
    #[error("cannot claim core {core} in {path}: {source}")]
    Claim {
        /// The core asked for.
        core: usize,
        /// The claim's file.
        path: String,
        /// What the system said.
        source: rustix::io::Errno,
    },
}

/// The cores to use: those asked for if all are allowed, else the last allowed one.
pub(crate) fn choose(asked: Option<&CoreList>) -> Result<Vec<core_affinity::CoreId>, CoreError> {
    let allowed = core_affinity::get_core_ids().ok_or(CoreError::Unknown)?;
    let Some(CoreList(asked)) = asked else {
        return Ok(vec![*allowed.last().ok_or(CoreError::Unknown)?]);
    };
    asked
        .iter()
        .map(|&core| {
            allowed.iter().copied().find(|allowed| allowed.id == core).ok_or_else(|| CoreError::NotAllowed {
                core,
                allowed: allowed.iter().map(|core| core.id).collect(),
            })
        })
        .collect()
}

/// A claim on cores, held until dropped (or until the process dies, however it dies).
#[derive(Debug)]
pub(crate) struct Claims(#[expect(dead_code, reason = "held for its lock")] Vec<OwnedFd>);

/// Claims each core for this process. Workers that never sleep want a core alone; those that sleep share with
/// their like. The claims are file locks in `folder`, so they end with the process.
pub(crate) fn claim(cores: &[core_affinity::CoreId], idle: Idle, folder: &Path) -> Result<Claims, CoreError> {
    let operation = match idle {
        Idle::Busy | Idle::Pause => FlockOperation::NonBlockingLockExclusive,
        Idle::Sleep => FlockOperation::NonBlockingLockShared,
    };
    let claim_one = |core: usize| {
        let path = folder.join(format!("core-{core}.lock"));
        let failed = |source| CoreError::Claim { core, path: path.display().to_string(), source };
        let file = rustix::fs::open(
            &path,
            OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(failed)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(CoreError::Busy { core }),
            Err(source) => Err(failed(source)),
        }
    };
    cores.iter().map(|core| claim_one(core.id)).collect::<Result<Vec<_>, _>>().map(Claims)
}
