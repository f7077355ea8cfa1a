//! The end of every transaction: the answer that is owed, timings, counters, the log. Even an abort passes here.

use crate::app::{App, FrontendRuntime};
use crate::health::Sight;
use crate::http1::Framing;
use crate::log::Gauges;
use crate::rules::AnswerKind;
use crate::txn::{Cause, Stage, Termination, Transaction};

use super::{Connection, Exchange, answer};

/// Finishes a transaction; says whether the connection goes on.
pub(super) async fn finish(
    c: &mut Connection,
    x: &mut Exchange,
    end: Result<(), Termination>,
) -> bool {
    x.server = None;
    c.lingers = !(x.is_null || x.received && x.request_done() && c.input.is_empty());
    x.txn.termination = end.err().unwrap_or_default();
    if x.is_null {
        return false;
    }
    if !x.answered {
        respond(c, x).await;
    }
    x.slot = None;
    c.watched = None;
    if x.txn.timings.end_us == 0 {
        x.txn.timings.end_us = c.now_us();
    }
    c.since_us = x.txn.timings.end_us;
    count(c, x);
    let Connection {
        app,
        front,
        session,
        ..
    } = c;
    log_transaction(app, front, session, &x.txn);
    leave_backend(x);
    if let Some(own) = x.txn.told_addresses.take() {
        (c.session.source, c.session.destination) = *own;
    }
    c.entry.set_target(None, None);
    x.keep_client
}

/// Answers what was not answered: with our own answer, or with the error page that the termination asks for.
async fn respond(c: &mut Connection, x: &mut Exchange) {
    let body;
    if let Some(answer) = x.answer.take() {
        count_answer(c, x, answer.kind);
        x.keep_client = x.facts.keep_alive && !answer.close && !c.is_draining() && x.request_done();
        x.txn.response = answer.head;
        body = answer.body;
    } else {
        let Some(status) = x.txn.termination.error_status() else {
            return;
        };
        // The backend's pages if there is one, else the frontend's.
        let back = x.back.clone();
        let pages = back.as_ref().map_or(&c.front.pages, |back| &back.pages);
        let page = pages.page(status);
        // Also one that answers against the rules: what the client gets instead is whole.
        let is_servers = match x.txn.termination.cause {
            Cause::Server | Cause::ServerTimeout => true,
            Cause::Proxy => matches!(x.txn.termination.stage, Stage::Headers | Stage::Data),
            _ => false,
        };
        let keeps = is_servers && !page.close && x.facts.keep_alive;
        x.txn.response = page.head.clone();
        body = page.body.clone();
        x.keep_client = keeps && x.request_done() && !c.is_draining();
    }
    x.txn.status = x.txn.response.status();
    let is_bodiless = x.txn.status == 204 || x.txn.status == 304;
    x.txn.response.remove(b"content-length");
    answer::begin_answer(
        c,
        x,
        if is_bodiless {
            Framing::None
        } else {
            Framing::Length(body.len() as u64)
        },
    );
    if !x.facts.is_head && !is_bodiless {
        x.down.extend_from_slice(&body);
    }
    if let Some(stream) = c.client.http2() {
        stream.end_with_next_write(&crate::http::Head::default());
    }
    send(c, x).await;
}

async fn send(c: &mut Connection, x: &mut Exchange) {
    x.answered = true;
    c.timer.set(c.now_us(), c.front.timeouts.client);
    let before = x.txn.bytes_out;
    if answer::write_down(c, x).await.is_err() {
        x.keep_client = false;
    }
    if x.txn.timings.response_us == 0
        && x.txn.bytes_out > before
        && x.txn.termination.cause == Cause::Local
    {
        x.txn.timings.response_us = c.now_us();
    }
}

fn count_answer(c: &Connection, x: &Exchange, kind: AnswerKind) {
    match kind {
        AnswerKind::Denied => {
            if x.txn.termination.stage == Stage::Headers {
                c.front.frontend.counters.denied_responses.increment();
            } else {
                c.front.frontend.counters.denied_requests.increment();
            }
            if let Some(back) = &x.txn.backend {
                back.counters.denied_requests.increment();
            }
        }
        AnswerKind::Local | AnswerKind::Stats => c.front.frontend.counters.intercepted.increment(),
    }
}

fn count(c: &Connection, x: &Exchange) {
    let txn = &x.txn;
    let front = &c.front.frontend.counters;
    if txn.status > 0 {
        front.responses.count(txn.status);
        if let Some(back) = &txn.backend {
            back.counters.responses.count(txn.status);
        }
        if let (Some(server), true) = (&txn.server, txn.timings.response_us > 0) {
            server.counters.responses.count(txn.status);
            server.counters.requests_total.increment();
        }
    }
    account(&c.app, &c.front, txn);
}

/// Bytes and times of a transaction into the counters of frontend, backend and server.
pub(crate) fn account(app: &App, front: &FrontendRuntime, txn: &Transaction) {
    front.frontend.counters.bytes_in.add(txn.bytes_in);
    front.frontend.counters.bytes_out.add(txn.bytes_out);
    app.shared.process.bytes_out.add(txn.bytes_out);
    let Some(back) = &txn.backend else { return };
    let counters = &back.counters;
    counters.bytes_in.add(txn.bytes_in);
    counters.bytes_out.add(txn.bytes_out);
    let times = &txn.timings;
    counters
        .last_session_ms
        .store(times.end_us / 1_000, std::sync::atomic::Ordering::Relaxed);
    let Some(server) = &txn.server else { return };
    if server
        .config
        .check
        .as_ref()
        .is_some_and(|check| check.observe.is_some())
        && let Some(sight) = sight(txn)
    {
        crate::health::see(&app.shared, back, server, sight);
    }
    let own = &server.counters;
    own.bytes_in.add(txn.bytes_in);
    own.bytes_out.add(txn.bytes_out);
    own.last_session_ms
        .store(times.end_us / 1_000, std::sync::atomic::Ordering::Relaxed);
    let begin = if times.request_us > 0 {
        times.request_us
    } else {
        times.start_us
    };
    let span_ms = |from: u64, to: u64| to.saturating_sub(from) / 1_000;
    let spans = [
        (times.dequeued_us > 0).then(|| span_ms(begin, times.dequeued_us)),
        (times.connected_us > 0).then(|| span_ms(times.dequeued_us, times.connected_us)),
        (times.response_us > 0).then(|| span_ms(times.connected_us, times.response_us)),
        Some(span_ms(begin, times.end_us)),
    ];
    let meters = [
        (&own.queue_time, &counters.queue_time),
        (&own.connect_time, &counters.connect_time),
        (&own.response_time, &counters.response_time),
        (&own.total_time, &counters.total_time),
    ];
    for (span, (own, all)) in spans.into_iter().zip(meters) {
        if let Some(span) = span {
            own.record(span);
            all.record(span);
        }
    }
}

/// What a transaction showed of its server; `None` where it says nothing of it.
fn sight(txn: &Transaction) -> Option<Sight> {
    let end = txn.termination;
    match (end.cause, end.stage) {
        (Cause::Server | Cause::ServerTimeout, Stage::Connect) => Some(Sight::ConnectFailed),
        (Cause::ServerTimeout, Stage::Headers) => Some(Sight::Timeout),
        (Cause::Server, Stage::Headers) => Some(Sight::ReadError),
        (Cause::Proxy, Stage::Headers) if txn.timings.response_us == 0 => Some(Sight::BrokenHead),
        _ if txn.timings.response_us > 0 && txn.status > 0 => Some(Sight::Status(txn.status)),
        _ if txn.timings.connected_us > 0 => Some(Sight::Connected),
        _ => None,
    }
}

fn leave_backend(x: &mut Exchange) {
    if x.counted_backend
        && let Some(back) = &x.back
    {
        back.backend.counters.sessions.leave();
        x.counted_backend = false;
    }
}

/// `option logasap`: writes the log line of a transaction that goes on, `bytes` of it being on their way to the client.
pub(crate) fn log_early(c: &Connection, txn: &mut Transaction, bytes: u64) {
    if !c.front.log.is_early() {
        return;
    }
    let (end_us, sent) = (txn.timings.end_us, txn.bytes_out);
    txn.timings.end_us = txn.timings.response_us.max(txn.timings.connected_us);
    txn.bytes_out += bytes;
    log_transaction(&c.app, &c.front, &c.session, txn);
    (txn.timings.end_us, txn.bytes_out) = (end_us, sent);
    txn.is_logged = true;
}

/// Writes the log line. The gauges count this one too, as HAProxy's do, except at the server, whose place is free by now.
pub(crate) fn log_transaction(
    app: &App,
    front: &FrontendRuntime,
    session: &crate::txn::Session,
    txn: &Transaction,
) {
    let gauges = Gauges {
        process: app.shared.process.connections.current(),
        frontend: front.frontend.counters.sessions.current(),
        backend: txn
            .backend
            .as_ref()
            .map_or(0, |back| back.counters.sessions.current().saturating_sub(1)),
        server: txn
            .server
            .as_ref()
            .map_or(0, |server| server.counters.sessions.current()),
    };
    front.log.transaction(
        &app.shared.reports.sockets,
        session,
        txn,
        &gauges,
        &app.environment,
    );
}
