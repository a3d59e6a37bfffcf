//! Names that operators give: of access lists, crypto maps, transform sets and interfaces.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One printable ASCII word of 1 to 64 bytes, without `?` (IOS takes it for a call for help), not beginning with `!`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character, or more than [`Name::MAX`] bytes.
    #[error("a name has 1 to {} characters", Name::MAX)]
    Length,
    /// A character that a name may not have.
    #[error("a name is of printable ASCII characters without spaces and `?`, and does not begin with `!`")]
    Character,
}

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// Checks the text.
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() || text.len() > Name::MAX {
            return Err(NameError::Length);
        }
        if text.starts_with('!') || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'?') {
            return Err(NameError::Character);
        }
        Ok(Name(text.to_owned()))
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Name, NameError> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_names() {
        assert_eq!(Name::new("100").unwrap().as_str(), "100");
        assert_eq!(Name::new(""), Err(NameError::Length));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::Length));
        for bad in ["a b", "a?", "!a", "\u{e9}", "a\u{7}"] {
            assert_eq!(Name::new(bad), Err(NameError::Character), "{bad}");
        }
    }
}
