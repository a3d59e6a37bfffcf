//! The path MTUs of outbound SAs: learned from workers, forgotten with age (RFC 1191, section 6.3; RFC 8201, section 4).

use super::desired::Desired;
use super::sas::Sas;
use model::Spi;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long one is believed: then the path may have changed, and is tried again at full size.
const BELIEVED: Duration = Duration::from_secs(600);
/// What every path of the Internet takes (RFC 791, section 3.2): less is not believed.
const LEAST: u16 = 68;

/// Those that are believed now, and since when.
#[derive(Debug, Default)]
pub(super) struct PathMtus {
    learned: BTreeMap<u32, Instant>,
}

impl PathMtus {
    /// A worker saw that the path of this SA takes no more than that.
    pub(super) fn learn(&mut self, desired: &Desired, sas: &Sas, (index, spi): (u32, Spi), mtu: u16) {
        // It may be of an SA that is gone.
        if desired.sas.get(&index).is_some_and(|sa| sa.install.spi == spi) {
            sas.set_path_mtu(index, Some(mtu.max(LEAST)));
            self.learned.insert(index, Instant::now());
        }
    }

    /// Forgets what is too old.
    pub(super) fn forget(&mut self, sas: &Sas) {
        self.learned.retain(|&index, since| {
            let believed = since.elapsed() < BELIEVED;
            if !believed {
                sas.set_path_mtu(index, None);
            }
            believed
        });
    }
}
