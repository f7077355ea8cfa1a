//! Writing answers: JSON, or aligned columns, with colour only on a terminal.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use super::shape::Failure;
use crate::rows::Health;

/// How answers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// As JSON.
    pub(crate) json: bool,
    colours: bool,
    /// Whether progress is told on stderr.
    pub(crate) progress: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colours: !json && !no_color && std::io::stdout().is_terminal(),
            progress: std::io::stderr().is_terminal(),
        }
    }

    /// Writes a text; a reader that left (`| head`) is no error. Returns whether it was written.
    pub(crate) fn print(&self, text: &str) -> bool {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .is_ok()
    }

    /// Writes a JSON document over several lines.
    pub(crate) fn document<T: Serialize>(&self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => {
                self.print(&format!("{text}\n"));
            }
            Err(error) => eprintln!("tandem: cannot write JSON: {error}"),
        }
    }

    /// Writes a JSON document in one line; returns whether it was written.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> bool {
        serde_json::to_string(value).is_ok_and(|text| self.print(&format!("{text}\n")))
    }

    /// Tells what went wrong: on stderr, or as JSON document.
    pub(crate) fn complain(&self, failure: &Failure) {
        if self.json {
            self.document(&super::shape::Failures {
                errors: std::slice::from_ref(failure),
            });
        } else {
            self.complain_plainly(failure);
        }
    }

    /// Tells failures on stderr, unless they are in the JSON document.
    pub(crate) fn complain_all(&self, failures: &[Failure]) {
        if !self.json {
            failures
                .iter()
                .for_each(|failure| self.complain_plainly(failure));
        }
    }

    fn complain_plainly(&self, failure: &Failure) {
        match &failure.node {
            Some(node) => eprintln!("tandem: {node}: {}", failure.message),
            None => eprintln!("tandem: {}", failure.message),
        }
    }

    /// A word in the colour of its meaning.
    pub(crate) fn coloured(&self, text: &str, health: Health) -> String {
        let code = match health {
            Health::Good => 32,
            Health::Uneasy => 33,
            Health::Bad => 31,
        };
        if self.colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Aligned columns; the first row is the heading. A cell's health colours it.
    pub(crate) fn table(&self, rows: &[Vec<Cell>]) -> String {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.text.chars().count());
                let word = cell.health.map_or_else(
                    || cell.text.clone(),
                    |health| self.coloured(&cell.text, health),
                );
                line.push_str(&if cell.right {
                    format!("{padding}{word}")
                } else {
                    format!("{word}{padding}")
                });
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    right: bool,
    health: Option<Health>,
}

impl Cell {
    /// A text, at the left; what a peer says cannot move the cursor.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self {
            text: crate::words::printable(text.as_ref()),
            right: false,
            health: None,
        }
    }

    /// A figure, at the right.
    pub(crate) fn figure(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            right: true,
            health: None,
        }
    }

    /// With the colour of a health.
    pub(crate) fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_without_colour_when_not_on_a_terminal() {
        let output = Output {
            json: false,
            colours: false,
            progress: false,
        };
        let rows = [
            vec![Cell::text("server"), Cell::figure("rate")],
            vec![Cell::text("web1").health(Health::Good), Cell::figure(7)],
        ];
        assert_eq!(output.table(&rows), "server  rate\nweb1       7\n");
    }
}
