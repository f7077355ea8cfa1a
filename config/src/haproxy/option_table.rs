//! The options behind an address: tables of words, as `bind` and `server` have them, and what is done with a row.

use super::args::{Args, Context};
use super::{Fate, KeywordLists};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// What becomes of an option; `O` collects what is read.
pub(super) enum Action<O> {
    /// It is read.
    Do(fn(&mut O, &mut Args<'_>, &mut Context<'_>) -> Option<()>),
    /// Accepted without effect, with so many arguments; the text says why.
    Accepted(u8, &'static str),
    /// It is known and not done.
    NotYet,
}

/// All options of a keyword.
pub(super) struct OptionTable<O: 'static> {
    /// The keyword.
    pub(super) keyword: &'static str,
    /// One row for each option, sorted.
    pub(super) rows: &'static [(&'static str, Action<O>)],
}

impl<O> OptionTable<O> {
    /// Whether a word is in the table, done here or not.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.rows.iter().any(|(name, _)| *name == word)
    }

    /// One option with its arguments; `None` when what is wrong has been reported.
    pub(super) fn read(
        &self,
        options: &mut O,
        word: &Word,
        args: &mut Args<'_>,
        cx: &mut Context<'_>,
    ) -> Option<()> {
        args.enter(word);
        match self.rows.iter().find(|(name, _)| *name == word.text) {
            Some((_, Action::Do(read))) => read(options, args, cx),
            Some((name, Action::Accepted(arguments, why))) => {
                for _ in 0..*arguments {
                    args.value(cx, "an argument")?;
                }
                let message = format!("'{name}' of '{}' has no effect: {why}", self.keyword);
                cx.notice(DiagnosticKind::Pointless, word.span, message);
                Some(())
            }
            Some((name, Action::NotYet)) => {
                cx.not_yet(word.span, &format!("{} … {name}", self.keyword));
                None
            }
            None => {
                let place = format!("as an option of '{}'", self.keyword);
                cx.unknown(word, &place, self.rows.iter().map(|(name, _)| *name));
                None
            }
        }
    }

    /// The options by what becomes of them, for the documentation.
    pub(super) fn lists(&self, title: &str) -> KeywordLists {
        let fate = |action: &Action<O>| match action {
            Action::Do(_) => Fate::Read,
            Action::Accepted(..) => Fate::Accepted,
            Action::NotYet => Fate::NotYet,
        };
        KeywordLists::sorted_out(
            title,
            self.rows.iter().map(|(name, action)| (*name, fate(action))),
        )
    }
}
