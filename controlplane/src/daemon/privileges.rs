//! What the process may do, and what nobody may do to it.

/// CAP_NET_ADMIN, as a bit of the effective set.
const NET_ADMIN: u64 = 1 << 12;

/// Whether Linux lets us set up interfaces and routes.
pub(super) fn may_administer_network() -> bool {
    let effective = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| effective(&status));
    effective.map_or(rustix::process::geteuid().is_root(), |capabilities| capabilities & NET_ADMIN != 0)
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// We hold keys: a crash writes no memory to disk, and no other process of our user reads it.
pub(super) fn keep_keys_out_of_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none).map_err(std::io::Error::from);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(std::io::Error::from);
    if let Err(error) = limited.and(hidden) {
        tracing::warn!("a core dump of this process could show keys: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read() {
        assert_eq!(effective("Name:\tx\nCapEff:\t0000003fffffffff\n"), Some(0x3f_ffff_ffff));
        assert_eq!(effective("CapEff:\tmany\n"), None);
    }
}
