//! `show map`, `add acl` and so on: commands on lists of patterns, with HAProxy's answers (management manual, 9.3).

use std::fmt::Write;
use std::sync::Arc;

use protocol::operation::Refusal;
use protocol::patterns::{PatternAsk, PatternCommand};

use super::apply::tell_operation;
use crate::app::Shared;
use crate::pattern::{Chosen, List, Matcher, Source, Use};
use crate::sample::Value;

/// Does a command; the answer is lines, or nothing.
pub(super) fn run(shared: &Shared, ask: &PatternAsk) -> Result<String, Refusal> {
    if ask.command == PatternCommand::List {
        return Ok(lists(shared, ask.by_acl));
    }
    // HAProxy says "map" here, whatever the command said.
    let says_acl = ask.by_acl && !matches!(ask.command, PatternCommand::Delete { .. });
    let list = shared
        .patterns
        .find(&ask.list)
        // What only ACLs look into is unknown to `show map` and `clear map`, and the reverse; other commands reach both.
        .filter(|list| {
            !matches!(ask.command, PatternCommand::Show | PatternCommand::Clear)
                || is_shown(list, ask.by_acl)
        })
        .ok_or_else(|| {
            let kind = if says_acl { "ACL" } else { "map" };
            refuse(format!(
                "Unknown {kind} identifier. Please use #<id> or <file>."
            ))
        })?;
    match &ask.command {
        PatternCommand::List => Ok(String::new()),
        PatternCommand::Show => Ok(entries(&list, ask.version)),
        PatternCommand::Get { sample } => Ok(get(&list, sample, ask.by_acl)),
        PatternCommand::Add { entries } => add(&list, entries, ask),
        PatternCommand::Delete { key } => match list.remove(chosen(key)) {
            0 => Err(refuse("Key not found.")),
            _ => Ok(String::new()),
        },
        PatternCommand::Set { key, value } => match list.set(chosen(key), value) {
            Ok(0) => Err(refuse("entry not found.")),
            Ok(_) => Ok(String::new()),
            Err(message) => Err(refuse(message)),
        },
        PatternCommand::Clear => {
            list.clear(ask.version);
            tell(shared, &list, "cleared");
            Ok(String::new())
        }
        PatternCommand::Prepare => Ok(format!("New version created: {}", list.prepare())),
        PatternCommand::Commit => {
            let version = ask.version.unwrap_or_default();
            if !list.commit(version) {
                return Err(refuse("Version number out of range."));
            }
            tell(shared, &list, &format!("version {version} is current"));
            Ok(String::new())
        }
    }
}

fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::Invalid(message.into())
}

/// `#0x…` is an entry's number.
fn chosen(key: &str) -> Chosen<'_> {
    match key.strip_prefix('#') {
        None => Chosen::Key(key),
        Some(number) => {
            let digits = number.trim_start_matches("0x");
            Chosen::Reference(u64::from_str_radix(digits, 16).unwrap_or_default())
        }
    }
}

fn add(
    list: &List,
    entries: &[(String, Option<String>)],
    ask: &PatternAsk,
) -> Result<String, Refusal> {
    if ask.by_acl && list.is_map {
        return Err(refuse(
            "This ACL is shared with a map containing samples. You must use the command 'add map' to add values.",
        ));
    }
    for (key, value) in entries {
        let Some(value) = value else {
            return Err(refuse(format!("Missing value for key '{key}'.")));
        };
        list.add(key, value, ask.version).map_err(refuse)?;
    }
    Ok(String::new())
}

/// Among maps: lists of two columns. Among ACLs: what an ACL looks into, maps that it shares included.
fn is_shown(list: &List, by_acl: bool) -> bool {
    match by_acl {
        false => list.is_map,
        true => list
            .matchers()
            .iter()
            .any(|matcher| matcher.output.is_none()),
    }
}

fn lists(shared: &Shared, by_acl: bool) -> String {
    let mut text = "# id (file) description\n".to_owned();
    for list in shared.patterns.lists() {
        if !is_shown(&list, by_acl) {
            continue;
        }
        let summary = list.summary();
        let file = match &list.source {
            Source::File(path) => path.as_str(),
            Source::Line(_) => "",
        };
        let _ = writeln!(
            text,
            "{} ({file}) {}. curr_ver={} next_ver={} entry_cnt={}",
            summary.id,
            description(shared, &list, &summary.uses),
            summary.current,
            summary.next,
            summary.entries
        );
    }
    text
}

fn description(shared: &Shared, list: &List, uses: &[Use]) -> String {
    let place = |seen: &Use| {
        let file = shared.config.files.get(usize::from(seen.span.file.0));
        format!(
            "file '{}' line {}",
            file.map_or("", String::as_str),
            seen.span.line
        )
    };
    match &list.source {
        Source::File(path) => {
            let uses: Vec<String> = uses
                .iter()
                .map(|seen| {
                    let kind = if seen.by_acl { "acl" } else { "map" };
                    format!("by {kind} at {}", place(seen))
                })
                .collect();
            format!("pattern loaded from file '{path}' used {}", uses.join(", "))
        }
        Source::Line(criterion) => format!(
            "acl '{criterion}' {}",
            uses.first().map(place).unwrap_or_default()
        ),
    }
}

fn entries(list: &List, version: Option<u32>) -> String {
    let mut text = String::new();
    for entry in list.entries(version) {
        let _ = write!(text, "{:#x} {}", entry.reference(), entry.key);
        if list.is_map {
            let _ = write!(text, " {}", entry.value());
        }
        text.push('\n');
    }
    text
}

/// One line for each method that the list is looked into with.
fn get(list: &List, sample: &str, by_acl: bool) -> String {
    let mut text = String::new();
    for matcher in list.matchers() {
        let _ = writeln!(text, "{}", get_by(&matcher, sample, by_acl));
    }
    text
}

fn get_by(matcher: &Arc<Matcher>, sample: &str, by_acl: bool) -> String {
    let case = if matcher.ignore_case {
        "insensitive"
    } else {
        "sensitive"
    };
    let word = if by_acl { "match" } else { "found" };
    let head = format!("type={}, case={case}, {word}", matcher.method.word());
    let Some(entry) = matcher.find(&Value::text(sample.as_bytes())) else {
        return format!("{head}=no");
    };
    let index = match matcher.method.is_tree(matcher.ignore_case) {
        true => "tree",
        false => "list",
    };
    if by_acl {
        return format!("{head}=yes, idx={index}, pattern=\"{}\"", entry.key);
    }
    let value = match matcher.output {
        None => "none".to_owned(),
        Some(output) => {
            let value = entry.value();
            format!("\"{value}\", type=\"{}\"", output.word(&value))
        }
    };
    format!(
        "{head}=yes, idx={index}, key=\"{}\", value={value}",
        entry.key
    )
}

fn tell(shared: &Shared, list: &List, change: &str) {
    let subject = match &list.source {
        Source::File(path) => path.clone(),
        Source::Line(criterion) => format!("acl {criterion}"),
    };
    tell_operation(shared, &subject, change);
}
