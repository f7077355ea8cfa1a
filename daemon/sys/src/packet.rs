//! Raw VRRP sockets and gratuitous ARP frames.
//!
//! What an advertisement says is the vrrp crate's matter; here bytes go out of the right interface, from
//! the right address, with the header fields that the protocol demands, and whole datagrams come in.

use std::io::{self, IoSlice};
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::batch::{BATCH, Batch};

/// The protocol number of VRRP.
pub const VRRP_PROTOCOL: i32 = 112;
/// The protocol number of the authentication header.
const AH_PROTOCOL: i32 = 51;
/// TTL of every advertisement (RFC 3768 5.2.3).
const TTL: u32 = 255;
/// Type of service of routing protocols: internetwork control.
const TOS: u32 = 0xc0;
/// Kernel buffer for what arrives while we are busy, in bytes.
const RECEIVE_BUFFER_BYTES: usize = 512 << 10;
/// Bytes of an Ethernet address.
pub const ETHERNET_BYTES: usize = 6;

/// What travels through a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Travel {
    /// Advertisements in IPv4.
    Ipv4,
    /// Advertisements behind an authentication header in IPv4, sent and received with the IP header.
    Ipv4Ah,
    /// Advertisements in IPv6; checksums are the caller's matter.
    Ipv6,
}

/// What the kernel tells about a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// IPv4: the buffer holds the IP header too.
    Ipv4 {
        /// Bytes in the buffer.
        length: usize,
    },
    /// IPv6: the buffer holds what followed the header.
    Ipv6 {
        /// Bytes in the buffer.
        length: usize,
        /// Its source.
        source: Ipv6Addr,
        /// Its destination.
        destination: Ipv6Addr,
        /// Its hop limit.
        hop_limit: u8,
    },
}

/// A raw socket for advertisements on one interface.
pub struct VrrpSocket {
    socket: AsyncFd<Socket>,
    index: u32,
    travel: Travel,
}

impl VrrpSocket {
    /// Opens one, bound to the interface. Needs CAP_NET_RAW and a tokio runtime.
    pub fn open(interface: &str, index: u32, travel: Travel) -> io::Result<Self> {
        let (domain, protocol) = match travel {
            Travel::Ipv4 => (Domain::IPV4, VRRP_PROTOCOL),
            Travel::Ipv4Ah => (Domain::IPV4, AH_PROTOCOL),
            Travel::Ipv6 => (Domain::IPV6, VRRP_PROTOCOL),
        };
        let socket = Socket::new(
            domain,
            Type::RAW.nonblocking().cloexec(),
            Some(Protocol::from(protocol)),
        )?;
        socket.bind_device(Some(interface.as_bytes()))?;
        match travel {
            Travel::Ipv4 | Travel::Ipv4Ah => {
                socket.set_multicast_ttl_v4(TTL)?;
                socket.set_multicast_loop_v4(false)?;
                // Only what this socket joined, not what any socket of the host did.
                socket.set_multicast_all_v4(false)?;
                socket.set_tos_v4(TOS)?;
                if travel == Travel::Ipv4Ah {
                    socket.set_header_included_v4(true)?;
                }
            }
            Travel::Ipv6 => {
                socket.set_multicast_hops_v6(TTL)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_all_v6(false)?;
                socket.set_tclass_v6(TOS)?;
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        // The system's limit is meant for others than who may change the network.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        }
        // SAFETY: the socket owns its descriptor, and keeps the same one for as long as it lives.
        let socket = unsafe { AsyncFd::register(socket)? };
        Ok(Self {
            socket,
            index,
            travel,
        })
    }

    /// Index of the interface that the socket was opened for.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Joins a group on the interface.
    pub fn join(&self, group: IpAddr) -> io::Result<()> {
        let socket = self.socket.get_ref();
        match group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index))
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, self.index),
        }
    }

    /// Takes what waits into `batch`; how many. Ready whenever there are some, or an error.
    pub fn poll_receive(
        &self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(context))?;
            match self.receive_waiting(batch) {
                Ok(count) => {
                    if count < BATCH {
                        // There are no more, and the next one will be told.
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Takes what waits into `batch`; how many. An error if there is none.
    pub fn receive_waiting(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.fill(self.socket.get_ref().as_fd(), self.travel)
    }

    /// Sends one advertisement at once, without waiting for room. For [`Travel::Ipv4Ah`] it begins with the IP
    /// header, and `ttl` is not used.
    pub fn send(
        &self,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.send_ipv4(source, destination, ttl, payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.send_ipv6(source, destination, ttl, payload)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(
                io::Error::other("source and destination are of different families"),
            ),
        }
    }

    fn send_ipv4(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let information = libc::in_pktinfo {
            ipi_ifindex: i32::try_from(self.index).map_err(io::Error::other)?,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from_ne_bytes(source.octets()),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let ttl = libc::c_int::from(ttl);
        let messages = [
            ControlMessage::Ipv4PacketInfo(&information),
            ControlMessage::Ipv4Ttl(&ttl),
        ];
        // An included header has its own.
        let messages = match self.travel {
            Travel::Ipv4Ah => &messages[..1],
            Travel::Ipv4 | Travel::Ipv6 => &messages,
        };
        let [a, b, c, d] = destination.octets();
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(payload)],
            messages,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            Some(&SockaddrIn::new(a, b, c, d, 0)),
        )?;
        Ok(())
    }

    fn send_ipv6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let information = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: source.octets(),
            },
            ipi6_ifindex: self.index,
        };
        let hop_limit = libc::c_int::from(hop_limit);
        let to = std::net::SocketAddrV6::new(destination, 0, 0, self.index);
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(payload)],
            &[
                ControlMessage::Ipv6PacketInfo(&information),
                ControlMessage::Ipv6HopLimit(&hop_limit),
            ],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            Some(&SockaddrIn6::from(to)),
        )?;
        Ok(())
    }
}

/// A gratuitous ARP as a whole Ethernet frame: a broadcast request for `address` by `address`.
///
/// The target hardware address is all ones, as keepalived sends it.
pub fn gratuitous_arp(hardware: [u8; ETHERNET_BYTES], address: Ipv4Addr) -> [u8; 42] {
    const BROADCAST: [u8; ETHERNET_BYTES] = [0xff; ETHERNET_BYTES];
    let mut frame = [0; 42];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&hardware);
    // EtherType ARP; Ethernet and IPv4, six and four bytes, request (RFC 826).
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&hardware);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&BROADCAST);
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// Sends Ethernet frames on any interface. It receives nothing.
pub struct FrameSocket {
    descriptor: OwnedFd,
}

impl FrameSocket {
    /// Opens it. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // SAFETY: plain system call; protocol 0 means that nothing is received.
        let raw = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor })
    }

    /// Sends one frame out of an interface at once.
    pub fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        // The frame's own EtherType, which is in network order there as here.
        to.sll_protocol = match frame.get(12..14) {
            Some(&[high, low]) => u16::from_ne_bytes([high, low]),
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        to.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        to.sll_halen = ETHERNET_BYTES as u8;
        to.sll_addr[..ETHERNET_BYTES].copy_from_slice(
            frame
                .get(..ETHERNET_BYTES)
                .unwrap_or(&[0xff; ETHERNET_BYTES]),
        );
        // SAFETY: frame and address live through the call, and their lengths are those given.
        let sent = unsafe {
            libc::sendto(
                self.descriptor.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gratuitous_arp_is_a_broadcast_request_for_its_own_address() {
        let frame = gratuitous_arp(
            [0xa2, 0xbc, 0xc9, 0x92, 0x1a, 0xfc],
            Ipv4Addr::new(10, 230, 137, 100),
        );
        // As keepalived 2.2.7 puts it on the wire.
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xa2, 0xbc, 0xc9, 0x92, 0x1a, 0xfc, 0x08, 0x06,
            0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0xa2, 0xbc, 0xc9, 0x92, 0x1a, 0xfc,
            0x0a, 0xe6, 0x89, 0x64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0a, 0xe6, 0x89, 0x64,
        ];
        assert_eq!(frame, expected);
    }
}
