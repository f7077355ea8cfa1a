//! From lines to statements and blocks: blanks, quotes, comments and braces.

use super::reader::{Char, Line};
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::{Span, Word};

/// A keyword with its words, and the block that may follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) words: Vec<Word>,
    /// Which of the words were quoted, at least in part.
    pub(super) quoted: Vec<bool>,
    pub(super) block: Option<Vec<Statement>>,
}

impl Statement {
    pub(super) fn span(&self) -> Span {
        self.words.first().map(|word| word.span).unwrap_or_default()
    }

    /// The keyword.
    pub(super) fn name(&self) -> &str {
        self.text(0)
    }

    /// The text of a word, or nothing.
    pub(super) fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| word.text.as_str())
    }
}

enum Token {
    Word(Word, bool),
    Open(Span),
    Close(Span),
    End,
}

/// Blocks nest so deep.
const MAX_DEPTH: usize = 16;

/// Reads the lines of all files as one tree.
pub(super) fn tree(lines: &[Line], diagnostics: &mut Diagnostics) -> Vec<Statement> {
    let mut tokens = Vec::new();
    for line in lines {
        let before = tokens.len();
        if let Err(diagnostic) = tokenize(line, &mut tokens) {
            // Half a line would only make more complaints.
            tokens.truncate(before);
            diagnostics.push(diagnostic);
        }
        tokens.push(Token::End);
    }
    let mut builder = Builder {
        frames: vec![Vec::new()],
        opened: Vec::new(),
        current: Statement::default(),
        ignored: 0,
    };
    for token in tokens {
        builder.token(token, diagnostics);
    }
    builder.finish(diagnostics)
}

struct Builder {
    frames: Vec<Vec<Statement>>,
    /// The statements whose blocks are open.
    opened: Vec<(Statement, Span)>,
    current: Statement,
    /// Blocks open inside one that is too deep.
    ignored: usize,
}

impl Builder {
    fn token(&mut self, token: Token, diagnostics: &mut Diagnostics) {
        match token {
            Token::Word(word, quoted) => {
                self.current.words.push(word);
                self.current.quoted.push(quoted);
            }
            Token::End => self.end_statement(),
            Token::Open(span) => self.open(span, diagnostics),
            Token::Close(span) => self.close(span, diagnostics),
        }
    }

    fn end_statement(&mut self) {
        if !self.current.words.is_empty() {
            let statement = std::mem::take(&mut self.current);
            self.frame().push(statement);
        }
    }

    fn frame(&mut self) -> &mut Vec<Statement> {
        if self.frames.is_empty() {
            self.frames.push(Vec::new());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn open(&mut self, span: Span, diagnostics: &mut Diagnostics) {
        if self.ignored > 0 || self.opened.len() >= MAX_DEPTH {
            if self.ignored == 0 {
                let message = format!("blocks nest deeper than {MAX_DEPTH}");
                diagnostics.push(Diagnostic::error(DiagnosticKind::Syntax, span, message));
            }
            self.ignored += 1;
            return;
        }
        // The brace may stand on a line of its own.
        let mut statement = std::mem::take(&mut self.current);
        if statement.words.is_empty() {
            match self.frame().last() {
                Some(last) if last.block.is_none() => {
                    statement = self.frame().pop().unwrap_or_default()
                }
                _ => {
                    let message = "a block opens here without a keyword before its '{'";
                    diagnostics.push(Diagnostic::error(DiagnosticKind::Syntax, span, message));
                    statement.words.push(Word::new("", span));
                    statement.quoted.push(false);
                }
            }
        }
        self.opened.push((statement, span));
        self.frames.push(Vec::new());
    }

    fn close(&mut self, span: Span, diagnostics: &mut Diagnostics) {
        self.end_statement();
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        let Some((mut statement, _)) = self.opened.pop() else {
            // keepalived ignores it and goes on, and so do we.
            diagnostics.push(Diagnostic::warning(
                DiagnosticKind::Syntax,
                span,
                "this '}' closes nothing",
            ));
            return;
        };
        statement.block = self.frames.pop();
        self.frame().push(statement);
    }

    fn finish(mut self, diagnostics: &mut Diagnostics) -> Vec<Statement> {
        self.end_statement();
        while let Some((mut statement, span)) = self.opened.pop() {
            let message = format!("the block of '{}' is never closed", statement.name());
            diagnostics.push(
                Diagnostic::error(DiagnosticKind::Syntax, span, message)
                    .with_help("a '}' is missing after its last line"),
            );
            statement.block = self.frames.pop();
            self.frame().push(statement);
        }
        self.frames.pop().unwrap_or_default()
    }
}

struct Open {
    text: String,
    quoted: bool,
    span: Span,
}

fn tokenize(line: &[Char], tokens: &mut Vec<Token>) -> Result<(), Diagnostic> {
    let mut open: Option<Open> = None;
    let mut at = 0;
    let close = |open: &mut Option<Open>, tokens: &mut Vec<Token>| {
        if let Some(word) = open.take() {
            tokens.push(Token::Word(Word::new(word.text, word.span), word.quoted));
        }
    };
    while let Some(here) = line.get(at).copied() {
        match here.value {
            ' ' | '\t' | '\r' | '\x0b' | '\x0c' => close(&mut open, tokens),
            '#' | '!' => break,
            '{' => {
                close(&mut open, tokens);
                tokens.push(Token::Open(here.span()));
            }
            '}' => {
                close(&mut open, tokens);
                tokens.push(Token::Close(here.span()));
            }
            quote @ ('"' | '\'') => {
                let word = open.get_or_insert_with(|| Open {
                    text: String::new(),
                    quoted: true,
                    span: here.span(),
                });
                word.quoted = true;
                at = quoted(line, at + 1, quote, &mut word.text).ok_or_else(|| {
                    Diagnostic::error(
                        DiagnosticKind::Syntax,
                        here.span(),
                        "this quote is never closed",
                    )
                })?;
                extend(&mut open, line, at);
            }
            '\\' if line
                .get(at + 1)
                .is_some_and(|c| matches!(c.value, '"' | '\'' | '\\' | '#' | '!')) =>
            {
                let word = open.get_or_insert_with(|| Open {
                    text: String::new(),
                    quoted: false,
                    span: here.span(),
                });
                at += 1;
                word.text.push(line[at].value);
                extend(&mut open, line, at);
            }
            value => {
                let word = open.get_or_insert_with(|| Open {
                    text: String::new(),
                    quoted: false,
                    span: here.span(),
                });
                word.text.push(value);
                extend(&mut open, line, at);
            }
        }
        at += 1;
    }
    close(&mut open, tokens);
    Ok(())
}

/// Lets the open word's place reach to this character.
fn extend(open: &mut Option<Open>, line: &[Char], at: usize) {
    if let (Some(word), Some(last)) = (open, line.get(at))
        && last.line == word.span.line
        && last.column >= word.span.column
    {
        word.span.length = last.column - word.span.column + 1;
    }
}

/// Reads up to the closing quote; gives its position.
fn quoted(line: &[Char], from: usize, quote: char, text: &mut String) -> Option<usize> {
    let mut at = from;
    loop {
        let here = line.get(at)?.value;
        if here == quote {
            return Some(at);
        }
        if here != '\\' {
            text.push(here);
            at += 1;
            continue;
        }
        let next = line.get(at + 1)?.value;
        at += 2;
        match next {
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'E' => text.push('\x1b'),
            'f' => text.push('\x0c'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'v' => text.push('\x0b'),
            'x' => {
                let (value, length) = number(line, at, 16, 2);
                text.push(value);
                at += length;
            }
            '0'..='7' => {
                let (value, length) = number(line, at - 1, 8, 3);
                text.push(value);
                at = at - 1 + length;
            }
            'c' => {
                let control = line.get(at)?.value.to_ascii_uppercase();
                text.push(char::from_u32(u32::from(control) & 0x1f).unwrap_or(' '));
                at += 1;
            }
            other => text.push(other),
        }
    }
}

/// Up to so many digits of a base as a character, and how many there were.
fn number(line: &[Char], from: usize, base: u32, most: usize) -> (char, usize) {
    let digits: Vec<u32> = line
        .iter()
        .skip(from)
        .take(most)
        .map_while(|c| c.value.to_digit(base))
        .collect();
    let value = digits.iter().fold(0, |value, digit| value * base + digit);
    (char::from_u32(value & 0xff).unwrap_or(' '), digits.len())
}
