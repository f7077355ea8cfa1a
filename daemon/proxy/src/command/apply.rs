//! The one place where an operator's changes are made: for text commands, typed requests and the statistics page.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::{GlobalRate, Operation, Refusal, ServerAdmin, ServerName, WeightChange};
use protocol::snapshot::AdminCause;

use super::settings;
use crate::app::Shared;
use crate::health::admin::{Author, force_agent, force_health, set_admin, set_user_weight};
use crate::health::lock_health;
use crate::state::{AgentHealth, Backend, Frontend, Server};

/// Largest weight (manual, `weight`).
const MAX_WEIGHT: u32 = 256;

/// Makes a change; the answer is HAProxy's text, which is mostly empty.
pub fn apply(shared: &Shared, operation: &Operation) -> Result<String, Refusal> {
    let configured = settings::configured(shared, operation);
    let done = change(shared, operation)?;
    settings::remember(shared, operation, configured);
    Ok(done)
}

fn change(shared: &Shared, operation: &Operation) -> Result<String, Refusal> {
    match operation {
        Operation::ServerState { server, state } => {
            let (backend, server) = find(shared, server)?;
            set_admin(shared, backend, &server, *state, Author::Operator);
            Ok(String::new())
        }
        Operation::ServerWeight { server, weight } => {
            let (backend, server) = find(shared, server)?;
            set_weight(shared, backend, &server, *weight)
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
            Ok(set_address(shared, backend, &server, new, port.is_some()))
        }
        Operation::ServerFqdn { server, fqdn } => {
            let (backend, server) = find(shared, server)?;
            set_name(shared, backend, &server, fqdn)
        }
        Operation::ServerHealth { server, health } => {
            let (backend, server) = find(shared, server)?;
            if server.tracked.get().is_some() {
                return Err(Refusal::Invalid(
                    "cannot change health on a tracking server.".to_owned(),
                ));
            }
            force_health(shared, backend, &server, *health);
            Ok(String::new())
        }
        Operation::ServerAgent { server, enabled } => {
            let (backend, server) = find(shared, server)?;
            if !*enabled && server.config.agent.is_none() {
                return Ok(String::new());
            }
            change_agent(&server, |agent| {
                // What it said last still counts.
                agent.enabled = *enabled;
            })?;
            server.publish();
            backend.servers_changed();
            let change = match enabled {
                true => "agent enabled",
                false => "agent disabled",
            };
            tell_operation(shared, &format!("{}/{}", backend.name, server.name), change);
            Ok(String::new())
        }
        Operation::ServerAgentHealth { server, up } => {
            let (backend, server) = find(shared, server)?;
            change_agent(&server, |_| {})?;
            force_agent(shared, backend, &server, *up);
            Ok(String::new())
        }
        Operation::ServerCheckTarget {
            server,
            address,
            port,
        } => {
            let (backend, server) = find(shared, server)?;
            if server.config.check.is_none() {
                return Err(Refusal::Invalid(
                    "health checks are not enabled on this server".to_owned(),
                ));
            }
            put_check_target(&server, *address, *port);
            let change = target_words("checked at", *address, *port);
            tell_operation(
                shared,
                &format!("{}/{}", backend.name, server.name),
                &change,
            );
            Ok(String::new())
        }
        Operation::ServerAgentTarget {
            server,
            address,
            port,
            send,
        } => {
            let (backend, server) = find(shared, server)?;
            put_agent_target(&server, *address, *port, send.as_ref())?;
            let change = match send {
                Some(_) => "what its agent is sent".to_owned(),
                None => target_words("agent asked at", *address, *port),
            };
            tell_operation(
                shared,
                &format!("{}/{}", backend.name, server.name),
                &change,
            );
            Ok(String::new())
        }
        Operation::ServerChecks { server, enabled } => {
            let (backend, server) = find(shared, server)?;
            if server.config.check.is_none() && !*enabled {
                return Ok(String::new());
            }
            if server.config.check.is_none() {
                return Err(Refusal::Invalid(
                    "Health checks are not configured on this server, cannot enable.".to_owned(),
                ));
            }
            lock_health(&server).checks_enabled = *enabled;
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
            crate::health::shut_sessions(&server, false);
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
        Operation::RateLimit { rate, limit } => {
            let (slot, word) = rate_slot(shared, *rate);
            let before = slot.swap(*limit, Relaxed);
            let change = format!("rate-limit {word} {before} -> {limit}");
            tell_operation(shared, "worker", &change);
            Ok(String::new())
        }
        Operation::ClearCounters { all } => {
            crate::stats::clear(shared, *all);
            Ok(String::new())
        }
        Operation::DynamicCookies { backend, enabled } => {
            let backend = find_backend_with_cookie(shared, backend)?;
            backend.dynamic_cookies.store(*enabled, Relaxed);
            let change = match enabled {
                true => "dynamic cookies enabled",
                false => "dynamic cookies disabled",
            };
            tell_operation(shared, &backend.name, change);
            Ok(String::new())
        }
        Operation::DynamicCookieKey { backend, key } => {
            let backend = find_backend_with_cookie(shared, backend)?;
            let key = Some(Arc::new(key.clone()));
            backend.dynamic_cookie_key.store(key);
            tell_operation(
                shared,
                &backend.name,
                "dynamic cookies are made of another key",
            );
            Ok(String::new())
        }
        Operation::AddServer { .. }
        | Operation::RemoveServer { .. }
        | Operation::VrrpFailover { .. }
        | Operation::VrrpFailback { .. }
        | Operation::Reload => Err(Refusal::Invalid(
            "the worker does not do this operation here".to_owned(),
        )),
    }
}

/// Where a rate's limit is, and its word.
pub(super) fn rate_slot(shared: &Shared, rate: GlobalRate) -> (&AtomicU32, &'static str) {
    let process = &shared.process;
    match rate {
        GlobalRate::Connections => (&process.connection_rate_limit, "connections"),
        GlobalRate::Sessions => (&process.session_rate_limit, "sessions"),
        GlobalRate::TlsSessions => (&process.tls_rate_limit, "ssl-sessions"),
    }
}

/// `set server … check-addr`, `check-port`.
pub(super) fn put_check_target(server: &Server, address: Option<IpAddr>, port: Option<u16>) {
    let mut health = lock_health(server);
    health.check_address = address.or(health.check_address);
    health.check_port = port.or(health.check_port);
}

/// `set server … agent-addr`, `agent-port`, `agent-send`; refused without an agent.
pub(super) fn put_agent_target(
    server: &Server,
    address: Option<IpAddr>,
    port: Option<u16>,
    send: Option<&String>,
) -> Result<(), Refusal> {
    change_agent(server, |agent| {
        agent.address = address.or(agent.address);
        agent.port = port.unwrap_or(agent.port);
        if let Some(send) = send {
            agent.send.clone_from(send);
        }
    })
}

pub(crate) fn find<'s>(
    shared: &'s Shared,
    name: &ServerName,
) -> Result<(&'s Arc<Backend>, Arc<Server>), Refusal> {
    let backend = find_backend(shared, &name.backend)?;
    let servers = backend.servers.now();
    let by_name = servers.iter().find(|server| server.name == name.server);
    let found = by_name.or_else(|| {
        by_number(&name.server, |id| {
            servers.iter().find(|server| server.sid == id)
        })
    });
    Ok((backend, found.cloned().ok_or(Refusal::NoSuchServer)?))
}

pub(crate) fn find_backend<'s>(
    shared: &'s Shared,
    name: &str,
) -> Result<&'s Arc<Backend>, Refusal> {
    let by_number = || by_number(name, |id| shared.backends.iter().find(|one| one.iid == id));
    let found = shared.backend(name).or_else(by_number);
    found.ok_or(Refusal::NoSuchBackend)
}

/// `#N` names a proxy or a server by its number (manual 9.3).
fn by_number<T>(name: &str, find: impl FnOnce(u32) -> Option<T>) -> Option<T> {
    name.strip_prefix('#')?.parse().ok().and_then(find)
}

pub(super) fn find_frontend<'s>(
    shared: &'s Shared,
    name: &str,
) -> Result<&'s Arc<Frontend>, Refusal> {
    shared.frontend(name).ok_or(Refusal::NoSuchFrontend)
}

/// HAProxy takes commands for dynamic cookies where there is no `cookie`, without effect; here that is refused.
pub(super) fn find_backend_with_cookie<'s>(
    shared: &'s Shared,
    name: &str,
) -> Result<&'s Arc<Backend>, Refusal> {
    let backend = shared
        .backends
        .iter()
        .find(|backend| backend.name == name)
        .ok_or(Refusal::NoSuchBackend)?;
    let proxy = shared.config.proxies.get(backend.config_index);
    if proxy.is_none_or(|proxy| proxy.cookie.is_none()) {
        return Err(Refusal::Invalid(format!(
            "Backend '{name}' has no 'cookie' line: dynamic cookies would change nothing."
        )));
    }
    Ok(backend)
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
            // Management manual, `set weight`: relative weights end at 256.
            (u64::from(initial) * u64::from(percent) / 100).min(u64::from(MAX_WEIGHT)) as u32
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
    set_user_weight(shared, backend, server, new, Author::Operator);
    Ok(String::new())
}

/// `checked at 10.0.0.1 port 80`.
fn target_words(what: &str, address: Option<IpAddr>, port: Option<u16>) -> String {
    let address = address.map_or(String::new(), |address| format!(" {address}"));
    let port = port.map_or(String::new(), |port| format!(" port {port}"));
    format!("{what}{address}{port}")
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

/// HAProxy's words for what was asked: of a port they speak only if one was named.
fn set_address(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    new: SocketAddr,
    names_port: bool,
) -> String {
    let before = server.address.load().as_deref().copied();
    let is_new_ip = before.is_none_or(|old| old.ip() != new.ip());
    let is_new_port = before.map_or(0, |old| old.port()) != new.port();
    let mut parts = Vec::new();
    parts.push(match before {
        _ if !is_new_ip => "no need to change the addr".to_owned(),
        Some(old) => format!("IP changed from '{}' to '{}'", old.ip(), new.ip()),
        None => format!("IP changed from '(none)' to '{}'", new.ip()),
    });
    if is_new_port {
        let old = before.map_or(0, |old| old.port());
        parts.push(format!("port changed from '{old}' to '{}'", new.port()));
    } else if names_port {
        parts.push("no need to change the port".to_owned());
    }
    let text = format!("{} by 'stats socket command'", parts.join(", "));
    if !is_new_ip && !is_new_port {
        return text;
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
    shared.reports.tell(
        backend.config_index,
        LogLevel::Notice,
        &format!("{}/{}: {text}", backend.name, server.name),
    );
    parts.retain(|part| !part.starts_with("no need"));
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

/// What asks for the agent of a server that has none.
fn no_agent() -> Refusal {
    Refusal::Invalid("agent checks are not enabled on this server.".to_owned())
}

/// Changes what a server's agent is; refused without one.
fn change_agent(server: &Server, change: impl FnOnce(&mut AgentHealth)) -> Result<(), Refusal> {
    let mut health = lock_health(server);
    let agent = health.agent.as_mut().ok_or_else(no_agent)?;
    change(agent);
    Ok(())
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

pub(crate) fn tell_operation(shared: &Shared, subject: &str, change: &str) {
    shared.events.push(Event::now(
        EventSource::Operator,
        EventSeverity::Notice,
        EventKind::Operation,
        subject,
        change,
        "asked by an operator",
    ));
}
