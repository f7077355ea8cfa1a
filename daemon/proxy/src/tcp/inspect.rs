//! TCP content inspection: `tcp-request content` rules, evaluated whenever more of a stream's first bytes has come, until they
//! decide or `tcp-request inspect-delay` is over. The bytes stay in the connection's buffer and go to the server unchanged.

use super::Flow;
use crate::http1::{Parsed, parse_request};
use crate::http2::PREFACE;
use crate::net::{HeadSeen, Peeked};
use crate::proxy::{Connection, Exchange, Interrupt};
use crate::rules::{CompiledRules, Content, Context as RuleContext, Verdict};
use crate::txn::{Cause, Stage, Termination};

/// `tcp-request content` of the frontend, and then of the backend; gives what the stream becomes if a rule says it.
pub(super) async fn content_rules(
    c: &mut Connection,
    x: &mut Exchange,
    rules: &CompiledRules,
) -> Result<Option<Flow>, Termination> {
    rules.make_room_for_captures(&mut x.txn);
    if rules.reads_content() {
        look(c, x);
    }
    let mut next = 0;
    // The delay begins with the first wait.
    let mut delay = rules.inspect_delay();
    let mut waits = false;
    loop {
        let is_over = delay.is_none();
        if let Some(peeked) = &mut x.txn.peeked {
            peeked.is_final =
                is_over || peeked.is_ended || c.input.len() >= c.app.limits.head_bytes;
        }
        let now_us = c.now_us();
        let mut context = RuleContext {
            session: &mut c.session,
            txn: &mut x.txn,
            now_us,
            environment: &c.app.environment,
        };
        match rules.tcp_content_from(&mut context, next) {
            Content::Verdict(verdict) => return settle(c, verdict),
            Content::Undecided(rule) => next = rule,
        }
        if !waits {
            waits = true;
            // What the client says in its own time decides if that is over first.
            let limit = match (delay, c.front.timeouts.client) {
                (Some(delay), Some(client)) => Some(delay.min(client)),
                (delay, _) => delay,
            };
            c.timer.set(now_us, limit);
        }
        match c
            .wait(|c, context| c.client.poll_read(context, &mut c.input))
            .await
        {
            Ok(Ok(count)) if count > 0 => see(c, x),
            Ok(read) => end(x, read.is_err()),
            Err(Interrupt::Timeout) => delay = None,
            Err(interrupt) => return Err(interrupt.end(Cause::ClientTimeout, Stage::Request)),
        }
    }
}

fn settle(c: &Connection, verdict: Verdict) -> Result<Option<Flow>, Termination> {
    match verdict {
        Verdict::Continue | Verdict::WaitForBody { .. } => Ok(None),
        Verdict::SwitchToHttp => Ok(Some(Flow::Http)),
        Verdict::Answer(answer) | Verdict::Tarpit(answer) => Err(answer.termination),
        Verdict::Close { termination, .. } => {
            c.front.frontend.counters.denied_requests.increment();
            Err(termination)
        }
    }
}

/// Shows rules what has come so far: what is in the buffer, and what the socket holds.
pub(super) fn look(c: &mut Connection, x: &mut Exchange) {
    if x.txn.peeked.is_some() {
        return;
    }
    x.txn.peeked = Some(Box::default());
    let read = match c.input.is_empty() {
        true => c.client.read_now(&mut c.input),
        false => None,
    };
    match read {
        Some(Ok(1..)) | None => see(c, x),
        Some(read) => end(x, read.is_err()),
    }
}

/// Takes what has come into view.
fn see(c: &Connection, x: &mut Exchange) {
    let Some(peeked) = &mut x.txn.peeked else {
        return;
    };
    let data = c.input.data();
    peeked.update(data);
    if peeked.head == HeadSeen::Settled {
        return;
    }
    if data.starts_with(PREFACE) {
        // Of HTTP/2 only the preface is looked at (manual, 4: "HTTP/2 upgrade").
        x.txn.request.load_request(data, 0..3, 4..5, 1);
        peeked.head = HeadSeen::Settled;
        return;
    }
    if PREFACE.starts_with(data) {
        return;
    }
    match parse_request(data, c.app.limits, &mut x.txn.request) {
        Ok(Parsed::Complete { .. }) => peeked.head = HeadSeen::Settled,
        Ok(Parsed::Partial) => x.txn.request.clear(),
        Err(_) => {
            x.txn.request.clear();
            peeked.head = HeadSeen::Settled;
        }
    }
}

fn end(x: &mut Exchange, is_broken: bool) {
    let peeked: &mut Peeked = x.txn.peeked.get_or_insert_default();
    (peeked.is_ended, peeked.is_broken) = (true, is_broken);
}

/// After rules and with a backend, before a server is looked for: who has reset the connection meanwhile gets none.
pub(super) fn end_if_broken(c: &Connection, x: &Exchange) -> Result<(), Termination> {
    match &x.txn.peeked {
        Some(peeked) if peeked.is_broken => {}
        _ => return Ok(()),
    }
    c.front.frontend.counters.request_errors.increment();
    if let Some(back) = &x.txn.backend {
        back.counters.client_aborts.increment();
    }
    Err(Termination::new(Cause::Client, Stage::Request))
}
