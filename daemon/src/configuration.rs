//! The configuration as the supervisor holds it: both languages loaded, checked, and what follows from them.

use std::path::{Path, PathBuf};

use config::haproxy::{Account, HaproxyConfig};
use config::keepalived::KeepalivedConfig;
use config::{Diagnostic, DiagnosticKind, Diagnostics, SourceMap};
use sys::privileges::Identity;

use crate::arguments::Arguments;
use crate::proofs;

/// A configuration that may run.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// HAProxy's language.
    pub haproxy: Option<HaproxyConfig>,
    /// keepalived's language.
    pub keepalived: Option<KeepalivedConfig>,
    /// The files.
    pub sources: SourceMap,
}

/// A configuration with all that is to be said about it.
pub struct Loaded {
    /// What was read.
    pub configuration: Configuration,
    /// Complaints of both the grammar and the vocabulary.
    pub diagnostics: Diagnostics,
}

impl Loaded {
    /// The complaints as text; empty if there is none.
    pub fn text(&self) -> String {
        self.diagnostics.render(&self.configuration.sources)
    }
}

/// The places that are read without `-f`, those that exist.
pub fn default_paths() -> Vec<PathBuf> {
    let own = Path::new("/etc/tandem");
    if own.is_dir() {
        return vec![own.to_owned()];
    }
    [
        "/etc/haproxy/haproxy.cfg",
        "/etc/keepalived/keepalived.conf",
    ]
    .into_iter()
    .map(PathBuf::from)
    .filter(|path| path.exists())
    .collect()
}

/// Reads and checks everything: grammar, vocabulary, certificates, names. Blocks while names are resolved.
pub fn load(arguments: &Arguments) -> Result<Loaded, String> {
    let paths = if arguments.files.is_empty() {
        default_paths()
    } else {
        arguments.files.clone()
    };
    if paths.is_empty() {
        return Err(
            "no configuration: name files with -f, or put them into /etc/tandem/".to_owned(),
        );
    }
    let inputs: Vec<config::Input> = paths.into_iter().map(config::Input::path).collect();
    let environment = |name: &str| std::env::var(name).ok();
    let read = match &arguments.config_id {
        Some(id) => config::load_as(&inputs, &environment, id),
        None => config::load(&inputs, &environment),
    };
    let mut configuration = Configuration {
        haproxy: read.haproxy,
        keepalived: read.keepalived,
        sources: read.sources,
    };
    let mut diagnostics = read.diagnostics;
    if let Some(haproxy) = &mut configuration.haproxy {
        if let Some(maxconn) = arguments.maxconn {
            haproxy.global.maxconn = Some(maxconn);
        }
        if let Some(maxconn) = arguments.frontend_maxconn {
            for proxy in haproxy
                .proxies
                .iter_mut()
                .filter(|proxy| proxy.kind.is_frontend())
            {
                proxy.maxconn.get_or_insert(maxconn);
            }
        }
        let found = proxy::check(haproxy, &configuration.sources);
        diagnostics.0.extend(found.0);
        diagnostics.0.extend(unknown_accounts(haproxy));
    }
    if arguments.check
        && let Some(keepalived) = &configuration.keepalived
    {
        diagnostics.0.extend(proofs::alone(keepalived).0);
    }
    if let Some(keepalived) = &configuration.keepalived {
        diagnostics.0.extend(left_out(keepalived));
    }
    diagnostics.0.extend(proxy_in_namespace(&configuration));
    diagnostics.0.extend(unknown_backends(&configuration));
    diagnostics.tidy();
    Ok(Loaded {
        configuration,
        diagnostics,
    })
}

/// `net_namespace` takes the whole daemon with it: a proxy that was outside until now would be inside.
fn proxy_in_namespace(configuration: &Configuration) -> Option<Diagnostic> {
    let name = configuration.keepalived.as_ref()?.net_namespace.as_ref()?;
    configuration.haproxy.as_ref()?;
    let message = "'net_namespace' together with a proxy's configuration is not supported yet: its sockets would be in \
                   that namespace, too";
    let diagnostic = Diagnostic::error(DiagnosticKind::NotSupportedYet, name.span, message);
    Some(diagnostic.with_help(format!(
        "run two daemons; or leave the word out and start this one with 'ip netns exec {}'",
        name.text
    )))
}

/// What this build was made without.
fn left_out(keepalived: &KeepalivedConfig) -> Option<Diagnostic> {
    let global = &keepalived.global;
    if cfg!(feature = "dbus") || !global.dbus.enabled {
        return None;
    }
    let span = global.places.find("enable_dbus").unwrap_or_default();
    let message = "'enable_dbus' is ignored: this tandemd is built without D-Bus: cargo build --features dbus";
    let kind = DiagnosticKind::NotSupportedYet;
    Some(Diagnostic::warning(kind, span, message))
}

/// What `track_backend` names and the proxy does not have: its instance would wait for ever.
fn unknown_backends(configuration: &Configuration) -> Vec<Diagnostic> {
    let Some(keepalived) = &configuration.keepalived else {
        return Vec::new();
    };
    let proxies = configuration.haproxy.iter().flat_map(|one| &one.proxies);
    let backends: Vec<&str> = proxies
        .filter(|proxy| proxy.kind.is_backend())
        .map(|proxy| proxy.name.as_str())
        .collect();
    let instances = keepalived.instances.iter().map(|one| &one.tracks);
    let groups = keepalived.sync_groups.iter().map(|one| &one.tracks);
    let tracked = instances.chain(groups).flat_map(|one| &one.backends);
    tracked
        .filter(|one| !backends.contains(&one.item.as_str()))
        .map(|one| {
            let message = format!(
                "track_backend '{}': the proxy has no backend of this name",
                one.item.text
            );
            Diagnostic::error(DiagnosticKind::UnknownName, one.item.span, message)
        })
        .collect()
}

/// The users and groups that the system does not have. HAProxy refuses them when it reads the file, and `-c` tells them.
fn unknown_accounts(haproxy: &HaproxyConfig) -> Vec<Diagnostic> {
    type Number = fn(&Account) -> Result<u32, String>;
    let global = &haproxy.global;
    let sockets = global
        .stats_sockets
        .iter()
        .map(|socket| (&socket.user, &socket.group));
    let binds = haproxy
        .proxies
        .iter()
        .flat_map(|proxy| &proxy.binds)
        .map(|bind| (&bind.user, &bind.group));
    let pairs = std::iter::once((&global.user, &global.group))
        .chain(sockets)
        .chain(binds);
    let accounts = pairs.flat_map(|(user, group)| {
        [
            (user.as_ref(), user_number as Number),
            (group.as_ref(), group_number as Number),
        ]
    });
    accounts
        .filter_map(|(account, number)| {
            let Account::Name(name) = account? else {
                return None;
            };
            let reason = number(account?).err()?;
            Some(Diagnostic::error(
                DiagnosticKind::UnknownName,
                name.span,
                reason,
            ))
        })
        .collect()
}

impl Configuration {
    /// This node's name: `node`, else the host's.
    pub fn node(&self, arguments: &Arguments) -> String {
        self.haproxy
            .as_ref()
            .and_then(|haproxy| haproxy.global.node.clone())
            .or_else(|| arguments.local_peer.clone())
            .unwrap_or_else(host_name)
    }

    /// `net_namespace`: where the daemon lives.
    pub fn net_namespace(&self) -> Option<&str> {
        let name = self.keepalived.as_ref()?.net_namespace.as_ref()?;
        Some(name.as_str())
    }

    /// The pidfile: `-p`, or `pidfile` where HAProxy would write it, which is not in the foreground without a master.
    pub fn pidfile(&self, arguments: &Arguments) -> Option<PathBuf> {
        if arguments.pidfile.is_some() {
            return arguments.pidfile.clone();
        }
        let global = self.haproxy.as_ref().map(|haproxy| &haproxy.global)?;
        let master = arguments.master_worker || global.master_worker;
        let foreground = arguments.background.is_none() && !master;
        let path = global.pidfile.as_ref().filter(|_| !foreground)?;
        Some(PathBuf::from(&path.text))
    }

    /// Whether to go to the background: `-D` or `daemon`, unless the foreground is asked for.
    pub fn wants_background(&self, arguments: &Arguments) -> bool {
        // `-W` and `-Ws` stay in the foreground in HAProxy unless -D or `daemon` says otherwise; systemd's way is -Ws.
        let configured = self
            .haproxy
            .as_ref()
            .is_some_and(|haproxy| haproxy.global.daemon);
        let notified = std::env::var_os("NOTIFY_SOCKET").is_some();
        !arguments.foreground && (arguments.daemon || (configured && !notified))
    }

    /// User and group of the control process: `user` and `group`, else nobody. It stays what it is in a user namespace
    /// that knows no such user.
    pub fn control_identity(&self) -> Identity {
        let nobody = Identity {
            uid: sys::privileges::user_id("nobody")
                .ok()
                .filter(|uid| sys::privileges::is_mapped_user(*uid)),
            gid: sys::privileges::primary_group_of("nobody")
                .ok()
                .filter(|gid| sys::privileges::is_mapped_group(*gid)),
        };
        let Some(global) = self.haproxy.as_ref().map(|haproxy| &haproxy.global) else {
            return nobody;
        };
        let uid = global
            .user
            .as_ref()
            .and_then(|user| user_number(user).ok())
            .or(nobody.uid);
        let gid = global
            .group
            .as_ref()
            .and_then(|group| group_number(group).ok());
        Identity {
            uid,
            gid: gid.or(nobody.gid),
        }
    }
}

impl Configuration {
    /// Backends that instances and sync groups track (`track_backend`), each once.
    pub fn tracked_backends(&self) -> Vec<String> {
        let Some(keepalived) = &self.keepalived else {
            return Vec::new();
        };
        let instances = keepalived.instances.iter().map(|one| &one.tracks);
        let groups = keepalived.sync_groups.iter().map(|one| &one.tracks);
        let backends = instances.chain(groups).flat_map(|one| &one.backends);
        let mut names: Vec<_> = backends.map(|one| one.item.text.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// User and group of the commands of external checks: those of the worker; `None` stays what the daemon is.
    pub fn check_identity(&self) -> Result<Option<(u32, u32)>, String> {
        let Some(global) = self.haproxy.as_ref().map(|haproxy| &haproxy.global) else {
            return Ok(None);
        };
        if !sys::privileges::is_root() || (global.user.is_none() && global.group.is_none()) {
            return Ok(None);
        }
        let user = global.user.as_ref().map(user_number).transpose()?;
        let group = global.group.as_ref().map(group_number).transpose()?;
        let primary = match &global.user {
            Some(Account::Name(name)) => sys::privileges::primary_group_of(&name.text).ok(),
            _ => None,
        };
        Ok(Some((user.unwrap_or(0), group.or(primary).unwrap_or(0))))
    }
}

/// The number of a user in the configuration.
pub fn user_number(account: &Account) -> Result<u32, String> {
    match account {
        Account::Id(number) => Ok(*number),
        Account::Name(name) => {
            sys::privileges::user_id(&name.text).map_err(|error| error.to_string())
        }
    }
}

/// The number of a group in the configuration.
pub fn group_number(account: &Account) -> Result<u32, String> {
    match account {
        Account::Id(number) => Ok(*number),
        Account::Name(name) => {
            sys::privileges::group_id(&name.text).map_err(|error| error.to_string())
        }
    }
}

/// The host's name, without its domain.
pub fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}
