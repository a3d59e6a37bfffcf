//! The configuration language: IOS-style text to a checked model with diagnostics, and model to text.
//!
//! It knows the vocabulary of IOS and the words of crate `model`; it may not know files, sockets, the data plane, or what
//! anybody does with a [`Config`]. Pure: text in, values out.
//!
//! - [`parse`] reads a whole text and finds all errors in one pass. A [`Config`] comes from nowhere else, so whoever
//!   holds one need not check again that a name leads somewhere, that a key fits its suite, or that no key is used twice.
//! - [`render`] prints diagnostics for people; serde makes them JSON. Neither ever shows a secret.
//! - [`Config::to_text`] writes a configuration that reads back as the same model.
//! - [`policy`] flattens the crypto map of an interface into one list of which the first match wins; [`Config::tunnels`]
//!   resolves crypto map entries with manual keys into what an SA pair needs, [`Config::negotiated`] the others into what IKE
//!   needs.
#![forbid(unsafe_code)]

mod access_list;
mod check;
mod crypto;
mod diagnostic;
mod ikev2;
mod interface;
mod marks;
mod name;
mod nearest;
mod parse;
mod policy;
mod root;
mod route;
mod secret;
mod source;
mod tfc;
mod write;

pub use access_list::{AccessList, Family, PortMatch, Rule, Verb};
pub use crypto::{
    CryptoMap, DynamicMap, Entry, EntryKey, IpsecProfile, Keying, ManualKeys, Negotiation, ReplayWindow,
    SaLifetime, SessionKey, TransformSet,
};
pub use diagnostic::{Diagnostic, Place, Severity, Span, render};
pub use ikev2::{
    DhGroup, IdentityRule, IkeCipher, IkeIdentity, IkePolicy, IkeProfile, IkeProposal, Keyring, KeyringPeer,
    Proof, SharedKey, Trustpoint,
};
pub use interface::{Interface, MacAddress};
pub use marks::{ClassMatch, FlagMatch};
pub use name::{Name, NameError};
pub use parse::parse;
pub use policy::{MAX_POLICY_RULES, PolicyAction, PolicyError, PolicyRule, policy, policy_with};
pub use root::{Config, Negotiated, Tunnel};
pub use route::{StaticRoute, Target};
pub use tfc::TfcSettings;
pub use write::Secrets;
