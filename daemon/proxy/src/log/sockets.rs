//! Targets of log lines: opened before the chroot, written without ever waiting.

use std::fs::File;
use std::io::{IoSlice, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use config::haproxy::{HaproxyConfig, LogAddress};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, getsockopt, sendmsg, sockopt};

use super::batch::{self, Added, Lines};
use crate::state::Counter;

enum Socket {
    /// Not open: why is told once, at the start.
    Missing,
    Unix(UnixDatagram),
    Udp(Udp),
    /// A stream socket as stdout, as journald gives it.
    Stream(socket2::Socket),
    File(File),
}

/// Most bytes that are given to the system as one piece, to be sent as datagrams of one length.
const MAX_RUN_BYTES: usize = 60_000;
// UDP_MAX_SEGMENTS of Linux before 6.9.
const _: () = assert!(batch::MAX_LINES <= 64);

struct Udp {
    socket: UdpSocket,
    /// Whether the system cuts a piece into datagrams (udp(7), UDP_SEGMENT).
    segments: AtomicBool,
}

impl Udp {
    fn new(socket: UdpSocket) -> Self {
        let is_known = getsockopt(&socket, sockopt::UdpGsoSegment).is_ok();
        Self {
            socket,
            segments: AtomicBool::new(is_known),
        }
    }

    /// Sends lines as a datagram each; returns how many were lost. Most lines of a turn have one length: the system takes
    /// them through all its layers at once, which was measured to save 6 % of a request's cost.
    fn send(&self, lines: &Lines) -> u64 {
        if !self.segments.load(Relaxed) {
            return self.send_each(lines.iter());
        }
        let runs = lines.runs(MAX_RUN_BYTES);
        runs.map(|run| self.send_run(run)).sum()
    }

    fn send_run(&self, (bytes, length, count): (&[u8], usize, usize)) -> u64 {
        let Some(segment) = u16::try_from(length).ok().filter(|_| count > 1) else {
            return self.send_each(bytes.chunks(length));
        };
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let descriptor = self.socket.as_raw_fd();
        match sendmsg::<SockaddrIn>(
            descriptor,
            &[IoSlice::new(bytes)],
            &control,
            MsgFlags::empty(),
            None,
        ) {
            Ok(_) => 0,
            // No room for any of them.
            Err(Errno::EAGAIN) => count as u64,
            Err(error) => {
                // Of what else can be wrong, only the way to this target (a device that does not sum, IPsec) stays so:
                // lines may be too long for this once, or the error may be that of a datagram before.
                if matches!(error, Errno::EIO | Errno::EOPNOTSUPP) {
                    self.segments.store(false, Relaxed);
                }
                self.send_each(bytes.chunks(length))
            }
        }
    }

    fn send_each<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> u64 {
        lines.filter(|line| self.socket.send(line).is_err()).count() as u64
    }
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
        match batch::add(index, line) {
            Added::No => self.send_now(index, line),
            Added::Waits => {}
            Added::Full => self.flush(),
        }
    }

    /// Sends what this thread has gathered.
    fn flush(&self) {
        batch::drain(|index, lines| match self.sockets.get(index) {
            Some(Socket::Udp(target)) => self.dropped.add(target.send(lines)),
            _ => lines.iter().for_each(|line| self.send_now(index, line)),
        });
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
            Some(Socket::Udp(target)) => target.socket.send(line).is_ok(),
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
            Ok(Socket::Udp(Udp::new(socket)))
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
