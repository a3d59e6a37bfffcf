//! Installing an SA: what it is, and the numbers that its parts are in messages and descriptors.

use super::{NONE, below, read_flag, read_index};
use crate::codec::{Field, Malformed, Reader, Writer};
use crate::layout::{MAX_ENTRIES, MAX_REPLAY_WINDOW};
use model::{
    Cipher, Direction, DontFragment, Dummies, Fragmentation, Hmac, IcvLen, KeyLen, KeyMaterial, Mode,
    SizeRules, Spi, Suite, Tfc, TfcPadding,
};
use std::net::IpAddr;

/// The limits of an SA in what passes through it; time is the control plane's to watch. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Packets after which an event asks for a new SA; not above the hard limit.
    pub soft_packets: Option<u64>,
    /// Packets after which the SA carries nothing more.
    pub hard_packets: Option<u64>,
    /// Bytes of inner packets after which an event asks for a new SA; not above the hard limit.
    pub soft_bytes: Option<u64>,
    /// Bytes of inner packets after which the SA carries nothing more.
    pub hard_bytes: Option<u64>,
}

/// One ESP SA. Boxed in a [`Command`](super::Command), so that its key is not copied about on stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSa {
    /// Its index in the SA table, which also names it in other commands and events.
    pub index: u32,
    /// Inbound or outbound.
    pub direction: Direction,
    /// SPI.
    pub spi: Spi,
    /// Algorithms.
    pub suite: Suite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Keying material, as long as the suite wants.
    pub key: KeyMaterial,
    /// Outer address on this side.
    pub local: IpAddr,
    /// Outer address of the peer, of the same family.
    pub remote: IpAddr,
    /// ESP goes in UDP (RFC 3948), to this port of the peer until the peer is seen elsewhere; `None`: directly over IP.
    /// Inbound, both are taken whatever it says, and with it the peer may move.
    pub udp_port: Option<u16>,
    /// Extended (64-bit) sequence numbers, RFC 4303 section 2.2.1.
    pub extended_sequence: bool,
    /// Inbound: packets of the anti-replay window; 0 turns the check off.
    pub replay_window: u32,
    /// Outbound: the first sequence number to use, at least 1.
    pub first_sequence: u64,
    /// Inbound: the highest sequence number already accepted; it and all below count as seen. 0 for a new SA.
    pub replay_floor: u64,
    /// Outbound: a packet's IV is this plus its sequence number, wrapping.
    pub iv_base: u64,
    /// Limits of packets and bytes.
    pub limits: Limits,
    /// Outbound: what becomes of packets that are too long for it.
    pub size: SizeRules,
    /// Outbound: how it hides the lengths of its packets, and when there are any.
    pub tfc: Tfc,
    /// The policy entry that it serves, for people and for inbound accounting.
    pub entry: Option<u32>,
}

pub(crate) const fn direction_number(direction: Direction) -> u8 {
    match direction {
        Direction::Inbound => 1,
        Direction::Outbound => 2,
    }
}

pub(crate) const fn direction_from(number: u8) -> Option<Direction> {
    match number {
        1 => Some(Direction::Inbound),
        2 => Some(Direction::Outbound),
        _ => None,
    }
}

pub(crate) const fn mode_number(mode: Mode) -> u8 {
    match mode {
        Mode::Tunnel => 1,
        Mode::Transport => 2,
    }
}

pub(crate) const fn mode_from(number: u8) -> Option<Mode> {
    match number {
        1 => Some(Mode::Tunnel),
        2 => Some(Mode::Transport),
        _ => None,
    }
}

/// DF in the low bits, fragmentation above.
const fn size_number(size: SizeRules) -> u8 {
    let df = match size.df {
        DontFragment::Copy => 0,
        DontFragment::Set => 1,
        DontFragment::Clear => 2,
    };
    match size.fragmentation {
        Fragmentation::BeforeEncryption => df,
        Fragmentation::AfterEncryption => df | 4,
    }
}

const fn size_from(number: u8) -> Option<SizeRules> {
    let df = match number & 3 {
        0 => DontFragment::Copy,
        1 => DontFragment::Set,
        2 => DontFragment::Clear,
        _ => return None,
    };
    let fragmentation = match number >> 2 {
        0 => Fragmentation::BeforeEncryption,
        1 => Fragmentation::AfterEncryption,
        _ => return None,
    };
    Some(SizeRules { df, fragmentation })
}

/// A kind and a number for padding, and for dummies.
pub(crate) const fn tfc_numbers(tfc: Tfc) -> [(u8, u16); 2] {
    let padding = match tfc.padding {
        TfcPadding::None => (0, 0),
        TfcPadding::UpTo(len) => (1, len),
        TfcPadding::Mtu => (2, 0),
    };
    let dummies = match tfc.dummies {
        Dummies::None => (0, 0),
        Dummies::PerSecond(rate) => (1, rate as u16),
        Dummies::Seconds(seconds) => (2, seconds),
    };
    [padding, dummies]
}

pub(crate) fn tfc_from([padding, dummies]: [(u8, u16); 2]) -> Option<Tfc> {
    let padding = match padding {
        (0, 0) => TfcPadding::None,
        (1, len) => TfcPadding::UpTo(len),
        (2, 0) => TfcPadding::Mtu,
        _ => return None,
    };
    let dummies = match dummies {
        (0, 0) => Dummies::None,
        (1, rate) if rate != 0 => Dummies::PerSecond(u8::try_from(rate).ok()?),
        (2, seconds) if seconds != 0 => Dummies::Seconds(seconds),
        _ => return None,
    };
    Some(Tfc { padding, dummies })
}

/// Family of the suite, bytes of cipher key, bytes of ICV, which say which of the family it is.
pub(crate) const fn suite_numbers(suite: Suite) -> [u8; 3] {
    let family = match suite {
        Suite::AesGcm { .. } => 1,
        Suite::AesGmac { .. } => 2,
        Suite::ChaCha20Poly1305 => 3,
        Suite::CipherHmac { cipher, .. } => match cipher {
            Cipher::Null => 4,
            Cipher::TripleDesCbc => 5,
            Cipher::AesCbc(_) => 6,
            Cipher::AesCtr(_) => 7,
        },
        Suite::AesGcmIiv { .. } => 8,
        Suite::ChaCha20Poly1305Iiv => 9,
    };
    [family, suite.key_shape().cipher as u8, suite.icv_len() as u8]
}

pub(crate) fn suite_from(numbers: [u8; 3]) -> Option<Suite> {
    let [family, key, icv] = numbers;
    let aes = || KeyLen::ALL.into_iter().find(|len| len.bytes() == usize::from(key));
    let gcm_icv = || IcvLen::ALL.into_iter().find(|len| len.bytes() == usize::from(icv));
    let hmac = || Hmac::ALL.into_iter().find(|hmac| hmac.icv_len() == usize::from(icv));
    let with = |cipher| Some(Suite::CipherHmac { cipher, hmac: hmac()? });
    let suite = match family {
        1 => Suite::AesGcm { key: aes()?, icv: gcm_icv()? },
        2 => Suite::AesGmac { key: aes()? },
        3 => Suite::ChaCha20Poly1305,
        4 => with(Cipher::Null)?,
        5 => with(Cipher::TripleDesCbc)?,
        6 => with(Cipher::AesCbc(aes()?))?,
        7 => with(Cipher::AesCtr(aes()?))?,
        8 => Suite::AesGcmIiv { key: aes()? },
        9 => Suite::ChaCha20Poly1305Iiv,
        _ => return None,
    };
    (suite_numbers(suite) == numbers).then_some(suite)
}

impl Limits {
    /// In the order in which they stand in messages and descriptors; 0 is no limit.
    pub(crate) fn words(&self) -> [u64; 4] {
        [self.soft_packets, self.hard_packets, self.soft_bytes, self.hard_bytes]
            .map(Option::unwrap_or_default)
    }

    pub(crate) fn from_words(
        [soft_packets, hard_packets, soft_bytes, hard_bytes]: [u64; 4],
    ) -> Option<Limits> {
        let some = |v: u64| (v != 0).then_some(v);
        let ordered = |soft: u64, hard: u64| soft == 0 || hard == 0 || soft <= hard;
        (ordered(soft_packets, hard_packets) && ordered(soft_bytes, hard_bytes)).then_some(Limits {
            soft_packets: some(soft_packets),
            hard_packets: some(hard_packets),
            soft_bytes: some(soft_bytes),
            hard_bytes: some(hard_bytes),
        })
    }
}

impl InstallSa {
    pub(super) fn write(&self, w: &mut Writer<'_>) -> Result<(), Malformed> {
        w.u32(self.index)?;
        w.u8(direction_number(self.direction))?;
        w.u8(mode_number(self.mode))?;
        w.bytes(&suite_numbers(self.suite))?;
        w.u8(u8::from(self.extended_sequence))?;
        w.u32(self.spi.get())?;
        w.address(self.local)?;
        w.address(self.remote)?;
        w.u16(self.udp_port.unwrap_or_default())?;
        w.u32(self.replay_window)?;
        w.u64(self.first_sequence)?;
        w.u64(self.replay_floor)?;
        w.u64(self.iv_base)?;
        for limit in self.limits.words() {
            w.u64(limit)?;
        }
        w.u8(size_number(self.size))?;
        for (kind, number) in tfc_numbers(self.tfc) {
            w.u8(kind)?;
            w.u16(number)?;
        }
        w.u32(self.entry.unwrap_or(NONE))?;
        // A port or limit of zero, or an entry that reads as "none", would come back as something else.
        if self.udp_port == Some(0) {
            return Err(Malformed(Field::UdpPort));
        }
        if self.limits != Limits::from_words(self.limits.words()).ok_or(Malformed(Field::Lifetime))? {
            return Err(Malformed(Field::Lifetime));
        }
        if self.entry == Some(NONE) {
            return Err(Malformed(Field::Entry));
        }
        let key = self.key.expose();
        w.u8(u8::try_from(key.len()).map_err(|_| Malformed(Field::Key))?)?;
        w.bytes(key)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Box<InstallSa>, Malformed> {
        let index = read_index(r)?;
        let direction = direction_from(r.u8()?).ok_or(Malformed(Field::Direction))?;
        let mode = mode_from(r.u8()?).ok_or(Malformed(Field::Mode))?;
        let suite = suite_from(r.array()?).ok_or(Malformed(Field::Suite))?;
        let extended_sequence = read_flag(r, Field::Flags)?;
        let spi = Spi::new(r.u32()?).map_err(|_| Malformed(Field::Spi))?;
        let local = r.address(Field::LocalAddress)?;
        let remote = r.address(Field::RemoteAddress)?;
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(Malformed(Field::RemoteAddress));
        }
        let udp_port = Some(r.u16()?).filter(|&port| port != 0);
        let replay_window = r.u32()?;
        if replay_window > MAX_REPLAY_WINDOW {
            return Err(Malformed(Field::ReplayWindow));
        }
        let (first_sequence, replay_floor, iv_base) = (r.u64()?, r.u64()?, r.u64()?);
        let too_wide = |n: u64| !extended_sequence && n > u64::from(u32::MAX);
        if first_sequence == 0 || too_wide(first_sequence) || too_wide(replay_floor) {
            return Err(Malformed(Field::Sequence));
        }
        let limits = [r.u64()?, r.u64()?, r.u64()?, r.u64()?];
        let limits = Limits::from_words(limits).ok_or(Malformed(Field::Lifetime))?;
        let size = size_from(r.u8()?).ok_or(Malformed(Field::Flags))?;
        let tfc = [(r.u8()?, r.u16()?), (r.u8()?, r.u16()?)];
        let tfc = tfc_from(tfc).ok_or(Malformed(Field::Tfc))?;
        let entry = match r.u32()? {
            NONE => None,
            entry => Some(below(entry, MAX_ENTRIES, Field::Entry)?),
        };
        let len = usize::from(r.u8()?);
        suite.check_key_material(len).map_err(|_| Malformed(Field::Key))?;
        let mut bytes = zeroize::Zeroizing::new([0; KeyMaterial::MAX]);
        let bytes = bytes.get_mut(..len).ok_or(Malformed(Field::Key))?;
        r.fill(bytes)?;
        let key = KeyMaterial::new(bytes).ok_or(Malformed(Field::Key))?;
        Ok(Box::new(InstallSa {
            index,
            direction,
            spi,
            suite,
            mode,
            key,
            local,
            remote,
            udp_port,
            extended_sequence,
            replay_window,
            first_sequence,
            replay_floor,
            iv_base,
            limits,
            size,
            tfc,
            entry,
        }))
    }
}
