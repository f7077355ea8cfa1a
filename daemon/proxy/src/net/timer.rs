//! One lazy timer for a whole connection: deadlines move often, the runtime's timer seldom.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use crate::app::Clock;

/// A deadline far away enough to be none, in microseconds.
const NEVER_US: u64 = u64::MAX;

/// A timer whose deadline is a number until the runtime's timer fires; only a deadline that moves forward re-arms it.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    deadline_us: u64,
    armed_us: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer without a deadline.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            deadline_us: NEVER_US,
            armed_us: NEVER_US,
            sleep: None,
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
    /// Ready once the deadline has passed. The task's waker must be the same at every call.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed_us > self.deadline_us {
                let instant = Instant::from_std(self.clock.instant(self.deadline_us));
                match &mut self.sleep {
                    Some(sleep) => sleep.as_mut().reset(instant),
                    None => self.sleep = Some(Box::pin(tokio::time::sleep_until(instant))),
                }
                self.armed_us = self.deadline_us;
            } else {
                match &self.sleep {
                    None => return Poll::Pending,
                    Some(sleep) if self.armed_us == NEVER_US || !sleep.is_elapsed() => {
                        return Poll::Pending;
                    }
                    Some(_) => {}
                }
            }
            let Some(sleep) = &mut self.sleep else {
                return Poll::Pending;
            };
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // It fired; the deadline may have moved on since.
            if self.clock.now_us() >= self.deadline_us {
                self.armed_us = NEVER_US;
                return Poll::Ready(());
            }
            self.armed_us = NEVER_US;
            if self.deadline_us == NEVER_US {
                return Poll::Pending;
            }
        }
    }
}
