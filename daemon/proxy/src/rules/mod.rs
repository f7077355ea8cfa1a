//! Rules of a proxy, compiled: `tcp-request`, `http-request`, `redirect`, `use_backend`, `http-response`, captures.
//!
//! Names, regular expressions and formats are resolved when the configuration is compiled. What runs
//! here is synchronous and edits the transaction; the walk performs the verdict.

mod actions;
mod compile;
mod error_pages;
mod redirect;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::acl::{self, Condition};
use crate::http::Head;
use crate::log::LogFormat;
use crate::sample::{Environment, Expression, Names, View};
use crate::state::BackendId;
use crate::txn::{Cause, Session, Stage, Termination, Transaction};

use actions::Action;
pub use actions::action_names;
pub(crate) use compile::challenge;
pub use compile::compile;
pub use error_pages::{ErrorPages, Page, error_pages, is_built_in, parse_page};
pub(crate) use reply::reason;

/// What rules work on.
pub struct Context<'a> {
    /// The client's connection; `set-src` and its kin change what a transaction sees of it.
    pub session: &'a mut Session,
    /// The request and its answer.
    pub txn: &'a mut Transaction,
    /// Microseconds of the worker's clock.
    pub now_us: u64,
    /// The rest of the worker.
    pub environment: &'a Environment,
}

impl Context<'_> {
    /// The same, to read.
    pub fn view(&self) -> View<'_> {
        View {
            session: self.session,
            txn: self.txn,
            environment: self.environment,
            now_us: self.now_us,
        }
    }
}

/// What rules decide.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Read of the request's body first, then go on with [`CompiledRules::resume`].
    WaitForBody {
        /// How long at most.
        within: Duration,
        /// How many bytes are enough; 0 for all.
        at_least: u64,
        /// The rule that comes next.
        next: usize,
    },
    /// `switch-mode http`: the stream is HTTP from here on.
    SwitchToHttp,
    /// Send this instead.
    Answer(Box<Answer>),
    /// Send this after `timeout tarpit`.
    Tarpit(Box<Answer>),
    /// Close; `silent` without telling the client.
    Close {
        /// Whether the client is not told.
        silent: bool,
        /// For the log.
        termination: Termination,
    },
}

/// What `tcp-request content` rules say of a stream's first bytes.
#[derive(Debug)]
pub enum Content {
    /// They have decided.
    Verdict(Verdict),
    /// The rule of this number cannot tell before more has come, or nothing more will.
    Undecided(usize),
}

/// What `tcp-request connection` rules decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The connection is accepted.
    Open,
    /// It is accepted and must begin with a PROXY header (`expect-proxy layer4`).
    WithProxyHeader,
    /// It is closed.
    Closed,
}

/// Who gave an answer of our own, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// `deny`: counts as denied.
    Denied,
    /// Redirect, `return`, `auth`: counts as intercepted.
    Local,
    /// The statistics page.
    Stats,
}

/// An answer of our own. The head holds all fields, `content-length` among them.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line and fields.
    pub head: Head,
    /// Body.
    pub body: Bytes,
    /// For the log.
    pub termination: Termination,
    /// For the counters.
    pub kind: AnswerKind,
    /// Whether the connection ends with it.
    pub close: bool,
}

/// An action with its condition.
struct Rule {
    condition: Option<Condition>,
    action: Action,
}

/// Where a `use_backend` leads.
enum Target {
    Fixed(BackendId),
    /// A name that a request makes, and all names.
    Named(LogFormat, Arc<Names>),
}

/// `capture request|response header NAME len N`.
struct HeaderCapture {
    name: Vec<u8>,
    length: usize,
}

/// `capture cookie NAME len N`.
struct CookieCapture {
    /// The name, or what it begins with.
    name: Vec<u8>,
    exact: bool,
    length: usize,
}

/// All rules of one proxy.
#[derive(Default)]
pub struct CompiledRules {
    tcp_connection: Vec<Rule>,
    tcp_session: Vec<Rule>,
    tcp_content: Vec<Rule>,
    inspect_delay: Option<Duration>,
    reads_content: bool,
    routes_by_content: bool,
    request: Vec<Rule>,
    response: Vec<Rule>,
    backends: Vec<(Option<Condition>, Target)>,
    default_backend: Option<BackendId>,
    request_captures: Vec<HeaderCapture>,
    /// Slots of `http-request capture`, behind those of `request_captures`.
    extra_request_slots: usize,
    response_captures: Vec<HeaderCapture>,
    extra_response_slots: usize,
    cookie_capture: Option<CookieCapture>,
    unique_id: Option<(LogFormat, Option<Vec<u8>>)>,
    pages: Option<ErrorPages>,
}

impl CompiledRules {
    /// `tcp-request connection`: whether and how the connection is accepted.
    pub fn tcp_connection(
        &self,
        session: &Session,
        environment: &Environment,
        now_us: u64,
    ) -> Entrance {
        entrance(&self.tcp_connection, session, environment, now_us)
    }

    /// `tcp-request session`: whether the connection is kept, once all its handshakes are over. Neither a request nor variables
    /// of one exist yet: rules that set these do nothing here, as with HAProxy.
    pub fn tcp_session(
        &self,
        session: &Session,
        environment: &Environment,
        now_us: u64,
    ) -> Entrance {
        entrance(&self.tcp_session, session, environment, now_us)
    }

    /// What a backend does of these: `capture` and `unique-id-format` belong to the frontend that accepted the request.
    pub fn of_backend(mut self) -> Self {
        self.request_captures.clear();
        self.response_captures.clear();
        (self.cookie_capture, self.unique_id) = (None, None);
        self
    }

    /// How long a stream's first bytes are waited for where `tcp-request content` looks at them.
    pub fn inspect_delay(&self) -> Option<Duration> {
        self.inspect_delay
    }

    /// Whether rules of `tcp-request content` look at a stream's first bytes.
    pub fn reads_content(&self) -> bool {
        self.reads_content
    }

    /// Whether `use_backend` looks at a stream's first bytes.
    pub fn routes_by_content(&self) -> bool {
        self.routes_by_content
    }

    /// `tcp-request content` from the rule `from` on, as far as the first bytes tell.
    pub fn tcp_content_from(&self, context: &mut Context<'_>, from: usize) -> Content {
        let rules = self.tcp_content.iter().enumerate().skip(from);
        for (index, rule) in rules {
            let holds = match &rule.condition {
                Some(condition) => condition.look(&context.view()),
                None => Some(true),
            };
            match holds {
                Some(true) => {}
                Some(false) => continue,
                None => return Content::Undecided(index),
            }
            if let Action::Capture { expression, .. } = &rule.action
                && expression.is_awaited(&context.view())
            {
                return Content::Undecided(index);
            }
            match rule.action.run(self, context, actions::Side::Request) {
                actions::Outcome::Next | actions::Outcome::WaitForBody(..) => {}
                actions::Outcome::Stop => break,
                actions::Outcome::Verdict(verdict) => return Content::Verdict(verdict),
            }
        }
        Content::Verdict(Verdict::Continue)
    }

    /// Whether there are rules of `tcp-request content`.
    pub fn has_tcp_content(&self) -> bool {
        !self.tcp_content.is_empty()
    }

    /// `tcp-request content`.
    pub fn tcp_content(&self, context: &mut Context<'_>) -> Verdict {
        self.run(&self.tcp_content, context, actions::Side::Request)
    }

    /// Captures, `http-request` rules, then `redirect` rules.
    pub fn request(&self, context: &mut Context<'_>) -> Verdict {
        self.capture_request(context.txn);
        if let Some(id) = self.make_unique_id(&context.view()) {
            if let Some((_, Some(header))) = &self.unique_id {
                context.txn.request.add(header, &id);
            }
            context.txn.set_variable("txn.unique-id", Some(id));
        }
        self.run(&self.request, context, actions::Side::Request)
    }

    /// The rest of [`CompiledRules::request`] after a wait, from the rule `next` on.
    pub fn resume(&self, context: &mut Context<'_>, next: usize) -> Verdict {
        let rest = self.request.get(next..).unwrap_or_default();
        match self.run(rest, context, actions::Side::Request) {
            Verdict::WaitForBody {
                within,
                at_least,
                next: step,
            } => Verdict::WaitForBody {
                within,
                at_least,
                next: next + step,
            },
            verdict => verdict,
        }
    }

    /// What `unique-id-format` makes of a transaction.
    pub fn make_unique_id(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let (format, _) = self.unique_id.as_ref()?;
        let mut id = Vec::new();
        format.render_text(view, &mut id);
        Some(id)
    }

    /// The backend that a frontend's `use_backend` and `default_backend` choose. A made name that no backend has ends the
    /// search, and `default_backend` counts (manual, `use_backend`).
    pub fn backend(&self, context: &mut Context<'_>) -> Option<BackendId> {
        let view = context.view();
        for (condition, target) in &self.backends {
            if !acl::holds(condition.as_ref(), &view) {
                continue;
            }
            match target {
                Target::Fixed(id) => return Some(*id),
                Target::Named(format, names) => {
                    let mut name = Vec::new();
                    format.render_text(&view, &mut name);
                    let found = named_backend(&name, names, context.environment);
                    return found.or(self.default_backend);
                }
            }
        }
        self.default_backend
    }

    /// Captures of the answer and `http-response` rules.
    pub fn response(&self, context: &mut Context<'_>) -> Verdict {
        self.capture_response(context.txn);
        self.run(&self.response, context, actions::Side::Response)
    }

    /// Whether [`CompiledRules::request`] would do nothing.
    pub fn is_empty_request(&self) -> bool {
        self.request.is_empty()
            && self.request_captures.is_empty()
            && self.extra_request_slots == 0
            && self.cookie_capture.is_none()
            && self.unique_id.is_none()
    }

    /// Whether [`CompiledRules::response`] would do nothing.
    pub fn is_empty_response(&self) -> bool {
        self.response.is_empty()
            && self.response_captures.is_empty()
            && self.extra_response_slots == 0
            && self.cookie_capture.is_none()
    }

    /// The backend if no rule has to be looked at.
    pub fn only_backend(&self) -> Option<BackendId> {
        self.default_backend.filter(|_| self.backends.is_empty())
    }

    fn run(&self, rules: &[Rule], context: &mut Context<'_>, side: actions::Side) -> Verdict {
        for (index, rule) in rules.iter().enumerate() {
            if !acl::holds(rule.condition.as_ref(), &context.view()) {
                continue;
            }
            match rule.action.run(self, context, side) {
                actions::Outcome::WaitForBody(within, at_least) => {
                    return Verdict::WaitForBody {
                        within,
                        at_least,
                        next: index + 1,
                    };
                }
                actions::Outcome::Next => {}
                actions::Outcome::Stop => return Verdict::Continue,
                actions::Outcome::Verdict(verdict) => return verdict,
            }
        }
        Verdict::Continue
    }

    /// Slots that no rule fills are empty.
    pub fn make_room_for_captures(&self, txn: &mut Transaction) {
        let slots = self.request_captures.len() + self.extra_request_slots;
        if slots > 0 && txn.captured_request.len() < slots {
            txn.captured_request.resize(slots, Vec::new());
        }
    }

    fn capture_request(&self, txn: &mut Transaction) {
        self.make_room_for_captures(txn);
        for (capture, slot) in self.request_captures.iter().zip(&mut txn.captured_request) {
            capture.take(&txn.request, slot);
        }
        if let Some(capture) = &self.cookie_capture {
            capture.take(&txn.request, b"cookie", &mut txn.captured_cookies[0]);
        }
    }

    fn capture_response(&self, txn: &mut Transaction) {
        let slots = self.response_captures.len() + self.extra_response_slots;
        if slots > 0 && txn.captured_response.len() < slots {
            txn.captured_response.resize(slots, Vec::new());
        }
        for (capture, slot) in self
            .response_captures
            .iter()
            .zip(&mut txn.captured_response)
        {
            capture.take(&txn.response, slot);
        }
        if let Some(capture) = &self.cookie_capture {
            capture.take(&txn.response, b"set-cookie", &mut txn.captured_cookies[1]);
        }
    }

    fn page_answer(&self, status: u16, kind: AnswerKind, termination: Termination) -> Answer {
        match &self.pages {
            Some(pages) => {
                let page = pages.page(status);
                Answer {
                    head: page.head.clone(),
                    body: page.body.clone(),
                    termination,
                    kind,
                    close: page.close,
                }
            }
            None => {
                let mut head = Head::default();
                head.start_response(status, reply::reason(status).as_bytes(), 1);
                head.add(b"content-length", b"0");
                Answer {
                    head,
                    body: Bytes::new(),
                    termination,
                    kind,
                    close: false,
                }
            }
        }
    }
}

impl HeaderCapture {
    /// HAProxy captures the last occurrence.
    fn take(&self, head: &Head, slot: &mut Vec<u8>) {
        if let Some(value) = head.headers(&self.name).last() {
            slot.clear();
            slot.extend_from_slice(&value[..value.len().min(self.length)]);
        }
    }
}

impl CookieCapture {
    fn take(&self, head: &Head, header: &[u8], slot: &mut Vec<u8>) {
        for line in head.headers(header) {
            for pair in line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
                let name = &pair[..memchr::memchr(b'=', pair).unwrap_or(pair.len())];
                let found = if self.exact {
                    name == self.name
                } else {
                    name.starts_with(&self.name)
                };
                if found {
                    slot.clear();
                    slot.extend_from_slice(&pair[..pair.len().min(self.length)]);
                    return;
                }
            }
        }
    }
}

/// The backend of a name that a request made; `#N` names one by its number, as HAProxy has it.
fn named_backend(name: &[u8], names: &Names, environment: &Environment) -> Option<BackendId> {
    let name = std::str::from_utf8(name).ok()?;
    let Some(number) = name.strip_prefix('#') else {
        return names.backend(name);
    };
    let number: u32 = number.parse().ok()?;
    let mut backends = environment.backends.iter();
    backends
        .find(|backend| backend.iid == number)
        .map(|backend| backend.id)
}

/// Whether and how rules that see nothing but the connection let it in.
fn entrance(rules: &[Rule], session: &Session, environment: &Environment, now_us: u64) -> Entrance {
    let mut entrance = Entrance::Open;
    if rules.is_empty() {
        return entrance;
    }
    let txn = Transaction::default();
    let view = View {
        session,
        txn: &txn,
        environment,
        now_us,
    };
    for rule in rules {
        if !acl::holds(rule.condition.as_ref(), &view) {
            continue;
        }
        match rule.action {
            Action::Allow => return entrance,
            Action::Reject | Action::SilentDrop => return Entrance::Closed,
            Action::ExpectProxy => entrance = Entrance::WithProxyHeader,
            _ => {}
        }
    }
    entrance
}

/// Answered by ourselves.
pub(crate) fn local(stage: Stage) -> Termination {
    Termination {
        cause: Cause::Local,
        stage,
    }
}

/// Refused by a rule.
pub(crate) fn refused(stage: Stage) -> Termination {
    Termination {
        cause: Cause::Proxy,
        stage,
    }
}

/// The value of an expression as bytes of its own.
fn owned_value(expression: &Expression, view: &View<'_>) -> Option<Vec<u8>> {
    expression
        .value(view)
        .map(|value| value.into_bytes().into_owned())
}
