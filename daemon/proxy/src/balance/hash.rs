//! Hashes of what a request carries: `sdbm` over text, and the address itself for `source`.

use std::net::IpAddr;

/// The sdbm function (public domain, from the sdbm database library): `hash * 65599 + byte`.
pub(super) fn sdbm(text: &[u8]) -> u32 {
    text.iter().fold(0u32, |hash, byte| {
        hash.wrapping_mul(65_599).wrapping_add(u32::from(*byte))
    })
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
pub(super) fn uri(target: &[u8], whole: bool, length: usize, depth: u32) -> u32 {
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
    sdbm(&target[..end])
}

/// `balance url_param`: the parameter's value, if the query has it.
pub(super) fn url_param(query: &[u8], name: &[u8]) -> Option<u32> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        // An empty value is one too.
        Some(sdbm(value))
    })
}

/// `balance hdr()`: the value, or of a host name only its second level's word.
pub(super) fn header(value: &[u8], use_domain_only: bool) -> u32 {
    if !use_domain_only {
        return sdbm(value);
    }
    let host = value.split(|byte| *byte == b':').next().unwrap_or(value);
    let mut labels: Vec<&[u8]> = host.split(|byte| *byte == b'.').collect();
    // The manual: "www.example.com", "example.com" and "abc.example.com" hash alike.
    if labels.len() >= 2 {
        labels.pop();
    }
    sdbm(labels.last().copied().unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_ends_where_the_options_say() {
        let check = |target: &str, whole, length, depth, same: &str| {
            assert_eq!(
                uri(target.as_bytes(), whole, length, depth),
                sdbm(same.as_bytes()),
                "{target}"
            );
        };
        check("/a/b/c?d=e", false, 0, 0, "/a/b/c");
        check("/a/b/c?d=e", true, 0, 0, "/a/b/c?d=e");
        check("/a/b/c?d=e", false, 3, 0, "/a/");
        check("/a/b/c?d=e", false, 0, 2, "/a/b");
        assert_eq!(url_param(b"x=1&user=joe&y=", b"user"), Some(sdbm(b"joe")));
        assert_eq!(url_param(b"x=1&y=", b"y"), Some(0));
        assert_eq!(url_param(b"x=1&y", b"y"), None);
        assert_eq!(
            header(b"www.example.com", true),
            header(b"example.com:80", true)
        );
    }
}
