//! Heads: the `h2` crate's requests to ours, and our answers to its. Strict: what an HTTP/1 head could not say is refused,
//! so that nothing that came by HTTP/2 reads differently at an HTTP/1 server.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::http::{Head, is_token};
use crate::http1::{BodyLength, Framing, Limits, RequestFacts, content_length};

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
    let is_connect = parts.method == Method::CONNECT;
    start(parts, is_connect, head)?;
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
    let body = match length {
        _ if is_ended => BodyLength::None,
        Some(0) => BodyLength::None,
        Some(length) => BodyLength::Bytes(length),
        None => BodyLength::Chunked,
    };
    Ok(RequestFacts {
        body,
        keep_alive: true,
        upgrade: false,
        is_head: parts.method == Method::HEAD,
        is_connect,
        expects_continue,
    })
}

/// Method, target and `host`.
fn start(parts: &http::request::Parts, is_connect: bool, head: &mut Head) -> Result<(), Refusal> {
    let method = parts.method.as_str().as_bytes();
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
    *response.status_mut() = StatusCode::from_u16(head.status()).ok()?;
    // One piece of memory for all values.
    let all = Bytes::copy_from_slice(head.bytes());
    let fields = response.headers_mut();
    fields.reserve(head.fields().len() + 1);
    let mut bytes = "HTTP/1.1 200 \r\n\r\n".len() + head.reason().len();
    for field in head.fields() {
        let name = head.text(field.name);
        if is_connections_own(name)
            || framing != Framing::Described && name.eq_ignore_ascii_case(b"content-length")
        {
            continue;
        }
        bytes += field.name.range().len() + field.value.range().len() + 4;
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(all.slice(field.value.range())),
        ) {
            fields.append(name, value);
        }
    }
    if let Some(nominated) = head.header(b"connection") {
        // RFC 9110 7.6.1: what concerns one connection is not passed on.
        for token in nominated
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
        {
            if let Ok(name) = HeaderName::from_bytes(token)
                && !matches!(name.as_str(), "content-length" | "set-cookie")
                && let Some(value) = fields.remove(&name)
            {
                bytes -= name.as_str().len() + value.len() + 4;
            }
        }
    }
    if let Framing::Length(length) = framing {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        bytes += "content-length: \r\n".len() + itoa::Buffer::new().format(length).len();
    }
    Some((response, bytes))
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
