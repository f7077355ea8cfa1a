//! The one error of the harness: a sentence that says what was wanted and what was found.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first failure; a lab that ends afterwards prints the logs of its processes.
static FAILED: AtomicBool = AtomicBool::new(false);

/// What went wrong, for a person to read.
pub struct Failure(String);

/// The result of everything that can fail in the harness; tests return it.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Failure {
        FAILED.store(true, Ordering::Relaxed);
        Failure(text.into())
    }

    /// Whether anything failed in this process so far.
    pub fn any() -> bool {
        FAILED.load(Ordering::Relaxed) || std::thread::panicking()
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
