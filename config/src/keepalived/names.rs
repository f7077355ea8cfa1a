//! Names for the kernel's numbers, as iproute2 keeps them: tables, protocols, scopes.

/// Where a system's own names are kept.
const FOLDER: &str = "/etc/iproute2";
/// Longest file of names that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;
/// The protocol number of keepalived: its routes and rules carry it, and ours too.
pub const KEEPALIVED_PROTOCOL: u8 = 18;

/// Protocols by name, as of rt_protos of iproute2 6.1.
#[rustfmt::skip]
const PROTOCOLS: [(&str, u8); 21] = [
    ("babel", 42), ("bgp", 186), ("bird", 12), ("boot", 3), ("dhcp", 16), ("dnrouted", 13), ("eigrp", 192),
    ("gated", 8), ("isis", 187), ("keepalived", 18), ("kernel", 2), ("mrouted", 17), ("mrt", 10), ("ntk", 15),
    ("ospf", 188), ("ra", 9), ("redirect", 1), ("rip", 189), ("static", 4), ("xorp", 14), ("zebra", 11),
];

/// A routing table's number, or its name.
pub(super) fn table(text: &str) -> Option<u32> {
    match text {
        "default" => Some(253),
        "main" => Some(MAIN_TABLE),
        "local" => Some(255),
        _ => number(text).or_else(|| look_up("rt_tables", text)),
    }
}

/// A protocol's number, or its name.
pub(super) fn protocol(text: &str) -> Option<u8> {
    let known = PROTOCOLS.iter().find(|(name, _)| *name == text);
    let found = match known {
        Some((_, value)) => u32::from(*value),
        None => number(text).or_else(|| look_up("rt_protos", text))?,
    };
    u8::try_from(found).ok()
}

/// A scope's number, or its name.
pub(super) fn scope(text: &str) -> Option<u8> {
    match text {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        _ => number(text).and_then(|value| u8::try_from(value).ok()),
    }
}

/// `[FROM/]TO` of realms: FROM in the upper 16 bits, as the kernel has them.
pub(super) fn realms(text: &str) -> Option<u32> {
    let (from, to) = text.split_once('/').unwrap_or(("0", text));
    let one = |text: &str| {
        let found = number(text).or_else(|| look_up("rt_realms", text))?;
        u16::try_from(found).ok().map(u32::from)
    };
    Some(one(from)? << 16 | one(to)?)
}

/// A number in decimal, or in hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A name in one of the system's files: lines of a number and a name.
fn look_up(file: &str, name: &str) -> Option<u32> {
    let path = format!("{FOLDER}/{file}");
    let length = std::fs::metadata(&path).ok()?.len();
    if length > MAX_FILE_BYTES {
        return None;
    }
    std::fs::read_to_string(path)
        .ok()?
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .find(|(_, known)| *known == name)
        .and_then(|(value, _)| number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_kernels() {
        assert_eq!(table("main"), Some(254));
        assert_eq!(table("0x64"), Some(100));
        assert_eq!(table("no-such-table"), None);
        assert_eq!(protocol("keepalived"), Some(KEEPALIVED_PROTOCOL));
        assert_eq!(protocol("300"), None);
        assert_eq!(scope("link"), Some(253));
        assert_eq!(realms("5"), Some(5));
        assert_eq!(realms("3/0x14"), Some(0x0003_0014));
        assert_eq!(realms("65536"), None);
        assert_eq!(realms("no-such-realm"), None);
    }
}
