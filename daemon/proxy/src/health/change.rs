//! What results of checks change: a server's health, its backend's availability, counters, logs, events.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::ServerAdmin;
use protocol::snapshot::Operational;

use super::Outcome;
use crate::app::Shared;
use crate::state::{Backend, Health, Server};

/// Most results that a server remembers.
const MAX_HISTORY: usize = 20;

/// A server's state, locked. A panic elsewhere leaves it whole: each change is one assignment.
pub(crate) fn lock_health(server: &Server) -> MutexGuard<'_, Health> {
    server
        .health
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes a check's result in.
pub(crate) fn record(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    outcome: &Outcome,
    passed: bool,
    duration: Duration,
) {
    let Some(check) = &server.config.check else {
        return;
    };
    let (rise, fall) = (check.rise.max(1), check.fall.max(1));
    let full = rise + fall - 1;
    let (was_up, is_up, before, after) = {
        let mut health = lock_health(server);
        health.check_status = outcome.status;
        health.check_code = outcome.code;
        health.check_duration_ms = duration.as_millis() as u64;
        health.check_detail.clone_from(&outcome.detail);
        if health.check_history.len() >= MAX_HISTORY {
            health.check_history.pop_front();
        }
        health.check_history.push_back(passed);
        let before = health.health;
        health.health = match (passed, before >= rise) {
            (true, true) => full,
            (true, false) if before + 1 >= rise => full,
            (true, false) => before + 1,
            (false, true) if before > rise => before - 1,
            (false, _) => 0,
        };
        let after = health.health;
        let was_up = !is_down(health.operational);
        health.operational = match after {
            0 => Operational::Down,
            _ if after < rise => Operational::GoingUp,
            _ if after < full => Operational::GoingDown,
            _ => Operational::Up,
        };
        let is_up = !is_down(health.operational);
        if was_up != is_up {
            change_time(shared, &mut health, was_up);
        }
        (was_up, is_up, before, after)
    };
    if !passed && was_up {
        server.counters.failed_checks.increment();
    }
    let logs_checks = shared
        .config
        .proxies
        .get(backend.config_index)
        .is_some_and(|proxy| proxy.log_health_checks);
    let reason = reason(outcome, duration);
    if logs_checks && before != after {
        shared.reports.tell(
            backend.config_index,
            LogLevel::Notice,
            &format!(
                "Health check for {}server {}/{} {}, reason: {reason}, status: {} {}.",
                if server.config.backup { "backup " } else { "" },
                backend.name,
                server.name,
                if passed { "succeeded" } else { "failed" },
                if is_up {
                    format!("{}/{fall}", after + 1 - rise)
                } else {
                    format!("{after}/{rise}")
                },
                if is_up { "UP" } else { "DOWN" },
            ),
        );
    }
    if was_up == is_up {
        return;
    }
    let detail = event_reason(outcome);
    let told = if logs_checks {
        None
    } else {
        Some(reason.as_str())
    };
    changed(
        shared,
        backend,
        server,
        is_up,
        told,
        &detail,
        EventSource::Worker,
    );
}

/// After a server's operational state has changed: publishes it, logs it, tells it.
pub(crate) fn changed(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    is_up: bool,
    log_reason: Option<&str>,
    event_reason: &str,
    source: EventSource,
) {
    let usable_before = backend.is_available();
    if is_up {
        server.start_slowly(shared.clock.now_ms());
    }
    server.publish();
    backend.servers_changed();
    if !is_up {
        server.counters.down_transitions.increment();
        if server.config.shutdown_sessions_on_down {
            shut_sessions(server);
        }
    }
    let (active, backup) = backend.usable_by_kind();
    let reason = log_reason.map_or(String::new(), |reason| format!(", reason: {reason}"));
    let (level, text) = if is_up {
        (
            LogLevel::Notice,
            format!(
                "{} is UP{reason}. {active} active and {backup} backup servers online. 0 sessions requeued, {} total in queue.",
                server_word(backend, server),
                backend.counters.queue.current()
            ),
        )
    } else {
        (
            LogLevel::Alert,
            format!(
                "{} is DOWN{reason}. {}. {} sessions active, 0 requeued, {} remaining in queue.",
                server_word(backend, server),
                servers_left(active, backup),
                server.counters.sessions.current(),
                server.counters.queue.current()
            ),
        )
    };
    shared.reports.tell(backend.config_index, level, &text);
    shared.events.push(Event::now(
        source,
        if is_up {
            EventSeverity::Notice
        } else {
            EventSeverity::Warning
        },
        if is_up {
            EventKind::ServerUp
        } else {
            EventKind::ServerDown
        },
        format!("{}/{}", backend.name, server.name),
        if is_up { "DOWN -> UP" } else { "UP -> DOWN" },
        event_reason,
    ));
    announce_backend(shared, backend, usable_before);
}

/// `1 active and 0 backup servers left`, and what serves when none is active.
pub(crate) fn servers_left(active: usize, backup: usize) -> String {
    let running = if active == 0 && backup > 0 {
        ". Running on backup"
    } else {
        ""
    };
    format!("{active} active and {backup} backup servers left{running}")
}

/// Tells when a backend has lost its last usable server, or got one again.
pub(crate) fn announce_backend(shared: &Shared, backend: &Backend, usable_before: bool) {
    let usable = backend.is_available();
    if usable == usable_before {
        return;
    }
    backend.availability_changed(usable, shared.clock.now_ms());
    if usable {
        shared.events.push(Event::now(
            EventSource::Worker,
            EventSeverity::Notice,
            EventKind::BackendUsable,
            backend.name.as_str(),
            "DOWN -> UP",
            "a server is usable again",
        ));
        return;
    }
    backend.counters.down_transitions.increment();
    shared.reports.tell(
        backend.config_index,
        LogLevel::Emerg,
        &format!("backend {} has no server available!", backend.name),
    );
    shared.events.push(Event::now(
        EventSource::Worker,
        EventSeverity::Alert,
        EventKind::BackendEmpty,
        backend.name.as_str(),
        "UP -> DOWN",
        "no server is usable",
    ));
}

/// Ends all sessions of a server.
pub(crate) fn shut_sessions(server: &Server) {
    server.shutdown_generation.fetch_add(1, Relaxed);
    server.shutdown.notify_waiters();
}

/// Keeps the books of a server's time when it goes down or comes up.
pub(crate) fn change_time(shared: &Shared, health: &mut Health, was_up: bool) {
    let now_ms = shared.clock.now_ms();
    if !was_up {
        health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
    }
    health.changed_at_ms = now_ms;
}

pub(crate) fn is_down(operational: Operational) -> bool {
    matches!(operational, Operational::Down | Operational::GoingUp)
}

/// Whether it counts as down: by its checks or by maintenance.
pub(crate) fn is_stopped(health: &Health) -> bool {
    health.admin == ServerAdmin::Maint || is_down(health.operational)
}

/// `Server b/s`, `Backup Server b/s`.
pub(crate) fn server_word(backend: &Backend, server: &Server) -> String {
    format!(
        "{} {}/{}",
        if server.config.backup {
            "Backup Server"
        } else {
            "Server"
        },
        backend.name,
        server.name
    )
}

/// HAProxy's word for a server's state: `UP`, `UP 1/3`, `DOWN 1/2`, `DRAIN`, `MAINT`, `no check`.
pub(crate) fn status_word(server: &Server, health: &Health) -> String {
    use protocol::snapshot::AdminCause;
    if health.admin == ServerAdmin::Maint {
        return match health.admin_cause {
            AdminCause::Resolution => "MAINT (resolution)".to_owned(),
            _ => "MAINT".to_owned(),
        };
    }
    let (rise, fall) = server
        .config
        .check
        .as_ref()
        .map_or((1, 1), |check| (check.rise.max(1), check.fall.max(1)));
    let up = if health.admin == ServerAdmin::Drain {
        "DRAIN"
    } else {
        "UP"
    };
    match health.operational {
        Operational::NoCheck if health.admin == ServerAdmin::Drain => "DRAIN".to_owned(),
        Operational::NoCheck => "no check".to_owned(),
        Operational::Down => "DOWN".to_owned(),
        Operational::GoingUp => format!("DOWN {}/{rise}", health.health),
        Operational::Up | Operational::GoingDown if health.health + 1 < rise + fall => {
            format!("{up} {}/{fall}", (health.health + 1).saturating_sub(rise))
        }
        Operational::Up | Operational::GoingDown => up.to_owned(),
    }
}

/// `Layer7 wrong status, code: 503, info: "Service Unavailable", check duration: 0ms`.
fn reason(outcome: &Outcome, duration: Duration) -> String {
    let mut text = Outcome::description(outcome.status).to_owned();
    if let Some(code) = outcome.code.filter(|_| is_by_status(outcome.status)) {
        text.push_str(&format!(", code: {code}"));
    }
    // A check that passed by its status needs no more words.
    if !outcome.detail.is_empty() && outcome.status != "L7OK" {
        text.push_str(&format!(", info: \"{}\"", outcome.detail));
    }
    text.push_str(&format!(", check duration: {}ms", duration.as_millis()));
    text
}

fn is_by_status(status: &str) -> bool {
    matches!(status, "L7OK" | "L7STS")
}

fn event_reason(outcome: &Outcome) -> String {
    let mut text = Outcome::description(outcome.status).to_owned();
    if let Some(code) = outcome.code {
        text.push_str(&format!(" {code}"));
    }
    if !outcome.detail.is_empty() {
        text.push_str(&format!(", {}", outcome.detail));
    }
    text
}
