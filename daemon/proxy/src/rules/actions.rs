//! Actions of rules: what they are when compiled, and what they do. Their words are rows of `compile`'s table.

use std::sync::Arc;

use config::haproxy::LogLevel;
use regex::bytes::Regex;

use super::redirect::Redirect;
use super::reply::Reply;
use super::{AnswerKind, CompiledRules, Context, Verdict, local, owned_value, refused};
use crate::http::Head;
use crate::log::LogFormat;
use crate::pattern::{Chosen, Patterns, Registry};
use crate::sample::{Expression, Value, converters};
use crate::txn::Stage;

/// Classes of priority on each side of 0 (manual, `http-request set-priority-class`); others are cut to these.
const PRIORITY_CLASSES: i64 = 2_047;
/// The largest offset of a priority in milliseconds (manual, `http-request set-priority-offset`).
const PRIORITY_OFFSET_MS: i64 = 524_287;

/// Which message a rule edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// What happens next.
pub(super) enum Outcome {
    /// The next rule.
    Next,
    /// No more rules of this list.
    Stop,
    /// A pause: the body is wanted, for so long and so many bytes.
    WaitForBody(std::time::Duration, u64),
    /// The end of the walk through rules.
    Verdict(Verdict),
}

/// A list of patterns that an action changes.
pub(super) struct NamedList {
    pub(super) registry: Arc<Registry>,
    /// Its file.
    pub(super) path: String,
}

/// What `http-request add-acl`, `del-acl`, `del-map` and `set-map` do to their list.
pub(super) enum ListChange {
    AddPattern(LogFormat),
    Remove(LogFormat),
    Set(LogFormat, LogFormat),
}

/// A compiled action.
pub(super) enum Action {
    AddHeader(Vec<u8>, LogFormat),
    Allow,
    /// `expect-proxy layer4`: of `tcp-request connection` alone.
    ExpectProxy,
    /// The challenges of a server and of a proxy (`option http-use-proxy-header`).
    Auth(Box<[Reply; 2]>),
    ChangeList(NamedList, ListChange),
    Capture {
        expression: Expression,
        slot: usize,
        length: usize,
    },
    DelHeader(Patterns),
    Deny(Reply),
    DisableReplay,
    /// Accepted without effect here.
    Nothing,
    Redirect(Redirect),
    Reject,
    ReplaceHeader(Vec<u8>, Regex, LogFormat),
    ReplacePath(Regex, LogFormat),
    ReplacePathQuery(Regex, LogFormat),
    ReplaceUri(Regex, LogFormat),
    ReplaceValue(Vec<u8>, Regex, LogFormat),
    Return(Reply),
    SetAddress(Told, Expression),
    SetHeader(Vec<u8>, LogFormat),
    SetLogLevel(Option<LogLevel>),
    SetMethod(LogFormat),
    SetPath(LogFormat),
    SetPriorityClass(Expression),
    SetPriorityOffset(Expression),
    SetPathQuery(LogFormat),
    SetQuery(LogFormat),
    SetStatus(u16, Vec<u8>),
    SetUri(LogFormat),
    SetVariable(String, Expression),
    SetVariableFormat(String, LogFormat),
    SilentDrop,
    SwitchToHttp,
    Tarpit(Reply),
    UnsetVariable(String),
    WaitForBody(std::time::Duration, u64),
}

/// What `set-src`, `set-src-port`, `set-dst` and `set-dst-port` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Source,
    SourcePort,
    Destination,
    DestinationPort,
}

/// The words of all actions, for manuals.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    super::compile::action_names()
}

impl Action {
    /// Performs it.
    pub(super) fn run(
        &self,
        rules: &CompiledRules,
        context: &mut Context<'_>,
        side: Side,
    ) -> Outcome {
        match self {
            Self::Nothing | Self::ExpectProxy => {}
            Self::DisableReplay => context.txn.no_replay = true,
            Self::WaitForBody(within, at_least) => {
                return Outcome::WaitForBody(*within, *at_least);
            }
            Self::Allow => return Outcome::Stop,
            Self::AddHeader(name, format) => {
                let value = render(format, context);
                head(context, side).add(name, &value);
            }
            Self::SetHeader(name, format) => {
                let value = render(format, context);
                head(context, side).set(name, &value);
            }
            Self::DelHeader(patterns) => {
                head(context, side)
                    .retain(|name, _| !patterns.matches(&Value::text(&name.to_ascii_lowercase())));
            }
            Self::ReplaceHeader(name, regex, format) => {
                let replacement = render(format, context);
                replace_headers(head(context, side), name, |value| {
                    replace_whole(regex, value, &replacement)
                });
            }
            Self::ReplaceValue(name, regex, format) => {
                let replacement = render(format, context);
                replace_headers(head(context, side), name, |value| {
                    replace_parts(regex, value, &replacement)
                });
            }
            Self::SetMethod(format) => {
                let method = render(format, context);
                if !method.is_empty() && method.iter().all(|byte| crate::http::is_token(*byte)) {
                    context.txn.request.set_method(&method);
                }
            }
            Self::SetPath(format) => {
                let path = render(format, context);
                set_path(&mut context.txn.request, &path, true);
            }
            Self::SetPathQuery(format) => {
                let path = render(format, context);
                set_path(&mut context.txn.request, &path, false);
            }
            Self::SetAddress(what, expression) => set_address(*what, expression, context),
            Self::SetPriorityClass(expression) => {
                if let Some(class) = integer(expression, context) {
                    let class = class.clamp(-PRIORITY_CLASSES, PRIORITY_CLASSES);
                    context.txn.priority.class = class as i16;
                }
            }
            Self::SetPriorityOffset(expression) => {
                if let Some(offset) = integer(expression, context) {
                    let offset = offset.clamp(-PRIORITY_OFFSET_MS, PRIORITY_OFFSET_MS);
                    context.txn.priority.offset_ms = offset as i32;
                }
            }
            Self::SetQuery(format) => {
                let query = render(format, context);
                set_query(&mut context.txn.request, &query);
            }
            Self::SetUri(format) => {
                let target = render(format, context);
                set_target(&mut context.txn.request, &target);
            }
            Self::ReplacePath(regex, format) => {
                let replacement = render(format, context);
                let path = replace_whole(regex, context.txn.request.path(), &replacement);
                if let Some(path) = path {
                    set_path(&mut context.txn.request, &path, true);
                }
            }
            Self::ReplacePathQuery(regex, format) => {
                let replacement = render(format, context);
                let request = &context.txn.request;
                let whole = request.target()[path_range(request).start..].to_vec();
                if let Some(path) = replace_whole(regex, &whole, &replacement) {
                    set_path(&mut context.txn.request, &path, false);
                }
            }
            Self::ReplaceUri(regex, format) => {
                let replacement = render(format, context);
                let target = replace_whole(regex, context.txn.request.target(), &replacement);
                if let Some(target) = target {
                    set_target(&mut context.txn.request, &target);
                }
            }
            Self::SetStatus(status, reason) => {
                context.txn.response.set_status(*status, reason);
            }
            Self::SetVariable(name, expression) => {
                if let Some(value) = owned_value(expression, &context.view()) {
                    context.txn.set_variable(name, Some(value));
                }
            }
            Self::SetVariableFormat(name, format) => {
                let value = render(format, context);
                context.txn.set_variable(name, Some(value));
            }
            Self::ChangeList(list, change) => change_list(list, change, context),
            Self::UnsetVariable(name) => context.txn.set_variable(name, None),
            Self::Capture {
                expression,
                slot,
                length,
            } => capture(expression, *slot, *length, context, side),
            Self::SetLogLevel(level) => {
                context.txn.silent = level.is_none();
                context.txn.log_level = *level;
            }
            Self::Deny(reply) => {
                let stage = stage(side);
                let answer =
                    reply.answer(rules, &context.view(), AnswerKind::Denied, refused(stage));
                return Outcome::Verdict(Verdict::Answer(Box::new(answer)));
            }
            Self::Tarpit(reply) => {
                let answer = reply.answer(
                    rules,
                    &context.view(),
                    AnswerKind::Denied,
                    refused(Stage::Tarpit),
                );
                return Outcome::Verdict(Verdict::Tarpit(Box::new(answer)));
            }
            Self::Auth(replies) => {
                let reply = &replies[usize::from(context.txn.is_to_proxy)];
                let stage = stage(side);
                let answer = reply.answer(rules, &context.view(), AnswerKind::Local, local(stage));
                return Outcome::Verdict(Verdict::Answer(Box::new(answer)));
            }
            Self::SwitchToHttp => return Outcome::Verdict(Verdict::SwitchToHttp),
            Self::Return(reply) => {
                let stage = stage(side);
                let answer = reply.answer(rules, &context.view(), AnswerKind::Local, local(stage));
                return Outcome::Verdict(Verdict::Answer(Box::new(answer)));
            }
            Self::Redirect(redirect) => {
                if let Some(answer) = redirect.answer(&context.view()) {
                    return Outcome::Verdict(Verdict::Answer(Box::new(answer)));
                }
            }
            Self::Reject => {
                return Outcome::Verdict(Verdict::Close {
                    silent: false,
                    termination: refused(stage(side)),
                });
            }
            Self::SilentDrop => {
                return Outcome::Verdict(Verdict::Close {
                    silent: true,
                    termination: refused(stage(side)),
                });
            }
        }
        Outcome::Next
    }
}

/// Changes what the transaction sees of its connection's addresses; a value that is no address changes nothing.
fn set_address(what: Told, expression: &Expression, context: &mut Context<'_>) {
    let (address, port) = {
        let view = context.view();
        let Some(value) = expression.value(&view) else {
            return;
        };
        // A text that begins with no digit is 0 to HAProxy, and a number that is too large loses its upper bits.
        (value.as_address(), value.as_int().unwrap_or(0) as u16)
    };
    let session = &mut *context.session;
    let before = (session.source, session.destination);
    let changed = match what {
        Told::Source | Told::SourcePort => &mut session.source,
        Told::Destination | Told::DestinationPort => &mut session.destination,
    };
    match (what, address, port) {
        (Told::Source | Told::Destination, Some(address), _) => changed.set_ip(address),
        (Told::SourcePort | Told::DestinationPort, ..) => changed.set_port(port),
        _ => return,
    }
    context
        .txn
        .told_addresses
        .get_or_insert_with(|| Box::new(before));
}

fn integer(expression: &Expression, context: &Context<'_>) -> Option<i64> {
    expression.value(&context.view())?.as_int()
}

/// What a list cannot take (an address that is none) is left out, as HAProxy does.
fn change_list(named: &NamedList, change: &ListChange, context: &Context<'_>) {
    let Some(list) = named.registry.find_file(&named.path) else {
        return;
    };
    let text = |format: &LogFormat| -> String {
        String::from_utf8_lossy(&render(format, context)).into_owned()
    };
    let outcome = match change {
        ListChange::AddPattern(key) => list.add_once(&text(key)),
        ListChange::Set(key, value) => list.set_or_add(&text(key), &text(value)),
        ListChange::Remove(key) => {
            list.remove(Chosen::Key(&text(key)));
            Ok(())
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("list {}: not changed by a request: {error}", named.path);
    }
}

fn stage(side: Side) -> Stage {
    match side {
        Side::Request => Stage::Request,
        Side::Response => Stage::Headers,
    }
}

fn head<'c>(context: &'c mut Context<'_>, side: Side) -> &'c mut Head {
    match side {
        Side::Request => &mut context.txn.request,
        Side::Response => &mut context.txn.response,
    }
}

/// Renders a format. A line break would let a value write further headers: it and other control characters
/// become blanks.
fn render(format: &LogFormat, context: &Context<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    format.render_text(&context.view(), &mut text);
    for byte in &mut text {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
    text
}

/// A match anywhere replaces the whole value by the replacement, with its groups resolved.
fn replace_whole(regex: &Regex, value: &[u8], replacement: &[u8]) -> Option<Vec<u8>> {
    let groups = regex.captures(value)?;
    let mut out = Vec::new();
    converters::expand(&groups, replacement, &mut out);
    Some(out)
}

/// As [`replace_whole`] for each part between commas.
fn replace_parts(regex: &Regex, value: &[u8], replacement: &[u8]) -> Option<Vec<u8>> {
    let mut changed = false;
    let parts: Vec<Vec<u8>> = crate::sample::fetches::comma_parts(value)
        .map(|part| match replace_whole(regex, part, replacement) {
            Some(new) => {
                changed = true;
                new
            }
            None => part.to_vec(),
        })
        .collect();
    changed.then(|| parts.join(&b", "[..]))
}

fn replace_headers(head: &mut Head, name: &[u8], replace: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    for index in 0..head.fields().len() {
        let field = head.fields()[index];
        if !head.text(field.name).eq_ignore_ascii_case(name) {
            continue;
        }
        if let Some(value) = replace(head.text(field.value)) {
            head.set_value(index, &value);
        }
    }
}

/// Where the path lies in the target.
fn path_range(head: &Head) -> std::ops::Range<usize> {
    let target = head.target();
    let path = head.path();
    let start = (path.as_ptr() as usize).wrapping_sub(target.as_ptr() as usize);
    if start <= target.len() && start + path.len() <= target.len() {
        return start..start + path.len();
    }
    // `http://host?query` has an empty path.
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    end..end
}

fn set_path(head: &mut Head, path: &[u8], keep_query: bool) {
    let range = path_range(head);
    let mut target = head.target()[..range.start].to_vec();
    target.extend_from_slice(path);
    if keep_query {
        target.extend_from_slice(&head.target()[range.end..]);
    }
    set_target(head, &target);
}

/// The query with or without its question mark; an empty one takes the question mark away.
fn set_query(head: &mut Head, query: &[u8]) {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let range = path_range(head);
    let mut target = head.target()[..range.end].to_vec();
    if !query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    set_target(head, &target);
}

/// Blanks would break the request line; a target that would be empty is left as it was.
fn set_target(head: &mut Head, target: &[u8]) {
    if target.is_empty() {
        return;
    }
    let clean: Vec<u8> = target
        .iter()
        .flat_map(|byte| match byte {
            b' ' => b"%20".to_vec(),
            byte if byte.is_ascii_control() => Vec::new(),
            byte => vec![*byte],
        })
        .collect();
    head.set_target(&clean);
}

fn capture(
    expression: &Expression,
    slot: usize,
    length: usize,
    context: &mut Context<'_>,
    side: Side,
) {
    let Some(mut value) = owned_value(expression, &context.view()) else {
        return;
    };
    value.truncate(length);
    let slots = match side {
        Side::Request => &mut context.txn.captured_request,
        Side::Response => &mut context.txn.captured_response,
    };
    if slots.len() <= slot {
        slots.resize(slot + 1, Vec::new());
    }
    slots[slot] = value;
}
