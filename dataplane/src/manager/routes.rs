//! Changing the routes in the FIBs: all that a transaction asks for, or none.

use super::overlay::{Change, Overlay};
use crate::fib::{Fibs, NOWHERE};
use model::Prefix;
use std::collections::BTreeMap;

/// The first change that the tables do not take. They are as they were before.
#[derive(Debug)]
pub(super) struct Refused {
    /// The command that asked for it.
    pub(super) number: Option<u64>,
    pub(super) error: dpdk::Error,
}

/// Makes the changes. Where the IPv6 table has no room, `fibs` may have another one afterwards, for the next snapshot;
/// the one before serves until then, with some of the changes made.
pub(super) fn change(fibs: &mut Fibs, routes: &Overlay<'_, Prefix, u32>) -> Result<(), Refused> {
    write(fibs, routes, |change| change.after.copied()).map(|_| ())
}

/// Has what changes lead nowhere for now, so that no packet goes by a new route past an old policy, or the other way
/// round. When the next snapshot is what every worker sees, [`settle`] has it lead where it should.
///
/// Routes that go take up their room until then.
pub(super) fn withdraw(fibs: &mut Fibs, routes: &Overlay<'_, Prefix, u32>) -> Result<Withdrawn, Refused> {
    let written = write(fibs, routes, |_| Some(NOWHERE))?;
    // A fresh table has its routes already, and none before the next snapshot.
    let waiting = routes.changes().filter(|change| !(is_v6(change) && written == Written::Renewed));
    Ok(Withdrawn(waiting.map(|change| (*change.key, change.after.copied())).collect()))
}

/// Routes that lead nowhere, and what is to become of them.
#[derive(Debug, Default)]
pub(super) struct Withdrawn(Vec<(Prefix, Option<u32>)>);

impl Withdrawn {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes the changes that were put off. They need no room: each prefix is there.
pub(super) fn settle(fibs: &Fibs, withdrawn: Withdrawn) {
    for (prefix, after) in withdrawn.0 {
        if let Err(error) = fibs.set(prefix, after) {
            tracing::error!("route {prefix} leads nowhere: {error}");
        }
    }
}

/// What became of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    InPlace,
    /// There is another IPv6 table, which has what is wanted, whatever was to be written.
    Renewed,
}

/// Writes `what` for each route that changes: all, or none.
///
/// A removed IPv6 route may find no room to come back, so additions are first, and undoing them is removing them. Nor
/// must anything fail after a fresh table was filled with the whole outcome, so IPv4 is before both.
fn write(
    fibs: &mut Fibs,
    routes: &Overlay<'_, Prefix, u32>,
    what: impl Fn(&Change<'_, Prefix, u32>) -> Option<u32>,
) -> Result<Written, Refused> {
    let mut changes: Vec<_> = routes.changes().collect();
    changes.sort_by_key(|change| (is_v6(change), is_v6(change) && change.after.is_none()));
    for (done, change) in changes.iter().enumerate() {
        let prefix = *change.key;
        let Err(error) = fibs.set(prefix, what(change)) else { continue };
        if is_v6(change) {
            tracing::debug!("route {prefix}: {error}; the IPv6 table is filled anew");
            let wanted: BTreeMap<Prefix, u32> = routes.iter().map(|(&prefix, &id)| (prefix, id)).collect();
            match fibs.renewed(&wanted) {
                Ok(renewed) => {
                    *fibs = renewed;
                    return Ok(Written::Renewed);
                }
                Err(error) => tracing::error!("no fresh table for IPv6 routes: {error}"),
            }
        }
        tracing::error!("route {prefix}: {error}");
        for change in changes[..done].iter().rev() {
            if let Err(error) = fibs.set(*change.key, change.before.copied()) {
                tracing::error!("route {} cannot be put back: {error}", change.key);
            }
        }
        return Err(Refused { number: change.number, error });
    }
    Ok(Written::InPlace)
}

fn is_v6(change: &Change<'_, Prefix, u32>) -> bool {
    matches!(change.key, Prefix::V6(_))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fib::NO_ROUTE;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// What a table has room for. It has 1,024 second-level tables, of which a host takes 13.
    const ROUTES: u32 = 64;
    /// What it has no room for in any case.
    const TOO_MANY: usize = 90;

    /// IPv6 hosts each on its own, 120 of them; prefixes around some of them; a few IPv4 ones inside of each other.
    fn any_prefix() -> impl Strategy<Value = Prefix> {
        let host = |number: u16| Ipv6Addr::new(0x2001, number << 8, 0, 0, 0, 0, 0, 1);
        let v6 = move |number, len| Prefix::new(host(number).into(), len).unwrap().trunc();
        let v4 = |number, len| Prefix::new(Ipv4Addr::new(10, 0, 0, number).into(), len).unwrap().trunc();
        prop_oneof![
            8 => (0..120_u16).prop_map(move |number| v6(number, 128)),
            1 => (0..4_u16, prop::sample::select(vec![0, 16, 24, 48, 64])).prop_map(move |(n, len)| v6(n, len)),
            2 => (0..8_u8, prop::sample::select(vec![0, 8, 24, 32])).prop_map(move |(n, len)| v4(n, len)),
        ]
    }

    fn look_up(fibs: &Fibs, address: IpAddr) -> u64 {
        let mut found = [0];
        match address {
            IpAddr::V4(address) => fibs.lookup_v4(&[address.to_bits()], &mut found),
            IpAddr::V6(address) => fibs.lookup_v6(&[address.octets()], &mut found),
        }
        found[0]
    }

    /// What the tables say to the first address of each prefix, and what a search from end to end says.
    fn agree(fibs: &Fibs, routes: &BTreeMap<Prefix, u32>, prefixes: &[Prefix]) -> Result<(), TestCaseError> {
        for prefix in prefixes {
            let address = prefix.network();
            let around = routes.iter().filter(|(around, _)| around.contains(&address));
            let longest = around.max_by_key(|(around, _)| around.prefix_len());
            prop_assert_eq!(
                look_up(fibs, address),
                longest.map_or(NO_ROUTE, |(_, &id)| id.into()),
                "{}",
                prefix
            );
        }
        Ok(())
    }

    /// What changes leads nowhere, if its address is not within something longer; nothing leads anywhere new.
    fn leads_nowhere_or_as_ever(
        fibs: &Fibs,
        routes: &BTreeMap<Prefix, u32>,
        overlay: &Overlay<'_, Prefix, u32>,
    ) -> Result<(), TestCaseError> {
        for change in overlay.changes() {
            let found = look_up(fibs, change.key.network());
            let around = routes.iter().filter(|(around, _)| around.contains(&change.key.network()));
            let before =
                around.max_by_key(|(around, _)| around.prefix_len()).map_or(NO_ROUTE, |(_, &id)| id.into());
            prop_assert!(
                found == NO_ROUTE || found == before,
                "{}: {} and not {}",
                change.key,
                found,
                before
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, ..ProptestConfig::default() })]

        /// However many routes came and went: a transaction is done if its outcome has room, and else changes nothing.
        #[test]
        fn all_of_a_transaction_or_none(
            transactions in prop::collection::vec(
                (
                    prop::bool::weighted(0.2),
                    any::<bool>(),
                    prop::collection::vec((any_prefix(), prop::option::weighted(0.7, 0..9_u32)), 1..120),
                ),
                1..10,
            ),
        ) {
            let mut fibs = Fibs::new(&crate::testing::eal(), ROUTES).unwrap();
            let mut routes = BTreeMap::new();
            let mut prefixes = Vec::new();
            for (replace, put_off, changes) in transactions {
                let mut overlay = Overlay::new(&routes, replace);
                for (number, (prefix, id)) in (0..).zip(changes) {
                    prefixes.push(prefix);
                    match id {
                        Some(id) => overlay.set(number, prefix, id),
                        None => overlay.remove(number, prefix),
                    }
                }
                let before = fibs.clone();
                let outcome = match put_off {
                    true => withdraw(&mut fibs, &overlay),
                    false => change(&mut fibs, &overlay).map(|()| Withdrawn::default()),
                };
                let count = |least| overlay.iter().filter(|(prefix, _)| prefix.addr().is_ipv6() && prefix.prefix_len() >= least).count();
                if count(0) <= ROUTES as usize {
                    prop_assert!(outcome.is_ok(), "{outcome:?}");
                }
                if count(128) > TOO_MANY {
                    prop_assert!(outcome.is_err(), "{} hosts", count(128));
                }
                if let Ok(withdrawn) = outcome {
                    if put_off {
                        // Workers still look into the tables from before.
                        leads_nowhere_or_as_ever(&before, &routes, &overlay)?;
                    }
                    settle(&fibs, withdrawn);
                    let patch = overlay.into_patch();
                    patch.apply(&mut routes);
                }
                agree(&fibs, &routes, &prefixes)?;
            }
        }
    }
}
