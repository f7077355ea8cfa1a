//! keepalived's names on D-Bus (`enable_dbus`): its objects, properties, signals and methods. Only with the feature `dbus`.
//!
//! One task keeps a connection to the system's bus, with this process's own rights and no others, and says there what vrrp has
//! told. Whatever the bus does, nothing else waits for it. [`objects`] is what clients call, [`difference`] what has changed, [`reports`] what is written into files.

mod difference;
mod objects;
mod reports;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::keepalived::Dbus;
use protocol::vrrp::{InstanceSnapshot, VrrpState};
use protocol::{Event, EventKind, EventSeverity, EventSource};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zbus::Connection;
use zbus::object_server::SignalEmitter;

use super::Hub;
use difference::{STOPPED, Seen, path, status};
use objects::{Instance, Shown, Vrrp};

/// Where the daemon's own object is.
const VRRP_PATH: &str = "/org/keepalived/Vrrp1/Vrrp";

/// How long the bus may take to let us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Pause after the first failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the daemon's end may wait for the last signals.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);
/// Vrrp is asked when it tells of something, and this often besides.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// After a reload vrrp is asked this often, so many times: it takes its new configuration up without a word.
const RELOAD_LOOK_INTERVAL: Duration = Duration::from_millis(200);
const RELOAD_LOOKS: u32 = 10;

/// The task, if D-Bus is wanted.
#[derive(Default)]
pub(super) struct Bus(Option<Running>);

struct Running {
    names: Dbus,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Bus {
    /// Does what the setup in force says; nothing if it says the same as before.
    pub(super) fn follow(&mut self, hub: &Arc<Hub>) {
        let wanted = hub.setup().dbus.clone();
        if self.0.as_ref().map(|running| &running.names) == wanted.as_ref() {
            return;
        }
        let before = self.0.take();
        let Some(names) = wanted else {
            tokio::spawn(end(before));
            return;
        };
        let (stop, stopped) = oneshot::channel();
        let (hub, served) = (Arc::clone(hub), names.clone());
        let task = tokio::spawn(async move {
            end(before).await;
            serve(hub, served, stopped).await;
        });
        self.0 = Some(Running { names, stop, task });
    }

    /// Says that vrrp has stopped and leaves the bus. Waits for a bounded time.
    pub(super) async fn stop(&mut self) {
        end(self.0.take()).await;
    }
}

async fn end(running: Option<Running>) {
    let Some(Running { stop, mut task, .. }) = running else {
        return;
    };
    // It may have ended already.
    let _ = stop.send(());
    if timeout(GOODBYE_LIMIT, &mut task).await.is_err() {
        task.abort();
    }
}

/// Why the bus is spoken to no more.
enum Ended {
    Stopped,
    Lost,
}

/// Stays on the bus, or tries to get there, until it is told to stop.
async fn serve(hub: Arc<Hub>, names: Dbus, mut stop: oneshot::Receiver<()>) {
    let tell = |severity, change: &str, reason: String| {
        let subject = format!("D-Bus name {}", names.service_name);
        let kind = EventKind::Other;
        hub.record(Event::now(
            EventSource::Control,
            severity,
            kind,
            subject,
            change,
            reason,
        ));
    };
    let (mut pause, mut is_told) = (FIRST_PAUSE, false);
    loop {
        let connected = tokio::select! {
            _ = &mut stop => return,
            connected = timeout(CONNECT_LIMIT, Tree::connect(&hub, &names)) => connected,
        };
        let reason = match connected {
            Ok(Ok((tree, news))) => {
                let reason = "enable_dbus in the configuration".to_owned();
                tell(EventSeverity::Notice, "is taken", reason);
                (pause, is_told) = (FIRST_PAUSE, false);
                match tree.speak(&hub, news, &mut stop).await {
                    Ended::Stopped => return,
                    Ended::Lost => "the bus has closed the connection".to_owned(),
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the bus has not answered for {} s", CONNECT_LIMIT.as_secs()),
        };
        if !is_told {
            let further = "it is tried again, without a word until it succeeds; all else goes on";
            let reason = format!("{reason}; {further}");
            tell(EventSeverity::Alert, "is not on the bus", reason);
            is_told = true;
        }
        tokio::select! {
            _ = &mut stop => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A signal about an instance.
enum News {
    Status { path: String, status: u32 },
    Renamed { path: String },
}

/// The objects that clients see.
struct Tree {
    connection: Connection,
    hub: Arc<Hub>,
    no_interface: String,
    instances: BTreeMap<String, Object>,
}

struct Object {
    seen: Seen,
    shown: Arc<Mutex<Shown>>,
}

impl Tree {
    /// Takes the name, once all objects are there to be asked.
    async fn connect(hub: &Arc<Hub>, names: &Dbus) -> zbus::Result<(Self, Vec<News>)> {
        let vrrp = Vrrp::new(Arc::clone(hub));
        let builder = zbus::connection::Builder::system();
        let connection = builder.serve_at(VRRP_PATH, vrrp).build().await?;
        let mut tree = Self {
            connection,
            hub: Arc::clone(hub),
            no_interface: names.no_interface_name.clone(),
            instances: BTreeMap::new(),
        };
        let news = tree.look().await?;
        let name = names.service_name.as_str();
        tree.connection.request_name(name).await?;
        Ok((tree, news))
    }

    /// Tells all that happens, until the bus is gone or the daemon stops.
    async fn speak(
        mut self,
        hub: &Hub,
        first: Vec<News>,
        stop: &mut oneshot::Receiver<()>,
    ) -> Ended {
        match self.follow(hub, first, stop).await {
            Ok(()) => {
                // Nobody may be there to hear it any more.
                let _ = self.goodbye().await;
                let _ = self.connection.close().await;
                Ended::Stopped
            }
            // Only the connection can fail here.
            Err(_) => Ended::Lost,
        }
    }

    async fn follow(
        &mut self,
        hub: &Hub,
        first: Vec<News>,
        stop: &mut oneshot::Receiver<()>,
    ) -> zbus::Result<()> {
        let mut events = hub.history.subscribe();
        Vrrp::vrrp_started(&self.emitter(VRRP_PATH)?).await?;
        self.tell(first).await?;
        let mut reload_looks = 0;
        loop {
            let news = self.look().await?;
            self.tell(news).await?;
            let interval = if reload_looks > 0 {
                RELOAD_LOOK_INTERVAL
            } else {
                LOOK_INTERVAL
            };
            let mut is_reloaded = false;
            tokio::select! {
                _ = &mut *stop => return Ok(()),
                () = self.connection.closed() => {
                    return Err(zbus::Error::InputOutput(Arc::new(std::io::ErrorKind::BrokenPipe.into())));
                }
                () = sleep(interval) => reload_looks = u32::saturating_sub(reload_looks, 1),
                is_reload = awaited(&mut events) => is_reloaded = is_reload,
            }
            if is_reloaded {
                reload_looks = RELOAD_LOOKS;
                Vrrp::vrrp_reloaded(&self.emitter(VRRP_PATH)?).await?;
            }
        }
    }

    fn emitter(&self, path: &str) -> zbus::Result<SignalEmitter<'static>> {
        Ok(SignalEmitter::new(&self.connection, path)?.into_owned())
    }

    /// Brings the objects up to what vrrp says now; what is to be told of it comes back.
    async fn look(&mut self) -> zbus::Result<Vec<News>> {
        let instances = match self.hub.instances().await {
            Some(instances) => instances,
            // A vrrp process that has just died is replaced; what it said last stands until the next one speaks.
            None if self.hub.setup().vrrp_configured => return Ok(Vec::new()),
            None => Vec::new(),
        };
        let mut wanted: BTreeMap<String, &InstanceSnapshot> = BTreeMap::new();
        for instance in &instances {
            // Two instances can only share a path if each has peers of its own; the first one has it, as in keepalived.
            let address = instance.addresses.first().unwrap_or(&instance.source);
            let (interface, vrid) = (&instance.interface, instance.vrid);
            let path = path(interface, vrid, address, &self.no_interface);
            wanted.entry(path).or_insert(instance);
        }
        let mut news = self.remove_others(&wanted).await?;
        for (path, instance) in wanted {
            if let Some(object) = self.instances.get_mut(&path) {
                let states = object.seen.changes(instance.state, &instance.transitions);
                let renamed = object.show(instance);
                if renamed {
                    news.push(News::Renamed { path: path.clone() });
                }
                news.extend(states.into_iter().map(|state| News::Status {
                    path: path.clone(),
                    status: status(state),
                }));
                continue;
            }
            let object = Object {
                seen: Seen::new(instance.state, &instance.transitions),
                shown: Arc::new(Mutex::new(Shown::of(instance))),
            };
            let served = Instance::new(Arc::clone(&self.hub), Arc::clone(&object.shown));
            let server = self.connection.object_server();
            server.at(path.as_str(), served).await?;
            self.instances.insert(path.clone(), object);
            // keepalived tells no state before the first one entered.
            if instance.state != VrrpState::Init {
                let status = status(instance.state);
                news.push(News::Status { path, status });
            }
        }
        Ok(news)
    }

    /// An instance that is configured no more ends in FAULT, as keepalived says it.
    async fn remove_others(
        &mut self,
        wanted: &BTreeMap<String, &InstanceSnapshot>,
    ) -> zbus::Result<Vec<News>> {
        let mut news = Vec::new();
        let gone: Vec<String> = self
            .instances
            .keys()
            .filter(|path| !wanted.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            self.instances.remove(&path);
            let server = self.connection.object_server();
            server.remove::<Instance, _>(path.as_str()).await?;
            let status = status(VrrpState::Fault);
            news.push(News::Status { path, status });
        }
        Ok(news)
    }

    async fn tell(&self, news: Vec<News>) -> zbus::Result<()> {
        for one in news {
            match one {
                News::Status { path, status } => {
                    let emitter = self.emitter(&path)?;
                    Instance::vrrp_status_change(&emitter, status).await?;
                    if let Some(object) = self.instances.get(&path) {
                        self.served(object).state_changed(&emitter).await?;
                    }
                }
                News::Renamed { path } => {
                    if let Some(object) = self.instances.get(&path) {
                        let emitter = self.emitter(&path)?;
                        self.served(object).name_changed(&emitter).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn served(&self, object: &Object) -> Instance {
        Instance::new(Arc::clone(&self.hub), Arc::clone(&object.shown))
    }

    /// What keepalived says at its end.
    async fn goodbye(&self) -> zbus::Result<()> {
        for path in self.instances.keys() {
            Instance::vrrp_status_change(&self.emitter(path)?, STOPPED).await?;
        }
        Vrrp::vrrp_stopped(&self.emitter(VRRP_PATH)?).await
    }
}

impl Object {
    /// Takes up what clients may ask; whether the name is another one.
    fn show(&self, instance: &InstanceSnapshot) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let renamed = shown.name != instance.name;
        *shown = Shown::of(instance);
        renamed
    }
}

/// Returns when vrrp has told something, or the configuration was reloaded (true).
async fn awaited(events: &mut tokio::sync::broadcast::Receiver<Event>) -> bool {
    loop {
        match events.recv().await {
            Ok(event) if event.kind == EventKind::Reload => {
                if event.severity < EventSeverity::Warning {
                    return true;
                }
            }
            Ok(event) if event.source == EventSource::Vrrp => return false,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
