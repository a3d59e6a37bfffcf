//! Packets of ESP with their additional data, which the large sets have few of: from draft-mcgrew-gcm-test-01, "Test Cases
//! for the use of GCM and GMAC in IPsec ESP".

use super::check::{Ran, Vector};

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let byte = |place| u8::from_str_radix(&text[place..place + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Key, nonce, additional data, text, ciphertext, tag.
const PACKETS: [[&str; 6]; 3] = [
    // Extended sequence numbers, AES-128.
    [
        "4c80cdefbb5d10da906ac73c3613a634",
        "2e443b684956ed7e3b244cfe",
        "000043218765432100000000",
        "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000\
         00000000045f736970045f756470037369700963796265726369747902646b00\
         0021000101020201",
        "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34\
         cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce\
         61bc17d768fd9732",
        "459018148f6cbe722fd04796562dfdb4",
    ],
    // AES-256.
    [
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        "112233440102030405060708",
        "4a2cbfe300000002",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000\
         7002400020bf0000020405b40101040201020201",
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763\
         748a637985771d347f0545659f14e99def842d8e",
        "b335f4eecfdbf831824b4c4915956c96",
    ],
    // GMAC: SPI, sequence number, IV and payload in one.
    [
        "4c80cdefbb5d10da906ac73c3613a634",
        "22433c640000000000000000",
        "0000432100000007\
         0000000000000000\
         45000030da3a00008001df3bc0a80005c0a800010800c6cd0200070061626364\
         65666768696a6b6c6d6e6f707172737401020201",
        "",
        "",
        "f2a9a836e155106aa8dcd618e4099aaa",
    ],
];

#[test]
fn packets() {
    let mut ran = Ran::default();
    for packet in PACKETS {
        let [key, nonce, aad, text, ciphertext, tag] = packet.map(hex);
        let whole = Vector { key, nonce, aad, text: Some(text), ciphertext, tag, valid: true };
        // Shorter ICVs are the tag's beginning.
        for icv in [16, 12, 8] {
            let mut vector = whole.clone();
            vector.tag.truncate(icv);
            ran.run(&vector);
            vector.valid = false;
            vector.tag[icv - 1] ^= 0x80;
            ran.run(&vector);
        }
    }
    assert_eq!(ran, Ran { reference: 18, burst: 12, gmac: 6, other_nonces: 0 });
}
