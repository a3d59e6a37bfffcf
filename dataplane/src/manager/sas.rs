//! The live SAs, and the slots of shared memory that hold what must outlive a process.

use super::crypto::Crypto;
use super::desired::SaSpec;
use super::entries::Entries;
use crate::pages::Pages;
use crate::sad::SpiTable;
use crate::selectors::Selectors;
use crate::snapshot::{InboundSa, OutboundSa, Protection};
use esp::resync::Resync;
use esp::tunnel::Dscp;
use model::{Direction, IcvLen, IvRule, Spi, Suite, Tfc};
use shm::{InstallSa, Reason, SaTable};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Packets that may have been sent since the one that a router speaks of: at full speed, those of a tenth of a second.
const LATELY: u64 = 1 << 20;

/// How often an SA that opens nothing may try what else its peer's sequence number could be.
const RESYNCS_PER_SECOND: u64 = 10;

/// An SA ready to be used, its slot not yet written.
pub(super) enum Built {
    Inbound(Arc<InboundSa>),
    Outbound(Arc<OutboundSa>),
}

/// Expands the keys and computes what every packet of the SA has in common; `moved_to` is where the peer was seen, if
/// elsewhere than the SA was told.
pub(super) fn build(
    spec: &SaSpec,
    moved_to: Option<SocketAddr>,
    crypto: &mut Crypto,
) -> Result<Built, Reason> {
    let install = &*spec.install;
    let told = install.udp_port.map(|port| SocketAddr::new(install.remote, port));
    let peer = told.map(|told| moved_to.unwrap_or(told));
    let suite = install.suite;
    let keys = suite.key_shape().split(install.key.expose()).ok_or(Reason::Malformed)?;
    let salt = keys.salt;
    let expand = |len| gcm::Key::new(keys.cipher, len).map_err(|_| Reason::SuiteUnsupported);
    let hides = install.direction == Direction::Outbound && install.tfc != Tfc::NONE;
    let gcm = |icv| if hides { Protection::GcmTfc(icv) } else { Protection::Gcm(icv) };
    let (protection, key) = match suite {
        Suite::AesGcm { key, icv } => (gcm(icv), Some(expand(key)?)),
        // All that differs is what the nonce is made of.
        Suite::AesGcmIiv { key } => (gcm(IcvLen::Bytes16), Some(expand(key)?)),
        Suite::AesGmac { key } => (Protection::Gmac, Some(expand(key)?)),
        _ => (Protection::Device(Box::new(crypto.sa(install, &keys)?)), None),
    };
    match install.direction {
        Direction::Inbound => Ok(Built::Inbound(Arc::new(InboundSa {
            index: install.index,
            spi: install.spi,
            protection,
            key,
            parameters: esp::inbound::Parameters::new(
                suite,
                install.mode,
                salt,
                install.extended_sequence,
                install.replay_window,
            ),
            window_words: esp::replay::words_for(install.replay_window),
            local: install.local,
            peer,
            selectors: Selectors::new(&spec.selectors),
            limits: install.limits,
            resync: Resync::new(dpdk::tsc_hz() / RESYNCS_PER_SECOND),
        }))),
        Direction::Outbound => {
            let parameters = esp::outbound::Parameters {
                spi: install.spi,
                suite,
                mode: install.mode,
                salt,
                esn: install.extended_sequence,
                local: install.local,
                remote: peer.map_or(install.remote, |peer| peer.ip()),
                udp_port: peer.map(|peer| peer.port()),
                tunnel: esp::tunnel::Options {
                    flow_label: esp::tunnel::flow_label(install.spi),
                    df: install.size.df,
                    dscp: if spec.dscp.is_copy() {
                        Dscp::Copy
                    } else {
                        Dscp::Map(Arc::new(spec.dscp.clone()))
                    },
                    ..esp::tunnel::Options::default()
                },
            };
            let template =
                esp::outbound::Template::new(&parameters).map_err(|_| Reason::AddressUnsupported)?;
            let last_of_numbers = esp::sequence::last(install.extended_sequence);
            // A packet takes a number, so a limit of packets is a limit of numbers, kept to the last one.
            let last_sequence = install.limits.hard_packets.map_or(last_of_numbers, |hard| {
                install.first_sequence.saturating_add(hard).saturating_sub(1).min(last_of_numbers)
            });
            Ok(Built::Outbound(Arc::new(OutboundSa {
                index: install.index,
                spi: install.spi,
                protection,
                key,
                template,
                iv_base: if suite.iv_rule() == IvRule::Sequence { 0 } else { install.iv_base },
                first_sequence: install.first_sequence,
                last_sequence,
                size: install.size,
                tfc: install.tfc,
                limits: install.limits,
            })))
        }
    }
}

/// The slots of the outbound SAs that an entry is served by, before and after a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    pub(super) entry: u32,
    pub(super) before: Option<u32>,
    pub(super) after: Option<u32>,
}

fn sends_dummies(sa: &OutboundSa) -> bool {
    sa.tfc.dummies.interval().is_some()
}

/// All live SAs by slot.
pub(super) struct Sas {
    table: Arc<SaTable>,
    inbound: BTreeMap<u32, Arc<InboundSa>>,
    outbound: BTreeMap<u32, Arc<OutboundSa>>,
    /// The same as workers see them, which is kept up rather than made anew: there may be a hundred thousand.
    by_spi: SpiTable<InboundSa>,
    by_entry: Entries<OutboundSa>,
    /// The policy entries whose SA sends dummies.
    with_dummies: BTreeSet<u32>,
    /// The same, by the SPI that the peer gave.
    outbound_spis: BTreeSet<(Spi, u32)>,
    /// Slots of SAs that are taken out, but that a worker in the middle of a burst may still use.
    dying: BTreeSet<u32>,
}

impl Sas {
    /// None. `secret` spreads SPIs in the look-up table.
    pub(super) fn new(table: Arc<SaTable>, secret: u32) -> Sas {
        Sas {
            table,
            inbound: BTreeMap::new(),
            outbound: BTreeMap::new(),
            outbound_spis: BTreeSet::new(),
            by_spi: SpiTable::new(secret),
            by_entry: Entries::new(),
            with_dummies: BTreeSet::new(),
            dying: BTreeSet::new(),
        }
    }

    /// Takes the SA of this slot out, if there is one. The slot is not free before [`Sas::bury`].
    pub(super) fn remove(&mut self, index: u32) {
        if let Some(sa) = self.inbound.remove(&index) {
            self.by_spi.remove(sa.spi);
            self.dying.insert(index);
        }
        if let Some(sa) = self.outbound.remove(&index) {
            self.outbound_spis.remove(&(sa.spi, index));
            self.serve(index, None);
            self.dying.insert(index);
        }
    }

    /// Whether a worker may still use one of these slots.
    pub(super) fn any_dying(&self, mut indexes: impl Iterator<Item = u32>) -> bool {
        indexes.any(|index| self.dying.contains(&index))
    }

    /// No worker sees what was taken out any more: clears the slots.
    pub(super) fn bury(&mut self) {
        for index in std::mem::take(&mut self.dying) {
            self.table.clear(index);
        }
    }

    /// Writes the slot of an SA that is new, and takes it up. The slot is free.
    pub(super) fn insert(&mut self, install: &InstallSa, built: Built) {
        if let Err(error) = self.table.install(install) {
            // The index was checked, and the segment has room for the widest window of every SA.
            tracing::error!("SA {}: {error}", install.index);
            return;
        }
        match built {
            Built::Inbound(sa) => {
                self.reset_window(&sa, install.replay_floor);
                self.by_spi.set(sa.spi, Arc::clone(&sa));
                self.inbound.insert(install.index, sa);
            }
            Built::Outbound(sa) => {
                self.outbound_spis.insert((sa.spi, install.index));
                self.serve(install.index, Some(&sa));
                self.outbound.insert(install.index, sa);
            }
        }
    }

    /// Whether a live inbound SA takes its peer for somewhere else than that.
    pub(super) fn is_elsewhere(&self, index: u32, peer: SocketAddr) -> bool {
        self.inbound.get(&index).and_then(|sa| sa.peer).is_some_and(|known| known != peer)
    }

    /// A live SA's peer was seen somewhere else: puts what was built for that in the SA's place, which keeps its numbers.
    pub(super) fn move_peer(&mut self, index: u32, peer: SocketAddr, built: Built) {
        match built {
            Built::Inbound(sa) => {
                if let Some(place) = self.inbound.get_mut(&index) {
                    self.by_spi.set(sa.spi, Arc::clone(&sa));
                    *place = sa;
                }
            }
            Built::Outbound(sa) => {
                if let Some(place) = self.outbound.get_mut(&index) {
                    *place = Arc::clone(&sa);
                    self.serve(index, Some(&sa));
                }
            }
        }
        self.table.set_peer(index, peer);
    }

    /// The live outbound SA between these two ends that sent a packet of that number not long ago, and of which it would be
    /// news that its path takes no more than `mtu` bytes.
    pub(super) fn sent_lately(
        &self,
        spi: Spi,
        sequence: u32,
        ends: (IpAddr, IpAddr),
        mtu: u16,
    ) -> Option<u32> {
        let mut known = self.outbound_spis.range((spi, 0)..=(spi, u32::MAX)).map(|&(_, index)| index);
        known.find(|index| {
            let Some(sa) = self.outbound.get(index).filter(|sa| sa.template.ends() == ends) else {
                return false;
            };
            let Some(slot) = self.table.slot(sa.index) else { return false };
            let next = slot.next_sequence.load(Ordering::Relaxed);
            let sent = next.saturating_sub(sa.first_sequence).min(LATELY);
            let ago = (next as u32).wrapping_sub(1).wrapping_sub(sequence);
            u64::from(ago) < sent && usize::from(mtu) < slot.path_mtu()
        })
    }

    /// What the path of a live outbound SA takes now; `None`: nobody knows.
    pub(super) fn set_path_mtu(&self, index: u32, mtu: Option<u16>) {
        if self.outbound.contains_key(&index) {
            self.table.set_path_mtu(index, mtu);
        }
    }

    /// Nothing up to `floor` is new to the window, everything above it is.
    fn reset_window(&self, sa: &InboundSa, floor: u64) {
        if let Some(slot) = self.table.slot(sa.index)
            && let Some(words) = self.table.window(sa.index, sa.window_words)
            && let Ok(window) = esp::replay::Window::new(&slot.highest, words, sa.parameters.window)
        {
            window.reset(floor);
        }
    }

    /// A policy entry was bound to one slot and is to another.
    pub(super) fn bind(&mut self, Binding { entry, before, after }: Binding) {
        let sa = after.and_then(|index| self.outbound.get(&index));
        self.by_entry.bind(entry, before, after, sa);
        let dummies = sa.is_some_and(|sa| sends_dummies(sa));
        self.set_dummies(entry, dummies);
    }

    /// The outbound SA of a slot is another, or none.
    fn serve(&mut self, index: u32, sa: Option<&Arc<OutboundSa>>) {
        let dummies = sa.is_some_and(|sa| sends_dummies(sa));
        for entry in self.by_entry.follow(index, sa) {
            self.set_dummies(entry, dummies);
        }
    }

    fn set_dummies(&mut self, entry: u32, sends: bool) {
        if sends {
            self.with_dummies.insert(entry);
        } else {
            self.with_dummies.remove(&entry);
        }
    }

    /// The look-up table of inbound SAs.
    pub(super) fn by_spi(&self) -> Arc<SpiTable<InboundSa>> {
        Arc::new(self.by_spi.clone())
    }

    /// The table of outbound SAs by policy entry.
    pub(super) fn by_entry(&self) -> Arc<Pages<Option<Arc<OutboundSa>>>> {
        Arc::new(self.by_entry.table())
    }

    /// The policy entries whose SA sends dummies.
    pub(super) fn with_dummies(&self) -> Arc<[u32]> {
        self.with_dummies.iter().copied().collect()
    }
}
