//! HTTP in checks: the request written, the answer read as far as it has come.

use super::connection::MAX_CHECK_BYTES;
use super::plan::{Data, HttpRequestPlan};
use crate::health::lock_health;
use crate::http::Head;
use crate::http1::{BodyDecoder, Limits, Parsed, parse_response};
use crate::state::{Backend, Server, Usability};

/// Headers of an answer that are read; an answer with more is invalid.
const MAX_FIELDS: usize = 101;

/// The bytes of a request; `fill` renders what is an expression.
pub(super) fn request(
    plan: &HttpRequestPlan,
    state_header: Option<String>,
    fill: &mut dyn FnMut(&Data) -> Vec<u8>,
    fill_format: &mut dyn FnMut(&crate::log::LogFormat) -> Vec<u8>,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(plan.method.as_bytes());
    text.push(b' ');
    let uri = fill(&plan.uri);
    text.extend_from_slice(if uri.is_empty() { b"/" } else { &uri });
    text.extend_from_slice(if plan.minor_version == 0 {
        b" HTTP/1.0\r\n"
    } else {
        b" HTTP/1.1\r\n"
    });
    for (name, value) in &plan.headers {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(&fill_format(value));
        text.extend_from_slice(b"\r\n");
    }
    if let Some(state) = state_header {
        text.extend_from_slice(format!("x-haproxy-server-state: {state}\r\n").as_bytes());
    }
    let body = plan.body.as_ref().map(fill);
    if let Some(body) = &body {
        text.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    if plan.closes {
        text.extend_from_slice(b"connection: close\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body.unwrap_or_default());
    text
}

/// `UP 2/3; address=10.0.0.1; port=80; name=b/s; node=n; weight=1/2; scur=0/0; qcur=0` (manual, `http-check send-state`).
pub(super) fn state_header(backend: &Backend, server: &Server, node: &str) -> String {
    let state = super::state::state_of(server, &lock_health(server).clone());
    let (address, port) = match server.address.load().as_deref() {
        Some(address) => (address.ip().to_string(), address.port().to_string()),
        None => ("unix".to_owned(), "unix".to_owned()),
    };
    let weight = |server: &Server| {
        let weight = server
            .user_weight
            .load(std::sync::atomic::Ordering::Relaxed);
        if server.usability() == Usability::Up {
            weight
        } else {
            0
        }
    };
    format!(
        "{state}; address={address}; port={port}; name={}/{}; node={node}; weight={}/{}; scur={}/{}; qcur={}",
        backend.name,
        server.name,
        weight(server),
        backend
            .servers
            .now()
            .iter()
            .map(|server| weight(server))
            .sum::<u32>(),
        server.counters.sessions.current(),
        backend.counters.sessions.current(),
        server.counters.queue.current(),
    )
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// No more of the body will come.
    pub(super) complete: bool,
}

/// What the bytes of an answer are.
pub(super) enum Read {
    /// The head is not whole.
    Partial,
    /// No HTTP/1 answer.
    Invalid,
    /// The head is in the caller's `Head`.
    Answer(Answer),
}

/// Reads an answer from the start; `ended` says that no more bytes will come.
pub(super) fn read(bytes: &[u8], to_head: bool, ended: bool, head: &mut Head) -> Read {
    let limits = Limits {
        head_bytes: MAX_CHECK_BYTES,
        fields: MAX_FIELDS,
    };
    let (length, facts) = match parse_response(bytes, limits, to_head, false, head) {
        Err(_) => return Read::Invalid,
        Ok(Parsed::Partial) if ended => return Read::Invalid,
        Ok(Parsed::Partial) => return Read::Partial,
        Ok(Parsed::Complete { length, facts }) => (length, facts),
    };
    let mut answer = Answer::default();
    let mut decoder = BodyDecoder::new(facts.body);
    let mut rest = bytes.get(length..).unwrap_or_default();
    while !rest.is_empty() && !decoder.is_done() {
        match decoder.decode(rest) {
            Err(_) => return Read::Invalid,
            Ok((0, _)) => break,
            Ok((used, data)) => {
                answer.body.extend_from_slice(&rest[data]);
                rest = &rest[used..];
            }
        }
    }
    answer.complete = decoder.is_done() || ended;
    Read::Answer(answer)
}
