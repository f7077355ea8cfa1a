//! The request to the server up to the head of its answer: one write for a head with what is there of its body.

use std::task::{Context, Poll};

use config::haproxy::ConnectionMode;
use protocol::worker::{ErrorCapture, MAX_CAPTURE_BYTES};

use super::answer::{self, LARGE_BODY};
use super::leave::{self, Left};
use super::{Connection, Exchange, body, reach, typed};
use crate::app::{BackendRuntime, SessionStage};
use crate::http1::{
    BodyLength, ClientPersistence, Framing, ParseError, Parsed, ResponseFacts, end_chunks_with,
    parse_response, push_chunk, relaxed, write_request_head, write_response_head,
};
use crate::net::{Stream, poll_write_all};
use crate::server::RetryOn;
use crate::state::Server;
use crate::txn::{Cause, Stage, Termination};

/// Most bytes of a request's body that are read after a server has answered without wanting them.
const MAX_DRAINED: usize = 256 << 10;

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection was dead before the server can have seen the request: try another.
    Retry,
    /// It is over.
    End(Termination),
}

/// Sends the request and receives the head of its final answer. Interim answers are passed on.
pub(super) async fn send(c: &mut Connection, x: &mut Exchange) -> Result<ResponseFacts, Failure> {
    begin_request(c, x);
    // Whether the server's buffer holds bytes that came with an interim answer and were not looked at yet.
    let mut unread = false;
    let mut blocked_at = None;
    loop {
        let outcome = c
            .wait(|c, context| {
                let polled = poll_response_head(c, x, &mut unread, context);
                if polled.is_pending() {
                    limit_wait(c, x, &mut blocked_at);
                }
                polled
            })
            .await;
        let facts = match outcome {
            Ok(Ok(facts)) => facts,
            Ok(Err(failure)) => return Err(failed(c, x, failure)),
            Err(interrupt) => {
                let waiting_for_client = !x.request_done() && !x.up_broken && !server_blocks(c, x);
                let cause = if waiting_for_client {
                    Cause::ClientTimeout
                } else {
                    Cause::ServerTimeout
                };
                let end = interrupt.end(
                    cause,
                    if waiting_for_client {
                        Stage::Data
                    } else {
                        Stage::Headers
                    },
                );
                return Err(timed_out(x, end));
            }
        };
        let status = x.txn.response.status();
        if !(100..200).contains(&status) || status == 101 {
            if replay(x, |retry_on| retry_on.status(status)) {
                return Err(Failure::Retry);
            }
            x.txn.timings.response_us = c.now_us();
            return Ok(facts);
        }
        // RFC 9110 15.2: interim answers are passed on; a client of HTTP/1.0 does not know them.
        if typed::interim(c, x) {
        } else if x.txn.request.minor_version() == 1 {
            x.down.clear();
            x.down_written = 0;
            write_response_head(
                &mut x.down,
                &x.txn.response,
                Framing::None,
                ClientPersistence::Silent,
            );
            answer::write_down(c, x).await.map_err(Failure::End)?;
        }
        unread = x
            .server
            .as_ref()
            .is_some_and(|server| !server.input.is_empty());
    }
}

/// Whether the server is what a request's body waits for.
fn server_blocks(c: &Connection, x: &Exchange) -> bool {
    x.up_written < x.up.len() || x.up_splice.held() > 0 || (!c.input.is_empty() && goes_directly(x))
}

/// A server that does not take the body has its own time from when it took something last, not the client's.
fn limit_wait(c: &mut Connection, x: &Exchange, blocked_at: &mut Option<(usize, u64, usize)>) {
    if !x.up_broken && server_blocks(c, x) {
        let left = x.up_splice.held() + c.input.data().len();
        let taken = Some((x.up_written, x.txn.bytes_in, left));
        if *blocked_at != taken {
            *blocked_at = taken;
            let wait = x.back.as_ref().and_then(|back| back.timeouts.server);
            c.timer.set(c.now_us(), wait);
        }
    } else if blocked_at.take().is_some() && !x.request_done() {
        c.timer.set(c.now_us(), c.front.timeouts.client);
    }
}

fn begin_request(c: &mut Connection, x: &mut Exchange) {
    let back_mode = x
        .back
        .as_ref()
        .map_or(ConnectionMode::KeepAlive, |back| back.connection_mode);
    let closes = [back_mode, c.front.connection_mode]
        .iter()
        .any(|mode| *mode != ConnectionMode::KeepAlive);
    let persistence = match (x.facts.upgrade, closes, x.txn.request.minor_version()) {
        (true, ..) => ClientPersistence::Upgrade,
        (_, true, _) => ClientPersistence::Close,
        (_, false, 0) => ClientPersistence::KeepAlive,
        (_, false, _) => ClientPersistence::Silent,
    };
    let framing = match x.facts.body {
        // A request that usually has a body says that it has none (RFC 9110 8.6).
        BodyLength::None if matches!(x.txn.request.method(), b"POST" | b"PUT" | b"PATCH") => {
            Framing::Length(0)
        }
        length => Framing::of(length),
    };
    x.up.clear();
    x.up_written = 0;
    x.up_broken = false;
    x.upload_waited = !x.request_done();
    if let Some(name) = x.back.as_ref().and_then(|back| back.name_header.as_deref())
        && let Some(server) = &x.txn.server
    {
        x.txn.request.set(name, server.name.as_bytes());
    }
    x.keeps_body = may_replay(x);
    if typed::begin_request(x, framing).is_none() {
        write_request_head(&mut x.up, &x.txn.request, framing, persistence);
    }
    x.chunks_up = x.facts.body == BodyLength::Chunked && !typed::is_to_http2(x);
    if x.facts.body != BodyLength::None {
        push_kept(x);
    }
    c.entry.set_stage(SessionStage::Response);
    let timeouts = &c.front.timeouts;
    let waits_for = if x.request_done() {
        x.back.as_ref().and_then(|back| back.timeouts.server)
    } else {
        timeouts.client
    };
    c.timer.set(x.txn.timings.connected_us, waits_for);
}

/// Frames what is kept of the body behind the head.
fn push_kept(x: &mut Exchange) {
    if !x.chunks_up {
        x.up.extend_from_slice(&x.txn.body);
        return;
    }
    push_chunk(&mut x.up, &x.txn.body);
    if x.request_done() {
        x.settle_trailers();
        end_chunks_with(&mut x.up, &x.request_trailers);
    }
}

/// Whether the request may be sent again after it was sent, if it is kept until then.
fn may_replay(x: &Exchange) -> bool {
    let wanted = x
        .back
        .as_ref()
        .is_some_and(|back| back.retry_on.replays() && x.txn.retries < back.retries);
    wanted && !x.txn.no_replay && !x.body_consumed
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

fn poll_response_head(
    c: &mut Connection,
    x: &mut Exchange,
    unread: &mut bool,
    context: &mut Context<'_>,
) -> Poll<Result<ResponseFacts, Broken>> {
    loop {
        let mut progress = false;
        match poll_upload(c, x, context) {
            Poll::Ready(Ok(moved)) => progress |= moved,
            Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
            Poll::Pending => {}
        }
        if let Some(said) = typed::poll_response(c, x, context) {
            return match said {
                Poll::Pending if progress => continue,
                said => said,
            };
        }
        let Some(server) = &mut x.server else {
            return Poll::Ready(Err(Broken::Server { received: false }));
        };
        let received = if std::mem::take(unread) {
            Poll::Ready(Ok(server.input.data().len()))
        } else {
            server.stream.poll_read(context, &mut server.input)
        };
        match received {
            Poll::Ready(Ok(count)) if count > 0 => {
                let bytes = server.input.data();
                let (to_head, to_connect) = (x.facts.is_head, x.facts.is_connect);
                let (limits, head) = (c.app.limits, &mut x.txn.response);
                let mut parsed = parse_response(bytes, limits, to_head, to_connect, head);
                if let (Err(refusal), Some(back)) = (&parsed, &x.back)
                    && back.accepts_invalid
                {
                    let refusal = *refusal;
                    parsed =
                        relaxed::parse_response(bytes, limits, to_head, to_connect, head, refusal)
                            .map(|(parsed, odd)| {
                                if let Parsed::Complete { length, .. } = parsed {
                                    capture(
                                        c,
                                        x.txn.server.as_deref(),
                                        back,
                                        odd,
                                        &bytes[..length],
                                    );
                                }
                                parsed
                            });
                }
                match parsed {
                    // A change of protocol that nobody asked for would let the server speak past all rules.
                    Ok(Parsed::Complete { .. })
                        if x.txn.response.status() == 101 && !x.facts.upgrade =>
                    {
                        return Poll::Ready(Err(Broken::Answer(ParseError {
                            reason: "101 without a request for it",
                            position: 0,
                        })));
                    }
                    // RFC 8441 5: to a client of HTTP/2 this success would open the tunnel that the server has not opened.
                    Ok(Parsed::Complete { .. })
                        if x.facts.upgrade
                            && (matches!(x.txn.response.status(), 200..300)
                                && c.client.http2().is_some()
                                || x.txn.response.status() == 101
                                    && !typed::is_switch_proven(&mut c.client, &x.txn)) =>
                    {
                        return Poll::Ready(Err(Broken::Answer(ParseError {
                            reason: "not a WebSocket's change of protocol",
                            position: 0,
                        })));
                    }
                    Ok(Parsed::Complete { length, facts }) => {
                        server.input.consume(length);
                        return Poll::Ready(Ok(facts));
                    }
                    Ok(Parsed::Partial) => progress = true,
                    Err(error) => return Poll::Ready(Err(Broken::Answer(error))),
                }
            }
            Poll::Ready(_) => {
                return Poll::Ready(Err(Broken::Server {
                    received: !server.input.is_empty(),
                }));
            }
            Poll::Pending => {}
        }
        if !progress {
            if let Some(server) = &mut x.server {
                // Many requests may wait for their answers.
                server.input.release_if_empty();
            }
            return poll_left(c, x, context).map(|left| Err(Broken::Left(left)));
        }
    }
}

/// Whether the client has left while nothing is wanted of it any more.
pub(super) fn poll_left(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Poll<Left> {
    if !x.request_done() {
        return Poll::Pending;
    }
    let heeds_end = leave::heeds_end(x);
    x.watch
        .poll(&mut c.client, &mut c.input, heeds_end, context)
}

/// Moves the request on: what is framed goes to the server, then more of the body is taken from the client.
/// Ready(true) after progress, Ready(false) when there is nothing to do.
pub(super) fn poll_upload(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Poll<Result<bool, Broken>> {
    if x.up_broken {
        return Poll::Ready(Ok(false));
    }
    let is_begun = x.up.is_empty() && goes_directly(x);
    if !x.request_done() && x.up_written == 0 && !is_begun {
        // What is here of the body goes out with the head.
        take_body(c, x)?;
    }
    let mut progress = false;
    if typed::end_request(x) || x.up_written < x.up.len() {
        let Some(server) = &mut x.server else {
            return Poll::Ready(Ok(false));
        };
        match poll_write_all(&mut server.stream, context, &x.up, &mut x.up_written) {
            Poll::Ready(Ok(())) => progress = true,
            Poll::Ready(Err(_)) => {
                // The server may have answered before it closed: its answer is read all the same.
                x.up_broken = true;
                return Poll::Ready(Ok(true));
            }
            Poll::Pending => {
                x.upload_waited = true;
                return Poll::Pending;
            }
        }
        // At the first try the time limit has just been set; it starts anew when sending took longer.
        if x.request_done() && x.upload_waited {
            c.timer.set(
                c.now_us(),
                x.back.as_ref().and_then(|back| back.timeouts.server),
            );
        }
    }
    if x.request_done() {
        return Poll::Ready(Ok(progress));
    }
    x.upload_waited = true;
    x.up.clear();
    x.up_written = 0;
    if let Some(moved) = poll_splice(c, x, context) {
        return moved;
    }
    if let Some(moved) = poll_direct(c, x, context) {
        return moved;
    }
    if c.input.is_empty() {
        let is_large = x.request_body.remaining_hint() > LARGE_BODY || x.full_reads > 0;
        if is_large && c.input.capacity() > 0 {
            c.input.enlarge();
        }
        match c.client.poll_read(context, &mut c.input) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(Ok(_)) if x.request_body.ends_with_connection() => {
                end_body(c, x);
                return Poll::Ready(Ok(true));
            }
            Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
            Poll::Pending => {
                c.input.release_if_empty();
                return if progress {
                    Poll::Ready(Ok(true))
                } else {
                    Poll::Pending
                };
            }
        }
        c.timer.set(c.now_us(), c.front.timeouts.client);
        // Chunks tell little of what follows them; a full buffer does.
        x.full_reads += u32::from(c.input.is_full());
        if goes_directly(x) {
            return Poll::Ready(Ok(true));
        }
    }
    take_body(c, x)?;
    if x.up.is_empty() && !x.request_done() {
        // Half a chunk's size line: more bytes are needed behind it.
        return match c.client.poll_read(context, &mut c.input) {
            Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(true)),
            Poll::Ready(_) => Poll::Ready(Err(Broken::Client)),
            Poll::Pending => Poll::Pending,
        };
    }
    Poll::Ready(Ok(true))
}

/// The rest of a request whose answer is complete already: to the server while it takes it, else into the void, so that the
/// client's connection can go on.
pub(super) async fn finish(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let is_sent = x.request_done() && x.up_written == x.up.len() && x.up_splice.held() == 0;
    // A stream of HTTP/2 is cut off without harm to the connection.
    if is_sent || c.client.http2().is_some() {
        return Ok(());
    }
    let mut drained = 0;
    c.timer.set(c.now_us(), c.front.timeouts.client);
    let outcome = c
        .wait(|c, context| {
            loop {
                let moved = if x.up_broken {
                    poll_discard(c, x, &mut drained, context)
                } else {
                    poll_upload(c, x, context)
                };
                match moved {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Broken::Body)) => Err(Termination::new(Cause::Client, Stage::Request)),
        Ok(Err(_)) => Err(Termination::new(Cause::Client, Stage::Data)),
        Err(interrupt) => Err(interrupt.end(Cause::ClientTimeout, Stage::Data)),
    }
}

/// Reads the rest of a body that nobody wants. Ready(false) when there is no more, or too much.
fn poll_discard(
    c: &mut Connection,
    x: &mut Exchange,
    drained: &mut usize,
    context: &mut Context<'_>,
) -> Poll<Result<bool, Broken>> {
    x.up.clear();
    x.up_written = 0;
    take_body(c, x)?;
    if x.request_done() || *drained > MAX_DRAINED {
        x.up.clear();
        return Poll::Ready(Ok(false));
    }
    match c.client.poll_read(context, &mut c.input) {
        Poll::Ready(Ok(count)) if count > 0 => {
            *drained += count;
            Poll::Ready(Ok(true))
        }
        Poll::Ready(_) => Poll::Ready(Err(Broken::Client)),
        Poll::Pending => Poll::Pending,
    }
}

/// Moves a large body of a known length on without copying it; `None` where it has to be copied.
fn poll_splice(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Option<Poll<Result<bool, Broken>>> {
    let server = x.server.as_mut()?;
    if x.up_splice.held() == 0 {
        let remaining = x.request_body.remaining_hint();
        let is_large = matches!(x.facts.body, BodyLength::Bytes(_)) && remaining > LARGE_BODY;
        if !is_large || !c.input.is_empty() || !x.up_splice.begin(&c.client, &server.stream) {
            return None;
        }
        c.input.release_if_empty();
        match x.up_splice.poll_fill(&c.client, context, remaining) {
            Poll::Ready(Ok(count)) if count > 0 => {
                x.request_body.skip(count as u64);
                x.txn.bytes_in += count as u64;
                x.body_consumed = true;
                c.timer.set(c.now_us(), c.front.timeouts.client);
            }
            Poll::Ready(_) => return Some(Poll::Ready(Err(Broken::Client))),
            Poll::Pending => return Some(Poll::Pending),
        }
    }
    let mut moved = 0;
    match x.up_splice.poll_drain(&server.stream, context, &mut moved) {
        Poll::Ready(Ok(())) => {}
        // The server may have answered before it closed: its answer is read all the same.
        Poll::Ready(Err(_)) => {
            x.up_broken = true;
            x.up_splice.end();
        }
        Poll::Pending => return Some(Poll::Pending),
    }
    if x.request_done() {
        let wait = x.back.as_ref().and_then(|back| back.timeouts.server);
        c.timer.set(c.now_us(), wait);
    }
    Some(Poll::Ready(Ok(true)))
}

/// Whether the body goes to the server from the buffer that it was read into. TLS holds back what is written, and HTTP/2 has
/// frames: both want to be told of the end with the last bytes.
fn goes_directly(x: &Exchange) -> bool {
    matches!(x.facts.body, BodyLength::Bytes(_))
        && !x.keeps_body
        && x.request_body.remaining_hint() > 0
        && x.server
            .as_ref()
            .is_some_and(|server| matches!(server.stream, Stream::Tcp(_) | Stream::Unix(_)))
}

/// Writes what the client's buffer holds of a body of a known length; `None` where there is nothing or it has to be framed.
fn poll_direct(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Option<Poll<Result<bool, Broken>>> {
    if c.input.is_empty() || !goes_directly(x) {
        return None;
    }
    let server = x.server.as_mut()?;
    loop {
        let data = c.input.data();
        let left = usize::try_from(x.request_body.remaining_hint()).unwrap_or(usize::MAX);
        let data = &data[..data.len().min(left)];
        if data.is_empty() {
            break;
        }
        match server.stream.poll_write(context, data) {
            Poll::Ready(Ok(count)) if count > 0 => {
                c.input.consume(count);
                x.request_body.skip(count as u64);
                x.txn.bytes_in += count as u64;
                x.body_consumed = true;
            }
            // The server may have answered before it closed: its answer is read all the same.
            Poll::Ready(_) => {
                x.up_broken = true;
                break;
            }
            Poll::Pending => return Some(Poll::Pending),
        }
    }
    if x.request_body.ends_with_connection()
        && c.client.http2().is_some_and(|stream| stream.is_at_end())
    {
        end_body(c, x);
    }
    if x.request_done() {
        let wait = x.back.as_ref().and_then(|back| back.timeouts.server);
        c.timer.set(c.now_us(), wait);
    }
    Some(Poll::Ready(Ok(true)))
}

/// Frames what the client's buffer holds of the body for the server.
fn take_body(c: &mut Connection, x: &mut Exchange) -> Result<(), Broken> {
    loop {
        let (used, data) = x
            .request_body
            .decode_with_trailers(c.input.data(), &mut x.request_trailers)
            .map_err(|_| Broken::Body)?;
        let bytes = &c.input.data()[data];
        if x.chunks_up {
            push_chunk(&mut x.up, bytes);
        } else {
            x.up.extend_from_slice(bytes);
        }
        if x.keeps_body && bytes.len() <= body::room(c, x) {
            x.txn.body.extend_from_slice(bytes);
        } else {
            x.keeps_body = false;
            x.body_consumed |= used > 0;
        }
        x.txn.bytes_in += used as u64;
        c.input.consume(used);
        if x.request_body.is_done() {
            if x.chunks_up {
                x.settle_trailers();
                end_chunks_with(&mut x.up, &x.request_trailers);
            }
            return Ok(());
        }
        if used == 0 {
            // The last data of a stream of HTTP/2 leaves with its end.
            if x.request_body.ends_with_connection()
                && c.client.http2().is_some_and(|stream| stream.is_at_end())
            {
                end_body(c, x);
            }
            return Ok(());
        }
    }
}

/// The client's stream of HTTP/2 has ended, and the body with it.
fn end_body(c: &mut Connection, x: &mut Exchange) {
    body::end_of_stream(c, x);
    if x.chunks_up {
        x.settle_trailers();
        end_chunks_with(&mut x.up, &x.request_trailers);
    }
}

/// What a failure before the answer's head means: another try, or the end.
fn failed(c: &mut Connection, x: &mut Exchange, broken: Broken) -> Failure {
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

fn timed_out(x: &mut Exchange, end: Termination) -> Failure {
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
fn replay(x: &mut Exchange, has: impl Fn(&RetryOn) -> bool) -> bool {
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

pub(super) fn count_response_error(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.response_errors.increment();
        server.counters.response_errors.increment();
    }
}

pub(super) fn count_client_abort(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.client_aborts.increment();
        server.counters.client_aborts.increment();
    }
}

/// Keeps an answer that breaks the rules for `show errors`.
fn capture(
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
