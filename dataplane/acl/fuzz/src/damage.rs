//! What was compiled, as it is and damaged.

use crate::rules::{self, BYTES, rule};
use crate::try_out::{Keys, agree, together, turned};
use acl::{Delta, Limits, Rule, compile};
use std::collections::HashMap;

/// Rules of a list at most, and as many that come to it.
const MOST: usize = 96;

/// Two bytes say how many rules the list has and how many come, then follow those. What is left says how to damage the image
/// and the change, in fours.
pub fn run(data: &[u8]) {
    let Some((&[base, come], data)) = data.split_first_chunk() else { return };
    let (base, come) = (usize::from(base) % MOST, usize::from(come) % MOST);
    let (lines, damage) = data.split_at((BYTES * (base + come)).min(data.len()));
    let lines = lines.as_chunks().0;
    let (first, more) = lines.split_at(base.min(lines.len()));
    let rules: Vec<Rule> = first.iter().map(|bytes| rule(*bytes)).collect();
    let limits = Limits::default();
    let image = compile(&rules, limits).expect("few rules");
    let mut delta = Delta::new(rules.as_slice().into(), image.clone().into());
    let mut numbered: HashMap<u32, Rule> = (0..).zip(rules.iter().copied()).collect();
    for bytes in more {
        let place = u32::from(bytes[6] ^ bytes[3]) % (base as u32 + 1);
        // The one before may be gone already, and then it comes at the end.
        let number = delta.insert(Some(place), rule(*bytes)).or_else(|_| delta.insert(None, rule(*bytes)));
        numbered.insert(number.expect("there is room"), rule(*bytes));
        if bytes[0] > 127 {
            // It may be gone, too.
            let _ = delta.remove(place);
        }
    }
    let change = delta.compile(limits).expect("few rules");
    let keys = Keys::new(lines.iter().flat_map(|bytes| rules::keys(*bytes)).take(96).collect());
    let order = delta.order();
    let list: Vec<Rule> = order.iter().map(|number| numbered[number]).collect();
    agree(&image, &rules, &change, (&list, &order), &keys);

    let (bad_image, bad_change) =
        (damaged(image.as_bytes(), damage, 0), damaged(change.as_bytes(), damage, 1));
    turned(image.as_bytes(), &bad_image, change.as_bytes(), &bad_change, &keys);
    together(bad_image, bad_change, &keys);
}

/// A copy, damaged by those fours that are about it, with an allocation of exactly its size.
fn damaged(bytes: &[u8], damage: &[u8], about: u8) -> Box<[u8]> {
    let mut bytes = bytes.to_vec();
    for &[how, low, high, value] in damage.as_chunks().0.iter().filter(|four: &&[u8; 4]| four[0] % 2 == about)
    {
        let place = usize::from(u16::from_le_bytes([low, high]));
        match how >> 1 {
            0 => bytes.truncate(place % (bytes.len() + 1)),
            1 => bytes.resize(bytes.len() + place % 512, value),
            _ if bytes.is_empty() => {}
            how => {
                let place = place % bytes.len();
                bytes[place] = if how % 2 == 0 { value } else { bytes[place].wrapping_add(value) };
            }
        }
    }
    bytes.into()
}
