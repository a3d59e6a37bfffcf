//! The contract between the data plane and the control plane: memory segments, rings, messages, SA state, counters.
//!
//! All that the two processes share is here, and nothing else is shared. It knows of no NIC, no packet, no policy's
//! meaning and no configuration. Whoever reads a segment trusts no index, length or enum in it: hostile contents are
//! a typed error, never a panic, an endless loop or a read out of bounds.

mod codec;
mod command;
mod event;
pub mod layout;
mod named;
mod text;
mod words;

pub use codec::{Field, Malformed, Slot};
pub use command::{AttachPort, Command, Envelope, InstallSa, Limits, MacAddress, NextHop, PortId};
pub use event::{Ack, Event, Failure, Flow, Reason};
pub use text::{Device, Label, PortName, Text, TextError};
pub use words::{DropReason, Stage};
