//! The commands of the text socket: one sorted table, and what each row does.
//!
//! Words, answers and errors are HAProxy's (management manual, "Unix Socket commands"); `vrrp …`, `show vrrp` and
//! `show events` are ours. A row says which level may run it; that is checked once, before it runs.

use std::net::IpAddr;
use std::time::Duration;

use protocol::operation::{ForcedHealth, ServerAdmin, WeightChange};
use protocol::render::{self, Info, StatFilter};
use protocol::snapshot::{FrontendStats, ServerStats};
use protocol::{Level, Operation, Refusal, ServerName, Snapshot};

use super::hub::Hub;
use super::views;
use crate::version;

/// How messages begin (`set severity-output`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityOutput {
    /// As they are.
    #[default]
    None,
    /// `[3]: `.
    Number,
    /// `[err]: `.
    Word,
}

/// What a connection has set for itself.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it may do; `user` and `operator` lower it.
    pub level: Level,
    /// How messages begin.
    pub severity: SeverityOutput,
    /// Whether it stays open with a prompt.
    pub prompt: bool,
    /// It said `quit`.
    pub quit: bool,
    /// When it is dropped for silence.
    pub timeout: Duration,
    /// Where it came in, for the history.
    pub socket: String,
}

/// An answer before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, nothing to say.
    Done,
    /// Lines, each ended.
    Lines(String),
    /// A message of a syslog severity.
    Message(u8, String),
}

const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

fn error(text: impl Into<String>) -> Answer {
    Answer::Message(ERROR, text.into())
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        error(refusal.to_string())
    }
}

impl Answer {
    /// The text as it goes out, without the line that ends an answer.
    pub fn text(&self, severity: SeverityOutput) -> String {
        const WORDS: [&str; 8] = [
            "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
        ];
        match (self, severity) {
            (Self::Done, _) => String::new(),
            (Self::Lines(lines), _) => lines.clone(),
            (Self::Message(_, text), SeverityOutput::None) => format!("{text}\n"),
            (Self::Message(number, text), SeverityOutput::Number) => {
                format!("[{number}]: {text}\n")
            }
            (Self::Message(number, text), SeverityOutput::Word) => {
                format!("[{}]: {text}\n", WORDS[usize::from(*number).min(7)])
            }
        }
    }
}

type Parsed = Result<Operation, Answer>;

/// What a row does.
enum Run {
    /// Changes something: the words become an operation.
    Operate(fn(&[&str], &Snapshot) -> Parsed),
    /// Shows a snapshot.
    Show(fn(&[&str], &Snapshot) -> Answer),
    /// Changes the connection alone.
    Local(fn(&[&str], &mut Session) -> Answer),
    /// Asks the worker for its sessions.
    Sessions,
    /// Asks the worker for refused messages.
    Errors,
    /// Shows the history.
    Events,
    /// Lists commands.
    Help,
    /// Lists the stats sockets.
    Sockets,
    /// A command of HAProxy that is not done yet.
    NotYet,
}

struct Command {
    words: &'static str,
    arguments: &'static str,
    help: &'static str,
    level: Level,
    run: Run,
}

const fn row(
    words: &'static str,
    arguments: &'static str,
    help: &'static str,
    level: Level,
    run: Run,
) -> Command {
    Command {
        words,
        arguments,
        help,
        level,
        run,
    }
}

const fn later(words: &'static str) -> Command {
    Command {
        words,
        arguments: "",
        help: "not supported yet",
        level: Level::User,
        run: Run::NotYet,
    }
}

use Level::{Admin, Operator, User};

/// All commands, sorted.
#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    later("abort ssl"),
    later("add acl"),
    later("add map"),
    later("add server"),
    later("add ssl"),
    later("clear acl"),
    row("clear counters", "[all]", "forget the maxima, or all counters", Operator, Run::Operate(clear_counters)),
    later("clear map"),
    later("clear table"),
    later("commit acl"),
    later("commit map"),
    later("commit ssl"),
    later("del acl"),
    later("del map"),
    later("del server"),
    later("del ssl"),
    later("disable agent"),
    later("disable dynamic-cookie"),
    row("disable frontend", "<frontend>", "accept no connections for a while", Admin, Run::Operate(|w, s| frontend_enabled(w, s, false))),
    row("disable health", "<bk>/<srv>", "stop the checks of a server", Admin, Run::Operate(|w, s| checks(w, s, false))),
    row("disable server", "<bk>/<srv>", "put a server into maintenance", Admin, Run::Operate(|w, s| server_state(w, s, ServerAdmin::Maint))),
    later("enable agent"),
    later("enable dynamic-cookie"),
    row("enable frontend", "<frontend>", "accept connections again", Admin, Run::Operate(|w, s| frontend_enabled(w, s, true))),
    row("enable health", "<bk>/<srv>", "start the checks of a server", Admin, Run::Operate(|w, s| checks(w, s, true))),
    row("enable server", "<bk>/<srv>", "take a server out of maintenance", Admin, Run::Operate(|w, s| server_state(w, s, ServerAdmin::Ready))),
    later("get acl"),
    later("get map"),
    later("get var"),
    row("get weight", "<bk>/<srv>", "tell a server's weight", User, Run::Show(get_weight)),
    row("help", "[<command>]", "list matching or all commands", User, Run::Help),
    later("new ssl"),
    row("operator", "", "go down to the level operator", User, Run::Local(|_, session| lower(session, Operator))),
    later("prepare acl"),
    later("prepare map"),
    row("prompt", "", "stay connected, or not", User, Run::Local(|_, session| { session.prompt = !session.prompt; Answer::Done })),
    row("quit", "", "disconnect", User, Run::Local(|_, session| { session.quit = true; Answer::Done })),
    row("reload", "", "read the configuration again", Admin, Run::Operate(|_, _| Ok(Operation::Reload))),
    later("set dynamic-cookie-key"),
    later("set map"),
    row("set maxconn frontend", "<frontend> <value>", "change a frontend's limit", Admin, Run::Operate(frontend_maxconn)),
    row("set maxconn global", "<value>", "change the process's limit", Admin, Run::Operate(global_maxconn)),
    row("set maxconn server", "<bk>/<srv> <value>", "change a server's limit", Admin, Run::Operate(server_maxconn)),
    later("set profiling"),
    later("set rate-limit"),
    row("set server", "<bk>/<srv> [opts]", "change state, weight, address or health", Admin, Run::Operate(set_server)),
    row("set severity-output", "[none|number|string]", "how messages begin", User, Run::Local(severity_output)),
    later("set ssl"),
    later("set table"),
    row("set timeout", "[cli] <delay>", "when this connection is dropped for silence", User, Run::Local(set_timeout)),
    row("set weight", "<bk>/<srv> <weight>", "change a server's weight", Admin, Run::Operate(set_weight)),
    later("show acl"),
    later("show activity"),
    row("show backend", "", "list the backends", User, Run::Show(|_, snapshot| Answer::Lines(views::backends(snapshot)))),
    later("show cache"),
    row("show cli level", "", "tell this connection's level", User, Run::Local(show_level)),
    row("show cli sockets", "", "list the stats sockets", Operator, Run::Sockets),
    row("show env", "[var]", "list the environment", Operator, Run::Show(show_env)),
    row("show errors", "[<px>] [request|response]", "show the messages refused last", Operator, Run::Errors),
    row("show events", "[json] [N]", "show the history of this node", User, Run::Events),
    later("show fd"),
    row("show info", "[desc|json|typed]*", "tell about the process", User, Run::Show(show_info)),
    later("show libs"),
    later("show map"),
    later("show peers"),
    later("show pools"),
    later("show profiling"),
    later("show resolvers"),
    later("show schema"),
    row("show servers conn", "[<backend>]", "show the connections of servers", User, Run::Show(servers_connections)),
    row("show servers state", "[<backend>]", "show the states of servers", User, Run::Show(servers_state)),
    row("show sess", "[id|all]", "list the sessions", Operator, Run::Sessions),
    later("show ssl"),
    later("show startup-logs"),
    row("show stat", "[desc|json|no-maint|typed|up]*", "tell the counters of proxies and servers", User, Run::Show(show_stat)),
    later("show table"),
    later("show tasks"),
    later("show threads"),
    later("show tls-keys"),
    later("show trace"),
    row("show version", "", "tell the version", User, Run::Show(|_, _| Answer::Message(INFO, version::compatible_version()))),
    row("show vrrp", "[json] [INSTANCE]", "tell the states of VRRP and why", User, Run::Show(show_vrrp)),
    later("shutdown frontend"),
    row("shutdown session", "[id]", "end a session", Admin, Run::Operate(shutdown_session)),
    row("shutdown sessions server", "<bk>/<srv>", "end the sessions of a server", Admin, Run::Operate(shutdown_sessions)),
    later("trace"),
    row("user", "", "go down to the level user", User, Run::Local(|_, session| lower(session, User))),
    row("vrrp failback", "INSTANCE", "let the better priority win again", Admin, Run::Operate(failback)),
    row("vrrp failover", "INSTANCE [force]", "give the addresses to the peer", Admin, Run::Operate(failover)),
];

/// Candidates that an unknown command is answered with.
const MAX_CANDIDATES: usize = 5;

/// Runs one command.
pub async fn run(line: &str, hub: &Hub, session: &mut Session) -> Answer {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((command, rest)) = find(&words) else {
        return unknown(&words, session.level);
    };
    if session.level < command.level {
        return Refusal::PermissionDenied.into();
    }
    match &command.run {
        Run::Operate(parse) => operate(*parse, rest, hub, session).await,
        Run::Show(show) => show(rest, &hub.snapshot().await),
        Run::Local(local) => local(rest, session),
        Run::Sessions => match hub.sessions().await {
            None => Refusal::NotRunning("The proxy worker".to_owned()).into(),
            Some(sessions) => match rest.first() {
                None => Answer::Lines(views::sessions(&sessions, false)),
                Some(&"all") => Answer::Lines(views::sessions(&sessions, true)),
                Some(wanted) => {
                    let wanted = session_id(wanted);
                    let found: Vec<_> = sessions
                        .into_iter()
                        .filter(|session| Some(session.id) == wanted)
                        .collect();
                    if found.is_empty() {
                        Refusal::NoSuchSession.into()
                    } else {
                        Answer::Lines(views::sessions(&found, true))
                    }
                }
            },
        },
        Run::Errors => match hub.errors().await {
            None => Refusal::NotRunning("The proxy worker".to_owned()).into(),
            Some(errors) => {
                let (requests, responses) =
                    (!rest.contains(&"response"), !rest.contains(&"request"));
                let proxy = rest
                    .iter()
                    .find(|word| !matches!(**word, "request" | "response" | "-1"));
                let chosen: Vec<_> = errors
                    .into_iter()
                    .filter(|error| {
                        if error.is_request {
                            requests
                        } else {
                            responses
                        }
                    })
                    .filter(|error| proxy.is_none_or(|proxy| error.proxy == *proxy))
                    .collect();
                Answer::Lines(views::errors(&chosen))
            }
        },
        Run::Events => {
            let mut events = hub.history.after(0);
            if let Some(count) = rest.iter().find_map(|word| word.parse::<usize>().ok()) {
                events.drain(..events.len().saturating_sub(count));
            }
            if rest.contains(&"json") {
                json(&events)
            } else {
                Answer::Lines(views::events(&events))
            }
        }
        Run::Help => {
            let mut text = "The following commands are valid at this level:\n".to_owned();
            let matching: Vec<&Command> = if rest.is_empty() {
                COMMANDS
                    .iter()
                    .filter(|command| is_shown(command))
                    .collect()
            } else {
                candidates(rest)
            };
            list(&mut text, &matching, session.level);
            Answer::Lines(text)
        }
        Run::Sockets => {
            let setup = hub.setup();
            let lines = setup
                .sockets
                .iter()
                .map(|socket| format!("{} {} all\n", socket.name, level_name(socket.level)));
            Answer::Lines(
                std::iter::once("# socket lvl processes\n".to_owned())
                    .chain(lines)
                    .collect(),
            )
        }
        Run::NotYet => error(format!("'{}' is not supported yet.", command.words)),
    }
}

async fn operate(
    parse: fn(&[&str], &Snapshot) -> Parsed,
    rest: &[&str],
    hub: &Hub,
    session: &Session,
) -> Answer {
    let snapshot = hub.snapshot().await;
    let operation = match parse(rest, &snapshot) {
        Ok(operation) => operation,
        // Without a worker every name is unknown; that would be the wrong thing to say.
        Err(answer) => return answer,
    };
    // The level of a row is the lowest that can run it at all; `clear counters all` wants more.
    if session.level < operation.required_level() {
        return Refusal::PermissionDenied.into();
    }
    let note = note(&operation, &snapshot);
    match hub.operate(operation, &session.socket).await {
        Err(refusal) => refusal.into(),
        Ok(text) if !text.is_empty() => Answer::Message(INFO, text),
        Ok(_) => note.map_or(Answer::Done, |note| Answer::Message(WARNING, note)),
    }
}

fn find<'w, 'a>(words: &'w [&'a str]) -> Option<(&'static Command, &'w [&'a str])> {
    let matches = COMMANDS.iter().filter_map(|command| {
        let count = command.words.split(' ').count();
        let same = words.len() >= count
            && command
                .words
                .split(' ')
                .zip(words)
                .all(|(wanted, word)| wanted == *word);
        same.then_some((count, command))
    });
    let (count, command) = matches.max_by_key(|(count, _)| *count)?;
    Some((command, &words[count..]))
}

/// Commands that are not done yet are known, but not offered.
fn is_shown(command: &Command) -> bool {
    !matches!(command.run, Run::NotYet)
}

fn candidates(words: &[&str]) -> Vec<&'static Command> {
    let wanted = words.join(" ");
    let shown = || COMMANDS.iter().filter(|command| is_shown(command));
    let beginning: Vec<_> = shown()
        .filter(|command| {
            command.words == wanted || command.words.starts_with(&format!("{wanted} "))
        })
        .collect();
    if !beginning.is_empty() {
        return beginning;
    }
    let mut by_distance: Vec<_> = shown()
        .map(|command| {
            let same_words = command
                .words
                .split(' ')
                .zip(words)
                .take_while(|(one, other)| *one == **other)
                .count();
            let likeness = strsim::jaro_winkler(command.words, &wanted);
            (same_words as f64 + likeness, command)
        })
        .collect();
    by_distance.sort_by(|one, other| other.0.total_cmp(&one.0));
    by_distance.truncate(MAX_CANDIDATES);
    by_distance.sort_by_key(|(_, command)| command.words);
    by_distance
        .into_iter()
        .map(|(_, command)| command)
        .collect()
}

const ALWAYS: [&str; 3] = ["help", "prompt", "quit"];

fn list(text: &mut String, commands: &[&Command], level: Level) {
    let always = COMMANDS
        .iter()
        .filter(|command| ALWAYS.contains(&command.words));
    let chosen = commands
        .iter()
        .copied()
        .filter(|command| !ALWAYS.contains(&command.words) && command.level <= level);
    for command in chosen.chain(always) {
        let usage = [command.words, command.arguments].join(" ");
        text.push_str(&format!("  {:<40}: {}\n", usage.trim_end(), command.help));
    }
}

fn unknown(words: &[&str], level: Level) -> Answer {
    let mut text = format!(
        "Unknown command: '{}', but maybe one of the following ones is a better match:\n",
        words.join(" ").escape_debug()
    );
    list(&mut text, &candidates(words), level);
    Answer::Message(ERROR, text.trim_end().to_owned())
}

fn json(value: &impl serde::Serialize) -> Answer {
    serde_json::to_string(value).map_or_else(
        |failure| error(failure.to_string()),
        |text| Answer::Lines(text + "\n"),
    )
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::User => "user",
        Level::Operator => "operator",
        Level::Admin => "admin",
    }
}

fn lower(session: &mut Session, level: Level) -> Answer {
    session.level = session.level.min(level);
    Answer::Done
}

fn show_level(_: &[&str], session: &mut Session) -> Answer {
    Answer::Message(INFO, level_name(session.level).to_owned())
}

fn severity_output(words: &[&str], session: &mut Session) -> Answer {
    session.severity = match words.first() {
        Some(&"none") => SeverityOutput::None,
        Some(&"number") => SeverityOutput::Number,
        Some(&"string") => SeverityOutput::Word,
        _ => return error("one of 'none', 'number', 'string' is a required argument"),
    };
    Answer::Done
}

/// Longest silence that a client may wish for.
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

fn set_timeout(words: &[&str], session: &mut Session) -> Answer {
    match words {
        ["cli", delay] => match delay_of(delay) {
            Some(delay) => {
                session.timeout = delay.clamp(Duration::from_secs(1), MAX_TIMEOUT);
                Answer::Done
            }
            None => error("Invalid timeout value."),
        },
        ["cli"] => error("Expects an integer value."),
        _ => error("'set timeout' only supports 'cli'."),
    }
}

/// A time in HAProxy's form; seconds without a unit.
fn delay_of(text: &str) -> Option<Duration> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    Some(match &text[digits..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3_600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    })
}

/// The server that a word names, in the snapshot.
fn server<'a>(
    word: Option<&&str>,
    snapshot: &'a Snapshot,
) -> Result<(ServerName, &'a ServerStats), Answer> {
    let name = ServerName::parse(word.copied().unwrap_or_default())?;
    if snapshot.worker.is_none() {
        return Err(Refusal::NotRunning("The proxy worker".to_owned()).into());
    }
    let backend = views::proxies(snapshot)
        .find(|proxy| proxy.backend.is_some() && proxy.name == name.backend);
    let backend = backend.ok_or(Refusal::NoSuchBackend)?;
    let server = backend
        .servers
        .iter()
        .find(|server| server.name == name.server)
        .ok_or(Refusal::NoSuchServer)?;
    Ok((name, server))
}

fn frontend<'a>(
    word: Option<&&str>,
    snapshot: &'a Snapshot,
) -> Result<(String, &'a FrontendStats), Answer> {
    let Some(name) = word else {
        return Err(error("A frontend name is expected."));
    };
    let found = views::proxies(snapshot)
        .find(|proxy| proxy.name == **name)
        .and_then(|proxy| proxy.frontend.as_ref());
    Ok(((*name).to_owned(), found.ok_or(Refusal::NoSuchFrontend)?))
}

fn get_weight(words: &[&str], snapshot: &Snapshot) -> Answer {
    match server(words.first(), snapshot) {
        Ok((_, server)) => Answer::Message(
            INFO,
            format!("{} (initial {})", server.user_weight, server.initial_weight),
        ),
        Err(answer) => answer,
    }
}

fn server_state(words: &[&str], snapshot: &Snapshot, state: ServerAdmin) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ServerState { server, state })
}

fn checks(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let (server, stats) = server(words.first(), snapshot)?;
    if enabled && stats.check.is_none() {
        return Err(error(
            "Health check was not configured on this server, cannot enable.",
        ));
    }
    Ok(Operation::ServerChecks { server, enabled })
}

fn weight_of(word: Option<&&str>) -> Result<WeightChange, Answer> {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return Err(error("Require <weight> or <weight%>."));
    };
    let (digits, percent) = match word.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (*word, false),
    };
    let Ok(number) = digits.parse::<i64>() else {
        return Err(error("Trailing garbage in weight string"));
    };
    match (u32::try_from(number), percent) {
        (Ok(number), true) if number <= 25_600 => Ok(WeightChange::Percent(number)),
        (_, true) => Err(error("Relative weight must be positive.")),
        (Ok(number), false) if number <= 256 => Ok(WeightChange::Absolute(number as u16)),
        (_, false) => Err(error(
            "Absolute weight can only be between 0 and 256 inclusive.",
        )),
    }
}

fn set_weight(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ServerWeight {
        server,
        weight: weight_of(words.get(1))?,
    })
}

fn set_server(words: &[&str], snapshot: &Snapshot) -> Parsed {
    const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | \
                         check-port | fqdn | health | ssl | state | weight";
    let (server, _) = server(words.first(), snapshot)?;
    let value = words.get(2).copied();
    match words.get(1).copied() {
        Some("weight") => Ok(Operation::ServerWeight {
            server,
            weight: weight_of(words.get(2))?,
        }),
        Some("state") => {
            let state = match value {
                Some("ready") => ServerAdmin::Ready,
                Some("drain") => ServerAdmin::Drain,
                Some("maint") => ServerAdmin::Maint,
                _ => {
                    return Err(error(
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
                    ));
                }
            };
            Ok(Operation::ServerState { server, state })
        }
        Some("health") => {
            let health = match value {
                Some("up") => ForcedHealth::Up,
                Some("stopping") => ForcedHealth::Stopping,
                Some("down") => ForcedHealth::Down,
                _ => {
                    return Err(error(
                        "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
                    ));
                }
            };
            Ok(Operation::ServerHealth { server, health })
        }
        Some("addr") => {
            let Some(value) = value else {
                return Err(error(
                    "set server <b>/<s> addr requires an address and optionally a port.",
                ));
            };
            let Ok(address) = value.parse::<IpAddr>() else {
                return Err(error(format!(
                    "Invalid addr '{value}' by 'stats socket command'"
                )));
            };
            let port = match (words.get(3), words.get(4)) {
                (Some(&"port"), Some(port)) => match port.parse() {
                    Ok(port) => Some(port),
                    Err(_) => {
                        return Err(error(format!(
                            "problem converting port '{port}' to an int by 'stats socket command'"
                        )));
                    }
                },
                _ => None,
            };
            Ok(Operation::ServerAddress {
                server,
                address: Some(address),
                port,
            })
        }
        Some(
            word @ ("agent" | "agent-addr" | "agent-port" | "agent-send" | "check-addr"
            | "check-port" | "fqdn" | "ssl"),
        ) => Err(error(format!(
            "'set server <srv> {word}' is not supported yet."
        ))),
        _ => Err(error(USAGE)),
    }
}

/// What HAProxy says after a change that it comments on.
fn note(operation: &Operation, snapshot: &Snapshot) -> Option<String> {
    let Operation::ServerAddress {
        server: name,
        address,
        port,
    } = operation
    else {
        return None;
    };
    let (_, stats) = server(Some(&name.to_string().as_str()), snapshot).ok()?;
    let (old_address, old_port) = stats
        .address
        .rsplit_once(':')
        .unwrap_or((&stats.address, "0"));
    let mut parts = Vec::new();
    if let Some(address) = address {
        let address = address.to_string();
        let old = old_address.trim_matches(['[', ']']);
        parts.push(match old == address {
            true => "no need to change the addr".to_owned(),
            false => format!("IP changed from '{old}' to '{address}'"),
        });
    }
    if let Some(port) = port {
        parts.push(match old_port == port.to_string() {
            true => "no need to change the port".to_owned(),
            false => format!("port changed from '{old_port}' to '{port}'"),
        });
    }
    Some(format!("{} by 'stats socket command'", parts.join(", ")))
}

fn frontend_enabled(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let (frontend, stats) = frontend(words.first(), snapshot)?;
    match (stats.status.as_str(), enabled) {
        ("OPEN", true) => Err(error("All sockets are already enabled.")),
        ("MAINT", false) => Err(error("All sockets are already disabled.")),
        _ => Ok(Operation::FrontendEnabled { frontend, enabled }),
    }
}

fn frontend_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (frontend, _) = frontend(words.first(), snapshot)?;
    match words.get(1).and_then(|word| word.parse().ok()) {
        Some(maxconn) => Ok(Operation::FrontendMaxconn { frontend, maxconn }),
        None => Err(error("Integer value expected.")),
    }
}

fn global_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let Some(maxconn) = words.first().and_then(|word| word.parse::<u32>().ok()) else {
        return Err(error("Expects an integer value."));
    };
    let most = snapshot
        .worker
        .as_ref()
        .map_or(u64::from(u32::MAX), |worker| worker.process.hard_maxconn);
    if most > 0 && u64::from(maxconn) > most {
        return Err(error("Value out of range."));
    }
    Ok(Operation::GlobalMaxconn { maxconn })
}

fn server_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    match words.get(1).map(|word| word.parse()) {
        None => Err(error("Require <maxconn>.")),
        Some(Ok(maxconn)) => Ok(Operation::ServerMaxconn { server, maxconn }),
        Some(Err(_)) => Err(error("maxconn string empty or preceded by garbage")),
    }
}

fn clear_counters(words: &[&str], _: &Snapshot) -> Parsed {
    Ok(Operation::ClearCounters {
        all: words.first() == Some(&"all"),
    })
}

fn session_id(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

fn shutdown_session(words: &[&str], _: &Snapshot) -> Parsed {
    let Some(word) = words.first() else {
        return Err(error("Session pointer expected (use 'show sess')."));
    };
    let id = session_id(word).ok_or(Refusal::NoSuchSession)?;
    Ok(Operation::ShutdownSession { id })
}

fn shutdown_sessions(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ShutdownServerSessions { server })
}

fn instance(words: &[&str], snapshot: &Snapshot) -> Result<String, Answer> {
    if !snapshot.vrrp_configured {
        return Err(error("VRRP is not configured."));
    }
    let Some(name) = words.first() else {
        return Err(error("A VRRP instance is expected (use 'show vrrp')."));
    };
    if snapshot.vrrp_running && !snapshot.vrrp.iter().any(|instance| instance.name == **name) {
        return Err(Refusal::NoSuchInstance((*name).to_owned()).into());
    }
    Ok((*name).to_owned())
}

fn failover(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let force = words.get(1) == Some(&"force");
    Ok(Operation::VrrpFailover {
        instance: instance(words, snapshot)?,
        force,
    })
}

fn failback(words: &[&str], snapshot: &Snapshot) -> Parsed {
    Ok(Operation::VrrpFailback {
        instance: instance(words, snapshot)?,
    })
}

fn show_env(words: &[&str], _: &Snapshot) -> Answer {
    let wanted = words.first();
    let lines: Vec<String> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| wanted.is_none_or(|wanted| name == wanted))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    match (wanted, lines.is_empty()) {
        (Some(_), true) => error("Variable not found"),
        _ => Answer::Lines(lines.concat()),
    }
}

fn show_info(words: &[&str], snapshot: &Snapshot) -> Answer {
    let version = version::compatible_version();
    let info = Info {
        snapshot,
        version: &version,
        release_date: version::RELEASE_DATE,
    };
    let described = words.contains(&"desc");
    Answer::Lines(match () {
        () if words.contains(&"json") => render::info_json(&info),
        () if words.contains(&"typed") => render::info_typed(&info, described),
        () => render::info_text(&info, described),
    })
}

fn show_stat(words: &[&str], snapshot: &Snapshot) -> Answer {
    let mut filter = StatFilter {
        up: words.contains(&"up"),
        no_maint: words.contains(&"no-maint"),
        ..StatFilter::default()
    };
    if let [proxy, types, server, ..] = words
        && let (Ok(types), Ok(server)) = (types.parse(), server.parse())
    {
        (filter.types, filter.server_id) = (types, server);
        match proxy.parse() {
            Ok(number) => filter.proxy_id = number,
            Err(_) if views::proxies(snapshot).any(|known| known.name == **proxy) => {
                filter.proxy = Some(proxy)
            }
            Err(_) => return error("No such proxy."),
        }
    }
    let described = words.contains(&"desc");
    Answer::Lines(match () {
        () if words.contains(&"json") => render::stat_json(snapshot, filter),
        () if words.contains(&"typed") => render::stat_typed(snapshot, filter, described),
        () if described => render::stat_described(),
        () => render::stat_csv(snapshot, filter),
    })
}

/// The proxies of one backend's name, or all.
fn chosen<'a>(
    words: &[&str],
    snapshot: &'a Snapshot,
) -> Result<Vec<&'a protocol::snapshot::ProxySnapshot>, Answer> {
    let Some(name) = words.first() else {
        return Ok(views::proxies(snapshot).collect());
    };
    let found =
        views::proxies(snapshot).find(|proxy| proxy.name == **name && proxy.backend.is_some());
    found
        .map(|proxy| vec![proxy])
        .ok_or_else(|| error("Can't find backend."))
}

fn servers_state(words: &[&str], snapshot: &Snapshot) -> Answer {
    match chosen(words, snapshot) {
        Ok(proxies) => Answer::Lines(views::servers_state(proxies.into_iter())),
        Err(answer) => answer,
    }
}

fn servers_connections(words: &[&str], snapshot: &Snapshot) -> Answer {
    match chosen(words, snapshot) {
        Ok(proxies) => Answer::Lines(views::servers_connections(proxies.into_iter())),
        Err(answer) => answer,
    }
}

fn show_vrrp(words: &[&str], snapshot: &Snapshot) -> Answer {
    if !snapshot.vrrp_configured {
        return error("VRRP is not configured.");
    }
    if !snapshot.vrrp_running {
        return Refusal::NotRunning("The vrrp process".to_owned()).into();
    }
    let wanted = words.iter().find(|word| **word != "json");
    let chosen: Vec<_> = snapshot
        .vrrp
        .iter()
        .filter(|instance| wanted.is_none_or(|wanted| instance.name == *wanted))
        .cloned()
        .collect();
    match wanted {
        Some(wanted) if chosen.is_empty() => Refusal::NoSuchInstance((*wanted).to_owned()).into(),
        _ if words.contains(&"json") => json(&chosen),
        _ => Answer::Lines(views::vrrp(&chosen, snapshot.at_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_without_doubles() {
        for pair in COMMANDS.windows(2) {
            assert!(
                pair[0].words < pair[1].words,
                "{} before {}",
                pair[0].words,
                pair[1].words
            );
        }
    }

    #[test]
    fn the_longest_command_wins_and_the_rest_are_its_arguments() {
        let check = |line: &str, expected: Option<(&str, usize)>| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let found = find(&words).map(|(command, rest)| (command.words, rest.len()));
            assert_eq!(found, expected, "{line}");
        };
        check(
            "shutdown sessions server a/b",
            Some(("shutdown sessions server", 1)),
        );
        check(
            "  show   servers   state  be ",
            Some(("show servers state", 1)),
        );
        check("set maxconn", None);
        check("show", None);
        check("", None);
    }

    #[test]
    fn an_unknown_command_is_answered_with_near_ones() {
        let Answer::Message(3, text) = unknown(&["show", "state"], Level::Admin) else {
            panic!("a message")
        };
        assert!(
            text.starts_with("Unknown command: 'show state', but maybe one of the following ones is a better match:\n"),
            "{text}"
        );
        assert!(
            text.contains("  show stat [desc|json|no-maint|typed|up]*: "),
            "{text}"
        );
        assert!(
            text.contains("  quit                                    : disconnect"),
            "{text}"
        );
    }

    #[test]
    fn weights_are_read_as_haproxy_reads_them() {
        assert_eq!(weight_of(Some(&"50%")), Ok(WeightChange::Percent(50)));
        assert_eq!(weight_of(Some(&"256")), Ok(WeightChange::Absolute(256)));
        let refused = |word, text: &str| assert_eq!(weight_of(word), Err(error(text)));
        refused(
            Some(&"257"),
            "Absolute weight can only be between 0 and 256 inclusive.",
        );
        refused(
            Some(&"-1"),
            "Absolute weight can only be between 0 and 256 inclusive.",
        );
        refused(None, "Require <weight> or <weight%>.");
    }

    #[test]
    fn a_level_is_lowered_and_never_raised() {
        let mut session = Session {
            level: Level::User,
            severity: SeverityOutput::None,
            prompt: false,
            quit: false,
            timeout: Duration::ZERO,
            socket: String::new(),
        };
        lower(&mut session, Level::Operator);
        assert_eq!(session.level, Level::User);
    }

    #[test]
    fn a_message_begins_as_the_client_asked() {
        let answer = error("no");
        assert_eq!(answer.text(SeverityOutput::None), "no\n");
        assert_eq!(answer.text(SeverityOutput::Number), "[3]: no\n");
        assert_eq!(answer.text(SeverityOutput::Word), "[err]: no\n");
    }
}
