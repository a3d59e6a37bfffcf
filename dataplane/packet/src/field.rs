//! Big-endian fields at fixed places, read and written without a way to panic.
//!
//! Views check their lengths once, so the branches here are never taken for a checked view, and mostly vanish.

#[inline(always)]
pub(crate) fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    match bytes.get(at..).and_then(|tail| tail.first_chunk::<N>()) {
        Some(field) => *field,
        None => [0; N],
    }
}

#[inline(always)]
pub(crate) fn get_u8(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

#[inline(always)]
pub(crate) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(get(bytes, at))
}

#[inline(always)]
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(get(bytes, at))
}

#[inline(always)]
pub(crate) fn set<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<N>()) {
        *field = value;
    }
}

#[inline(always)]
pub(crate) fn set_u8(bytes: &mut [u8], at: usize, value: u8) {
    set(bytes, at, [value]);
}

#[inline(always)]
pub(crate) fn set_u16(bytes: &mut [u8], at: usize, value: u16) {
    set(bytes, at, value.to_be_bytes());
}

#[inline(always)]
pub(crate) fn set_u32(bytes: &mut [u8], at: usize, value: u32) {
    set(bytes, at, value.to_be_bytes());
}

/// From `at` to the end; empty if that is past the end.
#[inline(always)]
pub(crate) fn tail(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or(&[])
}

/// From `start` to `end`, each cut to what is there.
#[inline(always)]
pub(crate) fn between(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    tail(bytes.get(..end).unwrap_or(bytes), start)
}
