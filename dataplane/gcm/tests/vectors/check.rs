//! One vector, through every path that can express it.

use gcm::{
    Aad, BackEnd, Job, Key, NONCE_LEN, Pieces, authenticate_by, authenticate_pieces, open_by, open_pieces,
    reference, seal_by, seal_pieces, verify_by, verify_pieces,
};
use model::{IcvLen, KeyLen};

/// Bytes around a packet's text and ICV.
const AROUND: usize = 5;

#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) key: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    /// What the ciphertext becomes; not known of all that are not valid.
    pub(crate) text: Option<Vec<u8>>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    pub(crate) valid: bool,
}

/// How many vectors went which way; those of a burst on every back end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// By the slow twin.
    pub(crate) reference: usize,
    /// Sealed and opened in a burst: additional data of up to 12 bytes, and an ICV that ESP knows.
    pub(crate) burst: usize,
    /// Authenticated and verified in a burst: those without text.
    pub(crate) gmac: usize,
    /// Out of scope, as ESP has no other nonces than those of 12 bytes.
    pub(crate) other_nonces: usize,
}

impl Ran {
    pub(crate) fn run(&mut self, vector: &Vector) {
        let Ok(nonce) = <[u8; NONCE_LEN]>::try_from(vector.nonce.as_slice()) else {
            self.other_nonces += 1;
            return;
        };
        by_the_reference(vector, &nonce);
        self.reference += 1;
        let Some(icv) = icv(vector) else { return };
        if let Some(aad) = Aad::new(&vector.aad) {
            for back_end in BackEnd::available() {
                in_a_burst(vector, back_end, nonce, aad, icv);
            }
            self.burst += 1;
        }
        if vector.ciphertext.is_empty() {
            for back_end in BackEnd::available() {
                // What is authenticated goes on from additional data to text, wherever the one ends.
                for cut in 0..=vector.aad.len().min(Aad::MAX) {
                    as_gmac(vector, back_end, nonce, cut, icv);
                }
            }
            self.gmac += 1;
        }
    }
}

fn length(vector: &Vector) -> KeyLen {
    let all = [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256];
    all.into_iter().find(|length| length.bytes() == vector.key.len()).unwrap()
}

fn icv(vector: &Vector) -> Option<IcvLen> {
    let all = [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16];
    all.into_iter().find(|icv| icv.bytes() == vector.tag.len())
}

fn by_the_reference(vector: &Vector, nonce: &[u8; NONCE_LEN]) {
    let key = reference::Key::new(&vector.key, length(vector)).unwrap();
    if let Some(text) = vector.text.as_ref().filter(|_| vector.valid) {
        let mut sealed = text.clone();
        let (one, two) = sealed.split_at_mut(text.len() / 3);
        let tag = key.seal(nonce, &vector.aad, &mut [one, two]);
        assert_eq!(sealed, vector.ciphertext, "{vector:x?}");
        assert_eq!(tag[..vector.tag.len()], vector.tag, "{vector:x?}");
    }
    let mut opened = vector.ciphertext.clone();
    let verified = key.open(nonce, &vector.aad, &mut [&mut opened], &vector.tag);
    // It does not look at an ICV that ESP does not know.
    assert_eq!(verified, vector.valid && icv(vector).is_some(), "{vector:x?}");
    assert_eq!(opened, expected(vector, verified), "{vector:x?}");
    if vector.ciphertext.is_empty() {
        assert_eq!(key.verify(nonce, &vector.aad, &vector.tag), verified, "{vector:x?}");
    }
}

/// What is to be there after opening.
fn expected(vector: &Vector, verified: bool) -> Vec<u8> {
    match &vector.text {
        Some(text) if verified => text.clone(),
        _ => vec![0; vector.ciphertext.len()],
    }
}

/// A packet of text and ICV, with other bytes around.
fn packet(text: &[u8], icv: &[u8]) -> Vec<u8> {
    [&[0xA5; AROUND], text, icv, &[0x5A; AROUND]].concat()
}

fn in_a_burst(vector: &Vector, back_end: BackEnd, nonce: [u8; NONCE_LEN], aad: Aad, icv: IcvLen) {
    let key = Key::new_for(back_end, &vector.key, length(vector)).unwrap();
    let sealed = packet(&vector.ciphertext, &vector.tag);
    if let Some(clear) = vector.text.as_ref().filter(|_| vector.valid) {
        let clear = packet(clear, &vec![0; icv.bytes()]);
        assert_eq!(
            in_one(seal_by, back_end, &key, nonce, aad, &clear, icv),
            (true, sealed.clone()),
            "{vector:x?}"
        );
        assert_eq!(
            in_pieces(seal_pieces, &key, nonce, aad, &clear, icv),
            (true, sealed.clone()),
            "{vector:x?}"
        );
    }
    let opened = packet(&expected(vector, vector.valid), &vector.tag);
    let outcome = (vector.valid, opened);
    assert_eq!(
        in_one(open_by, back_end, &key, nonce, aad, &sealed, icv),
        outcome,
        "{back_end:?} {vector:x?}"
    );
    assert_eq!(in_pieces(open_pieces, &key, nonce, aad, &sealed, icv), outcome, "{back_end:?} {vector:x?}");
}

fn as_gmac(vector: &Vector, back_end: BackEnd, nonce: [u8; NONCE_LEN], cut: usize, icv: IcvLen) {
    let key = Key::new_for(back_end, &vector.key, length(vector)).unwrap();
    let (aad, text) = vector.aad.split_at(cut);
    let aad = Aad::new(aad).unwrap();
    let whole = packet(text, &vector.tag);
    if vector.valid {
        let (bare, outcome) = (packet(text, &vec![0; icv.bytes()]), (true, whole.clone()));
        assert_eq!(in_one(authenticate_by, back_end, &key, nonce, aad, &bare, icv), outcome, "{vector:x?}");
        assert_eq!(in_pieces(authenticate_pieces, &key, nonce, aad, &bare, icv), outcome, "{vector:x?}");
    }
    let left = if vector.valid { text.to_vec() } else { vec![0; text.len()] };
    let outcome = (vector.valid, packet(&left, &vector.tag));
    assert_eq!(
        in_one(verify_by, back_end, &key, nonce, aad, &whole, icv),
        outcome,
        "{back_end:?} {vector:x?}"
    );
    assert_eq!(in_pieces(verify_pieces, &key, nonce, aad, &whole, icv), outcome, "{back_end:?} {vector:x?}");
}

/// Whether it was done, and what was left of the packet.
fn in_one(
    act: fn(BackEnd, &mut [Job<'_>]) -> u64,
    back_end: BackEnd,
    key: &Key,
    nonce: [u8; NONCE_LEN],
    aad: Aad,
    packet: &[u8],
    icv: IcvLen,
) -> (bool, Vec<u8>) {
    let mut packet = packet.to_vec();
    let text = AROUND..packet.len() - AROUND - icv.bytes();
    let failed = act(back_end, &mut [Job { key, nonce, aad, packet: &mut packet, text, icv }]);
    (failed == 0, packet)
}

/// The same in three pieces.
fn in_pieces(
    act: fn(&mut Pieces<'_, '_>, &mut Vec<u8>) -> bool,
    key: &Key,
    nonce: [u8; NONCE_LEN],
    aad: Aad,
    packet: &[u8],
    icv: IcvLen,
) -> (bool, Vec<u8>) {
    let mut packet = packet.to_vec();
    let text = AROUND..packet.len() - AROUND - icv.bytes();
    let (one, rest) = packet.split_at_mut(AROUND + text.len() / 2);
    let (two, three) = rest.split_at_mut(rest.len() - AROUND - 3);
    let mut pieces = [one, two, three];
    let done = act(&mut Pieces { key, nonce, aad, pieces: &mut pieces, text, icv }, &mut Vec::new());
    (done, packet)
}
