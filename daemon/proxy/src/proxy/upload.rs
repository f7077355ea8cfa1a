//! The request to the server up to the head of its answer: one write for a head with what is there of its body.

use std::task::{Context, Poll};

use config::haproxy::ConnectionMode;

use super::failure::{Broken, Failure, capture, failed, may_replay, replay, timed_out};
use super::leave::poll_left;
use super::request_body::{goes_directly, poll_upload};
use super::{Connection, Exchange, answer, typed};
use crate::app::SessionStage;
use crate::http1::{
    BodyLength, ClientPersistence, Framing, ParseError, Parsed, ResponseFacts, end_chunks_with,
    parse_response, push_chunk, relaxed, write_request_head, write_response_head,
};
use crate::txn::{Cause, Stage};

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
