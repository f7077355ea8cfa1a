//! The control process: answers on the stats sockets, keeps the history of events, sends mail.
//!
//! It holds no rights. It owns no figures either: each answer asks the worker and vrrp over its channels
//! ([`hub`]). [`text`] speaks HAProxy's protocol, [`typed`] the one of `tandem`; both run the same operations.

pub mod commands;
#[cfg(feature = "dbus")]
mod dbus;
mod history;
mod hub;
mod keepalived_json;
mod mail;
mod peers;
mod succession;
mod text;
mod typed;
pub mod views;
pub mod vrrp_view;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use protocol::process::{FromChild, Role, ToChild};
use protocol::{Event, EventKind, EventSeverity, EventSource, Level, wire};
use serde::{Deserialize, Serialize};
use sys::channel::Channel;
use sys::privileges::{Identity, Restriction};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

pub use hub::Hub;
pub use mail::MailSetup;
use succession::Turn;

/// `stats timeout` where none is configured.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// `stats maxconn` where none is configured.
pub const DEFAULT_MAX_CLIENTS: u32 = 10;
/// Typed clients at a time, beside the text ones.
pub const MAX_TYPED_CLIENTS: u32 = 64;

/// Mails under way at a time; further ones are dropped and told.
const MAX_MAILS: u32 = 64;

/// A listening socket of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketSetup {
    /// `unix@/run/…`, for people.
    pub name: String,
    /// What its clients may do.
    pub level: Level,
}

/// All that the control process needs to know; its listening sockets come in the order of `sockets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The node's name.
    pub node: String,
    /// Version of `tandemd`.
    pub version: String,
    /// The supervisor.
    pub supervisor_pid: u32,
    /// When the supervisor started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Where it answers.
    pub sockets: Vec<SocketSetup>,
    /// `stats timeout`.
    pub timeout: Duration,
    /// `stats maxconn`: text clients at a time.
    pub max_clients: u32,
    /// Whether a proxy is configured.
    pub proxy_configured: bool,
    /// Whether VRRP is configured.
    pub vrrp_configured: bool,
    /// How to send mail, if that is configured.
    pub mail: Option<MailSetup>,
    /// Names on D-Bus, if it is enabled; only a build with the feature `dbus` goes there.
    pub dbus: Option<config::keepalived::Dbus>,
    /// `description` of the node.
    pub description: String,
    /// User to become.
    pub uid: Option<u32>,
    /// Group to become.
    pub gid: Option<u32>,
}

/// The protocol's word for a level of the configuration.
pub fn level(level: config::haproxy::Level) -> Level {
    match level {
        config::haproxy::Level::User => Level::User,
        config::haproxy::Level::Operator => Level::Operator,
        config::haproxy::Level::Admin => Level::Admin,
    }
}

/// Gives up all rights. Call it before the runtime starts.
pub fn restrict(setup: &Setup) -> std::io::Result<()> {
    let identity = Identity {
        uid: setup.uid,
        gid: setup.gid,
    };
    sys::privileges::restrict(&Restriction {
        chroot: None,
        identity,
        keep: &[],
    })?;
    if !sys::confine::against_attackers()? {
        tracing::info!("control: this kernel has no seccomp");
    }
    Ok(())
}

/// Runs the control process until the supervisor says stop or is gone.
pub async fn run(setup: Setup, supervisor: Channel, listeners: Vec<OwnedFd>) -> ExitCode {
    let Channel {
        sender,
        mut receiver,
    } = supervisor;
    let (hub, turns) = Hub::new(setup, sender);
    let hub = Arc::new(hub);
    let clients = Arc::new(Clients::default());
    let mut accepting = accept_on(&hub, &clients, listeners);
    tokio::spawn(hub::poll(Arc::clone(&hub)));
    tokio::spawn(succession::follow(Arc::clone(&hub), turns));
    #[cfg(feature = "dbus")]
    let mut bus = dbus::Bus::default();
    #[cfg(feature = "dbus")]
    bus.follow(&hub);
    if hub.tell_supervisor(&FromChild::Ready).await.is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        let Ok(Some((frame, descriptors))) = receiver.receive().await else {
            tracing::warn!("control ends: the supervisor is gone");
            return ExitCode::SUCCESS;
        };
        let message = match wire::decode::<ToChild>(&frame) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!("a message of the supervisor cannot be read: {error}");
                continue;
            }
        };
        match message {
            ToChild::Stop => {
                #[cfg(feature = "dbus")]
                bus.stop().await;
                return ExitCode::SUCCESS;
            }
            ToChild::Peer { role, pid } => {
                if let Some(channel) = descriptors
                    .into_iter()
                    .next()
                    .and_then(|end| Channel::new(end).ok())
                {
                    hub.add_peer(role, pid, channel);
                }
            }
            ToChild::PeerGone {
                role: Role::Worker,
                pid,
            } => hub.turn(Turn::Gone(pid)).await,
            ToChild::PeerGone { role, pid } => hub.remove_peer(role, pid),
            ToChild::Event(event) => hub.record(event),
            ToChild::Mail { subject, body } => {
                let hub = Arc::clone(&hub);
                tokio::spawn(async move { send_mail(&hub, &subject, &body).await });
            }
            ToChild::OperationDone { id, result } => hub.operation_done(id, result),
            ToChild::AskWorkerState => hub.turn(Turn::AskState).await,
            ToChild::CurrentWorker { pid } => hub.turn(Turn::Current(pid)).await,
            ToChild::NewControlConfig(setup) => match wire::decode::<Setup>(&setup) {
                Ok(setup) => {
                    hub.replace_setup(setup);
                    #[cfg(feature = "dbus")]
                    bus.follow(&hub);
                    // Clients stay connected; only the accepting tasks change.
                    accepting.abort_all();
                    accepting = accept_on(&hub, &clients, descriptors);
                }
                Err(error) => tracing::error!("a new setup cannot be read: {error}"),
            },
            ToChild::Drain { .. }
            | ToChild::AddFigures(_)
            | ToChild::ProxyHealth(_)
            | ToChild::Observed(_)
            | ToChild::ScriptDone { .. }
            | ToChild::NewVrrpConfig(_) => {}
        }
    }
}

async fn send_mail(hub: &Hub, subject: &str, body: &str) {
    static UNDER_WAY: AtomicU32 = AtomicU32::new(0);
    let Some(mail) = hub.setup().mail.clone() else {
        return;
    };
    let outcome = match Place::take(&UNDER_WAY, MAX_MAILS) {
        None => Err(format!("{MAX_MAILS} mails are under way already")),
        Some(_place) => mail::send(&mail, subject, body)
            .await
            .map_err(|error| error.to_string()),
    };
    let tell = |change: &str, reason: String| {
        hub.record(Event::now(
            EventSource::Control,
            EventSeverity::Warning,
            EventKind::Other,
            format!("mail '{subject}'"),
            change,
            reason,
        ));
    };
    match outcome {
        Ok(sent) => {
            if let Some(refused) = sent.refused {
                tell("not sent to all", refused);
            }
            if let Some(reason) = sent.unencrypted {
                let further = "; further ones are not told until one goes encrypted";
                tell("sent unencrypted", reason + further);
            }
        }
        Err(reason) => tell("not sent", reason),
    }
}

/// How many clients there are.
#[derive(Default)]
struct Clients {
    text: AtomicU32,
    typed: AtomicU32,
}

/// A place taken among the clients; given back when dropped.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn take(count: &'a AtomicU32, most: u32) -> Option<Self> {
        let place = Place(count);
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept_on(hub: &Arc<Hub>, clients: &Arc<Clients>, listeners: Vec<OwnedFd>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (socket, listener) in hub.setup().sockets.iter().zip(listeners) {
        let (socket, hub, clients) = (socket.clone(), Arc::clone(hub), Arc::clone(clients));
        tasks.spawn(async move {
            if let Err(error) = accept(&socket, listener, hub, clients).await {
                tracing::error!("control socket {} fails: {error}", socket.name);
            }
        });
    }
    tasks
}

/// Pause after a failed accept, for lack of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(
    socket: &SocketSetup,
    listener: OwnedFd,
    hub: Arc<Hub>,
    clients: Arc<Clients>,
) -> std::io::Result<()> {
    let is_tcp = socket2::SockRef::from(&listener).domain()? != socket2::Domain::UNIX;
    if is_tcp {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => serve(socket, stream, &hub, &clients),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    let listener = std::os::unix::net::UnixListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serve(socket, stream, &hub, &clients),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// What both kinds of stream are.
pub(crate) trait Stream:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static
{
}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// Serves a client in a task of its own, in the language that its first byte tells.
fn serve(socket: &SocketSetup, stream: impl Stream, hub: &Arc<Hub>, clients: &Arc<Clients>) {
    let (level, name, hub, clients) = (
        socket.level,
        socket.name.clone(),
        Arc::clone(hub),
        Arc::clone(clients),
    );
    tokio::spawn(async move {
        let mut stream = stream;
        let mut first = [0];
        let timeout = hub.setup().timeout;
        let Ok(Ok(1)) = tokio::time::timeout(timeout, stream.read(&mut first)).await else {
            return;
        };
        hub.first_worker().await;
        if first[0] == wire::CLIENT_MAGIC[0] {
            let Some(_place) = Place::take(&clients.typed, MAX_TYPED_CLIENTS) else {
                return;
            };
            let mut magic = [0; wire::CLIENT_MAGIC.len() - 1];
            let read = tokio::time::timeout(timeout, stream.read_exact(&mut magic)).await;
            if !matches!(read, Ok(Ok(_))) || magic != wire::CLIENT_MAGIC[1..] {
                return;
            }
            typed::serve(stream, hub, level, name).await;
        } else {
            let Some(_place) = Place::take(&clients.text, hub.setup().max_clients) else {
                return;
            };
            text::serve(stream, first[0], hub, level, name).await;
        }
    });
}

/// The role's word for people.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Worker => "The proxy worker",
        Role::Vrrp => "The vrrp process",
        Role::Control => "The control process",
    }
}
