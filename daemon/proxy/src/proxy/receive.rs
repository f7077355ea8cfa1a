//! Receiving a request's head, and the small bodies that our own pages want.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use protocol::worker::{ErrorCapture, MAX_CAPTURE_BYTES};

use super::typed::{self, Opening};
use super::{Connection, Exchange, Interrupt};
use crate::app::SessionStage;
use crate::http1::{BodyDecoder, ParseError, Parsed, RequestFacts, parse_request, relaxed};
use crate::net::Stream;
use crate::txn::{Cause, Stage, Termination};

/// Most bytes of a body that our own pages read.
const MAX_SMALL_BODY: usize = 16 << 10;

/// A client that was idle for so long is watched without a task from then on ([`super::parked`]).
const REST_US: u64 = 1_000_000;

/// What an idle connection comes to.
pub(super) enum Beginning {
    /// The first bytes of a request, or the end of the wait for them.
    Request(Result<(), Termination>),
    /// Nothing for a while: no task need wait any longer.
    Rest,
}

/// The stage of a connection that waits for its next request, and how long it may wait.
fn idle_time(c: &Connection) -> (SessionStage, Option<Duration>) {
    let timeouts = &c.front.timeouts;
    let whole_head = timeouts.http_request.or(timeouts.client);
    if c.requests == 0 {
        (SessionStage::Request, whole_head)
    } else {
        (
            SessionStage::KeepAlive,
            timeouts.http_keep_alive.or(whole_head),
        )
    }
}

/// Begins to wait for the next request's first bytes.
pub(super) fn await_next(c: &mut Connection) {
    let (stage, wait) = idle_time(c);
    c.entry.set_stage(stage);
    c.timer.set(c.since_us, wait);
    if matches!(c.client, Stream::Tcp(_)) {
        let rest_us = c.since_us.saturating_add(REST_US);
        c.timer.set_deadline(c.timer.deadline_us().min(rest_us));
    }
}

/// Waits for the next request's first bytes; an idle connection stands here.
pub(super) fn poll_beginning(c: &mut Connection, context: &mut Context<'_>) -> Poll<Beginning> {
    let outcome = match c
        .client
        .resting()
        .filter(|_| !c.app.shared.draining.load(Relaxed))
    {
        Some(fresh) => match fresh.read(c.input.space()) {
            Some(read) => Poll::Ready(read.inspect(|count| c.input.filled(*count))),
            None => {
                c.input.release_if_empty();
                return Poll::Ready(Beginning::Rest);
            }
        },
        None => c.client.poll_read(context, &mut c.input),
    };
    match outcome {
        Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Beginning::Request(Ok(()))),
        Poll::Ready(outcome) => {
            c.is_gone = !c.is_draining() || outcome.is_err();
            let end = Termination::new(Cause::Client, Stage::Request);
            Poll::Ready(Beginning::Request(Err(end)))
        }
        Poll::Pending => {
            c.input.release_if_empty();
            if c.requests > 0 {
                bound_idle_while_draining(c);
            }
            let interrupt = ready!(c.poll_interrupt(context));
            if interrupt == Interrupt::Timeout && has_time(c) {
                return Poll::Ready(Beginning::Rest);
            }
            let end = interrupt.end(Cause::ClientTimeout, Stage::Request);
            Poll::Ready(Beginning::Request(Err(end)))
        }
    }
}

/// Whether the timer went off for the connection to rest: its own time is not over. Then the timer has that from now on.
fn has_time(c: &mut Connection) -> bool {
    if c.timer.deadline_us() != c.since_us.saturating_add(REST_US) {
        return false;
    }
    let (_, wait) = idle_time(c);
    c.timer.set(c.since_us, wait);
    if c.requests > 0 {
        bound_idle_while_draining(c);
    }
    c.timer.deadline_us() > c.now_us()
}

/// Receives the head whose beginning ([`poll_beginning`]) was waited for. On an end without anything to tell of, `x.is_null` is set.
pub(super) async fn request(
    c: &mut Connection,
    x: &mut Exchange,
    beginning: Result<(), Termination>,
) -> Result<(), Termination> {
    if c.client.http2().is_some() {
        return typed::receive(c, x);
    }
    let is_first = c.requests == 0;
    let may_upgrade = is_first && c.front.upgrades_to_http2;
    x.txn.timings.start_us = c.since_us;
    if let Err(end) = beginning {
        x.is_null = !is_first
            || c.front.ignores_probes
            || (end.cause == Cause::Client && c.front.dontlognull);
        return Err(end);
    }
    let timeouts = &c.front.timeouts;
    let whole_head = timeouts.http_request.or(timeouts.client);
    let mut now_us = c.now_us();
    x.txn.timings.first_byte_us = now_us;
    c.entry.set_stage(SessionStage::Request);
    c.timer
        .set(if is_first { c.since_us } else { now_us }, whole_head);
    loop {
        skip_empty_lines(c);
        if !c.input.is_empty() {
            match parse(c, x) {
                Ok(Parsed::Complete { length, facts }) => {
                    accept(c, x, length, now_us);
                    x.facts = facts;
                    x.request_body = BodyDecoder::new(facts.body);
                    return Ok(());
                }
                Ok(Parsed::Partial) => {}
                Err(error) => match typed::opening(c.input.data()) {
                    Opening::Beginning if may_upgrade => {}
                    Opening::Preface if may_upgrade => {
                        c.http2_preface = true;
                        x.is_null = true;
                        return Err(Termination::new(Cause::Client, Stage::Request));
                    }
                    _ => return Err(refuse(c, x, error)),
                },
            }
        }
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(0)) | Ok(Err(_)) => {
                x.txn.bytes_in += c.input.len() as u64;
                c.front.frontend.counters.request_errors.increment();
                return Err(Termination::new(Cause::Client, Stage::Request));
            }
            Ok(Ok(_)) => now_us = c.now_us(),
            Err(interrupt) => {
                x.txn.bytes_in += c.input.len() as u64;
                c.front.frontend.counters.request_errors.increment();
                return Err(interrupt.end(Cause::ClientTimeout, Stage::Request));
            }
        }
        if c.front.timeouts.http_request.is_none() {
            c.timer.set(now_us, whole_head);
        }
    }
}

/// Parses what is here. `option accept-invalid-http-request` lets more pass, and keeps each such request for `show errors`.
fn parse(c: &Connection, x: &mut Exchange) -> Result<Parsed<RequestFacts>, ParseError> {
    let bytes = c.input.data();
    let parsed = parse_request(bytes, c.app.limits, &mut x.txn.request);
    match parsed {
        Err(refusal)
            if c.front.accepts_invalid && matches!(typed::opening(bytes), Opening::Other) =>
        {
            let request = &mut x.txn.request;
            let (parsed, odd) = relaxed::parse_request(bytes, c.app.limits, request, refusal)?;
            if let Parsed::Complete { length, .. } = parsed {
                capture(c, odd.reason, odd.position, &bytes[..length]);
            }
            Ok(parsed)
        }
        parsed => parsed,
    }
}

/// How long a draining worker still waits for the next request of a kept connection. Clients that are at work send it within
/// this time and get `Connection: close` with its answer; to close at once would cut off a request that is on its way.
const DRAIN_IDLE_US: u64 = 1_000_000;

/// While the worker drains, a kept connection ends once it was idle for [`DRAIN_IDLE_US`]. With
/// `option idle-close-on-response` it has the whole time that it would have had otherwise.
fn bound_idle_while_draining(c: &mut Connection) {
    if let Some(began_us) = c.app.shared.draining_since_us()
        && !c.front.idle_close_on_response
    {
        let end = began_us.max(c.since_us).saturating_add(DRAIN_IDLE_US);
        if end < c.timer.deadline_us() {
            c.timer.set_deadline(end);
        }
    }
}

/// RFC 9112 2.2: an empty line before a request is to be ignored.
fn skip_empty_lines(c: &mut Connection) {
    while c.input.data().starts_with(b"\r\n") {
        c.input.consume(2);
    }
}

fn accept(c: &mut Connection, x: &mut Exchange, length: usize, now_us: u64) {
    let line = c.input.data();
    let end = memchr::memchr(b'\r', line)
        .unwrap_or(line.len())
        .min(c.app.logged_line_bytes);
    x.txn.request_line.extend_from_slice(&line[..end]);
    c.input.consume(length);
    x.txn.bytes_in += length as u64;
    count_request(c, x, now_us);
}

/// Counts a request whose head is complete.
pub(super) fn count_request(c: &mut Connection, x: &mut Exchange, now_us: u64) {
    x.txn.timings.request_us = now_us;
    x.received = true;
    c.requests += 1;
    c.entry.set_requests(c.requests);
    c.entry.touch(now_us);
    let counters = &c.front.frontend.counters;
    counters.requests_total.increment();
    counters.request_rate.tick(now_us / 1_000);
    c.app.shared.process.requests_total.increment();
}

fn refuse(c: &mut Connection, x: &mut Exchange, error: ParseError) -> Termination {
    let counters = &c.front.frontend.counters;
    counters.request_errors.increment();
    counters.requests_total.increment();
    capture(c, error.reason, error.position, c.input.data());
    x.txn.bytes_in += c.input.len() as u64;
    Termination::new(Cause::Client, Stage::Request)
}

/// Keeps a request that breaks the rules for `show errors`.
pub(super) fn capture(c: &Connection, reason: &str, position: usize, bytes: &[u8]) {
    c.app.shared.errors.keep(ErrorCapture {
        at_ms: c.app.shared.clock.wall_us() / 1_000,
        proxy: c.front.frontend.name.clone(),
        is_request: true,
        backend: String::new(),
        server: String::new(),
        source: c.session.source.to_string(),
        reason: reason.to_owned(),
        position,
        bytes: bytes[..bytes.len().min(MAX_CAPTURE_BYTES)].to_vec(),
    });
}

/// The whole body of a request for one of our own pages.
pub(super) async fn small_body(
    c: &mut Connection,
    x: &mut Exchange,
) -> Result<Vec<u8>, Termination> {
    // Its beginning may have been read already.
    let mut body = std::mem::take(&mut x.txn.body);
    c.timer.set(
        c.now_us(),
        c.front.timeouts.http_request.or(c.front.timeouts.client),
    );
    while !x.request_body.is_done() {
        let bad = Termination::new(Cause::Client, Stage::Request);
        let (used, data) = x.request_body.decode(c.input.data()).map_err(|_| bad)?;
        body.extend_from_slice(&c.input.data()[data]);
        c.input.consume(used);
        if body.len() > MAX_SMALL_BODY {
            return Err(bad);
        }
        if used > 0 || x.request_body.is_done() {
            continue;
        }
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Ok(_)) if x.request_body.ends_with_connection() => x.request_body.end(),
            Ok(_) => return Err(bad),
            Err(interrupt) => return Err(interrupt.end(Cause::ClientTimeout, Stage::Data)),
        }
    }
    Ok(body)
}
