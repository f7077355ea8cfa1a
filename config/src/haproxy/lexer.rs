//! One line of an `haproxy.cfg` to words: blanks, comments, quotes, escapes and variables
//! (configuration manual, 2.2 and 2.3).

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{FileId, Span, Word};

/// Longest line in characters that HAProxy takes by default is 2,048; generators write longer ones.
const MAX_LINE_CHARS: usize = 64 * 1024;

/// Cuts a line (without its end) into words. `variable` gives the value of an environment variable.
///
/// Errors are places where the quoting does not close, or an escape makes no sense.
pub(super) fn words(
    file: FileId,
    line_number: u32,
    line: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Word>, Diagnostic> {
    let chars: Vec<char> = line.chars().collect();
    let mut lexer = Lexer {
        file,
        line: line_number,
        chars: &chars,
        at: 0,
        words: Vec::new(),
        open: None,
        variable,
    };
    if chars.len() > MAX_LINE_CHARS {
        return Err(lexer.error(
            MAX_LINE_CHARS,
            format!("the line is longer than {MAX_LINE_CHARS} characters"),
        ));
    }
    lexer.run()?;
    Ok(lexer.words)
}

/// How a variable's value joins the word in which it stands.
enum Spread {
    /// As it is.
    One,
    /// `${NAME[*]}`: each of its words is a word of its own.
    Words,
}

struct Lexer<'a> {
    file: FileId,
    line: u32,
    chars: &'a [char],
    at: usize,
    words: Vec<Word>,
    /// The word being read, with the place of its first character.
    open: Option<(usize, String)>,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), Diagnostic> {
        while let Some(character) = self.peek(0) {
            match character {
                ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c' => {
                    self.close();
                    self.at += 1;
                }
                '#' => break,
                '"' => self.double_quoted()?,
                '\'' => self.single_quoted()?,
                '\\' => self.escape(Quoting::None)?,
                other => {
                    self.push(other);
                    self.at += 1;
                }
            }
        }
        self.close();
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn open(&mut self) -> &mut String {
        let at = self.at;
        &mut self.open.get_or_insert_with(|| (at, String::new())).1
    }

    fn push(&mut self, character: char) {
        self.open().push(character);
    }

    fn close(&mut self) {
        if let Some((start, text)) = self.open.take() {
            let span = self.span(start, self.at);
            self.words.push(Word::new(text, span));
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            line: self.line,
            column: count(start + 1),
            length: count(end.saturating_sub(start).max(1)),
        }
    }

    fn error(&self, at: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(DiagnosticKind::Syntax, self.span(at, at + 1), message)
    }

    fn single_quoted(&mut self) -> Result<(), Diagnostic> {
        let start = self.at;
        self.open();
        self.at += 1;
        loop {
            match self.peek(0) {
                Some('\'') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(character) => {
                    self.push(character);
                    self.at += 1;
                }
                None => return Err(self.error(start, "this single quote is never closed")),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), Diagnostic> {
        let start = self.at;
        self.open();
        self.at += 1;
        loop {
            match self.peek(0) {
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.escape(Quoting::Double)?,
                Some('$') => self.variable()?,
                Some(character) => {
                    self.push(character);
                    self.at += 1;
                }
                None => return Err(self.error(start, "this double quote is never closed")),
            }
        }
    }

    fn escape(&mut self, quoting: Quoting) -> Result<(), Diagnostic> {
        let start = self.at;
        self.open();
        let Some(next) = self.peek(1) else {
            // HAProxy keeps a backslash that ends the line.
            self.push('\\');
            self.at += 1;
            return Ok(());
        };
        let meant = match next {
            ' ' | '\\' | '#' | '\'' | '"' | '\t' => next,
            '$' if matches!(quoting, Quoting::Double) => '$',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' => return self.hex_escape(start),
            // Anything else keeps its backslash, so that regular expressions read as written.
            other => {
                self.push('\\');
                other
            }
        };
        self.push(meant);
        self.at += 2;
        Ok(())
    }

    fn hex_escape(&mut self, start: usize) -> Result<(), Diagnostic> {
        let digit = |character: Option<char>| character.and_then(|c| c.to_digit(16));
        let (Some(high), Some(low)) = (digit(self.peek(2)), digit(self.peek(3))) else {
            return Err(self.error(start, "'\\x' wants two hexadecimal digits"));
        };
        let code = high * 16 + low;
        match char::from_u32(code) {
            Some(character) if (1..0x80).contains(&code) => self.push(character),
            _ => {
                let message =
                    format!("'\\x{code:02x}' is not supported yet: only ASCII characters but NUL");
                return Err(Diagnostic::error(
                    DiagnosticKind::NotSupportedYet,
                    self.span(start, start + 4),
                    message,
                ));
            }
        }
        self.at += 4;
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}` or `${NAME[*]}` inside double quotes.
    fn variable(&mut self) -> Result<(), Diagnostic> {
        let start = self.at;
        self.at += 1;
        let braced = self.peek(0) == Some('{');
        if braced {
            self.at += 1;
        }
        let name = self.variable_name();
        if name.is_empty() {
            return Err(self
                .error(start, "a variable's name should follow this '$'")
                .with_help("write '\\$' for a dollar sign inside double quotes"));
        }
        let mut spread = Spread::One;
        let mut default = None;
        if braced {
            if self.peek(0) == Some('[') {
                let suffix: String = self.chars[self.at..].iter().take(3).collect();
                if suffix != "[*]" {
                    return Err(self.error(self.at, "only '[*]' can follow a variable's name here"));
                }
                spread = Spread::Words;
                self.at += 3;
            }
            if self.peek(0) == Some('-') {
                self.at += 1;
                let from = self.at;
                while self.peek(0).is_some_and(|c| c != '}') {
                    self.at += 1;
                }
                default = Some(self.chars[from..self.at].iter().collect::<String>());
            }
            if self.peek(0) != Some('}') {
                return Err(self.error(start, format!("the brace of '${{{name}' is never closed")));
            }
            self.at += 1;
        }
        let value = (self.variable)(&name).or(default).unwrap_or_default();
        match spread {
            Spread::One => self.open().push_str(&value),
            Spread::Words => {
                for (index, part) in value
                    .split([' ', '\t'])
                    .filter(|part| !part.is_empty())
                    .enumerate()
                {
                    if index > 0 {
                        self.close();
                    }
                    self.open().push_str(part);
                }
            }
        }
        Ok(())
    }

    fn variable_name(&mut self) -> String {
        let from = self.at;
        // Pseudo-variables alone begin with a dot: .FILE, .LINE, .SECTION.
        if self.peek(0) == Some('.') {
            self.at += 1;
        }
        while self
            .peek(0)
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }
}

#[derive(Clone, Copy)]
enum Quoting {
    None,
    Double,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> Result<Vec<String>, String> {
        let variable = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "LIST" => Some("x  y z".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        words(FileId(0), 1, line, &variable)
            .map(|words| words.into_iter().map(|word| word.text).collect())
            .map_err(|diagnostic| diagnostic.message)
    }

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(
            cut(line),
            Ok(expected.iter().map(|word| (*word).to_owned()).collect()),
            "{line}"
        );
    }

    #[test]
    fn words_are_cut_as_the_manual_says() {
        check("", &[]);
        check("  \t mode   http\t# or tcp", &["mode", "http"]);
        check("global#this is the global section", &["global"]);
        check(
            r"log-format %{+Q}o\ %t\ %s",
            &["log-format", "%{+Q}o %t %s"],
        );
        check(
            r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#,
            &["log-format", "%{+Q}o %t %s %{-Q}r"],
        );
        check(
            r#"a \# \' \" \\ \n \x41"#,
            &["a", "#", "'", "\"", "\\", "\n", "A"],
        );
        check(r#"a "\# \' \" \\ \$A 'b'""#, &["a", "# ' \" \\ $A 'b'"]);
        check(r"reg ^/a\.b\d$", &["reg", r"^/a\.b\d$"]);
        check(r"'\d $A #'", &[r"\d $A #"]);
        check("a \"\" b", &["a", "", "b"]);
        check("bind :80\r", &["bind", ":80"]);
    }

    #[test]
    fn variables_are_seen_in_double_quotes_alone() {
        check(r#""$A" "${A}" $A '${A}'"#, &["1", "1", "$A", "${A}"]);
        check(
            r#""${NO-127.0.0.1}:514" "${EMPTY-x}""#,
            &["127.0.0.1:514", ""],
        );
        check(r#"a"${LIST[*]}"b "${EMPTY[*]}""#, &["ax", "y", "zb", ""]);
    }

    #[test]
    fn what_does_not_close_is_refused() {
        for line in [
            "a \"b",
            "a 'b",
            "\"${A\"",
            "\"${}\"",
            "\"$ \"",
            "\\x4",
            "\"${A[1]}\"",
        ] {
            assert!(cut(line).is_err(), "{line}");
        }
    }
}
