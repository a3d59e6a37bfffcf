//! `interface` and the lines under it.

use super::cursor::{Cursor, Found, parse_decimal, suggest};
use super::draft::InterfaceDraft;
use super::refusals::{INTERFACE, refusal};
use super::{Mode, Reader, nothing_to_take_back, refuse};
use crate::source::{At, Fault, Word};
use crate::{Config, Interface, MacAddress, Name};
use model::{Ipv4Prefix, Ipv6Prefix};

/// The most addresses of one family on one interface.
const MAX_ADDRESSES: usize = 64;

impl Reader<'_, '_> {
    pub(super) fn interface(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        cursor.accept("interface");
        let name = interface_name(cursor, "the interface's name")?;
        cursor.end()?;
        let known = &mut self.draft.interfaces;
        let place =
            known.iter().position(|i| i.name.value.as_str().eq_ignore_ascii_case(name.value.as_str()));
        // One too many is kept, which `check` tells of; looking through more of them would take its time.
        if place.is_none() && known.len() > Config::MAX_INTERFACES {
            return Ok(());
        }
        let place = place.unwrap_or_else(|| {
            known.push(InterfaceDraft::new(name));
            known.len() - 1
        });
        self.mode = Mode::Interface(place);
        Ok(())
    }

    pub(super) fn in_interface(&mut self, place: usize, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        if let Some((refused, at)) = refusal(&INTERFACE, cursor.words()) {
            return Err(refuse(refused, at));
        }
        let Some(interface) = self.draft.interfaces.get_mut(place) else { return Ok(()) };
        let done = interface_line(interface, cursor);
        interface.faulty |= done.is_err();
        done
    }
}

fn interface_line(interface: &mut InterfaceDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let whole = cursor.whole();
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "description" => interface.description.fill(cursor.rest("the description", 200)),
        "device" => interface.device.fill(device(cursor)),
        "linux-name" => interface.linux_name.fill(linux_name(cursor)),
        "mac-address" => interface.mac.fill(mac(cursor)),
        "mtu" => interface.mtu.fill(mtu(cursor)),
        "encapsulation" => interface.vlan.fill(vlan(cursor)),
        "shutdown" => interface.shutdown.fill(cursor.end().map(|()| Found { value: true, at: whole })),
        "no" if cursor.peek().is_some_and(|word| word.is("shutdown")) => {
            cursor.accept("shutdown");
            interface.shutdown.fill(cursor.end().map(|()| Found { value: false, at: whole }))
        }
        // How IOS says that an interface has no address.
        "no" if is_no_address(cursor) => Ok(()),
        "no" => Err(cursor
            .peek()
            .map(|word| suggest(nothing_to_take_back(whole), word, ["shutdown"]))
            .unwrap_or_else(|| nothing_to_take_back(whole))),
        "crypto" => {
            cursor.one_of(&["map"])?;
            interface.crypto_map.fill(last(cursor, |cursor| cursor.name("a crypto map's name")))
        }
        "ip" => match cursor.one_of(&["address", "mtu", "tcp"])?.value {
            "mtu" => interface.ip_mtu.fill(mtu(cursor)),
            "tcp" => interface.mss4.fill(mss(cursor)),
            _ => address(interface, cursor),
        },
        "ipv6" => match cursor.one_of(&["address", "mtu", "tcp"])?.value {
            "tcp" => interface.mss6.fill(mss(cursor)),
            "mtu" => interface.ipv6_mtu.fill(mtu6(cursor)),
            _ => {
                let address = last(cursor, address6)?;
                let room = MAX_ADDRESSES.saturating_sub(interface.addresses6.len());
                add(&mut interface.addresses6, address, room)
            }
        },
        _ => Err(unknown(keyword)),
    }
}

fn unknown(word: &Word<'_>) -> Fault {
    const KNOWN: [&str; 11] = [
        "description",
        "device",
        "encapsulation",
        "linux-name",
        "mac-address",
        "mtu",
        "shutdown",
        "no",
        "crypto",
        "ip",
        "ipv6",
    ];
    let fault =
        Fault::new(word.at, format!("{} is no command that Espalier knows under `interface`", word.quoted()));
    suggest(fault, word, KNOWN.into_iter().chain(super::COMMANDS))
}

/// `ip address` or `ipv6 address`, behind `no`.
fn is_no_address(cursor: &Cursor<'_, '_>) -> bool {
    match cursor.words() {
        [family, address] => (family.is("ip") || family.is("ipv6")) && address.is("address"),
        _ => false,
    }
}

/// What the closure reads must end the line.
pub(super) fn last<'l, 't, T>(
    cursor: &mut Cursor<'l, 't>,
    read: impl FnOnce(&mut Cursor<'l, 't>) -> Result<Found<T>, Fault>,
) -> Result<Found<T>, Fault> {
    let found = read(cursor)?;
    cursor.end()?;
    Ok(found)
}

/// IOS takes `GigabitEthernet 0/0` for `GigabitEthernet0/0`.
pub(super) fn interface_name(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<Found<Name>, Fault> {
    let first = cursor.name(what)?;
    let is_kind = first.value.as_str().bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    let number = cursor.peek().filter(|word| is_kind && word.text.starts_with(|c: char| c.is_ascii_digit()));
    // A number with dots or colons is an address, a bare one may be a route's distance.
    let Some(number) = number.filter(|word| word.text.contains('/')) else { return Ok(first) };
    cursor.next(what)?;
    let at = first.at.to(number.at);
    let joined = format!("{}{}", first.value, number.text);
    let wrong = |error| Fault::new(at, format!("{} cannot be {what}: {error}", number.quoted()));
    Ok(Found { value: Name::new(&joined).map_err(wrong)?, at })
}

fn device(cursor: &mut Cursor<'_, '_>) -> Result<Found<String>, Fault> {
    last(cursor, |cursor| {
        let word = cursor.next("a DPDK device such as `0000:01:00.0` or `net_af_packet0,iface=eth1`")?;
        if word.text.len() > Interface::MAX_DEVICE {
            return Err(Fault::new(word.at, format!("a device is at most {} bytes", Interface::MAX_DEVICE)));
        }
        if !word.text.bytes().all(|b| b.is_ascii_graphic()) {
            let fault = Fault::new(word.at, "a device is written in printable ASCII characters");
            return Err(fault.help("write a PCI address or a DPDK device string"));
        }
        Ok(Found { value: word.text.to_owned(), at: word.at })
    })
}

fn linux_name(cursor: &mut Cursor<'_, '_>) -> Result<Found<Name>, Fault> {
    last(cursor, |cursor| {
        let name = cursor.name("a name for Linux")?;
        if Interface::is_linux_name(name.value.as_str()) {
            return Ok(name);
        }
        let fault =
            Fault::new(name.at, format!("Linux cannot have an interface `{}` beside its own", name.value));
        Err(fault.help("take 1 to 15 letters, digits, `.`, `_` and `-`"))
    })
}

fn mac(cursor: &mut Cursor<'_, '_>) -> Result<Found<MacAddress>, Fault> {
    last(cursor, |cursor| {
        let word = cursor.next("an Ethernet address such as `0200.5e00.0001`")?;
        let groups: Vec<&str> = word.text.split(['.', ':']).collect();
        let shape =
            matches!(groups.len(), 3 | 6) && groups.iter().all(|group| group.len() * groups.len() == 12);
        let digits: String = groups.concat();
        let number = u64::from_str_radix(&digits, 16).ok().filter(|_| shape && !digits.starts_with('+'));
        let Some(number) = number else {
            let fault = Fault::new(word.at, format!("{} is no Ethernet address", word.quoted()));
            return Err(fault.help("write it as `0200.5e00.0001`"));
        };
        let [_, _, bytes @ ..] = number.to_be_bytes();
        match MacAddress::new(bytes) {
            Some(value) => Ok(Found { value, at: word.at }),
            None => {
                let fault = Fault::new(word.at, format!("{} is no address of one station", word.quoted()));
                Err(fault.help("take one whose first byte is even, such as `0200.5e00.0001`"))
            }
        }
    })
}

/// What follows `encapsulation`.
fn vlan(cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    let kind = cursor.one_of(&["dot1Q"])?;
    let found = cursor.number("a VLAN", 1..=4094)?;
    if let Some(word) = cursor.peek().filter(|word| word.is("native") || word.is("second-dot1q")) {
        let fault = Fault::new(word.at, format!("{} is not available in Espalier", word.quoted()));
        return Err(fault.help("give the interface's link one tag for all that it carries"));
    }
    cursor.end()?;
    Ok(Found { value: found.value as u16, at: kind.at.to(found.at) })
}

fn mtu(cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    mtu_from(68, cursor)
}

/// What follows `ip tcp` or `ipv6 tcp`.
fn mss(cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    cursor.one_of(&["adjust-mss"])?;
    last(cursor, |cursor| {
        let found = cursor.number("a segment's size in bytes", 500..=9560)?;
        Ok(Found { value: found.value as u16, at: found.at })
    })
}

/// IPv6 wants links of 1280 bytes at least (RFC 8200, section 5).
fn mtu6(cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    mtu_from(1280, cursor)
}

fn mtu_from(least: u32, cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    last(cursor, |cursor| {
        let found = cursor.number("an MTU", least..=9600)?;
        Ok(Found { value: found.value as u16, at: found.at })
    })
}

fn address(interface: &mut InterfaceDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    if let Some(word) = cursor.peek().filter(|word| word.is("dhcp") || word.is("negotiated")) {
        let fault = Fault::new(
            word.at,
            format!("{} is not available in Espalier: addresses are written down", word.quoted()),
        );
        return interface.primary.fill(Err(fault.help("write `ip address ADDRESS MASK`")));
    }
    // A word of an address that cannot be taken might be that of the primary.
    let address = match address_and_mask(cursor, "the interface's address") {
        Ok(address) => address,
        Err(fault) => return interface.primary.fill(Err(fault)),
    };
    let secondary = cursor.accept("secondary");
    cursor.end()?;
    if !secondary {
        return interface.primary.fill(Ok(address)).map_err(|fault| match fault.related {
            Some(_) => fault.help("write `secondary` behind every address but the first"),
            None => fault,
        });
    }
    let room = MAX_ADDRESSES.saturating_sub(interface.secondary.len());
    add(&mut interface.secondary, address, room)
}

fn add<T>(list: &mut Vec<Found<T>>, item: Found<T>, room: usize) -> Result<(), Fault> {
    if room == 0 {
        return Err(Fault::new(
            item.at,
            format!("an interface has at most {MAX_ADDRESSES} addresses of a family"),
        ));
    }
    list.push(item);
    Ok(())
}

/// `ADDRESS NETMASK`.
pub(super) fn address_and_mask(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<Found<Ipv4Prefix>, Fault> {
    let prefix = cursor.peek().and_then(|word| Some((word.at, word.text.parse::<Ipv4Prefix>().ok()?)));
    if let Some((at, prefix)) = prefix {
        let fault = Fault::new(at, format!("a prefix stands where {what} and a netmask should be"));
        return Err(fault.help(format!("write `{} {}`", prefix.addr(), prefix.netmask())));
    }
    let address = cursor.ipv4(what)?;
    let bits =
        cursor.peek().and_then(|word| parse_decimal(word.text)).and_then(|bits| u8::try_from(bits).ok());
    let netmask =
        bits.and_then(|bits| Ipv4Prefix::new(address.value, bits).ok()).map(|prefix| prefix.netmask());
    let mask = cursor.mask("a netmask", "255.255.255.0").map_err(|fault| match netmask {
        Some(netmask) => fault.help(format!("write `{netmask}`")),
        None => fault,
    })?;
    match Ipv4Prefix::with_netmask(address.value, mask.value) {
        Ok(value) => Ok(Found { value, at: address.at.to(mask.at) }),
        Err(_) => Err(not_a_netmask(mask.at, mask.value.into())),
    }
}

fn not_a_netmask(at: At, bits: u32) -> Fault {
    let fault = Fault::new(
        at,
        format!("`{}` is no netmask: its ones are not all at the front", std::net::Ipv4Addr::from(bits)),
    );
    match bits.trailing_ones() + bits.leading_zeros() {
        32 => fault.help(format!("this is a wildcard mask; write `{}`", std::net::Ipv4Addr::from(!bits))),
        _ => fault.help("write a mask such as `255.255.255.0`"),
    }
}

fn address6(cursor: &mut Cursor<'_, '_>) -> Result<Found<Ipv6Prefix>, Fault> {
    let word = cursor.next("an IPv6 address with its prefix length")?;
    if let Some(next) =
        cursor.peek().filter(|next| next.is("eui-64") || next.is("link-local") || next.is("anycast"))
    {
        let fault = Fault::new(next.at, format!("{} is not available in Espalier", next.quoted()));
        return Err(
            fault.help("write the whole address with its prefix length; Linux makes the link-local one")
        );
    }
    match word.text.parse() {
        Ok(value) => Ok(Found { value, at: word.at }),
        Err(_) => {
            let fault =
                Fault::new(word.at, format!("{} is no IPv6 address with a prefix length", word.quoted()));
            Err(fault.help("write it as `2001:db8::1/64`"))
        }
    }
}
