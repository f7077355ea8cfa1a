//! keepalived's configuration language.
//!
//! Files become lines (`reader`: includes, conditions, variables), lines become a tree of statements and
//! blocks (`tree`), and the rows of tables read the blocks (`parser`, `instance`, `script`).

pub mod model;

mod addresses;
mod instance;
mod parser;
mod reader;
mod script;
mod tree;
mod values;

pub use model::*;
pub use parser::{KeywordLists, keyword_lists};
pub(crate) use parser::{parse, top_level_words};
