//! The contract between the data plane and the control plane: memory segments, rings, messages, SA state, counters.
//!
//! All that the two processes share is here, and nothing else is shared. It knows of no NIC, no packet, no policy's
//! meaning and no configuration. Whoever reads a segment trusts no index, length or enum in it: hostile contents are
//! a typed error, never a panic, an endless loop or a read out of bounds.
//!
//! - The data plane: [`Server`], and what its workers write, [`SaTable`], [`Counters`], [`Hits`].
//! - The control plane: [`Control`], which sends [`Command`]s and [`PolicySegment`]s and gets [`Event`]s.
//! - Those who only look: [`Observer`], [`SaTableView`], [`CountersView`], [`PolicyView`]; and [`Usage`], of the process's memory.
//!
//! Built with `--cfg loom` it is the lock-free pieces alone, for the model checker.
#![cfg_attr(loom, allow(dead_code, missing_docs, unreachable_pub, rustdoc::broken_intra_doc_links))]

#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod codec;
#[cfg(not(loom))]
mod command;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod event;
mod guarded;
#[cfg(not(loom))]
mod hello;
#[cfg(not(loom))]
mod histogram;
#[cfg(not(loom))]
mod hits;
#[cfg(not(loom))]
pub mod layout;
#[cfg(not(loom))]
mod listener;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod named;
#[cfg(not(loom))]
mod observer;
#[cfg(not(loom))]
mod policy;
mod ring;
#[cfg(not(loom))]
mod rings;
#[cfg(not(loom))]
mod sa;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod snapshot;
#[cfg(not(loom))]
mod socket;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(not(loom))]
mod text;
#[cfg(not(loom))]
mod transaction;
#[cfg(not(loom))]
mod usage;
#[cfg(not(loom))]
mod windows;
#[cfg(not(loom))]
mod words;

#[cfg(not(loom))]
pub use {
    client::{Control, LinkError, SubmitError, WaitError},
    codec::{Field, Malformed, Slot},
    command::{AttachPort, Command, Envelope, InstallSa, Limits, MacAddress, NextHop, PortId, PortIp},
    counters::{
        Counter, Counters, CountersView, Description, PortCounters, PortStatus, StageCounters, WorkerCounters,
    },
    event::{Ack, Event, Failure, Flow, Reason},
    hello::{ConnectError, Refusal},
    histogram::{Histogram, HistogramSnapshot},
    hits::Hits,
    layout::MAX_PORTS,
    observer::{Observer, PolicyView},
    policy::{PolicyImage, PolicySegment},
    sa::{
        SaCounters, SaCounts, SaDescriptor, SaSlot, SaStatus, SaTable, SaTableError, SaTableView,
        SharedCounter, window_words,
    },
    segment::SegmentError,
    server::{BindError, Detached, PolicyInUse, Request, ServeError, Server, Setup},
    snapshot::{CountersSnapshot, PortTraffic, StageSnapshot, WorkerSnapshot},
    text::{Device, Label, PortName, Text, TextError},
    transaction::Transaction,
    usage::{Place, Taken, Usage},
    words::{DropReason, Stage},
};
