//! What follows `security-association tfc-padding` and `security-association dummy`.

use super::cursor::{Cursor, Found};
use crate::TfcSettings;
use crate::source::Fault;
use model::{Dummies, TfcPadding};

/// `BYTES`, `mtu` or `disable`.
pub(super) fn padding(cursor: &mut Cursor<'_, '_>) -> Result<Found<TfcPadding>, Fault> {
    for (keyword, value) in [("mtu", TfcPadding::Mtu), ("disable", TfcPadding::None)] {
        if let Some(word) = cursor.peek().filter(|word| word.is(keyword)) {
            cursor.accept(keyword);
            return Ok(Found { value, at: word.at });
        }
    }
    let bytes = TfcSettings::LEAST_PADDED..=TfcSettings::MOST_PADDED;
    let found = cursor.number("the length that packets are padded to in bytes", bytes);
    let found =
        found.map_err(|fault| fault.help("write `mtu`, and packets are as long as the path takes"))?;
    Ok(Found { value: TfcPadding::UpTo(found.value as u16), at: found.at })
}

/// `pps RATE`, `seconds SECONDS` or `disable`.
pub(super) fn dummies(cursor: &mut Cursor<'_, '_>) -> Result<Found<Dummies>, Fault> {
    let word = cursor.one_of(&["pps", "seconds", "disable"])?;
    let (value, at) = match word.value {
        "pps" => {
            let rate = cursor.number("dummies a second", 1..=TfcSettings::MOST_A_SECOND)?;
            (Dummies::PerSecond(rate.value as u8), rate.at)
        }
        "seconds" => {
            let seconds = cursor.number("seconds between two dummies", 1..=TfcSettings::MOST_SECONDS)?;
            (Dummies::Seconds(seconds.value as u16), seconds.at)
        }
        _ => (Dummies::None, word.at),
    };
    Ok(Found { value, at: word.at.to(at) })
}
