//! What expressions look at: the names of a configuration when they are compiled, and the session,
//! transaction and surroundings when they run.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use config::haproxy::{HaproxyConfig, ProxyConfig};

use crate::pattern::Registry;
use crate::state::{Backend, BackendId, Frontend, FrontendId, ServerId};
use crate::txn::{Session, Transaction};

/// Names of a configuration's backends, servers and frontends, with their indices.
///
/// Frontends and backends are numbered in order of appearance, each among their kind; a `listen` is both.
#[derive(Clone, Debug, Default)]
pub struct Names {
    backends: HashMap<String, BackendId>,
    frontends: HashMap<String, FrontendId>,
    servers: HashMap<(BackendId, String), ServerId>,
    patterns: Arc<Registry>,
    /// Servers that expressions name.
    asked: Arc<Mutex<HashSet<(BackendId, ServerId)>>>,
}

impl Names {
    /// The names of a configuration.
    pub fn of(config: &HaproxyConfig) -> Self {
        let mut names = Self::default();
        let (mut backend, mut frontend) = (0, 0);
        for proxy in &config.proxies {
            if proxy.kind.is_frontend() {
                names
                    .frontends
                    .insert(proxy.name.text.clone(), FrontendId(frontend));
                frontend += 1;
            }
            if proxy.kind.is_backend() {
                let id = BackendId(backend);
                names.backends.insert(proxy.name.text.clone(), id);
                for (index, server) in proxy.servers.iter().enumerate() {
                    names
                        .servers
                        .insert((id, server.name.text.clone()), ServerId(index as u32));
                }
                backend += 1;
            }
        }
        names
    }

    /// A backend by its name.
    pub fn backend(&self, name: &str) -> Option<BackendId> {
        self.backends.get(name).copied()
    }

    /// A frontend by its name.
    pub fn frontend(&self, name: &str) -> Option<FrontendId> {
        self.frontends.get(name).copied()
    }

    /// A server of a backend by its name.
    pub fn server(&self, backend: BackendId, name: &str) -> Option<ServerId> {
        let id = self.servers.get(&(backend, name.to_owned())).copied()?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert((backend, id));
        Some(id)
    }

    /// Servers that were asked for by [`Names::server`].
    pub fn asked_servers(&self) -> Vec<(BackendId, ServerId)> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().copied().collect()
    }

    /// Lists of patterns and maps, filled while lines are compiled.
    pub fn patterns(&self) -> &Arc<Registry> {
        &self.patterns
    }

    /// All backends' names, for suggestions.
    pub fn backend_names(&self) -> impl Iterator<Item = &str> {
        self.backends.keys().map(String::as_str)
    }
}

/// Where an expression is compiled.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The whole configuration, for user lists.
    pub config: &'a HaproxyConfig,
    /// The proxy whose line it is.
    pub proxy: &'a ProxyConfig,
    /// Names of backends and servers.
    pub names: &'a Names,
}

/// What expressions see of the worker besides the session.
#[derive(Debug, Default)]
pub struct Environment {
    /// The node's name.
    pub node: String,
    /// The worker's process id as logs show it.
    pub pid: u32,
    /// Frontends by [`FrontendId`].
    pub frontends: Vec<Arc<Frontend>>,
    /// Backends by [`BackendId`].
    pub backends: Vec<Arc<Backend>>,
}

impl Environment {
    /// A backend by its index.
    pub fn backend(&self, id: BackendId) -> Option<&Arc<Backend>> {
        self.backends.get(id.0 as usize)
    }
}

/// What an expression sees when it runs.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The client's connection.
    pub session: &'a Session,
    /// The request and its answer.
    pub txn: &'a Transaction,
    /// The rest of the worker.
    pub environment: &'a Environment,
    /// Microseconds of the worker's clock.
    pub now_us: u64,
}
