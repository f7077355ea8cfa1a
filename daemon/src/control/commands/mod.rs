//! The commands of the text socket: one sorted table, and what each row does.
//!
//! Words, answers and errors are HAProxy's (management manual, "Unix Socket commands"); `vrrp …`, `show vrrp` and
//! `show events` are ours. A row says which level may run it; that is checked once, before it runs.

mod changes;
#[cfg(test)]
mod manual;
mod patterns;
mod show;

use std::time::Duration;

use protocol::operation::ServerAdmin;
use protocol::patterns::PatternAsk;
use protocol::{Level, Operation, Refusal, Snapshot};

use changes::*;
use show::*;

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
    /// `experimental-mode on`: asked for by HAProxy before some commands, by none here.
    pub experimental: bool,
    /// `expert-mode on`, likewise.
    pub expert: bool,
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
    /// The words and the payload become a command on lists of patterns.
    Patterns(fn(&[&str], Option<&str>) -> Result<PatternAsk, Answer>),
    /// Shows the history.
    Events,
    /// Lists the processes.
    Processes,
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
    row(words, "", "not supported yet", Level::User, Run::NotYet)
}

use Level::{Admin, Operator, User};

/// All commands, sorted.
#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    later("abort ssl"),
    row("add acl", "[@<ver>] <acl> <pattern>", "add a pattern to a list", Operator, Run::Patterns(|w, p| patterns::add(w, p, true))),
    row("add map", "[@<ver>] <map> <key> <val>", "add an entry to a map, or the lines of a payload", Operator, Run::Patterns(|w, p| patterns::add(w, p, false))),
    row("add server", "<bk>/<srv> <address> [opts]", "add a server, which is in maintenance first", Admin, Run::Operate(add_server)),
    later("add ssl"),
    row("clear acl", "[@<ver>] <acl>", "remove all patterns of a list", Operator, Run::Patterns(|w, p| patterns::clear(w, p, true))),
    row("clear counters", "[all]", "forget the maxima, or all counters", Operator, Run::Operate(clear_counters)),
    row("clear map", "[@<ver>] <map>", "remove all entries of a map", Operator, Run::Patterns(|w, p| patterns::clear(w, p, false))),
    later("clear table"),
    row("commit acl", "@<ver> <acl>", "make a prepared version of a list the current one", Operator, Run::Patterns(|w, p| patterns::commit(w, p, true))),
    row("commit map", "@<ver> <map>", "make a prepared version of a map the current one", Operator, Run::Patterns(|w, p| patterns::commit(w, p, false))),
    later("commit ssl"),
    row("del acl", "<acl> [<key>|#<ref>]", "remove patterns from a list", Operator, Run::Patterns(|w, p| patterns::del(w, p, true))),
    row("del map", "<map> [<key>|#<ref>]", "remove entries from a map", Operator, Run::Patterns(|w, p| patterns::del(w, p, false))),
    row("del server", "<bk>/<srv>", "remove a server that is in maintenance", Admin, Run::Operate(del_server)),
    later("del ssl"),
    row("disable agent", "<bk>/<srv>", "stop asking the agent of a server", Admin, Run::Operate(|w, s| agent(w, s, false))),
    row("disable dynamic-cookie backend", "<bk>", "make no cookies of servers' addresses", Admin, Run::Operate(|w, s| dynamic_cookies(w, s, false))),
    row("disable frontend", "<frontend>", "accept no connections for a while", Admin, Run::Operate(|w, s| frontend_enabled(w, s, false))),
    row("disable health", "<bk>/<srv>", "stop the checks of a server", Admin, Run::Operate(|w, s| checks(w, s, false))),
    row("disable server", "<bk>/<srv>", "put a server into maintenance", Admin, Run::Operate(|w, s| server_state(w, s, ServerAdmin::Maint))),
    row("enable agent", "<bk>/<srv>", "ask the agent of a server again", Admin, Run::Operate(|w, s| agent(w, s, true))),
    row("enable dynamic-cookie backend", "<bk>", "make cookies of servers' addresses", Admin, Run::Operate(|w, s| dynamic_cookies(w, s, true))),
    row("enable frontend", "<frontend>", "accept connections again", Admin, Run::Operate(|w, s| frontend_enabled(w, s, true))),
    row("enable health", "<bk>/<srv>", "start the checks of a server", Admin, Run::Operate(|w, s| checks(w, s, true))),
    row("enable server", "<bk>/<srv>", "take a server out of maintenance", Admin, Run::Operate(|w, s| server_state(w, s, ServerAdmin::Ready))),
    row("experimental-mode", "[on|off]", "accepted: no command needs it", User, Run::Local(|w, session| mode("experimental-mode", w, &mut session.experimental))),
    row("expert-mode", "[on|off]", "accepted: no command needs it", User, Run::Local(|w, session| mode("expert-mode", w, &mut session.expert))),
    row("get acl", "<acl> <value>", "tell the patterns that a value meets", User, Run::Patterns(|w, p| patterns::get(w, p, true))),
    row("get map", "<map> <value>", "tell the entries that a value meets", User, Run::Patterns(|w, p| patterns::get(w, p, false))),
    later("get var"),
    row("get weight", "<bk>/<srv>", "tell a server's weight", User, Run::Show(get_weight)),
    row("help", "[<command>]", "list matching or all commands", User, Run::Help),
    later("new ssl"),
    row("operator", "", "go down to the level operator", User, Run::Local(|_, session| lower(session, Operator))),
    row("prepare acl", "<acl>", "reserve a version of a list", Operator, Run::Patterns(|w, p| patterns::prepare(w, p, true))),
    row("prepare map", "<map>", "reserve a version of a map", Operator, Run::Patterns(|w, p| patterns::prepare(w, p, false))),
    row("prompt", "", "stay connected, or not", User, Run::Local(|_, session| { session.prompt = !session.prompt; Answer::Done })),
    row("quit", "", "disconnect", User, Run::Local(|_, session| { session.quit = true; Answer::Done })),
    row("reload", "", "read the configuration again", Admin, Run::Operate(|_, _| Ok(Operation::Reload))),
    row("set dynamic-cookie-key backend", "<bk> <k>", "change the secret that cookies are made of", Admin, Run::Operate(dynamic_cookie_key)),
    row("set map", "<map> [<key>|#<ref>] <value>", "change the value of entries of a map", Operator, Run::Patterns(|w, p| patterns::set(w, p, false))),
    row("set maxconn frontend", "<frontend> <value>", "change a frontend's limit", Admin, Run::Operate(frontend_maxconn)),
    row("set maxconn global", "<value>", "change the process's limit", Admin, Run::Operate(global_maxconn)),
    row("set maxconn server", "<bk>/<srv> <value>", "change a server's limit", Admin, Run::Operate(server_maxconn)),
    later("set profiling"),
    row("set rate-limit", "connections|sessions|ssl-sessions global <value>", "change a rate limit of the process", Admin, Run::Operate(rate_limit)),
    row("set server", "<bk>/<srv> [opts]", "change state, weight, address, health, checks or agent", Admin, Run::Operate(set_server)),
    row("set severity-output", "[none|number|string]", "how messages begin", User, Run::Local(severity_output)),
    later("set ssl"),
    later("set table"),
    row("set timeout", "[cli] <delay>", "when this connection is dropped for silence", User, Run::Local(set_timeout)),
    row("set weight", "<bk>/<srv> <weight>", "change a server's weight", Admin, Run::Operate(set_weight)),
    row("show acl", "[[@<ver>] <acl>]", "list the lists of patterns, or the patterns of one", User, Run::Patterns(|w, p| patterns::show(w, p, true))),
    later("show activity"),
    row("show backend", "", "list the backends", User, Run::Show(|_, snapshot| Answer::Lines(views::backends(snapshot)))),
    row("show bfd", "[json] [SESSION]", "tell the states of BFD sessions and why", User, Run::Show(show_bfd)),
    later("show cache"),
    row("show cli level", "", "tell this connection's level", User, Run::Local(show_level)),
    row("show cli sockets", "", "list the stats sockets", Operator, Run::Sockets),
    row("show env", "[var]", "list the environment", Operator, Run::Show(show_env)),
    row("show errors", "[<px>] [request|response]", "show the messages refused last", Operator, Run::Errors),
    row("show events", "[json] [N]", "show the history of this node", User, Run::Events),
    later("show fd"),
    row("show info", "[desc|json|typed]*", "tell about the process", User, Run::Show(show_info)),
    later("show libs"),
    row("show map", "[[@<ver>] <map>]", "list the maps, or the entries of one", User, Run::Patterns(|w, p| patterns::show(w, p, false))),
    later("show peers"),
    later("show pools"),
    row("show proc", "", "list the processes", User, Run::Processes),
    later("show profiling"),
    row("show resolvers", "[<section>]", "show the figures of name servers", User, Run::Show(show_resolvers)),
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

/// Runs one command; a payload is what stood behind its `<<`.
pub async fn run(line: &str, payload: Option<&str>, hub: &Hub, session: &mut Session) -> Answer {
    let words = super::text::words(line);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.len() > 1 && words[0].starts_with('@') {
        // The master of HAProxy passes `@1 COMMAND` and `@!PID COMMAND` on to a worker; here one process answers for all.
        words.remove(0);
    }
    let Some((command, rest)) = find(&words) else {
        return unknown(&words, session.level);
    };
    if session.level < command.level {
        return Refusal::PermissionDenied.into();
    }
    match &command.run {
        Run::Operate(parse) => operate(*parse, rest, hub, session).await,
        Run::Show(show) => show(rest, hub.snapshot().await.as_ref()),
        Run::Local(local) => local(rest, session),
        Run::Patterns(parse) => match parse(rest, payload) {
            Err(answer) => answer,
            Ok(ask) if session.level < ask.required_level() => Refusal::PermissionDenied.into(),
            Ok(ask) => {
                let is_message = matches!(ask.command, protocol::patterns::PatternCommand::Prepare);
                match hub.patterns(ask).await {
                    Err(refusal) => refusal.into(),
                    Ok(text) if text.is_empty() => Answer::Done,
                    Ok(text) if is_message => Answer::Message(INFO, text),
                    Ok(text) => Answer::Lines(text),
                }
            }
        },
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
        Run::Processes => Answer::Lines(hub.processes()),
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

fn mode(name: &str, words: &[&str], mode: &mut bool) -> Answer {
    match words.first() {
        None => {
            let state = if *mode { "ON" } else { "OFF" };
            return Answer::Message(INFO, format!("{name} is {state}"));
        }
        Some(word) => *mode = *word == "on",
    }
    Answer::Done
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
    fn a_level_is_lowered_and_never_raised() {
        let mut session = Session {
            level: Level::User,
            severity: SeverityOutput::None,
            prompt: false,
            quit: false,
            experimental: false,
            expert: false,
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
