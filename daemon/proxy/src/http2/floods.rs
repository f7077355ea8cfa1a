//! What was too much, counted over all connections.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::state::Counter;

/// What a peer did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Streams opened and reset (CVE-2023-44487).
    Reset,
    /// Heads that do not end (CVE-2024-24549 and its like).
    Continuation,
    /// Frames of data with little or nothing in them.
    EmptyData,
    /// Heads that make us reset streams, again and again.
    Headers,
    /// SETTINGS.
    Settings,
    /// PING.
    Ping,
    /// WINDOW_UPDATE in tiny steps.
    Window,
    /// PRIORITY and unknown frames.
    Other,
}

impl Flood {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Reset,
        Self::Continuation,
        Self::EmptyData,
        Self::Headers,
        Self::Settings,
        Self::Ping,
        Self::Window,
        Self::Other,
    ];

    /// Its name in logs and figures.
    pub fn name(self) -> &'static str {
        protocol::snapshot::HTTP2_FLOODS[self as usize]
    }

    /// What a frame of this type (RFC 9113 6) is a flood of.
    pub fn of_frame(kind: u8) -> Self {
        match kind {
            0 => Self::EmptyData,
            1 => Self::Headers,
            3 => Self::Reset,
            4 => Self::Settings,
            6 => Self::Ping,
            8 => Self::Window,
            9 => Self::Continuation,
            _ => Self::Other,
        }
    }
}

/// Milliseconds between two log lines about floods.
const LOG_INTERVAL_MS: u64 = 1_000;

/// Connections that were closed because of floods, by kind.
#[derive(Debug, Default)]
pub struct Floods {
    counters: [Counter; Flood::ALL.len()],
    /// When the next line may be logged, in milliseconds of the worker's clock.
    log_from_ms: AtomicU64,
}

impl Floods {
    /// Counts one; gives the number of its kind so far if it is to be logged: one line a second is enough.
    pub fn count(&self, flood: Flood, now_ms: u64) -> Option<u64> {
        let counter = &self.counters[flood as usize];
        counter.increment();
        let from = self.log_from_ms.load(Relaxed);
        let is_mine = now_ms >= from
            && self
                .log_from_ms
                .compare_exchange(from, now_ms + LOG_INTERVAL_MS, Relaxed, Relaxed)
                .is_ok();
        is_mine.then(|| counter.value())
    }

    /// How many there were of a kind.
    pub fn value(&self, flood: Flood) -> u64 {
        self.counters[flood as usize].value()
    }
}
