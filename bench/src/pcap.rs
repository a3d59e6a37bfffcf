//! Capture files of Ethernet frames, as DPDK's `net_pcap` reads and writes them.

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

/// Reads all whole frames.
///
/// # Errors
///
/// The file's.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = std::fs::read(path)?;
    let mut rest = file.get(24..).unwrap_or_default();
    let mut frames = Vec::new();
    // Two words of time, and the length of what is there; then that of what there was.
    while let Some((&[_, _, _, _, _, _, _, _, a, b, c, d, _, _, _, _], behind)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((frame, behind)) = behind.split_at_checked(length) else { break };
        frames.push(frame.to_vec());
        rest = behind;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pcap");
        let frames = [vec![1; 60], vec![2; 1514], vec![]];
        write(&file, frames.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(read(&file).unwrap(), frames);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 17]).unwrap();
        assert_eq!(read(&file).unwrap(), frames[..1]);
    }
}
