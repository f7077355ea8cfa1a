//! What operators ask of lists of patterns and maps (`show map`, `add acl` and so on).

use serde::{Deserialize, Serialize};

use crate::operation::Level;

/// A command on a list. HAProxy's management manual has the words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternAsk {
    /// The command said `acl`, else `map`: they differ in words, and in what may be added.
    pub by_acl: bool,
    /// `#NUMBER` or a file; empty for [`PatternCommand::List`].
    pub list: String,
    /// `@VERSION`.
    pub version: Option<u32>,
    /// What to do.
    pub command: PatternCommand,
}

/// What is done with a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatternCommand {
    /// Tell which lists there are.
    List,
    /// Tell the entries of a version.
    Show,
    /// Look a text up by every method that the list is looked into with.
    Get {
        /// The text.
        sample: String,
    },
    /// Add entries in order; one without a value ends it with an error.
    Add {
        /// Patterns and values.
        entries: Vec<(String, Option<String>)>,
    },
    /// Remove entries.
    Delete {
        /// A pattern, or `#0x…`.
        key: String,
    },
    /// Change values.
    Set {
        /// A pattern, or `#0x…`.
        key: String,
        /// The new value.
        value: String,
    },
    /// Remove all entries of a version.
    Clear,
    /// Reserve a version.
    Prepare,
    /// Make a version the current one.
    Commit,
}

impl PatternAsk {
    /// The level that may do it.
    pub fn required_level(&self) -> Level {
        match self.command {
            PatternCommand::List | PatternCommand::Show | PatternCommand::Get { .. } => Level::User,
            // The manual: at the level `user` "no change is allowed".
            _ => Level::Operator,
        }
    }
}
