//! The PROXY protocol's headers, versions 1 and 2, as bytes: parsed and written, without sockets or clocks.
//!
//! Sections and page names are those of the public specification ("The PROXY protocol, versions 1 & 2", 2020/03/05).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header of version 2 begins with (2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The longest line of version 1 with its CRLF (2.1).
pub const MAX_V1_BYTES: usize = 107;
/// The longest header of version 2 that is read; the length field would allow 65,551.
pub const MAX_V2_BYTES: usize = 16_384;
/// Longest unique ID (2.2.5).
pub const MAX_UNIQUE_ID_BYTES: usize = 128;
/// Longest authority; HAProxy's bound.
pub const MAX_AUTHORITY_BYTES: usize = 255;

const COMMAND_LOCAL: u8 = 0x20;
const COMMAND_PROXY: u8 = 0x21;
const FAMILY_UNSPECIFIED: u8 = 0x00;
const FAMILY_TCP4: u8 = 0x11;
const FAMILY_TCP6: u8 = 0x21;
const FAMILY_UNIX: u8 = 0x31;
/// Bytes of the two paths of `FAMILY_UNIX`.
const UNIX_PATH_BYTES: usize = 108;

/// Types of TLVs (2.2.1 to 2.2.8).
mod tlv {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_COMMON_NAME: u8 = 0x22;
    pub(super) const SSL_CIPHER: u8 = 0x23;
    pub(super) const SSL_SIGNATURE: u8 = 0x24;
    pub(super) const SSL_KEY: u8 = 0x25;
    pub(super) const NETNS: u8 = 0x30;
}

/// Bits of the SSL TLV's first byte (2.2.6).
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// All bytes so far can belong to a header; more are needed.
    #[error("the header is not whole")]
    Incomplete,
    /// They do not begin as a header does.
    #[error("it does not look like a header")]
    NotAHeader,
    /// A protocol that nobody defined.
    #[error("unhandled protocol")]
    UnknownProtocol,
    /// A header that breaks the specification.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A header's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    V1,
    V2,
}

/// Who talks to whom, as the sender says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// `LOCAL`, `UNKNOWN`, unspecified: the connection's own addresses hold.
    Unknown,
    /// TCP.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// Unix sockets: the paths without their padding. The connection's own addresses hold.
    Unix {
        /// The client's.
        source: Vec<u8>,
        /// The listener's.
        destination: Vec<u8>,
    },
}

/// What the TLVs of version 2 tell. Absent ones are `None`; the last one of a type counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol chosen by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// The host name that the client asked for.
    pub authority: Option<Vec<u8>>,
    /// The sender's unique ID, at most [`MAX_UNIQUE_ID_BYTES`].
    pub unique_id: Option<Vec<u8>>,
    /// The name of the network namespace.
    pub netns: Option<Vec<u8>>,
    /// TLS between the client and the sender.
    pub ssl: Option<Ssl>,
}

/// The SSL TLV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// `PP2_CLIENT_…` bits.
    pub client: u8,
    /// 0 if the client showed a certificate that was verified.
    pub verify: u32,
    /// `TLSv1.3`.
    pub version: Option<Vec<u8>>,
    /// Common name of the client's certificate.
    pub common_name: Option<Vec<u8>>,
    /// Cipher suite.
    pub cipher: Option<Vec<u8>>,
}

/// A header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Bytes of it; what follows is the client's.
    pub length: usize,
    /// Its version.
    pub version: Version,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its TLVs.
    pub tlvs: Tlvs,
}

/// Reads the header that the bytes begin with. Never panics; reads no further than the header.
///
/// ```
/// use tandem_proxy::net::proxy_protocol::{Addresses, ParseError, parse};
/// let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\nGET / HTTP/1.1\r\n";
/// let parsed = parse(line).expect("a header");
/// assert_eq!(parsed.length, 40);
/// assert!(matches!(parsed.addresses, Addresses::Tcp { source, .. } if source.port() == 4000));
/// assert_eq!(parse(b"PROXY TC"), Err(ParseError::Incomplete));
/// assert_eq!(parse(b"GET / HT"), Err(ParseError::NotAHeader));
/// ```
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    const V1_WORD: &[u8] = b"PROXY ";
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    if begins(V1_WORD) && bytes.len() >= V1_WORD.len() {
        return parse_line(bytes);
    }
    if begins(SIGNATURE) && bytes.len() >= SIGNATURE.len() {
        return parse_binary(bytes);
    }
    if begins(V1_WORD) || begins(SIGNATURE) {
        return Err(ParseError::Incomplete);
    }
    Err(ParseError::NotAHeader)
}

/// Version 1 (2.1): `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`, single spaces, or `PROXY UNKNOWN …\r\n`.
fn parse_line(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let room = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(end) = memchr::memmem::find(room, b"\r\n") else {
        return Err(if bytes.len() < MAX_V1_BYTES {
            ParseError::Incomplete
        } else {
            ParseError::Invalid("no end of line within 107 bytes")
        });
    };
    let parsed = |addresses| Parsed {
        length: end + 2,
        version: Version::V1,
        addresses,
        tlvs: Tlvs::default(),
    };
    let line = std::str::from_utf8(&room[..end])
        .map_err(|_| ParseError::Invalid("bytes other than ASCII"))?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(ParseError::NotAHeader);
    }
    let is_v6 = match words.next() {
        // What follows up to the end of the line is to be ignored.
        Some("UNKNOWN") => return Ok(parsed(Addresses::Unknown)),
        Some("TCP4") => false,
        Some("TCP6") => true,
        _ => return Err(ParseError::UnknownProtocol),
    };
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        if is_v6 {
            word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        } else {
            word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
    };
    let (Some(source), Some(destination)) = (address(), address()) else {
        return Err(ParseError::Invalid("an address that cannot be read"));
    };
    let (Some(source_port), Some(destination_port), None) =
        (port(words.next()), port(words.next()), words.next())
    else {
        return Err(ParseError::Invalid("a port that cannot be read"));
    };
    Ok(parsed(Addresses::Tcp {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

/// A port: digits alone, no leading zero (2.1).
fn port(word: Option<&str>) -> Option<u16> {
    let word = word?;
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (word.len() == 1 || !word.starts_with('0')))
        .then(|| word.parse().ok())
        .flatten()
}

/// Version 2 (2.2).
fn parse_binary(bytes: &[u8]) -> Result<Parsed, ParseError> {
    // The version decides whether what follows can be understood at all.
    if bytes.get(12).is_some_and(|byte| byte & 0xf0 != 0x20) {
        return Err(ParseError::NotAHeader);
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Err(ParseError::Incomplete);
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_BYTES + length > MAX_V2_BYTES {
        return Err(ParseError::Invalid("longer than 16384 bytes"));
    }
    let Some(body) = rest.get(..length) else {
        return Err(ParseError::Incomplete);
    };
    let header = &bytes[..FIXED_BYTES + length];
    let parsed = |addresses, tlvs| Parsed {
        length: header.len(),
        version: Version::V2,
        addresses,
        tlvs,
    };
    match command {
        // Whatever a local connection carries is to be skipped.
        COMMAND_LOCAL => return Ok(parsed(Addresses::Unknown, Tlvs::default())),
        COMMAND_PROXY => {}
        _ => return Err(ParseError::Invalid("unknown command")),
    }
    let cut = |length: usize| {
        body.split_at_checked(length)
            .ok_or(ParseError::Invalid("shorter than its addresses"))
    };
    let (addresses, rest) = match family {
        // Without a family nobody can tell addresses from TLVs.
        FAMILY_UNSPECIFIED => return Ok(parsed(Addresses::Unknown, Tlvs::default())),
        FAMILY_TCP4 => {
            let (block, rest) = cut(12)?;
            (tcp4(block), rest)
        }
        FAMILY_TCP6 => {
            let (block, rest) = cut(36)?;
            (tcp6(block), rest)
        }
        FAMILY_UNIX => {
            let (block, rest) = cut(2 * UNIX_PATH_BYTES)?;
            let (source, destination) = block.split_at(UNIX_PATH_BYTES);
            let unpadded = |path: &[u8]| match memchr::memchr(0, &path[1..]) {
                // An abstract name begins with a zero byte.
                Some(end) => path[..=end].to_vec(),
                None => path.to_vec(),
            };
            let addresses = Addresses::Unix {
                source: unpadded(source),
                destination: unpadded(destination),
            };
            (addresses, rest)
        }
        _ => return Err(ParseError::Invalid("not a stream of a known family")),
    };
    Ok(parsed(addresses, parse_tlvs(header, rest)?))
}

fn tcp4(block: &[u8]) -> Addresses {
    let address = |at: usize| Ipv4Addr::new(block[at], block[at + 1], block[at + 2], block[at + 3]);
    Addresses::Tcp {
        source: SocketAddr::from((address(0), u16::from_be_bytes([block[8], block[9]]))),
        destination: SocketAddr::from((address(4), u16::from_be_bytes([block[10], block[11]]))),
    }
}

fn tcp6(block: &[u8]) -> Addresses {
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&block[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    Addresses::Tcp {
        source: SocketAddr::from((address(0), u16::from_be_bytes([block[32], block[33]]))),
        destination: SocketAddr::from((address(16), u16::from_be_bytes([block[34], block[35]]))),
    }
}

/// The vectors behind the addresses: type, length, value. `header` is all of it, for its checksum.
fn parse_tlvs(header: &[u8], mut rest: &[u8]) -> Result<Tlvs, ParseError> {
    let mut tlvs = Tlvs::default();
    while !rest.is_empty() {
        let (kind, value, left) = next_tlv(rest)?;
        match kind {
            tlv::ALPN => tlvs.alpn = Some(value.to_vec()),
            tlv::AUTHORITY if value.len() > MAX_AUTHORITY_BYTES => {
                return Err(ParseError::Invalid("an authority of more than 255 bytes"));
            }
            tlv::AUTHORITY => tlvs.authority = Some(value.to_vec()),
            tlv::CRC32C => {
                let Ok(told) = <[u8; 4]>::try_from(value) else {
                    return Err(ParseError::Invalid("a checksum that is not of 4 bytes"));
                };
                // 2.2.3: computed over the whole header with zeros in the checksum's place.
                let at = header.len() - left.len() - value.len();
                let sum = crc32c(&[&header[..at], &[0; 4], &header[at + 4..]]);
                if sum != u32::from_be_bytes(told) {
                    return Err(ParseError::Invalid("a wrong checksum"));
                }
            }
            tlv::UNIQUE_ID if value.len() > MAX_UNIQUE_ID_BYTES => {
                return Err(ParseError::Invalid("a unique ID of more than 128 bytes"));
            }
            tlv::UNIQUE_ID => tlvs.unique_id = Some(value.to_vec()),
            tlv::SSL => tlvs.ssl = Some(parse_ssl(value)?),
            tlv::NETNS => tlvs.netns = Some(value.to_vec()),
            // 2.2: unknown ones are to be skipped.
            _ => {}
        }
        rest = left;
    }
    Ok(tlvs)
}

fn parse_ssl(value: &[u8]) -> Result<Ssl, ParseError> {
    let [client, a, b, c, d, rest @ ..] = value else {
        return Err(ParseError::Invalid("SSL information that is cut short"));
    };
    let mut ssl = Ssl {
        client: *client,
        verify: u32::from_be_bytes([*a, *b, *c, *d]),
        ..Ssl::default()
    };
    let mut rest = rest;
    while !rest.is_empty() {
        let (kind, value, left) = next_tlv(rest)?;
        match kind {
            tlv::SSL_VERSION => ssl.version = Some(value.to_vec()),
            tlv::SSL_COMMON_NAME => ssl.common_name = Some(value.to_vec()),
            tlv::SSL_CIPHER => ssl.cipher = Some(value.to_vec()),
            _ => {}
        }
        rest = left;
    }
    Ok(ssl)
}

/// Type, value, and what is left behind them.
fn next_tlv(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ParseError> {
    const CUT: ParseError = ParseError::Invalid("a TLV that is longer than the header");
    let [kind, high, low, rest @ ..] = bytes else {
        return Err(CUT);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, left) = rest.split_at_checked(length).ok_or(CUT)?;
    Ok((*kind, value, left))
}

/// What a header of version 2 tells; absent facts are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Client and where it connected to; without them the header says `LOCAL`.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// The protocol that the client chose by ALPN.
    pub alpn: Option<&'a [u8]>,
    /// The name that the client asked for by SNI.
    pub authority: Option<&'a [u8]>,
    /// At most [`MAX_UNIQUE_ID_BYTES`] of it are sent.
    pub unique_id: Option<&'a [u8]>,
    /// Whether and how the client came by TLS.
    pub ssl: Option<SslFacts<'a>>,
    /// Whether a checksum is sent.
    pub crc32c: bool,
}

/// What the SSL TLV tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct SslFacts<'a> {
    /// Its version, `TLSv1.3`; `None` for a client without TLS.
    pub version: Option<&'a [u8]>,
    /// Whether the client showed a certificate.
    pub has_certificate: bool,
    /// The common name in it.
    pub common_name: Option<&'a [u8]>,
    /// Key algorithm and bits of our certificate, `RSA2048`.
    pub key: Option<&'a [u8]>,
    /// Signature algorithm of our certificate, `RSA-SHA256`.
    pub signature: Option<&'a [u8]>,
    /// Cipher suite.
    pub cipher: Option<&'a [u8]>,
}

/// Appends a line of version 1: `UNKNOWN` without addresses.
pub fn write_v1(addresses: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    let Some((source, destination)) = addresses.map(same_family) else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let line = format!(
        "PROXY TCP{} {} {} {} {}\r\n",
        if source.is_ipv4() { 4 } else { 6 },
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    out.extend_from_slice(line.as_bytes());
}

/// Appends a header of version 2, its TLVs in HAProxy's order.
pub fn write_v2(facts: &Facts<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    match facts.addresses.map(same_family) {
        None => out.extend_from_slice(&[COMMAND_LOCAL, FAMILY_UNSPECIFIED, 0, 0]),
        Some((source, destination)) => {
            let family = if source.is_ipv4() {
                FAMILY_TCP4
            } else {
                FAMILY_TCP6
            };
            out.extend_from_slice(&[COMMAND_PROXY, family, 0, 0]);
            for address in [source, destination] {
                match address.ip() {
                    IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                    IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
    }
    let checksum_at = facts.crc32c.then(|| {
        put_tlv(out, tlv::CRC32C, &[0; 4]);
        out.len() - 4
    });
    let mut put = |kind, value: Option<&[u8]>, limit: usize| {
        if let Some(value) = value {
            put_tlv(out, kind, &value[..value.len().min(limit)]);
        }
    };
    put(tlv::ALPN, facts.alpn, MAX_VALUE_BYTES);
    put(tlv::AUTHORITY, facts.authority, MAX_AUTHORITY_BYTES);
    put(tlv::UNIQUE_ID, facts.unique_id, MAX_UNIQUE_ID_BYTES);
    if let Some(ssl) = &facts.ssl {
        put_tlv(out, tlv::SSL, &ssl_value(ssl));
    }
    let length = u16::try_from(out.len() - start - FIXED_BYTES).unwrap_or(u16::MAX);
    out[start + 14..start + 16].copy_from_slice(&length.to_be_bytes());
    if let Some(at) = checksum_at {
        let sum = crc32c(&[&out[start..]]);
        out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Longest value written of what has no bound of its own: all of them together stay far below the length field's limit.
const MAX_VALUE_BYTES: usize = 1_024;

fn ssl_value(ssl: &SslFacts<'_>) -> Vec<u8> {
    let mut client = 0;
    if ssl.version.is_some() {
        client |= CLIENT_SSL;
        if ssl.has_certificate {
            client |= CLIENT_CERT_CONN | CLIENT_CERT_SESS;
        }
    }
    // The last four bytes are the result of verification: a client whose certificate is bad never gets here.
    let mut value = vec![client, 0, 0, 0, 0];
    for (kind, part) in [
        (tlv::SSL_VERSION, ssl.version),
        (tlv::SSL_COMMON_NAME, ssl.common_name),
        (tlv::SSL_KEY, ssl.key),
        (tlv::SSL_SIGNATURE, ssl.signature),
        (tlv::SSL_CIPHER, ssl.cipher),
    ] {
        if let Some(part) = part {
            put_tlv(&mut value, kind, &part[..part.len().min(MAX_VALUE_BYTES)]);
        }
    }
    value
}

fn put_tlv(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// Both addresses in one family: an IPv4 address beside an IPv6 one is written as a mapped one.
fn same_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        IpAddr::V6(_) => address,
    };
    let (source, destination) = (plain(source), plain(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (mapped(source), mapped(destination))
    }
}

/// CRC-32C (RFC 4960 appendix B) over all parts in order.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        sum = (sum >> 8) ^ CRC_TABLE[usize::from(sum as u8 ^ byte)];
    }
    !sum
}

const CRC_TABLE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ if value & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
