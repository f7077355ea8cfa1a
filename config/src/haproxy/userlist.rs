//! The `userlist` section.

use super::args::{Args, Context};
use super::model::UserList;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Reads one line of a `userlist` section.
pub(super) fn line(list: &mut UserList, words: &[Word], cx: &mut Context<'_>) {
    let Some(mut args) = Args::new(words) else {
        return;
    };
    let _ = match words[0].text.as_str() {
        "user" => user(list, &mut args, cx),
        "group" => group(list, &mut args, cx),
        _ => {
            cx.unknown(&words[0], "in section 'userlist'", ["user", "group"]);
            None
        }
    };
}

fn names(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn user(list: &mut UserList, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = args.value(cx, "a name")?;
    if list
        .users
        .iter()
        .any(|(known, _, clear, _)| *known == name.text && (*clear || !is_placeholder(list, known)))
    {
        let message = format!(
            "user '{}' is already in userlist '{}'",
            name.text, list.name.text
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
            "groups" => groups = names(&args.value(cx, "names of groups")?.text),
            _ => cx.unknown(
                word,
                "as an option of 'user'",
                ["password", "insecure-password", "groups"],
            ),
        }
    }
    match list
        .users
        .iter_mut()
        .find(|(known, ..)| *known == name.text)
    {
        // A group named the user before its line.
        Some(known) => {
            groups.append(&mut known.3);
            *known = (name.text.clone(), password, clear, groups);
        }
        None => list
            .users
            .push((name.text.clone(), password, clear, groups)),
    }
    Some(())
}

/// Whether the user is there only because a group named it.
fn is_placeholder(list: &UserList, name: &str) -> bool {
    list.users
        .iter()
        .any(|(known, password, clear, _)| known == name && password.is_empty() && !clear)
}

fn group(list: &mut UserList, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let group = args.value(cx, "a name")?;
    while let Some(word) = args.next_option() {
        if word.text != "users" {
            cx.unknown(word, "as an option of 'group'", ["users"]);
            continue;
        }
        for name in names(&args.value(cx, "names of users")?.text) {
            match list.users.iter_mut().find(|(known, ..)| *known == name) {
                Some(user) => user.3.push(group.text.clone()),
                None => list
                    .users
                    .push((name, String::new(), false, vec![group.text.clone()])),
            }
        }
    }
    Some(())
}
