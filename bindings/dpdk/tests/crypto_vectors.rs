//! Published vectors, through every software device that is here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{eal, packets};
use dpdk::{Cipher, CryptoJob, CryptoOutcome, Cryptodev, DIGEST_MAX, Mac, Packets, Transform, Way};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn front<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    whole[..bytes.len()].copy_from_slice(bytes);
    whole
}

/// What the standard says.
struct Vector<'a> {
    source: &'static str,
    transform: Transform<'a>,
    iv: Vec<u8>,
    aad: Vec<u8>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    /// Empty where the standard has none.
    digest: Vec<u8>,
}

/// Both ways, at an odd place of the packet, and once more with a bit turned over.
fn check(device: &Cryptodev, queue: &mut dpdk::CryptoQueue, vector: &Vector<'_>) {
    let Vector { source, transform, iv, aad, plain, sealed, digest } = vector;
    let pool = packets();
    let (protect, open) =
        (device.session(Way::Protect, transform).unwrap(), device.session(Way::Open, transform).unwrap());
    let run = |queue: &mut dpdk::CryptoQueue, session, bytes: &[u8], digest| {
        let mut burst = Packets::new();
        let framed = [b"front", bytes, b"back"].concat();
        let slot = burst.push(pool.alloc_from_slice(&framed).unwrap()).unwrap();
        let text = 5..5 + bytes.len();
        let mut job = CryptoJob {
            session,
            slot,
            iv: front(iv),
            aad: front(aad),
            covered: text.clone(),
            text: text.clone(),
            digest,
            outcome: CryptoOutcome::Late,
        };
        queue.process(&mut burst, std::slice::from_mut(&mut job));
        let after = burst.get(slot).unwrap().data();
        assert!(after.starts_with(b"front") && after.ends_with(b"back"), "{source}: written outside");
        (after[text].to_vec(), job.digest, job.outcome)
    };
    let (made, made_digest, outcome) = run(queue, &protect, plain, [0; DIGEST_MAX]);
    assert_eq!((&made, outcome), (sealed, CryptoOutcome::Done), "{source} by {}", device.name());
    if !digest.is_empty() {
        assert_eq!(made_digest[..digest.len()], digest[..], "{source} by {}", device.name());
    }
    let (opened, _, outcome) = run(queue, &open, sealed, made_digest);
    assert_eq!((&opened, outcome), (plain, CryptoOutcome::Done), "{source} by {}", device.name());
    let mut forged = made_digest;
    forged[3] ^= 0x10;
    assert_eq!(run(queue, &open, sealed, forged).2, CryptoOutcome::Forged, "{source} by {}", device.name());
    let mut altered = sealed.clone();
    altered[0] ^= 1;
    assert_eq!(run(queue, &open, &altered, made_digest).2, CryptoOutcome::Forged, "{source}");
    assert_eq!(pool.in_use(), 0);
}

/// A MAC beside vectors that are of a cipher alone.
const SOME_MAC: (Mac, &[u8]) = (Mac::HmacSha256, &[0x5A; 32]);

fn cipher<'a>(
    source: &'static str,
    cipher: Cipher,
    key: &'a [u8],
    iv: &str,
    plain: &str,
    sealed: &str,
) -> Vector<'a> {
    Vector {
        source,
        transform: Transform::CipherMac { cipher: Some((cipher, key)), mac: SOME_MAC, digest: 16 },
        iv: unhex(iv),
        aad: vec![],
        plain: unhex(plain),
        sealed: unhex(sealed),
        digest: vec![],
    }
}

fn mac<'a>(source: &'static str, mac: Mac, key: &'a [u8], text: &[u8], digest: &str) -> Vector<'a> {
    let digest = unhex(digest);
    let transform = Transform::CipherMac { cipher: None, mac: (mac, key), digest: digest.len() as u8 };
    Vector { source, transform, iv: vec![], aad: vec![], plain: text.to_vec(), sealed: text.to_vec(), digest }
}

fn each_device(mut check: impl FnMut(&Cryptodev, &mut dpdk::CryptoQueue)) {
    let eal = eal();
    for name in ["crypto_aesni_mb", "crypto_openssl"] {
        let (device, mut queues) = Cryptodev::open(&eal, name, 1).unwrap();
        check(&device, &mut queues[0]);
    }
}

#[test]
fn chacha20_poly1305() {
    let key: Vec<u8> = (0x80..0xA0).collect();
    let rfc_8439 = Vector {
        source: "RFC 8439, section 2.8.2",
        transform: Transform::ChaCha20Poly1305 { key: &key, aad: 12 },
        iv: unhex("070000004041424344454647"),
        aad: unhex("50515253c0c1c2c3c4c5c6c7"),
        plain:
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                 sunscreen would be it."
                .to_vec(),
        sealed: unhex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b
             1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
             3ff4def08e4b7a9de576d26586cec64b6116",
        ),
        digest: unhex("1ae10b594f09e26a7e902ecbd0600691"),
    };
    let rfc_7634 = Vector {
        source: "RFC 7634, appendix A",
        transform: Transform::ChaCha20Poly1305 { key: &key, aad: 8 },
        iv: unhex("a0a1a2a31011121314151617"),
        aad: unhex("0102030400000005"),
        plain: unhex(
            "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213
             1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
        ),
        sealed: unhex(
            "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7
             2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0",
        ),
        digest: unhex("76aaa8266b7fb0f7b11b369907e1ad43"),
    };
    each_device(|device, queue| {
        for vector in [&rfc_8439, &rfc_7634] {
            // OpenSSL's driver does not have it, and must say so.
            if device.name() == "crypto_openssl" {
                assert!(!device.can(&vector.transform));
                let error = device.session(Way::Protect, &vector.transform).unwrap_err();
                assert!(error.to_string().contains("ChaCha20"), "{error}");
            } else {
                check(device, queue, vector);
            }
        }
    });
}

#[test]
fn aes_cbc() {
    let keys = ["06a9214036b8a15b512e03d534120006", "6c3ea0477630ce21a2ce334aa746c2cd"].map(unhex);
    let nist = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
                30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
    let (aes192, aes256) = (
        unhex("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"),
        unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
    );
    let iv = "000102030405060708090a0b0c0d0e0f";
    let vectors = [
        cipher(
            "RFC 3602, case 1",
            Cipher::AesCbc,
            &keys[0],
            "3dafba429d9eb430b422da802c9fac41",
            "53696e676c6520626c6f636b206d7367",
            "e353779c1079aeb82708942dbe77181a",
        ),
        cipher(
            "RFC 3602, case 3",
            Cipher::AesCbc,
            &keys[1],
            "c782dc4c098c66cbd9cd27d825682c81",
            "5468697320697320612034382d62797465206d657373616765202865786163746c7920332041455320626c6f636b7329",
            "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5021c19216bad525c8579695d83ba2684",
        ),
        cipher(
            "SP 800-38A, F.2.3",
            Cipher::AesCbc,
            &aes192,
            iv,
            nist,
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a
             571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        ),
        cipher(
            "SP 800-38A, F.2.5",
            Cipher::AesCbc,
            &aes256,
            iv,
            nist,
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d
             39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
    ];
    each_device(|device, queue| vectors.iter().for_each(|vector| check(device, queue, vector)));
}

#[test]
fn aes_ctr() {
    let keys = [
        "ae6852f8121067cc4bf7a5765577f39e",
        "7691be035e5020a8ac6e618529f9a0dc",
        "02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe",
        "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
    ]
    .map(unhex);
    let two_blocks_and_more = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223";
    let vectors = [
        cipher(
            "RFC 3686, vector 1",
            Cipher::AesCtr,
            &keys[0],
            "00000030000000000000000000000001",
            "53696e676c6520626c6f636b206d7367",
            "e4095d4fb7a7b3792d6175a3261311b8",
        ),
        cipher(
            "RFC 3686, vector 3",
            Cipher::AesCtr,
            &keys[1],
            "00e0017b27777f3f4a1786f000000001",
            two_blocks_and_more,
            "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f",
        ),
        cipher(
            "RFC 3686, vector 6",
            Cipher::AesCtr,
            &keys[2],
            "0007bdfd5cbd60278dcc091200000001",
            two_blocks_and_more,
            "96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935",
        ),
        cipher(
            "RFC 3686, vector 9",
            Cipher::AesCtr,
            &keys[3],
            "001cc5b751a51d70a1c1114800000001",
            two_blocks_and_more,
            "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8",
        ),
    ];
    each_device(|device, queue| vectors.iter().for_each(|vector| check(device, queue, vector)));
}

#[test]
fn triple_des() {
    let keys = [
        "b5cb1504802326c73df186e3e352a20de643b0d63ee30e37",
        "d98aadc76d4a3716158c32866efbb9ce834af2297379a49d",
    ]
    .map(unhex);
    let vectors = [
        cipher(
            "NIST CAVP, TCBCMMT3, 0",
            Cipher::TripleDesCbc,
            &keys[0],
            "43f791134c5647ba",
            "dcc153cef81d6f24",
            "92538bd8af18d3ba",
        ),
        cipher(
            "NIST CAVP, TCBCMMT3, 3",
            Cipher::TripleDesCbc,
            &keys[1],
            "3c5220327c502b44",
            "6174079dda53ca723ebf00a66837f8d5ce648c08acaa5ee45ffe62210ef79d3e",
            "f5bd4d600bed77bec78409e3530ebda1d815506ed53103015b87e371ae000958",
        ),
    ];
    each_device(|device, queue| vectors.iter().for_each(|vector| check(device, queue, vector)));
}

#[test]
fn hmac() {
    let (twenty, jefe) = ([0x0B; 20], b"Jefe");
    let text = b"what do ya want for nothing?";
    let vectors = [
        mac("RFC 2202, case 1", Mac::HmacSha1, &twenty, b"Hi There", "b617318655057264e28bc0b6"),
        mac("RFC 2202, case 2", Mac::HmacSha1, jefe, text, "effcdf6ae5eb2fa2d27416d5"),
        mac("RFC 4231, case 1", Mac::HmacSha256, &twenty, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
        mac("RFC 4231, case 2", Mac::HmacSha256, jefe, text, "5bdcc146bf60754e6a042426089575c7"),
        mac(
            "RFC 4231, case 1",
            Mac::HmacSha384,
            &twenty,
            b"Hi There",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec6",
        ),
        mac(
            "RFC 4231, case 2",
            Mac::HmacSha384,
            jefe,
            text,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47",
        ),
        mac(
            "RFC 4231, case 1",
            Mac::HmacSha512,
            &twenty,
            b"Hi There",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde",
        ),
        mac(
            "RFC 4231, case 2",
            Mac::HmacSha512,
            jefe,
            text,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554",
        ),
    ];
    each_device(|device, queue| vectors.iter().for_each(|vector| check(device, queue, vector)));
}
