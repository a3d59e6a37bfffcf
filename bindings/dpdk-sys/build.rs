//! Finds the installed DPDK, compiles the shim and generates the bindings.

use std::env;
use std::panic;
use std::path::PathBuf;
use std::process::{Command, exit};

const INSTALL: &str = "apt install libdpdk-dev";

const FUNCTIONS: &[&str] = &[
    "espalier_.*",
    "rte_cryptodev_(close|get_dev_id|stop)",
    "rte_cryptodev_sym_session_free",
    "rte_dev_name",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_default_mac_addr_set",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_info_get",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_(enable|disable)",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    "rte_fib6_free",
    "rte_fib_(add|delete|free|lookup_bulk)",
    "rte_get_tsc_hz",
    "rte_mempool_(avail_count|free)",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    "rte_strerror",
    "rte_thread_(register|unregister)",
    "rte_version",
];

const CONSTANTS: &[&str] =
    &["ESPALIER_.*", "RTE_MBUF_DEFAULT_BUF_SIZE", "RTE_MEMPOOL_CACHE_MAX_SIZE", "RTE_PKTMBUF_HEADROOM"];

fn main() {
    for file in ["build.rs", "src/crypto.c", "src/crypto.h", "src/shim.c", "src/shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    if let Err(sentence) = build() {
        println!("cargo::error={sentence}");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let found = pkg_config::Config::new().range_version("22.11".."25").probe("libdpdk");
    found.map_err(|error| unfit(&error))?;
    let cflags = cflags()?;

    let mut shim = cc::Build::new();
    shim.files(["src/shim.c", "src/crypto.c"]).opt_level(3).warnings(true).extra_warnings(true);
    // DPDK's headers are not ours to mend.
    shim.flag("-Wno-unused-parameter").flag("-Wno-deprecated-declarations");
    for flag in &cflags {
        shim.flag(flag);
    }
    shim.try_compile("espalier_dpdk_shim").map_err(|error| {
        format!("the C shim over libdpdk does not compile; it needs a C compiler (apt install gcc libc6-dev): {error}")
    })?;
    generate(&cflags)
}

/// Why libdpdk cannot be used, and what to do about it.
fn unfit(error: &pkg_config::Error) -> String {
    match error {
        pkg_config::Error::Command { .. } => {
            format!(
                "pkg-config, which finds DPDK, does not run: apt install pkg-config, and for DPDK {INSTALL}"
            )
        }
        _ => match version() {
            Some(version) => {
                format!(
                    "DPDK 22.11 to 24.11 is needed, but pkg-config finds libdpdk {version}: {INSTALL} of Debian 12"
                )
            }
            None => format!("DPDK 22.11 to 24.11 is needed, and pkg-config finds no libdpdk: {INSTALL}"),
        },
    }
}

fn pkg_config(option: &str) -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program).args([option, "libdpdk"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn version() -> Option<String> {
    pkg_config("--modversion")
}

/// The compiler's flags: include paths, the build's configuration and the lowest CPU that it was built for, which
/// the inline functions depend on.
fn cflags() -> Result<Vec<String>, String> {
    let flags =
        pkg_config("--cflags").ok_or_else(|| format!("pkg-config gives no flags for libdpdk: {INSTALL}"))?;
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

fn generate(cflags: &[String]) -> Result<(), String> {
    let missing =
        "libclang, with which the bindings to DPDK are generated, is missing: apt install libclang-dev";
    let mut builder = bindgen::Builder::default()
        .header("src/shim.h")
        .clang_args(cflags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .derive_debug(false)
        .generate_comments(false)
        .allowlist_recursively(true)
        // Their fields are read through offsets or not at all.
        .opaque_type("rte_mbuf")
        .opaque_type("rte_mempool")
        .opaque_type("rte_device")
        .opaque_type("rte_crypto_op")
        .opaque_type("rte_fib6?")
        .layout_tests(true);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for constant in CONSTANTS {
        builder = builder.allowlist_var(constant).allowlist_type("espalier_mbuf_offset");
    }
    // bindgen panics where it finds no libclang; that is one sentence, not a trace.
    panic::set_hook(Box::new(|_| {}));
    let generated = panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate()));
    drop(panic::take_hook());
    let bindings = generated.map_err(|_| missing.to_owned())?.map_err(|error| {
        format!("bindings to DPDK cannot be generated; if a standard header is not found, apt install libclang-dev: {error}")
    })?;
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("OUT_DIR is not set: run this by cargo")?;
    bindings
        .write_to_file(out.join("bindings.rs"))
        .map_err(|error| format!("bindings.rs is not written: {error}"))
}
