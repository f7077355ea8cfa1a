//! The request to the server and the answer back: one write for a head with what is there of its body, large buffers for the rest.

use std::task::{Context, Poll};
use std::time::Duration;

use config::haproxy::{ConnectionMode, HttpReuse};
use protocol::worker::{ErrorCapture, MAX_CAPTURE_BYTES};

use super::{Connection, Exchange};
use crate::app::SessionStage;
use crate::http1::{
    BodyDecoder, BodyLength, ClientPersistence, Framing, ParseError, Parsed, ResponseFacts,
    end_chunks, parse_response, push_chunk, write_request_head, write_response_head,
};
use crate::net::{Stream, poll_write_all};
use crate::server::put_idle;
use crate::txn::{Cause, Stage, Termination};

/// A body longer than this is moved in large buffers.
const LARGE_BODY: u64 = 32 << 10;
/// How long a closed client may take to read what was sent, and how much of its own is drained meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const MAX_DRAINED: usize = 256 << 10;

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection was dead before the server can have seen the request: try another.
    Retry,
    /// It is over.
    End(Termination),
}

/// Sends the request and receives the head of its final answer. Interim answers are passed on.
pub(super) async fn request(
    c: &mut Connection,
    x: &mut Exchange,
) -> Result<ResponseFacts, Failure> {
    begin_request(c, x);
    // Whether the server's buffer holds bytes that came with an interim answer and were not looked at yet.
    let mut unread = false;
    loop {
        let outcome = c
            .wait(|c, context| poll_response_head(c, x, &mut unread, context))
            .await;
        let facts = match outcome {
            Ok(Ok(facts)) => facts,
            Ok(Err(failure)) => return Err(failed(c, x, failure)),
            Err(interrupt) => {
                let waiting_for_client =
                    !x.request_done() && !x.up_broken && x.up_written == x.up.len();
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
            x.txn.timings.response_us = c.now_us();
            return Ok(facts);
        }
        // RFC 9110 15.2: interim answers are passed on; a client of HTTP/1.0 does not know them.
        if x.txn.request.minor_version() == 1 {
            x.down.clear();
            x.down_written = 0;
            write_response_head(
                &mut x.down,
                &x.txn.response,
                Framing::None,
                ClientPersistence::Silent,
            );
            write_down(c, x).await.map_err(Failure::End)?;
        }
        unread = x
            .server
            .as_ref()
            .is_some_and(|server| !server.input.is_empty());
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
    write_request_head(&mut x.up, &x.txn.request, framing, persistence);
    c.entry.set_stage(SessionStage::Response);
    let timeouts = &c.front.timeouts;
    let waits_for = if x.request_done() {
        x.back.as_ref().and_then(|back| back.timeouts.server)
    } else {
        timeouts.client
    };
    c.timer.set(x.txn.timings.connected_us, waits_for);
}

/// What went wrong before an answer's head was there.
enum Broken {
    /// The server ended or reset the connection; whether a byte of an answer had come.
    Server { received: bool },
    /// The answer breaks the rules.
    Answer(ParseError),
    /// The client went away while its body was wanted.
    Client,
    /// The client's body breaks its framing.
    Body,
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
                match parse_response(
                    server.input.data(),
                    c.app.limits,
                    x.facts.is_head,
                    x.facts.is_connect,
                    &mut x.txn.response,
                ) {
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
            return Poll::Pending;
        }
    }
}

/// Moves the request on: what is framed goes to the server, then more of the body is taken from the client.
/// Ready(true) after progress, Ready(false) when there is nothing to do.
fn poll_upload(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Poll<Result<bool, Broken>> {
    if x.up_broken {
        return Poll::Ready(Ok(false));
    }
    if !x.request_done() && x.up_written == 0 {
        // What is here of the body goes out with the head.
        take_body(c, x)?;
    }
    let mut progress = false;
    if x.up_written < x.up.len() {
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
    if c.input.is_empty() {
        if x.request_body.remaining_hint() > LARGE_BODY && c.input.capacity() > 0 {
            c.input.enlarge();
        }
        match c.client.poll_read(context, &mut c.input) {
            Poll::Ready(Ok(count)) if count > 0 => {}
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

/// Frames what the client's buffer holds of the body for the server.
fn take_body(c: &mut Connection, x: &mut Exchange) -> Result<(), Broken> {
    loop {
        let (used, data) = x
            .request_body
            .decode(c.input.data())
            .map_err(|_| Broken::Body)?;
        let bytes = &c.input.data()[data];
        match x.facts.body {
            BodyLength::Chunked => push_chunk(&mut x.up, bytes),
            _ => x.up.extend_from_slice(bytes),
        }
        x.txn.bytes_in += used as u64;
        x.body_consumed |= used > 0;
        c.input.consume(used);
        if x.request_body.is_done() {
            if x.facts.body == BodyLength::Chunked {
                end_chunks(&mut x.up);
            }
            return Ok(());
        }
        if used == 0 {
            return Ok(());
        }
    }
}

/// What a failure before the answer's head means: another try, or the end.
fn failed(c: &mut Connection, x: &mut Exchange, broken: Broken) -> Failure {
    let replayable = !x.body_consumed;
    let Some(back) = x.back.clone() else {
        return Failure::End(Termination::new(Cause::Internal, Stage::Headers));
    };
    let server = x.txn.server.clone();
    let connection = x.server.take();
    match broken {
        Broken::Server { received: false }
            if replayable
                && connection
                    .as_ref()
                    .is_some_and(|connection| connection.reused) =>
        {
            // It was closed while it was kept: that says nothing about the server.
            x.may_reuse = false;
            Failure::Retry
        }
        Broken::Server { received: false }
            if replayable && back.retry_empty_response && x.txn.retries < back.retries =>
        {
            count_retry(x);
            Failure::Retry
        }
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
            Failure::End(Termination::new(Cause::Proxy, Stage::Headers))
        }
        Broken::Client => {
            count_client_abort(x);
            Failure::End(Termination::new(Cause::Client, Stage::Data))
        }
        Broken::Body => {
            c.front.frontend.counters.request_errors.increment();
            Failure::End(Termination::new(Cause::Client, Stage::Request))
        }
    }
}

fn timed_out(x: &mut Exchange, end: Termination) -> Failure {
    if end.cause == Cause::ServerTimeout {
        count_response_error(x);
        let may_retry = x
            .back
            .as_ref()
            .is_some_and(|back| back.retry_response_timeout && x.txn.retries < back.retries);
        if may_retry && !x.body_consumed {
            x.server = None;
            count_retry(x);
            return Failure::Retry;
        }
    }
    x.server = None;
    Failure::End(end)
}

fn count_retry(x: &mut Exchange) {
    x.txn.retries += 1;
    x.may_reuse = false;
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.retries.increment();
        server.counters.retries.increment();
    }
}

fn count_response_error(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.response_errors.increment();
        server.counters.response_errors.increment();
    }
}

fn count_client_abort(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.client_aborts.increment();
        server.counters.client_aborts.increment();
    }
}

/// The state of an answer on its way to the client.
struct Relay {
    body: BodyDecoder,
    chunked: bool,
    /// Bytes in front of the server's buffer that are data and go out as they are.
    direct: usize,
    ended: bool,
    /// Whether the client is what is waited for.
    client_blocks: bool,
}

/// Sends the answer to the client, and returns the server's connection to the pool.
pub(super) async fn answer(
    c: &mut Connection,
    x: &mut Exchange,
    facts: ResponseFacts,
) -> Result<(), Termination> {
    let status = x.txn.response.status();
    if status == 101 || (x.facts.is_connect && (200..300).contains(&status)) {
        return tunnel(c, x).await;
    }
    let minor = x.txn.request.minor_version();
    let framing = match facts.body {
        BodyLength::None if x.facts.is_head || status == 304 => Framing::Described,
        BodyLength::None if status == 204 => Framing::None,
        BodyLength::None => Framing::Length(0),
        BodyLength::Bytes(count) => Framing::Length(count),
        BodyLength::Chunked | BodyLength::Close if minor == 1 => Framing::Chunked,
        BodyLength::Chunked | BodyLength::Close => Framing::Close,
    };
    x.keep_client = x.facts.keep_alive && framing != Framing::Close && may_keep_client(c, x);
    begin_answer(x, framing);
    x.txn.status = status;
    c.entry.set_stage(SessionStage::Data);
    let mut relay = Relay {
        body: BodyDecoder::new(facts.body),
        chunked: framing == Framing::Chunked,
        direct: 0,
        ended: facts.body == BodyLength::None,
        client_blocks: false,
    };
    if framing == Framing::Chunked && relay.ended {
        end_chunks(&mut x.down);
    }
    c.timer.set(
        x.txn.timings.response_us,
        x.back.as_ref().and_then(|back| back.timeouts.server),
    );
    let outcome = c
        .wait(|c, context| poll_answer(c, x, &mut relay, context))
        .await;
    let end = match outcome {
        Ok(Ok(())) => {
            release_server(c, x, facts.keep_alive);
            x.keep_client &= x.request_done();
            return Ok(());
        }
        Ok(Err(end)) => end,
        Err(interrupt) if relay.client_blocks => interrupt.end(Cause::ClientTimeout, Stage::Data),
        Err(interrupt) => interrupt.end(Cause::ServerTimeout, Stage::Data),
    };
    match end.cause {
        Cause::Client | Cause::ClientTimeout => count_client_abort(x),
        Cause::Server | Cause::ServerTimeout => {
            if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
                back.backend.counters.server_aborts.increment();
                server.counters.server_aborts.increment();
            }
            count_response_error(x);
        }
        _ => {}
    }
    // The client must not take what it got for the whole.
    x.keep_client = false;
    Err(end)
}

fn may_keep_client(c: &Connection, x: &Exchange) -> bool {
    let back_mode = x
        .back
        .as_ref()
        .map_or(ConnectionMode::KeepAlive, |back| back.connection_mode);
    ![back_mode, c.front.connection_mode].contains(&ConnectionMode::Close)
        && !c.is_draining()
        && !x.up_broken
}

/// Writes the answer's head into `down`.
pub(super) fn begin_answer(x: &mut Exchange, framing: Framing) {
    let persistence = match (x.keep_client, x.txn.request.minor_version()) {
        (true, 0) => ClientPersistence::KeepAlive,
        (true, _) => ClientPersistence::Silent,
        (false, _) => ClientPersistence::Close,
    };
    x.down.clear();
    x.down_written = 0;
    write_response_head(&mut x.down, &x.txn.response, framing, persistence);
}

fn poll_answer(
    c: &mut Connection,
    x: &mut Exchange,
    relay: &mut Relay,
    context: &mut Context<'_>,
) -> Poll<Result<(), Termination>> {
    let client_gone = Termination::new(Cause::Client, Stage::Data);
    loop {
        // The rest of the request, if the server answers before it has it all. Its failures show in the answer.
        while !(x.up_broken || (x.request_done() && x.up_written == x.up.len())) {
            match poll_upload(c, x, context) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) | Poll::Pending => break,
                Poll::Ready(Err(_)) => x.up_broken = true,
            }
        }
        relay.client_blocks = true;
        // A first part: what the server's buffer holds of the body goes out with the head.
        if x.down_written == 0 && !x.answered {
            fill(x, relay)?;
            x.answered = true;
        }
        if x.down_written < x.down.len() {
            let before = x.down_written;
            let outcome = poll_write_all(&mut c.client, context, &x.down, &mut x.down_written);
            x.txn.bytes_out += (x.down_written - before) as u64;
            match outcome {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(client_gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(server) = &mut x.server else {
            return Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)));
        };
        let went_directly = relay.direct > 0;
        while relay.direct > 0 {
            match c
                .client
                .poll_write(context, &server.input.data()[..relay.direct])
            {
                Poll::Ready(Ok(count)) if count > 0 => {
                    server.input.consume(count);
                    relay.direct -= count;
                    x.txn.bytes_out += count as u64;
                }
                Poll::Ready(_) => return Poll::Ready(Err(client_gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match c.client.poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(client_gone)),
            Poll::Pending => return Poll::Pending,
        }
        if relay.ended {
            return Poll::Ready(Ok(()));
        }
        if went_directly && !server.input.is_empty() {
            // Behind a chunk that went out as it was, the next may be here already.
            x.down.clear();
            x.down_written = 0;
            fill(x, relay)?;
            if relay.ended || relay.direct > 0 || !x.down.is_empty() {
                continue;
            }
        }
        let Some(server) = &mut x.server else {
            return Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)));
        };
        relay.client_blocks = false;
        if server.input.is_empty()
            && server.input.capacity() > 0
            && relay.body.remaining_hint() > LARGE_BODY
        {
            server.input.enlarge();
        }
        match server.stream.poll_read(context, &mut server.input) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(Ok(_)) if relay.body.ends_with_connection() => {
                relay.ended = true;
                x.down.clear();
                x.down_written = 0;
                if relay.chunked {
                    end_chunks(&mut x.down);
                }
                continue;
            }
            Poll::Ready(_) => {
                return Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)));
            }
            Poll::Pending => return Poll::Pending,
        }
        let now_us = c.app.shared.clock.now_us();
        c.timer.set(
            now_us,
            x.back.as_ref().and_then(|back| back.timeouts.server),
        );
        c.entry
            .active_ms
            .store(now_us / 1_000, std::sync::atomic::Ordering::Relaxed);
        x.down.clear();
        x.down_written = 0;
        fill(x, relay)?;
    }
}

/// Takes data from the server's buffer: framed into `down`, or left where it is to be written directly.
fn fill(x: &mut Exchange, relay: &mut Relay) -> Result<(), Termination> {
    let Some(server) = &mut x.server else {
        return Ok(());
    };
    while !relay.ended {
        let (used, data) = relay
            .body
            .decode(server.input.data())
            .map_err(|_| Termination::new(Cause::Proxy, Stage::Data))?;
        let is_whole = data.start == 0 && data.end == used;
        if relay.chunked {
            push_chunk(&mut x.down, &server.input.data()[data]);
            server.input.consume(used);
        } else if x.down.is_empty() && is_whole {
            relay.direct = used;
        } else {
            x.down.extend_from_slice(&server.input.data()[data]);
            server.input.consume(used);
        }
        if relay.body.is_done() {
            relay.ended = true;
            if relay.chunked {
                end_chunks(&mut x.down);
            }
        }
        if used == 0 || relay.direct > 0 {
            break;
        }
    }
    Ok(())
}

/// The answer is complete: the server's connection goes to the pool if it may, and our place at the server is free.
fn release_server(c: &mut Connection, x: &mut Exchange, keep_alive: bool) {
    let Some(connection) = x.server.take() else {
        return;
    };
    let (Some(back), Some(server)) = (&x.back, &x.txn.server) else {
        return;
    };
    let modes = [back.connection_mode, c.front.connection_mode];
    let keeps = keep_alive
        && modes.iter().all(|mode| *mode == ConnectionMode::KeepAlive)
        && x.request_done()
        && !x.up_broken
        && connection.input.is_empty()
        && !c.is_draining();
    if !keeps {
        return;
    }
    if back.reuse == HttpReuse::Never {
        c.private = Some((x.server_index, connection));
        return;
    }
    // This moment is the transaction's end too.
    x.txn.timings.end_us = c.now_us();
    put_idle(x.server_index, server, connection, x.txn.timings.end_us);
}

/// Writes `down` to the client.
pub(super) async fn write_down(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let before = x.down_written;
    let outcome = c
        .wait(|c, context| poll_write_all(&mut c.client, context, &x.down, &mut x.down_written))
        .await;
    x.txn.bytes_out += (x.down_written - before) as u64;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Termination::new(Cause::Client, Stage::Headers)),
        Err(interrupt) => Err(interrupt.end(Cause::ClientTimeout, Stage::Headers)),
    }
}

/// The connection changes its protocol: the head as it came, then bytes both ways.
async fn tunnel(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    x.keep_client = false;
    x.txn.status = x.txn.response.status();
    let persistence = if x.txn.status == 101 {
        ClientPersistence::Upgrade
    } else {
        ClientPersistence::Silent
    };
    x.down.clear();
    x.down_written = 0;
    write_response_head(&mut x.down, &x.txn.response, Framing::None, persistence);
    x.answered = true;
    write_down(c, x).await?;
    let Some(back) = x.back.clone() else {
        return Ok(());
    };
    let Some(mut server) = x.server.take() else {
        return Ok(());
    };
    c.entry.set_stage(SessionStage::Tunnel);
    crate::tcp::relay(c, &mut x.txn, &mut server, &back).await
}

/// Ends a client's connection so that it can read what was sent: our direction first, then what it still sends is drained.
pub(super) async fn close(c: &mut Connection) {
    let is_plain = matches!(c.client, Stream::Tcp(_) | Stream::Unix(_));
    if c.is_gone || (is_plain && !c.lingers) {
        return;
    }
    c.timer.set(c.now_us(), Some(LINGER));
    // Nothing can be done about a connection that cannot even be closed.
    if !matches!(
        c.wait(|c, context| c.client.poll_shutdown(context)).await,
        Ok(Ok(()))
    ) {
        return;
    }
    if !c.lingers {
        return;
    }
    let mut drained = 0;
    while drained < MAX_DRAINED {
        let count = c.input.len();
        c.input.consume(count);
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(count)) if count > 0 => drained += count,
            _ => return,
        }
    }
}
