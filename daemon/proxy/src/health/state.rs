//! A server's state in HAProxy's words.

use config::haproxy::CheckConfig;
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational};

use super::lock_health;
use crate::app::Shared;
use crate::state::{Backend, Health, Server};

/// Whether checks or the agent say that it is down.
pub(crate) fn is_down(health: &Health) -> bool {
    // What an agent took down stays down when it is no longer asked, until an operator says `agent up`.
    let agent_down = health.agent.as_ref().is_some_and(|agent| agent.health == 0);
    agent_down || is_down_by_checks(health.operational)
}

pub(super) fn is_down_by_checks(operational: Operational) -> bool {
    matches!(operational, Operational::Down | Operational::GoingUp)
}

/// Whether a server is up, apart from maintenance and drain.
pub(super) fn is_up(server: &Server) -> bool {
    !is_down(&lock_health(server))
}

/// The administrative state with what is inherited from the tracked server.
pub(crate) fn effective_admin(health: &Health) -> ServerAdmin {
    match (health.admin, health.inherited) {
        (ServerAdmin::Maint, _) | (_, ServerAdmin::Maint) => ServerAdmin::Maint,
        (ServerAdmin::Drain, _) | (_, ServerAdmin::Drain) => ServerAdmin::Drain,
        _ => ServerAdmin::Ready,
    }
}

/// Whether it counts as down: by its checks or by maintenance.
pub(crate) fn is_stopped(health: &Health) -> bool {
    effective_admin(health) == ServerAdmin::Maint || is_down(health)
}

/// The server at the end of a chain of `track`; `None` if it tracks none: then its own checks count.
pub(crate) fn tracked_server(shared: &Shared, server: &Server) -> Option<std::sync::Arc<Server>> {
    /// A chain is refused by the configuration if it has no end.
    const MAX_CHAIN: usize = 10_000;
    let next = |at: &Server| server_at(shared, *at.tracked.get()?).map(|(_, next)| next);
    let mut at = next(server)?;
    for _ in 0..MAX_CHAIN {
        match next(&at) {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(at)
}

/// A server by its place.
pub(super) fn server_at(
    shared: &Shared,
    (backend, server): (crate::state::BackendId, crate::state::ServerId),
) -> Option<(&std::sync::Arc<Backend>, std::sync::Arc<Server>)> {
    let backend = shared.backends.get(backend.0 as usize)?;
    Some((backend, backend.server(server)?))
}

/// `rise` and `fall`; without checks one each.
pub(crate) fn rise_and_fall(check: Option<&CheckConfig>) -> (u32, u32) {
    check.map_or((1, 1), |check| (check.rise.max(1), check.fall.max(1)))
}

/// HAProxy's word for a server's state in `show stat`; a server that tracks shows the health of the tracked one.
pub(crate) fn status_word(shared: &Shared, server: &Server, health: &Health) -> String {
    if health.inherited == ServerAdmin::Maint
        && let Some((backend, tracked)) = server
            .tracked
            .get()
            .and_then(|place| server_at(shared, *place))
    {
        return format!("MAINT (via {}/{})", backend.name, tracked.name);
    }
    let Some(checked) = tracked_server(shared, server) else {
        return state_of(server, health);
    };
    let mut shown = lock_health(&checked).clone();
    shown.admin = health.admin;
    shown.admin_cause = health.admin_cause;
    shown.inherited = health.inherited;
    state_of(&checked, &shown)
}

/// The word for a server that tracks none: `UP`, `UP 1/3`, `DOWN 1/2`, `NOLB`, `DRAIN`, `MAINT`, `no check`.
pub(crate) fn state_of(server: &Server, health: &Health) -> String {
    let admin = effective_admin(health);
    if admin == ServerAdmin::Maint {
        return match health.admin_cause {
            AdminCause::Resolution => "MAINT (resolution)".to_owned(),
            _ => "MAINT".to_owned(),
        };
    }
    let agent = health.agent.as_ref().filter(|agent| agent.enabled);
    if agent.is_some_and(|agent| agent.health == 0) {
        return "DOWN (agent)".to_owned();
    }
    if is_down(health) && !is_down_by_checks(health.operational) {
        return "DOWN".to_owned();
    }
    let (rise, fall) = rise_and_fall(server.config.check.as_ref());
    let up = match (health.stopping, admin) {
        (true, _) => "NOLB",
        (_, ServerAdmin::Drain) => "DRAIN",
        _ => "UP",
    };
    match health.operational {
        Operational::Down => "DOWN".to_owned(),
        Operational::GoingUp => format!("DOWN {}/{rise}", health.health),
        _ if up == "DRAIN" && agent.is_some() => "DRAIN (agent)".to_owned(),
        Operational::NoCheck if admin == ServerAdmin::Drain => "DRAIN".to_owned(),
        Operational::NoCheck => "no check".to_owned(),
        _ if server.config.check.is_some() && !health.checks_enabled => "no check".to_owned(),
        Operational::Up | Operational::GoingDown if health.health + 1 < rise + fall => {
            format!("{up} {}/{fall}", (health.health + 1).saturating_sub(rise))
        }
        Operational::Up | Operational::GoingDown => up.to_owned(),
    }
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
