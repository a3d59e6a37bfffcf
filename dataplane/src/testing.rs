//! What tests share.

use std::sync::OnceLock;

/// Starts the EAL the first time: a process can start it once, and tests may share one.
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
pub(crate) fn eal() -> dpdk::Eal {
    static EAL: OnceLock<dpdk::Eal> = OnceLock::new();
    let arguments = ["--no-huge", "-m", "320", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores=0@0"];
    *EAL.get_or_init(|| dpdk::Eal::start("test", &arguments.map(str::to_owned)).unwrap())
}
