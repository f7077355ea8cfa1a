//! A request's body on its way to the server: framed, straight from the buffer it was read into, or moved without a copy.

use std::task::{Context, Poll};

use super::failure::Broken;
use super::{Connection, Exchange, LARGE_BODY, body, typed};
use crate::http1::{BodyLength, end_chunks_with, push_chunk};
use crate::net::{Stream, poll_write_all};
use crate::txn::{Cause, Stage, Termination};

/// Most bytes of a request's body that are read after a server has answered without wanting them.
const MAX_DRAINED: usize = 256 << 10;

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
pub(super) fn goes_directly(x: &Exchange) -> bool {
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
