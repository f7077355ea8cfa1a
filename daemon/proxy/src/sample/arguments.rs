//! Arguments of fetches and converters: text in parentheses to values with names resolved.

use std::sync::Arc;

use config::haproxy::UserList;
use config::{Diagnostic, DiagnosticKind, Span};
use regex::bytes::{Regex, RegexBuilder};

use super::{Call, Scope, Value};
use crate::pattern::{Matcher, Method, Output, Use};
use crate::state::{BackendId, FrontendId, ServerId};

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any text.
    Text,
    /// An integer.
    Int,
    /// The name of a backend; the proxy's own when left out.
    Backend,
    /// The name of a frontend; the proxy's own when left out.
    Frontend,
    /// `backend/server`, or a server of the proxy's own.
    Server,
    /// The name of a user list.
    Users,
    /// A regular expression; a third argument with `i` makes it ignore case.
    Regex,
    /// `txn.NAME`, `req.NAME` or `res.NAME`.
    Variable,
    /// A map's file; how it is matched stands in the converter's name.
    Map,
    /// A value of the type that the converter's name tells.
    MapDefault,
}

/// An argument, resolved.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Argument {
    Text(String),
    Int(i64),
    Backend(BackendId),
    Frontend(FrontendId),
    Server(BackendId, ServerId),
    Users(Arc<UserList>),
    Regex(Regex),
    Map(Arc<Matcher>),
    Value(Value<'static>),
}

impl Argument {
    /// The text, or nothing.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The integer, or 0.
    pub fn as_int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            _ => 0,
        }
    }
}

pub(super) fn compile(
    name: &str,
    kinds: &[ArgumentKind],
    required: usize,
    call: &Call<'_>,
    span: Span,
    scope: &Scope<'_>,
) -> Result<Vec<Argument>, Diagnostic> {
    let texts = match call.arguments {
        Some(text) if !text.trim().is_empty() => split(text),
        _ => Vec::new(),
    };
    let invalid = |message: String| Diagnostic::error(DiagnosticKind::InvalidValue, span, message);
    if texts.len() < required {
        return Err(invalid(format!(
            "'{name}' needs {required} argument(s), found {}",
            texts.len()
        )));
    }
    if texts.len() > kinds.len() {
        return Err(invalid(format!(
            "'{name}' takes at most {} argument(s), found {}",
            kinds.len(),
            texts.len()
        )));
    }
    let mut arguments = Vec::with_capacity(texts.len());
    for (index, kind) in kinds.iter().enumerate() {
        let Some(text) = texts.get(index) else {
            match kind {
                ArgumentKind::Backend => arguments.push(own_backend(name, span, scope)?),
                ArgumentKind::Frontend => arguments.push(own_frontend(name, span, scope)?),
                _ => {}
            }
            break;
        };
        arguments.push(match kind {
            ArgumentKind::Text => Argument::Text(text.clone()),
            ArgumentKind::Int if text.is_empty() && index >= required => Argument::Int(0),
            ArgumentKind::Int => Argument::Int(
                text.trim()
                    .parse()
                    .map_err(|_| invalid(format!("'{name}' wants an integer, found '{text}'")))?,
            ),
            ArgumentKind::Backend => Argument::Backend(backend(text, span, scope)?),
            ArgumentKind::Frontend => {
                Argument::Frontend(scope.names.frontend(text).ok_or_else(|| {
                    unknown(
                        span,
                        format!("'{name}' refers to the unknown frontend '{text}'"),
                    )
                })?)
            }
            ArgumentKind::Server => server(text, span, scope)?,
            ArgumentKind::Users => users(text, span, scope)?,
            ArgumentKind::Regex => Argument::Regex(
                RegexBuilder::new(text)
                    .case_insensitive(texts.get(2).is_some_and(|flags| flags.contains('i')))
                    .unicode(false)
                    .build()
                    .map_err(|error| {
                        invalid(format!("invalid regular expression '{text}': {error}"))
                    })?,
            ),
            ArgumentKind::Map => map(name, text, span, scope)?,
            ArgumentKind::MapDefault => Argument::Value(
                map_kind(name)
                    .1
                    .read(text)
                    .map_err(|message| invalid(format!("default of '{name}': {message}")))?,
            ),
            ArgumentKind::Variable => {
                Argument::Text(variable(text).map_err(|kind| bad_variable(text, kind, span))?)
            }
        });
    }
    Ok(arguments)
}

/// Method and type of values in a converter's name: `map`, `map_beg`, `map_beg_int`.
fn map_kind(name: &str) -> (Method, Output) {
    let mut parts = name.split('_').skip(1);
    let method = match parts.next() {
        Some("regm") => Method::Regm,
        Some(word) => Method::parse(word).unwrap_or(Method::Str),
        None => Method::Str,
    };
    let output = match parts.next() {
        Some("int") => Output::Int,
        Some("ip") => Output::Address,
        _ => Output::Text,
    };
    (method, output)
}

fn map(name: &str, path: &str, span: Span, scope: &Scope<'_>) -> Result<Argument, Diagnostic> {
    let (method, output) = map_kind(name);
    let seen = Use {
        by_acl: false,
        span,
    };
    scope
        .names
        .patterns()
        .file(path, true)
        .and_then(|list| {
            list.matcher(method, false, Some(output), seen)
                .map_err(|message| format!("{message} of file '{path}'"))
        })
        .map(Argument::Map)
        .map_err(|message| {
            Diagnostic::error(DiagnosticKind::File, span, format!("'{name}': {message}"))
        })
}

/// The complaint about a variable's name.
pub(super) fn bad_variable(text: &str, kind: DiagnosticKind, span: Span) -> Diagnostic {
    let message = if kind == DiagnosticKind::NotSupportedYet {
        format!("the scope of variable '{text}' is not supported yet")
    } else {
        format!("'{text}' is not a variable: wanted 'txn.NAME', 'req.NAME' or 'res.NAME'")
    };
    Diagnostic::error(kind, span, message)
}

/// Checks a variable's name and returns it.
pub(super) fn variable(text: &str) -> Result<String, DiagnosticKind> {
    let Some((scope, name)) = text.split_once('.') else {
        return Err(DiagnosticKind::InvalidValue);
    };
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
    match scope {
        "txn" | "req" | "res" | "check" if plain => Ok(text.to_owned()),
        "sess" | "proc" if plain => Err(DiagnosticKind::NotSupportedYet),
        _ => Err(DiagnosticKind::InvalidValue),
    }
}

/// Splits at commas outside of quotes; quotes and backslashes are taken away.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(at) = characters.next() {
        let last = parts.last_mut().expect("there is always a part");
        match (quote, at) {
            (None | Some('"'), '\\') => match characters.next() {
                // Only what would end or open something is unescaped, so that `\d` reaches a regular expression.
                Some(next @ (',' | '"' | '\'' | '(' | ')' | ' ')) => last.push(next),
                Some('\\') => last.push_str("\\\\"),
                Some(next) => {
                    last.push('\\');
                    last.push(next);
                }
                None => last.push('\\'),
            },
            (Some(open), _) if open == at => quote = None,
            (Some(_), _) => last.push(at),
            (None, '"' | '\'') => quote = Some(at),
            (None, ',') => parts.push(String::new()),
            (None, _) => last.push(at),
        }
    }
    parts
}

fn unknown(span: Span, message: String) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::UnknownName, span, message)
}

fn backend(name: &str, span: Span, scope: &Scope<'_>) -> Result<BackendId, Diagnostic> {
    scope.names.backend(name).ok_or_else(|| {
        super::suggest(
            unknown(span, format!("unknown backend '{name}'")),
            name,
            scope.names.backend_names(),
        )
    })
}

fn own_backend(name: &str, span: Span, scope: &Scope<'_>) -> Result<Argument, Diagnostic> {
    scope
        .names
        .backend(&scope.proxy.name.text)
        .map(Argument::Backend)
        .ok_or_else(|| unknown(span, format!("'{name}' needs the name of a backend here")))
}

fn own_frontend(name: &str, span: Span, scope: &Scope<'_>) -> Result<Argument, Diagnostic> {
    scope
        .names
        .frontend(&scope.proxy.name.text)
        .map(Argument::Frontend)
        .ok_or_else(|| unknown(span, format!("'{name}' needs the name of a frontend here")))
}

fn server(text: &str, span: Span, scope: &Scope<'_>) -> Result<Argument, Diagnostic> {
    let (backend_name, name) = text
        .split_once('/')
        .unwrap_or((&scope.proxy.name.text, text));
    let id = backend(backend_name, span, scope)?;
    scope
        .names
        .server(id, name)
        .map(|server| Argument::Server(id, server))
        .ok_or_else(|| {
            unknown(
                span,
                format!("unknown server '{name}' in backend '{backend_name}'"),
            )
        })
}

fn users(text: &str, span: Span, scope: &Scope<'_>) -> Result<Argument, Diagnostic> {
    let list = scope
        .config
        .userlists
        .iter()
        .find(|list| list.name.text == text)
        .ok_or_else(|| unknown(span, format!("unknown userlist '{text}'")))?;
    if list.users.iter().any(|user| !user.2) {
        return Err(Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            span,
            format!("userlist '{text}' has encrypted passwords, which are not supported yet"),
        )
        .with_help("use 'insecure-password'"));
    }
    Ok(Argument::Users(Arc::new(list.clone())))
}
