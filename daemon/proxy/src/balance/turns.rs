//! The candidates of a balancer and whose turn it is. Pure: usability and load come in as arguments.

use std::collections::HashMap;

use crate::state::ServerId;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: ServerId,
    weight: u32,
    /// Round robin: the position at which its next turn is due; `None` before its first.
    due: Option<u64>,
    /// What was left over when the distance of its turns was not a whole number.
    rest: u64,
    /// When it was put back in line: among equals the latest goes first.
    queued_at: u64,
    /// When it was last chosen by least load: the longest ago wins among equals.
    chosen_at: u64,
}

/// Points of a server of weight 1 on the ring of consistent hashing.
const RING_POINTS_PER_WEIGHT: u32 = 16;

/// Usable servers and the state of their turns.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) generation: u64,
    list: Vec<Candidate>,
    /// Servers by slot: a server of weight n has n slots (weights reduced), spread evenly.
    map: Vec<u32>,
    /// Points of the ring, sorted; for consistent hashing.
    ring: Vec<(u32, u32)>,
    /// Next slot of `static-rr`.
    position: usize,
    clock: u64,
    /// Turns given by round robin.
    turns: u64,
    random: u64,
}

impl Candidates {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn contains(&self, id: ServerId) -> bool {
        self.list.iter().any(|candidate| candidate.id == id)
    }

    /// Takes the usable servers over; credits of those that stay are kept.
    pub(super) fn rebuild(
        &mut self,
        generation: u64,
        usable: Vec<(ServerId, u32)>,
        wants_map: bool,
        consistent: bool,
    ) {
        let before: HashMap<u32, Candidate> = self
            .list
            .drain(..)
            .map(|candidate| (candidate.id.0, candidate))
            .collect();
        self.generation = generation;
        self.list = usable
            .into_iter()
            .map(|(id, weight)| {
                let old = before.get(&id.0).filter(|old| old.weight == weight);
                Candidate {
                    id,
                    weight,
                    due: old.and_then(|old| old.due),
                    rest: old.map_or(0, |old| old.rest),
                    queued_at: old.map_or(0, |old| old.queued_at),
                    chosen_at: before.get(&id.0).map_or(0, |old| old.chosen_at),
                }
            })
            .collect();
        self.map.clear();
        self.ring.clear();
        if wants_map {
            self.map = even_map(&self.list);
            if self.position >= self.map.len() {
                self.position = 0;
            }
        }
        if consistent {
            for (index, candidate) in self.list.iter().enumerate() {
                for point in 0..candidate.weight * RING_POINTS_PER_WEIGHT {
                    self.ring
                        .push((mix((candidate.id.0 + 1) << 16 ^ point), index as u32));
                }
            }
            self.ring.sort_unstable();
        }
    }

    /// Weighted round robin. Positions count turns; a server of weight w is due every (sum of weights / w) positions.
    /// Whoever is due goes first; else one that had no turn yet, the heaviest first; else the one that is due next.
    /// The order is the one that HAProxy was seen to give.
    pub(super) fn next_turn(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        let position = self.turns;
        let total: u64 = self
            .list
            .iter()
            .map(|candidate| u64::from(candidate.weight))
            .sum();
        let mut due: Option<usize> = None;
        let mut fresh: Option<usize> = None;
        for (index, candidate) in self.list.iter().enumerate() {
            if candidate.weight == 0 || !open(candidate.id) {
                continue;
            }
            match candidate.due {
                None if fresh.is_none_or(|best| candidate.weight > self.list[best].weight) => {
                    fresh = Some(index)
                }
                None => {}
                Some(at) => {
                    let is_before = |best: usize| {
                        let best = &self.list[best];
                        (Some(at), std::cmp::Reverse(candidate.queued_at))
                            < (best.due, std::cmp::Reverse(best.queued_at))
                    };
                    if due.is_none_or(is_before) {
                        due = Some(index);
                    }
                }
            }
        }
        let is_due = due.is_some_and(|index| self.list[index].due <= Some(position));
        let chosen = if is_due { due } else { fresh.or(due) }?;
        self.turns += 1;
        let chosen = &mut self.list[chosen];
        let weight = u64::from(chosen.weight);
        let distance = total / weight;
        // One that was passed over for long (it was full) does not make up for all of it.
        let from = chosen
            .due
            .unwrap_or(position)
            .max(position.saturating_sub(distance));
        chosen.rest += total % weight;
        chosen.due = Some(from + distance + chosen.rest / weight);
        chosen.rest %= weight;
        chosen.queued_at = self.turns;
        Some(chosen.id)
    }

    /// The next slot of the map whose server is open.
    pub(super) fn next_on_map(&mut self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        for _ in 0..self.map.len() {
            let id = self.list[self.map[self.position] as usize].id;
            self.position = (self.position + 1) % self.map.len();
            if open(id) {
                return Some(id);
            }
        }
        None
    }

    /// The server of a hash; the next other one if it is to be avoided.
    pub(super) fn by_hash(&self, hash: u32, avoid: Option<ServerId>) -> Option<ServerId> {
        let slots = if self.ring.is_empty() {
            self.map.len()
        } else {
            self.ring.len()
        };
        if slots == 0 {
            return None;
        }
        let (start, at): (usize, &dyn Fn(usize) -> u32) = if self.ring.is_empty() {
            (hash as usize % slots, &|slot| self.map[slot])
        } else {
            (
                self.ring.partition_point(|(point, _)| *point < mix(hash)) % slots,
                &|slot| self.ring[slot].1,
            )
        };
        let ids = (0..slots).map(|step| self.list[at((start + step) % slots) as usize].id);
        let first = self.list[at(start) as usize].id;
        Some(
            ids.into_iter()
                .find(|id| Some(*id) != avoid)
                .unwrap_or(first),
        )
    }

    /// The least load in proportion to the weight; among equals the one whose turn is the longest ago.
    pub(super) fn least_loaded(
        &mut self,
        open: impl Fn(ServerId) -> bool,
        load: impl Fn(ServerId) -> u64,
    ) -> Option<ServerId> {
        let mut best: Option<(u64, u64, usize)> = None;
        for (index, candidate) in self.list.iter().enumerate() {
            if candidate.weight == 0 || !open(candidate.id) {
                continue;
            }
            let load = load(candidate.id);
            // An idle server is as good as any other idle one, whatever its weight.
            let key = if load == 0 {
                0
            } else {
                (load + 1) * 65_536 / u64::from(candidate.weight)
            };
            if best.is_none_or(|(least, longest_ago, _)| {
                (key, candidate.chosen_at) < (least, longest_ago)
            }) {
                best = Some((key, candidate.chosen_at, index));
            }
        }
        let (.., index) = best?;
        self.clock += 1;
        self.list[index].chosen_at = self.clock;
        Some(self.list[index].id)
    }

    /// The first open server in order of the configuration.
    pub(super) fn first(&self, open: impl Fn(ServerId) -> bool) -> Option<ServerId> {
        self.list
            .iter()
            .map(|candidate| candidate.id)
            .find(|id| open(*id))
    }

    /// Some draws by weight; the least loaded of them in proportion to its weight.
    pub(super) fn random(
        &mut self,
        draws: u32,
        open: impl Fn(ServerId) -> bool,
        load: impl Fn(ServerId) -> u64,
    ) -> Option<ServerId> {
        let total: u64 = self
            .list
            .iter()
            .map(|candidate| u64::from(candidate.weight))
            .sum();
        let mut best: Option<(u64, ServerId)> = None;
        for _ in 0..draws.min(64) {
            let mut ticket = self.draw() % total.max(1);
            let Some(drawn) = self.list.iter().find(|candidate| {
                let weight = u64::from(candidate.weight);
                let hit = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                hit
            }) else {
                continue;
            };
            let key = load(drawn.id) * 65_536 / u64::from(drawn.weight.max(1));
            if open(drawn.id) && best.is_none_or(|(least, _)| key < least) {
                best = Some((key, drawn.id));
            }
        }
        best.map(|(_, id)| id).or_else(|| self.first(open))
    }

    /// xorshift64*: chance, not secrecy.
    fn draw(&mut self) -> u64 {
        if self.random == 0 {
            self.random = 0x9e37_79b9_7f4a_7c15;
        }
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// Slots for all servers, each as many as its (reduced) weight, spread evenly: everyone gains its weight, the one with
/// the most whole rounds of credit is chosen (the first among equals) and pays a round. HAProxy was seen to give the same map.
fn even_map(list: &[Candidate]) -> Vec<u32> {
    let divisor = list
        .iter()
        .map(|candidate| candidate.weight)
        .fold(0, greatest_common_divisor)
        .max(1);
    let total: i64 = list
        .iter()
        .map(|candidate| i64::from(candidate.weight / divisor))
        .sum();
    let mut credits = vec![0i64; list.len()];
    (0..total)
        .filter_map(|_| {
            let mut best: Option<(i64, usize)> = None;
            for (index, candidate) in list.iter().enumerate() {
                credits[index] += i64::from(candidate.weight / divisor);
                let rounds = (credits[index] + total) / total;
                if best.is_none_or(|(most, _)| rounds > most) {
                    best = Some((rounds, index));
                }
            }
            let best = best.map(|(_, best)| best);
            best.inspect(|best| credits[*best] -= total)
                .map(|best| best as u32)
        })
        .collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Spreads neighbouring numbers over the ring (the finalizer of MurmurHash3, public domain).
fn mix(mut value: u32) -> u32 {
    value ^= value >> 16;
    value = value.wrapping_mul(0x85eb_ca6b);
    value ^= value >> 13;
    value = value.wrapping_mul(0xc2b2_ae35);
    value ^ value >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[u32]) -> Candidates {
        let mut candidates = Candidates::default();
        let usable = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| (ServerId(index as u32), *weight))
            .collect();
        candidates.rebuild(1, usable, true, false);
        candidates
    }

    fn turns(weights: &[u32], count: usize) -> Vec<u32> {
        let mut candidates = candidates(weights);
        (0..count)
            .filter_map(|_| candidates.next_turn(|_| true))
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn turns_follow_weights_and_are_spread() {
        assert_eq!(turns(&[1, 1], 4), [0, 1, 0, 1]);
        // Both as haproxy 2.6.12 gives them.
        assert_eq!(turns(&[3, 1, 2], 12), [0, 2, 0, 1, 0, 2, 0, 2, 0, 1, 0, 2]);
        assert_eq!(
            turns(&[10, 20, 5], 14),
            [1, 1, 0, 1, 2, 1, 0, 1, 1, 0, 1, 2, 1, 0]
        );
        assert_eq!(candidates(&[3, 1, 2]).map, [0, 0, 2, 0, 1, 2]);
        assert_eq!(candidates(&[10, 20, 5]).map, [0, 1, 1, 0, 1, 1, 2]);
    }

    #[test]
    fn a_full_server_is_passed_over() {
        let mut candidates = candidates(&[1, 1]);
        assert_eq!(candidates.next_turn(|id| id.0 == 1), Some(ServerId(1)));
        assert_eq!(candidates.next_turn(|_| false), None);
        assert_eq!(candidates.next_on_map(|id| id.0 == 1), Some(ServerId(1)));
    }

    #[test]
    fn least_loaded_counts_weight_and_takes_turns() {
        let mut candidates = candidates(&[1, 2]);
        assert_eq!(
            candidates.least_loaded(|_| true, |id| if id.0 == 0 { 1 } else { 2 }),
            Some(ServerId(1))
        );
        assert_eq!(candidates.least_loaded(|_| true, |_| 0), Some(ServerId(0)));
        assert_eq!(candidates.least_loaded(|_| true, |_| 0), Some(ServerId(1)));
        assert_eq!(candidates.least_loaded(|_| true, |_| 0), Some(ServerId(0)));
    }
}
