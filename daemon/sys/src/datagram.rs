//! UDP sockets of which the TTL counts: what came from how far, and what leaves with which.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Kernel buffer for what arrives while we are busy, in bytes.
const RECEIVE_BUFFER_BYTES: usize = 256 << 10;
/// Type of service of routing protocols: internetwork control.
const TOS: u32 = 0xc0;

/// A datagram's length, and what the kernel tells about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes in the buffer; what did not fit is gone.
    pub length: usize,
    /// Its sender.
    pub source: IpAddr,
    /// The address that it was sent to.
    pub destination: IpAddr,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// Index of the interface that it came through.
    pub interface: u32,
}

/// Room for one datagram and for what the kernel tells of it, used again and again.
pub struct Incoming {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Incoming {
    /// Of a datagram, this many bytes are kept.
    pub fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length],
            // Room for what both families tell.
            control: nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int),
        }
    }

    /// What arrived last.
    pub fn bytes(&self, arrived: &Arrived) -> &[u8] {
        self.bytes.get(..arrived.length).unwrap_or(&self.bytes)
    }
}

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    fn domain(self) -> Domain {
        match self {
            Self::Ipv4 => Domain::IPV4,
            Self::Ipv6 => Domain::IPV6,
        }
    }

    fn unspecified(self) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

fn plain(family: Family) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(family.domain(), kind, Some(Protocol::UDP))?;
    if family == Family::Ipv6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Hears a port on all addresses of a family.
pub struct Listener {
    socket: UdpSocket,
}

impl Listener {
    /// Needs a tokio runtime. The port is ours alone: somebody else on it is an error.
    pub fn open(family: Family, port: u16) -> io::Result<Self> {
        let socket = plain(family)?;
        match family {
            Family::Ipv4 => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            Family::Ipv6 => {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        socket.bind(&SocketAddr::new(family.unspecified(), port).into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket })
    }

    /// Waits until something may have arrived. Cancel-safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next datagram, if one waits, whether the runtime knows of it or not.
    pub fn receive(&self, into: &mut Incoming) -> io::Result<Option<Arrived>> {
        match receive(self.socket.as_raw_fd(), into) {
            Ok(arrived) => Ok(Some(arrived)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The runtime is to wait for the next one.
                let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _ = self.socket.try_io(Interest::READABLE, empty);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn receive(socket: RawFd, into: &mut Incoming) -> io::Result<Arrived> {
    let mut slices = [IoSliceMut::new(&mut into.bytes)];
    let message = recvmsg::<SockaddrStorage>(
        socket,
        &mut slices,
        Some(&mut into.control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let mut destination = None;
    let mut interface = 0;
    let mut ttl = None;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(information) => {
                let octets = information.ipi_addr.s_addr.to_ne_bytes();
                destination = Some(IpAddr::from(octets));
                interface = u32::try_from(information.ipi_ifindex).unwrap_or(0);
            }
            ControlMessageOwned::Ipv6PacketInfo(information) => {
                destination = Some(IpAddr::from(information.ipi6_addr.s6_addr));
                interface = information.ipi6_ifindex;
            }
            ControlMessageOwned::Ipv4Ttl(found) | ControlMessageOwned::Ipv6HopLimit(found) => {
                ttl = u8::try_from(found).ok();
            }
            _ => {}
        }
    }
    let source = message.address.as_ref().and_then(|address| {
        let ipv4 = address.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
        ipv4.or_else(|| address.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())))
    });
    let (Some(source), Some(destination), Some(ttl)) = (source, destination, ttl) else {
        return Err(io::Error::other("the kernel did not tell about a datagram"));
    };
    Ok(Arrived {
        length: message.bytes,
        source,
        destination,
        ttl,
        interface,
    })
}

/// Speaks to one address from a port of its own. It receives nothing.
pub struct Speaker {
    socket: Socket,
    to: SocketAddr,
}

impl Speaker {
    /// Binds to `from`, which the kernel chooses for each datagram if there is none. A link-local receiver is looked for
    /// behind the interface with the index `interface` (see [`interface_named`] and [`interface_with`]); 0 is none.
    pub fn open(
        from: Option<IpAddr>,
        port: u16,
        to: SocketAddr,
        ttl: u8,
        interface: u32,
    ) -> io::Result<Self> {
        let family = Family::of(to.ip());
        let socket = plain(family)?;
        match family {
            Family::Ipv4 => {
                socket.set_ttl_v4(ttl.into())?;
                socket.set_tos_v4(TOS)?;
            }
            Family::Ipv6 => {
                socket.set_unicast_hops_v6(ttl.into())?;
                socket.set_tclass_v6(TOS)?;
            }
        }
        let scoped = |address: SocketAddr| match address {
            SocketAddr::V6(mut address) => {
                if address.ip().is_unicast_link_local() {
                    address.set_scope_id(interface);
                }
                address.into()
            }
            SocketAddr::V4(_) => address,
        };
        let own = from.unwrap_or(family.unspecified());
        socket.bind(&scoped(SocketAddr::new(own, port)).into())?;
        Ok(Self {
            socket,
            to: scoped(to),
        })
    }

    /// Sends one datagram at once, without waiting for room.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, &self.to.into()).map(drop)
    }
}

/// Index of the interface of this name.
pub fn interface_named(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name)
        .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{name}: {error}")))
}

/// Index of the interface that has this address; the first, if several have.
pub fn interface_with(address: Ipv6Addr) -> io::Result<u32> {
    for interface in nix::ifaddrs::getifaddrs()? {
        let found = interface.address.as_ref();
        let found = found.and_then(SockaddrStorage::as_sockaddr_in6);
        if found.is_some_and(|found| found.ip() == address) {
            let name = interface.interface_name.as_str();
            return Ok(nix::net::if_::if_nametoindex(name)?);
        }
    }
    let text = format!("no interface has the address {address}");
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_datagram_comes_with_its_ends_and_its_ttl() {
        for (host, ttl) in [("127.0.0.1", 255), ("127.0.0.1", 7), ("::1", 64)] {
            let host: IpAddr = host.parse().expect("an address");
            let listener = match Listener::open(Family::of(host), 0) {
                Ok(listener) => listener,
                // A host without IPv6.
                Err(error) => {
                    println!("SKIPPED: {host}: {error}");
                    continue;
                }
            };
            let port = listener.socket.local_addr().expect("bound").port();
            let to = SocketAddr::new(host, port);
            let speaker = Speaker::open(Some(host), 0, to, ttl, 0).expect("bound");
            speaker.send(b"hello").expect("sent");
            listener.readable().await.expect("a datagram");
            let mut incoming = Incoming::new(16);
            let arrived = listener.receive(&mut incoming).expect("it can");
            let expected = Arrived {
                length: 5,
                source: host,
                destination: host,
                ttl,
                interface: interface_named("lo").expect("every host has it"),
            };
            assert_eq!(arrived, Some(expected));
            assert_eq!(incoming.bytes(&expected), b"hello");
            assert_eq!(listener.receive(&mut incoming).expect("it can"), None);
            // It waits for the next one, and does not turn.
            let wait = std::time::Duration::from_millis(20);
            let idle = tokio::time::timeout(wait, listener.readable()).await;
            assert!(idle.is_err());
            speaker.send(b"again").expect("sent");
            listener.readable().await.expect("a datagram");
            let arrived = listener.receive(&mut incoming).expect("it can");
            assert!(arrived.is_some());
        }
    }
}
