//! `-sf`, `-st` and `-x`: taking over from a process that is to leave (management manual of HAProxy, "Starting HAProxy").
//!
//! The new daemon copies the old one's listening sockets, so nobody who connects meanwhile is refused, and signals the old
//! one when all its own processes are ready. Virtual addresses are not handed from one daemon to another: where VRRP runs,
//! the old daemon is asked to reload instead.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use config::haproxy::BindAddress;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::arguments::{self, Arguments};
use crate::configuration::{self, Configuration};
use crate::supervisor::DEFAULT_SOCKET;

/// How long a daemon that was asked to reload may take.
const RELOAD_LIMIT: Duration = Duration::from_secs(70);
/// Longest answer to `reload` that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

fn name_of(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn is_supervisor(pid: u32) -> bool {
    name_of(pid).as_deref() == Some("tandemd")
}

/// Whether an old daemon is asked to reload in place of a new one being started; the outcome if it was.
pub fn reload_instead(arguments: &Arguments, configuration: &Configuration) -> Option<ExitCode> {
    let old = arguments
        .old_pids
        .iter()
        .copied()
        .filter(|pid| is_supervisor(*pid))
        .find(|pid| {
            let has_vrrp = |child: &u32| name_of(*child).as_deref() == Some("tandemd-vrrp");
            configuration.keepalived.is_some() || children(*pid).iter().any(has_vrrp)
        })?;
    match ask_to_reload(old, arguments, configuration) {
        Ok(notice) => {
            eprintln!("tandemd: {notice}");
            Some(ExitCode::SUCCESS)
        }
        Err(reason) => {
            eprintln!("tandemd: process {old} was not replaced: {reason}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn ask_to_reload(
    old: u32,
    arguments: &Arguments,
    configuration: &Configuration,
) -> Result<String, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    if files_of(arguments, &here) != running_files(old)? {
        return Err(
            "it holds virtual addresses and runs with other files; stop it first, or reload it with its own".to_owned(),
        );
    }
    for path in sockets_of(arguments, configuration) {
        let Ok(mut stream) = UnixStream::connect(path) else {
            continue;
        };
        if sys::adopt::peer_pid(&stream).ok() != Some(old) {
            continue;
        }
        let mut answer = String::new();
        let asked = stream
            .set_read_timeout(Some(RELOAD_LIMIT))
            .and_then(|()| stream.write_all(b"reload\n"))
            .and_then(|()| stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer));
        return match asked {
            Ok(_) if answer.contains("Success=1") => Ok(format!(
                "process {old} holds virtual addresses: it has reloaded its configuration and stays"
            )),
            Ok(_) => Err(answer.trim().to_owned()),
            Err(error) => Err(format!("no answer to 'reload': {error}")),
        };
    }
    signal(old, Signal::SIGUSR2).map_err(|error| error.to_string())?;
    Ok(format!(
        "process {old} holds virtual addresses: it was told to reload its configuration and stays; its log says how it went"
    ))
}

/// Sockets on which an operator may ask for a reload.
fn sockets_of(arguments: &Arguments, configuration: &Configuration) -> Vec<PathBuf> {
    let configured = configuration
        .haproxy
        .iter()
        .flat_map(|haproxy| &haproxy.global.stats_sockets);
    let mut paths: Vec<PathBuf> = configured
        .filter(|socket| socket.level == config::haproxy::Level::Admin)
        .filter_map(|socket| match &socket.address {
            BindAddress::Unix(path) => Some(PathBuf::from(path)),
            _ => None,
        })
        .collect();
    paths.extend(arguments.socket.clone());
    paths.push(PathBuf::from(DEFAULT_SOCKET));
    paths
}

fn files_of(arguments: &Arguments, here: &Path) -> BTreeSet<PathBuf> {
    let files = match arguments.files.is_empty() {
        true => configuration::default_paths(),
        false => arguments.files.clone(),
    };
    let here = match &arguments.directory {
        Some(directory) => here.join(directory),
        None => here.to_owned(),
    };
    files
        .into_iter()
        .map(|file| here.join(file))
        .map(|file| file.canonicalize().unwrap_or(file))
        .collect()
}

/// The files of a running daemon, from its command line.
fn running_files(pid: u32) -> Result<BTreeSet<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("its command line cannot be read: {error}");
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(unreadable)?;
    let words = line
        .split(|byte| *byte == 0)
        .skip(1)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()));
    let mut running = arguments::parse(words)?;
    // It has changed to that directory already.
    running.directory = None;
    let here = std::fs::read_link(format!("/proc/{pid}/cwd")).map_err(unreadable)?;
    Ok(files_of(&running, &here))
}

/// Copies the listening sockets of those who are to leave. Without `-x` it is no error that there are none.
pub fn adopt(arguments: &Arguments) -> Result<Vec<OwnedFd>, String> {
    let mut pids = Vec::new();
    if let Some(path) = &arguments.sockets_from {
        let place = path.display();
        let stream = UnixStream::connect(socket_file(path)?)
            .map_err(|error| format!("-x {place}: cannot connect: {error}"))?;
        let pid = sys::adopt::peer_pid(&stream)
            .map_err(|error| format!("-x {place}: whose it is cannot be told: {error}"))?;
        pids.push(pid);
    }
    pids.extend(&arguments.old_pids);
    let with_children: BTreeSet<u32> = pids
        .iter()
        .flat_map(|pid| std::iter::once(*pid).chain(children(*pid)))
        .filter(|pid| is_proxy(*pid))
        .collect();
    let mut sockets = Vec::new();
    for pid in with_children {
        match sys::adopt::listening_sockets(pid) {
            Ok(found) => sockets.extend(found),
            Err(error) => tracing::warn!(
                "the listening sockets of process {pid} cannot be copied: {error}; ports that it holds are not free"
            ),
        }
    }
    if sockets.is_empty() && arguments.sockets_from.is_some() {
        return Err("-x: the process behind that socket has no listening sockets, is gone, or may not be traced".to_owned());
    }
    Ok(sockets)
}

/// The file of `-x`. Only a UNIX socket tells the process behind it.
fn socket_file(given: &Path) -> Result<&Path, String> {
    const REMEDY: &str = "give the path of a UNIX 'stats socket', or only -sf PID: its listening sockets are copied all the same";
    let text = given.to_string_lossy();
    let refuse = |what: &str| {
        Err(format!(
            "-x {text}: {what} does not tell which process is behind it; {REMEDY}"
        ))
    };
    match text.split_once('@') {
        Some(("unix", _)) => {
            let path = given.to_str().and_then(|path| path.strip_prefix("unix@"));
            return Ok(path.map_or(given, Path::new));
        }
        Some(("abns", _)) => return refuse("an abstract socket"),
        Some(("fd" | "sockpair", _)) => return refuse("a descriptor"),
        Some(("ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6", _)) => return refuse("a TCP socket"),
        _ => {}
    }
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) if !text.contains('/') && !given.exists() => refuse("a TCP socket"),
        _ => Ok(given),
    }
}

/// A pidfile may be old, and its number another program's by now.
fn is_proxy(pid: u32) -> bool {
    name_of(pid).is_some_and(|name| name.starts_with("tandemd") || name.contains("haproxy"))
}

/// Tells the old processes to leave.
pub fn dismiss(arguments: &Arguments) {
    let (kind, what) = match arguments.old_terminate {
        true => (Signal::SIGTERM, "end"),
        false => (Signal::SIGUSR1, "finish what it does and end"),
    };
    for pid in &arguments.old_pids {
        match name_of(*pid) {
            None => {}
            Some(name) if !is_proxy(*pid) => {
                tracing::warn!("process {pid} is '{name}', no proxy: it gets no signal");
            }
            Some(name) => match signal(*pid, kind) {
                Ok(()) => {
                    tracing::info!("{name} (process {pid}) is told to {what}: its place is taken")
                }
                Err(error) => {
                    tracing::warn!("{name} (process {pid}) cannot be told to {what}: {error}")
                }
            },
        }
    }
}

fn signal(pid: u32, signal: Signal) -> nix::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| nix::errno::Errno::ESRCH)?;
    nix::sys::signal::kill(Pid::from_raw(pid), signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unix_socket_serves_to_copy_sockets() {
        let check = |given: &str, expected: &str| {
            let told = match socket_file(Path::new(given)) {
                Ok(path) => path.display().to_string(),
                Err(message) => message,
            };
            assert!(told.contains(expected), "{given}: {told}");
        };
        check("/run/haproxy/admin.sock", "/run/haproxy/admin.sock");
        check("unix@/run/a.sock", "/run/a.sock");
        check("a.sock", "a.sock");
        check("/run/odd:99", "/run/odd:99");
        check("127.0.0.1:9999", "a TCP socket does not tell");
        check("ipv4@127.0.0.1:9999", "a TCP socket does not tell");
        check("*:9999", "only -sf PID");
        check("[::1]:9999", "a TCP socket does not tell");
        check("abns@name", "an abstract socket does not tell");
        check("fd@3", "a descriptor does not tell");
    }
}
