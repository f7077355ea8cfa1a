//! What a host sees: every advertisement on its link, every answer to its questions and every BFD packet, with the kernel's time of arrival.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tandem_tests::{Host, Outcome};

/// Time between two questions.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(5);
/// Most that is remembered.
const KEEP: usize = 1_000_000;
/// How often a reader looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// `ETH_P_ALL`, in network order.
const ALL_PROTOCOLS: i32 = 0x0300;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const VRRP: u8 = 112;
const ICMP: u8 = 1;
const UDP: u8 = 17;
/// UDP port of BFD, in network order.
const BFD_PORT: [u8; 2] = 3784u16.to_be_bytes();

/// Something that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An advertisement.
    Advert {
        /// Its sender.
        from: Ipv4Addr,
        /// Its virtual router.
        vrid: u8,
        /// What it says.
        priority: u8,
    },
    /// An answer to a question.
    Answer,
    /// A BFD Control packet.
    Bfd {
        /// Its sender.
        from: Ipv4Addr,
        /// Its sender's state: 3 is Up.
        state: u8,
        /// Why its sender left Up last: 1 is a detection time that expired.
        diagnostic: u8,
    },
}

/// When something arrived, since 1970.
pub(crate) type Seen = (Duration, What);

/// A client that asks and listens; it ends when dropped.
pub(crate) struct Wire {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Wire {
    /// Listens on a host's link, and asks `target` if there is one.
    pub(crate) fn start(host: &Host, target: Option<Ipv4Addr>) -> Outcome<Wire> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let listener = host.in_network(listener)??;
        let (into, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let mut threads = vec![std::thread::spawn(move || listen(&listener, &into, &ended))];
        if let Some(target) = target {
            let asker =
                host.in_network(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))??;
            let ended = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || ask(&asker, target, &ended)));
        }
        Ok(Wire {
            seen,
            stop,
            threads,
        })
    }

    /// All that was seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets all that was seen.
    pub(crate) fn forget(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Now, on the clock of what was seen.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn listener() -> std::io::Result<Socket> {
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(ALL_PROTOCOLS)),
    )?;
    socket.set_read_timeout(Some(LOOK))?;
    let _ = socket.set_recv_buffer_size(4 << 20);
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}

fn listen(socket: &Socket, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let Ok(message) = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        ) else {
            continue;
        };
        let stamp = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                _ => None,
            })
        });
        let length = message.bytes;
        let at = stamp.unwrap_or_else(now);
        if let Some(what) = read(&buffer[..length.min(2048)]) {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() < KEEP {
                seen.push((at, what));
            }
        }
    }
}

/// What a frame is, if it is of interest.
fn read(frame: &[u8]) -> Option<What> {
    let packet = frame.get(14..)?;
    if frame.get(12..14)? != ETHERTYPE_IPV4 {
        return None;
    }
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let payload = packet.get(header..)?;
    let from = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
    match *packet.get(9)? {
        VRRP => Some(What::Advert {
            from,
            vrid: *payload.get(1)?,
            priority: *payload.get(2)?,
        }),
        // Echo reply.
        ICMP if payload.first() == Some(&0) => Some(What::Answer),
        UDP if payload.get(2..4)? == BFD_PORT => Some(What::Bfd {
            from,
            state: payload.get(9)? >> 6,
            diagnostic: payload.get(8)? & 0x1f,
        }),
        _ => None,
    }
}

/// Asks with echo requests, which the kernel of who holds the address answers.
fn ask(socket: &Socket, target: Ipv4Addr, stop: &AtomicBool) {
    let to = SocketAddr::from((target, 0)).into();
    let mut due = Instant::now();
    let mut number = 0u16;
    while !stop.load(Ordering::Relaxed) {
        let mut echo = [8, 0, 0, 0, 0x74, 0x64, 0, 0];
        echo[6..8].copy_from_slice(&number.to_be_bytes());
        let mut sum: u32 = echo
            .chunks(2)
            .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
            .sum();
        sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from(sum & 0xffff).unwrap_or(0);
        echo[2..4].copy_from_slice(&checksum.to_be_bytes());
        let _ = socket.send_to(&echo, &to);
        number = number.wrapping_add(1);
        due += ASK_EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
