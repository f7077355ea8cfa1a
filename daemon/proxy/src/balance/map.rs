//! The map of `static-rr` and of map-based hashing: each server has as many slots as its weight (divided by what all have
//! in common), spread evenly.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::state::ServerId;

/// Slots of servers.
#[derive(Debug)]
pub(super) struct Map {
    /// What the weights of all servers of the configuration have in common.
    divisor: u32,
    slots: Vec<u32>,
    /// The next slot when turns are taken.
    position: usize,
}

impl Map {
    /// An empty map of servers with these weights in the configuration.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        Self {
            divisor: weights.fold(0, greatest_common_divisor).max(1),
            slots: Vec::new(),
            position: 0,
        }
    }

    /// Builds it anew; a weight of 0 has no slot.
    pub(super) fn follow(&mut self, weights: &[u32]) {
        self.slots = even_slots(weights, self.divisor);
    }

    /// The next slot whose server is open.
    pub(super) fn next(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        for _ in 0..self.slots.len() {
            // It is behind the last slot after a round, and stays there if the map grows before the next turn: so HAProxy
            // was seen to go on.
            if self.position >= self.slots.len() {
                self.position = 0;
            }
            let id = ServerId(self.slots[self.position]);
            self.position += 1;
            if open(id) {
                return Some(id);
            }
        }
        None
    }

    /// The server of a hash; the next other one if it is to be avoided.
    pub(super) fn by_hash(&self, hash: u32, avoid: Option<ServerId>) -> Option<ServerId> {
        if self.slots.is_empty() {
            return None;
        }
        let start = hash as usize % self.slots.len();
        let (before, after) = self.slots.split_at(start);
        let other = after
            .iter()
            .chain(before)
            .find(|id| Some(ServerId(**id)) != avoid);
        Some(ServerId(*other.unwrap_or(&self.slots[start])))
    }
}

/// Everyone gains its weight, the one with the most whole rounds of credit is chosen (the first among equals) and pays a
/// round. HAProxy was seen to give the same map. Who reaches his next round when is computed, not counted: the
/// work is the number of slots times a logarithm.
fn even_slots(weights: &[u32], divisor: u32) -> Vec<u32> {
    let weights: Vec<i64> = weights
        .iter()
        .map(|weight| i64::from((weight / divisor).max((*weight).min(1))))
        .collect();
    let total: i64 = weights.iter().sum();
    let mut slots = Vec::with_capacity(total as usize);
    // Credits at time 0; the credit at time t is more by t times the weight.
    let mut credits: Vec<i64> = vec![0; weights.len()];
    // Whole rounds of credit, and when the next is full.
    let mut rounds: Vec<i64> = vec![0; weights.len()];
    let mut coming: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut ready: BTreeSet<(Reverse<i64>, usize)> = BTreeSet::new();
    let round_at = |credit: i64, weight: i64, time: i64| (credit + weight * time + total) / total;
    let next_round = |credit: i64, weight: i64, rounds: i64| {
        // The first time at which credit + weight * time + total >= (rounds + 1) * total.
        ((rounds + 1) * total - total - credit + weight - 1) / weight
    };
    for (id, weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0)
    {
        rounds[id] = round_at(0, *weight, 1);
        ready.insert((Reverse(rounds[id]), id));
        coming.push(Reverse((next_round(0, *weight, rounds[id]), id)));
    }
    for time in 1..=total {
        while let Some(Reverse((at, id))) = coming.peek().copied()
            && at <= time
        {
            coming.pop();
            let now = round_at(credits[id], weights[id], time);
            // A payment since then has moved it: look at what holds now.
            if now > rounds[id] {
                ready.remove(&(Reverse(rounds[id]), id));
                rounds[id] = now;
                ready.insert((Reverse(now), id));
            }
            let next = next_round(credits[id], weights[id], rounds[id]).max(time + 1);
            coming.push(Reverse((next, id)));
        }
        let Some((_, id)) = ready.pop_first() else {
            break;
        };
        slots.push(id as u32);
        credits[id] -= total;
        rounds[id] = round_at(credits[id], weights[id], time);
        ready.insert((Reverse(rounds[id]), id));
        coming.push(Reverse((
            next_round(credits[id], weights[id], rounds[id]).max(time + 1),
            id,
        )));
    }
    slots
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule, counted step by step.
    fn counted(weights: &[u32]) -> Vec<u32> {
        let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
        let mut credits = vec![0i64; weights.len()];
        (0..total)
            .map(|_| {
                let mut best: Option<(i64, usize)> = None;
                for (id, weight) in weights.iter().enumerate() {
                    if *weight == 0 {
                        continue;
                    }
                    credits[id] += i64::from(*weight);
                    let rounds = (credits[id] + total) / total;
                    if best.is_none_or(|(most, _)| rounds > most) {
                        best = Some((rounds, id));
                    }
                }
                let (_, id) = best.expect("somebody has weight");
                credits[id] -= total;
                id as u32
            })
            .collect()
    }

    #[test]
    fn slots_are_those_of_the_rule() {
        assert_eq!(even_slots(&[3, 1, 2], 1), [0, 0, 2, 0, 1, 2]);
        assert_eq!(even_slots(&[10, 20, 5], 5), [0, 1, 1, 0, 1, 1, 2]);
        assert_eq!(even_slots(&[0, 4], 4), [1]);
        let mut random = 1u64;
        for _ in 0..300 {
            let mut below = |limit: u64| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % limit
            };
            // A one takes care that nothing is common to all.
            let mut weights = vec![1];
            weights.extend((0..below(9)).map(|_| [0, 1, 2, 3, 7, 50, 256][below(7) as usize]));
            assert_eq!(even_slots(&weights, 1), counted(&weights), "{weights:?}");
        }
    }

    #[test]
    fn many_servers_are_no_trouble() {
        let weights: Vec<u32> = (0..5_000).map(|id| 1 + id % 20).collect();
        assert_eq!(
            even_slots(&weights, 1).len(),
            weights.iter().sum::<u32>() as usize
        );
    }
}
