//! Tests of the PROXY protocol's headers.

use proptest::prelude::*;

use super::*;

fn v4() -> (SocketAddr, SocketAddr) {
    (([1, 2, 3, 4], 1_111).into(), ([5, 6, 7, 8], 2_222).into())
}

#[track_caller]
fn check(line: &str, expected: Result<Addresses, ParseError>) {
    let found = parse(line.as_bytes()).map(|parsed| parsed.addresses);
    assert_eq!(found, expected, "{line:?}");
}

#[test]
fn lines_are_read_as_the_specification_says() {
    let (source, destination) = v4();
    let tcp = Addresses::Tcp {
        source,
        destination,
    };
    check("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n", Ok(tcp));
    check("PROXY UNKNOWN\r\n", Ok(Addresses::Unknown));
    check(
        "PROXY UNKNOWN ffff:f...f:ffff 1 2\r\nrest",
        Ok(Addresses::Unknown),
    );
    check(
        "PROXY TCP6 ::1 2::3 0 65535\r\n",
        Ok(Addresses::Tcp {
            source: "[::1]:0".parse().expect("address"),
            destination: "[2::3]:65535".parse().expect("address"),
        }),
    );
    let bad_port = Err(ParseError::Invalid("a port that cannot be read"));
    let bad_address = Err(ParseError::Invalid("an address that cannot be read"));
    for ports in [
        "1111 70000",
        "1111",
        "+1 2",
        "01 2",
        "1 2 ",
        "1 2 3",
        "1  2",
        " 1 2",
    ] {
        let line = format!("PROXY TCP4 1.2.3.4 5.6.7.8 {ports}\r\n");
        check(&line, bad_port.clone());
    }
    for addresses in [
        "1.2.3.444 5.6.7.8",
        "::1 ::2",
        "1.2.3.4  5.6.7.8",
        "1.2.3 5.6.7.8",
        "01.2.3.4 5.6.7.8",
    ] {
        let line = format!("PROXY TCP4 {addresses} 1 2\r\n");
        check(&line, bad_address.clone());
    }
    check(
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        Err(ParseError::UnknownProtocol),
    );
    check("PROXY\r\n", Err(ParseError::NotAHeader));
    check(
        "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        Err(ParseError::NotAHeader),
    );
    check(
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        Err(ParseError::Incomplete),
    );
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    check(
        &long,
        Err(ParseError::Invalid("no end of line within 107 bytes")),
    );
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1_BYTES - 16));
    check(&longest, Ok(Addresses::Unknown));
}

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

const BLOCK: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0x04, 0x57, 0x08, 0xae];

fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&BLOCK[..], tlvs].concat())
}

#[test]
fn binary_headers_are_read_as_the_specification_says() {
    let (source, destination) = v4();
    let parsed = parse(&[with_tlvs(b""), b"more".to_vec()].concat()).expect("good");
    assert_eq!(parsed.length, 28);
    assert_eq!(
        parsed.addresses,
        Addresses::Tcp {
            source,
            destination
        }
    );
    let addresses = |bytes: &[u8]| parse(bytes).map(|parsed| parsed.addresses);
    // LOCAL with anything behind it; unspecified.
    assert_eq!(
        addresses(&binary(0x20, 0x99, b"junk")),
        Ok(Addresses::Unknown)
    );
    assert_eq!(
        addresses(&binary(0x21, 0x00, b"junk")),
        Ok(Addresses::Unknown)
    );
    let mut paths = [0; 216];
    paths[..2].copy_from_slice(b"/a");
    paths[108..111].copy_from_slice(b"\0ab");
    assert_eq!(
        addresses(&binary(0x21, 0x31, &paths)),
        Ok(Addresses::Unix {
            source: b"/a".to_vec(),
            destination: b"\0ab".to_vec()
        })
    );
    assert_eq!(
        addresses(&binary(0x11, 0x11, &BLOCK)),
        Err(ParseError::NotAHeader)
    );
    for bad in [
        binary(0x22, 0x11, &BLOCK),
        binary(0x21, 0x12, &BLOCK),
        binary(0x21, 0x41, &BLOCK),
        binary(0x21, 0x11, &BLOCK[..11]),
        binary(0x21, 0x21, &BLOCK),
        with_tlvs(b"\x02"),
        with_tlvs(b"\x02\xff\xffab"),
        with_tlvs(b"\x03\x00\x03abc"),
        with_tlvs(b"\x03\x00\x04abcd"),
        with_tlvs(b"\x20\x00\x04\0\0\0\0"),
        with_tlvs(b"\x20\x00\x07\0\0\0\0\0\x21\xff"),
        with_tlvs(&[&[0x05, 0, 129][..], &[b'u'; 129]].concat()),
        with_tlvs(&[&[0x02, 1, 0][..], &[b'u'; 256]].concat()),
    ] {
        assert!(
            matches!(parse(&bad), Err(ParseError::Invalid(_))),
            "{bad:?}"
        );
    }
    // The length alone is enough to refuse what would never fit.
    let mut huge = binary(0x20, 0, b"");
    huge[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    assert!(matches!(parse(&huge), Err(ParseError::Invalid(_))));
}

#[test]
fn the_checksum_is_castagnolis() {
    // RFC 3720 B.4 gives these sums.
    assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
    assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
}

#[test]
fn headers_are_written_byte_for_byte_as_haproxys() {
    let mut out = Vec::new();
    write_v1(Some(v4()), &mut out);
    assert_eq!(out, b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n");
    out.clear();
    write_v1(None, &mut out);
    assert_eq!(out, b"PROXY UNKNOWN\r\n");
    out.clear();
    write_v1(
        Some((v4().0, "[2::3]:80".parse().expect("address"))),
        &mut out,
    );
    assert_eq!(out, b"PROXY TCP6 ::ffff:1.2.3.4 2::3 1111 80\r\n");
    // A header that HAProxy 2.6 sent with all options.
    out.clear();
    let facts = Facts {
        addresses: Some((
            ([127, 0, 0, 1], 59_238).into(),
            ([127, 0, 0, 1], 18_181).into(),
        )),
        alpn: Some(b"http/1.1"),
        authority: Some(b"example.org"),
        unique_id: Some(b"uid-127.0.0.1"),
        ssl: Some(SslFacts {
            version: Some(b"TLSv1.3"),
            key: Some(b"EC256"),
            signature: Some(b"ecdsa-with-SHA256"),
            cipher: Some(b"TLS_AES_256_GCM_SHA384"),
            ..SslFacts::default()
        }),
        crc32c: true,
    };
    write_v2(&facts, &mut out);
    assert_eq!(
        out,
        b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x83\x7f\x00\x00\x01\x7f\x00\x00\x01\xe7fG\x05\x03\x00\x04\xe17[\x83\x01\x00\x08http/1.1\x02\x00\x0bexample.org\x05\x00\ruid-127.0.0.1 \x00D\x01\x00\x00\x00\x00!\x00\x07TLSv1.3%\x00\x05EC256$\x00\x11ecdsa-with-SHA256#\x00\x16TLS_AES_256_GCM_SHA384"
    );
    out.clear();
    write_v2(
        &Facts {
            crc32c: true,
            ..Facts::default()
        },
        &mut out,
    );
    assert_eq!(
        out,
        b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x07\x03\x00\x04\xa9\xb8~\x8f"
    );
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_length_lies(
        start in prop_oneof![Just(&b""[..]), Just(&b"PROXY "[..]), Just(&b"PROXY TCP4 "[..]), Just(&SIGNATURE[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n!\x11\0"[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        if let Ok(parsed) = parse(&bytes) {
            prop_assert!(parsed.length <= bytes.len());
            // Bytes behind a header never change what it says, and no part of it is enough.
            prop_assert_eq!(parse(&bytes[..parsed.length]), Ok(parsed.clone()));
            for end in 0..parsed.length {
                prop_assert_eq!(parse(&bytes[..end]), Err(ParseError::Incomplete));
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        source in address(), destination in address(),
        authority in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=255)),
        unique_id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=128)),
        common_name in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        crc32c: bool,
    ) {
        let expected = same_family((source, destination));
        let expected = Addresses::Tcp { source: expected.0, destination: expected.1 };
        let mut out = Vec::new();
        write_v1(Some((source, destination)), &mut out);
        prop_assert!(out.len() <= MAX_V1_BYTES);
        prop_assert_eq!(&parse(&out).expect("a line").addresses, &expected);
        out.clear();
        let facts = Facts {
            addresses: Some((source, destination)),
            alpn: Some(b"h2"),
            authority: authority.as_deref(),
            unique_id: unique_id.as_deref(),
            ssl: Some(SslFacts { version: Some(b"TLSv1.2"), has_certificate: true, common_name: common_name.as_deref(), ..SslFacts::default() }),
            crc32c,
        };
        write_v2(&facts, &mut out);
        let parsed = parse(&out).expect("a header");
        prop_assert_eq!(parsed.length, out.len());
        prop_assert_eq!(parsed.addresses, expected);
        prop_assert_eq!(parsed.tlvs.authority, authority);
        prop_assert_eq!(parsed.tlvs.unique_id, unique_id);
        let ssl = parsed.tlvs.ssl.expect("SSL");
        prop_assert_eq!((ssl.client, ssl.verify), (7, 0));
        prop_assert_eq!(ssl.common_name, common_name);
        if crc32c {
            // One wrong bit anywhere is seen.
            let last = out.len() - 1;
            out[last] ^= 1;
            prop_assert!(parse(&out).is_err());
        }
    }
}
