//! Lines made of the daemon's vocabulary: rules, conditions and the choice of a backend or server.

use serde::{Deserialize, Serialize};

use crate::source::{Span, Word};

/// A line made of the daemon's vocabulary, `http-request deny if x` for instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLine {
    /// The words after the keyword (`deny if x`).
    pub words: Vec<Word>,
    /// The keyword's place.
    pub span: Span,
}

/// `acl NAME CRITERION [flags] [values]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclLine {
    /// Its name; the same name again means "or".
    pub name: Word,
    /// The criterion and all that follows.
    pub words: Vec<Word>,
}

/// `use_backend NAME [if|unless CONDITION]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseBackend {
    /// Its target (a log-format expression is possible in HAProxy).
    pub backend: Word,
    /// `if …` or `unless …`, the word itself included; empty means always.
    pub condition: Vec<Word>,
}

/// `use-server NAME if|unless CONDITION`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseServer {
    /// The server, or a format that names one.
    pub server: Word,
    /// `if …` or `unless …`, the word itself included.
    pub condition: Vec<Word>,
}

/// `force-persist` and `ignore-persist`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistRule {
    /// What it does.
    pub kind: PersistKind,
    /// `if …` or `unless …`, the word itself included.
    pub condition: Vec<Word>,
}

/// Which of the two a [`PersistRule`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersistKind {
    /// `force-persist`: also to a server that is down.
    Force,
    /// `ignore-persist`: as if the request had no cookie.
    Ignore,
}
