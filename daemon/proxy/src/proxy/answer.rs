//! The answer back to the client: its head with the first bytes of the body in one write, large buffers for the rest.

use std::task::{Context, Poll};

use config::haproxy::ConnectionMode;

use super::failure::count_response_error;
use super::leave::{Left, count_client_abort, poll_left};
use super::request_body::{self, poll_upload};
use super::{Connection, Exchange, LARGE_BODY, log_early, typed};
use crate::app::SessionStage;
use crate::http1::{
    BodyDecoder, BodyLength, ClientPersistence, Framing, ResponseFacts, end_chunks,
    end_chunks_with, push_chunk, write_response_head,
};
use crate::net::{Splice, poll_write_all};
use crate::server::{is_private, is_worn_out, put_idle};
use crate::txn::{Cause, Stage, Termination};

/// The state of an answer on its way to the client.
struct Relay {
    body: BodyDecoder,
    chunked: bool,
    /// Bytes in front of the server's buffer that are data and go out as they are.
    direct: usize,
    /// Data that is moved without being copied; once begun, to the end of the body.
    splice: Splice,
    splices: bool,
    /// Whether a read of chunks has filled its buffer: more will follow.
    is_bulk: bool,
    ended: bool,
    /// Whether the client is what is waited for.
    client_blocks: bool,
    /// What the client had taken when the time for taking more began.
    blocked_at: Option<u64>,
}

/// Sends the answer to the client, and returns the server's connection to the pool.
pub(super) async fn forward(
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
        // The end of the stream says it.
        BodyLength::Chunked | BodyLength::Close if c.client.http2().is_some() => Framing::Close,
        BodyLength::Chunked | BodyLength::Close if minor == 1 => Framing::Chunked,
        BodyLength::Chunked | BodyLength::Close => Framing::Close,
    };
    x.keep_client = x.facts.keep_alive && framing != Framing::Close && may_keep_client(c, x);
    begin_answer(c, x, framing);
    x.txn.status = status;
    log_early(c, &mut x.txn, x.down.len() as u64);
    c.entry.set_stage(SessionStage::Data);
    let mut relay = Relay {
        body: typed::answer_body(x, facts.body),
        chunked: framing == Framing::Chunked,
        direct: 0,
        splice: Splice::default(),
        splices: false,
        is_bulk: false,
        ended: facts.body == BodyLength::None,
        client_blocks: false,
        blocked_at: None,
    };
    if framing == Framing::Chunked && relay.ended {
        end_chunks(&mut x.down);
    }
    c.timer.set(
        x.txn.timings.response_us,
        x.back.as_ref().and_then(|back| back.timeouts.server),
    );
    let outcome = c
        .wait(|c, context| {
            let polled = poll_answer(c, x, &mut relay, context);
            if polled.is_pending() {
                limit_wait(c, x, &mut relay);
            }
            polled
        })
        .await;
    let end = match outcome {
        Ok(Ok(())) => {
            let uploaded = request_body::finish(c, x).await;
            release_server(c, x, facts.keep_alive);
            if let Err(end) = uploaded {
                count_client_abort(x);
                x.keep_client = false;
                return Err(end);
            }
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

/// Whoever is waited for has the time of its side: the client from when it took something last.
fn limit_wait(c: &mut Connection, x: &Exchange, relay: &mut Relay) {
    if relay.client_blocks {
        if relay.blocked_at != Some(x.txn.bytes_out) {
            relay.blocked_at = Some(x.txn.bytes_out);
            c.timer.set(c.now_us(), c.front.timeouts.client);
        }
    } else if relay.blocked_at.take().is_some() {
        let wait = x.back.as_ref().and_then(|back| back.timeouts.server);
        c.timer.set(c.now_us(), wait);
    }
}

fn may_keep_client(c: &Connection, x: &Exchange) -> bool {
    let back_mode = x
        .back
        .as_ref()
        .map_or(ConnectionMode::KeepAlive, |back| back.connection_mode);
    ![back_mode, c.front.connection_mode].contains(&ConnectionMode::Close) && !c.is_draining()
}

/// Writes the answer's head into `down`.
pub(super) fn begin_answer(c: &mut Connection, x: &mut Exchange, framing: Framing) {
    if typed::begin_answer(c, x, framing) {
        return;
    }
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
        while !(x.up_broken
            || (x.request_done() && x.up_written == x.up.len() && !typed::end_request(x)))
        {
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
            end_stream(c, x, relay);
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
        if relay.splice.held() > 0 {
            match relay
                .splice
                .poll_drain(&c.client, context, &mut x.txn.bytes_out)
            {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(client_gone)),
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
            end_stream(c, x, relay);
            if relay.ended || relay.direct > 0 || !x.down.is_empty() {
                continue;
            }
        }
        let Some(server) = &mut x.server else {
            return Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)));
        };
        relay.client_blocks = false;
        let remaining = relay.body.remaining_hint();
        let is_large = server.input.is_empty() && (remaining > LARGE_BODY || relay.splices);
        relay.splices = is_large && !relay.chunked && relay.splice.begin(&server.stream, &c.client);
        let received = if relay.splices {
            server.input.release_if_empty();
            let received = relay.splice.poll_fill(&server.stream, context, remaining);
            if let Poll::Ready(Ok(count)) = &received {
                relay.body.skip(*count as u64);
                relay.ended = relay.body.is_done();
            }
            received
        } else {
            if is_large || relay.is_bulk && server.input.is_empty() {
                server.input.enlarge();
            }
            let received = server.stream.poll_read(context, &mut server.input);
            relay.is_bulk |= server.input.is_full();
            received
        };
        match received {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(Ok(_)) if relay.body.ends_with_connection() => {
                relay.ended = true;
                x.down.clear();
                x.down_written = 0;
                typed::take_answer_trailers(x);
                if relay.chunked {
                    x.settle_trailers();
                    end_chunks_with(&mut x.down, &x.response_trailers);
                }
                end_stream(c, x, relay);
                continue;
            }
            Poll::Ready(_) => {
                return Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)));
            }
            // Once an answer is on its way, the end of the client's direction is no reason to cut it.
            Poll::Pending => {
                server.input.release_if_empty();
                return match poll_left(c, x, context) {
                    Poll::Ready(Left::Reset) => Poll::Ready(Err(client_gone)),
                    _ => Poll::Pending,
                };
            }
        }
        let now_us = c.app.shared.clock.now_us();
        c.timer.set(
            now_us,
            x.back.as_ref().and_then(|back| back.timeouts.server),
        );
        c.entry.touch(now_us);
        x.down.clear();
        x.down_written = 0;
        if !relay.splices {
            fill(x, relay)?;
        }
        end_stream(c, x, relay);
    }
}

/// Tells a client's stream of HTTP/2 that what is about to be written is all.
fn end_stream(c: &mut Connection, x: &mut Exchange, relay: &Relay) {
    if relay.ended
        && let Some(stream) = c.client.http2()
    {
        x.settle_trailers();
        stream.end_with_next_write(&x.response_trailers);
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
            .decode_with_trailers(server.input.data(), &mut x.response_trailers)
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
                if x.drops_response_trailers {
                    x.response_trailers.clear();
                }
                end_chunks_with(&mut x.down, &x.response_trailers);
            }
        }
        if used == 0 || relay.direct > 0 {
            break;
        }
    }
    // The last data of a server's stream of HTTP/2 leaves with its end.
    if !relay.ended && relay.body.ends_with_connection() && typed::is_answer_over(x) {
        relay.ended = true;
        if relay.chunked {
            end_chunks(&mut x.down);
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
    if is_private(back.reuse, &server.config) {
        if x.txn.told_addresses.is_some() || is_worn_out(server, connection.reuses) {
            return;
        }
        c.private = x
            .runtime
            .clone()
            .map(|runtime| Box::new((runtime, connection)));
        return;
    }
    // This moment is the transaction's end too.
    x.txn.timings.end_us = c.now_us();
    if let Some(runtime) = &x.runtime {
        put_idle(
            runtime.index,
            &runtime.server,
            connection,
            x.txn.timings.end_us,
        );
    }
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
    if !typed::begin_answer(c, x, Framing::None) {
        x.down.clear();
        x.down_written = 0;
        write_response_head(&mut x.down, &x.txn.response, Framing::None, persistence);
    }
    x.answered = true;
    write_down(c, x).await?;
    log_early(c, &mut x.txn, 0);
    let Some(back) = x.back.clone() else {
        return Ok(());
    };
    let Some(mut server) = x.server.take() else {
        return Ok(());
    };
    // A tunnel's end is the only end of what it carried.
    server.resets = false;
    c.entry.set_stage(SessionStage::Tunnel);
    crate::tcp::relay(c, &mut x.txn, &mut server, &back).await
}
