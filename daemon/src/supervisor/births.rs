//! What each child is born with: its setup, its sockets, and its channels to the others.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::process::{Role, ToChild};
use protocol::wire;

use super::child::Child;
use super::listeners::{self, FileAccess, Listeners, describe};
use super::{DEFAULT_SOCKET, Supervisor};
use crate::configuration::Configuration;
use crate::{control, version};

/// A file that was made here and goes with the daemon.
pub(super) struct OwnFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl OwnFile {
    /// One that is there now.
    pub(super) fn new(path: PathBuf) -> Self {
        let inode = std::fs::metadata(&path).ok().map(|file| file.ino());
        Self { path, inode }
    }

    /// Removes it, unless another file has its name by now: that of a daemon that took over.
    pub(super) fn remove(&self) {
        let now = std::fs::metadata(&self.path).ok().map(|file| file.ino());
        if now == self.inode {
            // An operator may have removed it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Stands for the worker's own process id in its setup.
const OWN_PID: u32 = 0;

impl Supervisor {
    /// Starts a worker or vrrp with a channel to control.
    pub(super) fn start_peer(
        &mut self,
        role: Role,
        setup: Vec<u8>,
        listeners: Vec<Arc<OwnedFd>>,
    ) -> std::io::Result<u32> {
        let (theirs, for_control) = sys::channel::pair()?;
        let mut descriptors = vec![Arc::new(theirs)];
        descriptors.extend(listeners);
        let child = Child::start(
            role,
            setup,
            descriptors,
            &self.happenings,
            &self.environment,
            &mut self.nursery,
        )?;
        let pid = child.pid;
        self.children.insert(pid, child);
        if let Some(control) = self.current(Role::Control) {
            control.tell_with(&ToChild::Peer { role, pid }, vec![Arc::new(for_control)]);
        }
        Ok(pid)
    }

    pub(super) fn start_worker(
        &mut self,
        configuration: &Configuration,
        listeners: &Listeners,
    ) -> std::io::Result<Option<u32>> {
        let Some(haproxy) = &configuration.haproxy else {
            return Ok(None);
        };
        // The log of HAProxy names the process that was started, and the worker where there is a master.
        let master = self.arguments.master_worker || haproxy.global.master_worker;
        let setup = proxy::Setup {
            config: haproxy.clone(),
            node: self.node.clone(),
            pid_for_logs: if master { OWN_PID } else { std::process::id() },
            listeners: proxy::listener_keys(haproxy),
            servers_state: self.worker_state.clone(),
            tracked_backends: configuration.tracked_backends(),
        };
        let setup = wire::encode(&setup).map_err(std::io::Error::other)?;
        let pid = self.start_peer(Role::Worker, setup, listeners.descriptors())?;
        if let Some(child) = self.children.get_mut(&pid) {
            child.born_with.clone_from(&self.worker_state);
        }
        Ok(Some(pid))
    }

    pub(super) fn start_control(&mut self) -> std::io::Result<u32> {
        let setup = wire::encode(&self.control_setup()).map_err(std::io::Error::other)?;
        let child = Child::start(
            Role::Control,
            setup,
            self.stats_descriptors(),
            &self.happenings,
            &self.environment,
            &mut self.nursery,
        )?;
        // All others get a new channel to it, the oldest first.
        let mut peers: Vec<&Child> = self
            .children
            .values()
            .filter(|peer| peer.role != Role::Control)
            .collect();
        peers.sort_by_key(|peer| peer.started);
        for peer in peers {
            let (theirs, for_control) = sys::channel::pair()?;
            peer.tell_with(
                &ToChild::Peer {
                    role: Role::Control,
                    pid: child.pid,
                },
                vec![Arc::new(theirs)],
            );
            child.tell_with(
                &ToChild::Peer {
                    role: peer.role,
                    pid: peer.pid,
                },
                vec![Arc::new(for_control)],
            );
        }
        if let Some(pid) = self.worker {
            child.tell(&ToChild::CurrentWorker { pid });
        }
        let pid = child.pid;
        self.children.insert(pid, child);
        Ok(pid)
    }

    /// Whether this daemon still starts in the place of another one.
    fn takes_over(&self) -> bool {
        !self.announced && !self.arguments.old_pids.is_empty()
    }

    /// Tells the control process which worker serves.
    pub(super) fn tell_current_worker(&self) {
        if let Some(pid) = self.worker {
            self.pass_on(&ToChild::CurrentWorker { pid });
        }
    }

    pub(super) fn stats_descriptors(&self) -> Vec<Arc<OwnedFd>> {
        self.stats
            .iter()
            .map(|(_, descriptor)| Arc::clone(descriptor))
            .collect()
    }

    pub(super) fn vrrp_setup(&self, configuration: &Configuration) -> Option<Vec<u8>> {
        let setup = vrrp::Setup {
            config: configuration.keepalived.clone()?,
            proxy_configured: configuration.haproxy.is_some(),
            keep_addresses: self.arguments.keep_addresses,
            node: self.node.clone(),
            remembered: self.memory.clone(),
        };
        wire::encode(&setup)
            .inspect_err(|error| tracing::error!("no setup for vrrp: {error}"))
            .ok()
    }

    pub(super) fn control_setup(&self) -> control::Setup {
        let global = self
            .configuration
            .haproxy
            .as_ref()
            .map(|haproxy| &haproxy.global);
        let mail = self
            .configuration
            .keepalived
            .as_ref()
            .and_then(|keepalived| control::MailSetup::new(&keepalived.global));
        let dbus = self
            .configuration
            .keepalived
            .as_ref()
            .map(|keepalived| keepalived.global.dbus.clone())
            .filter(|dbus| dbus.enabled);
        let identity = self.configuration.control_identity();
        control::Setup {
            node: self.node.clone(),
            version: version::VERSION.to_owned(),
            supervisor_pid: std::process::id(),
            started_at_ms: self.started_at_ms,
            sockets: self.stats.iter().map(|(setup, _)| setup.clone()).collect(),
            timeout: global
                .and_then(|global| global.stats_timeout)
                .unwrap_or(control::DEFAULT_TIMEOUT),
            max_clients: global
                .and_then(|global| global.stats_maxconn)
                .unwrap_or(control::DEFAULT_MAX_CLIENTS),
            proxy_configured: self.configured(Role::Worker),
            vrrp_configured: self.configured(Role::Vrrp),
            mail,
            dbus,
            description: global
                .and_then(|global| global.description.clone())
                .unwrap_or_default(),
            uid: identity.uid,
            gid: identity.gid,
        }
    }

    /// Uses these stats sockets from now on; the files of others go.
    pub(super) fn use_stats_sockets(&mut self, sockets: Vec<(control::SocketSetup, Arc<OwnedFd>)>) {
        self.stats = sockets;
        let stats = &self.stats;
        self.own_files.retain(|file| {
            let path = file.path.to_string_lossy().into_owned();
            let address = config::haproxy::BindAddress::Unix(path);
            let name = describe(&address);
            let stays = stats.iter().any(|(setup, _)| setup.name == name);
            if !stays {
                file.remove();
            }
            stays
        });
    }

    /// Opens the configured stats sockets, or the default one; those already open are kept.
    pub(super) fn open_stats_sockets(
        &mut self,
        configuration: &Configuration,
    ) -> Result<Vec<(control::SocketSetup, Arc<OwnedFd>)>, String> {
        let mut sockets = Vec::new();
        let configured = configuration
            .haproxy
            .as_ref()
            .map(|haproxy| haproxy.global.stats_sockets.as_slice());
        for socket in configured.unwrap_or_default() {
            let setup = control::SocketSetup {
                name: describe(&socket.address),
                level: control::level(socket.level),
            };
            let access = FileAccess {
                mode: socket.mode,
                user: socket.user.as_ref(),
                group: socket.group.as_ref(),
                replace: self.takes_over(),
            };
            if let Some((_, open)) = self.stats.iter().find(|(open, _)| open.name == setup.name) {
                if let config::haproxy::BindAddress::Unix(path) = &socket.address
                    && let Err(error) = listeners::give_away(path.as_ref(), &access)
                {
                    tracing::warn!(
                        "stats socket {}: owner and mode stay: {}",
                        setup.name,
                        listeners::plain(&error)
                    );
                }
                sockets.push((setup, Arc::clone(open)));
                continue;
            }
            match listeners::open_plain(&socket.address, &access) {
                Ok(descriptor) => {
                    if let config::haproxy::BindAddress::Unix(path) = &socket.address {
                        self.own_files.push(OwnFile::new(PathBuf::from(path)));
                    }
                    sockets.push((setup, Arc::new(descriptor)));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tracing::warn!(
                        "stats socket {}: taken by another process; this daemon does not answer there",
                        setup.name
                    );
                }
                Err(error) => {
                    let place = configuration.sources.name(socket.span.file);
                    return Err(format!(
                        "{place}:{}: stats socket {}: {}",
                        socket.span.line,
                        setup.name,
                        listeners::plain(&error)
                    ));
                }
            }
        }
        let mut own = Vec::new();
        if self.arguments.socket.is_some() || configured.unwrap_or_default().is_empty() {
            let path = self.arguments.socket.clone();
            own.push((path.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET)), 0o660));
        }
        own.extend(
            self.arguments
                .master_socket
                .clone()
                .map(|path| (path, 0o600)),
        );
        for (path, mode) in own {
            let address = config::haproxy::BindAddress::Unix(path.to_string_lossy().into_owned());
            let setup = control::SocketSetup {
                name: describe(&address),
                level: protocol::Level::Admin,
            };
            if let Some((_, open)) = self.stats.iter().find(|(open, _)| open.name == setup.name) {
                sockets.push((setup, Arc::clone(open)));
                continue;
            }
            let access = FileAccess {
                mode: Some(mode),
                replace: self.takes_over(),
                ..FileAccess::default()
            };
            match listeners::open_plain(&address, &access) {
                Ok(descriptor) => {
                    self.own_files.push(OwnFile::new(path));
                    sockets.push((setup, Arc::new(descriptor)));
                }
                // Another daemon of this host has it, or we may not: the proxy works without.
                Err(error) => tracing::warn!(
                    "control socket {}: {}; `--socket` names another",
                    path.display(),
                    listeners::plain(&error)
                ),
            }
        }
        Ok(sockets)
    }
}
