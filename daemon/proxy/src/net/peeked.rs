//! A stream's first bytes as rules look at them: a copy, for the bytes themselves stay where they are and go to the server.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How far the first bytes are those of an HTTP request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadSeen {
    /// They may become one.
    #[default]
    Partial,
    /// A whole head is there, or there will be none.
    Settled,
}

/// A stream's first bytes.
#[derive(Debug, Default)]
pub struct Peeked {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    /// Whether these are a request's head.
    pub head: HeadSeen,
    /// Whether the client has ended its stream: no more will come.
    pub is_ended: bool,
    /// Whether the client's connection broke.
    pub is_broken: bool,
    /// Whether what is there now decides, complete or not.
    pub is_final: bool,
    /// Whether a sample has been looked at that more bytes may change. Set while rules, which only look, are evaluated.
    is_undecided: AtomicBool,
}

impl Peeked {
    /// The next test is looked at.
    pub fn begin(&self) {
        self.is_undecided.store(false, Relaxed);
    }

    /// More bytes may change what a sample gave.
    pub fn not_yet(&self) {
        if !self.is_final {
            self.is_undecided.store(true, Relaxed);
        }
    }

    /// Whether a sample since [`Peeked::begin`] may still change.
    pub fn is_undecided(&self) -> bool {
        self.is_undecided.load(Relaxed)
    }

    /// Whether a request's head may still become whole.
    pub fn awaits_head(&self) -> bool {
        self.head == HeadSeen::Partial && !self.is_final
    }

    /// Adds what has come: `all` is everything since the stream's beginning.
    pub fn update(&mut self, all: &[u8]) {
        self.bytes
            .extend_from_slice(all.get(self.bytes.len()..).unwrap_or_default());
    }
}
