//! The `userlist` section.

use super::args::{Args, Context};
use super::model::UserList;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// A section being read: users and groups may name each other in any order.
pub(super) struct Draft {
    pub(super) list: UserList,
    /// Groups with the users that their lines name.
    groups: Vec<(Word, Vec<Word>)>,
    /// Groups that users' lines name.
    asked: Vec<Word>,
}

impl Draft {
    /// A section without lines.
    pub(super) fn new(name: Word) -> Self {
        Self {
            list: UserList {
                name,
                users: Vec::new(),
            },
            groups: Vec::new(),
            asked: Vec::new(),
        }
    }
}

/// Reads one line of a `userlist` section.
pub(super) fn line(draft: &mut Draft, words: &[Word], cx: &mut Context<'_>) {
    let Some(mut args) = Args::new(words) else {
        return;
    };
    let _ = match words[0].text.as_str() {
        "user" => user(draft, &mut args, cx),
        "group" => group(draft, &mut args, cx),
        _ => {
            cx.unknown(&words[0], "in section 'userlist'", ["user", "group"]);
            None
        }
    };
}

/// Joins users and groups.
pub(super) fn finish(draft: Draft, cx: &mut Context<'_>) -> UserList {
    let Draft {
        mut list,
        groups,
        asked,
    } = draft;
    for name in asked {
        if !groups.iter().any(|(group, _)| group.text == name.text) {
            let message = format!("userlist '{}' has no group '{}'", list.name.text, name.text);
            cx.error(DiagnosticKind::UnknownName, name.span, message);
        }
    }
    for (group, members) in groups {
        for member in members {
            match list
                .users
                .iter_mut()
                .find(|(known, ..)| *known == member.text)
            {
                Some((.., of)) if of.contains(&group.text) => {}
                Some((.., of)) => of.push(group.text.clone()),
                None => {
                    let message = format!(
                        "userlist '{}' has no user '{}'",
                        list.name.text, member.text
                    );
                    cx.error(DiagnosticKind::UnknownName, member.span, message);
                }
            }
        }
    }
    list
}

fn names(word: &Word) -> Vec<Word> {
    word.text
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| Word::new(name, word.span))
        .collect()
}

fn user(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = args.value(cx, "a name")?;
    if draft
        .list
        .users
        .iter()
        .any(|(known, ..)| *known == name.text)
    {
        let message = format!(
            "user '{}' is already in userlist '{}'",
            name.text, draft.list.name.text
        );
        cx.error(DiagnosticKind::Duplicate, name.span, message);
        return None;
    }
    let (mut password, mut clear, mut groups) = (String::new(), false, Vec::new());
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "password" | "insecure-password" => {
                clear = word.text == "insecure-password";
                password = args.value(cx, "a password")?.text.clone();
            }
            "groups" => groups = names(args.value(cx, "names of groups")?),
            _ => cx.unknown(
                word,
                "as an option of 'user'",
                ["password", "insecure-password", "groups"],
            ),
        }
    }
    let of = groups.iter().map(|group| group.text.clone()).collect();
    draft.asked.extend(groups);
    draft
        .list
        .users
        .push((name.text.clone(), password, clear, of));
    Some(())
}

fn group(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let group = args.value(cx, "a name")?.clone();
    if draft
        .groups
        .iter()
        .any(|(known, _)| known.text == group.text)
    {
        let message = format!(
            "group '{}' is already in userlist '{}'",
            group.text, draft.list.name.text
        );
        cx.error(DiagnosticKind::Duplicate, group.span, message);
        return None;
    }
    let mut members = Vec::new();
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "users" => members.extend(names(args.value(cx, "names of users")?)),
            _ => cx.unknown(word, "as an option of 'group'", ["users"]),
        }
    }
    draft.groups.push((group, members));
    Some(())
}
