//! What of a request is hashed, and the functions of `hash-type`.

use std::net::IpAddr;

use config::haproxy::HashFunction;

use crate::sample::{Value, rdp};
use crate::tls::hello::Look;

/// A function with its modifier.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hasher {
    pub(super) function: HashFunction,
    pub(super) avalanche: bool,
}

impl Hasher {
    /// The hash of a key.
    pub(super) fn hash(self, key: &[u8]) -> u32 {
        let hash = match self.function {
            // wt6 is HAProxy's own and written down nowhere: the configuration is warned of (see `Balancer::new`).
            HashFunction::Sdbm | HashFunction::Wt6 => sdbm(key),
            HashFunction::Djb2 => djb2(key),
            HashFunction::Crc32 => crc32(key),
            HashFunction::None => number(key),
        };
        self.finish(hash)
    }

    /// The hash of what is a number already.
    pub(super) fn finish(self, hash: u32) -> u32 {
        if self.avalanche {
            avalanche(hash)
        } else {
            hash
        }
    }

    /// The hash of a sample: addresses and integers by their bytes, as HAProxy was seen to hash them.
    pub(super) fn sample(self, value: &Value<'_>) -> u32 {
        match value {
            Value::Address(IpAddr::V4(address)) => self.hash(&address.octets()),
            Value::Address(IpAddr::V6(address)) => self.hash(&address.octets()),
            Value::Int(number) => self.hash(&number.to_be_bytes()),
            Value::Bool(value) => self.hash(&i64::from(*value).to_be_bytes()),
            Value::Text(text) => self.hash(text),
        }
    }
}

/// The sdbm function (public domain, from the sdbm database library): `hash * 65599 + byte`.
fn sdbm(text: &[u8]) -> u32 {
    text.iter().fold(0u32, |hash, byte| {
        hash.wrapping_mul(65_599).wrapping_add(u32::from(*byte))
    })
}

/// Dan Bernstein's function of comp.lang.c: `hash * 33 + byte`, from 5381.
fn djb2(text: &[u8]) -> u32 {
    text.iter().fold(5_381u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(*byte))
    })
}

/// CRC-32 as of Ethernet and gzip (ISO 3309): reflected, polynomial 0x04c11db7.
fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(u32::MAX, |crc, byte| {
        (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)]
    })
}

static CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// `none`: the last four bytes as a number; of an integer sample they are its value.
fn number(key: &[u8]) -> u32 {
    let last = &key[key.len().saturating_sub(4)..];
    last.iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The 4-byte full avalanche hash: one of Bob Jenkins' integer hashes (burtleburtle.net/bob/hash/integer.html, public
/// domain, the one of six shifts), its result times 0xc0000001. HAProxy's converters with their argument `avalanche`
/// were measured to do so.
pub(super) fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(0xc000_0001)
}

/// `balance source`: the address in words of 32 bits, one upon the other.
pub(super) fn source(address: IpAddr) -> u32 {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address),
        IpAddr::V6(address) => address.octets().chunks_exact(4).fold(0, |hash, word| {
            hash ^ u32::from_be_bytes([word[0], word[1], word[2], word[3]])
        }),
    }
}

/// `balance uri`: the target up to the query (or with it: `whole`), cut by `len` and `depth` (0 is all).
pub(super) fn uri(target: &[u8], whole: bool, length: usize, depth: u32) -> &[u8] {
    let mut end = target.len();
    if length > 0 {
        end = end.min(length);
    }
    let mut slashes = 0;
    for (at, byte) in target[..end].iter().enumerate() {
        match byte {
            b'/' => {
                slashes += 1;
                if depth > 0 && slashes == depth + 1 {
                    end = at;
                    break;
                }
            }
            b'?' if !whole => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    &target[..end]
}

/// The target from its path on, without the authority of an absolute form.
pub(super) fn from_path(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let authority = memchr::memmem::find(target, b"://").map_or(0, |at| at + 3);
    memchr::memchr(b'/', &target[authority..]).map_or(b"", |slash| &target[authority + slash..])
}

/// `balance url_param`: the parameter's value, if the query (or a form's body) has it.
pub(super) fn url_param<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        // An empty value is one too.
        pair.strip_prefix(name)?.strip_prefix(b"=")
    })
}

/// `balance hdr()`: the value, or of a host name only its second level's word.
pub(super) fn header(value: &[u8], use_domain_only: bool) -> &[u8] {
    if !use_domain_only {
        return value;
    }
    let host = value.split(|byte| *byte == b':').next().unwrap_or(value);
    // The manual: "www.example.com", "example.com" and "abc.example.com" hash alike.
    let mut labels = host.rsplit(|byte| *byte == b'.');
    let last = labels.next().unwrap_or(host);
    labels.next().unwrap_or(last)
}

/// The value of an RDP cookie in a stream's first bytes.
pub fn rdp_cookie<'p>(payload: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    match rdp::cookie(payload, name) {
        Look::Found(value) => Some(value),
        Look::Absent | Look::Partial => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of haproxy 2.6.12's converters of the same names.
    #[test]
    fn functions_give_what_haproxys_converters_give() {
        let check = |key: &[u8], values: [u32; 4]| {
            assert_eq!(
                [sdbm(key), avalanche(sdbm(key)), djb2(key), crc32(key)],
                values
            );
        };
        check(b"a", [97, 1_830_748_055, 177_670, 3_904_355_907]);
        check(
            b"abcd",
            [3_518_636_162, 2_236_161_834, 2_090_069_583, 3_984_772_369],
        );
        check(b"", [0, 2_874_071_335, 5_381, 0]);
        let hasher = |function, avalanche| Hasher {
            function,
            avalanche,
        };
        assert_eq!(
            hasher(HashFunction::Crc32, true).hash(b"12345678"),
            3_843_143_269
        );
        assert_eq!(
            hasher(HashFunction::None, false).sample(&Value::Int(77)),
            77
        );
    }

    #[test]
    fn what_is_hashed_ends_where_the_options_say() {
        let check = |target: &str, whole, length, depth, same: &str| {
            assert_eq!(
                uri(target.as_bytes(), whole, length, depth),
                same.as_bytes(),
                "{target}"
            );
        };
        check("/a/b/c?d=e", false, 0, 0, "/a/b/c");
        check("/a/b/c?d=e", true, 0, 0, "/a/b/c?d=e");
        check("/a/b/c?d=e", false, 3, 0, "/a/");
        check("/a/b/c?d=e", false, 0, 2, "/a/b");
        assert_eq!(url_param(b"x=1&user=joe&y=", b"user"), Some(&b"joe"[..]));
        assert_eq!(url_param(b"x=1&y=", b"y"), Some(&b""[..]));
        assert_eq!(url_param(b"x=1&y", b"y"), None);
        assert_eq!(header(b"www.example.com", true), b"example");
        assert_eq!(header(b"example.com:80", true), b"example");
        assert_eq!(header(b"localhost", true), b"localhost");
    }

    #[test]
    fn an_rdp_cookie_is_found_behind_its_headers() {
        let request = |text: &str| {
            let mut bytes = vec![
                3,
                0,
                0,
                (11 + text.len()) as u8,
                (6 + text.len()) as u8,
                0xe0,
                0,
                0,
                0,
                0,
                0,
            ];
            bytes.extend_from_slice(text.as_bytes());
            bytes
        };
        let good = request("Cookie: mstshash=joe\r\n");
        assert_eq!(rdp_cookie(&good, b"mstshash"), Some(&b"joe"[..]));
        assert_eq!(rdp_cookie(&good, b"msts"), None);
        assert_eq!(
            rdp_cookie(&request("Cookie: msts=1.2.3\r\n"), b"msts"),
            Some(&b"1.2.3"[..])
        );
        assert_eq!(
            rdp_cookie(&request("Cookie: mstshash=jo"), b"mstshash"),
            None
        );
        assert_eq!(rdp_cookie(b"GET / HTTP/1.1\r\n", b"mstshash"), None);
        assert_eq!(rdp_cookie(b"", b"mstshash"), None);
    }
}
