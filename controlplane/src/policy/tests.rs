//! Lists that change, by the way that the daemon takes: compared, changed, folded, sent over shared memory; against a scan
//! of the list, and against a count that is kept by line.

use super::diff::{By, hunks as hunks_of};
use super::published::{LONG, MOST_CHANGES};
use super::*;
use acl::{Action, Classifier, KeyV4, Linear, Overlay, Rule, Verdict};
use model::{PortRange, Prefix, Protocol, Selector};
use proptest::prelude::*;
use shm::{Command, Control, Label, PolicyImage, PortId, Request, Server, Setup};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const PORT: u16 = 3;

/// A data plane, in a few lines: it looks up and counts by number.
struct Plane {
    server: Server,
    control: Control,
    base: Option<Classifier<PolicyImage>>,
    change: Option<Overlay<PolicyImage>>,
    hits: Vec<u64>,
    _folder: tempfile::TempDir,
}

impl Plane {
    fn start() -> Plane {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut server = Server::bind(&path, Setup { workers: 1, sa_capacity: 1 }).unwrap();
        let connecting = std::thread::spawn(move || Control::connect(&path).unwrap());
        while !connecting.is_finished() {
            server.wait(Duration::from_millis(1)).unwrap();
        }
        let control = connecting.join().unwrap();
        Plane { server, control, base: None, change: None, hits: Vec::new(), _folder: folder }
    }

    /// Offers, commands, and what the manager does with them.
    fn take(&mut self, next: &Next) {
        let port = PortId::new(PORT).unwrap();
        let mut commands = vec![match &next.base {
            Some(base) => Command::SetPolicy { port, segment: self.control.offer(base).unwrap() },
            None => Command::KeepPolicy { port },
        }];
        if let Some(change) = &next.change {
            commands.push(Command::ChangePolicy { port, segment: self.control.offer(change).unwrap() });
        }
        self.control.submit(&commands, true).unwrap();
        let transaction = loop {
            match self.server.wait(Duration::from_millis(1)).unwrap().pop() {
                Some(Request::Transaction(transaction)) => break transaction,
                other => assert_eq!(other, None),
            }
        };
        let mut origins = None;
        for (_, command) in &transaction.commands {
            match *command {
                Command::SetPolicy { segment, .. } => {
                    let image = self.server.image(segment).unwrap();
                    origins = Some(image.origins().collect::<Vec<_>>());
                    self.base = Some(Classifier::verify(image).unwrap());
                    self.change = None;
                }
                Command::ChangePolicy { segment, .. } => {
                    let image = self.server.image(segment).unwrap();
                    if let Some(origins) = &mut origins {
                        origins.truncate(image.first() as usize);
                        origins.extend(image.origins());
                    }
                    self.change = Some(Overlay::verify(image).unwrap());
                }
                Command::KeepPolicy { .. } => assert!(self.base.is_some()),
                Command::Barrier => {}
                ref other => panic!("{other:?}"),
            }
        }
        if let Some(origins) = origins {
            let of = |origin: &Option<u32>| origin.map_or(0, |number| self.hits[number as usize]);
            self.hits = origins.iter().map(of).collect();
        }
        self.hits.resize(self.numbers(), 0);
        self.server.ack(transaction.commit, Ok(()));
        self.control.wait_ack(transaction.commit, Duration::from_secs(5)).unwrap();
    }

    fn base(&self) -> &Classifier<PolicyImage> {
        self.base.as_ref().unwrap()
    }

    fn numbers(&self) -> usize {
        self.base().rules().max(self.change.as_ref().map_or(0, |change| change.image().numbers())) as usize
    }

    fn label(&self, number: u32) -> Label {
        let changed = self.change.as_ref().and_then(|change| change.image().label(number));
        changed.or_else(|| self.base().image().label(number)).unwrap()
    }

    /// Numbers in the order in which rules are asked.
    fn order(&self) -> Vec<u32> {
        self.change.as_ref().map_or_else(|| (0..self.base().rules()).collect(), Overlay::order)
    }

    fn lookup(&self, keys: &[KeyV4]) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::NONE; keys.len()];
        match &self.change {
            Some(change) => change.over(self.base()).unwrap().lookup_v4(keys, &mut verdicts),
            None => self.base().lookup_v4(keys, &mut verdicts),
        }
        verdicts
    }
}

/// The list in the configuration, and what its lines should have counted.
struct Reference {
    rules: Vec<Rule>,
    labels: Vec<Label>,
    written: usize,
    hits: HashMap<Label, u64>,
}

impl Reference {
    fn new(rules: Vec<Rule>) -> Reference {
        let mut new = Reference { rules: Vec::new(), labels: Vec::new(), written: 0, hits: HashMap::new() };
        rules.into_iter().for_each(|rule| new.insert(new.rules.len(), rule));
        new
    }

    fn insert(&mut self, place: usize, rule: Rule) {
        self.written += 1;
        self.rules.insert(place, rule);
        self.labels.insert(place, Label::new(&format!("100:{}", self.written)).unwrap());
    }

    fn edit(&mut self, edit: &Edit) {
        let place = edit.place % self.rules.len();
        let gone = edit.gone.min(self.rules.len() - place);
        self.rules.drain(place..place + gone);
        self.labels.drain(place..place + gone).for_each(|label| {
            self.hits.remove(&label);
        });
        for (more, rule) in edit.come.iter().enumerate() {
            self.insert(place + more, *rule);
        }
    }

    fn renumber(&mut self) {
        for label in &mut self.labels {
            self.written += 1;
            let before = std::mem::replace(label, Label::new(&format!("100:{}", self.written)).unwrap());
            if let Some(hits) = self.hits.remove(&before) {
                self.hits.insert(*label, hits);
            }
        }
    }

    fn list(&self) -> Arc<List> {
        let (rules, labels) = (self.rules.clone().into(), self.labels.clone());
        Arc::new(List { map: config::Name::new("VPN").unwrap(), rules, labels })
    }

    /// Sends packets and sees that both agree on each, and on every count.
    fn meet(&mut self, plane: &mut Plane, keys: &[KeyV4]) {
        let mut slow = vec![Verdict::NONE; keys.len()];
        Linear::new(&self.rules).lookup_v4(keys, &mut slow);
        for (fast, slow) in plane.lookup(keys).into_iter().zip(slow) {
            assert_eq!(fast.action(), slow.action());
            let label = slow.rule().map(|rule| self.labels[rule as usize]);
            assert_eq!(fast.rule().map(|number| plane.label(number)), label);
            if let (Some(number), Some(label)) = (fast.rule(), label) {
                plane.hits[number as usize] += 1;
                *self.hits.entry(label).or_default() += 1;
            }
        }
        let shown: Vec<(Label, u64)> =
            plane.order().into_iter().map(|n| (plane.label(n), plane.hits[n as usize])).collect();
        let counted =
            self.labels.iter().map(|label| (*label, self.hits.get(label).copied().unwrap_or_default()));
        assert!(shown.into_iter().eq(counted));
    }
}

/// Lines that give way to others.
#[derive(Clone, Debug)]
struct Edit {
    /// Of the list, once around.
    place: usize,
    gone: usize,
    come: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Step {
    Reload(Vec<Edit>),
    /// All lines get other sequence numbers; one comes in front.
    Renumber,
    StartFold,
    FinishFold,
    /// The data plane is another one, which holds nothing.
    Reconnect,
}

fn rule() -> impl Strategy<Value = Rule> {
    // Few addresses, so that rules overlap.
    let prefix = || (0_u32..4, prop_oneof![Just(0_u8), 24_u8..=32]);
    let action =
        prop_oneof![Just(Action::Bypass), Just(Action::Discard), (0_u32..9).prop_map(Action::Protect)];
    (prefix(), prefix(), any::<bool>(), 0_u16..4, action).prop_map(|(from, to, tcp, port, action)| {
        let prefix = |(low, len)| Prefix::new(Ipv4Addr::from_bits(0x0A00_0000 | low).into(), len).unwrap();
        let protocol = if tcp { Protocol::TCP } else { Protocol::Any };
        let ports = if tcp { PortRange::new(port, port + 1).unwrap() } else { PortRange::ANY };
        let selector = Selector::new(prefix(from), prefix(to), protocol, PortRange::ANY, ports).unwrap();
        Rule::new(selector, action)
    })
}

/// A rule that hardly any packet gets to.
fn filler(number: u32) -> Rule {
    let host = Prefix::from(std::net::IpAddr::from(Ipv4Addr::from_bits(0x0B00_0000 | number)));
    Rule::new(Selector::between(host, host).unwrap(), Action::Bypass)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edit = (any::<usize>(), 0..30_usize, prop::collection::vec(rule(), 0..30))
        .prop_map(|(place, gone, come)| Edit { place, gone, come });
    let step = prop_oneof![
        1 => Just(Step::Renumber),
        6 => prop::collection::vec(edit, 0..6).prop_map(Step::Reload),
        2 => Just(Step::StartFold),
        3 => Just(Step::FinishFold),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..12)
}

fn keys() -> impl Strategy<Value = Vec<KeyV4>> {
    let key = (0_u32..4, 0_u32..4, 0_u16..6, any::<bool>()).prop_map(|(from, to, port, tcp)| KeyV4 {
        source: 0x0A00_0000 | from,
        destination: 0x0A00_0000 | to,
        source_port: 1,
        destination_port: port,
        protocol: if tcp { 6 } else { 1 },
        has_ports: tcp,
        ..KeyV4::default()
    });
    prop::collection::vec(key, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// At every step the data plane has exactly the list that the configuration has, and has counted for each line what met
    /// it since it was written.
    #[test]
    fn the_data_plane_has_the_list_at_every_step(
        first in prop::collection::vec(rule(), 0..40), steps in steps(), keys in keys(),
    ) {
        let port = PortId::new(PORT).unwrap();
        let long = first.into_iter().chain((0..LONG as u32 + 100).map(filler));
        let mut reference = Reference::new(long.collect());
        let mut plane = Plane::start();
        let mut policies = Policies::default();
        let (compiler, compiled) = mpsc::channel();
        let mut folding = false;
        let reload = |policies: &mut Policies, plane: &mut Plane, reference: &Reference| {
            let next = policies.prepare(vec![(port, reference.list())]).unwrap();
            plane.take(&next[0]);
            policies.settle(next);
        };
        reload(&mut policies, &mut plane, &reference);
        reference.meet(&mut plane, &keys);
        for step in steps {
            match step {
                Step::Reload(edits) => {
                    edits.iter().for_each(|edit| reference.edit(edit));
                    reload(&mut policies, &mut plane, &reference);
                }
                Step::Renumber => {
                    reference.insert(0, filler((1 << 21) + reference.written as u32));
                    reference.renumber();
                    reload(&mut policies, &mut plane, &reference);
                }
                Step::StartFold => {
                    if let Some(fold) = policies.fold() {
                        let compiler = compiler.clone();
                        fold.start(move |folded| compiler.send(folded).unwrap()).unwrap();
                        folding = true;
                    }
                }
                Step::FinishFold if folding => {
                    folding = false;
                    let folded = compiled.recv_timeout(Duration::from_secs(30)).unwrap();
                    if let Some(next) = policies.folded(folded).unwrap() {
                        plane.take(&next);
                        policies.settle_one(next);
                    }
                }
                Step::FinishFold => {}
                Step::Reconnect => {
                    plane = Plane::start();
                    reference.hits.clear();
                    policies.forget();
                    reload(&mut policies, &mut plane, &reference);
                }
            }
            reference.meet(&mut plane, &keys);
        }
    }

    /// What the hunks take out of the old list and put in makes the new one.
    #[test]
    fn hunks_make_the_new_list_of_the_old(
        // So few rules that the same ones come again and again.
        old in prop::collection::vec(0_u32..12, 0..200), new in prop::collection::vec(0_u32..12, 0..200), same in 0..200_usize,
    ) {
        let of = |numbers: &[u32]| {
            let label = |number: &u32| Label::new(&number.to_string()).unwrap();
            let labels = numbers.iter().map(label).collect();
            let rules = numbers.iter().copied().map(filler).collect();
            List { map: config::Name::new("VPN").unwrap(), rules, labels }
        };
        let new: Vec<u32> = old.iter().copied().take(same).chain(new).chain(old.iter().copied().skip(same)).collect();
        let (old_list, new_list) = (of(&old), of(&new));
        let hunks = hunks_of(&old_list, &new_list, By::Line, MOST_CHANGES).unwrap();
        let mut made = old.clone();
        for hunk in hunks.iter().rev() {
            made.splice(hunk.old.clone(), new[hunk.new.clone()].iter().copied());
        }
        prop_assert_eq!(made, new);
        let lines: usize = hunks.iter().map(|hunk| hunk.old.len() + hunk.new.len()).sum();
        if lines > 0 {
            prop_assert_eq!(hunks_of(&old_list, &new_list, By::Line, lines - 1), None);
        }
    }
}

/// A change beyond what look-ups should bear is compiled with the rest, and counts go with their lines all the same.
#[test]
fn a_change_too_large_is_compiled_as_a_whole() {
    let mut reference = Reference::new((0..LONG as u32 * 20).map(filler).collect());
    let mut plane = Plane::start();
    let mut policies = Policies::default();
    let port = PortId::new(PORT).unwrap();
    let key = KeyV4 { source: 0x0B00_0007, destination: 0x0B00_0007, protocol: 1, ..KeyV4::default() };
    for round in 0..2 {
        let next = policies.prepare(vec![(port, reference.list())]).unwrap();
        assert!(next[0].base.is_some() && next[0].change.is_none(), "round {round}");
        plane.take(&next[0]);
        policies.settle(next);
        reference.meet(&mut plane, &[key; 5]);
        let come = (0..MOST_CHANGES as u32).map(|number| filler(number + (1 << 20))).collect();
        reference.edit(&Edit { place: 0, gone: 5, come });
    }
    assert!(policies.fold().is_none(), "there is nothing to fold");
}
