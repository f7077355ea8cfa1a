//! Where the walk meets heads that come and go typed, by HTTP/2, instead of as bytes.

use crate::http1::{BodyDecoder, BodyLength, Framing};
use crate::http2::{PREFACE, request_into_head, response_from_head};
use crate::txn::{Cause, Stage, Termination};

use super::receive::{MAX_REQUEST_LINE, count_request};
use super::{Connection, Exchange};

/// What is in the buffer of a connection that has sent no request yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Not HTTP/2.
    Other,
    /// It may become HTTP/2's preface.
    Beginning,
    /// HTTP/2's preface.
    Preface,
}

/// Looks for the preface (RFC 9113 3.4), which no request of HTTP/1 begins with.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    if bytes.starts_with(PREFACE) {
        Opening::Preface
    } else if PREFACE.starts_with(bytes) {
        Opening::Beginning
    } else {
        Opening::Other
    }
}

/// Takes the head of the request that the client's stream carries.
pub(super) fn receive(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let now_us = c.since_us;
    x.txn.timings.start_us = now_us;
    x.txn.timings.first_byte_us = now_us;
    let (parts, is_ended) = match c.client.http2() {
        Some(stream) => match stream.take_request() {
            Some(parts) => (parts, stream.is_at_end()),
            None => return Err(Termination::new(Cause::Internal, Stage::Request)),
        },
        None => return Err(Termination::new(Cause::Internal, Stage::Request)),
    };
    match request_into_head(&parts, is_ended, c.app.limits, &mut x.txn.request) {
        Ok(facts) => {
            x.facts = facts;
            x.request_body = BodyDecoder::new(match facts.body {
                // Until the stream ends.
                BodyLength::Chunked => BodyLength::Close,
                length => length,
            });
        }
        Err(reason) => {
            let counters = &c.front.frontend.counters;
            counters.request_errors.increment();
            counters.requests_total.increment();
            super::receive::capture(c, reason, 0, parts.uri.to_string().as_bytes());
            return Err(Termination::new(Cause::Client, Stage::Request));
        }
    }
    let txn = &mut x.txn;
    let line = &mut txn.request_line;
    for part in [
        txn.request.method(),
        b" ",
        txn.request.target(),
        b" HTTP/2.0",
    ] {
        line.extend_from_slice(part);
    }
    line.truncate(MAX_REQUEST_LINE);
    txn.bytes_in += txn.request.bytes().len() as u64;
    count_request(c, x, now_us);
    Ok(())
}

/// Hands the answer's head to the client's stream; false if the client speaks HTTP/1.
pub(super) fn begin_answer(c: &mut Connection, x: &mut Exchange, framing: Framing) -> bool {
    let Some(stream) = c.client.http2() else {
        return false;
    };
    x.down.clear();
    x.down_written = 0;
    if let Some((response, bytes)) = response_from_head(&x.txn.response, framing) {
        x.txn.bytes_out += bytes as u64;
        stream.begin(response);
    }
    true
}

/// Passes an interim answer on; false if the client speaks HTTP/1.
pub(super) fn interim(c: &mut Connection, x: &Exchange) -> bool {
    let Some(stream) = c.client.http2() else {
        return false;
    };
    if let Some((response, _)) = response_from_head(&x.txn.response, Framing::None) {
        stream.interim(response);
    }
    true
}
