//! Readers of segments that whoever made them means harm with: they get a typed error, or values that could have been
//! written honestly; never more of them than there is room for, and never a panic.

use super::hostile::{self, Flaw, flawed, forged, is_harmless, no_memory, number, poke, pokes};
use super::samples;
use crate::counters::Globals;
use crate::guarded::Guarded;
use crate::hits::HitsView;
use crate::layout::{HEADER_BYTES, LABEL_BYTES};
use crate::memory::One;
use crate::{
    Counters, CountersView, DropReason, Hits, InstallSa, Label, PolicyImage, PolicySegment, PortId,
    PortStatus, SaSlot, SaTable, SaTableView, SegmentError, Stage, rings,
};
use model::{Direction, KeyMaterial};
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

const CAPACITY: u32 = 4;
const SLOT_WORDS: usize = size_of::<SaSlot>() / 8;
const HEADER_WORDS: usize = HEADER_BYTES / 8;

fn a_table() -> SaTable {
    let table = SaTable::create(CAPACITY).unwrap();
    for index in 0..CAPACITY - 1 {
        let direction = if index == 0 { Direction::Inbound } else { Direction::Outbound };
        table.install(&samples::sa(index, direction)).unwrap();
    }
    table
}

fn a_port() -> PortStatus {
    PortStatus {
        name: "wan".parse().unwrap(),
        device: "net_af_packet0,iface=wan".parse().unwrap(),
        mac: [2; 6],
        mtu: 1500,
        shutdown: false,
        link_up: true,
        speed_mbps: 1,
        missed: 2,
        errors: 3,
        no_mbuf: 4,
    }
}

/// All that can be asked of an SA table.
fn look_at_sas(view: &SaTableView) -> Vec<crate::SaStatus> {
    let all: Vec<_> = view.all().collect();
    assert!(all.len() <= view.capacity() as usize);
    assert!(view.live().count() <= view.capacity() as usize);
    assert!(
        (0..=view.capacity()).chain([u32::MAX]).filter_map(|index| view.get(index)).count()
            <= CAPACITY as usize
    );
    all
}

/// All that can be asked of the counters.
fn look_at_counters(view: &CountersView) {
    let seen = view.snapshot();
    assert_eq!(seen.workers.len(), view.workers());
    assert_eq!(seen.drops().len(), DropReason::ALL.len());
    for &stage in Stage::ALL {
        // Counts of any size are a histogram.
        let times = seen.stage(stage);
        assert_eq!(times.histogram.buckets().count() == 0, times.histogram.to_hdr().is_empty());
    }
    for port in PortId::all() {
        let _ = (seen.traffic(port), view.port(port));
    }
    assert!(seen.crypto.len() <= 32 && seen.idle.len() <= 16);
}

proptest! {
    /// Header, size and seals: whatever is not as it was made is refused, or is an honest segment of another size.
    #[test]
    fn a_segment_with_a_flaw_is_refused(flaw in hostile::flaw()) {
        let sas = a_table();
        match SaTableView::open(flawed(sas.fd(), &flaw)) {
            // How many slots were used is the one word that is not checked, as it is only believed within the capacity.
            Ok(view) => {
                prop_assert!(is_harmless(sas.fd(), &flaw) || matches!(flaw, Flaw::Header(4, _)));
                prop_assert!(look_at_sas(&view).is_empty());
            }
            Err(_) => prop_assert!(!is_harmless(sas.fd(), &flaw)),
        }
        let counters = Counters::create(2, 1).unwrap();
        match CountersView::open(flawed(counters.fd(), &flaw)) {
            Ok(view) => {
                prop_assert!(is_harmless(counters.fd(), &flaw));
                look_at_counters(&view);
            }
            Err(_) => prop_assert!(!is_harmless(counters.fd(), &flaw)),
        }
        let hits = Hits::create(2, 10).unwrap();
        match HitsView::open(flawed(hits.fd(), &flaw)) {
            Ok(view) => {
                // Ten rules have as many cells as nine or sixteen.
                prop_assert!(is_harmless(hits.fd(), &flaw) || matches!(flaw, Flaw::Header(4, 9..=16)));
                prop_assert!((0..20).chain([u32::MAX]).all(|rule| view.get(rule) == 0));
            }
            Err(_) => prop_assert!(!is_harmless(hits.fd(), &flaw)),
        }
        let (honest, ..) = rings::create().unwrap();
        prop_assert_eq!(
            rings::open(flawed(honest.as_fd(), &flaw)).is_ok(),
            is_harmless(honest.as_fd(), &flaw)
        );
    }

    /// Every SA that is read could have been installed, and is where it says that it is.
    #[test]
    fn an_sa_table_full_of_anything_holds_sas_or_nothing(
        pokes in pokes(HEADER_WORDS + SLOT_WORDS * CAPACITY as usize),
        flips in prop::collection::vec((prop_oneof![1..17_usize, Just(19)], 0..64_u32), 0..3),
        used in number(),
    ) {
        let (fd, words) = forged(a_table().fd());
        let view = SaTableView::open(fd).unwrap();
        poke(&words, &pokes);
        for (at, bit) in flips {
            words[HEADER_WORDS + at].fetch_xor(1 << bit, Relaxed);
        }
        words[4].store(used, Relaxed);
        let other = SaTable::create(CAPACITY).unwrap();
        for status in look_at_sas(&view) {
            let d = status.descriptor;
            let install = InstallSa {
                index: d.index,
                direction: d.direction,
                spi: d.spi,
                suite: d.suite,
                mode: d.mode,
                key: KeyMaterial::new(&[0; 36]).unwrap(),
                local: d.local,
                remote: d.remote,
                udp_port: d.udp_port,
                extended_sequence: d.extended_sequence,
                replay_window: d.replay_window,
                first_sequence: d.first_sequence,
                replay_floor: d.replay_floor,
                iv_base: d.iv_base,
                limits: d.limits,
                size: model::SizeRules::default(),
                tfc: d.tfc,
                entry: d.entry,
            };
            other.install(&install).unwrap();
            if let Some(peer) = d.moved_to {
                other.set_peer(d.index, peer);
            }
            let again = SaTableView::open(other.fd().try_clone_to_owned().unwrap()).unwrap().get(d.index).unwrap();
            let installed_at = again.descriptor.installed_at;
            prop_assert_eq!(again.descriptor, crate::SaDescriptor { live: true, installed_at, ..d });
        }
    }

    /// A writer that died in the middle, or pretends to, hangs nobody.
    #[test]
    fn guarded_words_are_read_whole_or_not_at_all(version in number(), values in any::<[u64; 5]>()) {
        let (fd, words) = hostile::memory(48);
        let mapping = std::sync::Arc::new(crate::memory::Mapping::new(fd.as_fd(), 48, true).unwrap());
        let guarded = One::<Guarded<5>>::new(&mapping, 0).unwrap();
        words[0].store(version, Relaxed);
        words[1..].iter().zip(values).for_each(|(word, value)| word.store(value, Relaxed));
        prop_assert_eq!(guarded.read(), (version % 2 == 0).then_some(values));
        // Whoever writes next makes it good.
        guarded.write(&values);
        prop_assert_eq!(guarded.read(), Some(values));
    }

    /// Offsets, lengths, labels and origins of a policy; the file itself is sealed as it must be.
    #[test]
    fn a_policy_full_of_anything_is_one_or_is_refused(
        image in prop::collection::vec(any::<u8>(), 0..200),
        rules in 0..5_usize,
        with_origins: bool,
        header in prop_oneof![Just(Vec::new()), pokes(10)],
        labels in prop::collection::vec((0..5 * LABEL_BYTES, any::<u8>()), 0..3),
        cut in prop_oneof![4 => Just(0), 1 => 1..300_usize],
    ) {
        let rules: Vec<Label> = (0..rules).map(|rule| Label::new(&format!("100:{rule}")).unwrap()).collect();
        let origins: Vec<Option<u32>> = (0..rules.len() as u32).map(Some).collect();
        let origins = with_origins.then_some(origins.as_slice());
        let honest = PolicySegment::build(&image, &rules, origins).unwrap();
        let mut bytes = vec![0; 1 << 14];
        let len = rustix::io::pread(honest.fd(), &mut bytes, 0).unwrap();
        bytes.truncate(len);
        let labels_at = len - rules.len() * (LABEL_BYTES + if with_origins { 4 } else { 0 });
        header.iter().for_each(|&(at, value)| bytes.as_chunks_mut::<8>().0[at] = value.to_ne_bytes());
        for (at, byte) in labels {
            bytes.get_mut(labels_at + at).into_iter().for_each(|place| *place = byte);
        }
        bytes.truncate(len - cut);
        let fd = policy_file(&bytes, IMMUTABLE);
        if let Ok(policy) = PolicyImage::open(fd, 1) {
            prop_assert_eq!(cut, 0);
            // A shorter or longer image is one too, as far as the padding behind it reaches.
            let image = policy.as_ref();
            prop_assert_eq!(image, &bytes[HEADER_BYTES..][..image.len()]);
            prop_assert!(HEADER_BYTES + image.len() <= labels_at);
            prop_assert_eq!((policy.numbers() - policy.first()) as usize, rules.len());
            prop_assert_eq!(policy.labels().len(), rules.len());
            prop_assert_eq!(policy.origins().len(), origins.map_or(0, <[_]>::len));
            for (label, field) in policy.labels().zip(bytes[labels_at..].as_chunks::<LABEL_BYTES>().0) {
                prop_assert_eq!(label.padded(), field);
            }
        } else {
            prop_assert!(PolicyImage::open(policy_file(&bytes, SealFlags::SEAL), 1).is_err());
        }
    }
}

proptest! {
    // Every port and text that is always being written costs its reader all its tries.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counters_full_of_anything_are_numbers(
        seed in any::<u64>(), pokes in pokes(size_of::<Globals>() / 8), noise in any::<bool>(),
    ) {
        let counters = Counters::create(2, 1).unwrap();
        PortId::all().for_each(|port| counters.set_port(port, &a_port()));
        let (fd, words) = forged(counters.fd());
        let view = CountersView::open(fd).unwrap();
        if noise {
            let mut state = seed | 1;
            for word in &words[HEADER_WORDS..] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                word.store(state.rotate_left((state >> 59) as u32), Relaxed);
            }
        }
        poke(&words[HEADER_WORDS..], &pokes);
        look_at_counters(&view);
        // A port that is read could have been written.
        for (port, status) in view.snapshot().ports {
            counters.set_port(port, &status);
            prop_assert_eq!(counters.snapshot().ports[&port], status);
        }
    }
}

const IMMUTABLE: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

fn policy_file(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::pwrite(&fd, bytes, 0).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

#[test]
fn a_text_that_goes_on_behind_its_end_is_no_ports() {
    let counters = Counters::create(1, 1).unwrap();
    let port = PortId::new(0).unwrap();
    counters.set_port(port, &a_port());
    let (fd, words) = forged(counters.fd());
    let view = CountersView::open(fd).unwrap();
    assert_eq!(view.port(port), Some(a_port()));
    // Behind the version and five numbers: 15 bytes of name, and one that is nothing.
    let name = &words[HEADER_WORDS + std::mem::offset_of!(Globals, ports) / 8 + 6..];
    name[1].fetch_or(u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, b'x']), Relaxed);
    assert_eq!(view.port(port), None);
}

/// A policy that could still change under the trie's lookup is not one, nor is one that would take our memory.
#[test]
fn a_policy_that_is_not_sealed_or_has_holes_is_refused() {
    let honest = PolicySegment::build(&[7; 100_000], &[Label::default()], None).unwrap();
    let mut bytes = vec![0; 1 << 17];
    let len = rustix::io::pread(honest.fd(), &mut bytes, 0).unwrap();
    bytes.truncate(len);
    assert!(PolicyImage::open(policy_file(&bytes, IMMUTABLE), 1).is_ok());
    for missing in [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
        let file = policy_file(&bytes, IMMUTABLE.difference(missing));
        assert!(matches!(PolicyImage::open(file, 1), Err(SegmentError::NotSealed)));
    }
    let holes = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&holes, len as u64).unwrap();
    rustix::io::pwrite(&holes, &bytes[..HEADER_BYTES], 0).unwrap();
    fcntl_add_seals(&holes, IMMUTABLE).unwrap();
    assert!(matches!(PolicyImage::open(holes, 1), Err(SegmentError::Size)));
}

#[test]
fn what_is_no_memory_is_no_segment() {
    for file in no_memory() {
        let clone = || file.try_clone().unwrap();
        assert!(matches!(SaTableView::open(clone()), Err(SegmentError::NotSealed)));
        assert!(matches!(CountersView::open(clone()), Err(SegmentError::NotSealed)));
        assert!(matches!(HitsView::open(clone()), Err(SegmentError::NotSealed)));
        assert!(matches!(PolicyImage::open(clone(), 1), Err(SegmentError::NotSealed)));
        assert!(matches!(rings::open(clone()), Err(SegmentError::NotSealed)));
    }
}

/// Values that change between two looks at them.
#[test]
fn readers_survive_a_writer_that_never_stops() {
    let (sas, sa_words) = forged(a_table().fd());
    let (counters, counter_words) = forged(Counters::create(1, 1).unwrap().fd());
    let (sas, counters) = (SaTableView::open(sas).unwrap(), CountersView::open(counters).unwrap());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..200 {
                look_at_sas(&sas);
                look_at_counters(&counters);
            }
        });
        let values = [0, 1, 2, u64::MAX, 0x0404_0404_0404_0404, 0x0101_0101_0101_0101];
        let near = &sa_words[HEADER_WORDS..HEADER_WORDS + SLOT_WORDS * CAPACITY as usize];
        let mut values = values.into_iter().cycle();
        while !reader.is_finished() {
            let value = values.next().unwrap();
            near.iter().for_each(|word| word.store(value, Relaxed));
            sa_words[4].store(!value, Relaxed);
            counter_words[HEADER_WORDS..].iter().for_each(|word| word.store(value, Relaxed));
        }
    });
}
