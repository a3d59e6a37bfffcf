//! Capture files of Ethernet frames, as DPDK's `net_pcap` reads and writes them.

use std::io;
use std::path::Path;

/// Writes frames, a microsecond apart.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) -> io::Result<()> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (time, frame) in (0_u32..).zip(frames) {
        let len = frame.len() as u32;
        for word in [0, time, len, len] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(frame);
    }
    std::fs::write(path, file)
}

/// Reads all whole frames.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = std::fs::read(path)?;
    let mut rest = file.get(24..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *header;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((frame, behind)) = behind.split_at_checked(len) else { break };
        frames.push(frame.to_vec());
        rest = behind;
    }
    Ok(frames)
}
