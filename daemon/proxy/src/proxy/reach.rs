//! From a request to a server's connection: persistence or balancing, the queue, the pool or a connect, retries and redispatch.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use config::haproxy::{HttpReuse, SendProxy};

use super::{Connection, Exchange, Interrupt};
use crate::app::{BackendRuntime, ServerRuntime, SessionStage};
use crate::balance::{Pick, is_full};
use crate::http1::BodyLength;
use crate::persistence::Persist;
use crate::sample::View;
use crate::server::{
    Proof, ServerConnection, Slot, address_for, is_private, proxy_header, take_idle, take_shared,
};
use crate::state::{Server, ServerId, Usability};
use crate::txn::{Cause, Stage, Termination};

/// Pause before a retry at the same server; the connect timeout if that is shorter (manual, `retries`).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// What the stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A request: kept connections serve.
    Http,
    /// A relayed stream: always a connection of its own.
    Tcp,
}

/// A server's connection for a request.
pub(super) async fn server(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    reach_server(c, x, Target::Http).await
}

/// A server's connection, kept or new, in `x.server`, with a place at it in `x.slot`.
pub async fn reach_server(
    c: &mut Connection,
    x: &mut Exchange,
    target: Target,
) -> Result<(), Termination> {
    let Some(back) = x.back.clone() else {
        return Err(Termination::new(Cause::Server, Stage::Connect));
    };
    if back.balancer.wants_payload() && target == Target::Http {
        form_body(c, x).await?;
    }
    let mut avoid = x.avoid.take();
    loop {
        if x.slot.is_none() {
            let slot = place(c, x, &back, avoid).await?;
            if !enter_server(c, x, &back, slot) {
                continue;
            }
        }
        match connection(c, x, &back, target).await {
            Ok(connection) => {
                x.txn.timings.connected_us = c.now_us();
                x.server = Some(connection);
                return Ok(());
            }
            Err(cause) => avoid = again(c, x, &back, cause).await?,
        }
    }
}

/// Waits for a place: at the server that persistence names, or at one that balancing chooses.
async fn place(
    c: &mut Connection,
    x: &mut Exchange,
    back: &Arc<BackendRuntime>,
    mut avoid: Option<ServerId>,
) -> Result<Slot, Termination> {
    let waiting_since_us = now(c, x);
    loop {
        let wanted = x
            .wanted
            .filter(|id| Some(*id) != avoid && may_persist(back, *id, x.persist));
        let pick = match wanted.or_else(|| last_server(c, back, avoid)) {
            Some(id) => Pick::Server(id),
            None => {
                let payload = match &c.input {
                    input if x.facts.body == BodyLength::Chunked => first_chunk(input.data()),
                    input => input.data(),
                };
                back.balancer
                    .pick(&back.backend, &view(c, x), payload, avoid)
            }
        };
        let queue_at = match pick {
            Pick::Nobody => {
                back.backend.counters.connection_errors.increment();
                return Err(Termination::new(Cause::Server, Stage::Connect));
            }
            Pick::AllFull => None,
            Pick::Server(id) => {
                if let Some(slot) = back.admission.try_take(id) {
                    if wanted.is_none() {
                        back.backend.counters.chosen_total.increment();
                        slot.server().counters.chosen_total.increment();
                    }
                    return Ok(slot);
                }
                // It may have been removed just now.
                let Some(queue) = back.backend.server(id) else {
                    continue;
                };
                let limit = u64::from(queue.config.maxqueue.unwrap_or(0));
                if limit > 0 && queue.counters.queue.current() >= limit {
                    leave_queue(x, back, &queue)?;
                    avoid = Some(id);
                    continue;
                }
                Some(id)
            }
        };
        if let Some(slot) = queued(c, x, back, queue_at, waiting_since_us).await? {
            return Ok(slot);
        }
    }
}

/// A queue is as long as `maxqueue` allows: with `option redispatch` the request goes elsewhere, else it ends.
fn leave_queue(
    x: &mut Exchange,
    back: &BackendRuntime,
    server: &Arc<Server>,
) -> Result<(), Termination> {
    if back.redispatch.is_none() || x.persist == Persist::Force {
        x.txn.server = Some(Arc::clone(server));
        return Err(Termination::new(Cause::Server, Stage::Queue));
    }
    server.counters.redispatches.increment();
    back.backend.counters.redispatches.increment();
    x.txn.redispatched = true;
    x.wanted = None;
    Ok(())
}

/// The time: a request that has not waited yet has come just now.
fn now(c: &Connection, x: &Exchange) -> u64 {
    let has_waited = x.txn.retries > 0 || x.waited || x.txn.timings.request_us == 0;
    if has_waited {
        c.now_us()
    } else {
        x.txn.timings.request_us
    }
}

/// Stands in a queue until its turn; `None` means: choose again.
async fn queued(
    c: &mut Connection,
    x: &mut Exchange,
    back: &Arc<BackendRuntime>,
    server: Option<ServerId>,
    since_us: u64,
) -> Result<Option<Slot>, Termination> {
    let now_ms = c.now_us() / 1_000;
    let Some(mut ticket) = back.admission.wait(server, x.txn.priority, now_ms) else {
        return Err(Termination::new(Cause::ServerTimeout, Stage::Queue));
    };
    x.waited = true;
    x.txn.queue_positions = ticket.positions;
    c.entry.set_stage(SessionStage::Queue);
    c.timer
        .set(since_us, back.timeouts.queue.or(back.timeouts.connect));
    enum Turn {
        Mine(Option<Slot>),
        Gone,
    }
    let outcome = c
        .wait(|c, context| {
            if let Poll::Ready(slot) = ticket.poll(context) {
                return Poll::Ready(Turn::Mine(slot));
            }
            x.watch
                .poll(&mut c.client, &mut c.input, back.abortonclose, context)
                .map(|_| Turn::Gone)
        })
        .await;
    match outcome {
        Ok(Turn::Mine(slot)) => Ok(slot),
        Ok(Turn::Gone) => {
            waited_in_vain(c, x, back, server);
            Err(Termination::new(Cause::Client, Stage::Queue))
        }
        Err(interrupt) => {
            waited_in_vain(c, x, back, server);
            Err(interrupt.end(Cause::ServerTimeout, Stage::Queue))
        }
    }
}

/// The log shows a wait as `%Tw` also where it was in vain, and for which server it was.
fn waited_in_vain(
    c: &Connection,
    x: &mut Exchange,
    back: &BackendRuntime,
    server: Option<ServerId>,
) {
    x.txn.timings.dequeued_us = c.now_us();
    x.txn.server = server.and_then(|id| back.backend.server(id));
}

/// Whether persistence may use a server now.
fn may_persist(back: &BackendRuntime, id: ServerId, persist: Persist) -> bool {
    back.backend
        .server(id)
        .is_some_and(|server| match server.usability() {
            Usability::Up | Usability::PersistentOnly => true,
            Usability::Down => {
                (back.persist_on_down || persist == Persist::Force)
                    && !is_full(&back.backend, &server)
            }
        })
}

/// `balance url_param … check_post`: waits for as much of a form's body as the buffer takes. A client that waits for
/// `100 Continue` has not sent any (manual: "Expect: 100-continue is not supported").
async fn form_body(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    if x.txn.request.method() != b"POST" || x.facts.expects_continue || x.body_consumed {
        return Ok(());
    }
    let is_there = |c: &Connection, x: &Exchange| {
        if x.facts.body == BodyLength::Chunked {
            !first_chunk(c.input.data()).is_empty()
        } else {
            c.input.len() as u64 >= x.request_body.remaining_hint()
        }
    };
    let timeouts = &c.front.timeouts;
    c.timer
        .set(c.now_us(), timeouts.http_request.or(timeouts.client));
    while !x.request_body.is_done() && !is_there(c, x) && !c.input.is_full() {
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(count)) if count > 0 => {}
            Ok(_) => return Err(Termination::new(Cause::Client, Stage::Data)),
            Err(interrupt) => return Err(interrupt.end(Cause::ClientTimeout, Stage::Data)),
        }
    }
    Ok(())
}

/// What a chunked body's first chunk holds, once it is there as a whole.
fn first_chunk(data: &[u8]) -> &[u8] {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (Some(size), Some(rest)) = (lines.next(), lines.next()) else {
        return b"";
    };
    let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let length = digits.fold(0usize, |length, digit| {
        let digit = (*digit as char).to_digit(16).unwrap_or(0);
        length.saturating_mul(16).saturating_add(digit as usize)
    });
    rest.get(..length).unwrap_or(b"")
}

/// Evaluates `force-persist` and `ignore-persist` into `x.persist`, and returns the server of `use-server`.
pub(crate) fn server_by_rule(
    c: &Connection,
    x: &mut Exchange,
    back: &BackendRuntime,
) -> Option<ServerId> {
    let rules = &back.server_rules;
    if rules.is_empty() {
        return None;
    }
    let persist = rules.persist(&view(c, x));
    x.persist = persist;
    rules.server(&view(c, x), &back.backend, |id| {
        may_persist(back, id, persist)
    })
}

fn view<'a>(c: &'a Connection, x: &'a Exchange) -> View<'a> {
    View {
        session: &c.session,
        txn: &x.txn,
        environment: &c.app.environment,
        now_us: x.txn.timings.request_us,
    }
}

/// `option prefer-last-server`: the one to which the client still holds a connection of its own, if it has room.
fn last_server(c: &Connection, back: &BackendRuntime, avoid: Option<ServerId>) -> Option<ServerId> {
    if !back.prefer_last_server || back.balancer.is_by_key() {
        return None;
    }
    let (backend, id) = c.last_server?;
    let server = back.backend.server(id)?;
    let good = backend == back.backend.id
        && Some(id) != avoid
        && server.usability() == Usability::Up
        && !is_full(&back.backend, &server);
    good.then_some(id)
}

/// Takes the place at the server; says whether that is still there.
fn enter_server(
    c: &mut Connection,
    x: &mut Exchange,
    back: &Arc<BackendRuntime>,
    slot: Slot,
) -> bool {
    let server = Arc::clone(slot.server());
    let Some(runtime) = back.servers.get(server.id.0 as usize) else {
        return false;
    };
    let now_us = now(c, x);
    server.counters.sessions_total.increment();
    server.counters.rate.tick(now_us / 1_000);
    if x.txn.timings.dequeued_us == 0 {
        x.txn.timings.dequeued_us = now_us;
    }
    x.runtime = Some(runtime);
    c.entry
        .set_target(Some(back.backend.id.0), Some(server.id.0));
    c.watch(&server);
    c.last_server = Some((back.backend.id, server.id));
    if let Some(persistence) = &back.persistence {
        persistence.settle(&mut x.txn, x.wanted, &server);
    }
    x.txn.server = Some(server);
    x.slot = Some(slot);
    true
}

/// A kept connection, or a new one. On failure: whether the server refused or was silent.
async fn connection(
    c: &mut Connection,
    x: &mut Exchange,
    back: &Arc<BackendRuntime>,
    target: Target,
) -> Result<ServerConnection, Failed> {
    let (Some(server), Some(runtime)) = (x.txn.server.clone(), x.runtime.clone()) else {
        return Err(Failed::Refused);
    };
    if target == Target::Http
        && let Some(connection) = kept(c, x, back, &runtime).await
    {
        server.counters.reuses.increment();
        back.backend.counters.reuses.increment();
        return Ok(connection);
    }
    c.entry.set_stage(SessionStage::Connect);
    c.timer.set(c.now_us(), back.timeouts.connect);
    let connector = &runtime.connector;
    let header = proxy_header(
        server.config.send_proxy.as_ref(),
        &c.session,
        unique_id(c, x, &server).as_deref(),
    );
    // Of a client that still has to send its body, or a stream's first bytes, nothing is read here.
    let watches = target == Target::Http && x.request_done();
    // What a server offers must be known before a WebSocket is asked for.
    let settles = x.facts.upgrade;
    let settings = &c.app.http2_servers;
    let worker = &c.app.shared;
    let servers = &c.app.servers;
    let index = (!is_private(back.reuse, &server.config)).then_some(runtime.index);
    let named = crate::server::named_source(&server.config, &x.txn.request);
    let outcome = {
        let Connection {
            session,
            timer,
            entry,
            watched,
            client,
            input,
            ..
        } = c;
        // A connect is rare on the path, and its future is large: it lives on the heap.
        let connecting = async {
            let asking = crate::server::Client { session, named };
            let mut connected = crate::server::connect(&server, connector, asking, &header).await;
            // Connections that are only kept give way where descriptors run out.
            if connected
                .as_ref()
                .is_err_and(crate::server::ConnectError::lacks_descriptors)
            {
                crate::server::drop_all_idle(&servers.now());
                connected = crate::server::connect(&server, connector, asking, &header).await;
            }
            let connection = connected?;
            if target == Target::Http && connector.speaks_http2(&connection.stream) {
                return crate::server::open_shared(
                    connection, index, settings, settles, worker, &server,
                )
                .await;
            }
            Ok(connection)
        };
        let mut connecting = Box::pin(connecting);
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = connecting.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            // This takes a while; a failure shows at the client's next use.
            let _ = client.watched();
            if watches
                && x.watch
                    .poll(client, input, back.abortonclose, context)
                    .is_ready()
            {
                return Poll::Ready(Err(Failed::ClientLeft));
            }
            if entry.is_killed() {
                return Poll::Ready(Err(Failed::Interrupted(Interrupt::Killed)));
            }
            if let Some((server, generation)) = watched
                && server
                    .shutdown_generation
                    .load(std::sync::atomic::Ordering::Relaxed)
                    != *generation
            {
                return Poll::Ready(Err(Failed::Interrupted(Interrupt::of_shutdown(server))));
            }
            timer
                .poll(context)
                .map(|()| Err(Failed::Interrupted(Interrupt::Timeout)))
        })
        .await
    };
    match outcome {
        Ok(Ok(mut connection)) => {
            connection.resets = target == Target::Http;
            server.counters.connects.increment();
            back.backend.counters.connects.increment();
            Ok(connection)
        }
        Ok(Err(_)) => Err(Failed::Refused),
        Err(failed) => Err(failed),
    }
}

/// The unique ID that the server's PROXY header tells, the transaction's own if it has one.
fn unique_id(c: &Connection, x: &mut Exchange, server: &crate::state::Server) -> Option<Vec<u8>> {
    match &server.config.send_proxy {
        Some(SendProxy::V2(options)) if options.unique_id => {}
        _ => return None,
    }
    if let Some(id) = x.txn.variable("txn.unique-id") {
        return Some(id.to_vec());
    }
    let view = View {
        session: &c.session,
        txn: &x.txn,
        environment: &c.app.environment,
        now_us: c.now_us(),
    };
    let id = c.front.rules.make_unique_id(&view)?;
    x.txn.set_variable("txn.unique-id", Some(id.clone()));
    Some(id)
}

enum Failed {
    Refused,
    Interrupted(Interrupt),
    ClientLeft,
}

/// A kept connection if `http-reuse` allows one for this request.
async fn kept(
    c: &mut Connection,
    x: &mut Exchange,
    back: &BackendRuntime,
    runtime: &Arc<ServerRuntime>,
) -> Option<ServerConnection> {
    if !x.may_reuse {
        return None;
    }
    let (index, server) = (runtime.index, &runtime.server);
    if is_private(back.reuse, &server.config) {
        let (at, mut connection) = *c.private.take()?;
        // Its PROXY header or its source told other addresses, or those that another request has named.
        if x.txn.told_addresses.is_some() || crate::server::has_named_source(&server.config) {
            return None;
        }
        let alive =
            std::future::poll_fn(|context| Poll::Ready(connection.stream.is_quiet(context))).await;
        // A server that moved to another address is not reached by what leads to the old one.
        let same_place = connection.address == address_for(server, &c.session);
        return (Arc::ptr_eq(&at, runtime) && alive && same_place).then(|| {
            connection.reuse();
            connection
        });
    }
    // `safe`: a client's first request gets a connection that it alone can have spoilt.
    let proof = match back.reuse {
        HttpReuse::Safe if c.requests <= 1 => return None,
        HttpReuse::Aggressive if c.requests <= 1 => Proof::Reused,
        _ => Proof::None,
    };
    let address = address_for(server, &c.session);
    if runtime.connector.may_speak_http2() {
        let (limit, now_us) = (c.app.http2_servers.streams as usize, c.now_us());
        let shared = std::future::poll_fn(|context| {
            Poll::Ready(take_shared(index, server, address, limit, now_us, context))
        })
        .await;
        if shared.is_some() {
            return shared;
        }
    }
    std::future::poll_fn(|context| Poll::Ready(take_idle(index, server, address, proof, context)))
        .await
}

/// After a failed connect: the end, or another try. Says which server to avoid.
async fn again(
    c: &mut Connection,
    x: &mut Exchange,
    back: &Arc<BackendRuntime>,
    failed: Failed,
) -> Result<Option<ServerId>, Termination> {
    let cause = match failed {
        Failed::Refused => Cause::Server,
        Failed::Interrupted(Interrupt::Timeout) => Cause::ServerTimeout,
        Failed::Interrupted(interrupt) => {
            return Err(interrupt.end(Cause::ServerTimeout, Stage::Connect));
        }
        Failed::ClientLeft => {
            super::leave::count_client_abort(x);
            return Err(Termination::new(Cause::Client, Stage::Connect));
        }
    };
    let Some(server) = x.txn.server.clone() else {
        return Err(Termination::new(cause, Stage::Connect));
    };
    if !back.retry_on.conn_failure || x.txn.retries >= back.retries {
        server.counters.connection_errors.increment();
        back.backend.counters.connection_errors.increment();
        return Err(Termination::new(cause, Stage::Connect));
    }
    let left = next_try(x, back, &server);
    if left.is_some() {
        return Ok(left);
    }
    let pause = back
        .timeouts
        .connect
        .map_or(TURN_AROUND, |connect| connect.min(TURN_AROUND));
    // A silent server has used up the time already.
    if cause == Cause::Server {
        c.timer.set(c.now_us(), Some(pause));
        match c.wait(|_, _| Poll::<()>::Pending).await {
            Err(Interrupt::Timeout) | Ok(()) => {}
            Err(interrupt) => return Err(interrupt.end(Cause::ServerTimeout, Stage::Connect)),
        }
    }
    Ok(None)
}

/// Counts another try. It goes to the same server, or elsewhere: then the one to avoid is returned.
pub(super) fn next_try(
    x: &mut Exchange,
    back: &BackendRuntime,
    server: &crate::state::Server,
) -> Option<ServerId> {
    x.txn.retries += 1;
    // A turn of round robin that met a dead server goes to the next one at once: nobody asked for this server.
    let has_other = has_other(back, server);
    let is_any = x.wanted != Some(server.id) && back.balancer.takes_turns() && has_other;
    // Manual, `force-persist`: "The final redispatch is always disabled when this is used."
    let may_leave =
        back.redispatch.is_some_and(|interval| interval != 0) && x.persist != Persist::Force;
    if may_leave
        && (is_any
            || server.usability() == Usability::Down
            || has_other && redispatches(back.redispatch, x.txn.retries, back.retries))
    {
        server.counters.redispatches.increment();
        back.backend.counters.redispatches.increment();
        x.txn.redispatched = true;
        x.slot = None;
        x.wanted = None;
        return Some(server.id);
    }
    server.counters.retries.increment();
    back.backend.counters.retries.increment();
    None
}

/// Whether there is another server to go to. Backup servers are none while one that is not lives.
fn has_other(back: &BackendRuntime, server: &crate::state::Server) -> bool {
    back.backend.servers.now().iter().any(|other| {
        other.id != server.id
            && (!other.config.backup || server.config.backup)
            && other.usability() == Usability::Up
    })
}

/// `option redispatch N`: from every Nth retry on, or with a negative number counted from the last.
fn redispatches(option: Option<i32>, retry: u32, retries: u32) -> bool {
    match option {
        None | Some(0) => false,
        Some(interval) if interval > 0 => retry.is_multiple_of(interval.unsigned_abs()),
        Some(interval) => {
            let step = (retries + 1).saturating_sub(interval.unsigned_abs());
            step > 0 && retry.is_multiple_of(step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::redispatches;

    #[test]
    fn redispatch_counts_from_the_first_or_the_last_retry() {
        let which = |option| {
            (1..=3)
                .filter(|retry| redispatches(option, *retry, 3))
                .collect::<Vec<_>>()
        };
        assert_eq!(which(Some(-1)), [3]);
        assert_eq!(which(Some(-2)), [2]);
        assert_eq!(which(Some(1)), [1, 2, 3]);
        assert_eq!(which(Some(2)), [2]);
        assert_eq!(which(None), [0u32; 0]);
    }
}
