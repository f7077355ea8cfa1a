//! `balance leastconn`: the server with the least load in proportion to its weight; among equals the one whose load
//! changed the longest ago. HAProxy 2.6 was seen to choose so.

use super::heap::Heap;
use crate::state::ServerId;

/// Servers by load.
#[derive(Debug, Default)]
pub(super) struct Least {
    weights: Vec<u32>,
    loads: Vec<u64>,
    heap: Heap<(u64, u64)>,
    changes: u64,
    aside: Vec<((u64, u64), u32)>,
}

impl Least {
    /// Follows the weights; 0 takes a server out.
    pub(super) fn follow(&mut self, weights: &[u32], load: impl Fn(ServerId) -> u64) {
        self.weights.resize(weights.len(), 0);
        self.loads.resize(weights.len(), 0);
        for (id, weight) in weights.iter().enumerate() {
            if self.weights[id] == *weight {
                continue;
            }
            self.weights[id] = *weight;
            if *weight == 0 {
                self.heap.remove(id as u32);
            } else {
                self.loads[id] = load(ServerId(id as u32));
                self.enqueue(id as u32);
            }
        }
    }

    /// A server's load has changed.
    pub(super) fn changed(&mut self, id: ServerId, load: u64) {
        let at = id.0 as usize;
        if at < self.loads.len() && self.loads[at] != load {
            self.loads[at] = load;
            if self.heap.contains(id.0) {
                self.enqueue(id.0);
            }
        }
    }

    fn enqueue(&mut self, id: u32) {
        self.changes += 1;
        let (load, weight) = (self.loads[id as usize], self.weights[id as usize]);
        // An idle server is as good as any other idle one, whatever its weight.
        let key = match load {
            0 => 0,
            load => (load + 1).saturating_mul(1 << 20) / u64::from(weight.max(1)),
        };
        self.heap.set(id, (key, self.changes));
    }

    /// The least loaded of those that are open.
    pub(super) fn next(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        let mut chosen = None;
        while let Some((key, id)) = self.heap.first() {
            if open(ServerId(id)) {
                chosen = Some(ServerId(id));
                break;
            }
            self.heap.remove(id);
            self.aside.push((key, id));
        }
        for (key, id) in self.aside.drain(..) {
            self.heap.set(id, key);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_counts_by_weight_and_the_longest_unchanged_goes_first() {
        let mut least = Least::default();
        least.follow(&[16, 32], |_| 0);
        let mut loads = [0; 2];
        let mut seen = String::new();
        for _ in 0..6 {
            let id = least.next(|_| true).expect("somebody is there");
            loads[id.0 as usize] += 1;
            least.changed(id, loads[id.0 as usize]);
            seen.push_str(&id.0.to_string());
        }
        // Idle ones first, then by (load + 1) / weight; of equals the one that has waited.
        assert_eq!(seen, "011101");
        assert_eq!(least.next(|id| id.0 == 0), Some(ServerId(0)));
        assert_eq!(least.next(|_| false), None);
    }
}
