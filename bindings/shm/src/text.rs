//! Short texts of bounded length, as they stand in fixed fields of messages and segments.

use std::fmt;
use std::hash::{Hash, Hasher};

/// UTF-8 text of at most `N` bytes without control characters, zero-padded in memory. `N` is at most 255.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

/// A rule's label, such as `100:10`: access list 100, entry 10.
pub type Label = Text<{ crate::layout::LABEL_BYTES }>;
/// Name of a Linux interface.
pub type PortName = Text<{ crate::layout::NAME_BYTES }>;
/// DPDK device string with its arguments, such as `net_af_packet0,iface=wan` or `0000:01:00.0`.
pub type Device = Text<{ crate::layout::DEVICE_BYTES }>;

/// A text does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text must be UTF-8 of at most {max} bytes without control characters")]
pub struct TextError {
    /// The most bytes that the field holds.
    pub max: usize,
}

impl<const N: usize> Text<N> {
    /// No text at all.
    pub const EMPTY: Text<N> = Text { bytes: [0; N], len: 0 };

    /// Copies a text; too long or with control characters is an error.
    pub fn new(text: &str) -> Result<Text<N>, TextError> {
        let mut bytes = [0; N];
        let room = bytes.get_mut(..text.len()).ok_or(TextError { max: N })?;
        room.copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).map_err(|_| TextError { max: N })?;
        if text.chars().any(char::is_control) {
            return Err(TextError { max: N });
        }
        Ok(Text { bytes, len })
    }

    /// As much of a text as fits, control characters replaced by `?`.
    pub fn lossy(text: &str) -> Text<N> {
        let mut clean = String::with_capacity(N);
        for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
            if clean.len() + c.len_utf8() > N {
                break;
            }
            clean.push(c);
        }
        Text::new(&clean).unwrap_or(Text::EMPTY)
    }

    /// Reads a zero-padded field. What follows the first zero must be zero too.
    pub fn from_padded(field: &[u8; N]) -> Result<Text<N>, TextError> {
        let len = field.iter().position(|&b| b == 0).unwrap_or(N);
        let (text, rest) = field.split_at(len);
        if rest.iter().any(|&b| b != 0) {
            return Err(TextError { max: N });
        }
        Text::new(std::str::from_utf8(text).map_err(|_| TextError { max: N })?)
    }

    /// The zero-padded field.
    pub const fn padded(&self) -> &[u8; N] {
        &self.bytes
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(used).unwrap_or_default()
    }

    /// Whether there is no text.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Text<N> {
        Text::EMPTY
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Text<N>) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> Hash for Text<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> serde::Serialize for Text<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<const N: usize> std::str::FromStr for Text<N> {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Text<N>, TextError> {
        Text::new(text)
    }
}
