//! Servers by their index while some come and go: a table that readers take as a whole, without a lock.
//!
//! An index never changes its meaning while anybody can still ask by it: the place of one that has left is given to
//! another only when nobody holds what stood there.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};

/// What stands where at one moment.
#[derive(Debug)]
pub struct Table<T> {
    places: Vec<Option<Arc<T>>>,
    /// Those that are there, in the order in which they came.
    order: Vec<Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// The one at a place.
    pub fn get(&self, place: usize) -> Option<&Arc<T>> {
        self.places.get(place)?.as_ref()
    }
    /// Those that are there, in the order in which they came.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<T>> {
        self.order.iter()
    }
    /// How many are there.
    pub fn len(&self) -> usize {
        self.order.len()
    }
    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
    /// Every index is below this number.
    pub fn bound(&self) -> usize {
        self.places.len()
    }

    fn put(&mut self, place: usize, one: Arc<T>) {
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(Arc::clone(&one));
        self.order.push(one);
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self {
            places: self.places.clone(),
            order: self.order.clone(),
        }
    }
}

impl<'a, T> IntoIterator for &'a Table<T> {
    type Item = &'a Arc<T>;
    type IntoIter = std::slice::Iter<'a, Arc<T>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A [`Table`] that changes.
#[derive(Debug)]
pub struct Places<T> {
    now: ArcSwap<Table<T>>,
    /// Places whose owners have left; held while the table changes.
    left: Mutex<Vec<(usize, Weak<T>)>>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<Arc<T>>> for Places<T> {
    fn from(order: Vec<Arc<T>>) -> Self {
        let places = order.iter().cloned().map(Some).collect();
        Self {
            now: ArcSwap::from_pointee(Table { places, order }),
            left: Mutex::default(),
        }
    }
}

impl<T> Places<T> {
    /// The table for a moment: not to be kept, nor across an await.
    pub fn now(&self) -> Guard<Arc<Table<T>>> {
        self.now.load()
    }
    /// The table to keep.
    pub fn table(&self) -> Arc<Table<T>> {
        self.now.load_full()
    }
    /// The one at a place.
    pub fn get(&self, place: usize) -> Option<Arc<T>> {
        self.now.load().get(place).cloned()
    }

    /// Lets one in at a free place, which `make` is told. `None` when all of `most` places are taken.
    pub fn add(&self, most: usize, make: impl FnOnce(usize) -> Arc<T>) -> Option<Arc<T>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.now.load());
        let free = left.iter().position(|(_, one)| one.strong_count() == 0);
        let place = match free {
            Some(at) => left.remove(at).0,
            None if table.bound() < most => table.bound(),
            None => return None,
        };
        let one = make(place);
        table.put(place, Arc::clone(&one));
        self.now.store(Arc::new(table));
        Some(one)
    }

    /// Puts one at a place that another table has given out.
    pub fn put(&self, place: usize, one: Arc<T>) {
        let _left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.now.load());
        table.put(place, one);
        self.now.store(Arc::new(table));
    }

    /// Takes one out. Its place is given away when nobody holds it any more.
    pub fn remove(&self, place: usize) -> Option<Arc<T>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.now.load());
        let one = table.places.get_mut(place)?.take()?;
        table.order.retain(|other| !Arc::ptr_eq(other, &one));
        self.now.store(Arc::new(table));
        left.push((place, Arc::downgrade(&one)));
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(places: &Places<char>) -> String {
        places.now().iter().map(|one| **one).collect()
    }

    #[test]
    fn a_place_is_given_away_when_nobody_holds_who_stood_there() {
        let places = Places::from(vec![Arc::new('a'), Arc::new('b')]);
        let mut at = Vec::new();
        let mut add = |name| {
            places.add(3, |place| {
                at.push(place);
                Arc::new(name)
            })
        };
        let held = places.get(0);
        assert!(places.remove(0).is_some() && places.remove(0).is_none());
        assert_eq!(shown(&places), "b");
        assert_eq!(places.get(0), None);
        // The place of 'a' is still spoken of.
        assert!(add('c').is_some());
        assert!(add('d').is_none(), "all three places are taken");
        drop(held);
        assert!(add('e').is_some());
        assert_eq!(at, [2, 0]);
        assert_eq!(shown(&places), "bce");
        assert_eq!(places.get(0).as_deref(), Some(&'e'));
        assert_eq!(places.now().bound(), 3);
    }

    #[test]
    fn a_thousand_comings_and_goings_take_one_place() {
        let places = Places::from(vec![Arc::new(0)]);
        for number in 1..=1_000 {
            let one = places.add(2, |place| {
                assert_eq!(place, 1);
                Arc::new(number)
            });
            assert!(one.is_some());
            drop(one);
            places.remove(1);
        }
        assert_eq!((places.now().len(), places.now().bound()), (1, 2));
    }
}
