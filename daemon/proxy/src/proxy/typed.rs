//! Where the walk meets heads that come and go typed, by HTTP/2, instead of as bytes.

use std::task::{Context, Poll};

use crate::http1::{BodyDecoder, BodyLength, Framing, ParseError, ResponseFacts};
use crate::http2::{
    PREFACE, Said, asks_for_websocket, request_from_head, request_into_head, response_from_head,
    response_into_head, websocket_accept,
};
use crate::net::Stream;
use crate::txn::{Cause, Stage, Termination, Transaction};

use super::failure::Broken;
use super::receive::count_request;
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
            x.request_body = BodyDecoder::of_stream(facts.body);
        }
        Err(reason) => {
            let counters = &c.front.frontend.counters;
            counters.request_errors.increment();
            counters.requests_total.increment();
            counters.http2_requests_total.increment();
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
    line.truncate(c.app.logged_line_bytes);
    txn.bytes_in += txn.request.bytes().len() as u64;
    count_request(c, x, now_us);
    let counters = &c.front.frontend.counters;
    counters.http2_requests_total.increment();
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

/// Sends the request's head to a server of HTTP/2; `None` if it speaks HTTP/1.
pub(super) fn begin_request(x: &mut Exchange, framing: Framing) -> Option<()> {
    // What is kept of the body follows.
    let is_done = x.request_done() && x.txn.body.is_empty();
    let stream = x.server.as_mut()?.stream.http2_server()?;
    let is_secure = stream.is_secure();
    x.opens_tunnel =
        x.facts.upgrade && stream.takes_extended_connect() && asks_for_websocket(&x.txn.request);
    let request = request_from_head(&x.txn.request, framing, is_secure, x.opens_tunnel);
    let began = match request {
        Some(request) => stream
            .begin(request, is_done && !x.opens_tunnel && !x.facts.is_connect)
            .is_ok(),
        None => false,
    };
    // A head that was not sent shows when the answer is waited for.
    x.up_broken = !began;
    Some(())
}

/// Whether a change of protocol that a client of HTTP/2 has asked for was proved by the server (RFC 6455 4.1); what a client
/// of HTTP/1 has asked for it looks at itself.
pub(super) fn is_switch_proven(client: &mut Stream, txn: &Transaction) -> bool {
    if client.http2().is_none() {
        return true;
    }
    let wanted = websocket_accept(&txn.request);
    let given = txn.response.header(b"sec-websocket-accept");
    wanted.is_some_and(|wanted| given == Some(wanted.as_bytes()))
}

/// A decoder for the body of the answer.
pub(super) fn answer_body(x: &mut Exchange, length: BodyLength) -> BodyDecoder {
    match is_to_http2(x) {
        true => BodyDecoder::of_stream(length),
        false => BodyDecoder::new(length),
    }
}

/// Whether the request goes to a server of HTTP/2.
pub(super) fn is_to_http2(x: &mut Exchange) -> bool {
    x.server
        .as_mut()
        .is_some_and(|server| server.stream.http2_server().is_some())
}

/// Tells a server's stream that what is about to be written is all; says whether its end is still owed.
pub(super) fn end_request(x: &mut Exchange) -> bool {
    let is_done = x.request_done();
    x.settle_trailers();
    match x
        .server
        .as_mut()
        .and_then(|server| server.stream.http2_server())
    {
        Some(stream) if is_done && stream.owes_end() && !x.opens_tunnel && !x.facts.is_connect => {
            stream.end_with_next_write(&x.request_trailers);
            true
        }
        _ => false,
    }
}

/// The head of a server's answer, or of an interim one; `None` if it speaks HTTP/1.
pub(super) fn poll_response(
    c: &Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Option<Poll<Result<ResponseFacts, Broken>>> {
    let server = x.server.as_mut()?;
    let stream = server.stream.http2_server()?;
    let said = match stream.poll_head(context) {
        Poll::Ready(said) => said,
        Poll::Pending => return Some(Poll::Pending),
    };
    let (parts, is_all) = match said {
        Ok(Said::Final(parts, is_all)) => (parts, is_all),
        Ok(Said::Interim(interim)) => (interim.into_parts().0, true),
        Err(_) => {
            // What was certainly not looked at may be sent again, as on a connection that was closed while it was kept.
            server.reused = stream.was_refused();
            return Some(Poll::Ready(Err(Broken::Server { received: false })));
        }
    };
    let facts = response_into_head(
        &parts,
        is_all,
        x.facts.is_head,
        x.facts.is_connect,
        c.app.limits,
        &mut x.txn.response,
    );
    if x.opens_tunnel && x.txn.response.status() == 200 && facts.is_ok() {
        // RFC 8441 5: the success is a change of protocol in HTTP/1.
        let response = &mut x.txn.response;
        response.set_status(101, b"Switching Protocols");
        response.set(b"upgrade", b"websocket");
        if let Some(accept) = websocket_accept(&x.txn.request) {
            response.set(b"sec-websocket-accept", accept.as_bytes());
        }
    }
    Some(Poll::Ready(facts.map_err(|reason| {
        Broken::Answer(ParseError {
            reason,
            position: 0,
        })
    })))
}

/// Whether the answer of a server of HTTP/2 ends here: the trailers are taken then.
pub(super) fn is_answer_over(x: &mut Exchange) -> bool {
    let stream = x
        .server
        .as_mut()
        .and_then(|server| server.stream.http2_server());
    stream.is_some_and(|stream| stream.is_at_end())
}

/// Takes the trailers behind an answer.
pub(super) fn take_answer_trailers(x: &mut Exchange) {
    if let Some(stream) = x
        .server
        .as_mut()
        .and_then(|server| server.stream.http2_server())
    {
        stream.take_trailers(&mut x.response_trailers);
    }
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
