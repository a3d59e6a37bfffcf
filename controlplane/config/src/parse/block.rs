//! The blocks that have lines of their own, and what belongs into which.

use super::Mode;
use super::cursor::Cursor;
use crate::nearest::nearest;
use crate::source::{Fault, Word};

/// What has lines of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Interface,
    List,
    Set,
    Entry,
}

impl Block {
    pub(super) fn of(mode: &Mode) -> Option<Block> {
        match mode {
            Mode::Interface(_) => Some(Block::Interface),
            Mode::List(_) => Some(Block::List),
            Mode::Set(_) => Some(Block::Set),
            Mode::Entry(..) => Some(Block::Entry),
            // Their words are partly those of other blocks; each says itself what it does not know.
            Mode::Template(..) | Mode::IpsecProfile(_) | Mode::Proposal(_) | Mode::Policy(_) => None,
            Mode::Keyring(_) | Mode::OldKeyring(_) | Mode::Profile(_) | Mode::Trustpoint(_) => None,
            Mode::Top | Mode::Refused { .. } => None,
        }
    }

    pub(super) fn keyword(self) -> &'static str {
        match self {
            Block::Interface => "interface",
            Block::List => "access-list",
            Block::Set => "transform-set",
            Block::Entry => "crypto map",
        }
    }

    /// The line that opens it.
    pub(super) fn opener(self) -> &'static str {
        match self {
            Block::Interface => "interface NAME",
            Block::List => "ip access-list extended NAME",
            Block::Set => "crypto ipsec transform-set NAME esp-gcm 256",
            Block::Entry => "crypto map NAME SEQUENCE ipsec-isakmp",
        }
    }
}

/// Where a line belongs that says nothing by itself.
pub(super) fn home(cursor: &Cursor<'_, '_>) -> Option<Block> {
    const HOMES: [(&str, Block); 13] = [
        ("device", Block::Interface),
        ("linux-name", Block::Interface),
        ("mac-address", Block::Interface),
        ("shutdown", Block::Interface),
        ("mtu", Block::Interface),
        ("permit", Block::List),
        ("deny", Block::List),
        ("remark", Block::List),
        ("sequence", Block::List),
        ("set", Block::Entry),
        ("match", Block::Entry),
        ("mode", Block::Set),
        ("esn", Block::Set),
    ];
    let (first, second) = (cursor.peek()?, cursor.peek_second());
    let family = first.is("ip") || first.is("ipv6");
    if family && second.is_some_and(|second| second.is("address") || second.is("mtu") || second.is("tcp")) {
        return Some(Block::Interface);
    }
    HOMES.iter().find(|(keyword, _)| first.is(keyword)).map(|(_, block)| *block)
}

/// Whether a line was probably meant to open a block.
pub(super) fn is_nearly_a_block(cursor: &Cursor<'_, '_>) -> bool {
    let is_nearly = |word: &Word<'_>, meant: &str| !word.is(meant) && nearest(word.text, [meant]).is_some();
    let (Some(first), Some(second)) = (cursor.peek(), cursor.peek_second()) else { return false };
    let list = (first.is("ip") || first.is("ipv6")) && is_nearly(second, "access-list");
    let words = ["ipsec", "map", "ikev2", "dynamic-map", "keyring"];
    let known = words.iter().any(|word| second.is(word));
    let crypto = first.is("crypto") && !known && words.iter().any(|word| is_nearly(second, word));
    is_nearly(first, "interface") || list || (is_nearly(first, "crypto") || crypto) && cursor.left() > 3
}

/// The fault of a line of another block.
pub(super) fn misplaced(word: &Word<'_>, open: Block, home: Block) -> Fault {
    let fault = Fault::new(word.at, format!("{} is no command under `{}`", word.quoted(), open.keyword()));
    fault.help(format!("it belongs under `{}`", home.opener()))
}
