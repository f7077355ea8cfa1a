//! Waiting for a condition with a deadline, instead of sleeping.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds and returns how long it took; fails after `limit` with `what` in the text.
///
/// # Example
/// ```
/// # use std::time::Duration;
/// tandem_tests::wait_until("the sky", Duration::from_secs(1), || true).unwrap();
/// ```
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Outcome<Duration> {
    let began = Instant::now();
    loop {
        if condition() {
            return Ok(began.elapsed());
        }
        if began.elapsed() >= limit {
            return Err(Failure::new(format!(
                "waited {:.1} s in vain for: {what}",
                limit.as_secs_f64()
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until `produce` yields a value; its last error is part of the failure's text.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut produce: impl FnMut() -> Result<T, String>,
) -> Outcome<T> {
    let began = Instant::now();
    loop {
        match produce() {
            Ok(value) => return Ok(value),
            Err(reason) if began.elapsed() >= limit => {
                let waited = limit.as_secs_f64();
                return Err(Failure::new(format!(
                    "waited {waited:.1} s in vain for: {what}; last: {reason}"
                )));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
