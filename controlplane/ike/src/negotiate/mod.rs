//! Agreeing on algorithms and selectors, and saying why it came to nothing.

mod choose;
mod explain;
mod explain_text;
mod proposal;

pub(crate) use choose::{accept, choose, esp_suite, ike_suite};
pub use explain::{Cause, Difference, Explanation, Field, Offer, Offered, Refusal, SelectorOffer, Stage};
pub use proposal::{EspProposal, IkeProposal};
pub(crate) use proposal::{esp_offer, ike_offer, without_groups};
