//! The one error of the harness: a sentence that says what was wanted and what was found.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Failures that exist now: one that was expected is dropped at once, one that ends a test still lives while its lab ends.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// What went wrong, for a person to read.
pub struct Failure(String);

/// The result of everything that can fail in the harness; tests return it.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Failure {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Failure(text.into())
    }

    /// Whether a test is ending with a failure: a lab that is dropped meanwhile prints its logs.
    pub fn any() -> bool {
        ALIVE.load(Ordering::Relaxed) > 0 || std::thread::panicking()
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

// A test that returns a failure prints it with Debug: show the sentence, not a struct.
impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<nix::Error> for Failure {
    fn from(error: nix::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

/// Says what was being done when an error came.
pub trait Context<T> {
    /// The error with `doing` in front of it.
    fn context(self, doing: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("{doing}: {error}")))
    }
}

/// Fails with a text unless the condition holds; `assert!` for functions that return [`Outcome`].
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format!($($text)+)));
        }
    };
}
