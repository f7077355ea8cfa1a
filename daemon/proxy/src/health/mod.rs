//! Health checks: one task for each checked server, probes over TCP and HTTP, and what their results change.
//!
//! HAProxy's manual, `check`, `inter`, `rise`, `fall`, `option httpchk`.

mod change;
mod probe;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use protocol::operation::ServerAdmin;
use protocol::snapshot::Operational;
use tokio::time::Instant;

use crate::app::Shared;
use crate::state::{Backend, Server};

pub(crate) use change::{
    announce_backend, change_time, changed, is_down, is_stopped, lock_health, record, server_word,
    servers_left, status_word,
};
pub use probe::{CheckTls, Outcome, validate};

/// How TLS checks connect: the connector and the name, for a server's place in `Shared::backends`.
pub type TlsFor = dyn Fn(&Backend, &Server) -> Option<CheckTls>;

/// Starts a task for each checked server on the calling runtime. First checks are spread over the shortest
/// interval, as HAProxy spreads them.
pub fn start(shared: &Arc<Shared>, tls_for: &TlsFor) {
    let checked: Vec<_> = shared
        .backends
        .iter()
        .flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)))
        .filter(|(_, server)| server.config.check.is_some())
        .collect();
    let shortest = checked
        .iter()
        .filter_map(|(_, server)| server.config.check.as_ref())
        .map(|check| check.inter)
        .min()
        .unwrap_or_default();
    let count = u32::try_from(checked.len()).unwrap_or(u32::MAX).max(1);
    for (position, (backend, server)) in checked.into_iter().enumerate() {
        let Some(probe) = probe::Probe::of(shared, backend, server, tls_for(backend, server))
        else {
            continue;
        };
        let delay = shortest * u32::try_from(position).unwrap_or(0) / count;
        tokio::spawn(check_forever(
            Arc::clone(shared),
            Arc::clone(backend),
            Arc::clone(server),
            probe,
            delay,
        ));
    }
}

/// Most by which `spread-checks` may change an interval, in per cent.
const MAX_SPREAD_PERCENT: u64 = 50;

async fn check_forever(
    shared: Arc<Shared>,
    backend: Arc<Backend>,
    server: Arc<Server>,
    probe: probe::Probe,
    delay: Duration,
) {
    let mut next = Instant::now() + delay;
    let mut turn: u64 = 0;
    loop {
        tokio::time::sleep_until(next).await;
        if shared.draining.load(Relaxed) && shared.sessions.count() == 0 {
            return;
        }
        turn = turn.wrapping_add(1);
        let paused = {
            let health = lock_health(&server);
            !health.checks_enabled || health.admin == ServerAdmin::Maint
        };
        let interval = interval(&server);
        if !paused {
            let started = Instant::now();
            let (outcome, passed) = probe.run(&server, interval).await;
            let duration = started.elapsed();
            // The operator may have put it into maintenance meanwhile: the result no longer matters.
            let still_wanted = {
                let health = lock_health(&server);
                health.checks_enabled && health.admin != ServerAdmin::Maint
            };
            if still_wanted {
                record(&shared, &backend, &server, &outcome, passed, duration);
            }
        }
        // The state may have changed: a server that begins to fail is looked at after `fastinter`.
        let interval = spread(&shared, self::interval(&server), turn, server.id.0);
        next += interval;
        let now = Instant::now();
        if next <= now {
            next = now + interval;
        }
    }
}

/// The interval that a server's state asks for.
fn interval(server: &Server) -> Duration {
    let Some(check) = &server.config.check else {
        return Duration::from_secs(2);
    };
    let operational = lock_health(server).operational;
    match operational {
        Operational::Up | Operational::NoCheck => check.inter,
        Operational::GoingUp | Operational::GoingDown => check.fastinter.unwrap_or(check.inter),
        Operational::Down => check.downinter.unwrap_or(check.inter),
    }
}

/// `spread-checks`: the interval changed by up to so many per cent either way.
fn spread(shared: &Shared, interval: Duration, turn: u64, salt: u32) -> Duration {
    let percent = u64::from(shared.config.global.spread_checks).min(MAX_SPREAD_PERCENT);
    if percent == 0 {
        return interval;
    }
    let random = shared
        .clock
        .now_us()
        .wrapping_add(turn)
        .wrapping_add(u64::from(salt))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 33;
    let width = interval.as_micros() as u64 * percent / 100;
    let shift = random % (2 * width + 1);
    Duration::from_micros(interval.as_micros() as u64 + shift - width)
}
