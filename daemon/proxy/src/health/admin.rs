//! What operators and agents make of a server: maintenance, drain, ready, weight; and forced health.

use std::sync::atomic::Ordering::Relaxed;

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::{ForcedHealth, ServerAdmin};
use protocol::snapshot::{AdminCause, Operational};

use super::change::{Cause, Change, announce_backend, change_time, changed, operational};
use super::state::{effective_admin, is_stopped, rise_and_fall, server_at};
use super::{is_down, lock_health, server_word};
use crate::app::Shared;
use crate::state::{Backend, Health, Server};

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Operator,
    Agent,
    /// The record that the server's address came from.
    SrvRecord,
}

impl Author {
    fn source(self) -> EventSource {
        match self {
            Self::Operator => EventSource::Operator,
            Self::Agent | Self::SrvRecord => EventSource::Worker,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Operator => "asked by an operator",
            Self::Agent => "asked by the server's agent",
            Self::SrvRecord => "of its SRV record",
        }
    }
}

/// Puts a server into maintenance or drain, or makes it ready.
pub(crate) fn set_admin(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    state: ServerAdmin,
    author: Author,
) {
    let has_place = server.address.load().is_some()
        || !matches!(
            server.config.address,
            config::haproxy::ServerAddress::Host { .. }
        );
    if state != ServerAdmin::Maint && !has_place {
        // Without an address it stays in maintenance; its name decides from now on, the operator no longer does.
        let mut health = lock_health(server);
        health.admin = ServerAdmin::Maint;
        health.admin_cause = AdminCause::Resolution;
        return;
    }
    let before = lock_health(server).admin;
    if before == state {
        // HAProxy answers nothing and changes nothing; the cause is the operator's from now on.
        if state != ServerAdmin::Ready && author == Author::Operator {
            lock_health(server).admin_cause = AdminCause::Operator;
        }
        return;
    }
    change_admin(shared, backend, server, author, None, &mut |health| {
        health.admin = state;
        health.admin_cause = match state {
            ServerAdmin::Ready => AdminCause::None,
            _ => AdminCause::Operator,
        };
    });
}

/// What of a server's state an administrative change is told by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Office {
    own: ServerAdmin,
    inherited: ServerAdmin,
    is_down: bool,
}

impl Office {
    fn of(health: &Health) -> Self {
        Self {
            own: health.admin,
            inherited: health.inherited,
            is_down: is_down(health),
        }
    }

    fn has(self, state: ServerAdmin) -> bool {
        self.own == state || self.inherited == state
    }
}

/// Changes a server's own or inherited administrative state, tells it, and takes along those that track it. `via` is the
/// server from which it is inherited.
fn change_admin(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    author: Author,
    via: Option<&str>,
    change: &mut dyn FnMut(&mut Health),
) {
    let usable_before = backend.is_available();
    // What a tracking server is when it leaves maintenance.
    let leader = server
        .tracked
        .get()
        .and_then(|place| server_at(shared, *place))
        .map(|(_, leader)| {
            let health = lock_health(&leader);
            (is_down(&health), health.stopping)
        });
    let (before, state, office_before, office) = {
        let mut health = lock_health(server);
        let (before, office_before) = (effective_admin(&health), Office::of(&health));
        let now_ms = shared.clock.now_ms();
        let was_down = is_stopped(&health);
        change(&mut health);
        let state = effective_admin(&health);
        if before == ServerAdmin::Maint && state != before {
            return_to_service(server, &mut health, leader);
        }
        if before != state {
            let is_down = is_stopped(&health);
            if was_down {
                health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
            }
            health.changed_at_ms = now_ms;
            if is_down && !was_down {
                server.counters.down_transitions.increment();
            }
        }
        (before, state, office_before, Office::of(&health))
    };
    if office_before == office {
        return;
    }
    if state == ServerAdmin::Ready && before != state {
        server.start_slowly(shared.clock.now_ms());
    }
    server.publish();
    backend.servers_changed();
    for text in words(shared, backend, server, office_before, office, via) {
        shared
            .reports
            .tell(backend.config_index, LogLevel::Notice, &text);
    }
    if before == state {
        return;
    }
    shared.events.push(Event::now(
        author.source(),
        EventSeverity::Notice,
        EventKind::ServerAdmin,
        format!("{}/{}", backend.name, server.name),
        format!("{} -> {}", admin_word(before), admin_word(state)),
        via.map_or(author.words().to_owned(), |via| format!("it tracks {via}")),
    ));
    announce_backend(shared, backend, usable_before);
    let name = format!("{}/{}", backend.name, server.name);
    let trackers = super::trackers(server).clone();
    for place in trackers {
        let Some((their_backend, tracker)) = server_at(shared, place) else {
            continue;
        };
        change_admin(
            shared,
            their_backend,
            &tracker,
            author,
            Some(&name),
            &mut |health| {
                health.inherited = state;
            },
        );
    }
}

/// Out of maintenance a server is up, and one failed check away from going down; one that tracks is what the tracked
/// one is, which is down or not, and stopping or not.
fn return_to_service(server: &Server, health: &mut Health, leader: Option<(bool, bool)>) {
    health.stopping = false;
    if let Some((is_down, stopping)) = leader {
        health.operational = match is_down {
            true => Operational::Down,
            false => Operational::Up,
        };
        health.health = u32::from(!is_down);
        health.stopping = stopping;
        return;
    }
    let Some(check) = &server.config.check else {
        health.operational = Operational::NoCheck;
        health.health = 1;
        return;
    };
    let (rise, fall) = rise_and_fall(Some(check));
    health.health = rise;
    health.operational = match operational(rise, rise, fall) {
        Operational::GoingDown => Operational::Up,
        other => other,
    };
}

/// What the log says of a change.
fn words(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    before: Office,
    after: Office,
    via: Option<&str>,
) -> Vec<String> {
    use ServerAdmin::{Drain, Maint};
    let (active, backup) = backend.usable_by_kind();
    let word = server_word(backend, server);
    let left = format!(
        "{active} active and {backup} backup servers left. {} sessions active, 0 requeued, {} remaining in queue.",
        server.counters.sessions.current(),
        server.counters.queue.current()
    );
    let by = via.map_or(String::new(), |via| format!(" via {via}"));
    let up = if after.is_down { "DOWN" } else { "UP" };
    match (before.has(Maint), after.has(Maint)) {
        (false, true) if before.is_down => {
            vec![format!("{word} was DOWN and now enters maintenance{by}.")]
        }
        (false, true) => vec![format!("{word} is going DOWN for maintenance{by}. {left}")],
        (true, true) => match (before.own == Maint, after.own == Maint) {
            (true, false) => vec![format!(
                "{word} is leaving forced maintenance but remains in maintenance{}.",
                tracked_words(shared, server)
            )],
            (true, true) if before.inherited == Maint && after.inherited != Maint => {
                vec![format!("{word} remains in forced maintenance.")]
            }
            _ => Vec::new(),
        },
        (true, false) => {
            let forced = if before.own == Maint { "forced " } else { "" };
            let state = if after.has(Drain) { "DRAIN" } else { "READY" };
            let mut told = vec![format!(
                "{word} is {up}/{state} (leaving {forced}maintenance)."
            )];
            if after.has(Drain) {
                told.push(drain_words(shared, backend, server, after.own));
            }
            told
        }
        (false, false) => match (before.has(Drain), after.has(Drain)) {
            (false, true) if after.is_down => {
                vec![format!("{word} enters drain state{by}. {left}")]
            }
            (false, true) => vec![format!(
                "{word} enters drain state{by}. {active} active and {backup} backup servers online. 0 sessions requeued, {} total in queue.",
                backend.counters.queue.current()
            )],
            (true, false) => vec![format!("{word} is {up} (leaving forced drain).")],
            (true, true) if after.own == Drain || before.own == Drain => {
                vec![drain_words(shared, backend, server, after.own)]
            }
            _ => Vec::new(),
        },
    }
}

/// What the log adds when a server that changes remains in drain mode.
pub(super) fn drain_words(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    own: ServerAdmin,
) -> String {
    let word = server_word(backend, server);
    match own {
        ServerAdmin::Drain => format!("{word} remains in forced drain mode."),
        _ => format!(
            "{word} is leaving forced drain but remains in drain mode{}.",
            tracked_words(shared, server)
        ),
    }
}

/// ` via b/s`: the server that it tracks.
fn tracked_words(shared: &Shared, server: &Server) -> String {
    server
        .tracked
        .get()
        .and_then(|place| server_at(shared, *place))
        .map_or(String::new(), |(backend, tracked)| {
            format!(" via {}/{}", backend.name, tracked.name)
        })
}

fn admin_word(state: ServerAdmin) -> &'static str {
    match state {
        ServerAdmin::Ready => "READY",
        ServerAdmin::Drain => "DRAIN",
        ServerAdmin::Maint => "MAINT",
    }
}

/// Gives a server another weight.
pub(crate) fn set_user_weight(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    weight: u32,
    author: Author,
) {
    let usable_before = backend.is_available();
    let before = server.user_weight.swap(weight, Relaxed);
    if before == weight {
        return;
    }
    server.publish();
    backend.servers_changed();
    shared.events.push(Event::now(
        author.source(),
        EventSeverity::Notice,
        EventKind::ServerWeight,
        format!("{}/{}", backend.name, server.name),
        format!("weight {before} -> {weight}"),
        author.words(),
    ));
    announce_backend(shared, backend, usable_before);
}

/// `set server … health`: a state that lasts until the next check says otherwise.
pub(crate) fn force_health(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    forced: ForcedHealth,
) {
    // In maintenance it has no health; it is up when it leaves.
    if effective_admin(&lock_health(server)) == ServerAdmin::Maint {
        return;
    }
    let check = server.config.check.as_ref();
    // A server without checks is brought down all the same, and up again.
    let (rise, fall) = rise_and_fall(check);
    forced_change(shared, backend, server, |health| {
        let (count, stopping) = match forced {
            ForcedHealth::Up => (rise + fall - 1, false),
            ForcedHealth::Stopping => (rise + fall - 1, true),
            ForcedHealth::Down => (0, false),
        };
        health.health = count;
        health.stopping = stopping;
        health.operational = match count {
            0 => Operational::Down,
            _ if check.is_none() => Operational::NoCheck,
            _ => Operational::Up,
        };
    });
}

/// `set server … agent up|down`.
pub(crate) fn force_agent(shared: &Shared, backend: &Backend, server: &Server, up: bool) {
    forced_change(shared, backend, server, |health| {
        if let Some(agent) = &mut health.agent {
            agent.health = u32::from(up);
        }
    });
}

fn forced_change(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    change: impl FnOnce(&mut Health),
) {
    let (before, after) = {
        let mut health = lock_health(server);
        let before = health.clone();
        change(&mut health);
        if is_down(&before) != is_down(&health) {
            change_time(shared, &mut health, !is_down(&before));
        }
        (before, health.clone())
    };
    if let Some(change) = Change::between(&before, &after) {
        let why = Cause {
            suffix: ", changed from CLI",
            event: "health forced by an operator",
            source: EventSource::Operator,
        };
        changed(shared, backend, server, change, &why);
    }
}
