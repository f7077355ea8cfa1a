//! Targets of log lines: opened before the chroot, written without ever waiting.

use std::fs::File;
use std::io::Write;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use config::haproxy::{HaproxyConfig, LogAddress};

use super::batch;
use crate::state::Counter;

enum Socket {
    /// Not open: why is told once, at the start.
    Missing,
    Unix(UnixDatagram),
    Udp(UdpSocket),
    /// A stream socket as stdout, as journald gives it.
    Stream(socket2::Socket),
    File(File),
}

/// All targets of a configuration, by position.
pub struct LogSockets {
    sockets: Vec<Socket>,
    /// Lines that could not be sent.
    dropped: Counter,
    /// What could not be opened.
    pub problems: Vec<String>,
}

/// The distinct addresses of a configuration in order; a [`super::LogPlan`] knows targets by their position here.
pub(super) fn addresses(config: &HaproxyConfig) -> Vec<&LogAddress> {
    let mut found: Vec<&LogAddress> = Vec::new();
    let all = config
        .global
        .logs
        .iter()
        .chain(config.proxies.iter().flat_map(|proxy| &proxy.logs));
    for target in all {
        if !found.contains(&&target.address) {
            found.push(&target.address);
        }
    }
    found
}

impl Drop for batch::Gathering<'_> {
    fn drop(&mut self) {
        self.sockets.flush();
        batch::end();
    }
}

impl LogSockets {
    /// Opens all targets. What cannot be opened is listed in `problems` and counts as dropped later.
    pub fn open(config: &HaproxyConfig) -> Self {
        // The zone's file is out of reach after the chroot, too.
        super::local_time::load();
        let mut problems = Vec::new();
        let sockets = addresses(config)
            .into_iter()
            .map(|address| match open(address) {
                Ok(socket) => socket,
                Err(error) => {
                    problems.push(format!("log target {}: {error}", describe(address)));
                    Socket::Missing
                }
            })
            .collect();
        Self {
            sockets,
            dropped: Counter::default(),
            problems,
        }
    }

    /// Lines dropped since the start, because a target was full or failed.
    pub fn dropped(&self) -> u64 {
        self.dropped.value()
    }

    /// Sends one line, which ends with a line break; in a runtime that flushes in turns, at the end of this turn.
    pub(super) fn send(&self, index: usize, line: &[u8]) {
        if !batch::add(index, line) {
            self.send_now(index, line);
        } else if batch::is_full() {
            self.flush();
        }
    }

    /// Sends what this thread has gathered.
    fn flush(&self) {
        batch::drain(|index, line| self.send_now(index, line));
    }

    /// Gathers this thread's lines and sends them once the tasks that are ready have had their turn. Lines that leave
    /// together wake the reader of the logs once, not once a request: that was measured to save 6 to 8 % of the CPU.
    pub async fn flush_in_turns(&self) {
        let _gathering = batch::Gathering::begin(self);
        std::future::poll_fn(|context| {
            batch::set_waker(context.waker());
            self.flush();
            std::task::Poll::<()>::Pending
        })
        .await;
    }

    /// Sends one line. Never waits.
    fn send_now(&self, index: usize, line: &[u8]) {
        let sent = match self.sockets.get(index) {
            None | Some(Socket::Missing) => false,
            Some(Socket::Unix(socket)) => socket.send(line).is_ok(),
            Some(Socket::Udp(socket)) => socket.send(line).is_ok(),
            Some(Socket::Stream(socket)) => socket
                .send_with_flags(line, MSG_DONTWAIT | MSG_NOSIGNAL)
                .is_ok_and(|sent| sent == line.len()),
            Some(Socket::File(file)) => {
                let mut file = file;
                file.write(line).is_ok_and(|sent| sent == line.len())
            }
        };
        if !sent {
            self.dropped.increment();
        }
    }
}

/// `MSG_DONTWAIT` and `MSG_NOSIGNAL` of Linux (send(2)).
const MSG_DONTWAIT: i32 = 0x40;
const MSG_NOSIGNAL: i32 = 0x4000;
/// `O_NONBLOCK` of Linux (open(2)).
const O_NONBLOCK: i32 = 0o4000;

fn describe(address: &LogAddress) -> String {
    match address {
        LogAddress::Unix(path) => path.clone(),
        LogAddress::Udp { host, port } => format!("{host}:{port}"),
        LogAddress::Stdout => "stdout".to_owned(),
        LogAddress::Stderr => "stderr".to_owned(),
        LogAddress::Fd(number) => format!("fd@{number}"),
    }
}

fn open(address: &LogAddress) -> std::io::Result<Socket> {
    match address {
        LogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(path)?;
            Ok(Socket::Unix(socket))
        }
        LogAddress::Udp { host, port } => {
            let target = (host.as_str(), *port)
                .to_socket_addrs()?
                .next()
                .ok_or_else(|| std::io::Error::other("the name has no address"))?;
            let local = if target.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(local)?;
            socket.set_nonblocking(true)?;
            socket.connect(target)?;
            Ok(Socket::Udp(socket))
        }
        LogAddress::Stdout => open_stream(std::io::stdout().as_fd().try_clone_to_owned()?, 1),
        LogAddress::Stderr => open_stream(std::io::stderr().as_fd().try_clone_to_owned()?, 2),
        LogAddress::Fd(number) => reopen(*number).map(Socket::File),
    }
}

/// A description of its own that does not wait where the kernel gives one; the flag would otherwise reach whoever
/// shares the descriptor.
fn open_stream(descriptor: std::os::fd::OwnedFd, number: i32) -> std::io::Result<Socket> {
    if let Ok(file) = reopen(number) {
        return Ok(Socket::File(file));
    }
    let socket = socket2::Socket::from(descriptor);
    if socket.r#type().is_ok() {
        return Ok(Socket::Stream(socket));
    }
    Ok(Socket::File(File::from(std::os::fd::OwnedFd::from(socket))))
}

fn reopen(number: i32) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .append(true)
        .custom_flags(O_NONBLOCK)
        .open(format!("/proc/self/fd/{number}"))
}
