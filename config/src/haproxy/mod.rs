//! HAProxy's configuration language.
//!
//! A line is cut into words (`lexer`), conditional blocks and sections are told apart (`parser`), and the
//! keyword's row in a table (`global`, `proxy` and the rooms beside them) reads the rest. `finish` checks
//! what can be said only when the whole text is known.

pub mod model;

mod account;
mod address;
mod args;
mod balance;
mod bind;
mod checks;
mod condition;
mod cookie;
mod dispatch;
mod dynamic;
mod errors;
mod finish;
mod global;
mod lexer;
mod life;
mod log;
mod option_table;
mod options;
mod parser;
mod proxy;
mod resolvers;
mod rules;
mod server;
mod source;
mod stats;
mod tls;
mod userlist;

pub use condition::{COMPATIBLE_VERSION, FEATURES, evaluate_condition, evaluate_condition_with};
pub use dynamic::{DynamicServer, dynamic_server};
pub use model::*;
pub use parser::sections_not_supported_yet;
pub(crate) use parser::{parse, section_names};

/// A time as the manual's 2.5 has it, in milliseconds where no unit is written.
///
/// # Errors
/// What is wrong with the text.
pub fn time(text: &str) -> Result<std::time::Duration, String> {
    args::parse_time(text, args::Unit::Milliseconds)
}

/// The words of one table by what becomes of them; the documentation is made of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeywordLists {
    /// Where the words stand.
    pub title: String,
    /// They do what HAProxy's manual says.
    pub read: Vec<String>,
    /// They are accepted and change nothing.
    pub accepted: Vec<String>,
    /// They are refused with "not supported yet".
    pub not_yet: Vec<String>,
}

/// What becomes of a word of a table.
enum Fate {
    Read,
    Accepted,
    NotYet,
    /// It is refused, as HAProxy does.
    Removed,
}

impl KeywordLists {
    fn sorted_out(title: &str, rows: impl Iterator<Item = (&'static str, Fate)>) -> Self {
        let mut lists = Self {
            title: title.to_owned(),
            read: Vec::new(),
            accepted: Vec::new(),
            not_yet: Vec::new(),
        };
        for (name, fate) in rows {
            let list = match fate {
                Fate::Read => &mut lists.read,
                Fate::Accepted => &mut lists.accepted,
                Fate::NotYet => &mut lists.not_yet,
                Fate::Removed => continue,
            };
            list.push(name.to_owned());
        }
        lists
    }
}

/// All tables of keywords.
pub fn keyword_lists() -> Vec<KeywordLists> {
    vec![
        global::keyword_lists(),
        proxy::keyword_lists(),
        options::keyword_lists(),
        bind::keyword_lists(),
        server::keyword_lists(),
        resolvers::keyword_lists(),
    ]
}
