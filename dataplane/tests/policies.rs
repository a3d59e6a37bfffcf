//! The policy of a running data plane: it changes, and is compiled anew, over and over, while packets go through it; no packet
//! is classified but by a list that was asked for, and each is counted once, at the line that it met.

#![allow(clippy::unwrap_used)]

mod gateway;

use acl::{Action, Delta, Limits, Rule};
use gateway::frames::datagram;
use gateway::loaded::{Loaded, OUT, received};
use gateway::{LAN, PATIENCE, WAN, numbered};
use model::{Prefix, Selector};
use shm::{Command, DropReason, Label, Observer, PolicySegment, PortId, Reason};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// Hosts that packets go to, each with a rule of its own: every other one's are dropped.
const HOSTS: u32 = 8;
const ROUNDS: u32 = 100;

fn port(number: u16) -> PortId {
    PortId::new(number).unwrap()
}

fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0A02_0000 | number)
}

/// A rule about one destination.
fn rule(to: Ipv4Addr, action: Action) -> Rule {
    let all = "0.0.0.0/0".parse().unwrap();
    Rule::new(Selector::between(all, Prefix::from(IpAddr::from(to))).unwrap(), action)
}

/// A rule that no packet meets.
fn idle(number: u32) -> Rule {
    rule(Ipv4Addr::from_bits(0x0B00_0000 | number), Action::Discard)
}

/// A policy as its maker knows it.
struct Policy {
    /// By number.
    rules: Vec<Rule>,
    labels: Vec<Label>,
    base: usize,
    delta: Delta,
}

impl Policy {
    fn new(rules: Vec<Rule>, labels: Vec<Label>) -> Policy {
        let base = rules.len();
        let image = acl::compile(&rules, Limits::default()).unwrap();
        Policy { delta: Delta::new(rules.as_slice().into(), image.into()), rules, labels, base }
    }

    fn set(&self, origins: Option<&[Option<u32>]>) -> PolicySegment {
        let image = acl::compile(&self.rules, Limits::default()).unwrap();
        PolicySegment::build(image.as_bytes(), &self.labels, origins).unwrap()
    }

    fn change(&self) -> PolicySegment {
        let image = self.delta.compile(Limits::default()).unwrap();
        let (first, labels) = (self.base as u32, &self.labels[self.base..]);
        PolicySegment::build_change(image.as_bytes(), first, labels, None).unwrap()
    }

    fn add(&mut self, before: Option<u32>, rule: Rule, label: &str) {
        self.delta.insert(before, rule).unwrap();
        self.rules.push(rule);
        self.labels.push(Label::new(label).unwrap());
    }

    /// The list as it is, as a base, and what numbers its rules had.
    fn folded(&self) -> (Policy, Vec<Option<u32>>) {
        let order = self.delta.order();
        let rules = order.iter().map(|&number| self.rules[number as usize]).collect();
        let labels = order.iter().map(|&number| self.labels[number as usize]).collect();
        (Policy::new(rules, labels), order.into_iter().map(Some).collect())
    }
}

/// Rules of the hosts among some hundred that no packet meets.
fn first() -> Policy {
    let action = |number: u32| if number.is_multiple_of(2) { Action::Bypass } else { Action::Discard };
    let rules = (0..HOSTS * 64).map(|place| match (place / 64, place % 64) {
        (number, 0) => (rule(host(number), action(number)), format!("host:{number}")),
        _ => (idle(place), format!("idle:{place}")),
    });
    let (rules, labels): (Vec<_>, Vec<_>) = rules.unzip();
    Policy::new(rules, labels.iter().map(|label| Label::new(label).unwrap()).collect())
}

/// What the hosts' rules counted, as observers see it.
fn hits(observer: &Observer) -> Vec<u64> {
    let seen = observer.policies().unwrap();
    let of = |number: u32| {
        let mine = |(label, _): &(Label, u64)| label.as_str() == format!("host:{number}");
        seen.iter().flat_map(numbered).filter(mine).map(|(_, hits)| hits).sum()
    };
    (0..HOSTS).map(of).collect()
}

#[test]
fn each_packet_is_counted_once_however_its_policy_changes() {
    let packets: Vec<_> =
        (0..HOSTS).map(|n| datagram("10.1.0.9", &host(n).to_string(), 64, b"over and over")).collect();
    let mut loaded = Loaded::start(&packets);
    let observer = Observer::connect(&loaded.dataplane.socket).unwrap();
    let mut policy = first();
    let segment = loaded.control.offer(&policy.set(None)).unwrap();
    let to_wan = Command::AddRoute { prefix: "10.2.0.0/16".parse().unwrap(), next_hop: OUT };
    loaded.submit(&[Command::SetPolicy { port: port(WAN), segment }, to_wan]).unwrap();
    loaded.later();
    let mut before = hits(&observer);
    for round in 0..ROUNDS {
        // Some idle rule goes, another one comes in front of everything, and one at the end.
        let order = policy.delta.order();
        let gone = order.iter().rev().find(|&&n| policy.labels[n as usize].as_str().starts_with("idle"));
        policy.delta.remove(*gone.unwrap()).unwrap();
        policy.add(order.first().copied(), idle(round + 4096), "idle:new");
        policy.add(None, idle(round + 8192), "idle:new");
        let segment = loaded.control.offer(&policy.change()).unwrap();
        loaded.submit(&[Command::ChangePolicy { port: port(WAN), segment }]).unwrap();
        if round % 4 == 3 {
            let (folded, origins) = policy.folded();
            policy = folded;
            let segment = loaded.control.offer(&policy.set(Some(&origins))).unwrap();
            loaded.submit(&[Command::SetPolicy { port: port(WAN), segment }]).unwrap();
        }
        let now = hits(&observer);
        assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{before:?}, then {now:?}");
        before = now;
    }
    // Nothing comes any more, and what came is through.
    loaded.later();
    loaded.submit(&[Command::DetachPort { port: port(LAN) }]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (counters, counted) = loop {
        let (counters, counted) = (loaded.control.counters().snapshot(), hits(&observer));
        std::thread::sleep(Duration::from_millis(50));
        let later = loaded.control.counters().snapshot();
        if received(&counters) == received(&later) && counted == hits(&observer) {
            break (counters, counted);
        }
        assert!(Instant::now() < deadline, "packets still come: {counters:?}");
    };
    let dropped = counters.drops();
    let sum = |odd: usize| counted.iter().skip(odd).step_by(2).sum::<u64>();
    let no_route = dropped.get(&DropReason::NoRoute).copied().unwrap_or_default();
    assert_eq!(sum(1), dropped[&DropReason::PolicyDiscard]);
    assert_eq!(sum(0), counters.traffic(port(WAN)).tx_packets);
    assert_eq!(sum(0) + sum(1) + no_route, received(&counters), "{dropped:?}");
    // They came in turn, so that the counts of all hosts are alike, but for where it began and ended.
    let (least, most) = (counted.iter().min().unwrap(), counted.iter().max().unwrap());
    assert!(most - least <= 1, "{counted:?}");
    loaded.stop();
}

/// Workers see a route at once, and a policy by the next snapshot: even so no packet meets one without the other.
#[test]
fn a_route_and_its_policy_come_and_go_as_one() {
    let mut loaded = Loaded::start(&[datagram("10.1.0.9", &host(1).to_string(), 64, b"over and over")]);
    let (policy, wan) = (first(), port(WAN));
    let prefix: Prefix = "10.2.0.0/16".parse().unwrap();
    for _ in 0..ROUNDS {
        let segment = loaded.control.offer(&policy.set(None)).unwrap();
        let route = Command::AddRoute { prefix, next_hop: OUT };
        loaded.submit(&[Command::SetPolicy { port: wan, segment }, route]).unwrap();
        loaded.later();
        loaded.submit(&[Command::RemoveRoute { prefix }, Command::ClearPolicy { port: wan }]).unwrap();
    }
    let counters = loaded.later();
    assert_eq!(counters.traffic(wan).tx_packets, 0, "the policy lets nothing out");
    assert!(counters.drops()[&DropReason::PolicyDiscard] > u64::from(ROUNDS));
    loaded.stop();
}

/// A control plane that starts anew gives numbers anew: what a rule of an earlier change counted under one is not taken for
/// another's.
#[test]
fn numbers_that_are_given_anew_begin_at_zero() {
    let mut loaded = Loaded::start(&[datagram("10.1.0.9", &host(1).to_string(), 64, b"over and over")]);
    let observer = Observer::connect(&loaded.dataplane.socket).unwrap();
    let (mut policy, wan) = (first(), port(WAN));
    let base = policy.set(None);
    policy.add(Some(0), rule(host(1), Action::Discard), "new:1");
    let segment = loaded.control.offer(&base).unwrap();
    let to_wan = Command::AddRoute { prefix: "10.2.0.0/16".parse().unwrap(), next_hop: OUT };
    loaded.submit(&[Command::SetPolicy { port: wan, segment }, to_wan]).unwrap();
    loaded.later();
    let segment = loaded.control.offer(&policy.change()).unwrap();
    loaded.submit(&[Command::ChangePolicy { port: wan, segment }]).unwrap();
    loaded.later();
    loaded.submit(&[Command::DetachPort { port: port(LAN) }]).unwrap();
    let counts = || [64, policy.base as u32].map(|n| observer.policies().unwrap()[0].rule(n).unwrap().1);
    let before = counts();
    assert!(before.iter().all(|hits| *hits > 0), "{before:?}");
    let [segment, change] = [&base, &policy.change()].map(|segment| loaded.control.offer(segment).unwrap());
    loaded
        .submit(&[
            Command::SetPolicy { port: wan, segment },
            Command::ChangePolicy { port: wan, segment: change },
        ])
        .unwrap();
    assert_eq!(counts(), [before[0], 0], "what the base counted goes on");
    loaded.stop();
}

/// What cannot lie over the policy that is there is refused, and what is there goes on.
#[test]
fn a_change_that_fits_no_policy_is_refused() {
    let mut loaded = Loaded::start(&[datagram("10.1.0.9", "10.2.0.1", 64, b"over and over")]);
    let reason = |outcome: Result<(), shm::WaitError>| match outcome.unwrap_err() {
        shm::WaitError::Refused(failure) => failure.reason,
        error => panic!("{error}"),
    };
    let mut policy = first();
    policy.add(None, idle(0), "idle:new");
    let wan = port(WAN);
    let change = |loaded: &mut Loaded, segment: &PolicySegment| {
        let segment = loaded.control.offer(segment).unwrap();
        loaded.submit(&[Command::ChangePolicy { port: wan, segment }])
    };
    assert_eq!(reason(change(&mut loaded, &policy.change())), Reason::NoSuchPolicy);
    assert_eq!(reason(loaded.submit(&[Command::KeepPolicy { port: wan }])), Reason::NoSuchPolicy);
    let base = Policy::new(policy.rules[..policy.base].to_vec(), policy.labels[..policy.base].to_vec());
    let segment = loaded.control.offer(&base.set(None)).unwrap();
    loaded.submit(&[Command::SetPolicy { port: wan, segment }, Command::KeepPolicy { port: wan }]).unwrap();
    change(&mut loaded, &policy.change()).unwrap();
    // Of a longer base; without a label for its rule; no change at all.
    let mut other = Policy::new(policy.rules.clone(), policy.labels.clone());
    other.add(None, idle(0), "idle:new");
    assert_eq!(reason(change(&mut loaded, &other.change())), Reason::PolicyRefused);
    let image = policy.delta.compile(Limits::default()).unwrap();
    let unlabelled = PolicySegment::build_change(image.as_bytes(), policy.base as u32, &[], None).unwrap();
    assert_eq!(reason(change(&mut loaded, &unlabelled)), Reason::PolicyRefused);
    assert_eq!(reason(change(&mut loaded, &base.set(None))), Reason::PolicyRefused);
    let observer = Observer::connect(&loaded.dataplane.socket).unwrap();
    let seen = observer.policies().unwrap();
    assert_eq!(numbered(&seen[0]).count(), policy.labels.len());
    // With another base, the change is gone.
    let segment = loaded.control.offer(&base.set(None)).unwrap();
    loaded.submit(&[Command::SetPolicy { port: wan, segment }]).unwrap();
    assert!(observer.policies().unwrap()[0].change().is_none());
    loaded.stop();
}
