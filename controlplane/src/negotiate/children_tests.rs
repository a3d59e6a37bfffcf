use super::*;
use model::{Direction, DscpMap, KeyMaterial, Mode, Suite};
use shm::InstallSa;

fn sa(direction: Direction, spi: u32, index: u32) -> PlannedSa {
    let [local, remote] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
    PlannedSa {
        entry: key("SITES"),
        install: Box::new(InstallSa {
            index,
            direction,
            spi: Spi::new(spi).unwrap(),
            suite: Suite::AES_GCM_128,
            mode: Mode::Tunnel,
            key: KeyMaterial::new(&[7; 20]).unwrap(),
            local,
            remote,
            udp_port: None,
            extended_sequence: false,
            replay_window: 64,
            first_sequence: 1,
            replay_floor: 0,
            iv_base: 0,
            limits: Limits::default(),
            entry: Some(5),
            size: model::SizeRules::default(),
            tfc: model::Tfc::NONE,
        }),
        selectors: Vec::new(),
        dscp: DscpMap::COPY,
    }
}

fn key(map: &str) -> EntryKey {
    EntryKey { map: Name::new(map).unwrap(), sequence: 10 }
}

fn child(children: &mut Children, spi: u32, sending: bool) -> Child {
    let [inbound, outbound] = children.free_indexes(100).unwrap();
    Child {
        connection: "c".into(),
        policy: "SITES 10".into(),
        peer: Arc::new(Identity::Fqdn("gw-b.example.net".to_owned())),
        entry: key("SITES"),
        dynamic: None,
        number: 5,
        inbound: sa(Direction::Inbound, spi, inbound),
        outbound: sa(Direction::Outbound, spi + 1, outbound),
        sending,
    }
}

fn bound(commands: &[Command]) -> Option<Option<u32>> {
    commands.iter().rev().find_map(|command| match command {
        Command::BindEntry { entry: 5, sa } => Some(*sa),
        _ => None,
    })
}

#[test]
fn what_leaves_stays_on_the_old_pair_until_the_new_one_may_send() {
    let (mut children, now) = (Children::default(), Instant::now());
    let first = child(&mut children, 1000, true);
    let second = child(&mut children, 2000, false);
    let [old, new] = [&first, &second].map(Child::spi);
    let second = Child {
        inbound: sa(Direction::Inbound, 2000, 2),
        outbound: sa(Direction::Outbound, 2001, 3),
        ..second
    };
    assert_eq!(bound(&children.add(first)), Some(Some(1)));
    assert_eq!(bound(&children.add(second)), None);
    assert_eq!(children.carrier(5).unwrap().spi(), old);
    assert_eq!(bound(&children.send(new)), Some(Some(3)));
    let (commands, _) = children.remove(old, now, true).unwrap();
    assert_eq!(bound(&commands), Some(Some(3)));
    assert!(matches!(commands[1], Command::RemoveSa { index: 1 }));
    // What was on its way is still taken, and its index is not given to another meanwhile.
    assert!(children.faded(now).is_empty());
    assert!(children.indexes().any(|index| index == 0));
    assert_eq!(children.faded(now + FADE).len(), 1);
    assert!(children.indexes().all(|index| index != 0));
    let (commands, _) = children.remove(new, now, false).unwrap();
    assert_eq!(bound(&commands), Some(None));
    assert_eq!((commands.len(), children.indexes().count()), (3, 0));
}

/// Who proves himself anew has a second pair before the first goes. Of a dynamic entry, too, that is one tunnel.
#[test]
fn a_second_pair_of_the_same_waits_for_the_first_to_go() {
    let (mut children, now) = (Children::default(), Instant::now());
    let host =
        |text: &str| vec![Selector::between("10.9.0.0/16".parse().unwrap(), text.parse().unwrap()).unwrap()];
    let mut of_peer = |spi: u32, sending: bool| {
        let mut new = Child { dynamic: Some(key("ANYONE")), ..child(&mut children, spi, sending) };
        new.outbound.selectors = host("10.1.0.1/32");
        new
    };
    let (first, second) = (of_peer(1000, true), of_peer(2000, false));
    let [old, new] = [&first, &second].map(Child::spi);
    let (policy, peer) = (first.policy.clone(), first.peer.clone());
    let stranger = Arc::new(Identity::Fqdn("gw-c.example.net".to_owned()));
    assert_eq!(children.number_of(&policy, &peer, &host("10.1.0.1/32")), None);
    children.add(first);
    assert_eq!(children.number_of(&policy, &peer, &host("10.1.0.1/32")), Some(5));
    assert_eq!(children.number_of(&policy, &peer, &host("10.1.0.2/32")), None);
    assert_eq!(children.number_of(&policy, &stranger, &host("10.1.0.1/32")), None);
    assert!(!children.has_other(old));
    assert_eq!(bound(&children.add(second)), None);
    assert!(children.has_other(old));
    // It goes: the second is all that there is.
    let (commands, _) = children.remove(old, now, true).unwrap();
    let outbound = children.get(new).unwrap().outbound.install.index;
    assert_eq!(bound(&commands), Some(Some(outbound)));
    assert_eq!(children.number_of(&policy, &peer, &host("10.1.0.1/32")), Some(5));
    // It does not go, nor say a word of it: a moment later the newest carries all the same.
    let third = Child {
        inbound: sa(Direction::Inbound, 3000, 90),
        outbound: sa(Direction::Outbound, 3001, 91),
        sending: false,
        ..children.get(new).unwrap().clone()
    };
    assert_eq!(bound(&children.add(third)), None);
    children.send_later(Spi::new(3000).unwrap(), now);
    assert_eq!(children.settled(now).len(), 0);
    assert_eq!(children.deadline(), Some(now + FADE));
    assert_eq!(bound(&children.settled(now + SETTLE)), Some(Some(91)));
    for spi in [2000, 3000] {
        children.remove(Spi::new(spi).unwrap(), now, false);
    }
    assert_eq!(children.number_of(&policy, &peer, &host("10.1.0.1/32")), None);
    assert!(children.claims.is_empty());
}

/// The rules that are kept are those that all pairs together would give.
#[test]
fn peers_of_a_dynamic_entry_have_rules_as_long_as_they_carry() {
    let (mut children, now) = (Children::default(), Instant::now());
    let all_anew = |children: &Children| {
        let numbers = children.by_number.keys();
        let carriers = numbers.filter_map(|&number| children.carrier(number));
        carriers.flat_map(|child| rules_of(child, &label(&key("ANYONE")).into())).collect::<Vec<_>>()
    };
    // Pairs of four peers come, may send, and go, in an order without one.
    for step in 0..400_u32 {
        let (number, spi) = (step * 7 % 4, Spi::new(1000 + 2 * (step * 11 % 9)).unwrap());
        match (children.get(spi), step % 3) {
            (None, _) => {
                let new = child(&mut children, spi.get(), step % 2 == 0);
                let mut new = Child { number, dynamic: Some(key("ANYONE")), ..new };
                let host: model::Prefix = format!("10.{number}.0.{}/32", step % 5).parse().unwrap();
                new.outbound.selectors =
                    vec![Selector::between("10.9.0.0/16".parse().unwrap(), host).unwrap()];
                children.add(new);
            }
            (Some(_), 0) => drop(children.send(spi)),
            (Some(_), 1) => drop(children.remove(spi, now, false)),
            (Some(_), _) => drop(children.forget(spi)),
        }
        let kept = children.rules(&key("SITES").map).remove(&10).unwrap_or_default();
        assert_eq!(kept, all_anew(&children));
    }
}

#[test]
fn nothing_that_is_taken_is_given_twice() {
    let mut children = Children::default();
    children.reserve([0, 1].into(), [0].into());
    assert_eq!(children.free_indexes(6), Some([2, 3]));
    assert_eq!(children.free_indexes(6), Some([4, 5]));
    assert_eq!(children.free_indexes(6), Some([2, 3]));
    assert_eq!(children.free_indexes(3), None);
    assert_eq!(children.free_number(), 1);
}
