//! A request's target: which of the forms of RFC 9112 3.2 it has, and whether the authority that it names is the `Host`.

/// Why a target is refused; `None` if it is sound. `host` finds the value of the request's `Host`, if it has one.
pub(super) fn fault<'a>(
    target: &str,
    is_connect: bool,
    host: impl FnOnce() -> Option<&'a [u8]>,
) -> Option<&'static str> {
    const INVALID: Option<&str> = Some("invalid target");
    if is_connect {
        // RFC 9112 3.2.3: a host and a port, nothing else.
        let Some((name, port)) = target.rsplit_once(':') else {
            return INVALID;
        };
        let is_sound = !name.is_empty()
            && !name.contains(['/', '?', '#', '@'])
            && port.parse::<u16>().is_ok_and(|port| port > 0);
        return if is_sound {
            other_host(target, &["80", "443"], host())
        } else {
            INVALID
        };
    }
    if memchr::memchr(b'#', target.as_bytes()).is_some() {
        return Some("a fragment in the target");
    }
    if target.starts_with('/') || target == "*" {
        return None;
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return INVALID;
    };
    // A query right behind the authority would make a path of whatever slash it holds.
    let authority = match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes()[at] == b'?' => return INVALID,
        Some(at) => &rest[..at],
        None => rest,
    };
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if authority.is_empty() || !scheme.bytes().all(is_scheme) {
        return INVALID;
    }
    let port: &[&str] = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => &["80"],
        "https" | "wss" => &["443"],
        _ => &[],
    };
    other_host(authority, port, host())
}

fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// RFC 9112 3.2.2: a proxy that trusts one and a server that trusts the other would see two sites.
fn other_host(authority: &str, ports: &[&str], host: Option<&[u8]>) -> Option<&'static str> {
    let host = host?;
    let bare = |text: &[u8]| {
        let colon = text.iter().rposition(|byte| *byte == b':');
        let port = colon.map(|at| &text[at + 1..]);
        let is_default = port.is_some_and(|port| {
            port.is_empty() || ports.iter().any(|known| known.as_bytes() == port)
        });
        match colon {
            Some(at) if is_default => text[..at].to_ascii_lowercase(),
            _ => text.to_ascii_lowercase(),
        }
    };
    (bare(authority.as_bytes()) != bare(host)).then_some("the target and Host name different hosts")
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn targets_are_of_one_form_and_name_the_host() {
        let is_sound =
            |target, host: &str| fault(target, false, || Some(host.as_bytes())).is_none();
        for (target, host, sound) in [
            ("/x", "b", true),
            ("*", "b", true),
            ("http://a/x", "a", true),
            ("http://A/x", "a", true),
            ("http://a:80/x", "a", true),
            ("http://a/x", "a:80", true),
            ("https://a/x", "a:443", true),
            ("http://u@a/x", "a", true),
            ("http://a", "a", true),
            ("http://[::1]/", "[::1]:80", true),
            ("http://a/x", "b", false),
            ("http://a:8080/x", "a", false),
            ("http://a:443/x", "a", false),
            ("http://a?x=/y", "a", false),
            ("http:///x", "a", false),
            ("http://a@b/x", "a", false),
            ("/x#y", "a", false),
            ("a/x", "a", false),
            ("/u://x", "a", true),
            ("x/u://x", "x", false),
        ] {
            assert_eq!(is_sound(target, host), sound, "{target} at {host}");
        }
        assert_eq!(fault("http://a/x", false, || None), None);
        let connects = |target, host: &str| fault(target, true, || Some(host.as_bytes())).is_none();
        assert!(connects("a:443", "a:443") && connects("a:443", "a"));
        for (target, host) in [
            ("a:443", "b"),
            ("a", "a"),
            ("/x", "a"),
            ("a:0", "a"),
            ("a:x", "a"),
        ] {
            assert!(!connects(target, host), "{target}");
        }
    }
}
