//! One lazy timer for a whole connection: deadlines move often, what is armed seldom.
//!
//! A runtime has one list of armed timers (an entry costs 40 bytes, which counts with many idle connections) and one timer of
//! tokio's, for the first of them. [`drive`] is its task.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::app::Clock;

/// A deadline far away enough to be none, in microseconds.
const NEVER_US: u64 = u64::MAX;
/// Place of an entry that is not armed.
const NOWHERE: u32 = u32::MAX;

/// A timer whose deadline is a number until what is armed fires; only a deadline that moves forward re-arms it. It belongs to
/// the thread that polls it.
#[derive(Debug)]
pub struct Timer {
    deadline_us: u64,
    armed_us: u64,
    /// Its entry in the thread's list, [`NOWHERE`] before the first time.
    entry: u32,
    thread: PhantomData<*const ()>,
}

impl Timer {
    /// A timer without a deadline.
    pub fn new() -> Self {
        Self {
            deadline_us: NEVER_US,
            armed_us: NEVER_US,
            entry: NOWHERE,
            thread: PhantomData,
        }
    }
    /// Sets the deadline to `after` from `now_us`; `None` is never.
    pub fn set(&mut self, now_us: u64, after: Option<std::time::Duration>) {
        self.deadline_us = after.map_or(NEVER_US, |after| {
            now_us.saturating_add(after.as_micros() as u64)
        });
    }
    /// The deadline in microseconds of the worker's clock; [`u64::MAX`] is none.
    pub fn deadline_us(&self) -> u64 {
        self.deadline_us
    }
    /// Sets the deadline to a moment of the worker's clock.
    pub fn set_deadline(&mut self, deadline_us: u64) {
        self.deadline_us = deadline_us;
    }
    /// Forgets whom it would wake; the deadline stays. For a connection that goes to another task.
    pub fn disarm(&mut self) {
        let deadline_us = self.deadline_us;
        *self = Self::new();
        self.deadline_us = deadline_us;
    }
    /// Ready once the deadline has passed. The task's waker must be the same at every call.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.armed_us > self.deadline_us {
            self.arm(context);
            return Poll::Pending;
        }
        if self.armed_us == NEVER_US || !has_fired(self.entry) {
            return Poll::Pending;
        }
        self.armed_us = NEVER_US;
        // It fired; the deadline may have moved on since.
        if self.deadline_us == NEVER_US {
            return Poll::Pending;
        }
        if ARMED.with_borrow(|armed| armed.fired_at_us) >= self.deadline_us {
            return Poll::Ready(());
        }
        self.arm(context);
        Poll::Pending
    }

    fn arm(&mut self, context: &Context<'_>) {
        self.armed_us = self.deadline_us;
        ARMED.with_borrow_mut(|armed| {
            self.entry = armed.put(self.entry, self.deadline_us, context.waker());
        });
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.entry != NOWHERE {
            // At the end of a thread the list may be gone first.
            let _ = ARMED.try_with(|armed| armed.borrow_mut().forget(self.entry));
        }
    }
}

thread_local! {
    static ARMED: RefCell<Armed> = const { RefCell::new(Armed::new()) };
}

fn has_fired(entry: u32) -> bool {
    ARMED.with_borrow(|armed| armed.entries[entry as usize].place == NOWHERE)
}

/// Fires the timers of the calling thread; it never ends. Without it none of them does.
pub async fn drive(clock: Clock) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now()));
    let mut due = Vec::new();
    poll_fn(|context| {
        loop {
            let now_us = clock.now_us();
            let first_us = ARMED.with_borrow_mut(|armed| {
                armed.take_due(now_us, &mut due);
                let first_us = armed.first_us();
                armed.drive_at(first_us, context.waker());
                first_us
            });
            due.drain(..).for_each(Waker::wake);
            let Some(first_us) = first_us else {
                return Poll::<()>::Pending;
            };
            let first = Instant::from_std(clock.instant(first_us));
            sleep.as_mut().reset(first);
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// A timer's place in the heap, and whom it wakes.
struct Entry {
    waker: Option<Waker>,
    place: u32,
}

/// A thread's armed timers: a binary heap by time whose members know their places, so that one can be taken out.
struct Armed {
    heap: Vec<(u64, u32)>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    driver: Option<Waker>,
    /// What the driver waits for.
    driven_us: u64,
    /// When timers were last found due.
    fired_at_us: u64,
}

impl Armed {
    const fn new() -> Self {
        Self {
            heap: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            driver: None,
            driven_us: NEVER_US,
            fired_at_us: 0,
        }
    }

    fn first_us(&self) -> Option<u64> {
        self.heap.first().map(|(at_us, _)| *at_us)
    }

    /// Arms a timer, with an entry of its own from the first time on.
    fn put(&mut self, entry: u32, at_us: u64, waker: &Waker) -> u32 {
        let entry = match entry {
            NOWHERE => self.free.pop().unwrap_or_else(|| {
                self.entries.push(Entry {
                    waker: None,
                    place: NOWHERE,
                });
                self.entries.len() as u32 - 1
            }),
            entry => entry,
        };
        let slot = &mut self.entries[entry as usize];
        if !slot.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
        let place = match slot.place {
            NOWHERE => {
                self.heap.push((at_us, entry));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize].0 = at_us;
                place as usize
            }
        };
        self.settle(place);
        if at_us < self.driven_us
            && let Some(driver) = &self.driver
        {
            self.driven_us = at_us;
            driver.wake_by_ref();
        }
        entry
    }

    /// Gives an entry back.
    fn forget(&mut self, entry: u32) {
        let slot = &mut self.entries[entry as usize];
        slot.waker = None;
        let place = slot.place;
        if place != NOWHERE {
            self.take(place as usize);
        }
        self.free.push(entry);
    }

    fn take_due(&mut self, now_us: u64, due: &mut Vec<Waker>) {
        self.fired_at_us = now_us;
        while let Some((at_us, entry)) = self.heap.first().copied()
            && at_us <= now_us
        {
            self.take(0);
            due.extend(self.entries[entry as usize].waker.clone());
        }
    }

    fn drive_at(&mut self, first_us: Option<u64>, waker: &Waker) {
        self.driven_us = first_us.unwrap_or(NEVER_US);
        if !self.driver.as_ref().is_some_and(|old| old.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    /// Takes a member of the heap out; the last one takes its place.
    fn take(&mut self, place: usize) {
        let (_, entry) = self.heap.swap_remove(place);
        self.entries[entry as usize].place = NOWHERE;
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    /// Moves a member to where its time belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.heap[place].0 < self.heap[(place - 1) / 2].0 {
            self.heap.swap(place, (place - 1) / 2);
            self.note(place);
            place = (place - 1) / 2;
        }
        loop {
            let earlier = (2 * place + 1..2 * place + 3)
                .filter(|child| *child < self.heap.len())
                .min_by_key(|child| self.heap[*child].0)
                .filter(|child| self.heap[*child].0 < self.heap[place].0);
            let Some(child) = earlier else { break };
            self.heap.swap(place, child);
            self.note(place);
            place = child;
        }
        self.note(place);
    }

    fn note(&mut self, place: usize) {
        let (_, entry) = self.heap[place];
        self.entries[entry as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_come_due_in_order_whatever_is_put_moved_and_forgotten() {
        let mut armed = Armed::new();
        let waker = Waker::noop();
        // A fixed walk through the numbers.
        let times: Vec<u64> = (0..500).map(|n| n * 7_919 % 1_009).collect();
        let entries: Vec<u32> = times
            .iter()
            .map(|at| armed.put(NOWHERE, *at, waker))
            .collect();
        let mut expected = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match index % 3 {
                0 => armed.forget(*entry),
                1 => {
                    armed.put(*entry, times[index] + 500, waker);
                    expected.push(times[index] + 500);
                }
                _ => expected.push(times[index]),
            }
        }
        expected.sort_unstable();
        let mut seen = Vec::new();
        while let Some(first) = armed.first_us() {
            seen.push(first);
            armed.take(0);
        }
        assert_eq!(seen, expected);
        assert!(armed.entries.iter().all(|entry| entry.place == NOWHERE));
    }

    #[test]
    fn a_deadline_that_moved_on_fires_at_its_new_time() {
        let runtime = tokio::runtime::LocalRuntime::new().expect("a runtime");
        runtime.block_on(async {
            let clock = Clock::start();
            tokio::task::spawn_local(drive(clock));
            let mut timer = Timer::new();
            timer.set(clock.now_us(), Some(Duration::from_millis(10)));
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                if polls == 1 {
                    assert!(timer.poll(context).is_pending());
                    timer.set(clock.now_us(), Some(Duration::from_millis(30)));
                }
                timer.poll(context)
            })
            .await;
            assert!(clock.now_us() >= 30_000 && polls == 3, "{polls}");
            // One that is forgotten leaves nothing.
            drop(timer);
            ARMED.with_borrow(|armed| assert!(armed.heap.is_empty()));
        });
    }

    #[test]
    fn a_timer_stays_small() {
        assert!(size_of::<Timer>() <= 24 && size_of::<Entry>() <= 24);
    }
}
