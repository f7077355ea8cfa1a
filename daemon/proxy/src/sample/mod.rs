//! Samples: fetches, converters, and expressions made of them (`req.hdr(host),lower`).
//!
//! An expression is compiled once; names of backends, servers and users are resolved then.
//! HAProxy's manual, chapter 7, defines the words.

mod arguments;
pub(crate) mod base64;
pub(crate) mod converters;
mod environment;
pub(crate) mod fetches;
pub(crate) mod rdp;
mod stream;
mod value;
mod vocabulary;

use config::{Diagnostic, DiagnosticKind, Span, Word};

pub use arguments::{Argument, ArgumentKind};
pub use environment::{Environment, Names, Scope, View};
pub use value::{Kind, Value};

/// Fetches of a sorted table: one row each.
pub struct FetchRow {
    /// Its word.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static [ArgumentKind],
    /// How many of them must be there.
    pub required: usize,
    /// What it yields.
    pub kind: Kind,
    /// Visits the values in order until the visitor returns true.
    pub run: Run,
}

/// A fetch's function.
pub type Run = for<'a> fn(&'a [Argument], &View<'a>, &mut dyn FnMut(Value<'a>) -> bool);

/// Converters of a sorted table: one row each.
pub struct ConverterRow {
    /// Its word.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static [ArgumentKind],
    /// How many of them must be there.
    pub required: usize,
    /// What it yields.
    pub kind: Kind,
    /// The conversion; `None` when the value cannot be converted.
    pub run: for<'a> fn(&'a [Argument], &View<'a>, Value<'a>) -> Option<Value<'a>>,
}

/// A fetch with its converters, compiled.
pub struct Expression {
    fetch: &'static FetchRow,
    arguments: Vec<Argument>,
    converters: Vec<(&'static ConverterRow, Vec<Argument>)>,
}

/// What the names of fetches begin with that look at a request's head.
const OF_THE_REQUEST: [&str; 9] = [
    "base",
    "cook",
    "hdr",
    "http_auth",
    "method",
    "path",
    "query",
    "req",
    "url",
];

impl Expression {
    /// Whether it looks at the request's head.
    pub fn reads_request(&self) -> bool {
        !self.reads_stream()
            && OF_THE_REQUEST
                .iter()
                .any(|start| self.fetch.name.starts_with(start))
    }

    /// Whether it looks at a stream's first bytes, or waits for them.
    pub fn reads_stream(&self) -> bool {
        stream::reads(self.fetch.name)
    }

    /// Whether its value is not there and may still come, with more of a stream's first bytes.
    pub fn is_awaited(&self, view: &View<'_>) -> bool {
        let Some(peeked) = view.txn.peeked.as_deref() else {
            return false;
        };
        peeked.begin();
        self.value(view).is_none()
            && (peeked.is_undecided() || peeked.awaits_head() && self.reads_request())
    }

    /// Whether patterns for it are versions with a dot (manual, `req.ssl_ver`).
    pub fn has_dotted_patterns(&self) -> bool {
        self.converters.is_empty() && stream::is_dotted(self.fetch.name)
    }

    /// Whether patterns for it are bytes in hexadecimal (manual, `req.payload`).
    pub fn has_binary_patterns(&self) -> bool {
        self.converters.is_empty() && stream::is_binary(self.fetch.name)
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Expression({})", self.fetch.name)
    }
}

impl Expression {
    /// Compiles the whole of a word.
    pub fn compile(word: &Word, scope: &Scope<'_>) -> Result<Self, Diagnostic> {
        let (expression, rest) = Self::compile_part(&word.text, word.span, scope)?;
        if rest.is_empty() {
            Ok(expression)
        } else {
            Err(Diagnostic::error(
                DiagnosticKind::Syntax,
                word.span,
                format!("unexpected '{rest}' after a sample expression"),
            ))
        }
    }

    /// Compiles an expression at the start of a text and returns what follows it.
    pub fn compile_part<'t>(
        text: &'t str,
        span: Span,
        scope: &Scope<'_>,
    ) -> Result<(Self, &'t str), Diagnostic> {
        let (call, mut rest) = split_call(text, span)?;
        let Some(fetch) = fetches::find(call.name) else {
            return Err(unknown_fetch(call.name, span));
        };
        let arguments = arguments::compile(
            fetch.name,
            fetch.arguments,
            fetch.required,
            &call,
            span,
            scope,
        )?;
        let mut converters = Vec::new();
        while let Some(tail) = rest.strip_prefix(',') {
            let (call, after) = split_call(tail, span)?;
            let Some(row) = converters::find(call.name) else {
                return Err(unknown_converter(call.name, span));
            };
            converters.push((
                row,
                arguments::compile(row.name, row.arguments, row.required, &call, span, scope)?,
            ));
            rest = after;
        }
        Ok((
            Self {
                fetch,
                arguments,
                converters,
            },
            rest,
        ))
    }

    /// The type of what it yields.
    pub fn kind(&self) -> Kind {
        let mut kind = self.fetch.kind;
        for (row, _) in &self.converters {
            if row.kind != Kind::Any {
                kind = row.kind;
            }
        }
        kind
    }

    /// The fetch's word.
    pub fn name(&self) -> &'static str {
        self.fetch.name
    }

    /// Visits all values (a header's for instance) until the visitor returns true.
    pub fn each<'a>(&'a self, view: &View<'a>, visit: &mut dyn FnMut(Value<'a>) -> bool) {
        if self.converters.is_empty() {
            return (self.fetch.run)(&self.arguments, view, visit);
        }
        (self.fetch.run)(&self.arguments, view, &mut |value| {
            self.convert(view, value).is_some_and(&mut *visit)
        });
    }

    /// One value: the last, where there are several (the manual's default occurrence).
    pub fn value<'a>(&'a self, view: &View<'a>) -> Option<Value<'a>> {
        let mut last = None;
        (self.fetch.run)(&self.arguments, view, &mut |value| {
            last = Some(value);
            false
        });
        self.convert(view, last?)
    }

    fn convert<'a>(&'a self, view: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
        self.converters
            .iter()
            .try_fold(value, |value, (row, arguments)| {
                (row.run)(arguments, view, value)
            })
    }
}

/// Whether such a fetch exists here.
pub fn is_fetch(name: &str) -> bool {
    fetches::find(name).is_some()
}

/// A name with the text in its parentheses, if it has some.
pub(crate) struct Call<'t> {
    pub(crate) name: &'t str,
    pub(crate) arguments: Option<&'t str>,
}

/// Splits `name(arguments)rest`; parentheses nest, quotes and backslashes protect.
pub(crate) fn split_call(text: &str, span: Span) -> Result<(Call<'_>, &str), Diagnostic> {
    let end = text
        .find(|at: char| !(at.is_ascii_alphanumeric() || "._-+".contains(at)))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(inside) = rest.strip_prefix('(') else {
        return Ok((
            Call {
                name,
                arguments: None,
            },
            rest,
        ));
    };
    let mut depth = 1;
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, byte) {
            (None | Some(b'"'), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => {
                depth -= 1;
                if depth == 0 {
                    return Ok((
                        Call {
                            name,
                            arguments: Some(&inside[..at]),
                        },
                        &inside[at + 1..],
                    ));
                }
            }
            _ => {}
        }
    }
    Err(Diagnostic::error(
        DiagnosticKind::Syntax,
        span,
        format!("missing ')' after '{name}('"),
    ))
}

fn unknown_fetch(name: &str, span: Span) -> Diagnostic {
    if vocabulary::is_known_fetch(name) {
        return Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            span,
            format!("sample fetch '{name}' is not supported yet"),
        );
    }
    suggest(
        Diagnostic::error(
            DiagnosticKind::UnknownWord,
            span,
            format!("unknown sample fetch '{name}'"),
        ),
        name,
        fetches::names(),
    )
}

fn unknown_converter(name: &str, span: Span) -> Diagnostic {
    if vocabulary::is_known_converter(name) {
        return Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            span,
            format!("converter '{name}' is not supported yet"),
        );
    }
    suggest(
        Diagnostic::error(
            DiagnosticKind::UnknownWord,
            span,
            format!("unknown converter '{name}'"),
        ),
        name,
        converters::names(),
    )
}

/// Adds `did you mean …?` when a word is near enough.
pub(crate) fn suggest<'n>(
    diagnostic: Diagnostic,
    word: &str,
    names: impl Iterator<Item = &'n str>,
) -> Diagnostic {
    let nearest = names
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 1 + word.len() / 4 => {
            diagnostic.with_help(format!("did you mean '{name}'?"))
        }
        _ => diagnostic,
    }
}

/// Names of all fetches, for manuals and suggestions.
pub fn fetch_names() -> impl Iterator<Item = &'static str> {
    fetches::names()
}

/// Names of all converters, for manuals and suggestions.
pub fn converter_names() -> impl Iterator<Item = &'static str> {
    converters::names()
}

/// Checks a variable's name.
pub(crate) fn variable_name(text: &str, span: Span) -> Result<String, Diagnostic> {
    arguments::variable(text).map_err(|kind| arguments::bad_variable(text, kind, span))
}
