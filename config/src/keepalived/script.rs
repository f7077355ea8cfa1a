//! `vrrp_script`, and telling which of them only ask whether the proxy is alive.

use std::time::Duration;

use super::model::{ScriptKind, VrrpScript};
use super::places::Places;
use super::track::{MAX_WEIGHT, own_weight};
use super::tree::Statement;
use super::values::{Complaints, command_words, count, parse_seconds};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Keywords of the block, sorted.
const KEYWORDS: [&str; 9] = [
    "fall",
    "init_fail",
    "init_file",
    "interval",
    "rise",
    "script",
    "timeout",
    "user",
    "weight",
];

/// Longest interval and timeout in seconds.
const MAX_SECONDS: u32 = 1_000_000;

/// Reads a `vrrp_script NAME { … }`; none without a `script` line.
pub(super) fn script(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<VrrpScript> {
    let Some(name) = statement.words.get(1) else {
        complaints.missing(statement, "a name");
        return None;
    };
    let mut script = VrrpScript {
        name: name.clone(),
        kind: ScriptKind::Run(Vec::new()),
        command: String::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::ZERO,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: None,
        places: Places::of(statement.block.as_deref().unwrap_or_default()),
    };
    for line in statement.block.iter().flatten() {
        match line.name() {
            "script" => command(&mut script, line, complaints),
            "interval" => {
                if let Some(time) = whole_seconds(line, complaints) {
                    script.interval = time;
                }
            }
            "timeout" => {
                if let Some(time) = whole_seconds(line, complaints) {
                    script.timeout = time;
                }
            }
            "weight" => {
                if let Some((weight, reverse)) = own_weight(line, MAX_WEIGHT, complaints) {
                    (script.weight, script.reverse) = (weight, reverse);
                }
            }
            "rise" => script.rise = count(line, 1, complaints).unwrap_or(script.rise),
            "fall" => script.fall = count(line, 1, complaints).unwrap_or(script.fall),
            "init_fail" => script.init_fail = true,
            "user" => match (line.text(1), line.text(2)) {
                ("", _) => complaints.missing(line, "a user and perhaps a group"),
                (user, "") => script.user = Some((user.to_owned(), None)),
                (user, group) => script.user = Some((user.to_owned(), Some(group.to_owned()))),
            },
            _ => complaints.unknown(line, "'vrrp_script'", KEYWORDS),
        }
    }
    if script.command.is_empty() {
        let message = format!("vrrp_script '{}' has no 'script' line", name.text);
        complaints.left_out(name.span, message);
        return None;
    }
    if script.timeout.is_zero() {
        script.timeout = script.interval;
    }
    Some(script)
}

fn whole_seconds(line: &Statement, complaints: &mut Complaints<'_>) -> Option<Duration> {
    let time = parse_seconds(line.text(1), MAX_SECONDS).filter(|time| !time.is_zero());
    if time.is_none() {
        complaints.wrong(line, "seconds above 0");
    }
    time
}

fn command(script: &mut VrrpScript, line: &Statement, complaints: &mut Complaints<'_>) {
    let words = line.words.get(1..).unwrap_or_default();
    let (command, arguments) = match words {
        [] => return complaints.missing(line, "a command"),
        // One quoted word holds the whole command line.
        [only] => (only.text.clone(), command_words(&only.text)),
        many => {
            let texts: Vec<String> = many.iter().map(|word: &Word| word.text.clone()).collect();
            (texts.join(" "), texts)
        }
    };
    if arguments.is_empty() {
        return complaints.missing(line, "a command");
    }
    script.command = command;
    script.kind = if asks_whether_the_proxy_lives(&arguments) {
        ScriptKind::ProxyAlive
    } else {
        if let Some(sign) = arguments
            .iter()
            .find(|word| ["|", "||", "&&", ">", ";", "2>&1", "&>"].contains(&word.as_str()))
        {
            let message = format!(
                "scripts run without a shell: '{sign}' is given to the command as an argument"
            );
            let diagnostic =
                crate::Diagnostic::warning(DiagnosticKind::Pointless, words[0].span, message);
            complaints.help(
                diagnostic,
                "write the command into a file, or run it with sh -c '…'",
            );
        }
        ScriptKind::Run(arguments)
    };
}

/// Whether a command is one of those that everybody writes to ask whether the proxy is alive.
pub(super) fn asks_whether_the_proxy_lives(words: &[String]) -> bool {
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((program, arguments)) = texts.split_first() else {
        return false;
    };
    let program = program.rsplit('/').next().unwrap_or("");
    let is_proxy = |name: &&str| {
        let name = name.rsplit('/').next().unwrap_or("");
        matches!(name, "haproxy" | "tandemd")
    };
    let is_unit = |name: &&str| is_proxy(&name.strip_suffix(".service").unwrap_or(name));
    // Redirections of a shell change nothing of what is asked.
    let quiet = |words: &[&str]| -> Vec<String> {
        let dropped = [
            ">/dev/null",
            "2>&1",
            "&>/dev/null",
            "2>/dev/null",
            "1>/dev/null",
            ">",
            "/dev/null",
        ];
        words
            .iter()
            .filter(|word| !dropped.contains(word))
            .map(|word| (*word).to_owned())
            .collect()
    };
    match (program, arguments) {
        ("killall" | "pkill", ["-0", name]) => is_proxy(name),
        ("killall", ["-0" | "-q", "-0" | "-q", name]) => is_proxy(name),
        ("pidof", [name]) | ("pidof", ["-s" | "-q", name]) => is_proxy(name),
        ("pgrep", [name]) | ("pgrep", ["-x" | "-f", name]) => is_proxy(name),
        ("systemctl", ["is-active", name]) => is_unit(name),
        ("systemctl", ["is-active", "--quiet" | "-q", name]) => is_unit(name),
        ("systemctl", ["--quiet" | "-q", "is-active", name]) => is_unit(name),
        ("sudo" | "env" | "exec", [_, ..]) => asks_whether_the_proxy_lives(&words[1..]),
        ("sh" | "bash" | "dash", ["-c", command]) => {
            let inner = command_words(command);
            let inner: Vec<&str> = inner.iter().map(String::as_str).collect();
            let nested_shell = inner
                .first()
                .is_some_and(|word| ["sh", "bash", "dash"].contains(word));
            !nested_shell && asks_whether_the_proxy_lives(&quiet(&inner))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: bool) {
        assert_eq!(
            asks_whether_the_proxy_lives(&command_words(command)),
            expected,
            "{command}"
        );
    }

    #[test]
    fn the_usual_spellings_are_recognised() {
        check("killall -0 haproxy", true);
        check("/usr/bin/killall -0 haproxy", true);
        check("pidof haproxy", true);
        check("/bin/pidof haproxy", true);
        check("pgrep haproxy", true);
        check("pgrep -x haproxy", true);
        check("systemctl is-active haproxy", true);
        check("/usr/bin/systemctl is-active --quiet haproxy.service", true);
        check("killall -0 tandemd", true);
        check("systemctl is-active tandemd", true);
        check("sh -c 'killall -0 haproxy'", true);
        check("/bin/sh -c \"pidof haproxy > /dev/null 2>&1\"", true);
    }

    #[test]
    fn other_commands_run_as_written() {
        check("killall -9 haproxy", false);
        check("killall haproxy", false);
        check("killall -0 nginx", false);
        check("/etc/keepalived/check_haproxy.sh", false);
        check("systemctl restart haproxy", false);
        check(
            "sh -c 'killall -0 haproxy || systemctl restart haproxy'",
            false,
        );
        check("", false);
    }
}
