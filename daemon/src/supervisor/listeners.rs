//! Listening sockets: opened once by the supervisor, kept over reloads and over the death of their users.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::SourceMap;
use config::haproxy::{Account, Bind, BindAddress, HaproxyConfig};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::configuration::{group_number, user_number};

/// Connections that may wait for `accept` where nothing else is configured; the kernel cuts it at its own limit.
pub const DEFAULT_BACKLOG: i32 = 4_096;

/// Bytes of an abstract name: `sun_path` (unix(7)) without its leading zero.
const ABSTRACT_NAME_BYTES: usize = 107;

/// What makes a socket the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketKey {
    address: BindAddress,
    interface: Option<String>,
    transparent: bool,
    v6only: Option<bool>,
    mss: Option<i32>,
    tcp_user_timeout: Option<Duration>,
    fast_open: bool,
}

/// An open socket.
#[derive(Clone, Debug)]
pub(super) struct ListeningSocket {
    key: SocketKey,
    descriptor: Arc<OwnedFd>,
}

/// All sockets of a configuration, in the order in which their user expects them.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    sockets: Vec<ListeningSocket>,
    /// Copies of another daemon's, to be used where their address fits.
    adopted: Vec<Arc<OwnedFd>>,
}

/// How a socket in the file system is given away.
#[derive(Clone, Debug, Default)]
pub(super) struct FileAccess<'a> {
    /// Mode, octal.
    pub mode: Option<u32>,
    /// Owner.
    pub user: Option<&'a Account>,
    /// Group.
    pub group: Option<&'a Account>,
    /// Its name is taken from whoever answers there: a daemon that leaves.
    pub replace: bool,
}

impl Listeners {
    /// What a new daemon keeps of the one that it takes over from.
    pub(super) fn adopting(sockets: Vec<OwnedFd>) -> Self {
        Self {
            sockets: Vec::new(),
            adopted: sockets.into_iter().map(Arc::new).collect(),
        }
    }

    fn adopted(&self, key: &SocketKey) -> Option<Arc<OwnedFd>> {
        let fits = |copy: &&Arc<OwnedFd>| {
            let socket = SockRef::from(&***copy);
            let device = socket.device().ok().flatten();
            socket
                .local_addr()
                .is_ok_and(|local| is_at(&local, &key.address))
                && device.as_deref() == key.interface.as_deref().map(str::as_bytes)
        };
        self.adopted.iter().find(fits).cloned()
    }

    /// The descriptors in order.
    pub(super) fn descriptors(&self) -> Vec<Arc<OwnedFd>> {
        self.sockets
            .iter()
            .map(|socket| Arc::clone(&socket.descriptor))
            .collect()
    }

    /// Opens the sockets of all `bind` lines; those that `kept` holds stay as they are. All failures are told.
    pub(super) fn open(
        config: &HaproxyConfig,
        sources: &SourceMap,
        kept: &Self,
    ) -> Result<Self, Vec<String>> {
        let mut opened = Self::default();
        let mut failures = Vec::new();
        for key in proxy::listener_keys(config) {
            let Some((proxy, bind)) = config
                .proxies
                .get(key.proxy)
                .and_then(|proxy| Some((proxy, proxy.binds.get(key.bind)?)))
            else {
                failures.push("a bind line is not where it was".to_owned());
                continue;
            };
            let backlog = bind
                .backlog
                .or(proxy.backlog)
                .and_then(|backlog| i32::try_from(backlog).ok());
            match opened.open_one(bind, backlog, kept) {
                Ok(socket) => opened.sockets.push(socket),
                Err(error) => failures.push(format!(
                    "{}:{}: {} '{}': cannot bind to {}: {}",
                    sources.name(bind.span.file),
                    bind.span.line,
                    if proxy.kind == config::haproxy::ProxyKind::Listen {
                        "listen"
                    } else {
                        "frontend"
                    },
                    proxy.name.text,
                    describe(&bind.address),
                    plain(&error)
                )),
            }
        }
        if failures.is_empty() {
            Ok(opened)
        } else {
            Err(failures)
        }
    }

    fn open_one(
        &self,
        bind: &Bind,
        backlog: Option<i32>,
        kept: &Self,
    ) -> io::Result<ListeningSocket> {
        let key = SocketKey {
            address: bind.address.clone(),
            interface: bind.interface.clone(),
            transparent: bind.transparent,
            v6only: bind.v6only,
            mss: bind.mss,
            tcp_user_timeout: bind.tcp_user_timeout,
            fast_open: bind.fast_open,
        };
        if let Some(socket) = kept.sockets.iter().find(|socket| socket.key == key) {
            return Ok(socket.clone());
        }
        // The same address twice in one configuration: both frontends accept from one socket.
        if let Some(socket) = self.sockets.iter().find(|socket| socket.key == key) {
            return Ok(socket.clone());
        }
        if let Some(copy) = kept.adopted(&key) {
            let socket = SockRef::from(&*copy);
            socket.set_nonblocking(true)?;
            socket.listen(backlog.unwrap_or(DEFAULT_BACKLOG))?;
            return Ok(ListeningSocket {
                key,
                descriptor: copy,
            });
        }
        let access = FileAccess {
            mode: bind.mode,
            user: bind.user.as_ref(),
            group: bind.group.as_ref(),
            replace: !kept.adopted.is_empty(),
        };
        let descriptor = open_address(&key, &access, backlog.unwrap_or(DEFAULT_BACKLOG))?;
        Ok(ListeningSocket {
            key,
            descriptor: Arc::new(descriptor),
        })
    }
}

/// Whether a socket is bound where a `bind` line wants it.
fn is_at(local: &SockAddr, wanted: &BindAddress) -> bool {
    match wanted {
        BindAddress::Tcp { address, port } => {
            let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            local.as_socket() == Some(SocketAddr::new(address, *port))
        }
        BindAddress::Unix(path) => local.as_pathname() == Some(Path::new(path)),
        BindAddress::Abstract(name) => local.as_abstract_namespace().is_some_and(|local| {
            let end = local.iter().position(|byte| *byte == 0);
            local[..end.unwrap_or(local.len())] == *name.as_bytes()
        }),
        BindAddress::Fd(_) => false,
    }
}

/// The borrowed form of descriptors, for a frame.
pub(super) fn borrowed(descriptors: &[Arc<OwnedFd>]) -> Vec<BorrowedFd<'_>> {
    descriptors
        .iter()
        .map(|descriptor| descriptor.as_fd())
        .collect()
}

/// An address as an operator writes it.
pub fn describe(address: &BindAddress) -> String {
    match address {
        BindAddress::Tcp {
            address: Some(address),
            port,
        } => SocketAddr::new(*address, *port).to_string(),
        BindAddress::Tcp {
            address: None,
            port,
        } => format!("*:{port}"),
        BindAddress::Unix(path) => format!("unix@{path}"),
        BindAddress::Abstract(name) => format!("abns@{name}"),
        BindAddress::Fd(number) => format!("fd@{number}"),
    }
}

/// An error without "(os error N)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Opens a socket for a stats socket or a `bind` line without special wishes.
pub(super) fn open_plain(address: &BindAddress, access: &FileAccess<'_>) -> io::Result<OwnedFd> {
    let key = SocketKey {
        address: address.clone(),
        interface: None,
        transparent: false,
        v6only: None,
        mss: None,
        tcp_user_timeout: None,
        fast_open: false,
    };
    open_address(&key, access, DEFAULT_BACKLOG)
}

fn open_address(key: &SocketKey, access: &FileAccess<'_>, backlog: i32) -> io::Result<OwnedFd> {
    match &key.address {
        BindAddress::Tcp { address, port } => open_tcp(
            SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), *port),
            key,
            backlog,
        ),
        BindAddress::Unix(path) => open_unix(Path::new(path), access, backlog),
        BindAddress::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt;
            // The name fills the whole address, as HAProxy's do: the two find each other.
            let mut padded = name.clone().into_bytes();
            padded.resize(ABSTRACT_NAME_BYTES, 0);
            let address = std::os::unix::net::SocketAddr::from_abstract_name(padded)?;
            Ok(std::os::unix::net::UnixListener::bind_addr(&address)?.into())
        }
        BindAddress::Fd(number) => sys::spawn::inherited(*number),
    }
}

fn open_tcp(address: SocketAddr, key: &SocketKey, backlog: i32) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if let Some(interface) = &key.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if address.is_ipv6() {
        if let Some(only) = key.v6only {
            socket.set_only_v6(only)?;
        }
        if key.transparent {
            socket.set_freebind_v6(true)?;
        }
    } else if key.transparent {
        socket.set_freebind_v4(true)?;
    }
    if key.transparent {
        // IP_TRANSPARENT wants CAP_NET_ADMIN; free binding alone serves addresses that are not there yet.
        let _ = if address.is_ipv6() {
            socket.set_ip_transparent_v6(true)
        } else {
            socket.set_ip_transparent_v4(true)
        };
    }
    set_tcp_options(&socket, key)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    if key.fast_open {
        // A kernel that does not allow it serves connections as before.
        let _ = sys::tcp::set_fast_open(&socket, backlog);
    }
    Ok(socket.into())
}

/// `mss` and `tcp-ut`, which accepted connections inherit.
fn set_tcp_options(socket: &Socket, key: &SocketKey) -> io::Result<()> {
    if let Some(mss) = key.mss {
        let bytes = match u32::try_from(mss) {
            Ok(bytes) => bytes,
            // A negative one is taken off what the kernel would use.
            Err(_) => socket.tcp_mss()?.saturating_sub(mss.unsigned_abs()),
        };
        socket.set_tcp_mss(bytes)?;
    }
    if key.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(key.tcp_user_timeout)?;
    }
    Ok(())
}

fn open_unix(path: &Path, access: &FileAccess<'_>, backlog: i32) -> io::Result<OwnedFd> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        std::fs::create_dir_all(parent)?;
    }
    if access.replace && path.exists() {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        // Left behind by a process of the same number.
        let _ = std::fs::remove_file(&new);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&new)?)?;
        give_away(&new, access)?;
        socket.listen(backlog)?;
        std::fs::rename(&new, path)?;
        return Ok(socket.into());
    }
    if path.exists() {
        // A file that nobody answers on was left behind by a daemon that is gone.
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "Address already in use",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    give_away(path, access)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Gives a socket's file its owner and mode, those that are named.
pub(super) fn give_away(path: &Path, access: &FileAccess<'_>) -> io::Result<()> {
    let uid = access
        .user
        .map(user_number)
        .transpose()
        .map_err(io::Error::other)?;
    let gid = access
        .group
        .map(group_number)
        .transpose()
        .map_err(io::Error::other)?;
    if uid.is_some() || gid.is_some() {
        std::os::unix::fs::chown(path, uid, gid)?;
    }
    if let Some(mode) = access.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("new/s.sock");
        let access = FileAccess {
            mode: Some(0o600),
            ..FileAccess::default()
        };
        let first = open_unix(&path, &access, 1).expect("fresh, with its folder");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = open_unix(&path, &access, 1).expect_err("taken");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        // Another test may start a process just now, which holds a copy of the socket until its exec.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let replaced = loop {
            let again = open_unix(&path, &access, 1);
            let copied = matches!(&again, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
            if !copied || std::time::Instant::now() > deadline {
                break again;
            }
            std::thread::yield_now();
        };
        replaced.expect("stale");
    }
}
