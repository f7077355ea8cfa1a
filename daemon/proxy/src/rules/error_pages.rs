//! The answers that the proxy itself gives for a status: HAProxy's fixed texts, or an `errorfile`.

use std::collections::HashMap;

use bytes::Bytes;
use config::haproxy::ProxyConfig;

use crate::http::Head;

/// Status, reason phrase, text, and whether the connection ends with it.
#[rustfmt::skip]
const BUILT_IN: &[(u16, &str, &str, bool)] = &[
    (200, "OK", "Service ready.", false),
    (400, "Bad request", "Your browser sent an invalid request.", true),
    (401, "Unauthorized", "You need a valid user and password to access this content.", false),
    (403, "Forbidden", "Request forbidden by administrative rules.", false),
    (404, "Not Found", "The resource could not be found.", false),
    (405, "Method Not Allowed", "A request was made of a resource using a request method not supported by that resource", false),
    (407, "Unauthorized", "You need a valid user and password to access this content.", false),
    (408, "Request Time-out", "Your browser didn't send a complete request in time.", true),
    (410, "Gone", "The resource is no longer available and will not be available again.", false),
    (413, "Payload Too Large", "The request entity exceeds the maximum allowed.", false),
    (421, "Misdirected Request", "Request sent to a non-authoritative server.", false),
    (422, "Unprocessable Content", "The server cannot process the contained instructions.", false),
    (425, "Too Early", "Your browser sent early data.", false),
    (429, "Too Many Requests", "You have sent too many requests in a given amount of time.", false),
    (500, "Internal Server Error", "An internal server error occurred.", false),
    (501, "Not Implemented", ".The server does not support the functionality required to fulfill the request.", false),
    (502, "Bad Gateway", "The server returned an invalid or incomplete response.", false),
    (503, "Service Unavailable", "No server is available to handle this request.", false),
    (504, "Gateway Time-out", "The server didn't respond in time.", false),
];

/// Whether there is a built-in page for a status.
pub fn is_built_in(status: u16) -> bool {
    BUILT_IN.binary_search_by_key(&status, |row| row.0).is_ok()
}

/// One page, in the forms in which it is needed.
#[derive(Clone, Debug)]
pub struct Page {
    /// The whole HTTP/1 answer.
    pub raw: Bytes,
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Bytes,
    /// Whether its head ends the connection.
    pub close: bool,
}

/// A proxy's pages.
#[derive(Clone, Debug)]
pub struct ErrorPages {
    pages: HashMap<u16, Page>,
    fallback: Page,
}

/// The pages of a proxy: built in, then its `errorfile`s.
pub fn error_pages(proxy: &ProxyConfig) -> ErrorPages {
    let mut pages: HashMap<u16, Page> = BUILT_IN
        .iter()
        .map(|(status, reason, text, close)| (*status, built_in(*status, reason, text, *close)))
        .collect();
    for file in &proxy.error_files {
        if let Some(page) = parse_page(&file.content) {
            pages.insert(file.status, page);
        }
    }
    let fallback = pages.get(&500).cloned().unwrap_or_else(|| {
        built_in(
            500,
            "Internal Server Error",
            "An internal server error occurred.",
            true,
        )
    });
    ErrorPages { pages, fallback }
}

impl ErrorPages {
    /// The whole raw HTTP/1 answer for a status; 500's where there is none.
    pub fn answer(&self, status: u16) -> &Bytes {
        &self.page(status).raw
    }

    /// The page for a status; 500's where there is none.
    pub fn page(&self, status: u16) -> &Page {
        self.pages.get(&status).unwrap_or(&self.fallback)
    }
}

fn built_in(status: u16, reason: &str, text: &str, close: bool) -> Page {
    let body = format!("<html><body><h1>{status} {reason}</h1>\n{text}\n</body></html>\n");
    let mut head = Head::default();
    head.start_response(status, reason.as_bytes(), 1);
    // HAProxy 2.6 counts a byte less for some pages than their text has; ours are as long as they say.
    head.add(b"content-length", body.len().to_string().as_bytes());
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/html");
    if close {
        head.add(b"connection", b"close");
    }
    let mut raw = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
    for (name, value) in head.iter() {
        raw.extend_from_slice(name);
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(body.as_bytes());
    Page {
        raw: raw.into(),
        head,
        body: body.into_bytes().into(),
        close,
    }
}

/// Most header fields of an error file.
const MAX_FIELDS: usize = 64;

/// Reads a raw HTTP answer; `None` if it is none.
pub fn parse_page(content: &[u8]) -> Option<Page> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(content).ok()? else {
        return None;
    };
    let mut head = Head::default();
    head.start_response(
        parsed.code?,
        parsed.reason.unwrap_or("").as_bytes(),
        parsed.version.unwrap_or(1),
    );
    let body = &content[length..];
    let mut close = false;
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("connection") {
            close = field.value.eq_ignore_ascii_case(b"close");
        }
        if !field.name.eq_ignore_ascii_case("content-length") {
            head.add(
                field.name.to_ascii_lowercase().as_bytes(),
                field.value.trim_ascii(),
            );
        }
    }
    head.add(b"content-length", body.len().to_string().as_bytes());
    Some(Page {
        raw: Bytes::copy_from_slice(content),
        head,
        body: Bytes::copy_from_slice(body),
        close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(BUILT_IN.is_sorted_by_key(|row| row.0));
    }

    #[test]
    fn an_error_file_keeps_its_words() {
        let page =
            parse_page(b"HTTP/1.0 503 Foo\r\nContent-Type: text/html\r\n\r\nbody").expect("a page");
        assert_eq!((page.head.status(), &page.body[..]), (503, &b"body"[..]));
        assert_eq!(page.head.header(b"content-length"), Some(&b"4"[..]));
        assert!(parse_page(b"not http").is_none());
    }
}
