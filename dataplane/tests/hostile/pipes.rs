//! Capture files that have no end: pipes between a gateway's software ports and the threads that throw and catch.
//!
//! DPDK's `net_pcap` waits for a pipe as it would for a disk, so nothing is lost between, and there is one count on either
//! side for every frame.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Bytes between two system calls.
const BUFFER: usize = 1 << 16;
/// Of a frame, in bytes.
const LONGEST: usize = 1 << 16;

/// Makes one.
pub(crate) fn make(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// What a port receives.
pub(crate) struct Feed {
    pipe: BufWriter<File>,
    pub(crate) frames: u64,
}

impl Feed {
    /// Waits for the gateway to open its end.
    pub(crate) fn open(path: &Path) -> Feed {
        let file = File::options().write(true).open(path).unwrap();
        let mut pipe = BufWriter::with_capacity(BUFFER, file);
        for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            pipe.write_all(&word.to_le_bytes()).unwrap();
        }
        pipe.flush().unwrap();
        Feed { pipe, frames: 0 }
    }

    pub(crate) fn throw(&mut self, frame: &[u8]) {
        let len = frame.len() as u32;
        for word in [0, 0, len, len] {
            self.pipe.write_all(&u32::to_le_bytes(word)).unwrap();
        }
        self.pipe.write_all(frame).unwrap();
        self.frames += 1;
    }

    /// The port has received all that it ever will.
    pub(crate) fn close(mut self) -> u64 {
        self.pipe.flush().unwrap();
        self.frames
    }
}

/// Takes all that a port sends, until the gateway closes its end; returns how much it was.
pub(crate) fn catch(path: &Path, mut each: impl FnMut(&[u8])) -> u64 {
    let mut pipe = BufReader::with_capacity(BUFFER, File::open(path).unwrap());
    let mut header = [0; 24];
    if pipe.read_exact(&mut header).is_err() {
        return 0;
    }
    let mut frame = Vec::with_capacity(LONGEST);
    let mut frames = 0;
    let mut about = [0; 16];
    while pipe.read_exact(&mut about).is_ok() {
        let [_, _, _, _, _, _, _, _, a, b, c, d, _, _, _, _] = about;
        frame.resize(u32::from_le_bytes([a, b, c, d]) as usize, 0);
        pipe.read_exact(&mut frame).unwrap();
        each(&frame);
        frames += 1;
    }
    frames
}
