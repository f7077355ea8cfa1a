//! Heads: the `h2` crate's requests to ours, and our answers to its. Strict: what an HTTP/1 head could not say is refused,
//! so that nothing that came by HTTP/2 reads differently at an HTTP/1 server.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use super::websocket;
use crate::http::{Head, is_token};
use crate::http1::{BodyLength, Framing, Limits, RequestFacts, ResponseFacts, content_length};

/// Why a request's head is refused with 400.
pub type Refusal = &'static str;

/// Fills `head` from a request. `is_ended` says whether the stream ended with its head.
pub fn request_into_head(
    parts: &http::request::Parts,
    is_ended: bool,
    limits: Limits,
    head: &mut Head,
) -> Result<RequestFacts, Refusal> {
    let method = parts.method.as_str().as_bytes();
    let opens = is_websocket(parts)?;
    let is_connect = parts.method == Method::CONNECT && !opens;
    let method = if opens { b"GET" } else { method };
    start(parts, method, is_connect, head)?;
    let mut length = None;
    let mut cookies: Option<Vec<u8>> = None;
    let mut expects_continue = false;
    let mut has_authority = parts.uri.authority().is_some();
    let mut bytes = method.len() + head.target().len();
    let mut fields = 0;
    for (name, value) in &parts.headers {
        // The `http` crate takes a quotation mark for a character of names; RFC 9110 does not.
        if !name.as_str().bytes().all(is_token) {
            return Err("invalid header name");
        }
        let value = value.as_bytes().trim_ascii();
        bytes += name.as_str().len() + value.len() + 4;
        fields += 1;
        if bytes > limits.head_bytes {
            return Err("the head is too long");
        }
        if fields > limits.fields {
            return Err("too many headers");
        }
        match name.as_str() {
            // RFC 9113 8.2.3: crumbs of a cookie are one again for whoever does not speak HTTP/2.
            "cookie" => {
                let joined = cookies.get_or_insert_default();
                if !joined.is_empty() {
                    joined.extend_from_slice(b"; ");
                }
                joined.extend_from_slice(value);
                continue;
            }
            // RFC 9113 8.3.1: `:authority` takes its place.
            "host" => {
                if let Some(authority) = parts.uri.authority() {
                    if !value.eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                        return Err("':authority' and 'host' differ");
                    }
                    continue;
                }
                if has_authority {
                    return Err("more than one Host");
                }
                has_authority = true;
            }
            "content-length" => {
                let found = content_length(value).ok_or("invalid Content-Length")?;
                if length.replace(found).is_some_and(|before| before != found) {
                    return Err("different Content-Lengths");
                }
                continue;
            }
            "expect" => expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
        head.add(name.as_str().as_bytes(), value);
    }
    if let Some(length) = length {
        head.add(
            b"content-length",
            itoa::Buffer::new().format(length).as_bytes(),
        );
    }
    if let Some(cookies) = cookies {
        head.add(b"cookie", &cookies);
    }
    if opens {
        websocket::add_handshake(head);
    }
    let body = match length {
        _ if is_ended || opens => BodyLength::None,
        Some(length) => BodyLength::Bytes(length),
        None => BodyLength::Chunked,
    };
    Ok(RequestFacts {
        body,
        keep_alive: true,
        upgrade: opens,
        is_head: parts.method == Method::HEAD,
        is_connect,
        expects_continue,
    })
}

/// Whether it opens a WebSocket (RFC 8441 4). Nothing else is opened in that way.
fn is_websocket(parts: &http::request::Parts) -> Result<bool, Refusal> {
    match parts.extensions.get::<Protocol>().map(Protocol::as_str) {
        None => Ok(false),
        Some("websocket") => Ok(true),
        Some(_) => Err("unknown ':protocol'"),
    }
}

/// Method, target and `host`.
fn start(
    parts: &http::request::Parts,
    method: &[u8],
    is_connect: bool,
    head: &mut Head,
) -> Result<(), Refusal> {
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let path = parts
        .uri
        .path_and_query()
        .map_or(&b"/"[..], |path| path.as_str().as_bytes());
    let is_asterisk = path == b"*";
    if !path.iter().all(u8::is_ascii_graphic) {
        return Err("invalid byte in the target");
    }
    if is_connect {
        let authority = authority.ok_or("CONNECT without an authority")?;
        head.start_request(method, authority, 1);
        head.add(b"host", authority);
        return Ok(());
    }
    if !(path.starts_with(b"/") || is_asterisk) {
        return Err("invalid target");
    }
    match authority {
        Some(authority) => {
            let scheme = parts.uri.scheme_str().unwrap_or("http").as_bytes();
            if authority.contains(&b'@') {
                // RFC 9113 8.3.1.
                return Err("user information in ':authority'");
            }
            head.start_http2_request(method, scheme, authority, path);
            head.add(b"host", authority);
        }
        None => head.start_http2_request(method, b"", b"", path),
    }
    Ok(())
}

/// An answer of ours, and the bytes that its head would take in HTTP/1, which the logs count.
pub fn response_from_head(head: &Head, framing: Framing) -> Option<(Response<()>, usize)> {
    let mut response = Response::new(());
    // RFC 8441 5: what HTTP/1 calls a change of protocol is a success here.
    let status = if head.status() == 101 {
        200
    } else {
        head.status()
    };
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    // One piece of memory for all values.
    let all = Bytes::copy_from_slice(head.bytes());
    let fields = response.headers_mut();
    fields.reserve(head.fields().len() + 1);
    let mut bytes = "HTTP/1.1 200 \r\n\r\n".len() + head.reason().len();
    let mut number = itoa::Buffer::new();
    let mut length = match framing {
        Framing::Length(length) => Some(number.format(length).as_bytes()),
        _ => None,
    };
    for field in head.fields() {
        let name = head.text(field.name);
        if is_connections_own(name) {
            continue;
        }
        if framing != Framing::Described && name.eq_ignore_ascii_case(b"content-length") {
            // The length that is wanted is usually there.
            if length != Some(head.text(field.value)) {
                continue;
            }
            length = None;
        }
        bytes += field.name.range().len() + field.value.range().len() + 4;
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(all.slice(field.value.range())),
        ) {
            fields.append(name, value);
        }
    }
    bytes -= drop_nominated(head, fields);
    if let Some(length) = length {
        fields.insert(
            http::header::CONTENT_LENGTH,
            HeaderValue::from_bytes(length).ok()?,
        );
        bytes += "content-length: \r\n".len() + length.len();
    }
    Some((response, bytes))
}

/// RFC 9110 7.6.1: fields that `Connection` names are not passed on. Gives the bytes that they would take in HTTP/1.
fn drop_nominated(head: &Head, fields: &mut HeaderMap) -> usize {
    let mut bytes = 0;
    for tokens in head.headers(b"connection") {
        for token in tokens.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if let Ok(name) = HeaderName::from_bytes(token)
                && !is_protected(name.as_str())
                && let Some(value) = fields.remove(&name)
            {
                bytes += name.as_str().len() + value.len() + 4;
            }
        }
    }
    bytes
}

/// Fields that nobody may have removed by naming them.
fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "content-length" | "cookie" | "set-cookie" | "authorization"
    ) || name.starts_with("x-forwarded-")
}

/// RFC 9113 8.2.2: fields that HTTP/2 does not carry.
fn is_connections_own(name: &[u8]) -> bool {
    match name.len() {
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// A request for a server of HTTP/2. `is_secure` says which scheme one has that came by HTTP/1; with `opens` the change of
/// protocol that it asks for becomes an extended CONNECT.
pub fn request_from_head(
    head: &Head,
    framing: Framing,
    is_secure: bool,
    opens: bool,
) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method()).ok()?;
    *request.version_mut() = Version::HTTP_2;
    let mut parts = http::uri::Parts::default();
    let host = head.header(b"host");
    if request.method() == Method::CONNECT {
        parts.authority = Some(Authority::try_from(head.target()).ok()?);
    } else {
        let (scheme, path) = match head.wire_target() {
            b"*" => (origin_form(head.target()).0, &b"*"[..]),
            _ => origin_form(head.target()),
        };
        let scheme = scheme.unwrap_or(if is_secure { b"https" } else { b"http" });
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            parts.scheme = Some(Scheme::try_from(scheme).ok()?);
            parts.authority = Some(Authority::try_from(host).ok()?);
        }
    }
    if parts.authority.is_none() {
        // Without a host there is no way to say more than the path.
        *request.version_mut() = Version::HTTP_11;
    }
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    if opens {
        *request.method_mut() = Method::CONNECT;
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
    }
    let all = Bytes::copy_from_slice(head.bytes());
    let fields = request.headers_mut();
    fields.reserve(head.fields().len() + 1);
    for field in head.fields() {
        let name = head.text(field.name);
        let is_ours = is_connections_own(name)
            || name.eq_ignore_ascii_case(b"host")
            || name.eq_ignore_ascii_case(b"content-length")
            || opens && name.eq_ignore_ascii_case(b"sec-websocket-key")
            || name.eq_ignore_ascii_case(b"te")
                && !head.text(field.value).eq_ignore_ascii_case(b"trailers");
        if let (false, Ok(name), Ok(value)) = (
            is_ours,
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(all.slice(field.value.range())),
        ) {
            fields.append(name, value);
        }
    }
    drop_nominated(head, fields);
    if let Framing::Length(length) = framing {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Some(request)
}

/// A target's scheme, if it has one, and its path with the query.
fn origin_form(target: &[u8]) -> (Option<&[u8]>, &[u8]) {
    if target.starts_with(b"/") || target == b"*" {
        return (None, target);
    }
    let Some(at) = memchr::memmem::find(target, b"://") else {
        return (None, target);
    };
    let rest = &target[at + 3..];
    let path = match memchr::memchr2(b'/', b'?', rest) {
        Some(at) if rest[at] == b'/' => &rest[at..],
        _ => b"/",
    };
    (Some(&target[..at]), path)
}

/// Fills `head` from a server's answer. `is_all` says whether the stream ended with its head.
pub fn response_into_head(
    parts: &http::response::Parts,
    is_all: bool,
    to_head: bool,
    to_connect: bool,
    limits: Limits,
    head: &mut Head,
) -> Result<ResponseFacts, Refusal> {
    let status = parts.status.as_u16();
    let reason = parts.status.canonical_reason().unwrap_or("");
    head.start_response(status, reason.as_bytes(), 1);
    let mut length = None;
    let mut bytes = 0;
    for (name, value) in &parts.headers {
        let value = value.as_bytes().trim_ascii();
        bytes += name.as_str().len() + value.len() + 4;
        if bytes > limits.head_bytes {
            return Err("the head is too long");
        }
        if head.fields().len() == limits.fields {
            return Err("too many headers");
        }
        if name == http::header::CONTENT_LENGTH {
            let found = content_length(value).ok_or("invalid Content-Length")?;
            if length.replace(found).is_some_and(|before| before != found) {
                return Err("different Content-Lengths");
            }
        }
        head.add(name.as_str().as_bytes(), value);
    }
    let bodiless = is_all
        || to_head
        || matches!(status, 100..=199 | 204 | 304)
        || (to_connect && (200..300).contains(&status));
    let body = match length {
        _ if bodiless => BodyLength::None,
        Some(length) => BodyLength::Bytes(length),
        None => BodyLength::Close,
    };
    Ok(ResponseFacts {
        body,
        keep_alive: true,
        has_length: length.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request").into_parts().0
    }

    fn check(fields: &[(&str, &str)]) -> Result<(RequestFacts, String), Refusal> {
        let mut head = Head::default();
        let parts = parts("POST", "https://a.example/b?c", fields);
        let facts = request_into_head(&parts, false, Limits::default(), &mut head)?;
        let mut out = Vec::new();
        let silent = crate::http1::ClientPersistence::Silent;
        crate::http1::write_request_head(&mut out, &head, Framing::of(facts.body), silent);
        Ok((facts, String::from_utf8(out).expect("text")))
    }

    #[test]
    fn a_request_becomes_one_of_http1() {
        let fields = [("cookie", "a=b"), ("x-y", " z "), ("cookie", "c=d")];
        let (facts, text) = check(&fields).expect("a good head");
        assert_eq!(facts.body, BodyLength::Chunked);
        assert_eq!(
            text,
            "POST /b?c HTTP/1.1\r\nhost: a.example\r\nx-y: z\r\ncookie: a=b; c=d\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let (facts, text) = check(&[("content-length", "7")]).expect("a good head");
        assert_eq!(facts.body, BodyLength::Bytes(7));
        assert!(text.ends_with("content-length: 7\r\n\r\n"), "{text}");
    }

    #[test]
    fn what_http1_could_not_say_is_refused() {
        for fields in [
            &[("host", "other.example")][..],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "-1")],
            &[("content-length", "")],
        ] {
            assert!(check(fields).is_err(), "{fields:?}");
        }
        assert!(
            check(&[("host", "A.example")]).is_ok(),
            "case is no difference"
        );
        let long = "x".repeat(Limits::default().head_bytes);
        assert_eq!(check(&[("x", &long)]).err(), Some("the head is too long"));
    }

    #[test]
    fn an_answer_carries_nothing_of_its_connection() {
        let mut head = Head::default();
        head.start_response(200, b"OK", 1);
        for (name, value) in [
            ("Connection", "close, X-Own, content-length"),
            ("X-Own", "1"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Set-Cookie", "a=b"),
            ("Content-Length", "9"),
        ] {
            head.add(name.as_bytes(), value.as_bytes());
        }
        let (response, _) = response_from_head(&head, Framing::Length(3)).expect("an answer");
        let found: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        assert_eq!(found, [("set-cookie", "a=b"), ("content-length", "3")]);
    }

    #[test]
    fn a_request_goes_to_a_server_with_scheme_and_authority() {
        let mut head = Head::default();
        head.start_request(b"GET", b"/a?b", 1);
        head.add(b"Host", b"c.example");
        head.add(b"Connection", b"keep-alive");
        head.add(b"TE", b"gzip, trailers");
        let request = request_from_head(&head, Framing::None, true, false).expect("a request");
        assert_eq!(request.uri().to_string(), "https://c.example/a?b");
        assert!(request.headers().is_empty(), "{:?}", request.headers());
    }
}
