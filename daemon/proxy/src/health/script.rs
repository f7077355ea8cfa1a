//! Running a check: its steps one after another, each with its own time.

use std::borrow::Cow;
use std::sync::Arc;

use config::haproxy::Proto;
use tokio::time::{Instant, timeout_at};

use super::connection::{
    self, Connection, Detour, Limits, MAX_CHECK_BYTES, Target, Wishes, describe,
};
use super::expect::{self, Judgement};
use super::http;
use super::outcome::Outcome;
use super::plan::{
    Action, Checks, Connect, Data, Expect, HttpRequestPlan, INITIAL_STEP, Kind, Plan, Port, Step,
    VariableSource,
};
use super::protocols::Judge;
use crate::app::App;
use crate::log::LogFormat;
use crate::sample::{Expression, View};
use crate::state::{Backend, Frontend, FrontendCounters, FrontendId, Server};
use crate::txn::{Session, Transaction};

/// What a check is about.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) app: &'a App,
    pub(super) backend: &'a Arc<Backend>,
    pub(super) server: &'a Arc<Server>,
    pub(super) checks: &'a Checks,
    pub(super) limits: Limits,
}

/// Runs all steps; says what was found.
pub(super) async fn run(site: Site<'_>) -> Outcome {
    let mut run = Run {
        site,
        plan: &site.checks.plan,
        connection: None,
        input: Vec::new(),
        ended: false,
        to_head: false,
        scene: None,
        spoke: false,
    };
    match run.steps().await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

struct Run<'a> {
    site: Site<'a>,
    plan: &'a Plan,
    connection: Option<Connection>,
    /// What has come since the last question.
    input: Vec<u8>,
    /// No more will come.
    ended: bool,
    to_head: bool,
    scene: Option<Box<Scene>>,
    /// Something was sent or received: the result is of layer 7.
    spoke: bool,
}

/// What expressions of a check see: no client, and the answer as the transaction's.
struct Scene {
    session: Session,
    txn: Transaction,
}

impl Scene {
    fn new(site: &Site<'_>) -> Self {
        let unknown = ([0, 0, 0, 0], 0).into();
        let frontend = Frontend {
            id: FrontendId(u32::MAX),
            config_index: site.backend.config_index,
            iid: site.backend.iid,
            name: site.backend.name.clone(),
            http: site.backend.http,
            maxconn: Default::default(),
            session_rate_limit: 0,
            enabled: Default::default(),
            counters: FrontendCounters::default(),
        };
        Self {
            session: Session {
                id: 0,
                frontend: Arc::new(frontend),
                listener: Arc::default(),
                source: unknown,
                destination: unknown,
                accepted_wall_us: site.app.shared.clock.wall_us(),
                accepted_us: site.app.shared.clock.now_us(),
                tls: None,
                is_http2: false,
                proxied: None,
            },
            txn: Transaction {
                backend: Some(Arc::clone(site.backend)),
                server: Some(Arc::clone(site.server)),
                ..Transaction::default()
            },
        }
    }
}

impl Run<'_> {
    async fn steps(&mut self) -> Result<Outcome, Outcome> {
        let plan = self.plan;
        let mut passed = None;
        for (at, step) in plan.steps.iter().enumerate() {
            match &step.action {
                Action::Nothing => {}
                Action::Connect(connect) => self.connect(at, step, connect).await?,
                Action::Send(data) => {
                    let bytes = self.data(data);
                    if plan.kind == Kind::Script {
                        self.input.clear();
                    }
                    self.send(step, &bytes).await?;
                }
                Action::HttpSend(request) => self.http_send(step, request).await?,
                Action::Expect(expect) if plan.kind == Kind::Http => {
                    passed = Some(self.http_expect(expect, step).await?);
                }
                Action::Expect(expect) => passed = Some(self.expect(expect, step).await?),
                Action::Protocol(judge) => passed = Some(self.protocol(judge, step).await?),
                Action::Set(name, source) => self.set_variable(name, source),
                Action::Unset(name) => self.scene().txn.set_variable(name, None),
            }
        }
        if let Some(outcome) = passed {
            return Ok(outcome);
        }
        let is_tls = self.connection.as_ref().is_some_and(Connection::is_tls);
        let status = match (self.spoke, is_tls) {
            (true, _) => "L7OK",
            (false, true) => "L6OK",
            (false, false) => "L4OK",
        };
        Ok(Outcome::new(status, self.script_name()))
    }

    /// What HAProxy says of a script that passed.
    fn script_name(&self) -> &'static str {
        if self.plan.kind == Kind::Script && !self.plan.is_plain() {
            "(tcp-check)"
        } else {
            ""
        }
    }

    async fn connect(&mut self, at: usize, step: &Step, plan: &Connect) -> Result<(), Outcome> {
        // The connection before it ends first.
        self.connection = None;
        self.input.clear();
        self.ended = false;
        let site = self.site;
        let port = match &plan.port {
            None => None,
            Some(Port::Number(port)) => Some(*port),
            Some(Port::Expression(expression)) => {
                let port = self
                    .expression(expression)
                    .and_then(|port| u16::try_from(port).ok());
                Some(port.unwrap_or(0))
            }
        };
        let detour = Detour {
            address: plan.address.map(|(address, _)| address),
            port: port.or(plan.address.map(|(_, port)| port).filter(|port| *port != 0)),
        };
        let target = connection::target(site.server, detour);
        if matches!(target, Target::Tcp(to) if to.port() == 0) {
            return Err(Outcome::new(
                "SOCKERR",
                "the check has no port to connect to",
            ));
        }
        let own = &site.server.config;
        let sends = own.check.as_ref().is_some_and(|check| check.send_proxy);
        let proto = match (plan.options.proto, &own.check) {
            _ if self.plan.kind != Kind::Http => Proto::None,
            (Proto::Auto, Some(check)) if plan.by_server && check.proto == Proto::Auto => own.proto,
            (Proto::Auto, Some(check)) if plan.by_server => check.proto,
            (proto, _) => proto,
        };
        let tls = site.checks.tls(site.server.id.0 as usize, at);
        let wishes = Wishes {
            tls: tls.as_ref(),
            send_proxy: match plan.send_proxy {
                true => Some(None),
                false => (sends && plan.by_server).then_some(own.send_proxy.as_ref()),
            },
            via_socks4: plan.via_socks4
                || plan.by_server && own.check.as_ref().is_some_and(|check| check.via_socks4),
            http2: (proto, &site.app.http2_servers),
            linger: plan.linger,
            connect_until: site.limits.connect_until(Instant::now()),
            handshake: site.limits.handshake(),
        };
        match connection::open(site.server, target, wishes).await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(outcome) => Err(self.at_step(outcome, step)),
        }
    }

    async fn send(&mut self, step: &Step, bytes: &[u8]) -> Result<(), Outcome> {
        self.spoke = true;
        let until = self.site.limits.answer_until(Instant::now());
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        match timeout_at(until, connection.write(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.at_step(Outcome::new("SOCKERR", describe(&error)), step)),
            Err(_) => Err(self.at_step(Outcome::new("L7TOUT", ""), step)),
        }
    }

    async fn http_send(&mut self, step: &Step, request: &HttpRequestPlan) -> Result<(), Outcome> {
        let site = self.site;
        let state = self
            .plan
            .send_state
            .then(|| http::state_header(site.backend, site.server, &site.app.shared.node));
        self.to_head = request.method == "HEAD";
        self.input.clear();
        let run = std::cell::RefCell::new(&mut *self);
        let bytes = http::request(
            request,
            state,
            &mut |data| run.borrow_mut().data(data),
            &mut |format| run.borrow_mut().format(format),
        );
        self.send(step, &bytes).await
    }

    /// Waits for more of an answer; the error is what a step makes of a failure.
    async fn more(
        &mut self,
        until: Instant,
        timeout: &'static str,
        step: &Step,
    ) -> Result<(), Outcome> {
        let Some(connection) = &mut self.connection else {
            self.ended = true;
            return Ok(());
        };
        match timeout_at(until, connection.read(&mut self.input)).await {
            Err(_) => Err(self.at_step(Outcome::new(timeout, ""), step)),
            Ok(Err(error)) => Err(self.at_step(Outcome::new("SOCKERR", describe(&error)), step)),
            Ok(Ok(count)) => {
                self.ended = count == 0 || self.input.len() >= MAX_CHECK_BYTES;
                Ok(())
            }
        }
    }

    async fn expect(&mut self, expect: &Expect, step: &Step) -> Result<Outcome, Outcome> {
        self.spoke = true;
        let until = self.site.limits.answer_until(Instant::now());
        let pattern = match &expect.what {
            expect::Matcher::Contains(data, _) => self.data(data),
            _ => Vec::new(),
        };
        loop {
            if self.ended && self.input.is_empty() {
                let text = format!("TCPCHK got an empty response at step {}", step.number);
                return Err(self.failed(expect, step, expect.error_status, None, text));
            }
            if !self.input.is_empty() || self.ended {
                match expect::judge(expect, &pattern, &self.input, self.ended) {
                    Judgement::Wait => {}
                    Judgement::Passed => {
                        let code = self.status_code(expect);
                        let text = match &expect.on_success {
                            Some(format) => self.text(format),
                            None => self.script_name().to_owned(),
                        };
                        return Ok(Outcome::coded(expect.ok_status, code, text));
                    }
                    Judgement::Failed => {
                        let verb = match expect.negated {
                            true => "TCPCHK matched unwanted content",
                            false => "TCPCHK did not match content",
                        };
                        let what = expect::content_name(expect);
                        let text = format!("{verb} {what} at step {}", step.number);
                        return Err(self.failed(expect, step, expect.error_status, None, text));
                    }
                }
            }
            self.more(until, expect.timeout_status, step).await?;
        }
    }

    async fn http_expect(&mut self, expect: &Expect, step: &Step) -> Result<Outcome, Outcome> {
        self.spoke = true;
        let until = self.site.limits.answer_until(Instant::now());
        let pattern = match &expect.what {
            expect::Matcher::Contains(data, _) => self.data(data),
            _ => Vec::new(),
        };
        loop {
            let mut head = std::mem::take(&mut self.scene().txn.response);
            let read = http::read(&self.input, self.to_head, self.ended, &mut head);
            self.scene().txn.response = head;
            match read {
                http::Read::Partial => {}
                http::Read::Invalid if self.input.is_empty() && !self.ended => {}
                http::Read::Invalid
                    if self.input.is_empty()
                        && self.connection.as_ref().is_some_and(Connection::is_http2) =>
                {
                    // Connection and request that no rule asks for are counted, too.
                    const IMPLIED_STEPS: usize = 2;
                    let number = match step.number {
                        0 => IMPLIED_STEPS,
                        number => number,
                    };
                    let text = format!("TCPCHK got an empty response at step {number}");
                    return Err(Outcome::new("L7RSP", text));
                }
                http::Read::Invalid => {
                    return Err(Outcome::new("L7RSP", ""));
                }
                http::Read::Answer(answer) => {
                    if let Some(found) = self.judge_http(expect, &pattern, &answer, step) {
                        return found;
                    }
                }
            }
            self.more(until, expect.timeout_status, step).await?;
        }
    }

    fn judge_http(
        &mut self,
        expect: &Expect,
        pattern: &[u8],
        answer: &http::Answer,
        step: &Step,
    ) -> Option<Result<Outcome, Outcome>> {
        let code = self.scene().txn.response.status();
        if code == 404 && self.plan.disable_on_404 && super::is_up(self.site.server) {
            return Some(Ok(Outcome::coded("L7OKC", Some(code), "")));
        }
        let passed = if expect::is_of_body(expect) {
            if answer.complete && answer.body.is_empty() {
                let text = "HTTP content check could not find a response body".to_owned();
                return Some(Err(self.failed(
                    expect,
                    step,
                    expect.error_status,
                    None,
                    text,
                )));
            }
            match expect::judge(expect, pattern, &answer.body, answer.complete) {
                Judgement::Wait => return None,
                Judgement::Passed => true,
                Judgement::Failed => {
                    let text = match expect.negated {
                        true => "HTTP check matched unwanted content",
                        false => "HTTP content check did not match",
                    };
                    let status = expect.error_status;
                    return Some(Err(self.failed(
                        expect,
                        step,
                        status,
                        None,
                        text.to_owned(),
                    )));
                }
            }
        } else {
            self.head_matches(expect) != expect.negated
        };
        Some(if passed {
            let text = match &expect.on_success {
                Some(format) => self.text(format),
                None => String::new(),
            };
            let code = self.status_code(expect).or(Some(code));
            Ok(Outcome::coded(expect.ok_status, code, text))
        } else {
            let reason = self.scene().txn.response.reason();
            let reason = String::from_utf8_lossy(reason).into_owned();
            Err(self.failed(expect, step, expect.error_status, Some(code), reason))
        })
    }

    fn head_matches(&mut self, expect: &Expect) -> bool {
        let expect::Matcher::Header { name, value, .. } = &expect.what else {
            return expect::head_matches(expect, &self.scene().txn.response, b"", b"");
        };
        let name = self.data(&name.text);
        let value = value
            .as_ref()
            .map_or(Vec::new(), |value| self.data(&value.text));
        expect::head_matches(expect, &self.scene().txn.response, &name, &value)
    }

    async fn protocol(&mut self, judge: &Judge, step: &Step) -> Result<Outcome, Outcome> {
        self.spoke = true;
        let until = self.site.limits.answer_until(Instant::now());
        loop {
            if self.ended && self.input.is_empty() {
                let text = format!("TCPCHK got an empty response at step {}", step.number);
                return Err(Outcome::new(judge.empty, text));
            }
            if let Some(found) = (judge.judge)(&self.input, self.ended) {
                if judge.forgets {
                    self.input.clear();
                }
                return found;
            }
            if self.ended {
                return Err(Outcome::new(judge.empty, ""));
            }
            self.more(until, judge.timeout, step).await?;
        }
    }

    /// A failure of an `expect`, in the words of `on-error` or in these.
    fn failed(
        &mut self,
        expect: &Expect,
        step: &Step,
        status: &'static str,
        code: Option<u16>,
        text: String,
    ) -> Outcome {
        let code = self.status_code(expect).or(code);
        let mut text = match &expect.on_error {
            Some(format) => self.text(format),
            None => text,
        };
        if let Some(comment) = &step.comment
            && expect.on_error.is_none()
        {
            text.push_str(&format!(" comment: {comment}"));
        }
        Outcome::coded(status, code, text)
    }

    /// Says at which step of a script it failed.
    fn at_step(&self, outcome: Outcome, step: &Step) -> Outcome {
        if self.plan.kind != Kind::Script {
            return outcome;
        }
        let mut text = outcome.detail.clone();
        if step.number == 0 {
            text.push_str(INITIAL_STEP);
        } else {
            let what: Cow<'_, str> = match &step.action {
                Action::Connect(connect) => match &connect.port {
                    Some(Port::Number(port)) => format!("connect port {port}").into(),
                    Some(Port::Expression(_)) => "connect port (expression)".into(),
                    None => "connect".into(),
                },
                Action::Send(_) => "send".into(),
                Action::Expect(expect) => format!("expect {}", expect::step_name(expect)).into(),
                _ => "rule".into(),
            };
            text.push_str(&format!(" at step {} of tcp-check ({what})", step.number));
            if let Some(comment) = &step.comment {
                text.push_str(&format!(" comment: '{comment}'"));
            }
        }
        Outcome::coded(outcome.status, outcome.code, text)
    }

    fn scene(&mut self) -> &mut Scene {
        let site = &self.site;
        self.scene.get_or_insert_with(|| Box::new(Scene::new(site)))
    }

    fn set_variable(&mut self, name: &str, source: &VariableSource) {
        let value = match source {
            VariableSource::Expression(expression) => self.value(expression),
            VariableSource::Format(format) => Some(self.format(format)),
        };
        self.scene().txn.set_variable(name, value);
    }

    fn view(&mut self) -> View<'_> {
        let environment = &self.site.app.environment;
        let now_us = self.site.app.shared.clock.now_us();
        let scene = self.scene();
        View {
            session: &scene.session,
            txn: &scene.txn,
            environment,
            now_us,
        }
    }

    fn value(&mut self, expression: &Expression) -> Option<Vec<u8>> {
        let view = self.view();
        let value = expression.value(&view)?;
        Some(value.as_bytes().into_owned())
    }

    fn expression(&mut self, expression: &Expression) -> Option<i64> {
        let view = self.view();
        expression.value(&view)?.as_int()
    }

    fn status_code(&mut self, expect: &Expect) -> Option<u16> {
        let code = self.expression(expect.status_code.as_ref()?)?;
        Some(u16::try_from(code).unwrap_or(u16::MAX))
    }

    fn format(&mut self, format: &LogFormat) -> Vec<u8> {
        let mut out = Vec::new();
        format.render_text(&self.view(), &mut out);
        out
    }

    fn text(&mut self, format: &LogFormat) -> String {
        String::from_utf8_lossy(&self.format(format)).into_owned()
    }

    fn data(&mut self, data: &Data) -> Vec<u8> {
        match data {
            Data::Bytes(bytes) => bytes.clone(),
            Data::Format(format) => self.format(format),
            Data::HexadecimalFormat(format) => expect::from_hexadecimal(&self.format(format)),
        }
    }
}
