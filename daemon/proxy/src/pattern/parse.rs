//! A pattern's text to what an index stores.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::bytes::{Regex, RegexBuilder};

use super::Method;

/// A compiled expression may take so much memory.
const REGEX_MAX_BYTES: usize = 8 << 20;

/// A pattern as its method compares it.
#[derive(Clone, Debug)]
pub(super) enum Parsed {
    /// Lower case if case is ignored.
    Text(Box<[u8]>),
    Regex {
        regex: Regex,
        /// Texts of which every match contains one, whatever their case; `None` if there are none that help.
        literals: Option<Vec<Vec<u8>>>,
    },
    /// From and to, both included.
    Range(i64, i64),
    Network {
        address: IpAddr,
        length: u8,
    },
    /// An IPv4 mask that is no prefix.
    Masked {
        address: u32,
        mask: u32,
    },
    /// Nothing to compare with (`-m found`).
    Nothing,
}

impl Parsed {
    /// Reads a pattern; the error is HAProxy's where it has one.
    pub(super) fn read(method: Method, word: &str, ignore_case: bool) -> Result<Self, String> {
        let fold = |text: &str| -> Box<[u8]> {
            match ignore_case {
                true => text.to_ascii_lowercase().into_bytes().into(),
                false => text.as_bytes().into(),
            }
        };
        Ok(match method {
            Method::Found => Self::Nothing,
            Method::Bool => match word {
                "true" | "1" | "yes" | "on" => Self::Range(1, 1),
                "false" | "0" | "no" | "off" => Self::Range(0, 0),
                _ => return Err(format!("'{word}' is not a boolean")),
            },
            Method::Int | Method::Len => range(word)?,
            Method::Ip => network(word)?,
            Method::Bin => Self::Text(
                hexadecimal(word).ok_or_else(|| format!("'{word}' is not a hex string"))?,
            ),
            Method::Str | Method::Sub | Method::Beg => Self::Text(fold(word)),
            Method::End => {
                let mut text = fold(word);
                text.reverse();
                Self::Text(text)
            }
            Method::Dir | Method::Dom => {
                let bytes = fold(word);
                let is_kept = |byte: &u8| !is_delimiter(method, *byte);
                let start = bytes.iter().position(is_kept).unwrap_or(bytes.len());
                let end = bytes.iter().rposition(is_kept).map_or(start, |at| at + 1);
                Self::Text(bytes[start..end].into())
            }
            Method::Reg | Method::Regm => {
                let regex = RegexBuilder::new(word)
                    .case_insensitive(ignore_case)
                    .unicode(false)
                    .size_limit(REGEX_MAX_BYTES)
                    .build()
                    .map_err(|error| {
                        format!("regex '{word}' is invalid (error={})", brief(&error))
                    })?;
                Self::Regex {
                    regex,
                    literals: super::search::literals(word),
                }
            }
        })
    }
}

/// The last line of a complaint: what is wrong, without the drawing of where.
fn brief(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// `dir`: between slashes; `dom`: between dots too. The manual's words are "delimited with slashes ("/"),
/// the beginning or the end", and question marks and colons end a part as well.
pub(super) fn is_delimiter(method: Method, byte: u8) -> bool {
    match byte {
        b'/' | b'?' => true,
        b'.' | b':' => method == Method::Dom,
        _ => false,
    }
}

/// `5`, `1:5`, `1:`, `:5`.
fn range(word: &str) -> Result<Parsed, String> {
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| format!("'{word}' is not a number."))
    };
    Ok(match word.split_once(':') {
        None => {
            let value = number(word)?;
            Parsed::Range(value, value)
        }
        Some((low, high)) => Parsed::Range(
            match low {
                "" => i64::MIN,
                low => number(low)?,
            },
            match high {
                "" => i64::MAX,
                high => number(high)?,
            },
        ),
    })
}

fn network(word: &str) -> Result<Parsed, String> {
    let wrong = || format!("'{word}' is not a valid IPv4 or IPv6 address.");
    let (address, mask) = match word.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = match mask {
        None => whole,
        Some(mask) => match (mask.parse::<u8>(), mask.parse::<Ipv4Addr>(), address) {
            (Ok(length), _, _) if length <= whole => length,
            (_, Ok(mask), IpAddr::V4(address)) => {
                let (mask, address) = (u32::from(mask), u32::from(address));
                if mask.leading_ones() + mask.trailing_zeros() < 32 {
                    return Ok(Parsed::Masked {
                        address: address & mask,
                        mask,
                    });
                }
                mask.leading_ones() as u8
            }
            _ => return Err(wrong()),
        },
    };
    // A mapped network of IPv6 is one of IPv4: samples are seen so too.
    Ok(match address {
        IpAddr::V6(address) if length >= 96 => match address.to_ipv4_mapped() {
            Some(mapped) => Parsed::Network {
                address: masked4(mapped, length - 96).into(),
                length: length - 96,
            },
            None => Parsed::Network {
                address: masked6(address, length).into(),
                length,
            },
        },
        IpAddr::V6(address) => Parsed::Network {
            address: masked6(address, length).into(),
            length,
        },
        IpAddr::V4(address) => Parsed::Network {
            address: masked4(address, length).into(),
            length,
        },
    })
}

/// The first `length` bits.
pub(super) fn masked4(address: Ipv4Addr, length: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

/// The first `length` bits.
pub(super) fn masked6(address: Ipv6Addr, length: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    Ipv6Addr::from(u128::from(address) & mask)
}

fn hexadecimal(word: &str) -> Option<Box<[u8]>> {
    if !word.len().is_multiple_of(2) || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..word.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&word[at..at + 2], 16).ok())
        .collect()
}
