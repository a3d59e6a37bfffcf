//! The end of a rule: `established | match-all FLAGS | match-any FLAGS | FLAG...`, and `dscp | precedence | tos VALUE`.

use super::cursor::{Cursor, Found, parse_decimal, unexpected};
use crate::marks::{DSCP, FLAGS, PRECEDENCES, TOS};
use crate::source::{Fault, Word};
use crate::{ClassMatch, Family, FlagMatch};
use model::Protocol;

/// Reads what is there of them, in any order.
pub(super) fn read(
    cursor: &mut Cursor<'_, '_>,
    protocol: Protocol,
    family: Family,
) -> Result<(FlagMatch, ClassMatch), Fault> {
    let (mut flags, mut class) = (FlagMatch::Any, ClassMatch::Any);
    while let Some(word) = cursor.peek() {
        let asks_flags = ["established", "match-all", "match-any"].iter().any(|each| word.is(each))
            || plain(word).is_some();
        if asks_flags {
            if protocol != Protocol::TCP {
                let fault = Fault::new(word.at, format!("{} is about flags of TCP", word.quoted()));
                return Err(fault.help("write `tcp` as the protocol, or leave it out"));
            }
            if flags != FlagMatch::Any {
                let fault = Fault::new(word.at, "flags have been said before");
                return Err(fault.help("write them all behind one `match-all` or `match-any`"));
            }
            flags = self::flags(cursor)?;
        } else if ["dscp", "precedence", "tos"].iter().any(|each| word.is(each)) {
            if class != ClassMatch::Any {
                return Err(Fault::new(word.at, "a traffic class has been said before").help(
                    "a rule asks for one of `dscp`, `precedence` and `tos`; `dscp` covers both others",
                ));
            }
            if family == Family::Ipv6 && !word.is("dscp") {
                let fault = Fault::new(word.at, format!("{} is about IPv4", word.quoted()));
                return Err(fault.help("write `dscp`"));
            }
            class = self::class(cursor)?;
        } else {
            break;
        }
    }
    Ok((flags, class))
}

/// The bit of a flag's name.
fn bit(name: &str) -> Option<u8> {
    FLAGS.iter().position(|flag| flag.eq_ignore_ascii_case(name)).map(|place| 1 << place)
}

/// A flag without a sign.
fn plain(word: &Word<'_>) -> Option<u8> {
    bit(word.text)
}

fn flags(cursor: &mut Cursor<'_, '_>) -> Result<FlagMatch, Fault> {
    if cursor.accept("established") {
        return Ok(FlagMatch::Established);
    }
    let (mut set, mut clear) = (0, 0);
    let all = cursor.accept("match-all");
    if !all && !cursor.accept("match-any") {
        // Flags alone: any of them.
        while let Some(flag) = cursor.peek().and_then(plain) {
            set |= flag;
            cursor.next("a flag")?;
        }
        return Ok(FlagMatch::AnyOf { set, clear });
    }
    while let Some(word) = cursor.peek() {
        let (to, name) = match (word.text.strip_prefix('+'), word.text.strip_prefix('-')) {
            (Some(name), _) => (&mut set, name),
            (_, Some(name)) => (&mut clear, name),
            _ => break,
        };
        let Some(flag) = bit(name) else {
            let fault = Fault::new(word.at, format!("{} is no flag of TCP", word.quoted()));
            return Err(
                fault.help("take `fin`, `syn`, `rst`, `psh`, `ack` or `urg`, with `+` or `-` before it")
            );
        };
        *to |= flag;
        if set & clear != 0 {
            return Err(Fault::new(word.at, "a flag cannot be asked to be set and not to be set")
                .help("leave one of the two out"));
        }
        cursor.next("a flag")?;
    }
    if set | clear == 0 {
        let word = cursor.next("a flag such as `+ack` or `-syn`")?;
        let fault = Fault::new(word.at, format!("{} stands where a flag should be", word.quoted()));
        return Err(fault.help("write flags as `+ack` or `-syn`"));
    }
    Ok(if all { FlagMatch::All { set, clear } } else { FlagMatch::AnyOf { set, clear } })
}

fn class(cursor: &mut Cursor<'_, '_>) -> Result<ClassMatch, Fault> {
    let what = cursor.one_of(&["dscp", "precedence", "tos"])?.value;
    let (names, last): (&[(&str, u8)], u32) = match what {
        "dscp" => (&DSCP, 63),
        "precedence" => (&PRECEDENCES, 7),
        _ => (&TOS, 15),
    };
    let value = value(cursor, what, names, last)?.value;
    Ok(match what {
        "dscp" => ClassMatch::Dscp(value),
        "precedence" => ClassMatch::Precedence(value),
        _ => ClassMatch::Tos(value),
    })
}

/// A differentiated services code point, by its name or number.
pub(super) fn code_point(cursor: &mut Cursor<'_, '_>) -> Result<Found<u8>, Fault> {
    value(cursor, "dscp", &DSCP, 63)
}

fn value(
    cursor: &mut Cursor<'_, '_>,
    what: &str,
    names: &[(&str, u8)],
    last: u32,
) -> Result<Found<u8>, Fault> {
    let word = cursor.next(&format!("a value of {what}"))?;
    let named = names.iter().find(|(name, _)| word.is(name)).map(|(_, value)| *value);
    let number = || parse_decimal(word.text).filter(|number| *number <= last).map(|number| number as u8);
    let Some(value) = named.or_else(number) else {
        let fault = unexpected(word, &format!("a value of {what}"), names.iter().map(|(name, _)| *name));
        return Err(match fault.help {
            Some(_) => fault,
            None => {
                fault.help(format!("write a number from 0 to {last}, or a name such as `{}`", names[1].0))
            }
        });
    };
    Ok(Found { value, at: word.at })
}
