//! `capture` and `declare capture` lines, and the action `capture`.

use config::Diagnostic;
use config::haproxy::{ProxyConfig, RuleLine};

use super::super::actions::Action;
use super::super::{CookieCapture, HeaderCapture};
use super::Compiler;
use super::table::{Place, RESPONSE};
use super::words::{Words, invalid};

impl Compiler<'_> {
    pub(super) fn captures(&mut self, proxy: &ProxyConfig) {
        for line in &proxy.captures {
            if let Err(diagnostic) = self.capture_line(line) {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// `capture request|response header NAME len N`, `capture cookie NAME len N`.
    fn capture_line(&mut self, line: &RuleLine) -> Result<(), Diagnostic> {
        let mut words = Words {
            words: &line.words,
            last: line.span,
            argument: None,
        };
        let kind = words.next("'request', 'response' or 'cookie'")?;
        if kind.text == "cookie" {
            let name = words.next("a cookie's name")?.text.clone();
            let length = length(&mut words)?;
            let exact = name.ends_with('=');
            self.rules.cookie_capture = Some(CookieCapture {
                name: name.trim_end_matches('=').as_bytes().to_vec(),
                exact,
                length,
            });
            return Ok(());
        }
        if kind.text == "capture" {
            // `declare capture`: a slot that no header fills.
            let side = words.next("'request' or 'response'")?;
            let slot = HeaderCapture {
                name: Vec::new(),
                length: length(&mut words)?,
            };
            if side.text == "response" {
                self.rules.response_captures.push(slot);
            } else {
                self.rules.request_captures.push(slot);
            }
            return Ok(());
        }
        let header = words.next("'header'")?;
        if header.text != "header" {
            return Err(invalid(
                header,
                format!("expected 'header', found '{}'", header.text),
            ));
        }
        let capture = HeaderCapture {
            name: words.name()?,
            length: length(&mut words)?,
        };
        match kind.text.as_str() {
            "request" => self.rules.request_captures.push(capture),
            "response" => self.rules.response_captures.push(capture),
            other => {
                return Err(invalid(
                    kind,
                    format!("expected 'request', 'response' or 'cookie', found '{other}'"),
                ));
            }
        }
        Ok(())
    }
}

fn length(words: &mut Words<'_>) -> Result<usize, Diagnostic> {
    let keyword = words.next("'len'")?;
    if keyword.text != "len" {
        return Err(invalid(
            keyword,
            format!("expected 'len', found '{}'", keyword.text),
        ));
    }
    words.number("a length")
}

pub(super) fn capture(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    place: Place,
) -> Result<Action, Diagnostic> {
    let expression = words.expression(compiler)?;
    let keyword = words.next("'len' or 'id'")?;
    match keyword.text.as_str() {
        "len" => {
            let length = words.number("a length")?;
            let slot = if place == RESPONSE {
                compiler.rules.extra_response_slots += 1;
                compiler.rules.response_captures.len() + compiler.rules.extra_response_slots - 1
            } else {
                compiler.rules.extra_request_slots += 1;
                compiler.rules.request_captures.len() + compiler.rules.extra_request_slots - 1
            };
            Ok(Action::Capture {
                expression,
                slot,
                length,
            })
        }
        "id" => {
            let slot: usize = words.number("the number of a capture slot")?;
            let side = if place == RESPONSE {
                "response"
            } else {
                "request"
            };
            let length = slot_length(compiler, side, slot).ok_or_else(|| {
                invalid(
                    keyword,
                    format!("no frontend has a {side} capture slot {slot} ('declare capture {side} len N' makes one)"),
                )
            })?;
            Ok(Action::Capture {
                expression,
                slot,
                length,
            })
        }
        other => Err(invalid(
            keyword,
            format!("expected 'len' or 'id', found '{other}'"),
        )),
    }
}

/// How long a capture slot is: of this proxy if it accepts connections, else of the first frontend that has the slot.
fn slot_length(compiler: &Compiler<'_>, side: &str, slot: usize) -> Option<usize> {
    let of = |proxy: &ProxyConfig| -> Option<usize> {
        let mut lines = proxy.captures.iter().filter(|line| {
            let text = |at: usize| line.words.get(at).map_or("", |word| word.text.as_str());
            text(0) == side || (text(0) == "capture" && text(1) == side)
        });
        lines.nth(slot)?.words.last()?.text.parse().ok()
    };
    let own = compiler.scope.proxy;
    if own.kind.is_frontend() {
        let extra = if side == "response" {
            compiler.rules.extra_response_slots
        } else {
            compiler.rules.extra_request_slots
        };
        // A slot of an earlier `capture … len` takes what any slot may take.
        return of(own).or((extra > 0).then_some(usize::from(u16::MAX)));
    }
    compiler.scope.config.proxies.iter().find_map(of)
}
