//! Servers that come and go while the worker runs: `add server`, `del server` (management manual, 9.3).
//!
//! A new server is complete (data path, checks, trackers) before anybody can choose it; one that is removed is out of
//! every list at once, and whoever still holds it finishes. A reload forgets both: the configuration is the truth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::Diagnostics;
use config::haproxy::{DynamicServer, ProxyConfig, ServerAddress, dynamic_server};
use protocol::operation::{Refusal, ServerAdmin, ServerName};
use protocol::snapshot::AdminCause;

use super::build::connector;
use super::{App, BackendRuntime, ServerRuntime, Shared};
use crate::command::{find_backend, find_server, tell_operation};
use crate::health::lock_health;
use crate::state::{Backend, BackendId, MAX_SERVERS, Server, ServerId};

/// Places of servers over all backends.
const MAX_PLACES: usize = 1 << 20;

fn invalid<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid(text.into()))
}

/// `add server BACKEND/NAME ADDRESS [OPTIONS]`: runs on the runtime that serves the control process.
pub fn add_server(app: &Arc<App>, name: &ServerName, words: &[String]) -> Result<String, Refusal> {
    let shared = &app.shared;
    let backend = find_backend(shared, &name.backend)?;
    let Some((back, proxy)) = parts(app, backend) else {
        return Err(Refusal::NoSuchBackend);
    };
    let read = dynamic_server(&shared.config, proxy, &name.server, words);
    let DynamicServer {
        mut config,
        enabled,
    } = read.map_err(Refusal::Invalid)?;
    let servers = backend.servers.table();
    if servers.iter().any(|server| server.config.nameless) {
        return invalid("Backend must use a dynamic load balancing to support dynamic servers.");
    }
    if let Some(other) = servers.iter().find(|server| server.sid == config.id) {
        return invalid(format!(
            "'id' : custom id {} already used by server '{}'.",
            config.id, other.name
        ));
    }
    if config.id == 0 {
        config.id = lowest_free(servers.iter().map(|server| server.sid).collect());
    }
    let tracked = match &config.track {
        Some(track) => Some(leader(shared, backend, &track.text)?),
        None => None,
    };
    if servers.iter().any(|server| server.name == name.server) {
        return invalid("Already exists a server with the same name in backend.");
    }
    drop(servers);
    let mut diagnostics = Diagnostics::default();
    // What can go wrong, goes wrong before it has a place.
    let connector = connector(&shared.config, proxy, &config, &mut diagnostics);
    let connectors = back.checks.connectors_of(&config, &mut diagnostics);
    if let Some(wrong) = diagnostics.0.first().filter(|_| diagnostics.has_errors()) {
        return invalid(format!("{}.", wrong.message));
    }
    let Some(server) = backend.add_server(|id| new_server(shared, backend, id, &config)) else {
        return invalid(format!("A backend can have {MAX_SERVERS} servers at most."));
    };
    let mut index = 0;
    let placed = app.servers.add(MAX_PLACES, |place| {
        index = place;
        Arc::clone(&server)
    });
    if placed.is_none() {
        backend.servers.remove(server.id.0 as usize);
        return invalid("There are too many servers.");
    }
    let runtime = ServerRuntime {
        server: Arc::clone(&server),
        index,
        connector,
    };
    back.servers.put(server.id.0 as usize, Arc::new(runtime));
    back.checks.set_connectors(server.id, connectors);
    if let Some(tracked) = tracked {
        crate::health::link(shared, (backend, &server), tracked);
        crate::health::follow_leader(shared, &server);
    }
    if config.check.is_some() || config.agent.is_some() {
        shared.health.server_came(backend.id, &server);
    }
    follow_shutdowns(shared, &server);
    if config.slowstart.is_some() {
        follow_ramp(shared, backend, &server);
    }
    if enabled {
        let usable_before = backend.is_available();
        let mut health = lock_health(&server);
        (health.admin, health.admin_cause) = (ServerAdmin::Ready, AdminCause::None);
        drop(health);
        server.publish();
        backend.servers_changed();
        crate::health::announce_backend(shared, backend, usable_before);
    }
    let subject = format!("{}/{}", backend.name, server.name);
    tell_operation(shared, &subject, "server added");
    Ok("New server registered.".to_owned())
}

/// `del server BACKEND/NAME`.
pub fn remove_server(app: &Arc<App>, name: &ServerName) -> Result<String, Refusal> {
    let shared = &app.shared;
    let (backend, server) = find_server(shared, name)?;
    let Some((back, _)) = parts(app, backend) else {
        return Err(Refusal::NoSuchBackend);
    };
    let is_resolved = server.config.resolve.resolvers.is_some();
    if server.is_referenced.load(Relaxed)
        || is_resolved
        || server.config.nameless
        || !crate::health::trackers(&server).is_empty()
    {
        return invalid(
            "This server cannot be removed at runtime due to other configuration elements pointing to it.",
        );
    }
    let admin = crate::health::effective_admin(&lock_health(&server));
    if admin != ServerAdmin::Maint {
        return invalid("Only servers in maintenance mode can be deleted.");
    }
    if !back.admission.remove(&server) {
        return invalid("Server still has connections attached to it, cannot remove it.");
    }
    let place = server.id.0 as usize;
    if let Some(runtime) = back.servers.remove(place) {
        app.servers.remove(runtime.index);
    }
    back.checks.set_connectors(server.id, Vec::new());
    crate::health::unlink(shared, (backend, &server));
    shared.health.server_left(&server);
    // The algorithm lets go of it now, before its place can be another's.
    backend.servers_changed();
    back.balancer.begin(backend);
    // Unused connections to it are closed: here at once, by the other threads within a second.
    crate::server::drop_idle(&app.servers.now(), shared.clock.now_us());
    server.shutdown.notify_waiters();
    let subject = format!("{}/{}", backend.name, server.name);
    tell_operation(shared, &subject, "server removed");
    Ok("Server deleted.".to_owned())
}

fn parts<'a>(
    app: &'a App,
    backend: &Backend,
) -> Option<(&'a Arc<BackendRuntime>, &'a ProxyConfig)> {
    let back = app.backends.get(backend.id.0 as usize)?;
    let proxy = app.shared.config.proxies.get(backend.config_index)?;
    Some((back, proxy))
}

/// In maintenance, its checks and agent not asked before an operator enables them.
fn new_server(
    shared: &Shared,
    backend: &Backend,
    id: ServerId,
    config: &config::haproxy::ServerConfig,
) -> Server {
    let address = match &config.address {
        ServerAddress::Host {
            host,
            port,
            relative,
        } => {
            let port = if *relative { 0 } else { *port };
            // As with `init-addr none`: a name is not resolved.
            host.parse().ok().map(|ip| SocketAddr::new(ip, port))
        }
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
    };
    let name = backend.name.clone();
    let server = Server::new(id, name, config.clone(), address, shared.clock.now_ms());
    {
        let mut health = lock_health(&server);
        health.admin = ServerAdmin::Maint;
        health.admin_cause = match config.disabled {
            true => AdminCause::Configuration,
            false => AdminCause::Operator,
        };
        health.checks_enabled = false;
        if let Some(agent) = &mut health.agent {
            agent.enabled = false;
        }
    }
    server.publish();
    server
}

fn lowest_free(mut taken: Vec<u32>) -> u32 {
    taken.sort_unstable();
    let mut free = 1;
    for number in taken {
        if number == free {
            free += 1;
        }
    }
    free
}

/// The server of the configuration that a new one is to track.
fn leader(
    shared: &Shared,
    backend: &Backend,
    track: &str,
) -> Result<(BackendId, ServerId), Refusal> {
    let (their, name) = match track.split_once('/') {
        None => (backend, track),
        Some((proxy, name)) => match shared.backend(proxy) {
            Some(their) => (&**their, name),
            None => {
                return invalid(format!(
                    "unable to find required proxy '{proxy}' for tracking."
                ));
            }
        },
    };
    let servers = their.servers.now();
    let Some(server) = servers.iter().find(|server| server.name == name) else {
        return invalid(format!(
            "unable to find required server '{name}' for tracking."
        ));
    };
    let subject = format!("unable to use {}/{name} for tracking", their.name);
    let configured = shared.config.proxies.get(their.config_index);
    let is_configured = |proxy: &ProxyConfig| {
        let mut lines = proxy.servers.iter();
        lines.any(|line| line.id == server.sid && line.name.text == name)
    };
    if !configured.is_some_and(is_configured) {
        return invalid(format!("{subject} as it is a dynamic server."));
    }
    let config = &server.config;
    if config.check.is_none() && config.agent.is_none() && config.track.is_none() {
        return invalid(format!(
            "{subject} as it does not have any check nor agent enabled."
        ));
    }
    Ok((their.id, server.id))
}

/// Wakes the sessions of a server when they are shut down, for as long as there is the server.
pub(super) fn follow_shutdowns(shared: &Arc<Shared>, server: &Arc<Server>) {
    let (shared, server) = (Arc::clone(shared), Arc::clone(server));
    tokio::task::spawn_local(async move {
        while !server.is_removed.load(Relaxed) {
            server.shutdown.notified().await;
            // Sessions compare the server's generation when they wake.
            shared.sessions.wake_all();
        }
    });
}

/// `slowstart` of a server that came at run time.
fn follow_ramp(shared: &Shared, backend: &Arc<Backend>, server: &Arc<Server>) {
    let (clock, backend, server) = (shared.clock, Arc::clone(backend), Arc::clone(server));
    tokio::task::spawn_local(async move {
        let mut steps = tokio::time::interval(super::run::RAMP_STEP);
        while !server.is_removed.load(Relaxed) {
            steps.tick().await;
            if server.ramp_up(clock.now_ms()) {
                backend.servers_changed();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::lowest_free;

    #[test]
    fn a_new_server_has_the_lowest_number_that_is_free() {
        assert_eq!(lowest_free(vec![]), 1);
        assert_eq!(lowest_free(vec![3, 1, 77]), 2);
        assert_eq!(lowest_free(vec![2, 1, 3]), 4);
    }
}
