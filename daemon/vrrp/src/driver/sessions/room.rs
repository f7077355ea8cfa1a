//! What runs in the thread of the BFD sessions: sockets, timer, and telling.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use config::keepalived::BfdInstance;
use protocol::EventSeverity;
use protocol::event::now_ms;
use protocol::vrrp::BfdSnapshot;
use sys::alarm::Alarm;
use sys::datagram::{Arrived, Family, Listener, Speaker};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Ask, LAST_WORDS_PATIENCE, Told};
use crate::bfd::packet::{MAX_DATAGRAM_BYTES, PORT, Refused, SessionState};
use crate::bfd::{Datagram, Deed, Entry, Table};
use crate::core::Moment;
use crate::driver::unit::REPORT_SPACING;

/// Source ports of sessions (RFC 5881 section 4).
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Source ports that are tried until one is free.
const PORT_TRIES: usize = 64;
/// Datagrams that are heard before timers are looked at again.
const TOGETHER: usize = 256;
/// Pause before a socket that could not be opened is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
/// Pause before what the driver had no room for is told again.
const RETELL_PAUSE: Duration = Duration::from_millis(10);

/// Of a session, what belongs to sockets and to telling.
#[derive(Default)]
struct Own {
    speaker: Option<Speaker>,
    /// Why it cannot speak.
    mute: Option<String>,
    reopen_at: Moment,
    /// Whether what is to be told of it is not told yet, and since which state.
    untold: Option<SessionState>,
    /// When its state was entered, in milliseconds since 1970.
    since_ms: u64,
}

struct Room {
    started: Instant,
    table: Table,
    own: HashMap<String, Own>,
    listeners: BTreeMap<Family, Listener>,
    /// Why a family cannot be listened to, and when that is tried again.
    deaf: BTreeMap<Family, String>,
    listen_at: Option<Moment>,
    retell_at: Option<Moment>,
    /// When a refusal was last told, by subject and reason.
    reported: HashMap<(String, &'static str), Moment>,
    told: mpsc::Sender<Told>,
}

/// Tells that the thread panicked, if it did.
struct Watch(mpsc::Sender<Told>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The driver reads on, so room comes; a thread that ends may wait for it.
            let _ = self.0.blocking_send(Told::Gone);
        }
    }
}

pub(super) fn run(inbox: mpsc::Receiver<Ask>, told: mpsc::Sender<Told>) {
    let _watch = Watch(told.clone());
    if let Err(error) = sys::realtime::schedule() {
        tracing::debug!("bfd: no real-time priority: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            match Alarm::new() {
                Ok(alarm) => Room::new(told).live(inbox, alarm).await,
                Err(error) => tracing::error!("bfd: no timer: {error}"),
            }
        }),
        Err(error) => tracing::error!("bfd: no runtime: {error}"),
    }
}

/// A number that nobody outside can guess.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The next datagram of a listener; never, if there is none.
async fn next(listener: Option<&Listener>, buffer: &mut [u8]) -> std::io::Result<Arrived> {
    match listener {
        Some(listener) => listener.receive(buffer).await,
        None => std::future::pending().await,
    }
}

impl Room {
    fn new(told: mpsc::Sender<Told>) -> Self {
        Self {
            started: Instant::now(),
            table: Table::default(),
            own: HashMap::new(),
            listeners: BTreeMap::new(),
            deaf: BTreeMap::new(),
            listen_at: None,
            retell_at: None,
            reported: HashMap::new(),
            told,
        }
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    async fn live(mut self, mut inbox: mpsc::Receiver<Ask>, alarm: Alarm) {
        let mut buffers = [[0; MAX_DATAGRAM_BYTES]; 2];
        loop {
            self.run_timers();
            let deadlines = [self.table.deadline(), self.listen_at, self.retell_at];
            let deadline = deadlines.into_iter().flatten().min();
            let after = deadline.map(|at| at.saturating_sub(self.now()));
            if let Err(error) = alarm.set(after) {
                tracing::error!("bfd: the timer cannot be set: {error}");
            }
            let [ipv4, ipv6] = &mut buffers;
            let arrived = tokio::select! {
                biased;
                ask = inbox.recv() => match ask {
                    Some(Ask::Configure(configs)) => {
                        self.configure(&configs);
                        None
                    }
                    Some(Ask::Show(answer)) => {
                        // Who asked may have given up.
                        let _ = answer.send(self.show());
                        None
                    }
                    Some(Ask::End(reason, answer)) => {
                        self.end(&reason).await;
                        let _ = answer.send(());
                        return;
                    }
                    None => return,
                },
                _ = alarm.ring() => None,
                arrived = next(self.listeners.get(&Family::Ipv4), ipv4) => Some((Family::Ipv4, arrived)),
                arrived = next(self.listeners.get(&Family::Ipv6), ipv6) => Some((Family::Ipv6, arrived)),
            };
            match arrived {
                None => {}
                Some((family, Ok(about))) => {
                    let buffer = buffers[usize::from(family == Family::Ipv6)];
                    self.heard(about, &buffer);
                    self.catch_up();
                }
                Some((family, Err(error))) => {
                    tracing::debug!("bfd: receiving: {error}");
                    self.listeners.remove(&family);
                    self.deaf.insert(family, error.to_string());
                    self.listen_at = Some(self.now() + REOPEN_PAUSE);
                }
            }
        }
    }

    /// Runs what is due. Whatever waits in the sockets is heard before a silence counts.
    fn run_timers(&mut self) {
        let now = self.now();
        if self.listen_at.is_some_and(|at| at <= now) {
            self.listen();
        }
        if self.retell_at.take_if(|at| *at <= now).is_some() {
            self.tell_all();
        }
        if self.table.must_hear_first(now) {
            self.catch_up();
        }
        let deeds = self.table.elapsed(self.now());
        self.perform(deeds);
    }

    fn catch_up(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        for family in [Family::Ipv4, Family::Ipv6] {
            for _ in 0..TOGETHER {
                let listener = self.listeners.get(&family);
                let Some(about) = listener.and_then(|one| one.receive_waiting(&mut buffer)) else {
                    break;
                };
                self.heard(about, &buffer);
            }
        }
    }

    fn configure(&mut self, configs: &[BfdInstance]) {
        let now = self.now();
        let deeds = self.table.configure(now, configs, random);
        self.perform(deeds);
        let known = |subject: &str| configs.iter().any(|config| config.name.text == subject);
        self.reported
            .retain(|(subject, _), _| subject.is_empty() || known(subject));
        self.listen();
        let deeds = self.table.elapsed(self.now());
        self.perform(deeds);
    }

    /// Opens what is needed, and closes what is not.
    fn listen(&mut self) {
        self.listen_at = None;
        let families: Vec<Family> = self
            .table
            .entries()
            .map(|entry| Family::of(entry.config.neighbor))
            .collect();
        self.listeners.retain(|family, _| families.contains(family));
        self.deaf.retain(|family, _| families.contains(family));
        for family in families {
            if self.listeners.contains_key(&family) {
                continue;
            }
            match Listener::open(family, PORT) {
                Ok(listener) => {
                    self.listeners.insert(family, listener);
                    if self.deaf.remove(&family).is_some() {
                        self.tell_family(family);
                    }
                }
                Err(error) => {
                    self.listen_at = Some(self.now() + REOPEN_PAUSE);
                    let why = format!("cannot listen on UDP port {PORT}: {error}");
                    if self.deaf.insert(family, why.clone()).is_none() {
                        self.report("", "deaf", "nothing can be heard", &why, false);
                        self.tell_family(family);
                    }
                }
            }
        }
    }

    /// What the sessions of a family say has changed.
    fn tell_family(&mut self, family: Family) {
        let names = self.table.entries().filter_map(|entry| {
            let same = Family::of(entry.config.neighbor) == family;
            same.then(|| (entry.config.name.text.clone(), entry.session.state()))
        });
        for (name, from) in names.collect::<Vec<_>>() {
            self.own
                .entry(name.clone())
                .or_default()
                .untold
                .get_or_insert(from);
            self.tell(&name);
        }
    }

    fn heard(&mut self, about: Arrived, buffer: &[u8]) {
        let datagram = Datagram {
            source: about.source,
            destination: about.destination,
            ttl: about.ttl,
            bytes: &buffer[..about.length.min(buffer.len())],
        };
        match self.table.heard(self.now(), &datagram) {
            Ok(deeds) => self.perform(deeds),
            Err(refused) => {
                let from = datagram.source;
                let known = refused.name.is_some();
                let refused_for = refused.refused;
                // A neighbour that we forgot by a restart says so until it has noticed: it is counted.
                if known && matches!(refused_for, Refused::YourDiscriminator(_)) {
                    return;
                }
                let subject = refused.name.unwrap_or_default();
                let reason = format!("from {from}: {refused_for}");
                let kind = refused_for.reason();
                self.report(&subject, kind, "packet refused", &reason, true);
            }
        }
    }

    fn perform(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send { name, bytes } => self.send(&name, &bytes),
                Deed::Tell { name, from } => {
                    let entry = self
                        .table
                        .entries()
                        .find(|one| one.config.name.text == name);
                    let to = entry.map_or(SessionState::AdminDown, |one| one.session.state());
                    let own = self.own.entry(name.clone()).or_default();
                    if from != to || own.since_ms == 0 {
                        own.since_ms = now_ms();
                    }
                    own.untold.get_or_insert(from);
                    tracing::debug!("bfd {name}: {from} -> {to}");
                    self.tell(&name);
                }
                Deed::Close { name } => {
                    self.own.remove(&name);
                }
            }
        }
    }

    fn send(&mut self, name: &str, bytes: &[u8]) {
        let now = self.now();
        let Some(config) = self.table.config(name) else {
            return;
        };
        let own = self.own.entry(name.to_owned()).or_default();
        let was_mute = own.mute.is_some();
        if own.speaker.is_none() && own.reopen_at <= now {
            match open(config) {
                Ok(speaker) => own.speaker = Some(speaker),
                Err(error) => {
                    own.reopen_at = now + REOPEN_PAUSE;
                    let source = config
                        .source
                        .map_or(String::new(), |ip| format!(" from {ip}"));
                    own.mute = Some(format!("cannot speak{source}: {error}"));
                }
            }
        }
        let failure = match &own.speaker {
            Some(speaker) => speaker
                .send(bytes)
                .err()
                .map(|error| format!("to {}: {error}", config.neighbor)),
            None => own.mute.clone(),
        };
        if failure.is_some() {
            // An address that was away may be another one's now: begin anew.
            own.speaker = None;
        }
        let changed = was_mute != failure.is_some();
        own.mute = failure.clone();
        if let Some(reason) = failure {
            self.report(name, "unsent", "packet not sent", &reason, false);
        }
        if changed && let Some(entry) = self.find(name) {
            let from = entry.session.state();
            self.own
                .entry(name.to_owned())
                .or_default()
                .untold
                .get_or_insert(from);
            self.tell(name);
        }
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.table
            .entries()
            .find(|one| one.config.name.text == name)
    }

    /// State and reason, and what keeps it from working.
    fn detail(&self, entry: &Entry) -> String {
        let name = &entry.config.name.text;
        let mute = self.own.get(name).and_then(|own| own.mute.as_deref());
        let deaf = self.deaf.get(&Family::of(entry.config.neighbor));
        let (state, reason) = (entry.session.state(), reason(entry));
        match mute.or(deaf.map(String::as_str)) {
            Some(trouble) => format!("{state}: {reason}; {trouble}"),
            None => format!("{state}: {reason}"),
        }
    }

    fn tell_all(&mut self) {
        let untold = self.own.iter().filter(|(_, own)| own.untold.is_some());
        for name in untold.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.tell(&name);
        }
    }

    /// Tells the driver what changed; later, if it has no room: then the latest state is told.
    fn tell(&mut self, name: &str) {
        let Some(from) = self.own.get(name).and_then(|own| own.untold) else {
            return;
        };
        let Some(entry) = self.find(name) else {
            return;
        };
        let (to, is_well) = (entry.session.state(), entry.session.is_well());
        let up = SessionState::Up;
        let event = (from != to && (from == up || to == up)).then(|| {
            let severity = match is_well {
                true => EventSeverity::Notice,
                false => EventSeverity::Warning,
            };
            let reason = reason(entry);
            // Init is a moment on the way up.
            let from = if to == up { SessionState::Down } else { from };
            (severity, format!("{from} -> {to}"), reason)
        });
        let told = Told::State {
            name: name.to_owned(),
            up: is_well,
            detail: self.detail(entry),
            event,
        };
        match self.told.try_send(told) {
            Ok(()) => {
                if let Some(own) = self.own.get_mut(name) {
                    own.untold = None;
                }
            }
            Err(_) => self.retell_at = Some(self.now() + RETELL_PAUSE),
        }
    }

    /// Tells of a trouble, of each kind not more often than the spacing.
    fn report(
        &mut self,
        subject: &str,
        kind: &'static str,
        change: &str,
        reason: &str,
        refused: bool,
    ) {
        let now = self.now();
        let key = (subject.to_owned(), kind);
        if self
            .reported
            .get(&key)
            .is_some_and(|at| now < *at + REPORT_SPACING)
        {
            return;
        }
        self.reported.insert(key, now);
        // Without room it is not told: it comes again.
        let _ = self.told.try_send(Told::Trouble {
            subject: format!("bfd {subject}").trim_end().to_owned(),
            change: change.to_owned(),
            reason: reason.to_owned(),
            refused,
        });
    }

    async fn end(&mut self, reason: &str) {
        let deeds = self.table.stop(self.now(), reason);
        self.perform(deeds);
        let until = self.now() + LAST_WORDS_PATIENCE;
        while let Some(at) = self.table.deadline().filter(|at| *at <= until) {
            tokio::time::sleep(at.saturating_sub(self.now())).await;
            self.catch_up();
            let deeds = self.table.elapsed(self.now());
            self.perform(deeds);
        }
    }

    fn show(&self) -> Vec<BfdSnapshot> {
        self.table
            .entries()
            .map(|entry| self.snapshot(entry))
            .collect()
    }

    fn snapshot(&self, entry: &Entry) -> BfdSnapshot {
        let (config, session, counters) = (&entry.config, &entry.session, &entry.counters);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let age = session.heard_at().map(|at| self.now().saturating_sub(at));
        let known = session.remote().discriminator != 0;
        BfdSnapshot {
            name: config.name.text.clone(),
            neighbor: config.neighbor.to_string(),
            source: config.source.map(|ip| ip.to_string()).unwrap_or_default(),
            state: session.state().to_string(),
            up: session.is_well(),
            since_ms: self
                .own
                .get(config.name.as_str())
                .map_or(0, |own| own.since_ms),
            detail: self.detail(entry),
            diagnostic: session.diagnostic().to_string(),
            remote_state: match known {
                true => session.remote().state.to_string(),
                false => String::new(),
            },
            remote_diagnostic: session
                .last_diagnostic()
                .map(|one| one.to_string())
                .unwrap_or_default(),
            heard_ms: age.map(|age| micros(age) / 1_000),
            discriminator: session.discriminator(),
            remote_discriminator: session.remote().discriminator,
            transmit_interval_us: micros(session.transmit_interval()),
            detection_time_us: micros(session.detection_time()),
            sent: counters.sent,
            received: counters.received,
            ups: counters.ups,
            downs: counters.downs,
            refused: counters
                .refused
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
        }
    }
}

/// Why a session is where it is, and whether that is a failure.
fn reason(entry: &Entry) -> String {
    let session = &entry.session;
    match session.is_well() && session.state() != SessionState::Up {
        true => format!(
            "{}; taken down on purpose, that is no failure",
            session.reason()
        ),
        false => session.reason().to_owned(),
    }
}

/// Opens a socket with a source port that is free.
fn open(config: &BfdInstance) -> std::io::Result<Speaker> {
    let to = SocketAddr::new(config.neighbor, PORT);
    let ports = u64::from(SOURCE_PORTS.end() - SOURCE_PORTS.start()) + 1;
    let mut failure = None;
    for _ in 0..PORT_TRIES {
        let offset = u16::try_from(random() % ports).unwrap_or_default();
        let port = SOURCE_PORTS.start() + offset;
        match Speaker::open(config.source, port, to, config.ttl) {
            Ok(speaker) => return Ok(speaker),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or(std::io::ErrorKind::AddrInUse.into()))
}
