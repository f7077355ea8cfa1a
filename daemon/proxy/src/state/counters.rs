//! Counters that runtimes write and others read: relaxed atomics, without the bus lock where one runtime is all that writes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use protocol::snapshot::{Gauge, Rate, Responses};

thread_local! {
    /// Whether this thread makes all changes to the counters that it changes. A request makes some 70; each costs some 20 cycles
    /// with the bus lock and next to none without it.
    static SOLE_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// Says that from now on the calling thread alone changes its worker's counters; others may read them.
pub fn set_sole_writer() {
    SOLE_WRITER.set(true);
}

/// Adds to a number that only runtimes change; returns what it was.
pub fn add(number: &AtomicU64, count: u64) -> u64 {
    if !SOLE_WRITER.get() {
        return number.fetch_add(count, Relaxed);
    }
    let before = number.load(Relaxed);
    number.store(before.wrapping_add(count), Relaxed);
    before
}

/// Takes from a number that only runtimes change.
pub fn subtract(number: &AtomicU64, count: u64) {
    add(number, count.wrapping_neg());
}

/// A number that only grows (until `clear counters`).
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }
    /// `count` more.
    pub fn add(&self, count: u64) {
        add(&self.0, count);
    }
    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
    /// Back to zero.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }
    /// Sets it, for states handed over by an earlier worker.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// A number that goes up and down, with the most seen.
#[derive(Debug, Default)]
pub struct MaxGauge {
    current: AtomicU64,
    maximum: AtomicU64,
}

impl MaxGauge {
    /// One more; returns the number with it.
    pub fn enter(&self) -> u64 {
        let now = add(&self.current, 1) + 1;
        if now > self.maximum.load(Relaxed) {
            self.maximum.fetch_max(now, Relaxed);
        }
        now
    }
    /// One less.
    pub fn leave(&self) {
        subtract(&self.current, 1);
    }
    /// One more if there are fewer than `limit` (0 is none).
    pub fn try_enter(&self, limit: u64) -> bool {
        if limit == 0 {
            self.enter();
            return true;
        }
        let entered = self
            .current
            .fetch_update(Relaxed, Relaxed, |now| (now < limit).then_some(now + 1));
        match entered {
            Ok(before) => {
                self.maximum.fetch_max(before + 1, Relaxed);
                true
            }
            Err(_) => false,
        }
    }
    /// The number now.
    pub fn current(&self) -> u64 {
        self.current.load(Relaxed)
    }
    /// Forgets the maximum.
    pub fn clear_maximum(&self) {
        self.maximum.store(self.current(), Relaxed);
    }
    /// Remembers a maximum that was seen by an earlier worker.
    pub fn raise_maximum(&self, maximum: u64) {
        self.maximum.fetch_max(maximum, Relaxed);
    }
    /// Both, for a snapshot.
    pub fn snapshot(&self) -> Gauge {
        Gauge {
            current: self.current(),
            maximum: self.maximum.load(Relaxed),
        }
    }
}

/// Events a second: the count of the running second weighed with the one before.
#[derive(Debug, Default)]
pub struct RateMeter {
    /// Second in the upper half, its count in the lower.
    running: AtomicU64,
    previous: AtomicU64,
    maximum: AtomicU64,
}

impl RateMeter {
    /// Counts an event at `now_ms` of the worker's clock.
    pub fn tick(&self, now_ms: u64) {
        let second = (now_ms / 1000) & 0xffff_ffff;
        let running = self.running.load(Relaxed);
        if running >> 32 == second {
            add(&self.running, 1);
            return;
        }
        if self
            .running
            .compare_exchange(running, (second << 32) | 1, Relaxed, Relaxed)
            .is_ok()
        {
            let count = running & 0xffff_ffff;
            self.previous.store(
                if running >> 32 == second.wrapping_sub(1) {
                    count
                } else {
                    0
                },
                Relaxed,
            );
            self.maximum.fetch_max(count, Relaxed);
        } else {
            add(&self.running, 1);
        }
    }
    /// Events in the last second.
    pub fn rate(&self, now_ms: u64) -> u64 {
        let second = (now_ms / 1000) & 0xffff_ffff;
        let running = self.running.load(Relaxed);
        let count = running & 0xffff_ffff;
        let (current, previous) = match second.wrapping_sub(running >> 32) {
            0 => (count, self.previous.load(Relaxed)),
            1 => (0, count),
            _ => (0, 0),
        };
        current + previous * (1000 - now_ms % 1000) / 1000
    }
    /// Forgets the maximum.
    pub fn clear_maximum(&self) {
        self.maximum.store(0, Relaxed);
    }
    /// Rate and maximum, for a snapshot.
    pub fn snapshot(&self, now_ms: u64) -> Rate {
        let current = self.rate(now_ms);
        Rate {
            current,
            maximum: self.maximum.fetch_max(current, Relaxed).max(current),
            limit: 0,
        }
    }
}

/// A sliding average over about the last 512 values, with the most seen. Milliseconds.
#[derive(Debug, Default)]
pub struct Average {
    /// 512 times the average.
    sum: AtomicU64,
    count: AtomicU64,
    maximum: AtomicU64,
}

impl Average {
    const WINDOW: u64 = 512;
    /// Takes a value in.
    pub fn record(&self, value_ms: u64) {
        let count = self.count.load(Relaxed);
        if count < Self::WINDOW {
            self.count.store(count + 1, Relaxed);
            add(&self.sum, value_ms);
        } else {
            let sum = self.sum.load(Relaxed);
            self.sum.store(sum - sum / Self::WINDOW + value_ms, Relaxed);
        }
        // A maximum is seldom new; looking costs less than a locked exchange.
        if value_ms > self.maximum.load(Relaxed) {
            self.maximum.fetch_max(value_ms, Relaxed);
        }
    }
    /// The average.
    pub fn average_ms(&self) -> u64 {
        self.sum
            .load(Relaxed)
            .checked_div(self.count.load(Relaxed))
            .unwrap_or(0)
    }
    /// The most.
    pub fn maximum_ms(&self) -> u64 {
        self.maximum.load(Relaxed)
    }
    /// Forgets the maximum.
    pub fn clear_maximum(&self) {
        self.maximum.store(0, Relaxed);
    }
}

/// Answers by class.
#[derive(Debug, Default)]
pub struct ResponseCounters([Counter; 6]);

impl ResponseCounters {
    /// Counts an answer.
    pub fn count(&self, status: u16) {
        let class = match status {
            100..=599 => usize::from(status / 100) - 1,
            _ => 5,
        };
        self.0[class].increment();
    }
    /// All classes, for a snapshot.
    pub fn snapshot(&self) -> Responses {
        Responses {
            class_1xx: self.0[0].value(),
            class_2xx: self.0[1].value(),
            class_3xx: self.0[2].value(),
            class_4xx: self.0[3].value(),
            class_5xx: self.0[4].value(),
            other: self.0[5].value(),
        }
    }
    /// The classes in order: 1xx to 5xx, others.
    pub fn classes(&self) -> &[Counter; 6] {
        &self.0
    }
    /// Back to zero.
    pub fn clear(&self) {
        self.0.iter().for_each(Counter::clear);
    }
}
