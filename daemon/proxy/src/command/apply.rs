//! The one place where an operator's changes are made: for text commands, typed requests and the statistics page.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::{
    ForcedHealth, Operation, Refusal, ServerAdmin, ServerName, WeightChange,
};
use protocol::snapshot::{AdminCause, Operational};

use crate::app::Shared;
use crate::health::{announce_backend, lock_health, server_word};
use crate::state::{Backend, Frontend, Server};

/// Largest weight (manual, `weight`).
const MAX_WEIGHT: u32 = 256;

/// Makes a change; the answer is HAProxy's text, which is mostly empty.
pub fn apply(shared: &Shared, operation: &Operation) -> Result<String, Refusal> {
    match operation {
        Operation::ServerState { server, state } => {
            let (backend, server) = find(shared, server)?;
            set_admin(shared, backend, server, *state);
            Ok(String::new())
        }
        Operation::ServerWeight { server, weight } => {
            let (backend, server) = find(shared, server)?;
            set_weight(shared, backend, server, *weight)
        }
        Operation::ServerAddress {
            server,
            address,
            port,
        } => {
            let (backend, server) = find(shared, server)?;
            let before = server.address.load().as_deref().copied();
            let ip = address.or(before.map(|found| found.ip())).ok_or_else(|| {
                Refusal::Invalid(
                    "the server has no address to which a port could be set.".to_owned(),
                )
            })?;
            let new = SocketAddr::new(ip, port.unwrap_or(before.map_or(0, |found| found.port())));
            Ok(set_address(shared, backend, server, before, new))
        }
        Operation::ServerFqdn { server, fqdn } => {
            let (backend, server) = find(shared, server)?;
            set_name(shared, backend, server, fqdn)
        }
        Operation::ServerHealth { server, health } => {
            let (backend, server) = find(shared, server)?;
            force_health(shared, backend, server, *health)
        }
        Operation::ServerChecks { server, enabled } => {
            let (backend, server) = find(shared, server)?;
            if server.config.check.is_none() {
                return Err(Refusal::Invalid(
                    "Health checks are not configured on this server, cannot enable.".to_owned(),
                ));
            }
            lock_health(server).checks_enabled = *enabled;
            tell_operation(
                shared,
                &format!("{}/{}", backend.name, server.name),
                if *enabled {
                    "health checks enabled"
                } else {
                    "health checks disabled"
                },
            );
            Ok(String::new())
        }
        Operation::ServerMaxconn { server, maxconn } => {
            let (backend, server) = find(shared, server)?;
            let before = server.maxconn.swap(*maxconn, Relaxed);
            backend.servers_changed();
            tell_operation(
                shared,
                &format!("{}/{}", backend.name, server.name),
                &format!("maxconn {before} -> {maxconn}"),
            );
            Ok(String::new())
        }
        Operation::ShutdownServerSessions { server } => {
            let (backend, server) = find(shared, server)?;
            server.shutdown_generation.fetch_add(1, Relaxed);
            server.shutdown.notify_waiters();
            tell_operation(
                shared,
                &format!("{}/{}", backend.name, server.name),
                "sessions shut down",
            );
            Ok(String::new())
        }
        Operation::ShutdownSession { id } => {
            if shared.sessions.shutdown(*id) {
                Ok(String::new())
            } else {
                Err(Refusal::NoSuchSession)
            }
        }
        Operation::FrontendEnabled { frontend, enabled } => {
            let frontend = find_frontend(shared, frontend)?;
            set_frontend(shared, frontend, *enabled)
        }
        Operation::FrontendMaxconn { frontend, maxconn } => {
            let frontend = find_frontend(shared, frontend)?;
            let before = frontend.maxconn.swap(*maxconn, Relaxed);
            tell_operation(
                shared,
                &frontend.name,
                &format!("maxconn {before} -> {maxconn}"),
            );
            Ok(String::new())
        }
        Operation::GlobalMaxconn { maxconn } => {
            let before = shared.process.maxconn.swap(u64::from(*maxconn), Relaxed);
            tell_operation(shared, "worker", &format!("maxconn {before} -> {maxconn}"));
            Ok(String::new())
        }
        Operation::ClearCounters { all } => {
            crate::stats::clear(shared, *all);
            Ok(String::new())
        }
        Operation::VrrpFailover { .. } | Operation::VrrpFailback { .. } | Operation::Reload => Err(
            Refusal::Invalid("the worker does not do this operation".to_owned()),
        ),
    }
}

fn find<'s>(
    shared: &'s Shared,
    name: &ServerName,
) -> Result<(&'s Arc<Backend>, &'s Arc<Server>), Refusal> {
    let backend = shared
        .backend(&name.backend)
        .or_else(|| {
            by_number(&name.backend, |id| {
                shared.backends.iter().find(|backend| backend.iid == id)
            })
        })
        .ok_or(Refusal::NoSuchBackend)?;
    let server = backend
        .servers
        .iter()
        .find(|server| server.name == name.server)
        .or_else(|| {
            by_number(&name.server, |id| {
                backend.servers.iter().find(|server| server.sid == id)
            })
        })
        .ok_or(Refusal::NoSuchServer)?;
    Ok((backend, server))
}

/// `#N` names a proxy or a server by its number (manual 9.3).
fn by_number<T>(name: &str, find: impl FnOnce(u32) -> Option<T>) -> Option<T> {
    name.strip_prefix('#')?.parse().ok().and_then(find)
}

fn find_frontend<'s>(shared: &'s Shared, name: &str) -> Result<&'s Arc<Frontend>, Refusal> {
    shared.frontend(name).ok_or(Refusal::NoSuchFrontend)
}

fn set_admin(shared: &Shared, backend: &Backend, server: &Server, state: ServerAdmin) {
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
    let usable_before = backend.is_available();
    let before = {
        let mut health = lock_health(server);
        let before = health.admin;
        if before == state {
            // HAProxy answers nothing and changes nothing; the cause is the operator's from now on.
            if state != ServerAdmin::Ready {
                health.admin_cause = AdminCause::Operator;
            }
            return;
        }
        let now_ms = shared.clock.now_ms();
        let was_down = crate::health::is_stopped(&health);
        health.admin = state;
        health.admin_cause = if state == ServerAdmin::Ready {
            AdminCause::None
        } else {
            AdminCause::Operator
        };
        if before == ServerAdmin::Maint {
            // Out of maintenance: up, and one failed check away from going down.
            if let Some(check) = &server.config.check {
                health.health = check.rise.max(1);
                health.operational = Operational::Up;
            }
        }
        let is_down = crate::health::is_stopped(&health);
        if was_down {
            health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
        }
        health.changed_at_ms = now_ms;
        if is_down && !was_down {
            server.counters.down_transitions.increment();
        }
        before
    };
    if state == ServerAdmin::Ready {
        server.start_slowly(shared.clock.now_ms());
    }
    server.publish();
    backend.servers_changed();
    let (active, backup) = backend.usable_by_kind();
    let word = server_word(backend, server);
    let left = format!(
        "{active} active and {backup} backup servers left. {} sessions active, 0 requeued, {} remaining in queue.",
        server.counters.sessions.current(),
        server.counters.queue.current()
    );
    let online = format!(
        "{active} active and {backup} backup servers online. 0 sessions requeued, {} total in queue.",
        backend.counters.queue.current()
    );
    let text = match (before, state) {
        (_, ServerAdmin::Maint) => format!("{word} is going DOWN for maintenance. {left}"),
        (ServerAdmin::Maint, ServerAdmin::Drain) => {
            format!("{word} is now DRAIN (leaving forced maintenance). {left}")
        }
        (_, ServerAdmin::Drain) => format!("{word} enters drain state. {left}"),
        (ServerAdmin::Maint, ServerAdmin::Ready) => {
            format!("{word} is UP/READY (leaving forced maintenance).")
        }
        (_, ServerAdmin::Ready) => format!("{word} is UP (leaving forced drain). {online}"),
    };
    shared
        .reports
        .tell(backend.config_index, LogLevel::Notice, &text);
    shared.events.push(Event::now(
        EventSource::Operator,
        EventSeverity::Notice,
        EventKind::ServerAdmin,
        format!("{}/{}", backend.name, server.name),
        format!("{} -> {}", admin_word(before), admin_word(state)),
        "asked by an operator",
    ));
    announce_backend(shared, backend, usable_before);
}

fn admin_word(state: ServerAdmin) -> &'static str {
    match state {
        ServerAdmin::Ready => "READY",
        ServerAdmin::Drain => "DRAIN",
        ServerAdmin::Maint => "MAINT",
    }
}

fn set_weight(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    weight: WeightChange,
) -> Result<String, Refusal> {
    let initial = u32::from(server.config.weight);
    let new = match weight {
        WeightChange::Absolute(weight) => u32::from(weight),
        WeightChange::Percent(percent) => {
            if percent > 100 && is_static(shared, backend) {
                return Err(Refusal::Invalid(
                    "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."
                        .to_owned(),
                ));
            }
            initial.saturating_mul(percent) / 100
        }
    };
    if new > MAX_WEIGHT {
        return Err(Refusal::Invalid(
            "Absolute weight can only be between 0 and 256 inclusive.".to_owned(),
        ));
    }
    if is_static(shared, backend) && new != 0 && new != initial {
        return Err(Refusal::Invalid(
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."
                .to_owned(),
        ));
    }
    let usable_before = backend.is_available();
    let before = server.user_weight.swap(new, Relaxed);
    if before == new {
        return Ok(String::new());
    }
    server.publish();
    backend.servers_changed();
    shared.events.push(Event::now(
        EventSource::Operator,
        EventSeverity::Notice,
        EventKind::ServerWeight,
        format!("{}/{}", backend.name, server.name),
        format!("weight {before} -> {new}"),
        "asked by an operator",
    ));
    announce_backend(shared, backend, usable_before);
    Ok(String::new())
}

/// Algorithms whose weights are fixed at start: a weight is taken away or given back whole (manual, `balance`).
fn is_static(shared: &Shared, backend: &Backend) -> bool {
    use config::haproxy::{Balance, HashMethod};
    let Some(proxy) = shared.config.proxies.get(backend.config_index) else {
        return false;
    };
    match proxy.balance {
        Balance::StaticRr => true,
        Balance::Source
        | Balance::Uri { .. }
        | Balance::UrlParam { .. }
        | Balance::Header { .. }
        | Balance::Hash { .. }
        | Balance::RdpCookie { .. } => proxy.hash_method == HashMethod::MapBased,
        _ => false,
    }
}

fn set_address(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    before: Option<SocketAddr>,
    new: SocketAddr,
) -> String {
    if before == Some(new) {
        return "no need to change the addr, port nor fqdn".to_owned();
    }
    server.address.store(Some(Arc::new(new)));
    server.is_pinned.store(true, Relaxed);
    {
        let mut health = lock_health(server);
        // A server that waited for an address has one now.
        if health.admin == ServerAdmin::Maint && health.admin_cause == AdminCause::Resolution {
            health.admin = ServerAdmin::Ready;
            health.admin_cause = AdminCause::None;
        }
    }
    server.publish();
    backend.servers_changed();
    let mut parts = Vec::new();
    match before {
        Some(old) if old.ip() != new.ip() => {
            parts.push(format!("IP changed from '{}' to '{}'", old.ip(), new.ip()));
        }
        None => parts.push(format!("IP changed from '(none)' to '{}'", new.ip())),
        Some(_) => {}
    }
    if before.is_none_or(|old| old.port() != new.port()) {
        parts.push(format!(
            "port changed from '{}' to '{}'",
            before.map_or(0, |old| old.port()),
            new.port()
        ));
    }
    let unchanged = if before.is_some_and(|old| old.ip() == new.ip()) {
        "no need to change the addr, "
    } else {
        ""
    };
    let text = format!("{unchanged}{} by 'stats socket command'", parts.join(", "));
    shared.reports.tell(
        backend.config_index,
        LogLevel::Notice,
        &format!("{}/{}: {text}", backend.name, server.name),
    );
    tell_operation(
        shared,
        &format!("{}/{}", backend.name, server.name),
        &parts.join(", "),
    );
    text
}

/// `set server B/S fqdn`: the room of resolvers does it in a moment.
fn set_name(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    name: &str,
) -> Result<String, Refusal> {
    use config::haproxy::ServerAddress;
    let refuse = |why: &str| {
        Err(Refusal::Invalid(format!(
            "set server <b>/<s> fqdn failed because {why} resolution is configured."
        )))
    };
    if server.config.resolve.resolvers.is_none() {
        return refuse("no");
    }
    if matches!(&server.config.address, ServerAddress::Host { host, .. } if host.starts_with('_')) {
        return refuse("SRV");
    }
    let subject = format!("{}/{}", backend.name, server.name);
    if !crate::resolve::valid_name(name) {
        return Err(Refusal::Invalid(format!(
            "could not update {subject} FQDN by 'stats socket command'"
        )));
    }
    let before = server.fqdn.load();
    let before = before.as_deref().map_or("(null)", |before| before.as_str());
    if before == name {
        return Ok("no need to change the FDQN by 'stats socket command'".to_owned());
    }
    shared
        .resolvers
        .rename(backend.id.0 as usize, server.id.0 as usize, name.to_owned());
    let text = format!("changed its FQDN from {before} to {name} by 'stats socket command'");
    tell_operation(shared, &subject, &format!("name {before} -> {name}"));
    Ok(format!("{subject} {text}"))
}

fn force_health(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    forced: ForcedHealth,
) -> Result<String, Refusal> {
    let check = server.config.check.as_ref();
    // A server without checks is brought down all the same, and up again.
    let (rise, fall) = check.map_or((1, 1), |check| (check.rise.max(1), check.fall.max(1)));
    let (was_up, is_up) = {
        let mut health = lock_health(server);
        let was_up = !crate::health::is_down(health.operational);
        match forced {
            ForcedHealth::Up => {
                health.health = rise + fall - 1;
                health.operational = Operational::Up;
            }
            ForcedHealth::Stopping => {
                health.health = rise;
                health.operational = if rise + fall - 1 > rise {
                    Operational::GoingDown
                } else {
                    Operational::Up
                };
            }
            ForcedHealth::Down => {
                health.health = 0;
                health.operational = Operational::Down;
            }
        }
        if check.is_none() && health.operational != Operational::Down {
            health.operational = Operational::NoCheck;
        }
        let is_up = !crate::health::is_down(health.operational);
        if was_up != is_up {
            crate::health::change_time(shared, &mut health, was_up);
        }
        (was_up, is_up)
    };
    if was_up != is_up {
        crate::health::changed(
            shared,
            backend,
            server,
            is_up,
            Some("changed from CLI"),
            "health forced by an operator",
            EventSource::Operator,
        );
    }
    Ok(String::new())
}

fn set_frontend(shared: &Shared, frontend: &Frontend, enabled: bool) -> Result<String, Refusal> {
    if frontend.enabled.swap(enabled, Relaxed) == enabled {
        return Err(Refusal::Invalid(
            if enabled {
                "Frontend is already enabled."
            } else {
                "Frontend is already disabled."
            }
            .to_owned(),
        ));
    }
    tell_operation(
        shared,
        &frontend.name,
        if enabled {
            "frontend enabled"
        } else {
            "frontend disabled"
        },
    );
    Ok(String::new())
}

fn tell_operation(shared: &Shared, subject: &str, change: &str) {
    shared.events.push(Event::now(
        EventSource::Operator,
        EventSeverity::Notice,
        EventKind::Operation,
        subject,
        change,
        "asked by an operator",
    ));
}
