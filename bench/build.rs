//! Finds Debian's libipsec-mb and generates bindings to it, where the peers of our AES-GCM are wanted.

use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(sentence) = peers() {
        println!("cargo::error={sentence}");
        exit(1);
    }
}

#[cfg(not(feature = "peers"))]
fn peers() -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "peers")]
fn peers() -> Result<(), String> {
    let missing = "bindings to libipsec-mb cannot be generated (apt install libipsec-mb-dev libclang-dev)";
    let builder = bindgen::Builder::default()
        .header_contents("peers.h", "#include <intel-ipsec-mb.h>")
        // Without it the header forgets how keys are aligned.
        .clang_arg("-DLINUX")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .derive_debug(false)
        .generate_comments(false)
        .allowlist_function("alloc_mb_mgr|free_mb_mgr|init_mb_mgr_auto|imb_get_version_str");
    // bindgen panics where it finds no libclang; that is one sentence, not a trace.
    std::panic::set_hook(Box::new(|_| {}));
    let generated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()));
    drop(std::panic::take_hook());
    let bindings =
        generated.map_err(|_| missing.to_owned())?.map_err(|error| format!("{missing}: {error}"))?;
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this by cargo")?;
    bindings
        .write_to_file(std::path::Path::new(&out).join("ipsec_mb.rs"))
        .map_err(|error| format!("ipsec_mb.rs is not written: {error}"))?;
    println!("cargo::rustc-link-lib=dylib=IPSec_MB");
    Ok(())
}
