//! Round robin by weight: whose turn it is. Pure: weights and fullness come in as arguments.
//!
//! Positions count turns. A server of weight w is due every (sum of weights / w) positions; what a division leaves over is
//! carried on. Whoever is due goes first, else one that had no turn yet (the heaviest first), else the one that is due next.
//! The order is the one that HAProxy 2.6 was seen to give. One whose weight changes keeps its turn if it had none yet, else
//! it is due its new distance from now; one that comes (back) in is due its distance from the last turn. There HAProxy's own place
//! in the round depends on more that went before: nearly all orders after a change of weight are the same, some 87 of 100 after a
//! coming, and shares always.

use std::cmp::Reverse;

use super::heap::Heap;
use crate::state::ServerId;

/// Where a server stands in line.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    weight: u32,
    /// How often it had come and gone when it was looked at last.
    changes: u32,
    /// The position at which its next turn is due.
    due: u64,
    /// What was left over when the distance of its turns was not a whole number; less than the weight.
    rest: u64,
    /// It was passed over when it was due, because it was full.
    passed_over: bool,
}

/// Due position, what is left over less the weight (so that among equals the one with the most left to gain goes
/// first), and when it was put in line.
type Due = (u64, i64, u64);

/// Of those that had no turn: weight, and when it was put in line.
type Fresh = (Reverse<u32>, u64);

/// The line of servers.
#[derive(Debug, Default)]
pub(super) struct Turns {
    servers: Vec<Turn>,
    /// Those that had a turn.
    due: Heap<Due>,
    /// Those that had none, the heaviest first, then in order of the configuration; whose weight has changed come last.
    fresh: Heap<Fresh>,
    total: u64,
    /// Turns given so far: the present position.
    position: u64,
    queued: u64,
    /// Those set aside while somebody who is not full is looked for; without a key those who had no turn yet.
    aside: Vec<(u32, Result<Due, Fresh>)>,
}

impl Turns {
    /// Follows the weights; 0 takes a server out of the line. `changes` counts how often a server has come and gone. The
    /// first call is the start.
    pub(super) fn follow(&mut self, weights: &[u32], changes: impl Fn(ServerId) -> u32) {
        let is_start = self.servers.is_empty();
        self.servers.resize(weights.len(), Turn::default());
        self.total = weights.iter().map(|weight| u64::from(*weight)).sum();
        for (id, weight) in weights.iter().enumerate() {
            let (id, changes) = (id as u32, changes(ServerId(id as u32)));
            let server = &mut self.servers[id as usize];
            let was_away = server.changes != changes || server.weight == 0;
            if server.weight == *weight && !was_away {
                continue;
            }
            (server.weight, server.changes) = (*weight, changes);
            let was_fresh = self.fresh.contains(id);
            self.due.remove(id);
            self.fresh.remove(id);
            if *weight == 0 {
                continue;
            }
            if is_start || was_fresh && !was_away {
                self.queued += 1;
                self.fresh.set(id, (Reverse(*weight), self.queued));
                continue;
            }
            let weight = u64::from(*weight);
            let begun = was_away && self.position > 0;
            // One whose weight has changed waits its distance; one that comes in is in line as if the last turn were its own.
            let from = self.position - u64::from(begun);
            let rest = match (was_away, begun) {
                (true, true) => server.rest + self.total % weight,
                (true, false) => server.rest,
                (false, _) => 0,
            };
            server.due = from + self.total / weight + if begun { rest / weight } else { 0 };
            server.rest = rest % weight;
            server.passed_over = false;
            self.enqueue(id);
        }
    }

    fn enqueue(&mut self, id: u32) {
        self.queued += 1;
        let server = &self.servers[id as usize];
        let left = server.rest as i64 - i64::from(server.weight);
        self.due.set(id, (server.due, left, self.queued));
    }

    /// Who is next, of those that are open.
    pub(super) fn next(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        let mut chosen = None;
        loop {
            let (id, key) = match (self.due.first(), self.fresh.first()) {
                (Some((key, id)), _) if key.0 <= self.position => (id, Ok(key)),
                (_, Some((key, id))) => (id, Err(key)),
                (Some((key, id)), None) => (id, Ok(key)),
                (None, None) => break,
            };
            if key.is_err() {
                self.fresh.remove(id);
            }
            if open(ServerId(id)) {
                chosen = Some((id, key.is_err()));
                break;
            }
            self.due.remove(id);
            self.aside.push((id, key));
        }
        for (id, key) in self.aside.drain(..) {
            match key {
                Ok(key) => {
                    self.servers[id as usize].passed_over = true;
                    self.due.set(id, key);
                }
                Err(key) => self.fresh.set(id, key),
            }
        }
        let (id, is_fresh) = chosen?;
        self.take(id, is_fresh);
        Some(ServerId(id))
    }

    fn take(&mut self, id: u32, is_fresh: bool) {
        let position = self.position;
        self.position += 1;
        let server = &mut self.servers[id as usize];
        let weight = u64::from(server.weight);
        let distance = self.total / weight;
        let mut from = if is_fresh { position } else { server.due };
        // One that was full for long does not make up for all of it.
        if std::mem::take(&mut server.passed_over) {
            from = from.max(position.saturating_sub(distance));
        }
        server.rest += self.total % weight;
        server.due = from + distance + server.rest / weight;
        server.rest %= weight;
        self.enqueue(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32], count: usize) -> Vec<u32> {
        let mut turns = Turns::default();
        turns.follow(weights, |_| 0);
        (0..count)
            .filter_map(|_| turns.next(|_| true))
            .map(|id| id.0)
            .collect()
    }

    /// All as haproxy 2.6.12 gives them.
    #[test]
    fn turns_follow_weights_and_are_spread() {
        let check = |weights: &[u32], expected: &str| {
            let digits: String = turns(weights, expected.len())
                .iter()
                .map(u32::to_string)
                .collect();
            assert_eq!(digits, expected, "{weights:?}");
        };
        check(&[1, 1], "0101");
        check(&[3, 1, 2], "020102020102");
        check(&[10, 20, 5], "11012101101210");
        check(&[5, 7], "110101011010");
        check(&[3, 5], "11010110");
        check(&[1, 3, 7], "2212212202122122122021");
        check(&[2, 4, 6, 1], "21202121201232120212120123");
        check(&[4, 3, 6, 4, 3, 5], "2503215420352104352025134");
        check(&[3, 1, 20], "222220222221220222222202");
        check(&[5, 1, 2, 1, 7], "4042044014042403");
        // A common factor changes nothing.
        assert_eq!(turns(&[32, 64, 96, 16], 40), turns(&[2, 4, 6, 1], 40));
    }

    #[test]
    fn a_full_server_is_passed_over_and_keeps_its_place() {
        let mut turns = Turns::default();
        turns.follow(&[1, 1], |_| 0);
        assert_eq!(turns.next(|id| id.0 == 1), Some(ServerId(1)));
        assert_eq!(turns.next(|_| false), None);
        assert_eq!(turns.next(|_| true), Some(ServerId(0)));
        assert_eq!(turns.next(|_| true), Some(ServerId(1)));
    }

    /// As haproxy 2.6.12: before the first turn a changed weight puts a server behind its equals, one that has been away
    /// waits its distance; later both wait.
    #[test]
    fn one_whose_weight_changes_or_that_comes_back_has_another_place() {
        let check = |before: &[u32], first: usize, after: &[u32], away: u32, expected: &str| {
            let mut turns = Turns::default();
            turns.follow(before, |_| 0);
            for _ in 0..first {
                turns.next(|_| true);
            }
            turns.follow(after, |id| u32::from(id.0 == away));
            let digits: String = (0..expected.len())
                .filter_map(|_| turns.next(|_| true))
                .map(|id| id.0.to_string())
                .collect();
            assert_eq!(digits, expected, "{before:?} {first} {after:?} {away}");
        };
        const NOBODY: u32 = 99;
        check(&[1, 1], 0, &[1, 2], NOBODY, "110110110");
        check(&[2, 4, 1], 0, &[1, 4, 1], NOBODY, "112110112110");
        check(&[1, 1], 4, &[1, 2], NOBODY, "011011011");
        check(&[1, 1], 5, &[1, 2], NOBODY, "101101101");
        check(&[1, 1], 4, &[2, 1], NOBODY, "010010010");
        check(&[4, 1], 0, &[4, 1], 0, "1000010000");
        check(&[2, 3, 2, 1], 0, &[2, 3, 2, 1], 2, "10132011201");
        check(&[1, 1], 9, &[1, 1], 1, "010101");
        check(&[1, 1, 1], 4, &[1, 1, 1], 1, "201201201");
        check(&[2, 1, 3], 1, &[2, 1, 3], 0, "12022012022012");
        check(&[2, 1, 3], 4, &[2, 1, 3], 1, "20202120202120");
    }

    #[test]
    fn one_that_leaves_gets_no_turn() {
        let mut turns = Turns::default();
        turns.follow(&[1, 1, 1], |_| 0);
        assert_eq!(turns.next(|_| true), Some(ServerId(0)));
        turns.follow(&[1, 0, 1], |_| 0);
        let rest: Vec<_> = (0..4).filter_map(|_| turns.next(|_| true)).collect();
        assert!(!rest.contains(&ServerId(1)), "{rest:?}");
        turns.follow(&[0, 0, 0], |_| 0);
        assert_eq!(turns.next(|_| true), None);
    }
}
