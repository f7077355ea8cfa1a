//! What the client remembers: rates and figures in bounded rings, events in a bounded list.

use std::collections::{HashMap, VecDeque};

use protocol::{Event, ServerName, Snapshot};

/// Samples that a ring keeps: five minutes at one a second.
pub const RING_SAMPLES: usize = 300;
/// Shortest time between two samples; snapshots in between refresh the figures, not the history. A little
/// less than a second, so that a push that comes early is not passed over.
pub const SAMPLE_INTERVAL_MS: u64 = 900;
/// Servers of a node whose history is kept.
pub const MAX_SERVERS: usize = 2_000;
/// Events of a node that are kept.
pub const MAX_EVENTS: usize = 1_000;

/// The latest samples of one figure, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(VecDeque<u64>);

impl Ring {
    /// Adds a sample; the oldest makes room.
    pub fn push(&mut self, value: u64) {
        if self.0.len() == RING_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The latest sample, or 0.
    pub fn latest(&self) -> u64 {
        self.0.back().copied().unwrap_or(0)
    }

    /// The latest samples, oldest first, at most `number`.
    pub fn tail(&self, number: usize) -> Vec<u64> {
        self.0
            .iter()
            .skip(self.0.len().saturating_sub(number))
            .copied()
            .collect()
    }

    /// The sample so many samples ago, or the oldest; nothing with a single sample.
    pub fn ago(&self, samples: usize) -> Option<u64> {
        let index = self.0.len().saturating_sub(samples + 1);
        if self.0.len() < 2 {
            None
        } else {
            self.0.get(index).copied()
        }
    }
}

/// A counter seen at a moment, to make a rate of the next sight.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at_ms: u64,
    total: u64,
}

impl Seen {
    /// Events a second since the last sight, rounded; nothing on the first sight or after a restart.
    fn rate(&mut self, at_ms: u64, total: u64) -> Option<u64> {
        let before = std::mem::replace(self, Self { at_ms, total });
        let elapsed = at_ms.saturating_sub(before.at_ms);
        if before.at_ms == 0 || elapsed == 0 || total < before.total {
            return None;
        }
        Some(((total - before.total).saturating_mul(1_000) + elapsed / 2) / elapsed)
    }
}

/// A server's figures over time.
#[derive(Clone, Debug, Default)]
pub struct ServerHistory {
    seen: Seen,
    /// Sessions (requests in HTTP) a second.
    pub rate: Ring,
    /// Sessions.
    pub sessions: Ring,
}

/// A backend's figures over time.
#[derive(Clone, Debug, Default)]
pub struct BackendHistory {
    /// Requests that wait, here and at its servers.
    pub queue: Ring,
    seen: Seen,
    /// Answers 5xx a second.
    pub errors: Ring,
}

/// A node's figures over time.
#[derive(Clone, Debug, Default)]
pub struct NodeHistory {
    sampled_ms: u64,
    worker: u32,
    seen_requests: Seen,
    seen_errors: Seen,
    /// Requests (sessions in TCP) a second over all frontends.
    pub requests: Ring,
    /// Answers 5xx a second over all frontends.
    pub errors: Ring,
    /// Sessions over all frontends.
    pub sessions: Ring,
    /// Servers by name.
    pub servers: HashMap<ServerName, ServerHistory>,
    /// Backends by name.
    pub backends: HashMap<String, BackendHistory>,
}

impl NodeHistory {
    /// Takes a sample from a snapshot if the last one is old enough.
    pub fn record(&mut self, snapshot: &Snapshot) {
        // Clocks may step back; then the history starts anew rather than standing still.
        let since = snapshot.at_ms.checked_sub(self.sampled_ms);
        if self.sampled_ms != 0 && since.is_some_and(|elapsed| elapsed < SAMPLE_INTERVAL_MS) {
            return;
        }
        self.sampled_ms = snapshot.at_ms;
        let Some(worker) = &snapshot.worker else {
            self.requests.push(0);
            self.errors.push(0);
            self.sessions.push(0);
            return;
        };
        if worker.process.pid != self.worker {
            // Another worker counts from 0; its first sight gives no rate.
            self.worker = worker.process.pid;
            self.forget_counters();
        }
        let at_ms = snapshot.at_ms;
        let (mut requests, mut errors, mut sessions, mut own_rate) = (0, 0, 0, 0);
        for proxy in &worker.proxies {
            if let Some(frontend) = &proxy.frontend {
                requests += if proxy.http {
                    frontend.requests_total
                } else {
                    frontend.sessions_total
                };
                errors += frontend.responses.class_5xx;
                own_rate += if proxy.http {
                    frontend.request_rate.current
                } else {
                    frontend.session_rate.current
                };
                sessions += frontend.sessions.current;
            }
            if let Some(backend) = &proxy.backend
                && (self.backends.len() < MAX_SERVERS || self.backends.contains_key(&proxy.name))
            {
                let history = self.backends.entry(proxy.name.clone()).or_default();
                history.queue.push(backend.queue.current);
                if let Some(rate) = history.seen.rate(at_ms, backend.responses.class_5xx) {
                    history.errors.push(rate);
                }
            }
            for server in &proxy.servers {
                let name = ServerName {
                    backend: proxy.name.clone(),
                    server: server.name.clone(),
                };
                if self.servers.len() >= MAX_SERVERS && !self.servers.contains_key(&name) {
                    continue;
                }
                let history = self.servers.entry(name).or_default();
                history.sessions.push(server.sessions.current);
                // On the first sight the node's own figure of the last second stands in.
                history.rate.push(
                    history
                        .seen
                        .rate(at_ms, server.sessions_total)
                        .unwrap_or(server.rate.current),
                );
            }
        }
        self.sessions.push(sessions);
        self.requests
            .push(self.seen_requests.rate(at_ms, requests).unwrap_or(own_rate));
        if let Some(rate) = self.seen_errors.rate(at_ms, errors) {
            self.errors.push(rate);
        }
    }

    fn forget_counters(&mut self) {
        self.seen_requests = Seen::default();
        self.seen_errors = Seen::default();
        self.servers
            .values_mut()
            .for_each(|server| server.seen = Seen::default());
        self.backends
            .values_mut()
            .for_each(|backend| backend.seen = Seen::default());
    }
}

/// A node's events in order, each once.
#[derive(Clone, Debug, Default)]
pub struct EventLog(Vec<Event>);

impl EventLog {
    /// Adds events; those that are there already (after a reconnection) are left out.
    pub fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let place = self
                .0
                .binary_search_by_key(&(event.at_ms, event.sequence), |known| {
                    (known.at_ms, known.sequence)
                });
            if let Err(index) = place {
                self.0.insert(index, event);
            }
        }
        let surplus = self.0.len().saturating_sub(MAX_EVENTS);
        self.0.drain(..surplus);
    }

    /// Oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::snapshot::{FrontendStats, ProcessInfo, ProxySnapshot, Rate, WorkerSnapshot};
    use protocol::{EventKind, EventSeverity, EventSource};

    fn picture(at_ms: u64, pid: u32, requests_total: u64) -> Snapshot {
        let frontend = FrontendStats {
            requests_total,
            request_rate: Rate {
                current: 7,
                ..Rate::default()
            },
            ..FrontendStats::default()
        };
        let proxy = ProxySnapshot {
            http: true,
            frontend: Some(frontend),
            ..ProxySnapshot::default()
        };
        let process = ProcessInfo {
            pid,
            ..ProcessInfo::default()
        };
        Snapshot {
            at_ms,
            worker: Some(WorkerSnapshot {
                process,
                proxies: vec![proxy],
                resolvers: Vec::new(),
                settings: Vec::new(),
            }),
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_rate_is_the_difference_of_totals_over_the_nodes_own_clock() {
        let mut history = NodeHistory::default();
        history.record(&picture(10_000, 1, 100));
        history.record(&picture(10_500, 1, 130));
        history.record(&picture(12_000, 1, 168));
        assert_eq!(history.requests.tail(9), [7, 34]);
    }

    #[test]
    fn a_new_worker_counts_from_zero_without_a_false_rate() {
        let mut history = NodeHistory::default();
        history.record(&picture(10_000, 1, 5_000));
        history.record(&picture(11_000, 2, 9_000));
        history.record(&picture(12_000, 2, 9_010));
        assert_eq!(history.requests.tail(9), [7, 7, 10]);
    }

    #[test]
    fn rings_are_bounded() {
        let mut ring = Ring::default();
        (0..RING_SAMPLES as u64 + 5).for_each(|value| ring.push(value));
        assert_eq!(ring.tail(usize::MAX).len(), RING_SAMPLES);
        assert_eq!(ring.latest(), RING_SAMPLES as u64 + 4);
        assert_eq!(ring.ago(1), Some(RING_SAMPLES as u64 + 3));
    }

    #[test]
    fn events_told_twice_are_kept_once_and_in_order() {
        let event = |sequence, at_ms| Event {
            sequence,
            at_ms,
            ..Event::now(
                EventSource::Worker,
                EventSeverity::Info,
                EventKind::Other,
                "s",
                "c",
                "r",
            )
        };
        let mut log = EventLog::default();
        log.add([event(2, 20), event(3, 30)]);
        log.add([event(1, 10), event(2, 20), event(3, 30), event(1, 40)]);
        assert_eq!(
            log.iter().map(|event| event.at_ms).collect::<Vec<_>>(),
            [10, 20, 30, 40]
        );
        log.add((0..2 * MAX_EVENTS as u64).map(|number| event(number, 100 + number)));
        assert_eq!(log.iter().count(), MAX_EVENTS);
    }
}
