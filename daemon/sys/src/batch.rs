//! Datagrams that wait in a raw socket, taken with one system call (recvmmsg).
//!
//! Advertisements are short: the memory that a batch touches is that of its short slots. What is longer runs on into a
//! long slot, whose pages the kernel gives only then.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::packet::{Arrived, Travel};

/// Datagrams that one call takes at most.
pub const BATCH: usize = 32;
/// Longest datagram in bytes; a full advertisement over IPv6 has 8 + 16 * 255. What is longer is cut.
pub const MAX_DATAGRAM_BYTES: usize = 4608;
/// Bytes that come in the short slot.
const SHORT_BYTES: usize = 128;
const LONG_BYTES: usize = MAX_DATAGRAM_BYTES - SHORT_BYTES;
/// Room for what the kernel tells beside a datagram over IPv6: in6_pktinfo and a number, each with its header.
const CONTROL_WORDS: usize = 12;

/// Room for datagrams, used again and again.
pub struct Batch {
    /// They point into the boxes below, which never move.
    messages: Box<[libc::mmsghdr; BATCH]>,
    parts: Box<[[libc::iovec; 2]; BATCH]>,
    short: Box<[[u8; SHORT_BYTES]; BATCH]>,
    long: Vec<u8>,
    controls: Box<[[u64; CONTROL_WORDS]; BATCH]>,
    names: Box<[MaybeUninit<libc::sockaddr_in6>; BATCH]>,
    /// A datagram that came in both slots.
    whole: Vec<u8>,
    travel: Travel,
    count: usize,
}

// SAFETY: the pointers lead to boxes of the same value alone.
unsafe impl Send for Batch {}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: all of these are plain numbers and pointers, for which zero bytes are valid.
        let (messages, parts) = unsafe { (zeroed(), zeroed()) };
        let mut batch = Self {
            messages: Box::new(messages),
            parts: Box::new(parts),
            short: Box::new([[0; SHORT_BYTES]; BATCH]),
            long: vec![0; LONG_BYTES * BATCH],
            controls: Box::new([[0; CONTROL_WORDS]; BATCH]),
            names: Box::new([MaybeUninit::zeroed(); BATCH]),
            whole: Vec::new(),
            travel: Travel::Ipv4,
            count: 0,
        };
        for at in 0..BATCH {
            batch.parts[at] = [
                libc::iovec {
                    iov_base: batch.short[at].as_mut_ptr().cast(),
                    iov_len: SHORT_BYTES,
                },
                libc::iovec {
                    iov_base: batch.long[at * LONG_BYTES..].as_mut_ptr().cast(),
                    iov_len: LONG_BYTES,
                },
            ];
            let header = &mut batch.messages[at].msg_hdr;
            header.msg_iov = batch.parts[at].as_mut_ptr();
            header.msg_iovlen = 2;
        }
        batch
    }
}

impl Batch {
    /// Takes what waits in a socket, without waiting for more; how many. An error means that there is none.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>, travel: Travel) -> io::Result<usize> {
        self.prepare(travel);
        // SAFETY: the headers point to parts, names and controls of this value, each as long as its header says, and all
        // of them live and are not touched through the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.count)
    }

    /// What is told beside a datagram is wanted over IPv6 alone; the kernel changes the lengths of what it used.
    fn prepare(&mut self, travel: Travel) {
        let used = std::mem::take(&mut self.count);
        let changed = std::mem::replace(&mut self.travel, travel) != travel;
        let renewed = if changed { BATCH } else { used };
        for at in 0..renewed {
            let header = &mut self.messages[at].msg_hdr;
            if travel == Travel::Ipv6 {
                header.msg_name = self.names[at].as_mut_ptr().cast();
                header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
                header.msg_control = self.controls[at].as_mut_ptr().cast();
                header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
            } else {
                header.msg_name = std::ptr::null_mut();
                header.msg_namelen = 0;
                header.msg_control = std::ptr::null_mut();
                header.msg_controllen = 0;
            }
        }
    }

    /// One of those that [`Batch::fill`] took, and its bytes: over IPv4 with the IP header. None of a datagram that the
    /// kernel did not tell about.
    pub fn datagram(&mut self, at: usize) -> Option<(Arrived, &[u8])> {
        let message = self.messages[..self.count].get(at)?;
        let length = (message.msg_len as usize).min(MAX_DATAGRAM_BYTES);
        let about = match self.travel {
            Travel::Ipv4 | Travel::Ipv4Ah => Arrived::Ipv4 { length },
            Travel::Ipv6 => self.about_ipv6(at, length)?,
        };
        if length <= SHORT_BYTES {
            return Some((about, &self.short[at][..length]));
        }
        let long = &self.long[at * LONG_BYTES..][..length - SHORT_BYTES];
        self.whole.clear();
        self.whole.extend_from_slice(&self.short[at]);
        self.whole.extend_from_slice(long);
        Some((about, &self.whole))
    }

    fn about_ipv6(&self, at: usize, length: usize) -> Option<Arrived> {
        let header = &self.messages[at].msg_hdr;
        if (header.msg_namelen as usize) < size_of::<libc::sockaddr_in6>() {
            return None;
        }
        // SAFETY: zeroed at first, and the kernel has written a whole sockaddr_in6 since, as its length says.
        let name = unsafe { self.names[at].assume_init_ref() };
        let (mut destination, mut hop_limit) = (None, None);
        // SAFETY: the header describes this value's control buffer, which the kernel has filled and is aligned for it.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header inside the buffer; data of these kinds is
            // as long as read here, which the length proves.
            unsafe {
                let one = &*control;
                let bytes = (one.cmsg_len).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = libc::CMSG_DATA(control);
                match (one.cmsg_level, one.cmsg_type) {
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                        if bytes >= size_of::<libc::in6_pktinfo>() =>
                    {
                        let information = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        destination = Some(Ipv6Addr::from(information.ipi6_addr.s6_addr));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
                        if bytes >= size_of::<libc::c_int>() =>
                    {
                        let limit = data.cast::<libc::c_int>().read_unaligned();
                        hop_limit = u8::try_from(limit).ok();
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        Some(Arrived::Ipv6 {
            length,
            source: Ipv6Addr::from(name.sin6_addr.s6_addr),
            destination: destination?,
            hop_limit: hop_limit?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// Any datagram socket will do: what comes with IPv4 is what the socket gives.
    fn check(lengths: &[usize]) {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let to = receiver.local_addr().expect("bound");
        let mut batch = Batch::default();
        assert!(batch.fill(receiver.as_fd(), Travel::Ipv4).is_err());
        for round in 0..3 {
            for length in lengths {
                let bytes: Vec<u8> = (0..*length).map(|at| (at + round) as u8).collect();
                sender.send_to(&bytes, to).expect("sent");
            }
            let count = batch.fill(receiver.as_fd(), Travel::Ipv4).expect("some");
            assert_eq!(count, lengths.len());
            for (at, length) in lengths.iter().enumerate() {
                let (about, bytes) = batch.datagram(at).expect("one");
                let expected: Vec<u8> = (0..*length).map(|at| (at + round) as u8).collect();
                assert_eq!(about, Arrived::Ipv4 { length: *length });
                assert_eq!(bytes, expected);
            }
            assert!(batch.datagram(count).is_none());
        }
        assert!(batch.fill(receiver.as_fd(), Travel::Ipv4).is_err());
        assert!(batch.datagram(0).is_none(), "what was taken is gone");
    }

    #[test]
    fn short_and_long_datagrams_come_whole_and_in_order() {
        check(&[0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 40]);
        check(&[MAX_DATAGRAM_BYTES, 20, MAX_DATAGRAM_BYTES - 1]);
        check(&[60; BATCH]);
    }

    #[test]
    fn over_ipv6_the_kernel_tells_who_sent_it_and_how_far_it_came() {
        let receiver = UdpSocket::bind("[::1]:0").expect("a socket");
        let options = socket2::SockRef::from(&receiver);
        options.set_recv_hoplimit_v6(true).expect("an option");
        nix::sys::socket::setsockopt(
            &receiver,
            nix::sys::socket::sockopt::Ipv6RecvPacketInfo,
            &true,
        )
        .expect("an option");
        let sender = UdpSocket::bind("[::1]:0").expect("a socket");
        let to = receiver.local_addr().expect("bound");
        let mut batch = Batch::default();
        for _ in 0..2 {
            sender.send_to(&[7; 300], to).expect("sent");
            let count = batch.fill(receiver.as_fd(), Travel::Ipv6).expect("one");
            assert_eq!(count, 1);
            let (about, bytes) = batch.datagram(0).expect("told about");
            let expected = Arrived::Ipv6 {
                length: 300,
                source: Ipv6Addr::LOCALHOST,
                destination: Ipv6Addr::LOCALHOST,
                hop_limit: 64,
            };
            assert_eq!((about, bytes), (expected, &[7; 300][..]));
        }
    }
}
