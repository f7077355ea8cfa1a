//! `stats …` of a proxy: the statistics page.

use super::args::{Args, Context, Unit};
use super::model::{RuleLine, StatsPage};
use super::proxy::{Draft, Section};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Words after `stats`, sorted.
const WORDS: [&str; 13] = [
    "admin",
    "auth",
    "enable",
    "hide-version",
    "http-request",
    "realm",
    "refresh",
    "scope",
    "show-desc",
    "show-legends",
    "show-modules",
    "show-node",
    "uri",
];

fn default_page() -> StatsPage {
    StatsPage {
        uri: "/haproxy?stats".to_owned(),
        auth: Vec::new(),
        realm: None,
        refresh: None,
        admin: Vec::new(),
        http_request: Vec::new(),
        hide_version: false,
        show_legends: false,
        show_node: None,
        show_desc: None,
        scope: Vec::new(),
    }
}

/// All words that are left, as one text.
fn sentence(args: &mut Args<'_>) -> String {
    args.rest()
        .iter()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `stats …`.
pub(super) fn stats(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "what the page should do")?;
    args.enter(word);
    let in_defaults = draft.section == Section::Defaults;
    if in_defaults && matches!(word.text.as_str(), "admin" | "http-request") {
        let message = format!("'stats {}' is not allowed in section 'defaults'", word.text);
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
        return None;
    }
    if !WORDS.contains(&word.text.as_str()) {
        cx.unknown(word, "after 'stats'", WORDS);
        return None;
    }
    // The first line of a section's own leaves what `defaults` said of the page.
    if std::mem::take(&mut draft.stats_inherited) {
        draft.config.stats = None;
    }
    let page = draft.config.stats.get_or_insert_with(default_page);
    match word.text.as_str() {
        "enable" => {}
        "uri" => page.uri.clone_from(&args.value(cx, "a URI")?.text),
        "hide-version" => page.hide_version = true,
        "show-legends" => page.show_legends = true,
        "show-modules" => cx.notice(
            DiagnosticKind::Pointless,
            word.span,
            "'stats show-modules' has no effect here",
        ),
        "show-node" => {
            page.show_node = Some(
                args.next_option()
                    .map(|word| word.text.clone())
                    .unwrap_or_default(),
            )
        }
        "show-desc" => page.show_desc = Some(sentence(args)),
        "realm" => page.realm = Some(args.value(cx, "a text")?.text.clone()),
        "refresh" => {
            page.refresh = Some(args.time(cx, Unit::Seconds)?).filter(|time| !time.is_zero())
        }
        "scope" => {
            let scope = args.value(cx, "a section's name, or '.'")?;
            page.scope.push(scope.text.clone());
        }
        "auth" => {
            let account = args.value(cx, "USER:PASSWORD")?;
            match account.text.split_once(':') {
                Some((user, password)) if !user.is_empty() => {
                    page.auth.push((user.to_owned(), password.to_owned()));
                }
                _ => {
                    cx.error(
                        DiagnosticKind::InvalidValue,
                        account.span,
                        "'stats auth' expects USER:PASSWORD",
                    );
                    return None;
                }
            }
        }
        "admin" => {
            let words: Vec<Word> = args
                .rest()
                .iter()
                .filter(|word| !word.text.is_empty())
                .cloned()
                .collect();
            if !matches!(words.first().map(Word::as_str), Some("if" | "unless")) || words.len() < 2
            {
                let message = "'stats admin' expects 'if' or 'unless' and a condition";
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                return None;
            }
            page.admin.push(words);
        }
        _ => {
            let first = args.value(cx, "'allow', 'deny' or 'auth'")?.clone();
            let mut words = vec![first];
            words.extend(args.rest().iter().cloned());
            page.http_request.push(RuleLine {
                words,
                span: word.span,
            });
        }
    }
    args.ignore_rest(cx)
}
