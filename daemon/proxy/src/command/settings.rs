//! What operators set beyond the states of servers, kept for the next worker: limits, rates, closed frontends, where checks
//! and agents are asked. HAProxy forgets all of it at a reload; its state file knows servers alone.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use config::haproxy::ProxyConfig;
use protocol::operation::{GlobalRate, Operation, ServerName};
use protocol::snapshot::Setting;

use super::apply::{
    find, find_backend_with_cookie, find_frontend, put_agent_target, put_check_target, rate_slot,
};
use crate::app::Shared;

/// Most settings that are kept; the oldest goes first.
const MAX_SETTINGS: usize = 65_536;

/// The settings of a worker, the oldest first.
#[derive(Debug, Default)]
pub struct Settings(Mutex<Vec<Setting>>);

impl Settings {
    /// All of them.
    pub fn list(&self) -> Vec<Setting> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, operation: Operation, configured: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all
            .iter()
            .position(|other| same_subject(&other.operation, &operation))
            .map(|at| all.remove(at));
        if matches!(operation, Operation::FrontendEnabled { enabled: true, .. }) {
            return;
        }
        if all.len() >= MAX_SETTINGS {
            all.remove(0);
        }
        let (operation, configured) = match before {
            Some(before) => (merged(before.operation, operation), before.configured),
            None => (operation, configured),
        };
        all.push(Setting {
            operation,
            configured,
        });
    }
}

/// Keeps a change that was made, if it is a setting. `configured` is what [`configured`] said before it.
pub(super) fn remember(shared: &Shared, operation: &Operation, configured: Option<String>) {
    if let Some(configured) = configured {
        shared
            .settings
            .keep(with_names(shared, operation), configured);
    }
}

/// Sets what operators of the worker before had set, where the configuration still says what it said then.
pub fn take_over_settings(shared: &Shared, settings: &[Setting]) {
    for setting in settings {
        let now = configured(shared, &setting.operation);
        if now.as_ref() != Some(&setting.configured) || !put(shared, &setting.operation) {
            continue;
        }
        shared
            .settings
            .keep(setting.operation.clone(), setting.configured.clone());
    }
}

/// What the configuration says of the subject of a setting; nothing for what is none, or has no subject here.
pub(super) fn configured(shared: &Shared, operation: &Operation) -> Option<String> {
    let global = &shared.config.global;
    match operation {
        Operation::FrontendEnabled { frontend, .. } => {
            find_frontend(shared, frontend).ok().map(|_| String::new())
        }
        Operation::FrontendMaxconn { frontend, .. } => {
            let frontend = find_frontend(shared, frontend).ok()?;
            let proxy = shared.config.proxies.get(frontend.config_index)?;
            Some(format!("{:?}", proxy.maxconn))
        }
        Operation::GlobalMaxconn { .. } => Some(format!("{:?}", global.maxconn)),
        Operation::RateLimit { rate, .. } => Some(
            match rate {
                GlobalRate::Connections => global.max_connection_rate,
                GlobalRate::Sessions => global.max_session_rate,
                GlobalRate::TlsSessions => global.max_tls_rate,
            }
            .to_string(),
        ),
        Operation::ServerCheckTarget { server, .. } => {
            let (_, server) = find(shared, server).ok()?;
            let check = server.config.check.as_ref()?;
            Some(format!("{:?} {:?}", check.address, check.port))
        }
        Operation::ServerAgentTarget { server, .. } => {
            let (_, server) = find(shared, server).ok()?;
            Some(format!("{:?}", server.config.agent.as_ref()?))
        }
        Operation::ServerFqdn { server, .. } => {
            let (_, server) = find(shared, server).ok()?;
            Some(format!("{:?}", server.config.address))
        }
        Operation::DynamicCookies { backend, .. } => {
            let proxy = cookie_of(shared, backend)?;
            Some(format!("{:?}", proxy.cookie.as_ref()?.dynamic))
        }
        Operation::DynamicCookieKey { backend, .. } => Some(format!(
            "{:?}",
            cookie_of(shared, backend)?.dynamic_cookie_key
        )),
        _ => None,
    }
}

/// A backend's configuration, if it has a cookie.
fn cookie_of<'s>(shared: &'s Shared, backend: &str) -> Option<&'s ProxyConfig> {
    let backend = find_backend_with_cookie(shared, backend).ok()?;
    shared.config.proxies.get(backend.config_index)
}

/// Makes a setting silently; says whether it could be made.
fn put(shared: &Shared, operation: &Operation) -> bool {
    match operation {
        Operation::FrontendEnabled { frontend, enabled } => find_frontend(shared, frontend)
            .map(|frontend| frontend.enabled.store(*enabled, Relaxed))
            .is_ok(),
        Operation::FrontendMaxconn { frontend, maxconn } => find_frontend(shared, frontend)
            .map(|frontend| frontend.maxconn.store(*maxconn, Relaxed))
            .is_ok(),
        Operation::GlobalMaxconn { maxconn } => {
            shared.process.maxconn.store(u64::from(*maxconn), Relaxed);
            true
        }
        Operation::RateLimit { rate, limit } => {
            rate_slot(shared, *rate).0.store(*limit, Relaxed);
            true
        }
        Operation::ServerCheckTarget {
            server,
            address,
            port,
        } => find(shared, server)
            .map(|(_, server)| put_check_target(&server, *address, *port))
            .is_ok(),
        Operation::ServerAgentTarget {
            server,
            address,
            port,
            send,
        } => find(shared, server)
            .and_then(|(_, server)| put_agent_target(&server, *address, *port, send.as_ref()))
            .is_ok(),
        Operation::ServerFqdn { server, fqdn } => match find(shared, server) {
            Ok((backend, server)) if server.config.resolve.resolvers.is_some() => {
                let (backend, server) = (backend.id.0 as usize, server.id.0 as usize);
                shared.resolvers.rename(backend, server, fqdn.clone());
                true
            }
            _ => false,
        },
        Operation::DynamicCookies { backend, enabled } => find_backend_with_cookie(shared, backend)
            .map(|backend| backend.dynamic_cookies.store(*enabled, Relaxed))
            .is_ok(),
        Operation::DynamicCookieKey { backend, key } => find_backend_with_cookie(shared, backend)
            .map(|backend| {
                let key = Some(Arc::new(key.clone()));
                backend.dynamic_cookie_key.store(key);
            })
            .is_ok(),
        _ => false,
    }
}

/// The operation with its server by names: numbers may mean others in the next configuration.
fn with_names(shared: &Shared, operation: &Operation) -> Operation {
    let mut operation = operation.clone();
    if let Some(name) = server_of(&mut operation)
        && let Ok((backend, server)) = find(shared, name)
    {
        *name = ServerName {
            backend: backend.name.clone(),
            server: server.name.clone(),
        };
    }
    operation
}

fn server_of(operation: &mut Operation) -> Option<&mut ServerName> {
    match operation {
        Operation::ServerCheckTarget { server, .. }
        | Operation::ServerAgentTarget { server, .. }
        | Operation::ServerFqdn { server, .. } => Some(server),
        _ => None,
    }
}

/// Whether two settings are of one thing: the later one counts.
fn same_subject(one: &Operation, other: &Operation) -> bool {
    use Operation as O;
    match (one, other) {
        (O::FrontendEnabled { frontend: a, .. }, O::FrontendEnabled { frontend: b, .. })
        | (O::FrontendMaxconn { frontend: a, .. }, O::FrontendMaxconn { frontend: b, .. }) => {
            a == b
        }
        (O::DynamicCookies { backend: a, .. }, O::DynamicCookies { backend: b, .. })
        | (O::DynamicCookieKey { backend: a, .. }, O::DynamicCookieKey { backend: b, .. }) => {
            a == b
        }
        (O::GlobalMaxconn { .. }, O::GlobalMaxconn { .. }) => true,
        (O::RateLimit { rate: a, .. }, O::RateLimit { rate: b, .. }) => a == b,
        (O::ServerCheckTarget { server: a, .. }, O::ServerCheckTarget { server: b, .. })
        | (O::ServerAgentTarget { server: a, .. }, O::ServerAgentTarget { server: b, .. })
        | (O::ServerFqdn { server: a, .. }, O::ServerFqdn { server: b, .. }) => a == b,
        _ => false,
    }
}

/// A later change of the same thing leaves what it does not name.
fn merged(before: Operation, after: Operation) -> Operation {
    match (before, after) {
        (
            Operation::ServerCheckTarget {
                address: old_address,
                port: old_port,
                ..
            },
            Operation::ServerCheckTarget {
                server,
                address,
                port,
            },
        ) => Operation::ServerCheckTarget {
            server,
            address: address.or(old_address),
            port: port.or(old_port),
        },
        (
            Operation::ServerAgentTarget {
                address: old_address,
                port: old_port,
                send: old_send,
                ..
            },
            Operation::ServerAgentTarget {
                server,
                address,
                port,
                send,
            },
        ) => Operation::ServerAgentTarget {
            server,
            address: address.or(old_address),
            port: port.or(old_port),
            send: send.or(old_send),
        },
        (_, after) => after,
    }
}
