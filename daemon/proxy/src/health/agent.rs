//! Agent checks: a connection to the server's agent, one line of words, and what they change.
//!
//! HAProxy's manual, `agent-check`.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use protocol::operation::ServerAdmin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::admin::{Author, set_admin, set_user_weight};
use super::change::{Change, change_time, changed_by, logs_checks, tell_check};
use super::connection::{Limits, connect_tcp, describe};
use super::outcome::{Outcome, Verdict};
use super::{is_down, lock_health};
use crate::app::Shared;
use crate::state::{Backend, Server};

/// Most bytes of an agent's line that are read.
const MAX_LINE_BYTES: usize = 4 << 10;
/// Largest weight (manual, `weight`).
const MAX_WEIGHT: u32 = 256;

/// Asks a server's agent; `None` when it has no address to ask.
pub(super) async fn ask(server: &Server, limits: Limits) -> Result<Vec<u8>, Outcome> {
    let (address, port, send) = {
        let health = lock_health(server);
        let Some(agent) = &health.agent else {
            return Err(Outcome::new("SOCKERR", "no agent is configured"));
        };
        (agent.address, agent.port, agent.send.clone())
    };
    let own = server.address.load().as_deref().map(SocketAddr::ip);
    let Some(address) = address.or(own) else {
        return Err(Outcome::new("SOCKERR", "the server has no address"));
    };
    let to = SocketAddr::new(address, port);
    let connected = timeout_at(
        limits.connect_until(Instant::now()),
        connect_tcp(server, to),
    )
    .await;
    let mut stream = match connected {
        Err(_) => return Err(Outcome::new("L4TOUT", "")),
        Ok(Err(error)) => return Err(Outcome::new("L4CON", describe(&error))),
        Ok(Ok(stream)) => stream,
    };
    let _ = stream.set_zero_linger();
    let until = limits.answer_until(Instant::now());
    let mut line = Vec::new();
    let talk = async {
        if !send.is_empty() {
            stream.write_all(send.as_bytes()).await?;
        }
        let mut buffer = [0; 512];
        loop {
            let count = stream.read(&mut buffer).await?;
            line.extend_from_slice(&buffer[..count]);
            let end = line
                .iter()
                .position(|byte| matches!(byte, b'\r' | b'\n' | 0));
            if let Some(end) = end {
                line.truncate(end);
                return Ok::<_, std::io::Error>(());
            }
            if count == 0 || line.len() >= MAX_LINE_BYTES {
                return Ok(());
            }
        }
    };
    match timeout_at(until, talk).await {
        Err(_) => Err(Outcome::new("L7TOUT", "")),
        Ok(Err(error)) => Err(Outcome::new("SOCKERR", describe(&error))),
        Ok(Ok(())) if line.is_empty() => Err(Outcome::new(
            "L7RSP",
            "TCPCHK got an empty response at step 2",
        )),
        Ok(Ok(())) => Ok(line),
    }
}

/// What an agent's line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    /// `75%`: of the configured weight.
    percent: Option<u32>,
    /// `weight:5`.
    weight: Option<u32>,
    maxconn: Option<u32>,
    admin: Option<ServerAdmin>,
    /// `up`, or one of the words for down, with the text behind `#`.
    state: Option<(bool, String)>,
    /// What was not understood.
    complaint: String,
}

/// Reads a line: words apart at blanks, tabs and commas; what stands behind `#` describes the word before it.
fn read(line: &str) -> Wish {
    let mut wish = Wish::default();
    let (words, text) = match line.split_once('#') {
        Some((words, text)) => (words, Some(text.trim())),
        None => (line, None),
    };
    for word in words
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
    {
        let numbered = word
            .split_once(':')
            .map(|(name, value)| (name, value.trim()));
        match (word, numbered) {
            ("ready", _) => wish.admin = Some(ServerAdmin::Ready),
            ("drain", _) => wish.admin = Some(ServerAdmin::Drain),
            ("maint", _) => wish.admin = Some(ServerAdmin::Maint),
            ("up" | "down" | "fail" | "stopped", _) => {
                let described = match text {
                    Some(text) if !text.is_empty() => format!("{word} ({text})"),
                    _ => word.to_owned(),
                };
                wish.state = Some((word == "up", described));
            }
            (_, Some(("maxconn", value))) => match value.parse() {
                Ok(maxconn) => wish.maxconn = Some(maxconn),
                Err(_) => {
                    wish.complaint =
                        "agent warns : maxconn string empty or preceded by garbage".to_owned();
                }
            },
            (_, Some(("weight", value))) => match read_weight(value) {
                Some((weight, true)) => wish.percent = Some(weight),
                Some((weight, false)) => wish.weight = Some(weight),
                None => wish.complaint = format!("agent reports an error : {word}"),
            },
            _ => match read_weight(word) {
                Some((percent, true)) => wish.percent = Some(percent),
                _ => wish.complaint = format!("agent reports an error : {word}"),
            },
        }
    }
    wish
}

/// A number, and whether it is one of per cent.
fn read_weight(text: &str) -> Option<(u32, bool)> {
    match text.strip_suffix('%') {
        Some(digits) => Some((digits.parse().ok()?, true)),
        None => Some((text.parse().ok()?, false)),
    }
}

/// Does what an agent said, or takes in that it said nothing.
pub(super) fn apply(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    said: Result<Vec<u8>, Outcome>,
    duration: Duration,
) {
    let line = match said {
        Ok(line) => line,
        // An agent that is silent is no reason to stop using a server.
        Err(outcome) => return record(shared, backend, server, &outcome, None, duration),
    };
    let wish = read(&String::from_utf8_lossy(&line));
    let initial = u32::from(server.config.weight);
    let weight = wish
        .percent
        .map(|percent| (u64::from(initial) * u64::from(percent) / 100) as u32)
        .or(wish.weight);
    if let Some(admin) = wish.admin {
        set_admin(shared, backend, server, admin, Author::Agent);
    }
    if let Some(weight) = weight {
        set_user_weight(
            shared,
            backend,
            server,
            weight.min(MAX_WEIGHT),
            Author::Agent,
        );
    }
    if let Some(maxconn) = wish.maxconn {
        server.maxconn.store(maxconn, Relaxed);
        backend.servers_changed();
    }
    let (outcome, up) = match wish.state {
        Some((true, word)) => (
            Outcome::new("L7OK", format!("via agent : {word}")),
            Some(true),
        ),
        Some((false, word)) => (
            Outcome::new("L7STS", format!("via agent : {word}")),
            Some(false),
        ),
        None => (Outcome::new("CHECKED", wish.complaint), None),
    };
    record(shared, backend, server, &outcome, up, duration);
}

fn record(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    outcome: &Outcome,
    up: Option<bool>,
    duration: Duration,
) {
    let (before, after, news) = {
        let mut health = lock_health(server);
        let before = health.clone();
        let Some(agent) = &mut health.agent else {
            return;
        };
        let news = agent.status != outcome.status;
        agent.status = outcome.status;
        agent.code = outcome.code;
        agent.duration_ms = duration.as_millis() as u64;
        agent.detail.clone_from(&outcome.detail);
        if let Some(up) = up {
            agent.health = u32::from(up);
        }
        if is_down(&before) != is_down(&health) {
            change_time(shared, &mut health, !is_down(&before));
        }
        (before, health.clone(), news)
    };
    let count = after.agent.as_ref().map_or(0, |agent| agent.health);
    let reason = outcome.reason(Some(duration));
    let logs = logs_checks(shared, backend);
    if logs && news && outcome.verdict() != Verdict::Neutral {
        tell_check(
            shared,
            backend,
            server,
            "Agent",
            outcome.verdict(),
            &reason,
            (count, 1),
        );
    }
    if let Some(change) = Change::between(&before, &after) {
        changed_by(shared, backend, server, change, outcome, &reason, logs);
    }
}

/// An agent's address as written: an address, or a name that the system resolves at start.
pub(crate) fn resolve(text: &str) -> Option<IpAddr> {
    use std::net::ToSocketAddrs;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let found = (text, 0).to_socket_addrs().ok()?.next();
    found.map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Wish) {
        assert_eq!(read(line), expected, "{line}");
    }

    #[test]
    fn words_are_read_in_any_order() {
        let state = |up, word: &str| Some((up, word.to_owned()));
        check(
            "75%",
            Wish {
                percent: Some(75),
                ..Wish::default()
            },
        );
        check(
            "weight:50% up",
            Wish {
                percent: Some(50),
                state: state(true, "up"),
                ..Wish::default()
            },
        );
        check(
            "weight:5",
            Wish {
                weight: Some(5),
                ..Wish::default()
            },
        );
        check(
            "drain,maxconn:30\t10%",
            Wish {
                percent: Some(10),
                maxconn: Some(30),
                admin: Some(ServerAdmin::Drain),
                ..Wish::default()
            },
        );
        check(
            "down#no disk",
            Wish {
                state: state(false, "down (no disk)"),
                ..Wish::default()
            },
        );
        check(
            "fail",
            Wish {
                state: state(false, "fail"),
                ..Wish::default()
            },
        );
        check(
            "hello",
            Wish {
                complaint: "agent reports an error : hello".to_owned(),
                ..Wish::default()
            },
        );
        check("", Wish::default());
    }
}
