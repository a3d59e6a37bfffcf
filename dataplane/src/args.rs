//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  espalier-dataplane --cores 1
      One worker on core 1. Ports, SAs, policies and routes come from espalier-controlplane.

  espalier-dataplane --cores 2-5 --idle busy -- -a 0000:03:00.0 --socket-mem 1024
      Four workers that never sleep; what follows `--` goes to DPDK's EAL as it stands.

Without free hugepages it runs on ordinary memory, slower, and says so.";

/// Espalier's packet process: polls NIC queues, protects and forwards packets.
///
/// It starts with no configuration at all: the control plane attaches over the socket and feeds it ports, security
/// associations, policies and routes. It carries traffic on when the control plane goes away.
#[derive(Debug, Parser)]
#[command(name = "espalier-dataplane", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the control plane and `espalier stats` find this process.
    #[arg(
        long,
        value_name = "PATH",
        env = "ESPALIER_SOCKET",
        default_value = "/run/espalier/dataplane.sock"
    )]
    pub(crate) socket: PathBuf,

    /// Cores to run workers on, one worker a core: `1`, `2-5`, `1,3,8-11`. Default: the last one that we may use.
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<CoreList>,

    /// What a worker does when its queues stay empty.
    #[arg(long, value_enum, default_value_t = Idle::Sleep)]
    pub(crate) idle: Idle,

    /// Room for this many security associations (memory is taken as they come).
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = clap::value_parser!(u32).range(2..=4_194_304))]
    pub(crate) max_sas: u32,

    /// Room for this many IPv4 routes, and as many IPv6 routes, neighbours included.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(64..=4_194_304))]
    pub(crate) max_routes: u32,

    /// Packet buffers to allocate, each as long as `--max-frame` and half a KiB. Default: 16,384 and 4,096 more for each worker; a quarter of that
    /// without hugepages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2048..=16_777_216))]
    pub(crate) mbufs: Option<u32>,

    /// Bytes of the longest frame that a buffer holds; for jumbo frames 9216. Longer ones, up to the port's MTU, are taken
    /// one by one and slowly.
    #[arg(long, value_name = "BYTES", default_value_t = 2048, value_parser = clap::value_parser!(u16).range(2048..=16_384))]
    pub(crate) max_frame: u16,

    /// AES-GCM kernel: `vaes-512`, `vaes-256`, `aes-ni` or `portable`. Default: the fastest that this processor has.
    #[arg(long, value_name = "NAME", env = "ESPALIER_GCM", value_parser = gcm_by_name)]
    pub(crate) gcm: Option<gcm::BackEnd>,

    /// Crypto device for suites that are not AES-GCM or GMAC: a software driver such as `crypto_openssl`, or the PCI
    /// address of hardware. It is taken when the first SA needs it. Default: `crypto_aesni_mb`, else `crypto_openssl`.
    #[arg(long, value_name = "DEVICE", env = "ESPALIER_CRYPTO")]
    pub(crate) crypto: Option<String>,

    /// What to log, as in `info` or `warn,espalier_dataplane=debug`.
    #[arg(long, value_name = "FILTER", env = "ESPALIER_LOG", default_value = "info")]
    pub(crate) log: String,

    /// Arguments for DPDK's EAL.
    #[arg(last = true, value_name = "EAL ARGUMENTS")]
    pub(crate) eal: Vec<String>,
}

fn gcm_by_name(name: &str) -> Result<gcm::BackEnd, gcm::NoSuchBackEnd> {
    gcm::BackEnd::named(name)
}

/// How a worker idles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Idle {
    /// Poll without a pause: lowest latency, a core of its own.
    Busy,
    /// Poll with pause instructions: kind to the other hyper-thread, still a core of its own.
    Pause,
    /// Sleep a little, then longer, up to 200 microseconds: workers can share a core.
    Sleep,
}

/// A set of cores, ascending, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoreList(pub(crate) Vec<usize>);

impl std::str::FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<CoreList, String> {
        const HIGHEST: usize = 1023;
        let mut cores = std::collections::BTreeSet::new();
        for part in text.split(',') {
            let number = |digits: &str| {
                digits.trim().parse::<usize>().ok().filter(|&core| core <= HIGHEST).ok_or_else(|| {
                    format!("'{digits}' is not a core number (0 to {HIGHEST}); write a list such as 1,3,8-11")
                })
            };
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("the range '{part}' runs backwards; write {last}-{first}"));
            }
            cores.extend(first..=last);
        }
        Ok(CoreList(cores.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_lists() {
        let cores = |text: &str| text.parse::<CoreList>().map(|list| list.0);
        assert_eq!(cores("1"), Ok(vec![1]));
        assert_eq!(cores("8-10,1,9"), Ok(vec![1, 8, 9, 10]));
        for bad in ["", "x", "3-1", "1,,2", "4096", "0-99999999999"] {
            assert!(cores(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
