//! Facts about advertisements, most of them against bytes that keepalived 2.2.7 sent.

use super::*;
use proptest::prelude::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 230, 137, 1));
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 230, 137, 2));
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));

/// Bytes of a hexadecimal text; blanks are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(byte).to_digit(16).expect("hexadecimal") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn peer(text: &str) -> UnicastPeer {
    UnicastPeer {
        address: address(text),
        min_ttl: 0,
        max_ttl: 255,
    }
}

fn form(version: Version, interval_ms: u64, addresses: &[&str]) -> Form {
    Form {
        version,
        vrid: 50,
        interval: Duration::from_millis(interval_ms),
        authentication: None,
        hmac: None,
        addresses: addresses.iter().map(|text| address(text)).collect(),
        pseudo_header: PseudoHeader::Included,
    }
}

/// A packet that keepalived 2.2.7 sent (IP header included where it is IPv4), and who understands it how.
struct Sample {
    bytes: Vec<u8>,
    form: Form,
    reach: Reach,
    own: IpAddr,
    /// Source, destination and hop limit where the kernel keeps the header.
    ipv6: Option<(IpAddr, IpAddr)>,
}

impl Sample {
    /// Version 2 with a password.
    fn v2() -> Self {
        Self {
            bytes: hex(
                "45c0 0030 0001 0000 ff70 46a3 0ae6 8901 e000 0012 2132 6403 0101 61ad \
                 0ae6 8964 0ae6 8965 0ae6 8966 7061 7373 7764 0000",
            ),
            form: Form {
                authentication: Some(Authentication::Pass(*b"passwd\0\0")),
                ..form(
                    Version::V2,
                    1000,
                    &["10.230.137.100", "10.230.137.101", "10.230.137.102"],
                )
            },
            reach: Reach::Multicast(GROUP),
            own: OWN,
            ipv6: None,
        }
    }

    /// Version 2 behind an authentication header.
    fn ah() -> Self {
        Self {
            bytes: hex(
                "45c0 0044 0001 0000 ff33 d0a9 0a09 0001 e000 0012 7004 0000 0a09 0001 0000 0001 \
                 36a3 c5a4 c402 1be9 59da 6aaa 2132 6402 0201 63ef 0a09 0064 0a09 0065 \
                 0000 0000 0000 0000",
            ),
            form: Form {
                authentication: Some(Authentication::Ah(*b"passwd\0\0")),
                ..form(Version::V2, 1000, &["10.9.0.100", "10.9.0.101"])
            },
            reach: Reach::Multicast(GROUP),
            own: address("10.9.0.2"),
            ipv6: None,
        }
    }

    /// Version 3 over IPv4 by multicast.
    fn v3() -> Self {
        Self {
            bytes: hex(
                "45c0 0024 0001 0000 ff70 d08c 0a09 0001 e000 0012 3132 ff02 000a d048 \
                 0a09 0064 0a09 0065",
            ),
            form: form(Version::V3, 100, &["10.9.0.100", "10.9.0.101"]),
            reach: Reach::Multicast(GROUP),
            own: address("10.9.0.2"),
            ipv6: None,
        }
    }

    /// Version 3 over IPv6 by multicast.
    fn v6() -> Self {
        Self {
            bytes: hex(
                "3132 ff02 000a bf7e fe80 0000 0000 0000 0000 0000 0000 0064 \
                 2001 0db8 0000 0000 0000 0000 0000 0064",
            ),
            form: form(Version::V3, 100, &["fe80::64", "2001:db8::64"]),
            reach: Reach::Multicast(address("ff02::12")),
            own: address("fe80::2"),
            ipv6: Some((address("fe80::5462:2bff:fe27:6688"), address("ff02::12"))),
        }
    }

    /// Version 3 over IPv6 by unicast; keepalived sends it with a hop limit of 64.
    fn v6_unicast() -> Self {
        Self {
            bytes: hex("3132 ff01 000a 45a7 2001 0db8 0000 0000 0000 0000 0000 0064"),
            form: form(Version::V3, 100, &["2001:db8::64"]),
            reach: Reach::Unicast(vec![peer("2001:db8::1")]),
            own: address("2001:db8::2"),
            ipv6: Some((address("2001:db8::1"), address("2001:db8::2"))),
        }
    }

    fn all() -> [Self; 5] {
        [
            Self::v2(),
            Self::ah(),
            Self::v3(),
            Self::v6(),
            Self::v6_unicast(),
        ]
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Datagram<'a>, Refused> {
        match self.ipv6 {
            None => Datagram::read(bytes),
            Some((source, destination)) => {
                let hop_limit = if destination.is_multicast() { TTL } else { 64 };
                Ok(Datagram::ipv6(source, destination, hop_limit, bytes))
            }
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<Heard, Refused> {
        self.read(bytes)?
            .check(&self.form, &self.reach, self.own, None)
    }

    /// Where the advertisement begins.
    fn payload_at(&self) -> usize {
        match (&self.form.authentication, self.ipv6) {
            (_, Some(_)) => 0,
            (Some(Authentication::Ah(_)), None) => 44,
            (_, None) => 20,
        }
    }

    /// The packet with a change, and everything that is reckoned from its bytes made right again.
    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<Heard, Refused> {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        self.check(&self.repaired(bytes))
    }

    fn repaired(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = self.payload_at();
        if self.ipv6.is_none() && bytes.len() >= 20 {
            let total = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&total);
        }
        if bytes.len() >= at + 8 {
            bytes[at + 6..at + 8].fill(0);
            let (source, destination) = match self.ipv6 {
                Some(ends) => ends,
                None => (
                    IpAddr::from(<[u8; 4]>::try_from(&bytes[12..16]).expect("four")),
                    IpAddr::from(<[u8; 4]>::try_from(&bytes[16..20]).expect("four")),
                ),
            };
            let before = match self.form.version {
                Version::V2 => checksum::Sum::default(),
                Version::V3 => checksum::Sum::pseudo_header(source, destination, bytes.len() - at),
            };
            let sum = before.add(&bytes[at..]).finish().to_be_bytes();
            bytes[at + 6..at + 8].copy_from_slice(&sum);
        }
        if let (Some(Authentication::Ah(key)), true) =
            (&self.form.authentication, bytes.len() >= 44)
        {
            ah::sign(key, &mut bytes);
        }
        bytes
    }
}

#[test]
fn keepalived_is_understood_and_written_alike() {
    for sample in Sample::all() {
        let datagram = sample.read(&sample.bytes).expect("whole");
        let heard = sample.check(&sample.bytes).expect("valid");
        assert_eq!(heard.interval, sample.form.interval);
        assert_eq!(heard.other_checksum, None);
        let mut ours = encode(
            &sample.form,
            heard.priority,
            datagram.source,
            datagram.destination,
        );
        if let Some(Authentication::Ah(key)) = &sample.form.authentication {
            let (IpAddr::V4(from), IpAddr::V4(to)) = (datagram.source, datagram.destination) else {
                panic!("IPv4");
            };
            ours = wrap(key, 1, from, to, TTL, &ours);
            // The kernel reckons the IP header's checksum.
            ours[10..12].copy_from_slice(&sample.bytes[10..12]);
            assert_eq!(ours, sample.bytes);
            continue;
        }
        assert_eq!(ours, sample.bytes[sample.payload_at()..]);
    }
}

#[test]
fn each_wrong_field_of_version_2_is_refused_by_its_name() {
    let sample = Sample::v2();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| sample.changed(change);
    let mut damaged = sample.bytes.clone();
    damaged[26] ^= 1;
    assert_eq!(sample.check(&damaged), Err(Refused::Checksum));
    assert_eq!(changed(&|bytes| bytes[8] = 254), Err(Refused::Ttl(254)));
    assert_eq!(changed(&|bytes| bytes[9] = 17), Err(Refused::Datagram));
    assert_eq!(changed(&|bytes| bytes[0] = 0x65), Err(Refused::Datagram));
    assert_eq!(changed(&|bytes| bytes[15] = 2), Err(Refused::OwnAddress));
    assert_eq!(
        changed(&|bytes| bytes[19] = 19),
        Err(Refused::Destination(address("224.0.0.19")))
    );
    assert_eq!(
        changed(&|bytes| bytes[20] = 0x31),
        Err(Refused::Version {
            found: 3,
            wanted: 2
        })
    );
    assert_eq!(changed(&|bytes| bytes[20] = 0x22), Err(Refused::Type(2)));
    for found in [0, 2] {
        assert_eq!(
            changed(&|bytes| bytes[24] = found),
            Err(Refused::AuthenticationType { found, wanted: 1 })
        );
    }
    assert_eq!(changed(&|bytes| bytes[45] = b'x'), Err(Refused::Password));
    assert_eq!(
        changed(&|bytes| bytes[25] = 2),
        Err(Refused::Interval {
            found: 2,
            wanted: 1
        })
    );
    assert_eq!(
        changed(&|bytes| bytes[23] = 2),
        Err(Refused::Length {
            found: 28,
            wanted: 24
        })
    );
    assert_eq!(
        changed(&|bytes| bytes.push(0)),
        Err(Refused::Length {
            found: 29,
            wanted: 28
        })
    );
    let fewer = changed(&|bytes| {
        bytes[23] = 2;
        bytes.drain(36..40);
    });
    assert_eq!(
        fewer,
        Err(Refused::AddressCount {
            found: 2,
            wanted: 3
        })
    );
    assert_eq!(
        changed(&|bytes| bytes[31] = 7),
        Err(Refused::AddressList(address("10.230.137.7")))
    );
}

#[test]
fn each_wrong_field_of_version_3_is_refused_by_its_name() {
    for sample in [Sample::v3(), Sample::v6()] {
        let at = sample.payload_at();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| sample.changed(change);
        let mut damaged = sample.bytes.clone();
        damaged[at + 6] ^= 1;
        assert_eq!(sample.check(&damaged), Err(Refused::Checksum));
        assert_eq!(
            changed(&|bytes| bytes[at] = 0x21),
            Err(Refused::Version {
                found: 2,
                wanted: 3
            })
        );
        assert_eq!(changed(&|bytes| bytes[at] = 0x32), Err(Refused::Type(2)));
        assert_eq!(
            changed(&|bytes| bytes[at + 5] = 0),
            Err(Refused::NoInterval)
        );
        // RFC 5798 5.2.6: reserved bits are ignored.
        assert!(changed(&|bytes| bytes[at + 4] = 0xf0).is_ok());
        let learnt = changed(&|bytes| bytes[at + 4] = 0x0f).expect("another interval is no fault");
        assert_eq!(learnt.interval, Duration::from_millis(38_500));
        assert!(matches!(
            changed(&|bytes| bytes[at + 3] = 1),
            Err(Refused::Length { .. })
        ));
        assert!(matches!(
            changed(&|bytes| bytes.push(0)),
            Err(Refused::Length { .. })
        ));
        let size = v3::address_bytes(sample.own);
        assert_eq!(
            changed(&|bytes| {
                bytes[at + 3] = 1;
                bytes.truncate(at + 8 + size);
            }),
            Err(Refused::AddressCount {
                found: 1,
                wanted: 2
            })
        );
        assert!(matches!(
            changed(&|bytes| bytes[at + 9] = 7),
            Err(Refused::AddressList(_))
        ));
    }
    let sample = Sample::v6();
    let group = address("ff02::12");
    let check = |source: &str, destination, hop_limit| {
        Datagram::ipv6(address(source), destination, hop_limit, &sample.bytes).check(
            &sample.form,
            &sample.reach,
            sample.own,
            None,
        )
    };
    let neighbour = "fe80::5462:2bff:fe27:6688";
    assert!(check(neighbour, group, 255).is_ok());
    assert_eq!(check(neighbour, group, 254), Err(Refused::Ttl(254)));
    assert_eq!(check("fe80::2", group, 255), Err(Refused::OwnAddress));
    assert_eq!(
        check("2001:db8::1", group, 255),
        Err(Refused::NotLinkLocal(address("2001:db8::1")))
    );
    let other = address("ff02::13");
    assert_eq!(
        check(neighbour, other, 255),
        Err(Refused::Destination(other))
    );
    assert_eq!(check("fe80::9", group, 255), Err(Refused::Checksum));
}

#[test]
fn each_wrong_field_of_the_authentication_header_is_refused_by_its_name() {
    let sample = Sample::ah();
    assert_eq!(
        sample.check(&sample.bytes).map(|heard| heard.sequence),
        Ok(Some(1))
    );
    let changed = |change: &dyn Fn(&mut Vec<u8>)| sample.changed(change);
    for (at, what) in [(20, "next header"), (21, "length"), (27, "SPI")] {
        assert_eq!(
            changed(&|bytes| bytes[at] ^= 1),
            Err(Refused::MalformedHeader),
            "{what}"
        );
    }
    // Whatever is covered by the digest: identification, addresses, sequence number, digest, advertisement.
    for at in [4, 28, 31, 32, 43, 46, 60] {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(sample.check(&bytes), Err(Refused::Digest), "byte {at}");
    }
    let stranger = Form {
        authentication: Some(Authentication::Ah(*b"letmein\0")),
        ..sample.form.clone()
    };
    let datagram = sample.read(&sample.bytes).expect("whole");
    let check = |form: &Form| datagram.check(form, &sample.reach, sample.own, None);
    assert_eq!(check(&stranger), Err(Refused::Digest));
    let none = Form {
        authentication: None,
        ..sample.form.clone()
    };
    assert_eq!(check(&none), Err(Refused::Header { found: true }));
    let plain = Sample::v2();
    let bare = Datagram::read(&plain.bytes).expect("whole");
    assert_eq!(
        bare.check(&sample.form, &plain.reach, plain.own, None),
        Err(Refused::Header { found: false })
    );
    // RFC 2402 zeroes the TTL, too, and so does keepalived by unicast; whoever does so is understood.
    let mut zeroed = sample.bytes.clone();
    ah::sign_with_ttl(b"passwd\0\0", &mut zeroed, 0);
    assert!(sample.check(&zeroed).is_ok());
}

#[test]
fn a_sequence_number_counts_once_and_goes_on_from_router_to_router() {
    let mut ours = Sequences::new(1_000_000);
    assert!(ours.heard(5).is_ok(), "a peer may count from one");
    assert!(ours.heard(6).is_ok());
    for replayed in [0, 5, 6] {
        assert_eq!(
            ours.heard(replayed),
            Err(Refused::Replay {
                found: replayed,
                last: 6
            })
        );
    }
    assert_eq!((ours.take(), ours.take()), (1_000_001, 1_000_002));
    assert!(
        ours.heard(7).is_ok(),
        "a peer that has not heard us counts on as before"
    );
    assert!(ours.heard(1_000_003).is_ok());
    assert_eq!(ours.take(), 1_000_004);
    assert!(ours.heard(u32::MAX).is_ok());
    assert_eq!(ours.take(), u32::MAX, "it ends and does not begin anew");
}

#[test]
fn a_packet_cut_at_any_byte_is_refused() {
    for sample in Sample::all() {
        let at = sample.payload_at();
        for length in 0..sample.bytes.len() {
            let cut = &sample.bytes[..length];
            assert!(sample.check(cut).is_err(), "{length} bytes");
            if sample.ipv6.is_none() {
                // The IP header says more than there is.
                assert_eq!(sample.check(cut), Err(Refused::Datagram), "{length} bytes");
            }
            // All that is reckoned made right: only the length is wrong.
            if length > at {
                let repaired = sample.check(&sample.repaired(cut.to_vec()));
                assert!(
                    matches!(repaired, Err(Refused::Length { .. })),
                    "{length} bytes: {repaired:?}"
                );
            }
        }
    }
}

#[test]
fn checksums_with_and_without_pseudo_header_are_understood_and_sent_as_asked() {
    let sample = Sample::v3();
    let (source, group) = (address("10.9.0.1"), GROUP);
    for kind in [PseudoHeader::Included, PseudoHeader::Absent] {
        let form = Form {
            pseudo_header: kind,
            ..sample.form.clone()
        };
        let mut bytes = sample.bytes[..20].to_vec();
        bytes.extend(encode(&form, 100, source, group));
        let heard = sample.check(&bytes).expect("either is valid");
        let other = (kind != PseudoHeader::Included).then_some(kind);
        assert_eq!(heard.other_checksum, other);
    }
    // keepalived 2.2.7 with old_unicast_checksum, by unicast to 10.9.0.2.
    let old = hex(
        "45c0 0024 0001 0000 ff70 a694 0a09 0001 0a09 0002 3132 ff02 000a d048 0a09 0064 0a09 0065",
    );
    let reach = Reach::Unicast(vec![peer("10.9.0.1")]);
    let heard = Datagram::read(&old)
        .expect("whole")
        .check(&sample.form, &reach, sample.own, None)
        .expect("understood");
    let kind = PseudoHeader::OfGroup(Ipv4Addr::new(224, 0, 0, 18));
    assert_eq!(heard.other_checksum, Some(kind));
    let form = Form {
        pseudo_header: kind,
        ..sample.form.clone()
    };
    assert_eq!(encode(&form, 255, source, sample.own), old[20..]);
    // Over IPv6 there is no choice.
    let sample = Sample::v6();
    let form = Form {
        pseudo_header: PseudoHeader::Absent,
        ..sample.form.clone()
    };
    let (source, destination) = sample.ipv6.expect("IPv6");
    assert_eq!(encode(&form, 255, source, destination), sample.bytes);
}

#[test]
fn a_unicast_instance_hears_listed_peers_within_their_ttl() {
    let sample = Sample::v2();
    let mut bytes = sample.bytes.clone();
    bytes[16..20].copy_from_slice(&[10, 230, 137, 2]);
    bytes[8] = 63;
    let datagram = Datagram::read(&bytes).expect("whole");
    let check =
        |peers: Vec<UnicastPeer>| datagram.check(&sample.form, &Reach::Unicast(peers), OWN, None);
    assert_eq!(
        check(vec![peer("10.230.137.1")]).map(|heard| heard.from),
        Ok(PEER)
    );
    assert_eq!(check(vec![]), Err(Refused::Stranger));
    let limited = |min_ttl, max_ttl| UnicastPeer {
        min_ttl,
        max_ttl,
        ..peer("10.230.137.1")
    };
    assert!(check(vec![limited(63, 63)]).is_ok());
    for (min, max) in [(64, 255), (0, 62)] {
        assert_eq!(
            check(vec![limited(min, max)]),
            Err(Refused::TtlRange {
                found: 63,
                min,
                max
            })
        );
    }
    let multicast = Datagram::read(&sample.bytes).expect("whole");
    let reach = Reach::Unicast(vec![peer("10.230.137.1")]);
    assert_eq!(
        multicast.check(&sample.form, &reach, OWN, None),
        Err(Refused::Destination(GROUP))
    );
    assert!(datagram.came_by(&reach) && !multicast.came_by(&reach));
    assert!(multicast.came_by(&sample.reach) && !datagram.came_by(&sample.reach));
}

#[test]
fn the_addresses_of_a_trusted_master_are_not_compared_again() {
    let sample = Sample::v2();
    let mut form = sample.form.clone();
    form.addresses.pop();
    let datagram = Datagram::read(&sample.bytes).expect("whole");
    let check = |trusted| datagram.check(&form, &sample.reach, OWN, trusted);
    assert!(check(None).is_err() && check(Some(OWN)).is_err());
    assert!(check(Some(PEER)).is_ok());
}

#[test]
fn the_interval_is_written_within_its_bounds() {
    for (wanted_ms, sent) in [
        (10, 1),
        (5, 1),
        (40_950, 4095),
        (200_000, 4095),
        (1000, 100),
    ] {
        let form = form(Version::V3, wanted_ms, &["10.0.0.1"]);
        let bytes = encode(&form, 1, PEER, GROUP);
        assert_eq!(u16::from_be_bytes([bytes[4], bytes[5]]), sent);
    }
    for (wanted_ms, sent) in [(1000, 1), (255_000, 255), (300_000, 255), (10, 1)] {
        assert_eq!(
            encode(&form(Version::V2, wanted_ms, &[]), 1, PEER, GROUP)[5],
            sent
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        for sample in Sample::all() {
            let _ = sample.check(&bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_never_another_message(at: prop::sample::Index, value: u8) {
        for sample in Sample::all() {
            let mut bytes = sample.bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] = value;
            // No checksum of version 2 covers the IP header: there another source is another router.
            if let (Ok(heard), Ok(original)) = (sample.check(&bytes), sample.check(&sample.bytes)) {
                assert_eq!(
                    (heard.priority, heard.interval, heard.sequence),
                    (original.priority, original.interval, original.sequence),
                    "byte {at} = {value:#x}"
                );
            }
        }
    }
}
