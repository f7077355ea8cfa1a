//! Links the functions that the vrrp process runs all the time side by side (`vrrp.ld`), where the linker can do that.
//!
//! It is about memory alone: a program that is linked otherwise does the same.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=vrrp.ld");
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("PROFILE") != "release" || variable("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let script = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("vrrp.ld");
    let argument = format!("-Wl,-T,{}", script.display());
    if links(&argument, Path::new(&variable("OUT_DIR"))) {
        println!("cargo::rustc-link-arg-bin=tandemd={argument}");
    }
}

/// Whether the linker of this build understands such an argument: GNU ld and lld do, others may not.
fn links(argument: &str, directory: &Path) -> bool {
    let source = directory.join("probe.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["--target", &env::var("TARGET").unwrap_or_default()]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        command
            .arg("-C")
            .arg(format!("linker={}", linker.display()));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    command.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    command.arg("-C").arg(format!("link-arg={argument}"));
    command.arg("-o").arg(directory.join("probe")).arg(source);
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
