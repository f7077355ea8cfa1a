//! Parts of a definition that most definitions leave as they are.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// What it is where nothing is written.
pub trait Usual: PartialEq + 'static {
    /// One for all.
    fn usual() -> &'static Self;
}

/// A part that takes memory of its own only where something is written. It reads as the part itself.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rare<T>(Option<Box<T>>);

impl<T: Usual> From<T> for Rare<T> {
    fn from(part: T) -> Self {
        Self((part != *T::usual()).then(|| Box::new(part)))
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::usual())
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone> Clone for Rare<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Usual> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Rare<T> {}

impl<T: Usual + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}
