//! What was answered for a name, and which of its servers gets which address. Pure: time comes in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use config::haproxy::ResolveConfig;

/// Records with the moment at which each was seen last. One that an answer leaves out stays for `hold obsolete`.
#[derive(Debug)]
pub(super) struct Records<T> {
    seen: Vec<(T, u64)>,
    /// Milliseconds of the last good answer, or of the start.
    pub(super) last_valid_ms: u64,
}

impl<T: PartialEq> Records<T> {
    /// Nothing yet.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            seen: Vec::new(),
            last_valid_ms: now_ms,
        }
    }

    /// Takes a good answer in. `same` says when two are the same record; the newer one replaces the older.
    pub(super) fn answered(
        &mut self,
        now_ms: u64,
        found: Vec<T>,
        obsolete: Duration,
        same: impl Fn(&T, &T) -> bool,
    ) {
        self.last_valid_ms = now_ms;
        for record in found {
            match self.seen.iter_mut().find(|(known, _)| same(known, &record)) {
                Some(known) => *known = (record, now_ms),
                None => self.seen.push((record, now_ms)),
            }
        }
        let hold_ms = obsolete.as_millis() as u64;
        self.seen
            .retain(|(_, seen_ms)| *seen_ms == now_ms || seen_ms.saturating_add(hold_ms) > now_ms);
    }

    /// After an answer that is an error: whether the last good one is held no longer. Then it is forgotten.
    pub(super) fn failed(&mut self, now_ms: u64, hold: Duration) -> bool {
        let over = now_ms >= self.last_valid_ms.saturating_add(hold.as_millis() as u64);
        if over {
            self.seen.clear();
        }
        over
    }

    /// All that count now.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.seen.iter().map(|(record, _)| record)
    }
}

/// A server that wants an address.
pub(super) struct Wanting<'c> {
    /// Its backend's index: addresses are dealt out within a backend.
    pub(super) backend: usize,
    /// What it has now.
    pub(super) current: Option<IpAddr>,
    /// Its wishes.
    pub(super) config: &'c ResolveConfig,
}

/// The address of each server, in order. Servers of one backend get different ones unless they allow duplicates.
pub(super) fn deal(addresses: &[IpAddr], servers: &[Wanting<'_>]) -> Vec<Option<IpAddr>> {
    // Who has an address, by backend.
    let mut taken: HashMap<(usize, IpAddr), usize> = HashMap::new();
    for server in servers {
        if let Some(current) = server.current.filter(|current| addresses.contains(current)) {
            *taken.entry((server.backend, current)).or_default() += 1;
        }
    }
    let mut dealt = Vec::with_capacity(servers.len());
    for server in servers {
        let own = server.current.filter(|current| addresses.contains(current));
        let others = |address: IpAddr| {
            let all = taken.get(&(server.backend, address)).copied().unwrap_or(0);
            all - usize::from(own == Some(address))
        };
        let score = |address: IpAddr| -> Option<[bool; 4]> {
            let free = others(address) == 0;
            (free || server.config.allow_duplicates).then(|| {
                [
                    address.is_ipv4() == server.config.prefer_ipv4,
                    server
                        .config
                        .networks
                        .iter()
                        .any(|network| network.contains(&address)),
                    free,
                    own == Some(address),
                ]
            })
        };
        let mut best: Option<([bool; 4], IpAddr)> = None;
        for address in addresses {
            if let Some(score) = score(*address)
                && best.is_none_or(|(most, _)| score > most)
            {
                best = Some((score, *address));
            }
        }
        let best = best.map(|(_, address)| address);
        if best != own {
            if let Some(own) = own
                && let Some(count) = taken.get_mut(&(server.backend, own))
            {
                *count -= 1;
            }
            if let Some(best) = best {
                *taken.entry((server.backend, best)).or_default() += 1;
            }
        }
        dealt.push(best);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn check(
        addresses: &[IpAddr],
        current: &[Option<IpAddr>],
        config: &ResolveConfig,
        expected: &[Option<IpAddr>],
    ) {
        let servers: Vec<Wanting<'_>> = current
            .iter()
            .map(|current| Wanting {
                backend: 0,
                current: *current,
                config,
            })
            .collect();
        assert_eq!(deal(addresses, &servers), expected);
    }

    #[test]
    fn servers_keep_what_they_have_and_share_nothing() {
        let plain = ResolveConfig::default();
        check(
            &[ip(1), ip(2)],
            &[None, None, None],
            &plain,
            &[Some(ip(1)), Some(ip(2)), None],
        );
        check(
            &[ip(1), ip(2)],
            &[Some(ip(2)), None],
            &plain,
            &[Some(ip(2)), Some(ip(1))],
        );
        check(
            &[ip(3)],
            &[Some(ip(1)), Some(ip(2))],
            &plain,
            &[Some(ip(3)), None],
        );
        // Two that start with the same address: one of them moves on.
        check(
            &[ip(1), ip(2)],
            &[Some(ip(1)), Some(ip(1))],
            &plain,
            &[Some(ip(2)), Some(ip(1))],
        );
        let shared = ResolveConfig {
            allow_duplicates: true,
            ..ResolveConfig::default()
        };
        check(
            &[ip(1)],
            &[None, None],
            &shared,
            &[Some(ip(1)), Some(ip(1))],
        );
        check(
            &[ip(1), ip(2)],
            &[None, None],
            &shared,
            &[Some(ip(1)), Some(ip(2))],
        );
    }

    #[test]
    fn networks_and_families_are_preferred() {
        let near = ResolveConfig {
            networks: vec!["10.0.0.4/31".parse().expect("a network")],
            ..ResolveConfig::default()
        };
        check(&[ip(1), ip(5)], &[Some(ip(1))], &near, &[Some(ip(5))]);
        let six: IpAddr = "::1".parse().expect("an address");
        check(
            &[ip(1), six],
            &[None],
            &ResolveConfig::default(),
            &[Some(six)],
        );
        let four = ResolveConfig {
            prefer_ipv4: true,
            ..ResolveConfig::default()
        };
        check(&[six, ip(1)], &[None], &four, &[Some(ip(1))]);
    }

    #[test]
    fn records_are_held_for_a_while() {
        let mut records = Records::new(0);
        let same = |a: &u8, b: &u8| a == b;
        let hold = Duration::from_millis(100);
        records.answered(1_000, vec![1, 2], hold, same);
        records.answered(1_050, vec![2], hold, same);
        assert!(records.iter().eq(&[1, 2]));
        records.answered(1_100, vec![2], hold, same);
        assert!(records.iter().eq(&[2]));
        assert!(!records.failed(1_150, hold));
        assert!(records.iter().eq(&[2]));
        assert!(records.failed(1_200, hold));
        assert!(records.iter().next().is_none());
    }

    proptest! {
        #[test]
        fn nobody_gets_what_another_has(
            addresses in proptest::collection::hash_set(0u8..12, 0..8),
            current in proptest::collection::vec(proptest::option::of(0u8..12), 0..10),
        ) {
            let addresses: Vec<IpAddr> = addresses.into_iter().map(ip).collect();
            let config = ResolveConfig::default();
            let servers: Vec<Wanting<'_>> = current.iter().map(|current| Wanting { backend: 0, current: current.map(ip), config: &config }).collect();
            let dealt = deal(&addresses, &servers);
            let mut given: Vec<IpAddr> = dealt.iter().flatten().copied().collect();
            // As many as can be get one, all different and all of the answer.
            prop_assert_eq!(given.len(), addresses.len().min(servers.len()));
            prop_assert!(given.iter().all(|address| addresses.contains(address)));
            given.sort();
            given.dedup();
            prop_assert_eq!(given.len(), dealt.iter().flatten().count());
            // What was dealt is dealt again.
            let again: Vec<Wanting<'_>> = dealt.iter().map(|current| Wanting { backend: 0, current: *current, config: &config }).collect();
            prop_assert_eq!(deal(&addresses, &again), dealt);
        }
    }
}
