//! Addresses as `bind`, `server`, `source`, `log` and `stats socket` write them (configuration manual, 11).

use std::net::IpAddr;

use super::args::Context;
use super::model::{BindAddress, LogAddress, ServerAddress};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Most ports that one range may name.
const MAX_PORT_RANGE: u16 = 4096;

/// The addresses of a `bind` line's first word: a comma list, each with a port or a range of ports.
pub(super) fn bind_addresses(
    word: &Word,
    keyword: &str,
    cx: &mut Context<'_>,
) -> Option<Vec<BindAddress>> {
    let mut addresses = Vec::new();
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        let part = expand(part, cx);
        match bind_address(&part) {
            Ok(mut found) => addresses.append(&mut found),
            Err(refusal) => return refusal.tell(keyword, word, cx),
        }
    }
    if addresses.is_empty() {
        let message = format!("'{keyword}' expects an address and a port");
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
        return None;
    }
    Some(addresses)
}

/// The address of a `server` line; a missing port is 0.
pub(super) fn server_address(
    word: &Word,
    keyword: &str,
    cx: &mut Context<'_>,
) -> Option<ServerAddress> {
    let text = expand(&word.text, cx);
    match server(&text) {
        Ok(address) => Some(address),
        Err(refusal) => refusal.tell(keyword, word, cx),
    }
}

/// The address of a `log` line.
pub(super) fn log_address(word: &Word, cx: &mut Context<'_>) -> Option<LogAddress> {
    let text = expand(&word.text, cx);
    match log(&text) {
        Ok(address) => Some(address),
        Err(refusal) => refusal.tell("log", word, cx),
    }
}

/// An address (`addr`, `source`), with a port or without (0).
pub(super) fn plain_address(
    word: &Word,
    keyword: &str,
    cx: &mut Context<'_>,
) -> Option<(IpAddr, u16)> {
    let text = expand(&word.text, cx);
    let read = |host: &str| match host {
        "*" => Some(IpAddr::from([0, 0, 0, 0])),
        host => unbracketed(host).parse().ok(),
    };
    let found = read(&text).map(|address| (address, 0)).or_else(|| {
        let (host, port) = split_port(&text);
        Some((read(host)?, port?.parse().ok()?))
    });
    if found.is_none() {
        let message = format!("'{keyword}' expects an IP address, found '{}'", word.text);
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
    }
    found
}

/// The address of a `source`: with a port, a range of ports, or neither (0).
pub(super) fn source_address(word: &Word, cx: &mut Context<'_>) -> Option<(IpAddr, (u16, u16))> {
    let text = expand(&word.text, cx);
    let (family, rest) = family(&text);
    if matches!(family, "unix" | "abns") {
        cx.not_yet(word.span, &format!("source {family}@"));
        return None;
    }
    let host = |text: &str| match text {
        "" | "*" => Some(IpAddr::from([0, 0, 0, 0])),
        text => unbracketed(text).parse().ok(),
    };
    let ports = |text: &str| match text.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => text.parse().ok().map(|port| (port, port)),
    };
    let found = host(rest).map(|address| (address, (0, 0))).or_else(|| {
        let (address, port) = split_port(rest);
        Some((host(address)?, ports(port?)?))
    });
    let good = found.filter(|(address, (first, last))| {
        let fits = match family {
            "" | "ip" => true,
            "ipv4" => address.is_ipv4(),
            "ipv6" => address.is_ipv6(),
            _ => false,
        };
        fits && first <= last && (*first > 0 || *last == 0)
    });
    if good.is_none() {
        let message = format!(
            "'source' expects an IP address, with a port or a range of ports, found '{}'",
            word.text
        );
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
    }
    good
}

/// The address of a `nameserver`, and whether it is asked over TCP only.
pub(super) fn name_server(
    word: &Word,
    cx: &mut Context<'_>,
) -> Option<(std::net::SocketAddr, bool)> {
    const DNS_PORT: u16 = 53;
    let text = expand(&word.text, cx);
    let (family, rest) = family(&text);
    let tcp = match family {
        "" | "ip" | "ipv4" | "ipv6" | "udp" | "udp4" | "udp6" => false,
        "tcp" | "tcp4" | "tcp6" => true,
        other => {
            cx.not_yet(word.span, &format!("nameserver … {other}@"));
            return None;
        }
    };
    let (address, port) = plain_address(&Word::new(rest, word.span), "nameserver", cx)?;
    let port = if port == 0 { DNS_PORT } else { port };
    Some((std::net::SocketAddr::new(address, port), tcp))
}

enum Refusal {
    /// Nonsense.
    Bad(String),
    /// Good in HAProxy.
    NotYet(String),
}

impl Refusal {
    /// Reports it for a keyword's word.
    fn tell<T>(self, keyword: &str, word: &Word, cx: &mut Context<'_>) -> Option<T> {
        match self {
            Self::NotYet(what) => cx.not_yet(word.span, &what),
            Self::Bad(why) => {
                let message = format!("'{keyword}': {why}");
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
            }
        }
        None
    }
}

fn bad<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Bad(why.into()))
}

/// Variables outside of quotes are seen in addresses (`$NAME`, `${NAME}`), and only there.
fn expand(text: &str, cx: &Context<'_>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        let (name, left) = match braced {
            Some(found) => found,
            None => {
                let end = after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len());
                after.split_at(end)
            }
        };
        if name.is_empty() {
            expanded.push('$');
        } else {
            let (name, default) = name
                .split_once('-')
                .map_or((name, ""), |(name, default)| (name, default));
            expanded.push_str(
                &cx.variables
                    .value(name)
                    .unwrap_or_else(|| default.to_owned()),
            );
        }
        rest = left;
    }
    expanded.push_str(rest);
    expanded
}

/// What stands before the `@` of an address, and the rest.
fn family(text: &str) -> (&str, &str) {
    match text.split_once('@') {
        Some((family, rest)) if !family.contains(['/', ':', '[']) => (family, rest),
        _ => ("", text),
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Host and port's text; the port follows the last colon.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if text.ends_with(']') {
        return (unbracketed(text), None);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (unbracketed(host), Some(port)),
        None => (text, None),
    }
}

fn port(text: &str) -> Result<u16, Refusal> {
    text.parse()
        .or_else(|_| bad(format!("invalid port '{text}'")))
}

fn ip(host: &str, family: &str) -> Result<Option<IpAddr>, Refusal> {
    let address = match host {
        "" | "*" if family.ends_with('6') => Some(IpAddr::from([0_u16; 8])),
        "" | "*" => None,
        host => match host.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) if host == "localhost" && !family.ends_with('6') => {
                Some(IpAddr::from([127, 0, 0, 1]))
            }
            Err(_) if is_name(host) => {
                return Err(Refusal::NotYet(format!("the host name '{host}' in 'bind'")));
            }
            Err(_) => return bad(format!("'{host}' is no IP address")),
        },
    };
    match address {
        Some(IpAddr::V6(_)) if family.ends_with('4') => bad(format!("'{host}' is no IPv4 address")),
        Some(IpAddr::V4(_)) if family.ends_with('6') => bad(format!("'{host}' is no IPv6 address")),
        address => Ok(address),
    }
}

/// Whether it can be a host's name; a number alone is a forgotten colon.
fn is_name(host: &str) -> bool {
    host.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !host.bytes().all(|b| b.is_ascii_digit())
}

fn descriptor(rest: &str) -> Result<i32, Refusal> {
    match rest.parse() {
        Ok(number) if number >= 0 => Ok(number),
        _ => bad(format!("'fd@{rest}': a descriptor's number was expected")),
    }
}

fn path(rest: &str) -> Result<String, Refusal> {
    // sun_path holds 108 bytes with its NUL; HAProxy needs a few for a temporary name.
    const MAX_PATH_BYTES: usize = 97;
    match rest.len() {
        0 => bad("the socket's path is empty"),
        1..=MAX_PATH_BYTES => Ok(rest.to_owned()),
        length => bad(format!(
            "the socket's path has {length} bytes, more than {MAX_PATH_BYTES}"
        )),
    }
}

fn bind_address(text: &str) -> Result<Vec<BindAddress>, Refusal> {
    let (family, rest) = family(text);
    match family {
        "" if rest.starts_with('/') => return Ok(vec![BindAddress::Unix(path(rest)?)]),
        "unix" | "uxst" | "stream+unix" => return Ok(vec![BindAddress::Unix(path(rest)?)]),
        "abns" => return Ok(vec![BindAddress::Abstract(path(rest)?)]),
        "fd" => return Ok(vec![BindAddress::Fd(descriptor(rest)?)]),
        "" | "ip" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" | "stream+ip" | "stream+ipv4"
        | "stream+ipv6" => {}
        "sockpair" | "quic4" | "quic6" | "udp" | "udp4" | "udp6" | "uxdg" | "abnsz" | "rhttp"
        | "mptcp" | "mptcp4" | "mptcp6" => return Err(Refusal::NotYet(format!("{family}@"))),
        other => return bad(format!("unknown address family '{other}@' in '{text}'")),
    }
    let (host, port_text) = split_port(rest);
    let Some(port_text) = port_text.filter(|text| !text.is_empty()) else {
        return bad(format!("missing port specification in '{text}'"));
    };
    let address = ip(host, family)?;
    let (first, last) = match port_text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(port_text)?, port(port_text)?),
    };
    if first == 0 || first > last || last - first >= MAX_PORT_RANGE {
        return bad(format!("invalid port range '{port_text}'"));
    }
    Ok((first..=last)
        .map(|port| BindAddress::Tcp { address, port })
        .collect())
}

fn server(text: &str) -> Result<ServerAddress, Refusal> {
    let (family, rest) = family(text);
    match family {
        "" if rest.starts_with('/') => return Ok(ServerAddress::Unix(path(rest)?)),
        "unix" | "uxst" | "stream+unix" => return Ok(ServerAddress::Unix(path(rest)?)),
        "abns" => return Ok(ServerAddress::Abstract(path(rest)?)),
        "" | "ip" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" | "stream+ip" | "stream+ipv4"
        | "stream+ipv6" => {}
        "fd" | "sockpair" | "quic4" | "quic6" | "udp" | "udp4" | "udp6" | "rhttp" | "mptcp"
        | "mptcp4" | "mptcp6" => {
            return Err(Refusal::NotYet(format!("{family}@")));
        }
        other => return bad(format!("unknown address family '{other}@' in '{text}'")),
    }
    let (host, port_text) = match rest.parse::<std::net::Ipv6Addr>() {
        // HAProxy takes the last group of an address without brackets as its port, and so do we.
        Ok(_) if rest == "::" || rest == "::1" => (rest, None),
        _ => split_port(rest),
    };
    let host = if host.is_empty() || host == "*" {
        "0.0.0.0"
    } else {
        host
    };
    let address = host.parse::<IpAddr>();
    if address.is_err() && !is_name(host) {
        return bad(format!("'{host}' is neither an address nor a host name"));
    }
    match address {
        Ok(IpAddr::V6(_)) if family.ends_with('4') => {
            return bad(format!("'{host}' is no IPv4 address"));
        }
        Ok(IpAddr::V4(_)) if family.ends_with('6') => {
            return bad(format!("'{host}' is no IPv6 address"));
        }
        _ => {}
    }
    let relative = port_text.is_some_and(|text| text.starts_with(['+', '-']));
    let number = match port_text {
        None | Some("") => 0,
        Some(text) if relative => {
            // Stored as a wrapping offset: -1 is 65535.
            let offset: i32 = text
                .parse()
                .or_else(|_| bad(format!("invalid port '{text}'")))?;
            if offset.abs() > 65_535 {
                return bad(format!("invalid port '{text}'"));
            }
            u16::try_from(offset.rem_euclid(65_536)).unwrap_or(0)
        }
        Some(text) => port(text)?,
    };
    Ok(ServerAddress::Host {
        host: host.to_owned(),
        port: number,
        relative,
    })
}

fn log(text: &str) -> Result<LogAddress, Refusal> {
    const SYSLOG_PORT: u16 = 514;
    let (family, rest) = family(text);
    match family {
        "" if rest == "stdout" => return Ok(LogAddress::Stdout),
        "" if rest == "stderr" => return Ok(LogAddress::Stderr),
        "" if rest.starts_with('/') => return Ok(LogAddress::Unix(path(rest)?)),
        "unix" | "uxdg" | "dgram+unix" => return Ok(LogAddress::Unix(path(rest)?)),
        "fd" => return Ok(LogAddress::Fd(descriptor(rest)?)),
        "" | "ip" | "ipv4" | "ipv6" | "udp" | "udp4" | "udp6" | "dgram+ip" | "dgram+ipv4"
        | "dgram+ipv6" => {}
        "ring" | "backend" | "tcp" | "tcp4" | "tcp6" | "abns" | "sockpair" | "stream+ip"
        | "uxst" => {
            return Err(Refusal::NotYet(format!("log {family}@")));
        }
        other => return bad(format!("unknown address family '{other}@' in '{text}'")),
    }
    let (host, port_text) = match rest.parse::<std::net::Ipv6Addr>() {
        Ok(_) if rest.ends_with("::1") => (rest, None),
        _ => split_port(rest),
    };
    let host = if host.is_empty() || host == "*" {
        "127.0.0.1"
    } else {
        host
    };
    let port = port_text
        .filter(|text| !text.is_empty())
        .map_or(Ok(SYSLOG_PORT), port)?;
    Ok(LogAddress::Udp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str, port: u16) -> BindAddress {
        BindAddress::Tcp {
            address: address.parse().ok(),
            port,
        }
    }

    #[test]
    fn bind_addresses_are_read_as_the_manual_says() {
        let check = |text: &str, expected: Vec<BindAddress>| match bind_address(text) {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(_) => panic!("{text} is refused"),
        };
        check(":80", vec![tcp("*", 80)]);
        check("*:80", vec![tcp("*", 80)]);
        check(
            "10.0.0.1:8000-8002",
            vec![
                tcp("10.0.0.1", 8000),
                tcp("10.0.0.1", 8001),
                tcp("10.0.0.1", 8002),
            ],
        );
        check("[::]:80", vec![tcp("::", 80)]);
        check(":::80", vec![tcp("::", 80)]);
        check("2001:db8::1:80", vec![tcp("2001:db8::1", 80)]);
        check("ipv4@10.0.0.1:80", vec![tcp("10.0.0.1", 80)]);
        check("ipv6@:80", vec![tcp("::", 80)]);
        check("ipv6@[::1]:80", vec![tcp("::1", 80)]);
        check("unix@run/sock", vec![BindAddress::Unix("run/sock".into())]);
        check("/run/sock", vec![BindAddress::Unix("/run/sock".into())]);
        check("abns@name", vec![BindAddress::Abstract("name".into())]);
        check("fd@3", vec![BindAddress::Fd(3)]);
        for text in [
            "80",
            "1.2.3.4",
            ":80-70",
            ":0",
            ":65536",
            "host:80",
            "fd@x",
            "foo@:80",
            "ipv4@[::]:80",
            ":",
            "",
        ] {
            assert!(bind_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn server_addresses_may_lack_a_port() {
        let check = |text: &str, host: &str, port: u16, relative: bool| match server(text) {
            Ok(found) => assert_eq!(
                found,
                ServerAddress::Host {
                    host: host.into(),
                    port,
                    relative
                },
                "{text}"
            ),
            Err(_) => panic!("{text} is refused"),
        };
        check("host1:80", "host1", 80, false);
        check("host1", "host1", 0, false);
        check("10.0.0.1", "10.0.0.1", 0, false);
        check("[::1]:80", "::1", 80, false);
        check("::1", "::1", 0, false);
        check("10.0.0.1:+1000", "10.0.0.1", 1000, true);
        check("10.0.0.1:-1", "10.0.0.1", 65_535, true);
        assert!(matches!(server("unix@/run/x"), Ok(ServerAddress::Unix(_))));
        assert!(server("host:99999").is_err());
        assert!(server("ho st:80").is_err());
    }

    #[test]
    fn log_addresses_have_a_port_by_default() {
        let udp = |host: &str, port| LogAddress::Udp {
            host: host.into(),
            port,
        };
        let check = |text: &str, expected: LogAddress| match log(text) {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(_) => panic!("{text} is refused"),
        };
        check("/dev/log", LogAddress::Unix("/dev/log".into()));
        check("127.0.0.1", udp("127.0.0.1", 514));
        check("127.0.0.1:1514", udp("127.0.0.1", 1514));
        check("logs.example.com", udp("logs.example.com", 514));
        check("[::1]:514", udp("::1", 514));
        check("stdout", LogAddress::Stdout);
        check("fd@2", LogAddress::Fd(2));
    }
}
