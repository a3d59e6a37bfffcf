//! Traffic flow confidentiality: `crypto ipsec security-association dummy` and `tfc-padding`, and `set security-association`
//! of an entry.
//!
//! `dummy` is of IOS XE. `tfc-padding` is named after it, as IOS has no padding; ASA's `tfc-packets` and strongSwan's
//! `tfc_padding` mean the same.

use model::{Dummies, Tfc, TfcPadding};
use serde::Serialize;

/// As far as they are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TfcSettings {
    /// `tfc-padding`; `Some(TfcPadding::None)` is `disable`.
    pub padding: Option<TfcPadding>,
    /// `dummy`; `Some(Dummies::None)` is `disable`.
    pub dummies: Option<Dummies>,
}

impl TfcSettings {
    /// The shortest padded packet that can be asked for, in bytes.
    pub const LEAST_PADDED: u32 = 64;
    /// The longest.
    pub const MOST_PADDED: u32 = 9600;
    /// The most dummies a second, as on IOS XE.
    pub const MOST_A_SECOND: u32 = 25;
    /// The longest time between two, in seconds, as on IOS XE.
    pub const MOST_SECONDS: u32 = 3600;

    /// What comes of this, and where it says nothing, of the other.
    pub fn or(self, other: TfcSettings) -> Tfc {
        Tfc {
            padding: self.padding.or(other.padding).unwrap_or_default(),
            dummies: self.dummies.or(other.dummies).unwrap_or_default(),
        }
    }
}
