//! Access lists: ordered rules, first match wins, compiled to one flat image and looked up a burst at a time.
//!
//! Pure. It knows selectors and actions, but no crypto map, no port and no packet: keys come ready-made. The control plane
//! compiles, the data plane [verifies](Classifier::verify) the bytes once and looks up; what was verified cannot be made
//! to read out of bounds or to loop by any key. [`Linear`] is the slow twin.
//!
//! The kernels of the look-up are `unsafe` where they use vectors; that is in `lookup::simd` alone.
#![deny(unsafe_code)]

mod block;
mod classifier;
mod compile;
mod delta;
mod key;
mod layout;
mod linear;
mod lookup;
mod shape;
mod verify;

#[cfg(test)]
mod tests;

pub use classifier::Classifier;
pub use compile::{CompileError, Image, Limits, compile};
pub use delta::{Changed, Delta, DeltaError, Overlay};
pub use key::{KeyV4, KeyV6};
pub use linear::Linear;
pub use lookup::BackEnd;
pub use shape::TreeShape;
pub use verify::VerifyError;

use model::{Marks, Selector};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It goes on as it is.
    Bypass,
    /// It is dropped.
    Discard,
    /// It is protected, by the SA that serves this policy entry.
    Protect(u32),
}

/// How far into a packet rules look: what must be known of it before they say what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// Source and destination address.
    Addresses,
    /// The next-layer protocol, too.
    Protocol,
    /// And its ports, and TCP's flags.
    Ports,
}

/// One rule of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Which packets.
    pub selector: Selector,
    /// Of these, only those with such flags and traffic class.
    pub marks: Marks,
    /// What becomes of them.
    pub action: Action,
}

impl Rule {
    /// A rule that asks for no marks.
    pub const fn new(selector: Selector, action: Action) -> Rule {
        Rule { selector, marks: Marks::ANY, action }
    }
}

/// The outcome of one look-up.
// Words as an image has them, so that whoever fills in a verdict need not ask which action it is: every third packet would
// be guessed wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    rule: u32,
    action: [u32; 2],
}

impl Verdict {
    /// No rule matched.
    pub const NONE: Verdict = Verdict { rule: layout::NONE, action: layout::action::NO_RULE };

    #[inline(always)]
    pub(crate) const fn new(rule: u32, action: [u32; 2]) -> Verdict {
        Verdict { rule, action }
    }

    /// The place of the rule that matched in the list that was compiled.
    #[inline]
    pub const fn rule(self) -> Option<u32> {
        match self.action() {
            Some(_) => Some(self.rule),
            None => None,
        }
    }

    /// What that rule says.
    #[inline]
    pub const fn action(self) -> Option<Action> {
        layout::action::read(self.action)
    }
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let both = self.rule().zip(self.action());
        f.debug_tuple("Verdict").field(&both).finish()
    }
}
