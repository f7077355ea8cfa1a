//! One check: a connection, and for `option httpchk` a request and the judgement of its answer.

use std::net::SocketAddr;
use std::time::Duration;

use config::haproxy::{HttpCheck, HttpExpect, HttpExpectKind, ProxyConfig};
use config::{Diagnostic, DiagnosticKind, Diagnostics};
use regex::bytes::Regex;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::app::Shared;
use crate::state::{Backend, Server};

/// What TLS checks need.
pub type CheckTls = (tokio_rustls::TlsConnector, ServerName<'static>);

/// Most bytes of an answer that a check reads.
pub(super) const MAX_CHECK_BYTES: usize = 16 << 10;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// HAProxy's short word: `L4OK`, `L7STS`.
    pub status: &'static str,
    /// HTTP status, if there was one.
    pub code: Option<u16>,
    /// What it found in words.
    pub detail: String,
}

impl Outcome {
    fn new(status: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            detail: detail.into(),
        }
    }

    /// HAProxy's description of the short word.
    pub fn description(status: &str) -> &'static str {
        match status {
            "INI" => "Initializing",
            "SOCKERR" => "Socket error",
            "L4OK" => "Layer4 check passed",
            "L4TOUT" => "Layer4 timeout",
            "L4CON" => "Layer4 connection problem",
            "L6OK" => "Layer6 check passed",
            "L6TOUT" => "Layer6 timeout",
            "L6RSP" => "Layer6 invalid response",
            "L7OK" => "Layer7 check passed",
            "L7TOUT" => "Layer7 timeout",
            "L7RSP" => "Layer7 invalid response",
            "L7STS" => "Layer7 wrong status",
            _ => "",
        }
    }
}

enum Judge {
    AnyGoodStatus,
    Status(Vec<(u16, u16)>, bool),
    StatusRegex(Regex, bool),
    Text(Vec<u8>, bool),
    TextRegex(Regex, bool),
}

/// How a server is checked.
pub(super) struct Probe {
    request: Option<Vec<u8>>,
    judge: Judge,
    tls: Option<CheckTls>,
    timeout_check: Option<Duration>,
    timeout_connect: Option<Duration>,
}

impl Probe {
    /// The probe of a server; `None` without `check`.
    pub(super) fn of(
        shared: &Shared,
        backend: &Backend,
        server: &Server,
        tls: Option<CheckTls>,
    ) -> Option<Self> {
        server.config.check.as_ref()?;
        let proxy = shared.config.proxies.get(backend.config_index)?;
        let http = proxy.httpchk.as_ref();
        Some(Self {
            request: http.map(request_text),
            judge: http
                .and_then(|http| http.expect.as_ref())
                .map_or(Judge::AnyGoodStatus, judge),
            tls,
            timeout_check: proxy.timeouts.check,
            timeout_connect: proxy.timeouts.connect,
        })
    }

    /// Runs one check; says what it found and whether that is good.
    ///
    /// With `timeout check`, connecting may take as long as the interval (and `timeout connect`), and the answer as
    /// long as `timeout check`; without it, the whole may take as long as the interval (manual, `timeout check`).
    pub(super) async fn run(&self, server: &Server, interval: Duration) -> (Outcome, bool) {
        let start = Instant::now();
        let connect_limit = match (self.timeout_check, self.timeout_connect) {
            (Some(_), Some(connect)) => interval.min(connect),
            (None, Some(connect)) => interval.min(connect),
            _ => interval,
        };
        let connect_until = start + connect_limit;
        let answer_until = |now: Instant| match self.timeout_check {
            Some(limit) => now + limit,
            None => start + interval,
        };
        let check = server.config.check.as_ref();
        if let Some(connecting) = crate::server::connect_unix(&server.config.address) {
            return match timeout_at(connect_until, connecting).await {
                Err(_) => (Outcome::new("L4TOUT", ""), false),
                Ok(Err(error)) => (Outcome::new("L4CON", describe(&error)), false),
                Ok(Ok(stream)) => self.talk(stream, answer_until(Instant::now())).await,
            };
        }
        let Some(address) = server.address.load().as_deref().copied() else {
            return (Outcome::new("SOCKERR", "the server has no address"), false);
        };
        let target = SocketAddr::new(
            check
                .and_then(|check| check.address)
                .unwrap_or(address.ip()),
            check.and_then(|check| check.port).unwrap_or(address.port()),
        );
        let stream = match timeout_at(connect_until, TcpStream::connect(target)).await {
            Err(_) => return (Outcome::new("L4TOUT", ""), false),
            Ok(Err(error)) => return (Outcome::new("L4CON", describe(&error)), false),
            Ok(Ok(stream)) => stream,
        };
        let until = answer_until(Instant::now());
        match &self.tls {
            None => self.talk_tcp(stream, until).await,
            Some((connector, name)) => {
                let handshake = connector.connect(name.clone(), stream);
                match timeout_at(until, handshake).await {
                    Err(_) => (Outcome::new("L6TOUT", ""), false),
                    Ok(Err(error)) => (Outcome::new("L6RSP", describe(&error)), false),
                    Ok(Ok(_)) if self.request.is_none() => (Outcome::new("L6OK", ""), true),
                    Ok(Ok(stream)) => self.talk(stream, until).await,
                }
            }
        }
    }

    /// A plain connection that carried nothing is reset rather than closed, so that checks leave no sockets behind
    /// in TIME_WAIT.
    async fn talk_tcp(&self, stream: TcpStream, until: Instant) -> (Outcome, bool) {
        if self.request.is_none() {
            let _ = stream.set_zero_linger();
            return (Outcome::new("L4OK", ""), true);
        }
        self.talk(stream, until).await
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        until: Instant,
    ) -> (Outcome, bool) {
        let Some(request) = &self.request else {
            return (Outcome::new("L4OK", ""), true);
        };
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(request).await?;
            stream.flush().await?;
            let mut buffer = [0; 4_096];
            loop {
                let count = stream.read(&mut buffer).await?;
                let room = MAX_CHECK_BYTES.saturating_sub(answer.len());
                answer.extend_from_slice(&buffer[..count.min(room)]);
                let at_end = count == 0 || answer.len() >= MAX_CHECK_BYTES;
                if let Some(verdict) = self.verdict(&answer, at_end) {
                    return Ok::<_, std::io::Error>(verdict);
                }
            }
        };
        match timeout_at(until, exchange).await {
            Err(_) => (Outcome::new("L7TOUT", ""), false),
            Ok(Err(error)) => (Outcome::new("L7RSP", describe(&error)), false),
            Ok(Ok(verdict)) => verdict,
        }
    }

    /// Judges what has come so far; `None` while more is needed.
    fn verdict(&self, answer: &[u8], at_end: bool) -> Option<(Outcome, bool)> {
        let Some(head) = parse_status(answer) else {
            if at_end || !b"HTTP/1.".starts_with(&answer[..answer.len().min(7)]) {
                return Some((
                    Outcome::new("L7RSP", "invalid answer: no HTTP/1 status line"),
                    false,
                ));
            }
            return None;
        };
        let (code, reason) = head;
        let by_status = |good: bool| {
            Some((
                Outcome {
                    status: if good { "L7OK" } else { "L7STS" },
                    code: Some(code),
                    detail: reason.clone(),
                },
                good,
            ))
        };
        let by_text = |found: bool, negated: bool| {
            if found != negated && (found || at_end) {
                return Some((
                    Outcome {
                        status: "L7OK",
                        code: Some(code),
                        detail: if negated {
                            "HTTP content check did not match".to_owned()
                        } else {
                            "HTTP content check matched".to_owned()
                        },
                    },
                    true,
                ));
            }
            (at_end || found).then(|| {
                (
                    Outcome {
                        status: "L7RSP",
                        code: Some(code),
                        detail: if found {
                            "HTTP content check matched".to_owned()
                        } else {
                            "HTTP content check did not match".to_owned()
                        },
                    },
                    false,
                )
            })
        };
        match &self.judge {
            Judge::AnyGoodStatus => by_status((200..400).contains(&code)),
            Judge::Status(ranges, negated) => by_status(
                ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&code))
                    != *negated,
            ),
            Judge::StatusRegex(regex, negated) => {
                by_status(regex.is_match(code.to_string().as_bytes()) != *negated)
            }
            Judge::Text(text, negated) => {
                by_text(memchr::memmem::find(body(answer), text).is_some(), *negated)
            }
            Judge::TextRegex(regex, negated) => by_text(regex.is_match(body(answer)), *negated),
        }
    }
}

/// Checks the regular expression of a proxy's `http-check expect`.
pub fn validate(proxy: &ProxyConfig, diagnostics: &mut Diagnostics) {
    let expect = proxy.httpchk.as_ref().and_then(|http| http.expect.as_ref());
    let Some(HttpExpectKind::StatusRegex(text) | HttpExpectKind::Regex(text)) =
        expect.map(|expect| &expect.what)
    else {
        return;
    };
    if let Err(error) = Regex::new(text) {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::InvalidValue,
            proxy.span,
            format!("invalid regular expression '{text}' in 'http-check expect': {error}"),
        ));
    }
}

fn judge(expect: &HttpExpect) -> Judge {
    // `validate` has refused what does not compile.
    let regex = |text: &str| regex::bytes::RegexBuilder::new(text).unicode(false).build();
    match &expect.what {
        HttpExpectKind::Status(ranges) => Judge::Status(ranges.clone(), expect.negated),
        HttpExpectKind::StatusRegex(text) => match regex(text) {
            Ok(regex) => Judge::StatusRegex(regex, expect.negated),
            Err(_) => Judge::AnyGoodStatus,
        },
        HttpExpectKind::String(text) => Judge::Text(text.clone().into_bytes(), expect.negated),
        HttpExpectKind::Regex(text) => match regex(text) {
            Ok(regex) => Judge::TextRegex(regex, expect.negated),
            Err(_) => Judge::AnyGoodStatus,
        },
    }
}

fn request_text(check: &HttpCheck) -> Vec<u8> {
    let mut text = format!("{} {} {}\r\n", check.method, check.uri, check.version);
    for (name, value) in &check.headers {
        text.push_str(&format!("{}: {value}\r\n", name.to_ascii_lowercase()));
    }
    if !check.body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", check.body.len()));
    }
    if check.version != "HTTP/1.0" {
        text.push_str("connection: close\r\n");
    }
    text.push_str("\r\n");
    text.push_str(&check.body);
    text.into_bytes()
}

/// Status and reason phrase once the status line is whole.
fn parse_status(answer: &[u8]) -> Option<(u16, String)> {
    let end = memchr::memchr(b'\n', answer)?;
    let line = answer[..end].trim_ascii_end();
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    if !version.is_ascii_digit() || rest.first() != Some(&b' ') {
        return None;
    }
    let digits = rest.get(1..4)?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let reason = rest.get(4..).unwrap_or(b"").trim_ascii();
    Some((code, String::from_utf8_lossy(reason).into_owned()))
}

fn body(answer: &[u8]) -> &[u8] {
    memchr::memmem::find(answer, b"\r\n\r\n").map_or(b"", |at| &answer[at + 4..])
}

/// The system's words without Rust's number behind them.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(judge: Judge, answer: &str, at_end: bool, expected: Option<(&str, bool)>) {
        let probe = Probe {
            request: Some(Vec::new()),
            judge,
            tls: None,
            timeout_check: None,
            timeout_connect: None,
        };
        let found = probe.verdict(answer.as_bytes(), at_end);
        assert_eq!(
            found
                .as_ref()
                .map(|(outcome, good)| (outcome.status, *good)),
            expected,
            "{answer}"
        );
    }

    #[test]
    fn answers_are_judged_as_haproxy_does() {
        let ok = "HTTP/1.1 200 OK\r\n\r\nhello";
        check(Judge::AnyGoodStatus, ok, false, Some(("L7OK", true)));
        check(
            Judge::AnyGoodStatus,
            "HTTP/1.1 503 No\r\n",
            false,
            Some(("L7STS", false)),
        );
        check(Judge::AnyGoodStatus, "HTTP/1.1 30", false, None);
        check(
            Judge::AnyGoodStatus,
            "SSH-2.0-x\r\n",
            false,
            Some(("L7RSP", false)),
        );
        check(Judge::AnyGoodStatus, "", true, Some(("L7RSP", false)));
        check(
            Judge::Status(vec![(200, 204)], true),
            ok,
            false,
            Some(("L7STS", false)),
        );
        check(
            Judge::Text(b"hello".to_vec(), false),
            ok,
            false,
            Some(("L7OK", true)),
        );
        check(Judge::Text(b"nope".to_vec(), false), ok, false, None);
        check(
            Judge::Text(b"nope".to_vec(), false),
            ok,
            true,
            Some(("L7RSP", false)),
        );
        check(
            Judge::Text(b"nope".to_vec(), true),
            ok,
            true,
            Some(("L7OK", true)),
        );
        check(
            Judge::Text(b"hello".to_vec(), true),
            ok,
            false,
            Some(("L7RSP", false)),
        );
    }
}
