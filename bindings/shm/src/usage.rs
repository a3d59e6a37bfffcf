//! What memory a data plane's process takes, by what it is for: as Linux says it, so at no cost to the process itself.

use crate::segment::file_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// DPDK's: packet buffers and route tables.
    Packets,
    /// Expanded keys and what else packets of an SA have in common, tables that find them, what is decided and not yet done.
    Heap,
    /// The SA table: sequence numbers, counters, replay windows.
    Sas,
    /// The compiled policies.
    Policies,
    /// Rings, counters, and the rules' hits.
    Contract,
    /// Code, libraries, stacks.
    Program,
}

/// What one place takes, in bytes of memory that is really there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// On pages of any size.
    pub bytes: u64,
    /// Of them, on large pages: hugepages, or what Linux made of ordinary ones.
    pub large: u64,
}

/// The memory of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// By what it is for.
    pub places: BTreeMap<Place, Taken>,
}

impl Usage {
    /// Asks Linux about a process, which root may do of any.
    ///
    /// # Errors
    ///
    /// Those of reading `/proc/PID/smaps`: the process is gone, or not ours to look at.
    pub fn of(pid: u32) -> io::Result<Usage> {
        Ok(Usage::parse(&std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps"))?))
    }

    /// All places together.
    pub fn all(&self) -> Taken {
        self.places.values().fold(Taken::default(), |sum, each| Taken {
            bytes: sum.bytes.saturating_add(each.bytes),
            large: sum.large.saturating_add(each.large),
        })
    }

    /// What one place takes.
    pub fn place(&self, place: Place) -> Taken {
        self.places.get(&place).copied().unwrap_or_default()
    }

    /// Reads the text of `smaps`. Lines that it does not know are passed over.
    fn parse(text: &str) -> Usage {
        let mut usage = Usage::default();
        let mut name = "";
        let mut huge = false;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(first) = words.next() else { continue };
            let Some(field) = first.strip_suffix(':') else {
                // A mapping: addresses, rights, offset, device, inode, and the name, which may have spaces.
                name = line.splitn(6, ' ').nth(5).unwrap_or_default().trim();
                huge = false;
                continue;
            };
            let bytes =
                words.next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024);
            let large = match field {
                "KernelPageSize" => {
                    huge = bytes > 4096;
                    continue;
                }
                "Rss" => false,
                "Private_Hugetlb" | "Shared_Hugetlb" => true,
                // Of these, Rss speaks, too.
                "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped" => {
                    usage.taken(name, huge).large += bytes;
                    continue;
                }
                _ => continue,
            };
            let taken = usage.taken(name, huge);
            taken.bytes = taken.bytes.saturating_add(bytes);
            if large {
                taken.large = taken.large.saturating_add(bytes);
            }
        }
        usage.places.retain(|_, taken| taken.bytes > 0);
        usage
    }

    fn taken(&mut self, name: &str, huge: bool) -> &mut Taken {
        self.places.entry(place(name, huge)).or_default()
    }
}

/// What a mapping is for, by its name. Segments are files without a path.
fn place(name: &str, huge: bool) -> Place {
    let file = name.strip_prefix("/memfd:").map(|file| file.trim_end_matches(" (deleted)"));
    match file {
        Some(file) if file == file_name::SAS => Place::Sas,
        Some(file) if file == file_name::POLICY => Place::Policies,
        Some(file) if file.starts_with(file_name::PREFIX) => Place::Contract,
        // DPDK's ordinary memory.
        Some("nohuge") => Place::Packets,
        _ if huge => Place::Packets,
        _ if name.is_empty() || name == "[heap]" || name.starts_with("[anon") => Place::Heap,
        _ => Place::Program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
100000000-100200000 rw-s 00000000 00:0f 1  /dev/hugepages/rtemap_0
KernelPageSize:     2048 kB
Rss:                   0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:       0 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0 
KernelPageSize:        4 kB
Rss:                3000 kB
AnonHugePages:      2048 kB
VmFlags: rd wr
7f0000100000-7f0000200000 rw-s 00000000 00:01 5                          /memfd:espalier-sas (deleted)
Rss:                 100 kB
7f0000200000-7f0000300000 rw-s 00000000 00:01 6                          /memfd:espalier-counters (deleted)
Rss:                  10 kB
7f0000300000-7f0000400000 r--s 00000000 00:01 7                          /memfd:espalier-policy (deleted)
Rss:                  20 kB
7f0000400000-7f0000500000 r-xp 00000000 fe:00 8                          /usr/lib/a b.so
Rss:                   7 kB
nonsense
Rss: many kB
";

    #[test]
    fn memory_is_told_apart_by_what_it_is_for() {
        let usage = Usage::parse(SMAPS);
        let kib = |place: Place| {
            let taken = usage.place(place);
            (taken.bytes / 1024, taken.large / 1024)
        };
        assert_eq!(kib(Place::Packets), (2048, 2048));
        assert_eq!(kib(Place::Heap), (3000, 2048));
        assert_eq!(kib(Place::Sas), (100, 0));
        assert_eq!(kib(Place::Contract), (10, 0));
        assert_eq!(kib(Place::Policies), (20, 0));
        assert_eq!(kib(Place::Program), (7, 0));
        assert_eq!(usage.all().bytes, 5185 * 1024);
    }

    #[test]
    fn segments_are_found_in_our_own_process() {
        let before = Usage::of(std::process::id()).unwrap().place(Place::Sas).bytes;
        let table = crate::SaTable::create(64).unwrap();
        let after = Usage::of(std::process::id()).unwrap().place(Place::Sas).bytes;
        assert!(after > before, "{after} {before}");
        drop(table);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
