//! From single commands to transactions: nothing is looked at before the commit is there.

use crate::codec::Slot;
use crate::command::Command;
use crate::event::{Failure, Reason};
use crate::layout::MAX_TRANSACTION;

/// Commands to be applied all together or not at all. To be answered by an acknowledgement of `commit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The number of its last command, by which it is acknowledged.
    pub commit: u64,
    /// Afterwards the state is exactly what the commands list; what they do not list is removed.
    pub replace: bool,
    /// The commands with their numbers.
    pub commands: Vec<(u64, Command)>,
}

/// What a commit brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// To be applied.
    Transaction(Transaction),
    /// Refused already, as a command of it was malformed or there were too many.
    Refused { commit: u64, failure: Failure },
}

/// Commands are numbered one by one; this one was not. What came before it cannot be trusted either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// Collects the commands of one control plane.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// Number of the last command.
    last: u64,
    staged: Vec<(u64, Command)>,
    /// The first thing that was wrong since the last commit.
    failure: Option<Failure>,
}

impl Assembler {
    /// Takes the next command as it stood in the ring.
    pub(crate) fn feed(&mut self, slot: &Slot) -> Result<Option<Complete>, OutOfOrder> {
        let (number, commits) = Command::peek(slot);
        if number != self.last.wrapping_add(1) {
            return Err(OutOfOrder);
        }
        self.last = number;
        let mut replace = false;
        match Command::decode(slot) {
            Ok((envelope, command)) => {
                replace = envelope.replace;
                if self.staged.len() >= MAX_TRANSACTION {
                    self.fail(number, Reason::TransactionTooLong, MAX_TRANSACTION as u64);
                } else if self.failure.is_none() {
                    self.staged.push((number, command));
                }
            }
            Err(malformed) => self.fail(number, Reason::Malformed, malformed.0 as u64),
        }
        if !commits {
            return Ok(None);
        }
        let commands = std::mem::take(&mut self.staged);
        Ok(Some(match self.failure.take() {
            None => Complete::Transaction(Transaction { commit: number, replace, commands }),
            Some(failure) => Complete::Refused { commit: number, failure },
        }))
    }

    fn fail(&mut self, number: u64, reason: Reason, detail: u64) {
        if self.failure.is_none() {
            self.failure = Some(Failure { number, reason, detail });
            // It will not be applied: let go of the memory, and of keys.
            self.staged = Vec::new();
        }
    }
}
