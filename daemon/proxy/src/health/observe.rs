//! `observe`: errors of the traffic itself, counted in a row, and what happens at `error-limit`.

use std::sync::atomic::Ordering::Relaxed;

use config::haproxy::{CheckConfig, Observe, OnError};

use super::change::record;
use super::outcome::Outcome;
use super::{hurry, lock_health};
use crate::app::Shared;
use crate::state::{Backend, Server};

/// What traffic showed of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A connection was made.
    Connected,
    /// None could be made.
    ConnectFailed,
    /// An answer with this status.
    Status(u16),
    /// An answer whose head is broken.
    BrokenHead,
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer was whole.
    ReadError,
}

impl Sight {
    /// The error's name in HAProxy's words; `None` for what is good.
    fn error(self, observe: Observe) -> Option<&'static str> {
        match (self, observe) {
            (Self::ConnectFailed, _) => Some("L4 unsuccessful connection"),
            (Self::Connected, _) | (_, Observe::Layer4) => None,
            // Manual, `observe`: good are 100 to 499, 501 and 505.
            (Self::Status(100..=499 | 501 | 505), _) => None,
            (Self::Status(_), _) => Some("Wrong http response"),
            (Self::BrokenHead, _) => Some("Invalid http response (headers)"),
            (Self::Timeout, _) => Some("Read timeout (http)"),
            (Self::ReadError, _) => Some("Read error (http)"),
        }
    }
}

/// Takes in what traffic showed; called for servers with `observe` alone.
pub(crate) fn see(shared: &Shared, backend: &Backend, server: &Server, sight: Sight) {
    let Some(check) = &server.config.check else {
        return;
    };
    let Some(observe) = check.observe else { return };
    let Some(error) = sight.error(observe) else {
        server.consecutive_errors.store(0, Relaxed);
        return;
    };
    let count = server.consecutive_errors.fetch_add(1, Relaxed) + 1;
    if count < check.error_limit || !lock_health(server).checks_enabled {
        return;
    }
    server.consecutive_errors.store(0, Relaxed);
    server.counters.failed_by_traffic.increment();
    let text = format!("Detected {count} consecutive errors, last one was: {error}");
    punish(shared, backend, server, check, &Outcome::new("HANA", text));
}

fn punish(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    check: &CheckConfig,
    outcome: &Outcome,
) {
    let rise = check.rise.max(1);
    let count = match check.on_error {
        OnError::FastInter => None,
        OnError::FailCheck => Some(u32::MAX),
        // One more failure is the last: this one leaves it there.
        OnError::SuddenDeath => Some(rise + 1),
        OnError::MarkDown => Some(rise),
    };
    if let Some(most) = count {
        {
            let mut health = lock_health(server);
            health.health = health.health.min(most);
        }
        record(shared, backend, server, outcome, None);
    }
    // `fastinter` holds until a check has gone well.
    lock_health(server).suspected = true;
    hurry(shared, backend, server);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_the_layer_that_is_observed() {
        assert_eq!(Sight::Status(500).error(Observe::Layer4), None);
        assert_eq!(Sight::Status(501).error(Observe::Layer7), None);
        assert_eq!(
            Sight::Status(500).error(Observe::Layer7),
            Some("Wrong http response")
        );
        assert_eq!(
            Sight::ConnectFailed.error(Observe::Layer4),
            Some("L4 unsuccessful connection")
        );
    }
}
