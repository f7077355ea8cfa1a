//! TCP mode: a stream from the accept to the end of both directions, and the relay that tunnels use too.

mod inspect;

use std::sync::Arc;
use std::task::{Context, Poll};

use std::net::SocketAddr;
use std::time::Duration;

use crate::app::{BackendRuntime, SessionStage};
use crate::balance::rdp_cookie;
use crate::net::{BUFFER_BYTES, Buffer, Splice, Stream, poll_write_all};
use crate::persistence::Persist;
use crate::proxy::{
    Connection, Exchange, Interrupt, Target, account, log_early, log_transaction, reach_server,
    server_by_rule,
};
use crate::rules::Context as RuleContext;
use crate::server::ServerConnection;
use crate::state::{Backend, ServerId};
use crate::txn::{Cause, Stage, Termination, Transaction};

/// Reads of a whole ordinary buffer in a row before a direction is bulk: a pipe moves it, or a large buffer.
const FULL_READS_BEFORE_LARGE: u32 = 2;
/// A read this short ends the bulk.
const SHORT_READ_BYTES: usize = 4 << 10;

/// What became of a client's stream that did not fail.
enum Flow {
    /// It was relayed to its end.
    Relayed,
    /// It is HTTP from here on: its backend, or a rule, says so.
    Http,
}

/// Serves a client's connection in TCP mode. It comes back if it is HTTP from there on.
pub async fn serve(mut c: Box<Connection>) -> Option<Box<Connection>> {
    let mut x = Exchange::take();
    x.txn.timings.start_us = c.since_us;
    let end = match stream(&mut c, &mut x).await {
        Ok(Flow::Http) => {
            x.give_back();
            return Some(c);
        }
        Ok(Flow::Relayed) => Ok(()),
        Err(end) => Err(end),
    };
    x.server = None;
    x.slot = None;
    x.txn.termination = end.err().unwrap_or_default();
    x.txn.timings.end_us = c.now_us();
    if x.txn.peeked.is_some() {
        // They reached no server.
        x.txn.bytes_in += c.input.len() as u64;
    }
    if let Err(end) = end
        && matches!(end.cause, Cause::Client | Cause::Server)
        && end.stage == Stage::Data
    {
        count_abort(&x.txn, end.cause);
    }
    account(&c.app, &c.front, &x.txn);
    log_transaction(&c.app, &c.front, &c.session, &x.txn);
    if let (true, Some(back)) = (x.counted_backend, &x.back) {
        back.backend.counters.sessions.leave();
    }
    x.give_back();
    None
}

fn count_abort(txn: &Transaction, cause: Cause) {
    if let (Some(back), Some(server)) = (&txn.backend, &txn.server) {
        let (one, all) = match cause {
            Cause::Client => (&server.counters.client_aborts, &back.counters.client_aborts),
            _ => (&server.counters.server_aborts, &back.counters.server_aborts),
        };
        one.increment();
        all.increment();
    }
}

async fn stream(c: &mut Connection, x: &mut Exchange) -> Result<Flow, Termination> {
    let front = Arc::clone(&c.front);
    if front.rules.has_tcp_content()
        && let Some(flow) = inspect::content_rules(c, x, &front.rules).await?
    {
        return Ok(flow);
    }
    if front.rules.routes_by_content() {
        inspect::look(c, x);
    }
    let now_us = c.now_us();
    let mut context = RuleContext {
        session: &mut c.session,
        txn: &mut x.txn,
        now_us,
        environment: &c.app.environment,
    };
    let chosen = front.rules.backend(&mut context).or(front.own_backend);
    let Some(back) = chosen
        .and_then(|id| c.app.backends.get(id.0 as usize))
        .cloned()
    else {
        return Err(Termination::new(Cause::Server, Stage::Connect));
    };
    if back.backend.http {
        return Ok(Flow::Http);
    }
    let counters = &back.backend.counters;
    counters.sessions.enter();
    counters.sessions_total.increment();
    counters.rate.tick(now_us / 1_000);
    x.counted_backend = true;
    x.txn.backend = Some(Arc::clone(&back.backend));
    x.back = Some(Arc::clone(&back));
    c.entry.set_target(Some(back.backend.id.0), None);
    if let Some(rules) = &back.rules
        && rules.has_tcp_content()
        && front.own_backend != Some(back.backend.id)
    {
        inspect::content_rules(c, x, rules).await?;
    }
    inspect::end_if_broken(c, x)?;
    if back.balancer.wants_payload() || back.rdp_cookie.is_some() {
        first_bytes(c).await?;
    }
    let by_rule = server_by_rule(c, x, &back);
    let by_cookie = back
        .rdp_cookie
        .as_deref()
        .filter(|_| x.persist != Persist::Ignore)
        .and_then(|name| rdp_server(&back.backend, c.input.data(), name));
    x.wanted = by_rule.or(by_cookie);
    reach_server(c, x, Target::Tcp).await?;
    let Some(mut server) = x.server.take() else {
        return Err(Termination::new(Cause::Internal, Stage::Connect));
    };
    // From here on they are the server's.
    x.txn.peeked = None;
    c.entry.set_stage(SessionStage::Data);
    log_early(c, &mut x.txn, 0);
    relay(c, &mut x.txn, &mut server, &back).await?;
    Ok(Flow::Relayed)
}

/// Longest wait for a stream's first bytes where its key stands in them.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(5);

/// Waits for the first packet of a client whose RDP cookie decides. A client that sends nothing is not kept waiting long:
/// it is balanced without a key.
async fn first_bytes(c: &mut Connection) -> Result<(), Termination> {
    let limit = c
        .front
        .timeouts
        .client
        .map_or(FIRST_BYTES_WAIT, |client| client.min(FIRST_BYTES_WAIT));
    c.timer.set(c.now_us(), Some(limit));
    while !is_rdp_request_whole(c.input.data()) && !c.input.is_full() {
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(count)) if count > 0 => {}
            Ok(_) | Err(Interrupt::Timeout) => return Ok(()),
            Err(interrupt) => return Err(interrupt.end(Cause::ClientTimeout, Stage::Request)),
        }
    }
    Ok(())
}

/// Whether the first packet (TPKT, RFC 1006 6: version 3, its length in bytes 2 and 3) is there, or is none of RDP.
fn is_rdp_request_whole(data: &[u8]) -> bool {
    match data {
        [3, _, high, low, ..] => data.len() >= usize::from(u16::from_be_bytes([*high, *low])),
        [3, ..] | [] => false,
        _ => true,
    }
}

/// `persist rdp-cookie`: the server whose address and port the routing token names ([MS-RDPBCGR] 3.2.5.3.1: both as
/// decimal numbers of their bytes in reverse).
fn rdp_server(backend: &Backend, data: &[u8], name: &[u8]) -> Option<ServerId> {
    let token = std::str::from_utf8(rdp_cookie(data, name)?).ok()?;
    let mut parts = token.split('.');
    let address: u32 = parts.next()?.parse().ok()?;
    let port: u16 = parts.next()?.parse().ok()?;
    let wanted = SocketAddr::from((address.to_le_bytes(), port.swap_bytes()));
    let servers = backend.servers.now();
    let found = servers
        .iter()
        .find(|server| server.address.load().as_deref() == Some(&wanted))?;
    Some(found.id)
}

/// One direction of a relay.
#[derive(Default)]
struct Direction {
    /// Bytes of the buffer that were written.
    written: usize,
    splice: Splice,
    full_reads: u32,
    ended: bool,
    closed: bool,
    moved: u64,
}

/// What broke a direction.
enum Side {
    From,
    To,
}

impl Direction {
    /// Moves bytes until neither end is ready. Ready(Ok) when the end has been passed on.
    fn poll(
        &mut self,
        from: &mut Stream,
        buffer: &mut Buffer,
        to: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Side>> {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if !buffer.is_empty() {
                let before = self.written;
                let outcome = poll_write_all(to, context, buffer.data(), &mut self.written);
                self.moved += (self.written - before) as u64;
                match outcome {
                    Poll::Ready(Ok(())) => {
                        let count = buffer.len();
                        buffer.consume(count);
                        self.written = 0;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Side::To)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.splice.held() > 0 {
                match self.splice.poll_drain(to, context, &mut self.moved) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Side::To)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.ended {
                match to.poll_shutdown(context) {
                    Poll::Ready(_) => self.closed = true,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            let is_bulk = self.full_reads >= FULL_READS_BEFORE_LARGE;
            let received = if is_bulk && self.splice.begin(from, to) {
                buffer.release_if_empty();
                self.splice.poll_fill(from, context, u64::MAX)
            } else {
                if is_bulk {
                    buffer.enlarge();
                }
                from.poll_read(context, buffer)
            };
            match received {
                Poll::Ready(Ok(0)) => {
                    self.ended = true;
                    self.splice.end();
                    buffer.release_if_empty();
                }
                Poll::Ready(Ok(count)) if count < SHORT_READ_BYTES => self.full_reads = 0,
                Poll::Ready(Ok(count)) if count >= BUFFER_BYTES => {
                    self.full_reads = self.full_reads.saturating_add(1)
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Side::From)),
                Poll::Pending => {
                    buffer.release_if_empty();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Moves bytes both ways until both directions have ended. Bytes already read from either side go first.
pub async fn relay(
    c: &mut Connection,
    txn: &mut Transaction,
    server: &mut ServerConnection,
    back: &Arc<BackendRuntime>,
) -> Result<(), Termination> {
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let client_timeout = c.front.timeouts.client;
    let server_timeout = back.timeouts.server;
    let shorter = match (client_timeout, server_timeout) {
        (Some(client), Some(server)) => Some(client.min(server)),
        (client, server) => client.or(server),
    };
    // Manual, `timeout tunnel`: it takes the place of both once bytes can flow both ways.
    let limit = back.timeouts.tunnel.or(shorter);
    let timeout_cause = match (client_timeout, server_timeout) {
        // Both sides have the same time: the client is told of, as haproxy does.
        _ if back.timeouts.tunnel.is_some() => Cause::ClientTimeout,
        (Some(client), Some(server)) if server < client => Cause::ServerTimeout,
        (None, Some(_)) => Cause::ServerTimeout,
        _ => Cause::ClientTimeout,
    };
    c.timer.set(c.now_us(), limit);
    let mut seen = (0, false, false);
    let outcome = c
        .wait(|c, context| {
            let first = up.poll(&mut c.client, &mut c.input, &mut server.stream, context);
            let second = down.poll(
                &mut server.stream,
                &mut server.input,
                &mut c.client,
                context,
            );
            // The end of a direction begins another time, also where no byte came with it.
            let moved = (up.moved + down.moved, up.ended, down.ended);
            if moved != seen {
                seen = moved;
                let now_us = c.now_us();
                let fin = match (up.ended, down.ended) {
                    (true, _) => c.front.timeouts.client_fin,
                    (_, true) => back.timeouts.server_fin,
                    _ => None,
                };
                c.timer.set(now_us, fin.or(limit));
                c.entry.touch(now_us);
            }
            match (first, second) {
                (Poll::Ready(Err(Side::From)), _) | (_, Poll::Ready(Err(Side::To))) => {
                    Poll::Ready(Err(Termination::new(Cause::Client, Stage::Data)))
                }
                (Poll::Ready(Err(Side::To)), _) | (_, Poll::Ready(Err(Side::From))) => {
                    Poll::Ready(Err(Termination::new(Cause::Server, Stage::Data)))
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await;
    txn.bytes_in += up.moved;
    txn.bytes_out += down.moved;
    match outcome {
        Ok(end) => {
            if end.is_err() {
                c.client.reset_on_close();
                server.stream.reset_on_close();
            }
            end
        }
        Err(interrupt) => {
            // Of a half-closed stream the side that has ended is told of, unless the times of both sides differ.
            let fin = match (up.ended, down.ended) {
                (true, _) => c.front.timeouts.client_fin.map(|_| Cause::ClientTimeout),
                (_, true) if back.timeouts.server_fin.is_some() => Some(Cause::ServerTimeout),
                (_, true) if back.timeouts.tunnel.is_none() && client_timeout == server_timeout => {
                    Some(Cause::ServerTimeout)
                }
                _ => None,
            };
            Err(interrupt.end(fin.unwrap_or(timeout_cause), Stage::Data))
        }
    }
}
