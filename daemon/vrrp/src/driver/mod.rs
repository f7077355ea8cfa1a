//! The driver: performs what the cores decide, and brings them what happens.
//!
//! One task owns all state and waits for the next of: a timer, the supervisor, the control process, an
//! advertisement, a change of the kernel's tables, a signal. It never waits for a reader.

mod addresses;
mod announce;
mod authentication;
mod bfd;
mod difference;
mod filter;
mod ipvlan;
mod judge;
mod keep;
mod links;
mod messages;
mod notify;
mod outbox;
mod perform;
mod ports;
mod process;
mod release;
mod reload;
mod remember;
mod routes;
mod scripts;
mod sessions;
mod statics;
mod tell;
mod tidy;
mod timers;
mod tracked;
mod unit;
mod vmac;
mod voice;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use config::keepalived::Statics;
use protocol::process::{FromChild, ToChild};
use protocol::{EventKind, EventSeverity};
use sys::alarm::Alarm;
use sys::batch::Batch;
use sys::channel::Channel;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Setup;
use crate::core::Moment;
use crate::core::tracking::ProxyTrack;
use crate::network::{Network, NetworkError};
use crate::packet::hmac::Wall;

use announce::Announcer;
use bfd::Bfd;
use judge::SyncGroup;
use links::Links;
use messages::{Message, read_supervisor};
use notify::{Notifications, Told};
use outbox::Outbox;
use ports::Ports;
use release::Afterwards;
use remember::Memory;
use routes::Troubles;
pub(crate) use routes::lines;
use scripts::{Numbers, Script};
use tracked::Watched;
use unit::Unit;
use vmac::Borrowed;

/// Messages of other processes that wait for their turn.
const INBOX_MESSAGES: usize = 256;
/// Least time between two readings of the kernel's tables: changes often come in groups.
const REFRESH_SPACING: Duration = Duration::from_millis(20);
/// Pause after the kernel's tables could not be read.
const REFRESH_ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Longest that `notify_stop` scripts are waited for.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The control process that listens to us.
struct Control {
    generation: u64,
    outbox: Outbox,
}

/// All state of the process.
struct Driver {
    setup: Setup,
    started: Instant,
    /// The time of day, for `auth_hmac` alone.
    wall: fn() -> Wall,
    /// Why the packet filter of `no_accept` is not there.
    filter_failed: Option<String>,
    /// How long the system ran before us.
    uptime: Duration,
    /// `vrrp_startup_delay` or `vrrp_delay_after_boot` runs.
    starting: bool,
    units: Vec<Unit>,
    /// When each unit wants to run: looked through at every wake, so it lies together.
    due: Vec<Moment>,
    /// VRIDs with their units, in order: they are looked for at every packet.
    vrids: Vec<(u8, usize)>,
    /// Virtual routers of others that were told of.
    strangers: process::Strangers,
    /// When the alarm rings; nothing is due before.
    wound: Moment,
    /// It has not rung yet.
    is_wound: bool,
    /// Something may be due before the alarm rings.
    stirred: bool,
    /// How long a datagram may wait for others.
    doze: Duration,
    /// When the last ones were heard.
    heard_at: Moment,
    groups: Vec<SyncGroup>,
    scripts: Vec<Script>,
    watched: Watched,
    bfd: Bfd,
    /// Commands that tell of changes, by instance and group.
    notifications: HashMap<String, Notifications>,
    /// Changes told so far.
    notified: u64,
    /// Commands of `pre_release` that run, and what waits for them.
    releases: Vec<release::Release>,
    proxy: ProxyTrack,
    network: Network,
    ports: Ports,
    announcer: Announcer,
    borrowed: Borrowed,
    links: Links,
    statics: Statics,
    /// What of them is known to have been there.
    statics_kept: HashSet<String>,
    /// Which of them could not be added, and why.
    statics_troubles: Troubles,
    virtual_addresses: HashSet<IpAddr>,
    numbers: Numbers,
    /// What the next process is to know.
    memory: Memory,
    supervisor: Outbox,
    supervisor_gone: bool,
    control: Option<Control>,
    generation: u64,
    messages: mpsc::Sender<Message>,
    refresh_at: Option<Moment>,
    /// When memory is given back.
    tidy_at: Option<Moment>,
    refreshed_at: Moment,
}

/// The ends of the queues that the main loop reads.
struct Inbox {
    messages: mpsc::Receiver<Message>,
    changes: mpsc::Receiver<()>,
    sessions: mpsc::Receiver<sessions::Told>,
}

/// A driver that is ready to begin.
struct Opened {
    driver: Box<Driver>,
    setup: Setup,
    inbox: Inbox,
    alarm: Alarm,
}

/// See [`crate::run`].
pub(crate) async fn run(setup: Setup, supervisor: Channel, control: Option<Channel>) -> ExitCode {
    match open(setup, supervisor, control) {
        Ok(opened) => {
            opened
                .driver
                .live(opened.setup, opened.inbox, opened.alarm)
                .await
        }
        Err((outbox, error)) => {
            tracing::error!("vrrp: cannot start: {error}");
            outbox.send(&FromChild::Failed(format!("cannot start: {error}")));
            outbox.flush().await;
            ExitCode::FAILURE
        }
    }
}

/// Opens what the driver needs. In a frame of its own, which ends: all that runs afterwards lies above it on the stack.
#[inline(never)]
fn open(
    setup: Setup,
    supervisor: Channel,
    control: Option<Channel>,
) -> Result<Box<Opened>, (Outbox, NetworkError)> {
    sys::memory::keep_little();
    if let Err(error) = sys::realtime::schedule() {
        tracing::debug!("vrrp: no real-time priority: {error}");
    }
    let (messages, message_inbox) = mpsc::channel(INBOX_MESSAGES);
    let (changed, change_inbox) = mpsc::channel(1);
    let (told, told_inbox) = mpsc::channel(bfd::TOLD);
    let outbox = Outbox::new("supervisor", supervisor.sender);
    tokio::spawn(read_supervisor(supervisor.receiver, messages.clone()));
    let opened =
        Network::open(changed).and_then(|network| Ok((network, Announcer::open()?, Alarm::new()?)));
    let (network, announcer, alarm) = match opened {
        Ok(opened) => opened,
        Err(error) => return Err((outbox, error)),
    };
    let memory = Memory::new(&setup.remembered);
    let mut driver = Box::new(Driver {
        setup: Setup {
            config: Default::default(),
            node: String::new(),
            remembered: Vec::new(),
            ..setup
        },
        started: Instant::now(),
        wall: authentication::wall,
        filter_failed: None,
        starting: {
            let global = &setup.config.global;
            !(global.startup_delay + global.delay_after_boot).is_zero()
        },
        uptime: uptime(),
        units: Vec::new(),
        due: Vec::new(),
        vrids: Vec::new(),
        strangers: process::Strangers::default(),
        wound: Moment::MAX,
        is_wound: false,
        stirred: true,
        doze: Duration::ZERO,
        heard_at: Moment::ZERO,
        groups: Vec::new(),
        scripts: Vec::new(),
        watched: Watched::default(),
        bfd: Bfd::new(told),
        notifications: HashMap::new(),
        notified: 0,
        releases: Vec::new(),
        proxy: ProxyTrack::default(),
        network,
        ports: Ports::default(),
        announcer,
        borrowed: Borrowed::default(),
        links: Links::default(),
        statics: Statics::default(),
        statics_kept: HashSet::new(),
        statics_troubles: Troubles::new(),
        virtual_addresses: HashSet::new(),
        numbers: Numbers::default(),
        memory,
        supervisor: outbox,
        supervisor_gone: false,
        control: None,
        generation: 0,
        messages,
        refresh_at: None,
        tidy_at: None,
        refreshed_at: Moment::ZERO,
    });
    if let Some(control) = control {
        driver.attach(control);
    }
    let inbox = Inbox {
        messages: message_inbox,
        changes: change_inbox,
        sessions: told_inbox,
    };
    Ok(Box::new(Opened {
        driver,
        setup,
        inbox,
        alarm,
    }))
}

/// Has SIGTERM and SIGINT come as messages: they ask for an end in order.
fn watch_signals(messages: mpsc::Sender<Message>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if messages.send(Message::Signal(name)).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// How long the system runs; for ever where that cannot be told.
fn uptime() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split(' ').next().and_then(|text| text.parse().ok());
    let told = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    told.unwrap_or(Duration::MAX)
}

impl Driver {
    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    /// When instances may begin.
    fn begins_at(&self) -> Moment {
        let global = &self.setup.config.global;
        let after_boot = global.delay_after_boot.saturating_sub(self.uptime);
        global.startup_delay.max(after_boot)
    }

    async fn live(mut self: Box<Self>, setup: Setup, mut inbox: Inbox, alarm: Alarm) -> ExitCode {
        if let Err(error) = watch_signals(self.messages.clone()) {
            self.supervisor
                .send(&FromChild::Failed(format!("cannot watch signals: {error}")));
            self.supervisor.flush().await;
            return ExitCode::FAILURE;
        }
        Box::pin(self.apply(setup, reload::FIRST)).await;
        if let Err(error) = sys::realtime::lock_memory() {
            tracing::debug!("vrrp: memory is not locked: {error}");
        }
        self.supervisor.send(&FromChild::Ready);
        let mut batch = Batch::default();
        let reason = loop {
            // What is due comes before what arrived: no flood may keep us from advertising.
            if self.is_stirred() {
                self.run_timers(&mut batch).await;
                if let Some(reason) = self.run_releases().await {
                    break reason;
                }
                self.wind(&alarm);
            }
            tokio::select! {
                biased;
                _ = alarm.ring() => (self.is_wound, self.stirred) = (false, true),
                Some(message) = inbox.messages.recv() => {
                    if let Some(reason) = self.message(message).await {
                        if self.supervisor_gone {
                            break reason;
                        }
                        self.prepare_stop(reason);
                    }
                    self.plan_all();
                }
                Some(()) = inbox.changes.recv() => self.plan_refresh(),
                Some(told) = inbox.sessions.recv() => self.bfd_told(told).await,
                (port, count) = self.ports.receive(&mut batch) => {
                    self.arrived(port, count, &mut batch).await;
                    self.doze(count);
                }
            }
        };
        Box::pin(self.stop(reason, inbox.messages)).await;
        ExitCode::SUCCESS
    }

    /// Reads the kernel's tables now, or a moment after the last time.
    fn plan_refresh(&mut self) {
        self.refresh_at = Some(self.refreshed_at + REFRESH_SPACING);
        self.stirred = true;
    }

    /// Reads the kernel's tables and lets every instance know.
    async fn refresh(&mut self, cause: &str) {
        self.refreshed_at = self.now();
        self.tidy_later();
        if let Err(error) = self.network.refresh().await {
            tracing::error!("vrrp: {error}");
            self.refresh_at = Some(self.refreshed_at + REFRESH_ERROR_PAUSE);
            return;
        }
        self.keep_vmacs().await;
        self.open_ports();
        self.keep_statics().await;
        self.settle_links();
        self.judge_all(cause).await;
        self.filter();
        self.restore_addresses().await;
    }

    /// Lets the commands of `pre_release` run before the end, unless the addresses stay.
    fn prepare_stop(&mut self, reason: &'static str) {
        let units = match self.setup.keep_addresses {
            true => Vec::new(),
            false => self.masters(),
        };
        let after = Afterwards::Stop(reason);
        if let Some(after) = self.release(units.into_iter(), None, reason, after) {
            self.releases.push(release::Release::due(after));
        }
    }

    /// Ends in order: resigns, removes the addresses, runs the last notifications.
    async fn stop(mut self: Box<Self>, reason: &str, mut messages: mpsc::Receiver<Message>) {
        self.remember_now(self.now());
        for at in 0..self.units.len() {
            let keeps = self.setup.keep_addresses && !self.supervisor_gone;
            if !keeps || !self.keep(at).await {
                self.resign(at, Told::Stop, reason).await;
            }
        }
        self.stop_groups(reason);
        self.end_bfd(reason).await;
        self.sweep_addresses().await;
        let statics = std::mem::take(&mut self.statics);
        self.remove_statics(&statics).await;
        self.give_back().await;
        let until = Instant::now() + STOP_PATIENCE;
        while !self.supervisor_gone && self.notifications.values().any(|queue| !queue.is_idle()) {
            self.turn_notifications();
            match tokio::time::timeout_at(until, messages.recv()).await {
                Ok(Some(Message::Supervisor(ToChild::ScriptDone { id, outcome }, _))) => {
                    self.notification_ended(id, &outcome);
                }
                Ok(Some(Message::SupervisorGone)) => self.supervisor_gone = true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        if let Some(control) = self.control.take() {
            control.outbox.flush().await;
        }
        self.supervisor.flush().await;
    }

    /// Says what the kernel refused.
    fn network_failed(&mut self, name: &str, change: &str, error: &NetworkError) {
        self.event(
            EventSeverity::Alert,
            EventKind::Other,
            name,
            change,
            &error.to_string(),
        );
    }

    fn collect_virtual_addresses(&mut self) {
        let foreign = self.units.iter().filter(|unit| unit.config.priority != 255);
        let all = foreign.flat_map(|unit| unit.addresses().map(|(_, entry)| entry.address));
        self.virtual_addresses = all.collect();
    }
}
