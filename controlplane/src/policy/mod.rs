//! The crypto maps of ports, from lists of rules to what the data plane looks packets up in.
//!
//! A long list is compiled once, to a base. When some of its rules change, they are found by comparing the [lists](list)
//! ([`diff`]), and compiled alone, to a change that lies over the base ([`published`]): in a few milliseconds, whatever
//! the length of the list. Meanwhile the list is compiled anew in the background ([`fold`]), and then the new base takes
//! the place of the old one and of the change; what changed in between becomes a change of the new base. At every moment the
//! data plane holds exactly one ordered list, the newest that it acknowledged.
//!
//! A rule has a number as long as its base is in use, and its hit counter stands under that number. With a new base all
//! numbers move; its segment says of each rule what number it had, so that its counts go with it. A rule is the same if its
//! label (access list and sequence number), what it matches and what it does are: a line that is written anew
//! begins at zero, as on IOS. Where a line that comes moves the sequence numbers of many behind it, they are known by what
//! they match and do, and the change says their new labels. The data plane does the sums: see `manager::policies` there.

pub mod diff;
pub mod fold;
pub mod list;
pub mod offer;
pub mod published;

#[cfg(test)]
mod tests;

pub use fold::{Fold, Folded};
pub use list::List;
pub use offer::{Next, Policies, PolicyError};
pub use published::{Base, Published};
