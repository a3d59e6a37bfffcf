//! Published snapshots: one side publishes immutable values, many readers look at the newest one without a lock.
//!
//! An old value is dropped only when no reader can hold it, and never by a reader: what is no longer reachable is
//! put on a list that [`Published::collect`] frees. So a packet worker pays one pin per burst and never the price of
//! tearing down a table. It knows of no packet, no table and no other crate of this project.
//!
//! ```
//! let published = epoch::Published::new(1);
//! let reader = published.reader();
//! let pinned = reader.pin();
//! published.publish(2);
//! assert_eq!(*pinned, 1); // what was pinned stays
//! drop(pinned);
//! assert_eq!(*reader.pin(), 2);
//! assert_eq!(published.collect(), 0);
//! ```

#[cfg(all(test, loom))]
mod loom_tests;
mod published;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;

pub use published::{Pinned, Published, Reader};
