//! Capture files of Ethernet frames, as DPDK's `net_pcap` reads them.

use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes frames, a microsecond apart.
///
/// # Errors
///
/// The file's.
pub fn write<'a>(path: &Path, frames: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    // Magic number, version 2.4, no time zone, whole frames, Ethernet.
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.write_all(&word.to_le_bytes())?;
    }
    for (time, frame) in (0_u32..).zip(frames) {
        let len = frame.len() as u32;
        for word in [time / 1_000_000, time % 1_000_000, len, len] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(frame)?;
    }
    file.flush()
}
