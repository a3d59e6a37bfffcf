//! Every command and event that there can be, for proptest.

use crate::layout::{MAX_ENTRIES, MAX_NEXT_HOPS, MAX_REPLAY_WINDOW, MAX_SA_CAPACITY};
use crate::{
    Ack, AttachPort, Command, Device, Event, Failure, Flow, InstallSa, Limits, MacAddress, NextHop, PortId,
    PortIp, PortName, Reason,
};
use model::{
    Direction, DontFragment, DscpMap, Dummies, Fragmentation, KeyMaterial, Mode, PortRange, Prefix, Protocol,
    Selector, SizeRules, Spi, Suite, Tfc, TfcPadding,
};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One ordinary SA.
pub(super) fn sa(index: u32, direction: Direction) -> InstallSa {
    InstallSa {
        index,
        direction,
        spi: Spi::new(0x1000 + index).unwrap(),
        suite: Suite::AES_GCM_256,
        mode: Mode::Tunnel,
        key: KeyMaterial::new(&[0xA5; 36]).unwrap(),
        local: "192.0.2.1".parse().unwrap(),
        remote: "192.0.2.2".parse().unwrap(),
        udp_port: None,
        extended_sequence: true,
        replay_window: 4096,
        first_sequence: 1,
        replay_floor: 0,
        iv_base: 1 << 60,
        limits: Limits::default(),
        size: SizeRules::default(),
        tfc: Tfc { padding: TfcPadding::UpTo(700), dummies: Dummies::Seconds(900) },
        entry: Some(3),
    }
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Inbound, Direction::Outbound])
}

fn suite() -> impl Strategy<Value = Suite> {
    select(Suite::all().collect::<Vec<_>>())
}

fn spi() -> impl Strategy<Value = Spi> {
    (Spi::MIN.get()..=u32::MAX).prop_map(|spi| Spi::new(spi).unwrap())
}

fn port() -> impl Strategy<Value = PortId> {
    select(PortId::all().collect::<Vec<_>>())
}

fn address_of(six: bool, bits: u128) -> IpAddr {
    if six { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

fn address() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), any::<u128>()).prop_map(|(six, bits)| address_of(six, bits))
}

/// Two addresses of one family.
fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    (any::<bool>(), any::<[u128; 2]>()).prop_map(|(six, bits)| bits.map(|bits| address_of(six, bits)).into())
}

fn prefix_of(address: IpAddr, len: u8) -> Prefix {
    let most = if address.is_ipv4() { 32 } else { 128 };
    Prefix::new(address, len % (most + 1)).unwrap().trunc()
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), any::<u8>()).prop_map(|(address, len)| prefix_of(address, len))
}

fn ports() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn selector() -> impl Strategy<Value = Selector> {
    let protocol = prop_oneof![Just(Protocol::Any), any::<u8>().prop_map(Protocol::Number)];
    let fields = (addresses(), any::<[u8; 2]>(), protocol, ports(), ports());
    fields.prop_map(|((from, to), lens, protocol, from_ports, to_ports)| {
        let (from, to) = (prefix_of(from, lens[0]), prefix_of(to, lens[1]));
        Selector::new(from, to, protocol, from_ports, to_ports)
            .or_else(|_| Selector::new(from, to, protocol, PortRange::ANY, PortRange::ANY))
            .unwrap()
    })
}

fn mac() -> impl Strategy<Value = MacAddress> {
    any::<MacAddress>().prop_map(|[first, rest @ .., last]| {
        let [a, b, c, d] = rest;
        [first & !1, a, b, c, d, last | 1]
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    let pair = || {
        prop::option::of((1_u64.., 1_u64..)).prop_flat_map(|pair| {
            let (a, b) = pair.unwrap_or((1, 1));
            let (soft, hard) = (a.min(b), a.max(b));
            select(vec![(None, None), (Some(soft), None), (None, Some(hard)), (Some(soft), Some(hard))])
        })
    };
    (pair(), pair()).prop_map(|((soft_packets, hard_packets), (soft_bytes, hard_bytes))| Limits {
        soft_packets,
        hard_packets,
        soft_bytes,
        hard_bytes,
    })
}

pub(super) fn install_sa() -> impl Strategy<Value = InstallSa> {
    let what = (0..MAX_SA_CAPACITY, direction(), spi(), suite(), select(vec![Mode::Tunnel, Mode::Transport]));
    let key = prop::collection::vec(any::<u8>(), KeyMaterial::MAX);
    let ends = (addresses(), prop::option::of(1_u16..), key, prop::option::of(0..MAX_ENTRIES));
    let numbers = (any::<bool>(), 0..=MAX_REPLAY_WINDOW, 1_u64.., any::<u64>(), any::<u64>());
    (what, ends, numbers, limits(), (size_rules(), tfc())).prop_map(
        |(
            (index, direction, spi, suite, mode),
            ((local, remote), udp_port, key, entry),
            numbers,
            limits,
            (size, tfc),
        )| {
            let (extended_sequence, replay_window, first, floor, iv_base) = numbers;
            let last = if extended_sequence { u64::MAX } else { u32::MAX.into() };
            InstallSa {
                index,
                direction,
                spi,
                suite,
                mode,
                key: KeyMaterial::new(&key[..suite.key_material_len()]).unwrap(),
                local,
                remote,
                udp_port,
                extended_sequence,
                replay_window,
                first_sequence: first.min(last),
                replay_floor: floor.min(last),
                iv_base,
                limits,
                size,
                tfc,
                entry,
            }
        },
    )
}

fn port_ip() -> impl Strategy<Value = PortIp> {
    let mtus = (68..=AttachPort::MAX_MTU, PortIp::MIN_MTU6..=AttachPort::MAX_MTU);
    let some = |address: u128| if address == 0 { 1 } else { address };
    (mtus, any::<[bool; 4]>(), any::<u128>()).prop_map(move |((mtu4, mtu6), there, bits)| PortIp {
        mtu4: there[0].then_some(mtu4),
        mtu6: there[1].then_some(mtu6),
        mss4: there[1].then_some(mtu4),
        mss6: there[0].then_some(mtu6),
        address4: there[2].then_some((some(bits) as u32 | 1).into()),
        address6: there[3].then_some(some(bits).into()),
    })
}

fn size_rules() -> impl Strategy<Value = SizeRules> {
    let df = select(vec![DontFragment::Copy, DontFragment::Set, DontFragment::Clear]);
    let when = select(vec![Fragmentation::BeforeEncryption, Fragmentation::AfterEncryption]);
    (df, when).prop_map(|(df, fragmentation)| SizeRules { df, fragmentation })
}

fn tfc() -> impl Strategy<Value = Tfc> {
    let padding =
        prop_oneof![Just(TfcPadding::None), any::<u16>().prop_map(TfcPadding::UpTo), Just(TfcPadding::Mtu)];
    let dummies = prop_oneof![
        Just(Dummies::None),
        (1_u8..).prop_map(Dummies::PerSecond),
        (1_u16..).prop_map(Dummies::Seconds)
    ];
    (padding, dummies).prop_map(|(padding, dummies)| Tfc { padding, dummies })
}

fn attach_port() -> impl Strategy<Value = AttachPort> {
    let texts = ("[ -~]{1,160}", "[A-Za-z0-9_-]{0,15}");
    let vlan = prop::option::of(1..=AttachPort::MAX_VLAN);
    let numbers = (prop::option::of(mac()), AttachPort::MIN_MTU..=AttachPort::MAX_MTU, vlan, any::<bool>());
    (port(), texts, numbers, port_ip()).prop_map(|(port, (device, name), (mac, mtu, vlan, shutdown), ip)| {
        AttachPort {
            port,
            device: Device::new(&device).unwrap(),
            name: PortName::new(&name).unwrap(),
            mac,
            mtu,
            vlan,
            shutdown,
            ip,
        }
    })
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let hop = prop_oneof![
        (port(), mac()).prop_map(|(port, mac)| NextHop::Forward { port, mac }),
        port().prop_map(|port| NextHop::Glean { port }),
        Just(NextHop::Local),
        Just(NextHop::Blackhole),
    ];
    let index = 0..MAX_SA_CAPACITY;
    prop_oneof![
        Just(Command::Barrier),
        attach_port().prop_map(Command::AttachPort),
        port().prop_map(|port| Command::DetachPort { port }),
        install_sa().prop_map(|sa| Command::InstallSa(Box::new(sa))),
        (index.clone(), selector()).prop_map(|(index, selector)| Command::AddSelector { index, selector }),
        (index.clone(), prop::array::uniform32(0_u8..64)).prop_map(|(index, points)| {
            let points: Vec<u8> = points.iter().chain(points.iter().rev()).copied().collect();
            let map = DscpMap::new(points.try_into().unwrap()).unwrap();
            Command::MapDscp { index, map: Box::new(map) }
        }),
        index.clone().prop_map(|index| Command::RemoveSa { index }),
        index.clone().prop_map(|index| Command::KeepSa { index }),
        (0..MAX_ENTRIES, prop::option::of(index)).prop_map(|(entry, sa)| Command::BindEntry { entry, sa }),
        (port(), any::<u32>()).prop_map(|(port, segment)| Command::SetPolicy { port, segment }),
        port().prop_map(|port| Command::ClearPolicy { port }),
        port().prop_map(|port| Command::KeepPolicy { port }),
        (port(), any::<u32>()).prop_map(|(port, segment)| Command::ChangePolicy { port, segment }),
        (0..MAX_NEXT_HOPS, hop).prop_map(|(id, hop)| Command::SetNextHop { id, hop }),
        (prefix(), 0..MAX_NEXT_HOPS).prop_map(|(prefix, next_hop)| Command::AddRoute { prefix, next_hop }),
        prefix().prop_map(|prefix| Command::RemoveRoute { prefix }),
    ]
}

pub(super) fn failure() -> impl Strategy<Value = Failure> {
    (any::<u64>(), select(Reason::ALL), any::<u64>()).prop_map(|(number, reason, detail)| Failure {
        number,
        reason,
        detail,
    })
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let flow = (addresses(), any::<u8>(), prop::option::of(any::<(u16, u16)>()))
        .prop_map(|((source, destination), protocol, ports)| Flow { source, destination, protocol, ports });
    let sa = || (0..MAX_SA_CAPACITY, spi());
    prop_oneof![
        (any::<u64>(), prop::option::of(failure())).prop_map(|(number, failure)| {
            Event::Ack(Ack { number, result: failure.map_or(Ok(()), Err) })
        }),
        (0..MAX_ENTRIES, flow).prop_map(|(entry, flow)| Event::Acquire { entry, flow }),
        (port(), address()).prop_map(|(port, address)| Event::NeighbourNeeded { port, address }),
        sa().prop_map(|(index, spi)| Event::SaSoftExpired { index, spi }),
        sa().prop_map(|(index, spi)| Event::SaHardExpired { index, spi }),
        sa().prop_map(|(index, spi)| Event::SequenceExhausted { index, spi }),
        (port(), any::<bool>()).prop_map(|(port, up)| Event::PortLink { port, up }),
        (sa(), address(), 1_u16..).prop_map(|((index, spi), address, port)| Event::PeerMoved {
            index,
            spi,
            peer: (address, port).into(),
        }),
    ]
}
