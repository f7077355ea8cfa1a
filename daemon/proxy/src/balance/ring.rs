//! The ring of consistent hashing, as HAProxy 2.6 was measured to lay it out: a server whose number is `id` has 16 points for
//! each unit of weight, the n-th at avalanche(id * 4096 + n); a key belongs to the nearest point, to the one before it when two
//! are equally near.

use super::hash::avalanche;
use crate::state::ServerId;

/// Points of one server: numbers below it belong to it (256 units of weight, 16 points each).
const POINTS_OF_A_SERVER: u32 = 4_096;

/// Points by position.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Points that each server has on the ring.
    counts: Vec<u32>,
    points: Vec<(u32, u32)>,
    /// The point of the last turn, when turns are taken.
    last: Option<u32>,
}

impl Ring {
    /// Follows the weights in sixteenths; `number` tells the servers' ids in the configuration. Only points of servers
    /// whose weight has changed are touched.
    pub(super) fn follow(&mut self, weights: &[u32], number: impl Fn(usize) -> u32) {
        self.counts.resize(weights.len(), 0);
        let mut fresh = Vec::new();
        let mut shrunk = false;
        for (id, weight) in weights.iter().enumerate() {
            let (before, now) = (self.counts[id], (*weight).min(POINTS_OF_A_SERVER));
            shrunk |= now < before;
            let number = match before < now {
                true => number(id).wrapping_mul(POINTS_OF_A_SERVER),
                false => 0,
            };
            for point in before..now {
                fresh.push((avalanche(number.wrapping_add(point)), id as u32));
            }
            self.counts[id] = now;
        }
        if shrunk {
            self.drop_points(&number);
        }
        if !fresh.is_empty() {
            self.points.extend_from_slice(&fresh);
            // Mostly sorted already: the standard sort finds the runs.
            self.points.sort();
        }
    }

    /// Removes the points of servers that have more on the ring than they should.
    fn drop_points(&mut self, number: &impl Fn(usize) -> u32) {
        let counts = &self.counts;
        let mut wanted = std::collections::HashMap::new();
        let mut seen = vec![0u32; counts.len()];
        for (_, id) in &self.points {
            seen[*id as usize] += 1;
        }
        for (id, count) in counts.iter().enumerate() {
            if seen[id] > *count {
                let number = number(id).wrapping_mul(POINTS_OF_A_SERVER);
                let keep: std::collections::HashSet<u32> = (0..*count)
                    .map(|point| avalanche(number.wrapping_add(point)))
                    .collect();
                wanted.insert(id as u32, keep);
            }
        }
        self.points
            .retain(|(at, id)| wanted.get(id).is_none_or(|keep| keep.contains(at)));
    }

    /// The nearest point's server, then the servers of the points after it, until one is open.
    pub(super) fn by_hash(&self, hash: u32, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        let start = self.nearest(hash)?;
        let (before, after) = self.points.split_at(start);
        let mut last = None;
        for (_, id) in after.iter().chain(before) {
            // A server that has just been asked is not asked again.
            if last == Some(*id) {
                continue;
            }
            last = Some(*id);
            if open(ServerId(*id)) {
                return Some(ServerId(*id));
            }
        }
        None
    }

    /// The server of the nearest point.
    pub(super) fn owner(&self, hash: u32) -> Option<ServerId> {
        Some(ServerId(self.points[self.nearest(hash)?].1))
    }

    fn nearest(&self, hash: u32) -> Option<usize> {
        let count = self.points.len();
        if count == 0 {
            return None;
        }
        let next = self.points.partition_point(|(at, _)| *at < hash) % count;
        let before = (next + count - 1) % count;
        let to_next = self.points[next].0.wrapping_sub(hash);
        let to_before = hash.wrapping_sub(self.points[before].0);
        Some(if to_next < to_before { next } else { before })
    }

    /// Turns along the ring, for requests without a key.
    pub(super) fn next(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        let start = self
            .last
            .map_or(0, |last| self.points.partition_point(|(at, _)| *at <= last));
        let (before, after) = self.points.split_at(start);
        let (at, id) = after
            .iter()
            .chain(before)
            .find(|(_, id)| open(ServerId(*id)))?;
        self.last = Some(*at);
        Some(ServerId(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[u32]) -> Ring {
        let numbers: Vec<u32> = (1..=weights.len() as u32).collect();
        let mut ring = Ring::default();
        ring.follow(weights, |id| numbers[id]);
        ring
    }

    /// Boundaries measured by bisection on haproxy 2.6.12 with two servers of weight 1.
    #[test]
    fn keys_belong_where_haproxy_sends_them() {
        let ring = ring(&[16, 16]);
        for (last, owner) in [
            (0x1b1b_59f5, 1),
            (0x3030_9fdb, 0),
            (0x33b5_ab90, 1),
            (0x4004_78de, 0),
            (0x4592_1f75, 1),
            (0x770e_5dfc, 0),
            (0xb773_a49a, 0),
            (0xefa7_c974, 0),
        ] {
            assert_eq!(ring.owner(last), Some(ServerId(owner)), "{last:x}");
            assert_eq!(ring.owner(last + 1), Some(ServerId(1 - owner)), "{last:x}");
        }
    }

    #[test]
    fn a_ring_that_changed_is_the_one_built_anew() {
        let mut changed = ring(&[16, 64, 4_096]);
        changed.follow(&[48, 0, 16], |id| [1, 2, 3][id]);
        assert_eq!(changed.points, ring(&[48, 0, 16]).points);
        assert_eq!(Ring::default().owner(1), None);
    }
}
