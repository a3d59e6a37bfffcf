//! Arguments for DPDK's EAL: the operator's, and what they leave open.

use std::path::Path;

/// Bytes of memory that the EAL may have without hugepages, in MiB.
const ORDINARY_MIB: u64 = 768;

/// A PCI address that a host bridge has, which no driver of DPDK takes.
const NO_DEVICE: &str = "0000:00:00.0";

/// What the EAL is started with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EalArgs {
    pub(crate) args: Vec<String>,
    /// Packet memory is in hugepages.
    pub(crate) hugepages: bool,
}

/// Adds to the operator's arguments what they do not say: private memory (`--in-memory`), no telemetry socket, no device
/// but those that will be attached, warnings alone, a main thread that floats over `cores` (the workers bring their own threads), and ordinary memory if fewer than `needed`
/// bytes of hugepages are free.
pub(crate) fn complete(operator: &[String], cores: &[usize], free: u64, needed: u64) -> EalArgs {
    let says = |names: &[&str]| {
        operator
            .iter()
            .any(|arg| names.iter().any(|name| arg == name || arg.starts_with(&format!("{name}="))))
    };
    let says_cores = says(&["-l", "-c", "--lcores", "--main-lcore"])
        || operator.iter().any(|arg| arg.starts_with("-l") || arg.starts_with("-c"));
    let asked_ordinary = says(&["--no-huge"]);
    let hugepages = !asked_ordinary && free >= needed;
    let mut args = Vec::new();
    if !says(&["--in-memory", "--huge-dir", "--file-prefix", "--proc-type", "--no-shconf"]) {
        // The EAL does not take `--in-memory` together with `--no-huge`; this has the same effect there.
        args.push(if hugepages { "--in-memory" } else { "--no-shconf" }.to_owned());
    }
    if !says(&["--no-telemetry", "--telemetry"]) {
        args.push("--no-telemetry".to_owned());
    }
    if !says_cores {
        let cores = cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        args.push(format!("--lcores=0@({cores})"));
    }
    // Without an allow list the EAL probes every PCI device at start, also those that are not ours. This one never is
    // there; ports that the control plane attaches are allowed as they come.
    if !says(&["-a", "--allow", "-b", "--block", "--no-pci"]) {
        args.extend(["-a".to_owned(), NO_DEVICE.to_owned()]);
    }
    if !says(&["--log-level"]) {
        args.push("--log-level=*:warning".to_owned());
    }
    if !hugepages {
        if !asked_ordinary {
            args.push("--no-huge".to_owned());
        }
        if !says(&["-m"]) {
            args.extend(["-m".to_owned(), ORDINARY_MIB.max(needed >> 20).to_string()]);
        }
    }
    args.extend_from_slice(operator);
    EalArgs { args, hugepages }
}

/// Bytes of hugepages of any size that are free, as Linux says it below `folder` (`/sys/kernel/mm/hugepages`).
pub(crate) fn free_hugepages(folder: &Path) -> u64 {
    let Ok(sizes) = std::fs::read_dir(folder) else { return 0 };
    sizes
        .flatten()
        .filter_map(|size| {
            let name = size.file_name().into_string().ok()?;
            let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let free: u64 =
                std::fs::read_to_string(size.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
            free.checked_mul(kib)?.checked_mul(1024)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    #[test]
    fn fills_in_what_is_not_said() {
        let with = complete(&strings(&["-a", "0000:03:00.0"]), &[0, 1], 1 << 30, 1 << 28);
        assert!(with.hugepages);
        assert_eq!(
            with.args,
            strings(&[
                "--in-memory",
                "--no-telemetry",
                "--lcores=0@(0,1)",
                "--log-level=*:warning",
                "-a",
                "0000:03:00.0"
            ])
        );
        let without = complete(&strings(&["-l", "3", "--file-prefix=x"]), &[0, 1], 0, 1 << 28);
        assert!(!without.hugepages);
        assert_eq!(
            without.args,
            strings(&[
                "--no-telemetry",
                "-a",
                NO_DEVICE,
                "--log-level=*:warning",
                "--no-huge",
                "-m",
                "768",
                "-l",
                "3",
                "--file-prefix=x"
            ])
        );
        let asked = complete(&strings(&["--no-huge", "-m", "300"]), &[0], 1 << 40, 1);
        assert!(!asked.hugepages);
        assert!(asked.args.ends_with(&strings(&["--no-huge", "-m", "300"])));
    }

    #[test]
    fn counts_free_pages() {
        let folder = tempfile::tempdir().unwrap();
        for (name, free) in [("hugepages-2048kB", "10\n"), ("hugepages-1048576kB", "1\n"), ("other", "7\n")] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(free_hugepages(folder.path()), 10 * 2048 * 1024 + (1 << 30));
        assert_eq!(free_hugepages(&folder.path().join("absent")), 0);
    }
}
