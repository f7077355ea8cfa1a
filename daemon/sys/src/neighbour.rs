//! Unsolicited neighbour advertisements (RFC 4861 7.2.6): what gratuitous ARP is for IPv4.

use std::net::Ipv6Addr;

use crate::packet::ETHERNET_BYTES;

/// Bytes of a frame: Ethernet and IPv6 headers, the advertisement, and the target's link-layer address.
pub const NEIGHBOUR_ADVERTISEMENT_BYTES: usize = 14 + 40 + PAYLOAD_BYTES;

const PAYLOAD_BYTES: usize = 24 + 8;
const ICMPV6: u8 = 58;
/// RFC 4861 4.4.
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
/// RFC 4861 4.6.1.
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
const HOP_LIMIT: u8 = 255;

/// An unsolicited neighbour advertisement as a whole Ethernet frame, to all nodes of the link.
///
/// As keepalived sends it: from the address itself, with the override flag; `router` says whether this node forwards.
pub fn neighbour_advertisement(
    hardware: [u8; ETHERNET_BYTES],
    address: Ipv6Addr,
    router: bool,
) -> [u8; NEIGHBOUR_ADVERTISEMENT_BYTES] {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut frame = [0; NEIGHBOUR_ADVERTISEMENT_BYTES];
    // RFC 2464 7: a multicast address's last four octets.
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame[6..12].copy_from_slice(&hardware);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14] = 6 << 4;
    frame[18..20].copy_from_slice(&(PAYLOAD_BYTES as u16).to_be_bytes());
    frame[20] = ICMPV6;
    frame[21] = HOP_LIMIT;
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&all_nodes.octets());
    frame[54] = NEIGHBOUR_ADVERTISEMENT;
    frame[58] = OVERRIDE | if router { ROUTER } else { 0 };
    frame[62..78].copy_from_slice(&address.octets());
    frame[78] = TARGET_LINK_LAYER_ADDRESS;
    // In units of eight octets.
    frame[79] = 1;
    frame[80..86].copy_from_slice(&hardware);
    let sum = checksum(&frame[22..54], &frame[54..]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The checksum of an ICMPv6 message with its pseudo-header (RFC 8200 8.1).
fn checksum(addresses: &[u8], payload: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| {
                u32::from(u16::from_be_bytes([
                    pair[0],
                    pair.get(1).copied().unwrap_or(0),
                ]))
            })
            .sum()
    };
    let mut sum = words(addresses) + words(payload) + payload.len() as u32 + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_advertisement_goes_to_all_nodes_and_overrides() {
        let address: Ipv6Addr = "2001:db8::1".parse().expect("an address");
        let hardware = [0xee, 0xbd, 0xb2, 0x5f, 0x14, 0xad];
        let frame = neighbour_advertisement(hardware, address, false);
        assert_eq!(
            frame[..14],
            [
                0x33, 0x33, 0, 0, 0, 1, 0xee, 0xbd, 0xb2, 0x5f, 0x14, 0xad, 0x86, 0xdd
            ]
        );
        assert_eq!(frame[20..22], [58, 255]);
        assert_eq!(frame[54], 136);
        assert_eq!(frame[58], 0x20);
        assert_eq!(frame[62..78], address.octets());
        assert_eq!(frame[78..86], [2, 1, 0xee, 0xbd, 0xb2, 0x5f, 0x14, 0xad]);
        // A right message sums up to nothing with its checksum in it.
        assert_eq!(checksum(&frame[22..54], &frame[54..]), 0);
        assert_eq!(neighbour_advertisement(hardware, address, true)[58], 0xa0);
    }
}
