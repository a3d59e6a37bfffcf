//! Published packets: draft-mcgrew-gcm-test-01, "Test Cases for the use of GCM and GMAC in IPsec ESP", section 4.
//!
//! Their next headers are not of tunnel mode, so they are opened and sealed here, not decapsulated.
#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{Gcm, Sa, inner, unhex};
use esp::reference::Aead;
use esp::{inbound, outbound};
use model::IcvLen;

struct Vector {
    key: &'static str,
    salt: [u8; 4],
    spi: u32,
    sequence: u64,
    esn: bool,
    iv: u64,
    text: &'static str,
    text_and_icv: &'static str,
}

const VECTORS: [Vector; 2] = [
    Vector {
        key: "4c80cdefbb5d10da906ac73c3613a634",
        salt: [0x2e, 0x44, 0x3b, 0x68],
        spi: 0x0000_4321,
        sequence: 0x8765_4321_0000_0000,
        esn: true,
        iv: 0x4956_ed7e_3b24_4cfe,
        text: "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000
               00000000045f736970045f756470037369700963796265726369747902646b00
               0021000101020201",
        text_and_icv: "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34
                       cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce
                       61bc17d768fd9732459018148f6cbe722fd04796562dfdb4",
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: [0x11, 0x22, 0x33, 0x44],
        spi: 0x4a2c_bfe3,
        sequence: 2,
        esn: false,
        iv: 0x0102_0304_0506_0708,
        text: "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000
               7002400020bf0000020405b40101040201020201",
        text_and_icv: "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763
                       748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c49
                       15956c96",
    },
];

#[test]
fn published_packets_are_sealed_and_opened() {
    for vector in VECTORS {
        let sa = Sa {
            spi: vector.spi,
            key: unhex(vector.key),
            salt: vector.salt,
            icv: IcvLen::Bytes16,
            esn: vector.esn,
            ..Sa::default()
        };
        let gcm = Gcm::new(&sa.key);
        let (text, sealed) = (unhex(vector.text), unhex(vector.text_and_icv));

        // Ours, around another inner packet, gives headers, nonce and additional data.
        let template = outbound::Template::new(&sa.outbound()).unwrap();
        let inner = inner(false, 20, 0, false, 1);
        let mut packet = vec![0; template.header_len()];
        packet.extend(&inner);
        packet.resize(packet.len() + template.trailer_len(inner.len()), 0);
        let sealing =
            outbound::encapsulate(&template, vector.sequence, vector.iv, &mut packet, inner.len()).unwrap();
        assert_eq!(gcm.seal(sealing.nonce, sealing.aad.as_slice(), &text), sealed);

        packet.truncate(sealing.text.start);
        packet.extend(&sealed);
        let opening = inbound::prepare(&sa.inbound(), &packet, 20, vector.sequence).unwrap();
        assert_eq!(opening.sequence, vector.sequence);
        let opened = gcm.open(opening.nonce, opening.aad.as_slice(), &packet[opening.text.start..], 16);
        assert_eq!(opened, Some(text.clone()));
        packet[opening.text.clone()].copy_from_slice(&text);
        let refused = inbound::finish(sa.mode, &mut packet, opening.text);
        assert_eq!(refused, Err(inbound::Error::BadNextHeader(1)));
    }
}
