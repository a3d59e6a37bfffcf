//! The manager: the one thread that changes anything. It takes the control plane's transactions, does them or none of
//! them, shows the outcome to the workers as a new snapshot, and tells the control plane what the workers raise.

mod crypto;
mod desired;
mod entries;
mod limits;
mod overlay;
mod path_mtu;
mod policies;
mod ports;
mod realise;
mod routes;
mod sas;
mod serve;
mod workers;

pub(crate) use crypto::Crypto;
pub(crate) use desired::Capacity;
pub(crate) use serve::Manager;
