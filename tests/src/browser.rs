//! Chromium without a window: what a page becomes in a real browser.

use std::path::{Path, PathBuf};

use crate::failure::{Context, Failure, Outcome};
use crate::host::Host;

/// The whole time a page may take.
const LIMIT_SECONDS: &str = "60";

fn run(host: &Host, profile: &Path, arguments: &[&str]) -> Outcome<std::process::Output> {
    let profile_argument = format!("--user-data-dir={}", profile.display());
    let fixed = [
        LIMIT_SECONDS,
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        &profile_argument,
    ];
    let mut command = host.command("timeout");
    command
        .args(fixed)
        .args(arguments)
        .env("HOME", profile)
        .stdin(std::process::Stdio::null());
    let output = command.output().context("chromium")?;
    crate::ensure!(
        output.status.success(),
        "chromium {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// The document of a page after its scripts ran. `folder` takes the browser's profile.
pub fn dump_dom(host: &Host, folder: &Path, url: &str) -> Outcome<String> {
    let output = run(host, &folder.join("chromium"), &["--dump-dom", url])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A picture of a page, 1280 by 900; returns the PNG file in `folder`.
pub fn screenshot(host: &Host, folder: &Path, url: &str) -> Outcome<PathBuf> {
    let file = folder.join("screenshot.png");
    let argument = format!("--screenshot={}", file.display());
    run(
        host,
        &folder.join("chromium"),
        &[
            "--window-size=1280,900",
            "--hide-scrollbars",
            &argument,
            url,
        ],
    )?;
    if file.is_file() {
        Ok(file)
    } else {
        Err(Failure::new("chromium wrote no picture"))
    }
}
