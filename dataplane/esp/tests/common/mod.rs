//! What the tests share: AES-GCM from the `aes-gcm` crate, inner packets, and both directions through it.
#![allow(dead_code)] // Each test crate uses a part of it.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use esp::find::{Found, find};
use esp::reference::Aead;
use esp::tunnel::{Options, Version};
use esp::{inbound, outbound};
use model::{IcvLen, KeyLen, Mode, Spi, Suite};
use packet::{ipv4, ipv6};
use std::net::IpAddr;

/// AES-GCM with a key of 16, 24 or 32 bytes.
pub(crate) enum Gcm {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<AesGcm<Aes192, U12, U16>>),
    Aes256(Box<Aes256Gcm>),
}

impl Gcm {
    /// `key` without the salt.
    pub(crate) fn new(key: &[u8]) -> Gcm {
        match key.len() {
            16 => Gcm::Aes128(Box::new(KeyInit::new_from_slice(key).unwrap())),
            24 => Gcm::Aes192(Box::new(KeyInit::new_from_slice(key).unwrap())),
            32 => Gcm::Aes256(Box::new(KeyInit::new_from_slice(key).unwrap())),
            other => panic!("no AES key has {other} bytes"),
        }
    }
}

impl Aead for Gcm {
    fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &[u8]) -> Vec<u8> {
        let mut out = text.to_vec();
        let nonce = nonce.into();
        let buffer = InOutBuf::from(&mut out[..]);
        let tag = match self {
            Gcm::Aes128(key) => key.encrypt_inout_detached(&nonce, aad, buffer),
            Gcm::Aes192(key) => key.encrypt_inout_detached(&nonce, aad, buffer),
            Gcm::Aes256(key) => key.encrypt_inout_detached(&nonce, aad, buffer),
        };
        out.extend(tag.unwrap());
        out
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], text_and_icv: &[u8], icv_len: usize) -> Option<Vec<u8>> {
        let (text, icv) = text_and_icv.split_at_checked(text_and_icv.len().checked_sub(icv_len)?)?;
        // Counter mode undoes itself, whatever the tag; then the tag of the plaintext must be the one that came. This way
        // ICVs of any length can be checked.
        let mut plain = self.seal(nonce, aad, text);
        plain.truncate(text.len());
        let sealed = self.seal(nonce, aad, &plain);
        (sealed[text.len()..text.len() + icv_len] == *icv).then_some(plain)
    }
}

/// One SA, seen from both ends.
#[derive(Clone, Debug)]
pub(crate) struct Sa {
    pub(crate) spi: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) salt: [u8; 4],
    pub(crate) icv: IcvLen,
    /// The IV is not sent; the ICV has 16 bytes then, whatever `icv` says.
    pub(crate) implicit_iv: bool,
    pub(crate) esn: bool,
    pub(crate) window: u32,
    pub(crate) mode: Mode,
    /// Over IPv6.
    pub(crate) over_v6: bool,
    pub(crate) udp_port: Option<u16>,
    pub(crate) options: Options,
}

impl Default for Sa {
    /// Tunnel mode over IPv4, AES-128.
    fn default() -> Sa {
        Sa {
            spi: 0x1000,
            key: (0..16).collect(),
            salt: [0xA0, 0xA1, 0xA2, 0xA3],
            icv: IcvLen::Bytes16,
            implicit_iv: false,
            esn: false,
            window: 64,
            mode: Mode::Tunnel,
            over_v6: false,
            udp_port: None,
            options: Options::default(),
        }
    }
}

/// The ends of an SA of that family.
pub(crate) fn ends(v6: bool) -> (IpAddr, IpAddr) {
    if v6 {
        ("2001:db8::1".parse().unwrap(), "2001:db8:5::2".parse().unwrap())
    } else {
        ([192, 0, 2, 1].into(), [198, 51, 100, 2].into())
    }
}

impl Sa {
    pub(crate) fn suite(&self) -> Suite {
        let key = [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256]
            .into_iter()
            .find(|len| len.bytes() == self.key.len())
            .unwrap();
        if self.implicit_iv { Suite::AesGcmIiv { key } } else { Suite::AesGcm { key, icv: self.icv } }
    }

    pub(crate) fn outbound(&self) -> outbound::Parameters {
        let (local, remote) = ends(self.over_v6);
        outbound::Parameters {
            spi: Spi::new(self.spi).unwrap(),
            suite: self.suite(),
            mode: self.mode,
            salt: self.salt,
            esn: self.esn,
            local,
            remote,
            udp_port: self.udp_port,
            tunnel: self.options.clone(),
        }
    }

    pub(crate) fn inbound(&self) -> inbound::Parameters {
        inbound::Parameters::new(self.suite(), self.mode, self.salt, self.esn, self.window)
    }

    /// The keying material as RFC 4106 has it: key, then salt.
    pub(crate) fn key_and_salt(&self) -> Vec<u8> {
        [&self.key[..], &self.salt].concat()
    }

    /// Out by the quick way, sealed by `aes-gcm`.
    pub(crate) fn encapsulate(&self, sequence: u64, iv: u64, inner: &[u8]) -> Vec<u8> {
        let template = outbound::Template::new(&self.outbound()).unwrap();
        let iv = if self.implicit_iv { sequence } else { iv };
        let mut packet = vec![0xEE; template.header_len()];
        packet.extend(inner);
        packet.resize(packet.len() + template.trailer_len(inner), 0xEE);
        let sealing = outbound::encapsulate(&template, sequence, iv, &mut packet, inner.len()).unwrap();
        let text = packet[sealing.text.clone()].to_vec();
        let sealed = Gcm::new(&self.key).seal(sealing.nonce, sealing.aad.as_slice(), &text);
        let len = packet.len();
        packet[sealing.text.start..].copy_from_slice(&sealed[..len - sealing.text.start]);
        if template.completes() {
            outbound::complete(&template, &mut packet);
        }
        packet
    }

    /// In by the quick way, opened by `aes-gcm`. The replay window is the caller's.
    pub(crate) fn decapsulate(&self, highest: u64, packet: &[u8]) -> Result<(u64, Vec<u8>), String> {
        let version = Version::of(packet).ok_or("no IP packet")?;
        let Found::Esp { at, end, .. } = find(version, packet) else { return Err("Truncated".into()) };
        let mut packet = packet[..end].to_vec();
        let opening =
            inbound::prepare(&self.inbound(), &packet, at, highest).map_err(|error| format!("{error:?}"))?;
        let plain = Gcm::new(&self.key)
            .open(opening.nonce, opening.aad.as_slice(), &packet[opening.text.start..], self.icv.bytes())
            .ok_or("BadIcv")?;
        packet[opening.text.clone()].copy_from_slice(&plain);
        let inner =
            inbound::finish(self.mode, &mut packet, opening.text).map_err(|error| format!("{error:?}"))?;
        Ok((opening.sequence, packet[inner.range].to_vec()))
    }
}

/// An IPv4 or IPv6 packet of `len` bytes that carries UDP with a payload that depends on `seed`, between hosts behind the
/// SA's ends.
pub(crate) fn inner(v6: bool, len: usize, tos: u8, df: bool, seed: u32) -> Vec<u8> {
    let hosts = if v6 {
        ("2001:db8:1::1".parse().unwrap(), "2001:db8:2::1".parse().unwrap())
    } else {
        ([10, 1, 0, 1].into(), [10, 2, 0, 1].into())
    };
    between(hosts, len, tos, df, seed)
}

/// The same between any two hosts of one family.
pub(crate) fn between(hosts: (IpAddr, IpAddr), len: usize, tos: u8, df: bool, seed: u32) -> Vec<u8> {
    let v6 = hosts.0.is_ipv6();
    let header_len = if v6 { 40 } else { 20 };
    let payload_len = len.checked_sub(header_len).expect("room for the header");
    let mut bytes = vec![0; header_len];
    match hosts {
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Repr {
            source,
            destination,
            next_header: 17,
            traffic_class: tos,
            flow_label: seed & 0xF_FFFF,
            hop_limit: 63,
            payload_len,
        }
        .emit(&mut bytes)
        .unwrap(),
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4::Repr {
            source,
            destination,
            protocol: 17,
            tos,
            ttl: 63,
            df,
            identification: seed as u16,
            payload_len,
        }
        .emit(&mut bytes)
        .unwrap(),
        _ => panic!("hosts of two families"),
    }
    let mut state = seed | 1;
    bytes.resize_with(len, || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    if payload_len >= 8 {
        bytes[header_len..header_len + 4].copy_from_slice(&[0xC0, 0x01, 0xC0, 0x02]);
        bytes[header_len + 4..header_len + 6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        bytes[header_len + 6..header_len + 8].fill(0);
        if v6 {
            packet::udp::fill_checksum(&mut bytes[header_len..], hosts.0, hosts.1).unwrap();
        }
    }
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
