//! TCP's congestion control, which decides much of what bulk costs: the one of this run, and another on demand.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use socket2::SockRef;

/// Moves this process into a network namespace of its own, where loopback's connections use `name`. To be called before
/// there are threads; what is started later comes along.
pub(crate) fn use_in_own_namespace(name: &str) -> Result<(), String> {
    let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .unwrap_or_default();
    if !known.split_whitespace().any(|known| known == name) {
        return Err(format!(
            "congestion control '{name}': the kernel has {}",
            known.trim()
        ));
    }
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("a network namespace for --congestion: {error}; it takes root"))?;
    ip(&["link", "set", "lo", "up"])?;
    // A route's choice holds for both ends and needs no change of what the system allows.
    for to in ["127.0.0.0/8", "127.0.0.1"] {
        ip(&[
            "route",
            "replace",
            "local",
            to,
            "dev",
            "lo",
            "table",
            "local",
            "proto",
            "kernel",
            "scope",
            "host",
            "src",
            "127.0.0.1",
            "congctl",
            name,
        ])?;
    }
    match of_loopback() {
        Ok(used) if used == name => Ok(()),
        Ok(used) => Err(format!(
            "congestion control '{name}': loopback uses {used} all the same"
        )),
        Err(error) => Err(format!("congestion control '{name}': {error}")),
    }
}

/// The congestion control of a connection over loopback.
pub(crate) fn of_loopback() -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let name = SockRef::from(&stream).tcp_congestion()?;
    let end = name.iter().position(|byte| *byte == 0);
    let name = &name[..end.unwrap_or(name.len())];
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let fail = |why: &dyn std::fmt::Display| format!("ip {}: {why}", arguments.join(" "));
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| fail(&error))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(fail(&String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_uses_what_the_kernel_has() {
        let used = of_loopback().expect("loopback connects");
        let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
            .expect("Linux tells");
        assert!(
            known.split_whitespace().any(|known| known == used),
            "{used}"
        );
    }
}
