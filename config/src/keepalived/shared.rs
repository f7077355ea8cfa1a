//! Parts of a definition that most definitions have alike.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::VrrpInstance;

/// A part that several definitions may hold together. It reads as the part itself; who changes it gets one of its own.
pub struct Shared<T>(Arc<T>);

impl<T: PartialEq> Shared<T> {
    /// Holds `other`'s part from now on if it is equal.
    pub fn share(&mut self, other: &Self) {
        if self == other {
            self.0 = Arc::clone(&other.0);
        }
    }
}

impl<T> From<T> for Shared<T> {
    fn from(part: T) -> Self {
        Self(Arc::new(part))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

/// Reads instances, of which each has from the one before what it has alike.
pub(super) fn instances<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<VrrpInstance>, D::Error> {
    deserializer.deserialize_seq(Instances)
}

struct Instances;

impl<'de> Visitor<'de> for Instances {
    type Value = Vec<VrrpInstance>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut instances: Vec<VrrpInstance> = Vec::new();
        while let Some(mut next) = all.next_element::<VrrpInstance>()? {
            if let Some(before) = instances.last() {
                next.tracks.share(&before.tracks);
                next.addressing.share(&before.addressing);
            }
            instances.push(next);
        }
        Ok(instances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_are_one_until_somebody_changes_his() {
        let (one, mut other) = (Shared::from(vec![1, 2]), Shared::from(vec![1, 2]));
        other.share(&one);
        assert!(std::ptr::eq::<Vec<i32>>(&*one, &*other));
        other.push(3);
        assert_eq!((one.len(), other.len()), (2, 3));
        other.share(&one);
        assert_eq!(*other, [1, 2, 3]);
    }
}
