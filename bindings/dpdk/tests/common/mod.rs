//! What the tests share: one EAL for the process, and names that no other test of it has.
#![allow(dead_code, reason = "each test program uses its part")]

use dpdk::{Eal, Mempool, PoolConfig, Port, PortConfig, RxQueue, TxQueue};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts the EAL the first time: it can be started once, and tests may share a process or have one each.
pub(crate) fn eal() -> Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    *EAL.get_or_init(|| Eal::start("test", &arguments()).unwrap())
}

/// Private, on ordinary memory, with no device of the machine's.
pub(crate) fn arguments() -> Vec<String> {
    let arguments = ["--no-huge", "-m", "320", "--no-shconf", "--no-pci", "--no-telemetry"];
    arguments.iter().chain(&["--lcores=0@0", "--log-level=*:error"]).map(|&text| text.to_owned()).collect()
}

/// A number that nothing else in this process has.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// `driver`, numbered, with arguments.
pub(crate) fn device(driver: &str, arguments: &str) -> String {
    let comma = if arguments.is_empty() { "" } else { "," };
    format!("{driver}{}{comma}{arguments}", unique())
}

/// A pool of `count` buffers of `data_room` bytes, no cache: what is in use can be counted to the last one.
pub(crate) fn pool(count: u32, data_room: u16) -> Mempool {
    let config = PoolConfig { cache: 0, data_room, ..PoolConfig::new(count) };
    Mempool::with_config(&eal(), &format!("pool{}", unique()), config).unwrap()
}

/// An ordinary pool.
pub(crate) fn packets() -> Mempool {
    pool(4095, 2048 + dpdk::HEADROOM)
}

/// A port with one queue each way.
pub(crate) fn start(device: &str, pool: &Mempool) -> (Port, RxQueue, TxQueue) {
    let mut port = dpdk::attach(device).unwrap();
    let (mut rx, mut tx) = port.start(PortConfig::new(1, 512), pool).unwrap();
    (port, rx.pop().unwrap(), tx.pop().unwrap())
}

/// A capture file of these frames.
pub(crate) fn capture(folder: &Path, frames: &[Vec<u8>]) -> PathBuf {
    let path = folder.join("frames.pcap");
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let len = frame.len() as u32;
        for word in [0, 0, len, len] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(frame);
    }
    std::fs::write(&path, file).unwrap();
    path
}
