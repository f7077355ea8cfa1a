//! `balance random`: some draws by weight, the least loaded of them.

use crate::state::ServerId;

/// Most draws for one request, however many the configuration asks for.
const MAX_DRAWS: u32 = 64;
/// Draws that may hit servers that are full before all servers are looked at.
const MAX_MISSES: u32 = 64;

/// Servers with the sums of their weights.
#[derive(Debug, Default)]
pub(super) struct Random {
    /// Usable servers, each with the sum of the weights up to it.
    sums: Vec<(u64, ServerId)>,
    state: u64,
}

impl Random {
    /// Follows the weights.
    pub(super) fn follow(&mut self, weights: &[u32]) {
        self.sums.clear();
        let mut sum = 0;
        for (id, weight) in weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
        {
            sum += u64::from(*weight);
            self.sums.push((sum, ServerId(id as u32)));
        }
    }

    /// The least loaded (in proportion to its weight) of so many draws of open servers.
    pub(super) fn next(
        &mut self,
        draws: u32,
        open: impl Fn(ServerId) -> bool,
        load: impl Fn(ServerId) -> u64,
    ) -> Option<ServerId> {
        let mut best: Option<(u64, ServerId)> = None;
        let (mut hits, mut misses) = (0, 0);
        while hits < draws.clamp(1, MAX_DRAWS) && misses < MAX_MISSES {
            let (weight, id) = self.draw()?;
            if !open(id) {
                misses += 1;
                continue;
            }
            hits += 1;
            let key = load(id).saturating_mul(1 << 20) / weight.max(1);
            if best.is_none_or(|(least, _)| key < least) {
                best = Some((key, id));
            }
        }
        best.map(|(_, id)| id)
            .or_else(|| self.sums.iter().map(|(_, id)| *id).find(|id| open(*id)))
    }

    /// A server by chance, with its weight.
    fn draw(&mut self) -> Option<(u64, ServerId)> {
        let total = self.sums.last()?.0;
        let ticket = self.number() % total;
        let at = self.sums.partition_point(|(sum, _)| *sum <= ticket);
        let (sum, id) = *self.sums.get(at)?;
        let before = at.checked_sub(1).map_or(0, |before| self.sums[before].0);
        Some((sum - before, id))
    }

    /// xorshift64*: chance, not secrecy.
    fn number(&mut self) -> u64 {
        if self.state == 0 {
            self.state = 0x9e37_79b9_7f4a_7c15;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_weights_and_prefer_the_less_loaded() {
        let mut random = Random::default();
        random.follow(&[16, 0, 48]);
        let mut counts = [0; 3];
        for _ in 0..4_000 {
            let id = random.next(1, |_| true, |_| 0).expect("somebody");
            counts[id.0 as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((800..1_200).contains(&counts[0]), "{counts:?}");
        // With many draws nearly always the idle one.
        let busy = |id: ServerId| if id.0 == 0 { 0 } else { 100 };
        let idle = (0..100)
            .filter(|_| random.next(20, |_| true, busy) == Some(ServerId(0)))
            .count();
        assert!(idle > 95, "{idle}");
        assert_eq!(random.next(2, |_| false, |_| 0), None);
    }
}
