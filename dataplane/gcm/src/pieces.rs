//! A packet in several pieces, as a chain of mbufs is: gathered, done in one piece, and brought back. Rare and slow.

use crate::NONCE_LEN;
use crate::back_end::BackEnd;
use crate::batch::{Aad, Job, open_by, seal_by};
use crate::gmac::{authenticate_by, verify_by};
use crate::key::Key;
use model::IcvLen;
use std::ops::Range;
use zeroize::Zeroize;

/// As [`Job`], for a packet that lies in pieces. Text and ICV may begin, end and be cut anywhere.
#[derive(Debug)]
pub struct Pieces<'a, 'p> {
    /// The key, which says whose work it is: the chosen back end's if that takes it.
    pub key: &'a Key,
    /// Salt and IV. Never twice with one key when sealing or authenticating.
    pub nonce: [u8; NONCE_LEN],
    /// What is authenticated beside the text.
    pub aad: Aad,
    /// The packet, any of which may be empty.
    pub pieces: &'a mut [&'p mut [u8]],
    /// Where the text is in all pieces, one behind the other; 0 to 65,535 bytes. The ICV follows at once.
    pub text: Range<usize>,
    /// Bytes of the ICV.
    pub icv: IcvLen,
}

/// As [`seal`](crate::seal); `false` if it was not done. `scratch` is where the packet is put together: whoever keeps it
/// from call to call spares the allocation. What it held is lost, and nothing of the packet stays in it.
#[must_use = "a packet that was not sealed must not be sent"]
pub fn seal_pieces(job: &mut Pieces<'_, '_>, scratch: &mut Vec<u8>) -> bool {
    job.in_one_piece(scratch, seal_by)
}

/// As [`open`](crate::open); `false` if it failed. `scratch` is as for [`seal_pieces`].
#[must_use = "what failed must not be used"]
pub fn open_pieces(job: &mut Pieces<'_, '_>, scratch: &mut Vec<u8>) -> bool {
    job.in_one_piece(scratch, open_by)
}

/// As [`authenticate`](crate::authenticate); `false` if it was not done. `scratch` is as for [`seal_pieces`].
#[must_use = "a packet that was not authenticated must not be sent"]
pub fn authenticate_pieces(job: &mut Pieces<'_, '_>, scratch: &mut Vec<u8>) -> bool {
    job.in_one_piece(scratch, authenticate_by)
}

/// As [`verify`](crate::verify); `false` if it failed. `scratch` is as for [`seal_pieces`].
#[must_use = "what failed must not be used"]
pub fn verify_pieces(job: &mut Pieces<'_, '_>, scratch: &mut Vec<u8>) -> bool {
    job.in_one_piece(scratch, verify_by)
}

impl Pieces<'_, '_> {
    fn in_one_piece(&mut self, scratch: &mut Vec<u8>, act: fn(BackEnd, &mut [Job<'_>]) -> u64) -> bool {
        let Some(end) = self.text.end.checked_add(self.icv.bytes()) else { return false };
        let Some(len) = self.text.end.checked_sub(self.text.start) else { return false };
        if self.pieces.iter().map(|piece| piece.len()).sum::<usize>() < end {
            return false;
        }
        // All at once, as a vector that grows leaves what it held behind.
        scratch.clear();
        scratch.reserve(len + self.icv.bytes());
        within(self.pieces, self.text.start..end, |part| scratch.extend_from_slice(part));
        let text = 0..len;
        let (key, nonce, aad, icv) = (self.key, self.nonce, self.aad, self.icv);
        let outcome = act(key.back_end(), &mut [Job { key, nonce, aad, packet: scratch, text, icv }]);
        let mut done = scratch.as_slice();
        within(self.pieces, self.text.start..end, |part| {
            if let Some((from, rest)) = done.split_at_checked(part.len()) {
                part.copy_from_slice(from);
                done = rest;
            }
        });
        scratch.zeroize();
        outcome == 0
    }
}

/// Shows what of each piece lies in that range of them all.
fn within(pieces: &mut [&mut [u8]], range: Range<usize>, mut see: impl FnMut(&mut [u8])) {
    let mut before = 0;
    for piece in pieces {
        let place = |end: usize| end.saturating_sub(before).min(piece.len());
        let part = place(range.start)..place(range.end);
        before += piece.len();
        if let Some(part) = piece.get_mut(part) {
            see(part);
        }
    }
}

#[cfg(test)]
mod tests;
