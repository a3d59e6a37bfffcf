//! Traffic flow confidentiality: hiding from whoever watches an SA how long its packets are, and when there are any
//! (RFC 4303, sections 2.6 and 2.7).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Both means, of one outbound SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tfc {
    /// How long packets are made.
    pub padding: TfcPadding,
    /// How often a packet is sent that says nothing.
    pub dummies: Dummies,
}

impl Tfc {
    /// Nothing is hidden.
    pub const NONE: Tfc = Tfc { padding: TfcPadding::None, dummies: Dummies::None };

    /// For a peer that could not tell padding from the rest, or said that it takes none (RFC 7296, section 3.10.1). Dummies
    /// every peer throws away (RFC 4303, section 2.6).
    #[must_use]
    pub fn without_padding(self) -> Tfc {
        Tfc { padding: TfcPadding::None, ..self }
    }
}

/// TFC padding, behind the inner packet, whose own length tells the peer where it ends. Only tunnel mode has it: in
/// transport mode there is no such length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TfcPadding {
    /// None.
    #[default]
    None,
    /// Inner packet and padding have at least so many bytes, as far as the SA's path takes them.
    UpTo(u16),
    /// Every packet is as long as the SA's path takes.
    Mtu,
}

/// Dummy packets, which the peer throws away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dummies {
    /// None.
    #[default]
    None,
    /// So many a second, at least 1.
    PerSecond(u8),
    /// One in so many seconds, at least 1.
    Seconds(u16),
}

impl Dummies {
    /// The time from one to the next, on average; `None` if there are none.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Dummies::None | Dummies::PerSecond(0) | Dummies::Seconds(0) => None,
            Dummies::PerSecond(rate) => Some(Duration::from_secs(1) / u32::from(rate)),
            Dummies::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dummies_come_as_often_as_is_said() {
        assert_eq!(Dummies::PerSecond(25).interval(), Some(Duration::from_millis(40)));
        assert_eq!(Dummies::Seconds(3600).interval(), Some(Duration::from_secs(3600)));
        assert_eq!(Tfc::default(), Tfc::NONE);
        let both = Tfc { padding: TfcPadding::Mtu, dummies: Dummies::PerSecond(25) };
        assert_eq!(both.without_padding(), Tfc { dummies: Dummies::PerSecond(25), ..Tfc::NONE });
        assert!(
            [Dummies::None, Dummies::PerSecond(0), Dummies::Seconds(0)]
                .iter()
                .all(|d| d.interval().is_none())
        );
    }
}
