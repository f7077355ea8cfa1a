//! The tasks of resolutions: one a name, kind and section. Servers of the same name share one. All of them live on one
//! runtime; nothing is held over an await.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::haproxy::{ServerAddress, ServerConfig};
use tokio::time::Instant;

use super::change;
use super::message::{Answer, Kind, Service};
use super::records::{Records, Wanting, deal};
use super::transport::{Outcome, resolve};
use crate::app::Shared;
use crate::state::{Backend, Server};

/// A server by the indices of its backend and of itself.
type Place = (usize, usize);

/// What makes a resolution the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    section: usize,
    name: String,
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wanted {
    /// Addresses, of the preferred family first.
    Addresses { prefer_ipv4: bool },
    /// SRV records.
    Services,
}

/// A name with what is known of it and the servers that want it.
struct Resolution {
    members: Vec<Place>,
    addresses: Records<IpAddr>,
    services: Records<Service>,
    task: tokio::task::AbortHandle,
}

/// All resolutions.
struct Engine {
    shared: Arc<Shared>,
    resolutions: RefCell<HashMap<Key, Resolution>>,
    /// The record that each server of services serves.
    records: RefCell<HashMap<Place, Service>>,
}

/// Starts resolving the names of all servers that have `resolvers`, on this runtime.
pub fn start(shared: &Arc<Shared>) {
    let engine = Rc::new(Engine {
        shared: Arc::clone(shared),
        resolutions: RefCell::default(),
        records: RefCell::default(),
    });
    for (at, backend) in shared.backends.iter().enumerate() {
        for (index, server) in backend.servers.now().iter().enumerate() {
            if let Some(key) = engine.key_of(server) {
                engine.adopt(&key, (at, index), server);
                engine.join(key, (at, index));
            }
        }
    }
    tokio::task::spawn_local(async move {
        loop {
            engine.shared.resolvers.asked.notified().await;
            for rename in engine.shared.resolvers.take_renames() {
                engine.rename((rename.backend, rename.server), &rename.name);
            }
        }
    });
}

/// The name that a server's line says, if it is one.
fn written_name(config: &ServerConfig) -> Option<&str> {
    match &config.address {
        ServerAddress::Host { host, .. } if host.parse::<IpAddr>().is_err() => Some(host),
        _ => None,
    }
}

impl Engine {
    /// What a server's line asks for.
    fn key_of(&self, server: &Server) -> Option<Key> {
        let name = written_name(&server.config)?;
        self.key(&server.config, name)
    }

    fn key(&self, config: &ServerConfig, name: &str) -> Option<Key> {
        let resolve = &config.resolve;
        let section = self
            .shared
            .resolvers
            .section(&resolve.resolvers.as_ref()?.text)?;
        Some(Key {
            section,
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            wanted: if name.starts_with('_') {
                Wanted::Services
            } else {
                Wanted::Addresses {
                    prefer_ipv4: resolve.prefer_ipv4,
                }
            },
        })
    }

    fn server(&self, place: Place) -> Option<(&Arc<Backend>, Arc<Server>)> {
        let backend = self.shared.backends.get(place.0)?;
        Some((backend, backend.servers.get(place.1)?))
    }

    /// A server of services that an earlier worker had given a host and a port keeps them until an answer says otherwise.
    fn adopt(self: &Rc<Self>, key: &Key, place: Place, server: &Server) {
        if key.wanted != Wanted::Services {
            return;
        }
        let address = server.address.load().as_deref().copied();
        let (Some(name), Some(address)) = (server.fqdn.load_full(), address) else {
            return;
        };
        let weight = server.user_weight.load(Relaxed) * 256;
        let service = Service {
            target: (*name).clone(),
            port: address.port(),
            weight: u16::try_from(weight).unwrap_or(u16::MAX),
        };
        self.records.borrow_mut().insert(place, service);
        if let Some(key) = self.key(&server.config, &name) {
            self.join(key, place);
        }
    }

    /// Lets a server wait for a name; the first one starts the task.
    fn join(self: &Rc<Self>, key: Key, place: Place) {
        let mut resolutions = self.resolutions.borrow_mut();
        if let Some(resolution) = resolutions.get_mut(&key) {
            if !resolution.members.contains(&place) {
                resolution.members.push(place);
                resolution.members.sort_unstable();
            }
            // What is known already serves at once.
            drop(resolutions);
            self.deal_addresses(&key, "DNS cache");
            return;
        }
        let now_ms = self.shared.clock.now_ms();
        let task = tokio::task::spawn_local(Rc::clone(self).follow(key.clone())).abort_handle();
        let resolution = Resolution {
            members: vec![place],
            addresses: Records::new(now_ms),
            services: Records::new(now_ms),
            task,
        };
        resolutions.insert(key, resolution);
    }

    /// Takes a server away from a name; the last one ends the task.
    fn leave(&self, key: &Key, place: Place) {
        let mut resolutions = self.resolutions.borrow_mut();
        let Some(resolution) = resolutions.get_mut(key) else {
            return;
        };
        resolution.members.retain(|member| *member != place);
        if resolution.members.is_empty()
            && let Some(resolution) = resolutions.remove(key)
        {
            resolution.task.abort();
        }
    }

    /// Resolves a name again and again, every `timeout resolve`.
    async fn follow(self: Rc<Self>, key: Key) {
        let kinds: &[Kind] = match key.wanted {
            Wanted::Services => &[Kind::Srv],
            Wanted::Addresses { prefer_ipv4: true } => &[Kind::A, Kind::Aaaa],
            Wanted::Addresses { prefer_ipv4: false } => &[Kind::Aaaa, Kind::A],
        };
        let period = self.shared.resolvers.sections[key.section]
            .config
            .timeout_resolve;
        loop {
            let (outcome, asked_at) = resolve(&self.shared, key.section, &key.name, kinds).await;
            self.apply(&key, outcome);
            tokio::time::sleep_until((asked_at + period).max(Instant::now() + MIN_PAUSE)).await;
        }
    }

    /// What an answer means for the servers of a name.
    fn apply(self: &Rc<Self>, key: &Key, outcome: Outcome) {
        let now_ms = self.shared.clock.now_ms();
        let section = &self.shared.resolvers.sections[key.section];
        let hold = section.config.hold;
        let (error_hold, reason) = match outcome {
            Outcome::Answered(Answer::Addresses(found), by) => {
                if let Some(resolution) = self.resolutions.borrow_mut().get_mut(key) {
                    let records = &mut resolution.addresses;
                    records.answered(now_ms, found, hold.obsolete, |a, b| a == b);
                }
                let server = &section.servers[by];
                let by = format!("{}/{}", section.config.name.text, server.name);
                for _ in 0..self.deal_addresses(key, &by) {
                    server.counters.updates.increment();
                }
                return;
            }
            Outcome::Answered(Answer::Services(found), _) => {
                if let Some(resolution) = self.resolutions.borrow_mut().get_mut(key) {
                    let same =
                        |a: &Service, b: &Service| (&a.target, a.port) == (&b.target, b.port);
                    let records = &mut resolution.services;
                    records.answered(now_ms, found, hold.obsolete, same);
                }
                self.deal_services(key);
                return;
            }
            Outcome::Answered(Answer::Nx, _) => (hold.nx, "DNS NX status"),
            Outcome::Answered(Answer::Refused, _) => (hold.refused, "DNS refused status"),
            Outcome::Answered(Answer::Empty | Answer::Truncated | Answer::Other, _) => {
                (hold.other, "unspecified DNS error")
            }
            Outcome::Silence => (hold.timeout, "DNS timeout status"),
        };
        let members = {
            let mut resolutions = self.resolutions.borrow_mut();
            let Some(resolution) = resolutions.get_mut(key) else {
                return;
            };
            let over = match key.wanted {
                Wanted::Services => resolution.services.failed(now_ms, error_hold),
                Wanted::Addresses { .. } => resolution.addresses.failed(now_ms, error_hold),
            };
            if !over {
                return;
            }
            resolution.members.clone()
        };
        for place in members {
            match key.wanted {
                Wanted::Services => self.drop_record(place, reason),
                Wanted::Addresses { .. } => self.drop_address(place, reason),
            }
        }
    }

    fn drop_address(&self, place: Place, reason: &str) {
        if let Some((backend, server)) = self.server(place)
            && !server.is_pinned.load(Relaxed)
        {
            change::lose_address(&self.shared, backend, &server, reason);
        }
    }

    /// Gives the addresses of a name to its servers; says how many servers changed.
    fn deal_addresses(&self, key: &Key, by: &str) -> usize {
        let (addresses, members) = {
            let resolutions = self.resolutions.borrow();
            let Some(resolution) = resolutions.get(key) else {
                return 0;
            };
            let addresses: Vec<IpAddr> = resolution.addresses.iter().copied().collect();
            (addresses, resolution.members.clone())
        };
        if addresses.is_empty() {
            return 0;
        }
        // An address that an operator gave stays until the server gets another name.
        let members: Vec<(Place, &Arc<Backend>, Arc<Server>)> = members
            .into_iter()
            .filter_map(|place| {
                self.server(place)
                    .map(|(backend, server)| (place, backend, server))
            })
            .filter(|(.., server)| !server.is_pinned.load(Relaxed))
            .collect();
        let records = self.records.borrow();
        // Services on one host differ by their ports: they share its address.
        let config = |place: &Place, server: &Arc<Server>| {
            let mut config = server.config.resolve.clone();
            config.allow_duplicates |= records.contains_key(place);
            config
        };
        let configs: Vec<_> = members
            .iter()
            .map(|(place, _, server)| config(place, server))
            .collect();
        let wanting: Vec<Wanting<'_>> = members
            .iter()
            .zip(&configs)
            .map(|((place, _, server), config)| Wanting {
                backend: place.0,
                current: server.address.load().as_deref().map(SocketAddr::ip),
                config,
            })
            .collect();
        let mut changed = 0;
        for ((place, backend, server), dealt) in members.iter().zip(deal(&addresses, &wanting)) {
            let Some(ip) = dealt else {
                // HAProxy's words, its blank included.
                change::lose_address(&self.shared, backend, server, "No IP for server ");
                continue;
            };
            let port = match (records.get(place), &server.config.address) {
                (Some(service), _) => service.port,
                (
                    None,
                    ServerAddress::Host {
                        port,
                        relative: false,
                        ..
                    },
                ) => *port,
                _ => 0,
            };
            // The first one has it from the answer, the others from what is known.
            let by = if changed == 0 { by } else { "DNS cache" };
            let new = SocketAddr::new(ip, port);
            changed += usize::from(change::set_address(&self.shared, backend, server, new, by));
        }
        changed
    }

    /// Gives the records of a name of services to the servers of each backend that wants it.
    fn deal_services(self: &Rc<Self>, key: &Key) {
        let (services, members) = {
            let resolutions = self.resolutions.borrow();
            let Some(resolution) = resolutions.get(key) else {
                return;
            };
            let services: Vec<Service> = resolution.services.iter().cloned().collect();
            (services, resolution.members.clone())
        };
        for place in &members {
            let known = self.records.borrow().get(place).cloned();
            let Some(known) = known else { continue };
            let found = services
                .iter()
                .find(|found| (&found.target, found.port) == (&known.target, known.port));
            match found {
                None => self.drop_record(*place, "entry removed from SRV record"),
                Some(found) => {
                    let before = self.records.borrow_mut().insert(*place, found.clone());
                    if before.is_none_or(|before| before.weight != found.weight) {
                        self.weigh(*place, found);
                    }
                }
            }
        }
        let mut backends: Vec<usize> = members.iter().map(|place| place.0).collect();
        backends.dedup();
        for backend in backends {
            let own: Vec<Place> = members
                .iter()
                .copied()
                .filter(|place| place.0 == backend)
                .collect();
            let mut free = own
                .iter()
                .filter(|place| !self.records.borrow().contains_key(place))
                .copied()
                .collect::<Vec<_>>()
                .into_iter();
            for service in &services {
                let is_served = own.iter().any(|place| {
                    self.records.borrow().get(place).is_some_and(|known| {
                        (&known.target, known.port) == (&service.target, service.port)
                    })
                });
                if is_served {
                    continue;
                }
                // More records than servers: the rest is left out, as the template says how many.
                let Some(place) = free.next() else { break };
                self.give_record(place, service);
            }
        }
    }

    fn give_record(self: &Rc<Self>, place: Place, service: &Service) {
        let Some((backend, server)) = self.server(place) else {
            return;
        };
        self.records.borrow_mut().insert(place, service.clone());
        change::set_name(&self.shared, backend, &server, Some(&service.target));
        self.weigh(place, service);
        if let Some(key) = self.key(&server.config, &service.target) {
            self.join(key, place);
        }
    }

    fn weigh(&self, place: Place, service: &Service) {
        if let Some((backend, server)) = self.server(place)
            && !server.config.resolve.ignore_weight
        {
            change::set_weight(&self.shared, backend, &server, service.weight);
        }
    }

    fn drop_record(&self, place: Place, reason: &str) {
        let Some((backend, server)) = self.server(place) else {
            return;
        };
        let known = self.records.borrow_mut().remove(&place);
        if let Some(key) = known.and_then(|known| self.key(&server.config, &known.target)) {
            self.leave(&key, place);
        }
        change::lose_address(&self.shared, backend, &server, reason);
        change::set_name(&self.shared, backend, &server, None);
    }

    /// `set server B/S fqdn NAME`.
    fn rename(self: &Rc<Self>, place: Place, name: &str) {
        let Some((_, server)) = self.server(place) else {
            return;
        };
        let before = server.fqdn.load_full();
        let before = before.as_deref().map(String::as_str);
        if let Some(old) = before.and_then(|old| self.key(&server.config, old)) {
            self.leave(&old, place);
        }
        server.fqdn.store(Some(Arc::new(name.to_owned())));
        server.is_pinned.store(false, Relaxed);
        if let Some(key) = self.key(&server.config, name) {
            self.join(key, place);
        }
    }
}

/// The shortest pause between two resolutions of a name.
const MIN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
