//! What results of checks change: a server's health, its backend's availability, counters, logs, events, and the servers
//! that track it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::ServerAdmin;
use protocol::snapshot::Operational;

use super::admin::drain_words;
use super::outcome::{Outcome, Verdict};
use super::state::{effective_admin, is_down_by_checks, rise_and_fall, server_at};
use super::{is_down, lock_health, server_word};
use crate::app::Shared;
use crate::state::{Backend, Health, Server};

/// Most results that a server remembers.
pub(super) const MAX_HISTORY: usize = 20;

/// What became of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Up,
    Down,
    /// It serves those that it knows, and wants no new ones.
    Stopping,
}

impl Change {
    /// The change between two states, if there is one: down or not, stopping or not.
    pub(crate) fn between(before: &Health, after: &Health) -> Option<Self> {
        Standing::of(before).change_to(Standing::of(after))
    }
}

/// What of a server's state makes a change; a check keeps this of the state before, not a copy of all.
#[derive(Clone, Copy)]
struct Standing {
    down: bool,
    stopping: bool,
}

impl Standing {
    fn of(health: &Health) -> Self {
        Self {
            down: is_down(health),
            stopping: health.stopping,
        }
    }

    fn change_to(self, after: Self) -> Option<Change> {
        match (self.down, after.down) {
            (false, true) => Some(Change::Down),
            (true, true) => None,
            (true, false) if after.stopping => Some(Change::Stopping),
            (true, false) => Some(Change::Up),
            (false, false) if self.stopping == after.stopping => None,
            (false, false) if after.stopping => Some(Change::Stopping),
            (false, false) => Some(Change::Up),
        }
    }
}

/// Takes a check's result in. `duration` is none for what traffic showed.
pub(crate) fn record(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    outcome: &Outcome,
    duration: Option<Duration>,
) {
    let verdict = outcome.verdict();
    let (rise, fall) = rise_and_fall(server.config.check.as_ref());
    let (before, after, changed_count, count, is_down_after, news) = {
        let mut health = lock_health(server);
        let (before, count_before) = (Standing::of(&health), health.health);
        let news = note(&mut health, outcome, duration);
        match verdict {
            Verdict::Neutral => {}
            // It keeps a server from new clients, and does not bring one up.
            Verdict::Conditional if before.down => {}
            Verdict::Passed | Verdict::Conditional => {
                raise(&mut health, rise, fall);
                health.stopping = verdict == Verdict::Conditional;
            }
            Verdict::Failed => lower(&mut health, rise, fall),
        }
        if is_down(&health) {
            health.stopping = false;
        }
        let after = Standing::of(&health);
        if before.down != after.down {
            change_time(shared, &mut health, !before.down);
        }
        (
            before,
            after,
            count_before != health.health,
            health.health,
            is_down_by_checks(health.operational),
            news,
        )
    };
    if verdict == Verdict::Failed && !before.down {
        server.counters.failed_checks.increment();
    }
    let change = before.change_to(after);
    let logs_checks = logs_checks(shared, backend);
    let is_told = logs_checks && (news || changed_count);
    // The usual result changes nothing: no words are made for it.
    if !is_told && change.is_none() {
        return;
    }
    let reason = outcome.reason(duration);
    if is_told {
        let (count, of) = match is_down_after {
            true => (count, rise),
            false => ((count + 1).saturating_sub(rise), fall),
        };
        tell_check(
            shared,
            backend,
            server,
            "Health",
            verdict,
            &reason,
            (count, of),
        );
    }
    let Some(change) = change else {
        return;
    };
    changed_by(
        shared,
        backend,
        server,
        change,
        outcome,
        &reason,
        logs_checks,
    );
}

/// Tells of a change that an outcome made; its reason goes with it unless the line of the check has just said it.
pub(super) fn changed_by(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    change: Change,
    outcome: &Outcome,
    reason: &str,
    is_said: bool,
) {
    let suffix = match is_said {
        true => String::new(),
        false => format!(", reason: {reason}"),
    };
    let why = Cause {
        suffix: &suffix,
        event: &outcome.event_reason(),
        source: EventSource::Worker,
    };
    changed(shared, backend, server, change, &why);
}

/// Whether `option log-health-checks` is on.
pub(super) fn logs_checks(shared: &Shared, backend: &Backend) -> bool {
    let proxy = shared.config.proxies.get(backend.config_index);
    proxy.is_some_and(|proxy| proxy.log_health_checks)
}

/// `Health check for [backup ]server b/s failed, reason: …, status: 1/3 UP.`
pub(super) fn tell_check(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    kind: &str,
    verdict: Verdict,
    reason: &str,
    (count, of): (u32, u32),
) {
    let is_up = match kind {
        "Agent" => count > 0,
        _ => !is_down_by_checks(lock_health(server).operational),
    };
    let text = format!(
        "{kind} check for {}server {}/{} {}, reason: {reason}, status: {count}/{of} {}.",
        if server.config.backup { "backup " } else { "" },
        backend.name,
        server.name,
        match verdict {
            Verdict::Passed | Verdict::Neutral => "succeeded",
            Verdict::Conditional => "conditionally succeeded",
            Verdict::Failed => "failed",
        },
        if is_up { "UP" } else { "DOWN" },
    );
    shared
        .reports
        .tell(backend.config_index, LogLevel::Notice, &text);
}

/// Keeps a result as the last one; says whether it is of another kind than the one before.
fn note(health: &mut Health, outcome: &Outcome, duration: Option<Duration>) -> bool {
    let news = health.check_status != outcome.status;
    health.check_status = outcome.status;
    health.seen_well = outcome.verdict() != Verdict::Failed;
    health.check_code = outcome.code;
    if let Some(duration) = duration {
        health.check_duration_ms = duration.as_millis() as u64;
    }
    match outcome.fleeting {
        true => health.check_detail.clear(),
        false => health.check_detail.clone_from(&outcome.detail),
    }
    if health.check_history.len() >= MAX_HISTORY {
        health.check_history.pop_front();
    }
    health
        .check_history
        .push_back(outcome.verdict() != Verdict::Failed);
    news
}

/// One good check more.
fn raise(health: &mut Health, rise: u32, fall: u32) {
    let full = rise + fall - 1;
    health.health = match health.health {
        before if before + 1 >= rise => full,
        before => before + 1,
    };
    health.operational = operational(health.health, rise, fall);
}

/// One failed check more.
fn lower(health: &mut Health, rise: u32, fall: u32) {
    health.health = match health.health {
        before if before > rise => before - 1,
        _ => 0,
    };
    health.operational = operational(health.health, rise, fall);
}

/// What a count between 0 and rise + fall - 1 means.
pub(crate) fn operational(health: u32, rise: u32, fall: u32) -> Operational {
    match health {
        0 => Operational::Down,
        _ if health < rise => Operational::GoingUp,
        _ if health < rise + fall - 1 => Operational::GoingDown,
        _ => Operational::Up,
    }
}

/// Why a server changed.
pub(crate) struct Cause<'a> {
    /// What stands behind the state in the log: `, reason: …`, `, changed from CLI`, ` via b/s`.
    pub(crate) suffix: &'a str,
    /// The same in the event.
    pub(crate) event: &'a str,
    pub(crate) source: EventSource,
}

/// After a server's operational state has changed: publishes it, logs it, tells it, and takes those along that track it.
pub(crate) fn changed(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    change: Change,
    why: &Cause<'_>,
) {
    let (admin, own_admin) = {
        let health = lock_health(server);
        (effective_admin(&health), health.admin)
    };
    if admin == ServerAdmin::Maint {
        // It is told when it leaves maintenance; those that track it are in maintenance with it.
        return;
    }
    let usable_before = backend.is_available();
    let was_up = server.usability() != crate::state::Usability::Down;
    if change == Change::Up && !was_up {
        server.start_slowly(shared.clock.now_ms());
    }
    server.publish();
    backend.servers_changed();
    if change == Change::Down {
        server.counters.down_transitions.increment();
        if server.config.shutdown_sessions_on_down {
            shut_sessions(server, false);
        }
    }
    if change == Change::Up && server.config.shutdown_backups_on_up && !server.config.backup {
        shut_backups(backend, server);
    }
    let (active, backup) = backend.usable_by_kind();
    let word = server_word(backend, server);
    let suffix = why.suffix;
    let online = format!(
        "{active} active and {backup} backup servers online. 0 sessions requeued, {} total in queue.",
        backend.counters.queue.current()
    );
    let (level, text) = match change {
        Change::Up => (LogLevel::Notice, format!("{word} is UP{suffix}. {online}")),
        Change::Stopping => (
            LogLevel::Notice,
            format!("{word} is stopping{suffix}. {online}"),
        ),
        Change::Down => (
            LogLevel::Alert,
            format!(
                "{word} is DOWN{suffix}. {}. {} sessions active, 0 requeued, {} remaining in queue.",
                servers_left(active, backup),
                server.counters.sessions.current(),
                server.counters.queue.current()
            ),
        ),
    };
    shared.reports.tell(backend.config_index, level, &text);
    if admin == ServerAdmin::Drain {
        let text = drain_words(shared, backend, server, own_admin);
        shared
            .reports
            .tell(backend.config_index, LogLevel::Notice, &text);
    }
    let (severity, kind, words) = match change {
        Change::Up if was_up => (EventSeverity::Notice, EventKind::ServerUp, "STOPPING -> UP"),
        Change::Up => (EventSeverity::Notice, EventKind::ServerUp, "DOWN -> UP"),
        Change::Down => (EventSeverity::Warning, EventKind::ServerDown, "UP -> DOWN"),
        Change::Stopping => (
            EventSeverity::Notice,
            EventKind::ServerAdmin,
            "UP -> STOPPING",
        ),
    };
    shared.events.push(Event::now(
        why.source,
        severity,
        kind,
        format!("{}/{}", backend.name, server.name),
        words,
        why.event,
    ));
    announce_backend(shared, backend, usable_before);
    follow(shared, backend, server, why.source);
}

/// Servers that track this one become what it is.
fn follow(shared: &Shared, backend: &Backend, server: &Server, source: EventSource) {
    let trackers = super::trackers(server).clone();
    if trackers.is_empty() {
        return;
    }
    let leader = lock_health(server).clone();
    for place in trackers {
        let Some((their_backend, tracker)) = server_at(shared, place) else {
            continue;
        };
        let (before, after) = {
            let mut health = lock_health(&tracker);
            let before = health.clone();
            health.operational = match is_down(&leader) {
                true => Operational::Down,
                false => Operational::Up,
            };
            health.health = u32::from(!is_down(&leader));
            health.stopping = leader.stopping;
            if is_down(&before) != is_down(&health) {
                change_time(shared, &mut health, !is_down(&before));
            }
            (before, health.clone())
        };
        if let Some(change) = Change::between(&before, &after) {
            let via = format!(" via {}/{}", backend.name, server.name);
            let why = Cause {
                suffix: &via,
                event: via.trim_start(),
                source,
            };
            changed(shared, their_backend, &tracker, change, &why);
        }
    }
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

/// Ends all sessions of a server; `by_active` says that an active server is the cause.
pub(crate) fn shut_sessions(server: &Server, by_active: bool) {
    server.shut_by_active.store(by_active, Relaxed);
    server.shutdown_generation.fetch_add(1, Relaxed);
    server.shutdown.notify_waiters();
}

/// `on-marked-up shutdown-backup-sessions`: the backups' sessions end, if this server takes clients.
fn shut_backups(backend: &Backend, server: &Server) {
    if server.usability() != crate::state::Usability::Up {
        return;
    }
    for backup in backend
        .servers
        .now()
        .iter()
        .filter(|other| other.config.backup)
    {
        shut_sessions(backup, true);
    }
}

/// Keeps the books of a server's time when it goes down or comes up.
pub(crate) fn change_time(shared: &Shared, health: &mut Health, was_up: bool) {
    let now_ms = shared.clock.now_ms();
    if !was_up {
        health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
    }
    health.changed_at_ms = now_ms;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rise_and_fall_as_haproxy_counts() {
        assert_eq!(operational(0, 2, 3), Operational::Down);
        assert_eq!(operational(1, 2, 3), Operational::GoingUp);
        assert_eq!(operational(2, 2, 3), Operational::GoingDown);
        assert_eq!(operational(4, 2, 3), Operational::Up);
        assert_eq!(operational(1, 1, 1), Operational::Up);
    }
}
