//! What can go wrong between a request and its answer: another try, or the end; and what is counted and kept of it.

use protocol::worker::{ErrorCapture, MAX_CAPTURE_BYTES};

use super::leave::{Left, count_client_abort};
use super::{Connection, Exchange, reach};
use crate::app::BackendRuntime;
use crate::http1::ParseError;
use crate::server::RetryOn;
use crate::state::Server;
use crate::txn::{Cause, Stage, Termination};

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection was dead before the server can have seen the request: try another.
    Retry,
    /// It is over.
    End(Termination),
}

/// What went wrong before an answer's head was there.
pub(super) enum Broken {
    /// The server ended or reset the connection; whether a byte of an answer had come.
    Server { received: bool },
    /// The answer breaks the rules.
    Answer(ParseError),
    /// The client went away while its body was wanted.
    Client,
    /// The client's body breaks its framing.
    Body,
    /// The client went away while the answer was awaited.
    Left(Left),
}

/// What a failure before the answer's head means: another try, or the end.
pub(super) fn failed(c: &mut Connection, x: &mut Exchange, broken: Broken) -> Failure {
    let Some(back) = x.back.clone() else {
        return Failure::End(Termination::new(Cause::Internal, Stage::Headers));
    };
    let server = x.txn.server.clone();
    let connection = x.server.take();
    match broken {
        Broken::Server { received: false }
            if is_idempotent(x.txn.request.method())
                && !x.body_consumed
                && x.txn.body.is_empty()
                && connection
                    .as_ref()
                    .is_some_and(|connection| connection.reused) =>
        {
            // It was closed while it was kept: that says nothing about the server.
            x.may_reuse = false;
            x.txn.timings.connected_us = 0;
            Failure::Retry
        }
        // Half a head is no event, as with haproxy, though the manual counts it to `junk-response`.
        Broken::Server { received: false } if replay(x, |retry_on| retry_on.empty_response) => {
            Failure::Retry
        }
        Broken::Answer(_) if replay(x, |retry_on| retry_on.junk_response) => Failure::Retry,
        Broken::Server { .. } => {
            count_response_error(x);
            if let Some(server) = &server {
                server.counters.server_aborts.increment();
            }
            back.backend.counters.server_aborts.increment();
            Failure::End(Termination::new(Cause::Server, Stage::Headers))
        }
        Broken::Answer(error) => {
            count_response_error(x);
            let bytes = connection
                .as_ref()
                .map_or(&[][..], |connection| connection.input.data());
            capture(c, server.as_deref(), &back, error, bytes);
            Failure::End(Termination::new(Cause::Proxy, Stage::Headers))
        }
        Broken::Client => {
            count_client_abort(x);
            Failure::End(Termination::new(Cause::Client, Stage::Data))
        }
        Broken::Left(left) => {
            count_client_abort(x);
            // Who only ended its direction can still read that it was not served.
            Failure::End(match left {
                Left::Ended => Termination::new(Cause::Client, Stage::Headers),
                Left::Reset => Termination::new(Cause::Client, Stage::Data),
            })
        }
        Broken::Body => {
            c.front.frontend.counters.request_errors.increment();
            Failure::End(Termination::new(Cause::Client, Stage::Request))
        }
    }
}

/// RFC 9110 9.2.2: only these may be sent again by a proxy that does not know whether the server has seen them.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
    )
}

pub(super) fn timed_out(x: &mut Exchange, end: Termination) -> Failure {
    if end.cause == Cause::ServerTimeout {
        if replay(x, |retry_on| retry_on.response_timeout) {
            return Failure::Retry;
        }
        count_response_error(x);
    }
    x.server = None;
    Failure::End(end)
}

/// Prepares another try of a request that was sent, if `retry-on` has the event and the request is still whole.
pub(super) fn replay(x: &mut Exchange, has: impl Fn(&RetryOn) -> bool) -> bool {
    // What is still coming from the client is not sent twice.
    if !x.request_done()
        || !may_replay(x)
        || !x.back.as_ref().is_some_and(|back| has(&back.retry_on))
    {
        return false;
    }
    let (Some(back), Some(server)) = (x.back.clone(), x.txn.server.clone()) else {
        return false;
    };
    x.server = None;
    x.may_reuse = false;
    x.avoid = reach::next_try(x, &back, &server);
    true
}

/// Whether the request may be sent again after it was sent, if it is kept until then.
pub(super) fn may_replay(x: &Exchange) -> bool {
    let wanted = x
        .back
        .as_ref()
        .is_some_and(|back| back.retry_on.replays() && x.txn.retries < back.retries);
    wanted && !x.txn.no_replay && !x.body_consumed
}

pub(super) fn count_response_error(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.response_errors.increment();
        server.counters.response_errors.increment();
    }
}

/// Keeps an answer that breaks the rules for `show errors`.
pub(super) fn capture(
    c: &Connection,
    server: Option<&Server>,
    back: &BackendRuntime,
    error: ParseError,
    bytes: &[u8],
) {
    c.app.shared.errors.keep(ErrorCapture {
        at_ms: c.app.shared.clock.wall_us() / 1_000,
        proxy: back.backend.name.clone(),
        is_request: false,
        backend: back.backend.name.clone(),
        server: server.map(|server| server.name.clone()).unwrap_or_default(),
        source: c.session.source.to_string(),
        reason: error.reason.to_owned(),
        position: error.position,
        bytes: bytes[..bytes.len().min(MAX_CAPTURE_BYTES)].to_vec(),
    });
}
