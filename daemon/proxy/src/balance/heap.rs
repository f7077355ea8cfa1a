//! A binary heap of servers with a changeable key each: whoever has the least key stands first, and finding a server
//! to move it costs nothing. Nothing is allocated once all servers have been in it.

/// Marks a server that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// Servers (by number) in the order of their keys.
#[derive(Debug)]
pub(super) struct Heap<K> {
    entries: Vec<(K, u32)>,
    /// Where each server stands in `entries`, or [`ABSENT`].
    places: Vec<u32>,
}

impl<K> Default for Heap<K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<K: Copy + Ord> Heap<K> {
    /// The least key with its server.
    pub(super) fn first(&self) -> Option<(K, u32)> {
        self.entries.first().copied()
    }

    /// Whether a server is in it.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.places
            .get(id as usize)
            .is_some_and(|place| *place != ABSENT)
    }

    /// Puts a server in, or moves it to another key.
    pub(super) fn set(&mut self, id: u32, key: K) {
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, ABSENT);
        }
        let place = self.places[id as usize];
        if place == ABSENT {
            self.places[id as usize] = self.entries.len() as u32;
            self.entries.push((key, id));
            self.rise(self.entries.len() - 1);
        } else {
            self.entries[place as usize].0 = key;
            let place = self.rise(place as usize);
            self.sink(place);
        }
    }

    /// Takes a server out.
    pub(super) fn remove(&mut self, id: u32) {
        let Some(place) = self.places.get(id as usize).copied() else {
            return;
        };
        if place == ABSENT {
            return;
        }
        self.places[id as usize] = ABSENT;
        let place = place as usize;
        let last = self.entries.pop();
        if let Some(last) = last
            && place < self.entries.len()
        {
            self.entries[place] = last;
            self.places[last.1 as usize] = place as u32;
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.entries[parent] <= self.entries[place] {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(child) =
                (left..(left + 2).min(self.entries.len())).min_by_key(|child| self.entries[*child])
            else {
                return;
            };
            if self.entries[place] <= self.entries[child] {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.entries.swap(a, b);
        self.places[self.entries[a].1 as usize] = a as u32;
        self.places[self.entries[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::Heap;

    #[test]
    fn the_least_key_is_first_whatever_moves() {
        let mut heap = Heap::default();
        let mut keys = [0u64; 40];
        let mut random = 7u64;
        for step in 0..2_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let id = (random >> 33) as usize % keys.len();
            if step % 7 == 0 {
                heap.remove(id as u32);
                keys[id] = 0;
            } else {
                keys[id] = 1 + (random >> 40) % 1_000;
                heap.set(id as u32, keys[id]);
            }
            let least = keys
                .iter()
                .enumerate()
                .filter(|(_, key)| **key > 0)
                .map(|(id, key)| (*key, id as u32))
                .min();
            assert_eq!(heap.first(), least);
            assert_eq!(heap.contains(id as u32), keys[id] > 0);
        }
    }
}
