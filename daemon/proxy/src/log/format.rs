//! Log formats: `%ci:%cp [%tr] %[req.hdr(host)]`, for logs and for the texts of rules.
//!
//! HAProxy's manual, "8.2.4. Custom log format". A format is compiled once to a list of pieces.

use config::{Diagnostic, DiagnosticKind, Word};

use super::variables::{self, VariableRow};
use crate::sample::{Expression, Scope, View};

/// Connections and queues at the moment of logging.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// `%ac`: connections of the process.
    pub process: u64,
    /// `%fc`: of the frontend.
    pub frontend: u64,
    /// `%bc`: of the backend.
    pub backend: u64,
    /// `%sc`: of the server.
    pub server: u64,
}

/// What the variables of a format are made from.
pub struct Line<'a> {
    /// Session, transaction and surroundings.
    pub view: View<'a>,
    /// Connections now.
    pub gauges: Gauges,
    /// Whether the format is HTTP's: timers differ.
    pub http: bool,
    /// `option logasap`: totals are marked, for they may be unfinished.
    pub asap: bool,
}

/// Flags of `%{…}`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    quote: bool,
    escape: bool,
    hexadecimal: bool,
    mandatory: bool,
}

enum Piece {
    Literal(Vec<u8>),
    Variable(&'static VariableRow, Options),
    Expression(Expression, Options),
}

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A log line: a missing value is `-`, odd bytes become `#XX`.
    Log,
    /// A header or a body: a missing value is empty, bytes go as they are.
    Text,
}

/// A compiled format.
pub struct LogFormat {
    pieces: Vec<Piece>,
    purpose: Purpose,
}

impl std::fmt::Debug for LogFormat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LogFormat({} pieces)", self.pieces.len())
    }
}

impl LogFormat {
    /// Compiles a word.
    pub fn compile(word: &Word, purpose: Purpose, scope: &Scope<'_>) -> Result<Self, Diagnostic> {
        let mut compiler = Compiler {
            word,
            scope,
            pieces: Vec::new(),
            literal: Vec::new(),
            options: Options {
                mandatory: purpose == Purpose::Log,
                ..Options::default()
            },
            merge_blanks: purpose == Purpose::Log,
        };
        compiler.run()?;
        Ok(Self {
            pieces: compiler.pieces,
            purpose,
        })
    }

    /// A text without variables.
    pub fn literal(text: &[u8]) -> Self {
        Self {
            pieces: vec![Piece::Literal(text.to_vec())],
            purpose: Purpose::Text,
        }
    }

    /// Appends the text of a line.
    pub fn render(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                // Blanks are merged, also around a variable that has nothing to say.
                Piece::Literal(text)
                    if self.purpose == Purpose::Log && out.last() == Some(&b' ') =>
                {
                    out.extend_from_slice(text.strip_prefix(b" ").unwrap_or(text));
                }
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Variable(row, options) => {
                    let mut options = *options;
                    options.mandatory &= !row.may_vanish();
                    self.write(options, out, |out| (row.write)(line, out));
                }
                Piece::Expression(expression, options) => self.write(*options, out, |out| {
                    if let Some(value) = expression.value(&line.view) {
                        value.write(out);
                    }
                }),
            }
        }
    }

    /// Appends the text for a rule.
    pub fn render_text(&self, view: &View<'_>, out: &mut Vec<u8>) {
        self.render(
            &Line {
                view: *view,
                gauges: Gauges::default(),
                http: true,
                asap: false,
            },
            out,
        );
    }

    fn write(&self, options: Options, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if options.quote {
            out.push(b'"');
        }
        let start = out.len();
        write(out);
        if out.len() == start && !options.quote && options.mandatory {
            out.push(b'-');
        }
        if self.purpose == Purpose::Log || options.quote || options.escape {
            escape(out, start, options);
        }
        if options.quote {
            out.push(b'"');
        }
    }
}

/// Bytes that would break a line become `#XX`; with `+E`, quotes and backslashes get a backslash.
fn escape(out: &mut Vec<u8>, start: usize, options: Options) {
    let odd = |byte: u8| !(0x20..0x7f).contains(&byte) || (byte == b'"' && options.quote);
    if !out[start..]
        .iter()
        .any(|byte| odd(*byte) || (options.escape && matches!(byte, b'"' | b'\\' | b']')))
    {
        return;
    }
    let text = out.split_off(start);
    for byte in text {
        if options.escape && matches!(byte, b'"' | b'\\' | b']') {
            out.extend_from_slice(&[b'\\', byte]);
        } else if odd(byte) {
            out.extend_from_slice(format!("#{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

struct Compiler<'a> {
    word: &'a Word,
    scope: &'a Scope<'a>,
    pieces: Vec<Piece>,
    literal: Vec<u8>,
    /// `%o`: options of all that follow.
    options: Options,
    merge_blanks: bool,
}

impl Compiler<'_> {
    fn run(&mut self) -> Result<(), Diagnostic> {
        let mut rest = self.word.text.as_str();
        while let Some(at) = rest.find('%') {
            self.push_literal(&rest[..at]);
            rest = self.variable(&rest[at + 1..])?;
        }
        self.push_literal(rest);
        self.flush();
        Ok(())
    }

    fn push_literal(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            if byte == b' ' && self.merge_blanks && self.literal.last() == Some(&b' ') {
                continue;
            }
            self.literal.push(byte);
        }
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.pieces
                .push(Piece::Literal(std::mem::take(&mut self.literal)));
        }
    }

    /// Reads what follows a percent sign and returns the rest.
    fn variable<'t>(&mut self, text: &'t str) -> Result<&'t str, Diagnostic> {
        let error = |kind, message: String| Diagnostic::error(kind, self.word.span, message);
        if let Some(rest) = text.strip_prefix('%') {
            self.literal.push(b'%');
            return Ok(rest);
        }
        let mut options = self.options;
        let mut rest = text;
        if let Some(inside) = text.strip_prefix('{') {
            let Some(end) = inside.find('}') else {
                return Err(error(
                    DiagnosticKind::Syntax,
                    "missing '}' after '%{' in a log format".to_owned(),
                ));
            };
            options = parse_options(&inside[..end], options)
                .map_err(|message| error(DiagnosticKind::InvalidValue, message))?;
            rest = &inside[end + 1..];
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let (expression, after) =
                Expression::compile_part(inside.trim_start(), self.word.span, self.scope)?;
            let Some(after) = after.trim_start().strip_prefix(']') else {
                return Err(error(
                    DiagnosticKind::Syntax,
                    format!(
                        "missing ']' after '%[{}' in a log format",
                        expression.name()
                    ),
                ));
            };
            self.flush();
            self.pieces.push(Piece::Expression(expression, options));
            return Ok(after);
        }
        let end = rest
            .find(|at: char| !at.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        if &rest[..end] == "o" {
            self.options = options;
            // The blank after %o belongs to it.
            return Ok(rest[end..].strip_prefix(' ').unwrap_or(&rest[end..]));
        }
        let Some(row) = variables::find(&rest[..end]) else {
            return Err(if variables::is_known(&rest[..end]) {
                error(
                    DiagnosticKind::NotSupportedYet,
                    format!("log variable '%{}' is not supported yet", &rest[..end]),
                )
            } else {
                error(
                    DiagnosticKind::UnknownWord,
                    format!("unknown log variable '%{}'", &rest[..end]),
                )
            });
        };
        self.flush();
        self.pieces.push(Piece::Variable(row, options));
        Ok(&rest[end..])
    }
}

fn parse_options(text: &str, mut options: Options) -> Result<Options, String> {
    for word in text.split(',') {
        let (on, flag) = match word.trim().split_at_checked(1) {
            Some(("+", flag)) => (true, flag),
            Some(("-", flag)) => (false, flag),
            _ => return Err(format!("log option '{word}' must begin with '+' or '-'")),
        };
        match flag {
            "Q" => options.quote = on,
            "E" => options.escape = on,
            "X" => options.hexadecimal = on,
            "M" => options.mandatory = on,
            other => return Err(format!("unknown log option '{other}'")),
        }
    }
    Ok(options)
}
