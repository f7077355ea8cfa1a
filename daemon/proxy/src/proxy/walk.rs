//! The walk of a request: this file reads as the sentence of the design.

use std::sync::Arc;

use std::task::Poll;
use std::time::Duration;

use config::haproxy::HeaderNames;

use super::failure::Failure;
use super::{Connection, Exchange, answer, body, finish, reach, receive, upload};
use crate::app::{BackendRuntime, FrontendRuntime};
use crate::persistence::Persist;
use crate::rules::{Answer, AnswerKind, CompiledRules, Context, ErrorPages, Verdict};
use crate::stats::StatsService;
use crate::txn::{Cause, Stage, Termination};

/// How long a tarpit holds without any timeout set.
const DEFAULT_TARPIT: Duration = Duration::from_secs(10);

/// Serves one stream of a client's HTTP/2 connection: one request.
pub(super) async fn serve_stream(connection: &mut Connection) {
    request(connection, Ok(())).await;
}

/// One request whose first bytes are there, or the end of the wait for them. Says whether the connection goes on.
pub(super) async fn request(c: &mut Connection, beginning: Result<(), Termination>) -> bool {
    let mut exchange = Exchange::take();
    let end = walk(c, &mut exchange, beginning).await;
    let goes_on = finish::finish(c, &mut exchange, end).await;
    exchange.give_back();
    goes_on
}

/// One request from its first byte to the last of its answer.
async fn walk(
    c: &mut Connection,
    x: &mut Exchange,
    beginning: Result<(), Termination>,
) -> Result<(), Termination> {
    receive::request(c, x, beginning).await?;
    frontend_rules(c, x).await?;
    choose_backend(c, x)?;
    backend_rules(c, x).await?;
    add_forwardfor(c, x);
    persistence(c, x);
    let facts = loop {
        reach::server(c, x).await?;
        match upload::send(c, x).await {
            Ok(facts) => break facts,
            Err(Failure::Retry) => {}
            Err(Failure::End(end)) => return Err(end),
        }
    };
    response_rules(c, x).await?;
    answer::forward(c, x, facts).await
}

async fn frontend_rules(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    if !looks_at_requests(&c.front) {
        return Ok(());
    }
    let front = Arc::clone(&c.front);
    content_rules(c, x, &front.rules).await?;
    if front.uses_proxy_header {
        x.txn.is_to_proxy = !matches!(x.txn.request.target().first(), Some(b'/' | b'*') | None);
    }
    if front.buffers_request {
        body::wait_for_all(c, x).await?;
    }
    if let Some(uri) = &front.monitor_uri
        && x.txn.request.path() == uri.as_bytes()
    {
        return Err(monitor(x));
    }
    apply(c, x, &front.rules, front.stats.as_ref()).await?;
    restrict_names(x, front.header_names, &front.pages)
}

/// Whether [`frontend_rules`] has anything to do.
fn looks_at_requests(front: &FrontendRuntime) -> bool {
    front.rules.has_tcp_content()
        || front.uses_proxy_header
        || front.buffers_request
        || front.monitor_uri.is_some()
        || !front.rules.is_empty_request()
        || front.stats.is_some()
        || !matches!(front.header_names, HeaderNames::Preserve)
}

async fn backend_rules(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let has_rules = |rules: &CompiledRules| rules.has_tcp_content() || !rules.is_empty_request();
    // A `listen` has run all of it before.
    let looks = |back: &&Arc<BackendRuntime>| {
        (back.rules.as_ref().is_some_and(has_rules)
            || back.stats.is_some()
            || back.buffers_request
            || !matches!(back.header_names, HeaderNames::Preserve))
            && c.front.own_backend != Some(back.backend.id)
    };
    let Some(back) = x.back.as_ref().filter(looks).cloned() else {
        return Ok(());
    };
    if let Some(rules) = &back.rules {
        content_rules(c, x, rules).await?;
    }
    if back.buffers_request {
        body::wait_for_all(c, x).await?;
    }
    if let Some(rules) = &back.rules {
        apply(c, x, rules, back.stats.as_ref()).await?;
    }
    restrict_names(x, back.header_names, &back.pages)
}

/// `tcp-request content`, which HAProxy evaluates for each request of a connection, before the rules of HTTP.
async fn content_rules(
    c: &mut Connection,
    x: &mut Exchange,
    rules: &CompiledRules,
) -> Result<(), Termination> {
    if !rules.has_tcp_content() {
        return Ok(());
    }
    let now_us = c.now_us();
    let mut context = Context {
        session: &mut c.session,
        txn: &mut x.txn,
        now_us,
        environment: &c.app.environment,
    };
    let verdict = rules.tcp_content(&mut context);
    if matches!(verdict, Verdict::Close { .. }) {
        c.front.frontend.counters.denied_requests.increment();
    }
    settle(c, x, verdict).await
}

/// `option http-restrict-req-hdr-names`, which comes after the rules.
fn restrict_names(
    x: &mut Exchange,
    policy: HeaderNames,
    pages: &ErrorPages,
) -> Result<(), Termination> {
    let is_plain = |name: &[u8]| {
        name.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    match policy {
        HeaderNames::Delete => x.txn.request.retain(|name, _| is_plain(name)),
        HeaderNames::Reject if !x.txn.request.iter().all(|(name, _)| is_plain(name)) => {
            let page = pages.page(403);
            let answer = Answer {
                head: page.head.clone(),
                body: page.body.clone(),
                termination: Termination::new(Cause::Proxy, Stage::Request),
                kind: AnswerKind::Denied,
                close: page.close,
            };
            return Err(with_answer(x, Box::new(answer)));
        }
        HeaderNames::Preserve | HeaderNames::Reject => {}
    }
    Ok(())
}

async fn apply(
    c: &mut Connection,
    x: &mut Exchange,
    rules: &CompiledRules,
    stats: Option<&StatsService>,
) -> Result<(), Termination> {
    if !rules.is_empty_request() {
        let now_us = c.now_us();
        let mut context = Context {
            session: &mut c.session,
            txn: &mut x.txn,
            now_us,
            environment: &c.app.environment,
        };
        let mut verdict = rules.request(&mut context);
        while let Verdict::WaitForBody {
            within,
            at_least,
            next,
        } = verdict
        {
            body::wait(c, x, Some(within), at_least).await?;
            let now_us = c.now_us();
            let mut context = Context {
                session: &mut c.session,
                txn: &mut x.txn,
                now_us,
                environment: &c.app.environment,
            };
            verdict = rules.resume(&mut context, next);
        }
        settle(c, x, verdict).await?;
    }
    if let Some(stats) = stats
        && stats.matches(&x.txn)
    {
        let body = if stats.needs_body(&x.txn) {
            receive::small_body(c, x).await?
        } else {
            Vec::new()
        };
        let now_us = c.now_us();
        let mut context = Context {
            session: &mut c.session,
            txn: &mut x.txn,
            now_us,
            environment: &c.app.environment,
        };
        let answer = stats.answer(&c.app.shared, &mut context, &body);
        if let Some(answer) = answer {
            return Err(with_answer(x, Box::new(answer)));
        }
    }
    Ok(())
}

fn with_answer(x: &mut Exchange, answer: Box<Answer>) -> Termination {
    let end = answer.termination;
    x.answer = Some(answer);
    end
}

async fn settle(c: &mut Connection, x: &mut Exchange, verdict: Verdict) -> Result<(), Termination> {
    match verdict {
        Verdict::Continue | Verdict::WaitForBody { .. } | Verdict::SwitchToHttp => Ok(()),
        Verdict::Tarpit(answer) => {
            // Manual, `timeout tarpit`: the connect timeout where it is not set.
            let timeouts = &c.front.timeouts;
            let wait = timeouts
                .tarpit
                .or(timeouts.connect)
                .unwrap_or(DEFAULT_TARPIT);
            c.timer.set(c.now_us(), Some(wait));
            let _ = c.wait(|_, _| Poll::<()>::Pending).await;
            Err(with_answer(x, answer))
        }
        Verdict::Answer(answer) => Err(with_answer(x, answer)),
        Verdict::Close { termination, .. } => {
            // Nothing is said to the client.
            x.answered = true;
            Err(termination)
        }
    }
}

fn monitor(x: &mut Exchange) -> Termination {
    let mut head = crate::http::Head::default();
    head.start_response(200, b"OK", 1);
    head.add(b"cache-control", b"no-cache");
    let body =
        bytes::Bytes::from_static(b"<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n");
    let end = Termination::new(Cause::Local, Stage::Request);
    let kind = crate::rules::AnswerKind::Local;
    with_answer(
        x,
        Box::new(Answer {
            head,
            body,
            termination: end,
            kind,
            close: true,
        }),
    )
}

/// `use_backend` in order, then `default_backend`, then the back half of a `listen`.
fn choose_backend(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    // The request has just come: its time is now, and a system's clock need not be asked again.
    let now_us = x.txn.timings.request_us;
    let mut context = Context {
        session: &mut c.session,
        txn: &mut x.txn,
        now_us,
        environment: &c.app.environment,
    };
    let chosen = c.front.rules.backend(&mut context).or(c.front.own_backend);
    let back = chosen
        .and_then(|id| c.app.backends.get(id.0 as usize))
        .cloned();
    let Some(back) = back else {
        return Err(Termination::new(Cause::Server, Stage::Connect));
    };
    let (takes_requests, is_http) = (back.takes_requests, back.backend.http);
    enter_backend(c, x, back, now_us);
    if takes_requests {
        return Ok(());
    }
    if is_http {
        return Err(Termination::new(Cause::Server, Stage::Connect));
    }
    // A name that the request made may lead here, as may a later request of a tcp frontend's connection. HAProxy says nothing
    // to the client either.
    x.answered = true;
    x.txn.status = 500;
    Err(Termination::new(Cause::Internal, Stage::Request))
}

/// Counts a request (or a relayed stream) in its backend.
pub(super) fn enter_backend(
    c: &mut Connection,
    x: &mut Exchange,
    back: Arc<BackendRuntime>,
    now_us: u64,
) {
    let counters = &back.backend.counters;
    counters.sessions.enter();
    counters.sessions_total.increment();
    counters.rate.tick(now_us / 1_000);
    if back.backend.http {
        counters.requests_total.increment();
    }
    x.counted_backend = true;
    x.drops_request_trailers = back.drops_trailers;
    x.drops_response_trailers = c.front.drops_trailers;
    c.entry.set_target(Some(back.backend.id.0), None);
    x.txn.backend = Some(Arc::clone(&back.backend));
    x.back = Some(back);
}

/// `option forwardfor` of the frontend or the backend; the backend's header name wins.
fn add_forwardfor(c: &mut Connection, x: &mut Exchange) {
    let front = c.front.forwardfor.as_ref();
    let back = x.back.as_ref().and_then(|back| back.forwardfor.as_ref());
    let Some(option) = back.or(front) else { return };
    let source = c.session.source.ip().to_canonical();
    let excepted = [front, back]
        .into_iter()
        .flatten()
        .any(|option| option.except.is_some_and(|net| net.contains(&source)));
    if excepted || (option.if_none && x.txn.request.header(option.header.as_bytes()).is_some()) {
        return;
    }
    if x.txn.told_addresses.is_some() {
        let text = source.to_string();
        x.txn.request.add(option.header.as_bytes(), text.as_bytes());
        return;
    }
    // The text is made once for a connection.
    let text = c
        .source_text
        .get_or_insert_with(|| source.to_string().into_boxed_str());
    x.txn.request.add(option.header.as_bytes(), text.as_bytes());
}

/// The server that `use-server` or the client's cookie names.
fn persistence(c: &Connection, x: &mut Exchange) {
    let chooses =
        |back: &&Arc<BackendRuntime>| back.persistence.is_some() || !back.server_rules.is_empty();
    let Some(back) = x.back.as_ref().filter(chooses).cloned() else {
        return;
    };
    let by_rule = reach::server_by_rule(c, x, &back);
    if let Some(persistence) = &back.persistence {
        // The cookie is read and edited in any case (manual, `use-server`).
        let by_cookie = persistence.request(&mut x.txn);
        let ignored = x.persist == Persist::Ignore;
        x.wanted = by_cookie.filter(|_| !ignored);
        if ignored || by_rule.is_some() {
            persistence.set_aside(&mut x.txn, ignored);
        }
    }
    x.wanted = by_rule.or(x.wanted);
}

async fn response_rules(c: &mut Connection, x: &mut Exchange) -> Result<(), Termination> {
    let now_us = x.txn.timings.response_us;
    let Some(back) = &x.back else {
        return Ok(());
    };
    let is_own = || c.front.own_backend == Some(back.backend.id);
    let is_left_alone = back.persistence.is_none()
        && c.front.rules.is_empty_response()
        && back
            .rules
            .as_ref()
            .is_none_or(|rules| rules.is_empty_response() || is_own());
    if is_left_alone {
        c.entry.touch(now_us);
        return Ok(());
    }
    let back = Arc::clone(back);
    let front = Arc::clone(&c.front);
    let own_rules = (front.own_backend != Some(back.backend.id)).then_some(&back.rules);
    for rules in own_rules
        .into_iter()
        .flatten()
        .chain([&front.rules])
        .filter(|rules| !rules.is_empty_response())
    {
        let mut context = Context {
            session: &mut c.session,
            txn: &mut x.txn,
            now_us,
            environment: &c.app.environment,
        };
        let verdict = rules.response(&mut context);
        settle(c, x, verdict).await?;
    }
    // After the rules, as HAProxy does: captures and rules see the server's own cookies.
    if let (Some(persistence), Some(server)) = (&back.persistence, x.txn.server.clone()) {
        persistence.response(&mut x.txn, &server);
    }
    c.entry.touch(now_us);
    Ok(())
}
