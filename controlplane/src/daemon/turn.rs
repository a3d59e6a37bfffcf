//! What one turn of the event loop has the data plane do: all of it in one transaction, and then peers are told.
//!
//! A transaction costs the data plane a snapshot, whatever is in it, and us the wait for its acknowledgement. When many
//! tunnels come up at once, they share one. And as rules and SAs change together, no rule of a peer that is gone ever meets the
//! SA of another that has its number now.

use super::Daemon;
use crate::link::InstallError;
use crate::policy::Next;
use config::Name;
use ike::endpoint::ChildUp;
use shm::Command;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;

/// What is put off to the end of a turn.
#[derive(Default)]
pub(super) struct Turn {
    commands: Vec<Command>,
    steps: Vec<Step>,
    /// Crypto maps whose rules follow their peers.
    maps: BTreeSet<Name>,
    /// From, to and what: a peer hears that an SA stands when it does.
    datagrams: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

/// What came of one of the endpoint's outputs.
struct Step {
    /// Places in the commands.
    commands: Range<usize>,
    /// The pair that comes to stand by them.
    up: Option<Box<ChildUp>>,
}

impl Turn {
    /// Has the data plane do something, after all that was said before.
    pub(super) fn tell(&mut self, commands: Vec<Command>, up: Option<Box<ChildUp>>) {
        let start = self.commands.len();
        self.commands.extend(commands);
        self.steps.push(Step { commands: start..self.commands.len(), up });
    }

    /// Brings the rules of a crypto map to what peers of its dynamic entries have then.
    pub(super) fn follow(&mut self, map: Name) {
        self.maps.insert(map);
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.datagrams.push((from, to, bytes));
    }

    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.maps.is_empty() && self.datagrams.is_empty()
    }
}

impl Daemon {
    /// Does what the endpoint says, in its order, until it says nothing more.
    pub(super) fn negotiate(&mut self) {
        loop {
            let mut turn = Turn::default();
            while let Some(output) = self.ike.endpoint.poll() {
                self.carry_out(output, &mut turn);
            }
            if turn.is_empty() {
                return;
            }
            self.finish(turn);
        }
    }

    /// Does what was put off.
    pub(super) fn finish(&mut self, turn: Turn) {
        let Turn { commands, steps, maps, datagrams } = turn;
        let policies = self.followed(&maps);
        match self.try_tell(&commands, policies) {
            Ok(()) => steps.into_iter().filter_map(|step| step.up).for_each(|up| self.stands(&up)),
            // One of them is at fault: the others must not suffer for it.
            Err(_) => {
                for Step { commands: places, up } in steps {
                    let own = commands.get(places).unwrap_or_default();
                    match (self.try_tell(own, Vec::new()), up) {
                        (Ok(()), Some(up)) => self.stands(&up),
                        (Ok(()), None) => {}
                        (Err(why), Some(up)) => {
                            self.ike.children.forget(up.inbound.0);
                            self.refuse_child(up.inbound.0, &up.policy, &why);
                        }
                        (Err(why), None) => {
                            self.complain(format!("the data plane does not follow IKE: {why}"))
                        }
                    }
                }
                let policies = self.followed(&maps);
                if let Err(why) = self.try_tell(&[], policies) {
                    self.complain(format!("the data plane does not take a peer's rules: {why}"));
                }
            }
        }
        for (from, to, bytes) in datagrams {
            self.ike.sockets.send(from, to, &bytes);
        }
    }

    /// The policies of these crypto maps, with what peers of their dynamic entries have now.
    fn followed(&mut self, maps: &BTreeSet<Name>) -> Vec<Next> {
        if maps.is_empty() || self.link.is_none() || !self.installed {
            return Vec::new();
        }
        let lists = match self.plan.lists(&self.config, &self.ike.children) {
            Ok(lists) => lists.into_iter().filter(|(_, list)| maps.contains(&list.map)).collect(),
            Err(error) => {
                self.complain(error.to_string());
                return Vec::new();
            }
        };
        self.policies.prepare(lists).unwrap_or_else(|error| {
            self.complain(error.to_string());
            Vec::new()
        })
    }

    /// Has the data plane do something, at once.
    pub(super) fn tell(&mut self, commands: &[Command]) {
        if let Err(why) = self.try_tell(commands, Vec::new()) {
            self.complain(format!("the data plane does not follow IKE: {why}"));
        }
    }

    /// Has the data plane do something. While it is not there, that is for later: it is given the whole when it comes.
    fn try_tell(&mut self, commands: &[Command], policies: Vec<Next>) -> Result<(), String> {
        let is_nothing = commands.is_empty() && policies.is_empty();
        let (Some(link), true, false) = (self.link.as_mut(), self.installed, is_nothing) else {
            return Ok(());
        };
        match link.change(commands, &policies) {
            Ok(()) => {
                policies.into_iter().for_each(|next| self.policies.settle_one(next));
                Ok(())
            }
            Err(InstallError::Link(error)) => {
                self.lose(&error);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
