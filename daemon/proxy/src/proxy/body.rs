//! A request's body that is read before rules and servers see the request: `option http-buffer-request`, `http-request
//! wait-for-body`. What is read lies in the transaction, where fetches find it, and is sent from there, as often as it takes.

use std::task::{Context, Poll};
use std::time::Duration;

use super::failure::Broken;
use super::{Connection, Exchange, answer, typed};
use crate::http1::{ClientPersistence, Framing, write_response_head};
use crate::txn::{Cause, Stage, Termination};

/// Most bytes of a body that are kept beside its head: together they fill what a head may fill (`tune.bufsize` less
/// `tune.maxrewrite`). The last read may go beyond it by a buffer.
pub(super) fn room(c: &Connection, x: &Exchange) -> usize {
    let taken = x.txn.request.bytes().len() + x.txn.body.len();
    c.app.limits.head_bytes.saturating_sub(taken)
}

/// `option http-buffer-request`: the whole body, or as much as there is room for, in the time of a request.
pub(super) async fn wait_for_all(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let within = c.front.timeouts.http_request.or(c.front.timeouts.client);
    wait(c, x, within, 0).await
}

/// Reads the body until it is whole, `at_least` bytes of it are here (0: all), or it fills its room.
///
/// # Errors
/// The client leaves, breaks its framing, or `within` passes.
pub(super) async fn wait(
    c: &mut Connection,
    x: &mut Exchange,
    within: Option<Duration>,
    at_least: u64,
) -> Result<(), Termination> {
    if x.request_done() {
        return Ok(());
    }
    invite(c, x).await?;
    c.timer.set(c.now_us(), within);
    let outcome = c
        .wait(|c, context| poll_body(c, x, at_least, context))
        .await;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(broken)) => {
            c.front.frontend.counters.request_errors.increment();
            // Who is gone is told nothing.
            x.answered = matches!(broken, Broken::Client);
            Err(Termination::new(Cause::Client, Stage::Request))
        }
        Err(interrupt) => {
            // As haproxy has it, and unlike what the manual says of `wait-for-body`: the request is not whole in time.
            x.txn.timings.request_us = 0;
            Err(interrupt.end(Cause::ClientTimeout, Stage::Request))
        }
    }
}

/// A client that waits for `100 Continue` gets it from us, for no server is asked yet (RFC 9110 10.1.1).
async fn invite(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    if !x.facts.expects_continue {
        return Ok(());
    }
    x.facts.expects_continue = false;
    x.txn.request.remove(b"expect");
    if !c.input.is_empty() {
        return Ok(());
    }
    x.txn.response.start_response(100, b"Continue", 1);
    if typed::interim(c, x) {
        return Ok(());
    }
    x.down.clear();
    x.down_written = 0;
    let silent = ClientPersistence::Silent;
    write_response_head(&mut x.down, &x.txn.response, Framing::None, silent);
    c.timer.set(c.now_us(), c.front.timeouts.client);
    answer::write_down(c, x).await
}

fn poll_body(
    c: &mut Connection,
    x: &mut Exchange,
    at_least: u64,
    context: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    loop {
        keep(c, x)?;
        let is_enough = at_least > 0 && x.txn.body.len() as u64 >= at_least;
        if x.request_done() || is_enough || room(c, x) == 0 {
            return Poll::Ready(Ok(()));
        }
        match c.client.poll_read(context, &mut c.input) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(Ok(_)) if x.request_body.ends_with_connection() => end_of_stream(c, x),
            Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Moves what the client's buffer holds of the body into the transaction.
fn keep(c: &mut Connection, x: &mut Exchange) -> Result<(), Broken> {
    loop {
        let (used, data) = x
            .request_body
            .decode_with_trailers(c.input.data(), &mut x.request_trailers)
            .map_err(|_| Broken::Body)?;
        x.txn.body.extend_from_slice(&c.input.data()[data]);
        x.txn.bytes_in += used as u64;
        c.input.consume(used);
        if used == 0 || x.request_body.is_done() {
            let at_end = c.client.http2().is_some_and(|stream| stream.is_at_end());
            if x.request_body.ends_with_connection() && at_end {
                end_of_stream(c, x);
            }
            return Ok(());
        }
    }
}

/// The client's stream of HTTP/2 has ended, and the body with it.
pub(super) fn end_of_stream(c: &mut Connection, x: &mut Exchange) {
    x.request_body.end();
    if let Some(stream) = c.client.http2() {
        stream.take_trailers(&mut x.request_trailers);
    }
}
