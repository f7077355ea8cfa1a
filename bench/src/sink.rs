//! A syslog server that reads what contenders log, counts it, and throws it away.
//!
//! It sleeps between sweeps instead of waiting for each datagram: a wake-up for each line would be charged to
//! the contender that sent it, and how often it happens would depend on chance.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Asked-for receive buffer; the kernel may give less.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// Pause between sweeps. At 50,000 lines a second about 100 of them wait in the buffer.
const PAUSE: Duration = Duration::from_millis(2);

/// The sink; it ends when dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    lines: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    /// Binds a free port on loopback and starts reading.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        let sink = Self {
            address: socket.local_addr()?,
            lines: Arc::default(),
            stop: Arc::default(),
        };
        let (lines, stop) = (sink.lines.clone(), sink.stop.clone());
        std::thread::Builder::new()
            .name("log sink".into())
            .spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    while socket.recv(&mut buffer).is_ok() {
                        lines.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(PAUSE);
                }
            })?;
        Ok(sink)
    }

    /// Where to send log lines.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lines received so far.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
