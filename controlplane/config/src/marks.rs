//! What a line of an access list asks for beside addresses, protocol and ports: TCP flags and the traffic class.

use model::Marks;
use serde::Serialize;
use std::fmt;

/// TCP flags by the names that IOS has for them, the first in the lowest bit (RFC 9293, section 3.1).
pub(crate) const FLAGS: [&str; 6] = ["fin", "syn", "rst", "psh", "ack", "urg"];
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

/// TCP flags as an access list writes them. Flags are bits as in the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagMatch {
    /// Nothing written.
    #[default]
    Any,
    /// `established`: ACK or RST is set.
    Established,
    /// `match-all`: these are set and those are not; no flag is both.
    All {
        /// Written with a `+`.
        set: u8,
        /// Written with a `-`.
        clear: u8,
    },
    /// `match-any`, or flags alone: one of these is set, or one of those is not; no flag is both.
    AnyOf {
        /// Written with a `+`.
        set: u8,
        /// Written with a `-`.
        clear: u8,
    },
}

impl FlagMatch {
    /// The same as marks, of which no packet has two.
    pub fn marks(self) -> Vec<Marks> {
        let (set, clear) = match self {
            FlagMatch::Any => return vec![Marks::ANY],
            FlagMatch::All { set, clear } => return Marks::flags(set, clear).into_iter().collect(),
            FlagMatch::Established => (ACK | RST, 0),
            FlagMatch::AnyOf { set, clear } => (set, clear),
        };
        // The first flag that is as it should be; those before it are not.
        let asked = (0..FLAGS.len()).map(|flag| 1_u8 << flag).filter(|flag| (set | clear) & flag != 0);
        let marks = asked.filter_map(|flag| {
            let before = flag - 1;
            Marks::flags(set & flag | clear & before, clear & flag | set & before)
        });
        marks.collect()
    }
}

impl fmt::Display for FlagMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (how, set, clear) = match *self {
            FlagMatch::Any => return Ok(()),
            FlagMatch::Established => return f.write_str(" established"),
            FlagMatch::All { set, clear } => ("match-all", set, clear),
            FlagMatch::AnyOf { set, clear } => ("match-any", set, clear),
        };
        write!(f, " {how}")?;
        for (place, name) in FLAGS.iter().enumerate() {
            match (set >> place & 1, clear >> place & 1) {
                (1, _) => write!(f, " +{name}")?,
                (_, 1) => write!(f, " -{name}")?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The traffic class as an access list writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassMatch {
    /// Nothing written.
    #[default]
    Any,
    /// `dscp`: its upper six bits (RFC 2474).
    Dscp(u8),
    /// `precedence`: its upper three bits (RFC 791).
    Precedence(u8),
    /// `tos`: the four bits behind these (RFC 1349).
    Tos(u8),
}

/// Names of code points (RFC 2474, 2597, 3246).
pub(crate) const DSCP: [(&str, u8); 21] = [
    ("default", 0),
    ("cs1", 8),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("cs2", 16),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("cs3", 24),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("cs4", 32),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("cs5", 40),
    ("ef", 46),
    ("cs6", 48),
    ("cs7", 56),
];

/// Names of precedences (RFC 791, section 3.1).
pub(crate) const PRECEDENCES: [(&str, u8); 8] = [
    ("routine", 0),
    ("priority", 1),
    ("immediate", 2),
    ("flash", 3),
    ("flash-override", 4),
    ("critical", 5),
    ("internet", 6),
    ("network", 7),
];

/// Names of types of service (RFC 1349, section 4).
pub(crate) const TOS: [(&str, u8); 5] = [
    ("normal", 0),
    ("min-monetary-cost", 1),
    ("max-reliability", 2),
    ("max-throughput", 4),
    ("min-delay", 8),
];

impl ClassMatch {
    /// The same as marks.
    pub const fn marks(self) -> Marks {
        match self {
            ClassMatch::Any => Marks::ANY,
            ClassMatch::Dscp(value) => Marks::class(value << 2, 0xFC),
            ClassMatch::Precedence(value) => Marks::class(value << 5, 0xE0),
            ClassMatch::Tos(value) => Marks::class(value << 1, 0x1E),
        }
    }
}

impl fmt::Display for ClassMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, value, names): (_, _, &[(&str, u8)]) = match *self {
            ClassMatch::Any => return Ok(()),
            ClassMatch::Dscp(value) => ("dscp", value, &DSCP),
            ClassMatch::Precedence(value) => ("precedence", value, &PRECEDENCES),
            ClassMatch::Tos(value) => ("tos", value, &TOS),
        };
        match names.iter().find(|(_, known)| *known == value) {
            Some((name, _)) => write!(f, " {what} {name}"),
            None => write!(f, " {what} {value}"),
        }
    }
}

/// A differentiated services code point, by its name if it has one.
pub(crate) struct CodePoint(pub(crate) u8);

impl fmt::Display for CodePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DSCP.iter().find(|(_, known)| *known == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TcpFlags;

    /// What a line says of any flags is what its marks say, and no two of them say it.
    #[test]
    fn flags_become_marks_that_are_apart() {
        let all = (0..64_u8).flat_map(|set| (0..64_u8).map(move |clear| (set, clear)));
        for (set, clear) in all.filter(|(set, clear)| set & clear == 0) {
            for flags in 0..64_u8 {
                let found = |how: FlagMatch| {
                    how.marks().iter().filter(|marks| marks.contains(TcpFlags::seen(flags), 0)).count()
                };
                let every = flags & set == set && flags & clear == 0;
                assert_eq!(found(FlagMatch::All { set, clear }), usize::from(every));
                let some = flags & set != 0 || !flags & clear != 0;
                assert_eq!(found(FlagMatch::AnyOf { set, clear }), usize::from(some));
            }
        }
        let established = |flags| FlagMatch::Established.marks().iter().any(|m| m.contains(flags, 0));
        assert!(established(TcpFlags::seen(ACK)) && established(TcpFlags::seen(RST | 1)));
        assert!(!established(TcpFlags::seen(2)) && !established(TcpFlags::UNSEEN));
    }

    #[test]
    fn classes_are_the_bits_that_they_should_be() {
        let marks = |class: ClassMatch| (class.marks().value() >> 8, class.marks().mask() >> 8);
        assert_eq!(marks(ClassMatch::Dscp(46)), (0xB8, 0xFC));
        assert_eq!(marks(ClassMatch::Precedence(5)), (0xA0, 0xE0));
        assert_eq!(marks(ClassMatch::Tos(8)), (0x10, 0x1E));
    }
}
