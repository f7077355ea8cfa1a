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
use super::change::{Change, MAX_HISTORY, change_time, changed_by, logs_checks, tell_check};
use super::connection::{Limits, connect_tcp, describe};
use super::outcome::{Outcome, Verdict};
use super::{is_down, lock_health};
use crate::app::Shared;
use crate::state::{Backend, Server};

/// Most bytes of an agent's line that are read.
const MAX_LINE_BYTES: usize = 16 << 10;
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
            let ends = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
            let end = line.iter().position(ends);
            if let Some(end) = end {
                let is_whole = line[end] != 0;
                line.truncate(end);
                return Ok::<_, std::io::Error>(is_whole);
            }
            if count == 0 || line.len() >= MAX_LINE_BYTES {
                return Ok(false);
            }
        }
    };
    match timeout_at(until, talk).await {
        Err(_) => Err(Outcome::new("L7TOUT", "")),
        Ok(Err(error)) => Err(Outcome::new("SOCKERR", describe(&error))),
        Ok(Ok(true)) => Ok(line),
        Ok(Ok(false)) if line.is_empty() => Err(Outcome::new(
            "L7RSP",
            "TCPCHK got an empty response at step 2",
        )),
        // What is cut off may be the start of something else.
        Ok(Ok(false)) => Err(Outcome::new("L7TOUT", INCOMPLETE)),
    }
}

/// What is said of an agent whose line has no end.
const INCOMPLETE: &str = "Ignoring incomplete line from agent";

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
    complaint: Option<Complaint>,
}

/// Reads a line: words apart at blanks, tabs and commas, in any case; what stands behind a word that begins with `#`
/// describes the state. The first word that is not understood is what the complaint names.
fn read(line: &str) -> Wish {
    let mut wish = Wish::default();
    let mut text = None;
    let mut state = None;
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(APART);
        if rest.is_empty() {
            break;
        }
        if let Some(described) = rest.strip_prefix('#') {
            text = Some(described.trim().to_owned());
            break;
        }
        let end = rest.find(APART).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        match word.to_ascii_lowercase().as_str() {
            "ready" => wish.admin = Some(ServerAdmin::Ready),
            "drain" => wish.admin = Some(ServerAdmin::Drain),
            "maint" => wish.admin = Some(ServerAdmin::Maint),
            "up" => state = Some((true, word)),
            "down" | "fail" | "stopped" => state = Some((false, word)),
            lower => {
                if let Err(complaint) = wish.take_number(word, lower) {
                    wish.complain(complaint);
                }
            }
        }
    }
    // What was not understood stands in the place of a description that is missing.
    let described = text
        .filter(|text| !text.is_empty())
        .or_else(|| wish.complaint.as_ref().map(Complaint::short));
    wish.state = state.map(|(up, word)| match described {
        Some(text) => (up, format!("{word} ({text})")),
        None => (up, word.to_owned()),
    });
    wish
}

/// What stands between words.
const APART: [char; 3] = [' ', '\t', ','];

/// What was not understood of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Complaint {
    /// A word.
    Word(String),
    /// A number that is none, in HAProxy's words.
    Number(&'static str),
}

impl Complaint {
    /// As it stands behind the word for a state.
    fn short(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Number(text) => (*text).to_owned(),
        }
    }

    /// As it stands alone.
    fn long(&self) -> String {
        match self {
            Self::Word(word) => format!("agent reports an error : {word}"),
            Self::Number(text) => format!("agent warns : {text}"),
        }
    }
}

impl Wish {
    fn complain(&mut self, complaint: Complaint) {
        if self.complaint.is_none() {
            self.complaint = Some(complaint);
        }
    }

    /// `75%`, `maxconn:30`, and `weight:5`, which newer agents say.
    fn take_number(&mut self, word: &str, lower: &str) -> Result<(), Complaint> {
        let unknown = || Complaint::Word(word.to_owned());
        if let Some(value) = lower.strip_prefix("maxconn:") {
            if value.is_empty() {
                return Err(Complaint::Number("Require <maxconn>."));
            }
            let (number, behind) = leading_number(value).ok_or(Complaint::Number(
                "maxconn string empty or preceded by garbage",
            ))?;
            if !behind.is_empty() {
                return Err(Complaint::Number("Trailing garbage in maxconn string"));
            }
            self.maxconn = Some(number);
            return Ok(());
        }
        let (value, is_weight) = match lower.strip_prefix("weight:") {
            Some(value) => (value, true),
            None => (lower, false),
        };
        if is_weight && let Ok(weight) = value.parse() {
            self.weight = Some(weight);
            return Ok(());
        }
        // A word of per cent begins with a digit and ends with the sign.
        let digits = value.strip_suffix('%').ok_or_else(unknown)?;
        let (percent, behind) = leading_number(digits).ok_or_else(unknown)?;
        if !behind.is_empty() {
            return Err(Complaint::Number("Trailing garbage in weight string"));
        }
        self.percent = Some(percent);
        Ok(())
    }
}

/// A number and what stands behind it; one that is too large counts as the largest.
fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, behind) = text.split_at(end);
    (!digits.is_empty()).then(|| (digits.parse().unwrap_or(u32::MAX), behind))
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
        .map(|percent| {
            let weight = u64::from(initial) * u64::from(percent) / 100;
            u32::try_from(weight).unwrap_or(MAX_WEIGHT)
        })
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
        None => {
            let complaint = wish.complaint.map_or(String::new(), |found| found.long());
            (Outcome::new("CHECKED", complaint), None)
        }
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
        if agent.history.len() >= MAX_HISTORY {
            agent.history.pop_front();
        }
        let is_good = agent.health > 0 && outcome.verdict() != Verdict::Failed;
        agent.history.push_back(is_good);
        if is_down(&before) != is_down(&health) {
            change_time(shared, &mut health, !is_down(&before));
        }
        (before, health.clone(), news)
    };
    let count = after.agent.as_ref().map_or(0, |agent| agent.health);
    let reason = match outcome.detail == INCOMPLETE {
        true => Outcome::new(outcome.status, "").reason(Some(duration)),
        false => outcome.reason(Some(duration)),
    };
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
            "down #no disk",
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
                complaint: Some(Complaint::Word("hello".to_owned())),
                ..Wish::default()
            },
        );
        check(
            "UP nonsense maxconn:",
            Wish {
                state: state(true, "UP (nonsense)"),
                complaint: Some(Complaint::Word("nonsense".to_owned())),
                ..Wish::default()
            },
        );
        check(
            "down#x",
            Wish {
                complaint: Some(Complaint::Word("down#x".to_owned())),
                ..Wish::default()
            },
        );
        check(
            "maxconn:12x 99999999999%",
            Wish {
                percent: Some(u32::MAX),
                complaint: Some(Complaint::Number("Trailing garbage in maxconn string")),
                ..Wish::default()
            },
        );
        check("", Wish::default());
    }
}
