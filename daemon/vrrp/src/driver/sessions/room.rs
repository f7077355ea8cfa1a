//! What runs in the thread of the BFD sessions: sockets, timer, and telling.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::keepalived::BfdInstance;
use protocol::EventSeverity;
use protocol::event::now_ms;
use protocol::vrrp::{BFD_OWN_TROUBLE, BfdSnapshot};
use sys::alarm::Alarm;
use sys::datagram::{
    Arrived, Family, Incoming, Listener, Speaker, interface_named, interface_with,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Ask, LAST_WORDS_PATIENCE, Told};
use crate::bfd::packet::{MAX_DATAGRAM_BYTES, PORT, Refused, SessionState};
use crate::bfd::{Datagram, Deed, Entry, RefusedPacket, Table};
use crate::core::Moment;
use crate::driver::unit::REPORT_SPACING;

/// Source ports of sessions (RFC 5881 section 4).
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Source ports that are tried until one is free.
const PORT_TRIES: usize = 64;
/// Datagrams that are heard before timers are looked at again.
const TOGETHER: usize = 64;
/// Pause before a socket that could not be opened is tried again, or an interface that is not there looked for.
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
    /// When its interface was last looked for.
    looked_at: Option<Moment>,
}

struct Room {
    started: Instant,
    table: Table,
    own: HashMap<Arc<str>, Own>,
    incoming: Incoming,
    /// Empty between two calls: its memory is used again.
    deeds: Vec<Deed>,
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

/// Until a listener may have something; never, if there is none.
async fn readable(listener: Option<&Listener>) -> std::io::Result<()> {
    match listener {
        Some(listener) => listener.readable().await,
        None => std::future::pending().await,
    }
}

impl Room {
    fn new(told: mpsc::Sender<Told>) -> Self {
        Self {
            started: Instant::now(),
            table: Table::default(),
            own: HashMap::new(),
            incoming: Incoming::new(MAX_DATAGRAM_BYTES),
            deeds: Vec::new(),
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
        let mut wound = None;
        loop {
            self.run_timers();
            let deadlines = [self.table.deadline(), self.listen_at, self.retell_at];
            let deadline = deadlines.into_iter().flatten().min();
            // Most packets move no deadline that is the next one.
            if deadline != wound || deadline.is_some_and(|at| at <= self.now()) {
                let after = deadline.map(|at| at.saturating_sub(self.now()));
                wound = deadline;
                if let Err(error) = alarm.set(after) {
                    tracing::error!("bfd: the timer cannot be set: {error}");
                }
            }
            tokio::select! {
                biased;
                ask = inbox.recv() => match ask {
                    Some(Ask::Configure(configs)) => self.configure(&configs),
                    Some(Ask::Show(answer)) => {
                        // Who asked may have given up.
                        let _ = answer.send(self.show());
                    }
                    Some(Ask::End(reason, answer)) => {
                        self.end(&reason).await;
                        let _ = answer.send(());
                        return;
                    }
                    None => return,
                },
                _ = alarm.ring() => {}
                _ = readable(self.listeners.get(&Family::Ipv4)) => self.catch_up(Family::Ipv4),
                _ = readable(self.listeners.get(&Family::Ipv6)) => self.catch_up(Family::Ipv6),
            }
        }
    }

    /// Runs what is due. Whatever waits in the sockets is heard before a silence counts.
    fn run_timers(&mut self) {
        let now = self.now();
        if self.listen_at.is_some_and(|at| at <= now) {
            self.listen();
            self.look_for_interfaces();
        }
        if self.retell_at.take_if(|at| *at <= now).is_some() {
            self.tell_all();
        }
        if self.table.must_hear_first(now) {
            self.catch_up(Family::Ipv4);
            self.catch_up(Family::Ipv6);
        }
        self.elapse();
    }

    fn elapse(&mut self) {
        let mut deeds = std::mem::take(&mut self.deeds);
        self.table.elapsed(self.now(), &mut deeds);
        self.perform(&mut deeds);
        self.deeds = deeds;
    }

    /// Hears what waits in a socket, up to a bound.
    fn catch_up(&mut self, family: Family) {
        for _ in 0..TOGETHER {
            let Some(listener) = self.listeners.get(&family) else {
                return;
            };
            match listener.receive(&mut self.incoming) {
                Ok(Some(about)) => self.heard(about),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!("bfd: receiving: {error}");
                    self.listeners.remove(&family);
                    self.deaf.insert(family, error.to_string());
                    self.listen_at = Some(self.now() + REOPEN_PAUSE);
                }
            }
        }
    }

    fn configure(&mut self, configs: &[BfdInstance]) {
        let now = self.now();
        let mut deeds = self.table.configure(now, configs, random);
        self.perform(&mut deeds);
        let known = |subject: &str| configs.iter().any(|config| config.name.text == subject);
        self.reported
            .retain(|(subject, _), _| subject.is_empty() || known(subject));
        self.listen();
        self.look_for_interfaces();
        self.elapse();
    }

    /// Where link-local neighbours are, of those that are to be looked for.
    fn look_for_interfaces(&mut self) {
        let entries = self.table.entries();
        let wanted = entries.filter(|entry| entry.config.is_link_local() && entry.interface == 0);
        for name in wanted.map(|entry| entry.name.clone()).collect::<Vec<_>>() {
            if self.look_for_interface(&name) == 0 {
                let at = self.now() + REOPEN_PAUSE;
                self.listen_at.get_or_insert(at);
            }
        }
    }

    /// Where a link-local neighbour is now; 0 if there is no such interface. Not more often than the pause.
    fn look_for_interface(&mut self, name: &str) -> u32 {
        let now = self.now();
        let Some(entry) = self.table.find(name) else {
            return 0;
        };
        let own = self.own.entry(entry.name.clone()).or_default();
        if own.looked_at.is_some_and(|at| now < at + REOPEN_PAUSE) {
            return entry.interface;
        }
        own.looked_at = Some(now);
        let found = interface_of(&entry.config).unwrap_or(0);
        self.table.set_interface(name, found);
        found
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
            same.then(|| (entry.name.clone(), entry.session.state()))
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

    fn heard(&mut self, about: Arrived) {
        let datagram = Datagram {
            source: about.source,
            destination: about.destination,
            ttl: about.ttl,
            interface: about.interface,
            bytes: self.incoming.bytes(&about),
        };
        let now = self.started.elapsed();
        let mut deeds = std::mem::take(&mut self.deeds);
        let outcome = self.table.heard(now, &datagram, &mut deeds);
        self.perform(&mut deeds);
        self.deeds = deeds;
        if let Err(refused) = outcome {
            self.refused(refused, about.source);
        }
    }

    fn refused(&mut self, refused: RefusedPacket, from: IpAddr) {
        let RefusedPacket { name, refused } = refused;
        // A neighbour that we forgot by a restart says so until it has noticed: it is counted.
        if name.is_some() && matches!(refused, Refused::YourDiscriminator(_)) {
            return;
        }
        if let (Some(name), Refused::Interface { .. }) = (&name, refused) {
            // An interface that went and came back has another number.
            self.look_for_interface(name);
        }
        let reason = format_args!("from {from}: {refused}");
        let subject = name.as_deref().unwrap_or_default();
        self.report(subject, refused.reason(), "packet refused", &reason, true);
    }

    /// Does what the table decided; nothing is left of it.
    fn perform(&mut self, deeds: &mut Vec<Deed>) {
        for deed in deeds.drain(..) {
            match deed {
                Deed::Send { name, bytes } => self.send(&name, &bytes),
                Deed::Tell { name, from } => {
                    let entry = self.table.entries().find(|one| one.name == name);
                    let to = entry.map_or(SessionState::AdminDown, |one| one.session.state());
                    let own = self.own.entry(name.clone()).or_default();
                    if from != to || own.since_ms == 0 {
                        own.since_ms = now_ms();
                    }
                    own.untold.get_or_insert(from);
                    self.tell(&name);
                }
                Deed::Close { name } => {
                    self.own.remove(&name);
                }
            }
        }
    }

    fn send(&mut self, name: &Arc<str>, bytes: &[u8]) {
        let Some(own) = self.own.get_mut(name) else {
            // The first one of a session.
            self.own.insert(name.clone(), Own::default());
            return self.send(name, bytes);
        };
        if own.mute.is_none()
            && let Some(speaker) = &own.speaker
            && speaker.send(bytes).is_ok()
        {
            return;
        }
        self.send_anew(name, bytes);
    }

    /// Sends with a socket that is to be opened first, or one that failed.
    fn send_anew(&mut self, name: &Arc<str>, bytes: &[u8]) {
        let now = self.now();
        let Some(config) = self.table.find(name).map(|entry| entry.config.clone()) else {
            return;
        };
        let own = self.own.entry(name.clone()).or_default();
        let was_mute = own.mute.is_some();
        if own.speaker.is_none() && own.reopen_at <= now {
            match open(&config) {
                Ok((speaker, interface)) => {
                    own.speaker = Some(speaker);
                    self.table.set_interface(name, interface);
                }
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
            let reason = format_args!("{reason}");
            self.report(name, "unsent", "packet not sent", &reason, false);
        }
        if changed && let Some(entry) = self.find(name) {
            let from = entry.session.state();
            let own = self.own.entry(name.clone()).or_default();
            own.untold.get_or_insert(from);
            self.tell(name);
        }
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.table.entries().find(|one| *one.name == *name)
    }

    /// State and reason, and what keeps it from working.
    fn detail(&self, entry: &Entry) -> String {
        let mute = self
            .own
            .get(&entry.name)
            .and_then(|own| own.mute.as_deref());
        let deaf = self.deaf.get(&Family::of(entry.config.neighbor));
        let (state, reason) = (entry.session.state(), reason(entry));
        match mute.or(deaf.map(String::as_str)) {
            Some(trouble) => format!("{state}: {reason}{BFD_OWN_TROUBLE}{trouble}"),
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
        reason: &dyn std::fmt::Display,
        refused: bool,
    ) {
        let now = self.now();
        let of_kind = |((known, of), _): &(&(String, &'static str), &Moment)| {
            *known == subject && *of == kind
        };
        let last = self.reported.iter().find(of_kind);
        if last.is_some_and(|(_, at)| now < *at + REPORT_SPACING) {
            return;
        }
        self.reported.insert((subject.to_owned(), kind), now);
        // Without room it is not told: it comes again.
        let _ = self.told.try_send(Told::Trouble {
            subject: format!("bfd {subject}").trim_end().to_owned(),
            change: change.to_owned(),
            reason: reason.to_string(),
            refused,
        });
    }

    async fn end(&mut self, reason: &str) {
        let mut deeds = self.table.stop(self.now(), reason);
        self.perform(&mut deeds);
        let until = self.now() + LAST_WORDS_PATIENCE;
        while let Some(at) = self.table.deadline().filter(|at| *at <= until) {
            tokio::time::sleep(at.saturating_sub(self.now())).await;
            self.catch_up(Family::Ipv4);
            self.catch_up(Family::Ipv6);
            self.elapse();
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
            interface: config.interface.clone().unwrap_or_default(),
            source: config.source.map(|ip| ip.to_string()).unwrap_or_default(),
            state: session.state().to_string(),
            up: session.is_well(),
            since_ms: self.own.get(&entry.name).map_or(0, |own| own.since_ms),
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
            receive_interval_us: micros(session.receive_interval()),
            multiplier: config.multiplier,
            remote_multiplier: session.remote().multiplier,
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

/// Index of the interface that a link-local neighbour is on, 0 of any other.
fn interface_of(config: &BfdInstance) -> std::io::Result<u32> {
    match (&config.interface, config.source) {
        (Some(name), _) => interface_named(name),
        (None, Some(IpAddr::V6(source))) if config.is_link_local() => interface_with(source),
        (None, _) => Ok(0),
    }
}

/// Opens a socket with a source port that is free, and says on which interface a link-local neighbour is.
fn open(config: &BfdInstance) -> std::io::Result<(Speaker, u32)> {
    let to = SocketAddr::new(config.neighbor, PORT);
    let ports = u64::from(SOURCE_PORTS.end() - SOURCE_PORTS.start()) + 1;
    let interface = interface_of(config)?;
    let mut failure = None;
    for _ in 0..PORT_TRIES {
        let offset = u16::try_from(random() % ports).unwrap_or_default();
        let port = SOURCE_PORTS.start() + offset;
        match Speaker::open(config.source, port, to, config.ttl, interface) {
            Ok(speaker) => return Ok((speaker, interface)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or(std::io::ErrorKind::AddrInUse.into()))
}
