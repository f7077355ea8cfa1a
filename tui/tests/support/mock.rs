//! A pair of nodes that is not there: serves the typed protocol from a scripted world that evolves,
//! and answers operations as the daemon would.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::client::{ClientAsk, ClientReply, ClientRequest, ClientTell, PROTOCOL_VERSION};
use protocol::event::now_ms;
use protocol::operation::{Level, Operation, Refusal, ServerAdmin, WeightChange};
use protocol::snapshot::{
    AdminCause, BackendStats, CheckStats, FrontendStats, Gauge, Operational, ProcessInfo,
    ProxySnapshot, Rate, Responses, ServerStats, Snapshot, Times, WorkerSnapshot,
};
use protocol::vrrp::{
    BfdSnapshot, Effect, InstanceSnapshot, PeerSeen, Share, Transition, VrrpCounters, VrrpState,
};
use protocol::{Event, EventKind, EventSeverity, EventSource, wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// A node's figures and history.
#[derive(Debug)]
pub struct MockNode {
    pub snapshot: Snapshot,
    pub events: Vec<Event>,
    /// Requests a second, shared by its usable servers; the MASTER alone gets any.
    pub requests_per_second: u64,
    /// Answers 5xx a second.
    pub errors_per_second: u64,
    started_ms: u64,
}

/// Both nodes.
#[derive(Debug)]
pub struct World {
    pub nodes: Vec<MockNode>,
    last_ms: u64,
}

pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world
        .lock()
        .expect("no test panics while it holds the world")
}

pub fn server(name: &str, address: &str) -> ServerStats {
    ServerStats {
        id: 1,
        name: name.to_owned(),
        address: address.to_owned(),
        initial_address: address.to_owned(),
        fqdn: String::new(),
        srv_record: String::new(),
        has_resolvers: false,
        configured_disabled: false,
        cookie: String::new(),
        admin: ServerAdmin::Ready,
        admin_cause: AdminCause::None,
        operational: Operational::Up,
        status: "UP".to_owned(),
        weight: 1,
        throttle: None,
        initial_weight: 1,
        user_weight: 1,
        backup: false,
        queue: Gauge::default(),
        queue_limit: 0,
        sessions: Gauge {
            current: 12,
            maximum: 40,
        },
        session_limit: 0,
        initial_session_limit: 0,
        sessions_total: 10_000,
        chosen_total: 10_000,
        rate: Rate {
            current: 17,
            maximum: 60,
            limit: 0,
        },
        bytes_in: 0,
        bytes_out: 0,
        denied_responses: 0,
        connection_errors: 0,
        response_errors: 0,
        retries: 0,
        redispatches: 0,
        client_aborts: 0,
        server_aborts: 0,
        responses: Responses {
            class_2xx: 9_900,
            class_3xx: 70,
            class_4xx: 30,
            ..Responses::default()
        },
        requests_total: 10_000,
        connects: 400,
        reuses: 9_600,
        idle_connections: 4,
        idle_limit: None,
        down_transitions: 0,
        last_change_ms: 190_000,
        downtime_ms: 0,
        last_session_ms: Some(10),
        times: Times {
            queue_ms: 0,
            connect_ms: 1,
            response_ms: 8,
            total_ms: 11,
            total_max_ms: 230,
            response_max_ms: 210,
            connect_max_ms: 3,
            queue_max_ms: 0,
        },
        check: Some(CheckStats {
            status: "L7OK".to_owned(),
            code: Some(200),
            duration_ms: 2,
            detail: String::new(),
            description: "Layer7 check passed".to_owned(),
            rise: 2,
            fall: 3,
            health: 4,
            failures: 0,
            history: vec![true; 12],
            enabled: true,
            ..CheckStats::default()
        }),
        ..ServerStats::empty()
    }
}

/// A node of the article's pair.
pub fn node(name: &str, state: VrrpState, at_ms: u64) -> MockNode {
    let master = state == VrrpState::Master;
    let (priority, source, peer, peer_priority) = if name == "a" {
        (100, "10.230.137.1", "10.230.137.2", 98)
    } else {
        (98, "10.230.137.2", "10.230.137.1", 100)
    };
    let heard = PeerSeen {
        address: peer.to_owned(),
        priority: peer_priority,
        age_ms: 320,
        adverts: 190,
    };
    let instance = InstanceSnapshot {
        name: "R1".to_owned(),
        interface: "eth0".to_owned(),
        vrid: 50,
        state,
        since_ms: at_ms - 190_000,
        base_priority: priority,
        effective_priority: priority,
        shares: vec![Share {
            item: "script chk_haproxy".to_owned(),
            healthy: true,
            effect: Effect::Priority(0),
            detail: "answered by the worker's heartbeat".to_owned(),
        }],
        advert_interval_ms: 1_000,
        master_interval_ms: None,
        nopreempt: false,
        preempt_delay_ms: 2_000,
        addresses: vec!["10.230.137.100/32".to_owned()],
        addresses_present: master,
        authentication: "none".to_owned(),
        source: source.to_owned(),
        master: (!master).then(|| heard.clone()),
        peers: if master { Vec::new() } else { vec![heard] },
        held: false,
        conflict: false,
        transitions: vec![
            Transition {
                at_ms: at_ms - 194_000,
                from: VrrpState::Init,
                to: if master {
                    VrrpState::Backup
                } else {
                    VrrpState::Init
                },
                reason: "started".to_owned(),
            },
            Transition {
                at_ms: at_ms - 190_000,
                from: if master {
                    VrrpState::Backup
                } else {
                    VrrpState::Init
                },
                to: state,
                reason: if master {
                    "no master was heard for 3.6 s"
                } else {
                    "a better master speaks"
                }
                .to_owned(),
            },
        ],
        bfd: Vec::new(),
        counters: VrrpCounters {
            adverts_sent: if master { 190 } else { 0 },
            adverts_received: if master { 0 } else { 190 },
            became_master: u64::from(master),
            gratuitous_arps_sent: if master { 10 } else { 0 },
            ..VrrpCounters::default()
        },
        decided: String::new(),
    };
    let busy = |mut stats: ServerStats| {
        if !master {
            stats.sessions.current = 0;
            stats.rate.current = 0;
        }
        stats
    };
    let frontend = FrontendStats {
        status: "OPEN".to_owned(),
        listeners: vec![":80".to_owned()],
        sessions: Gauge {
            current: if master { 24 } else { 0 },
            maximum: 80,
        },
        requests_total: 20_000,
        sessions_total: 20_000,
        ..FrontendStats::default()
    };
    let backend = BackendStats {
        status: "UP".to_owned(),
        algorithm: "roundrobin".to_owned(),
        weight: 2,
        active_servers: 2,
        last_change_ms: 190_000,
        ..BackendStats::default()
    };
    let proxies = vec![
        ProxySnapshot {
            id: 2,
            name: "main".to_owned(),
            http: true,
            frontend: Some(frontend),
            ..ProxySnapshot::default()
        },
        ProxySnapshot {
            id: 3,
            name: "nginx".to_owned(),
            http: true,
            frontend: None,
            servers: vec![
                busy(server("web1", "10.230.150.68:80")),
                busy(server("web2", "10.230.150.69:80")),
            ],
            backend: Some(backend),
        },
    ];
    let process = ProcessInfo {
        pid: 4_242,
        maxconn: 4_000,
        current_connections: if master { 24 } else { 0 },
        threads: 2,
        ..ProcessInfo::default()
    };
    let snapshot = Snapshot {
        at_ms,
        node: name.to_owned(),
        version: "0.1.0".to_owned(),
        supervisor_pid: 4_200,
        uptime_seconds: 194,
        worker: Some(WorkerSnapshot {
            process,
            proxies,
            resolvers: Vec::new(),
            settings: Vec::new(),
        }),
        proxy_configured: true,
        worker_detail: String::new(),
        vrrp: vec![instance],
        bfd: Vec::new(),
        vrrp_configured: true,
        vrrp_running: true,
        draining_workers: Vec::new(),
    };
    let mut node = MockNode {
        snapshot,
        events: Vec::new(),
        requests_per_second: 34,
        errors_per_second: 0,
        started_ms: at_ms - 194_000,
    };
    node.tell(
        at_ms - 194_000,
        EventSource::Supervisor,
        EventSeverity::Info,
        EventKind::ProcessStarted,
        "worker",
        "started",
        "configuration is valid",
    );
    node.tell(
        at_ms - 190_000,
        EventSource::Vrrp,
        EventSeverity::Notice,
        EventKind::VrrpTransition,
        "R1",
        if master {
            "BACKUP -> MASTER"
        } else {
            "INIT -> BACKUP"
        },
        if master {
            "no master was heard for 3.6 s"
        } else {
            "a better master speaks"
        },
    );
    node
}

impl MockNode {
    #[allow(clippy::too_many_arguments)]
    pub fn tell(
        &mut self,
        at_ms: u64,
        source: EventSource,
        severity: EventSeverity,
        kind: EventKind,
        subject: &str,
        change: &str,
        reason: &str,
    ) {
        let sequence = self.events.len() as u64 + 1;
        self.events.push(Event {
            sequence,
            at_ms,
            ..Event::now(source, severity, kind, subject, change, reason)
        });
    }

    pub fn instance(&mut self) -> &mut InstanceSnapshot {
        &mut self.snapshot.vrrp[0]
    }

    pub fn backend(&mut self) -> &mut ProxySnapshot {
        let worker = self
            .snapshot
            .worker
            .as_mut()
            .expect("the mock has a worker");
        worker
            .proxies
            .iter_mut()
            .find(|proxy| proxy.name == "nginx")
            .expect("the article's backend")
    }

    pub fn server(&mut self, name: &str) -> &mut ServerStats {
        self.backend()
            .servers
            .iter_mut()
            .find(|server| server.name == name)
            .expect("a server of the article")
    }

    /// A check fails, as when the web server is killed.
    pub fn server_down(&mut self, name: &str, at_ms: u64) {
        let stats = self.server(name);
        stats.operational = Operational::Down;
        stats.status = "DOWN".to_owned();
        stats.last_change_ms = 0;
        stats.sessions.current = 0;
        stats.rate.current = 0;
        stats.down_transitions += 1;
        if let Some(check) = &mut stats.check {
            check.status = "L4CON".to_owned();
            check.code = None;
            check.description = "Layer4 connection problem".to_owned();
            check.detail = "Connection refused".to_owned();
            check.health = 0;
            check.history = [vec![true; 9], vec![false; 3]].concat();
            check.failures += 3;
        }
        self.tell(
            at_ms,
            EventSource::Worker,
            EventSeverity::Alert,
            EventKind::ServerDown,
            &format!("nginx/{name}"),
            "UP -> DOWN",
            "Layer4 connection problem, Connection refused",
        );
    }

    pub fn server_up(&mut self, name: &str, at_ms: u64) {
        let fresh = server(name, &self.server(name).address.clone());
        let stats = self.server(name);
        stats.operational = Operational::Up;
        stats.status = "UP".to_owned();
        stats.last_change_ms = 0;
        stats.check = fresh.check;
        self.tell(
            at_ms,
            EventSource::Worker,
            EventSeverity::Notice,
            EventKind::ServerUp,
            &format!("nginx/{name}"),
            "DOWN -> UP",
            "Layer7 check passed",
        );
    }

    fn become_state(&mut self, state: VrrpState, at_ms: u64, reason: &str) {
        let from = self.instance().state;
        if from == state {
            return;
        }
        let instance = self.instance();
        instance.state = state;
        instance.since_ms = at_ms;
        instance.addresses_present = state == VrrpState::Master;
        instance.counters.became_master += u64::from(state == VrrpState::Master);
        instance.transitions.push(Transition {
            at_ms,
            from,
            to: state,
            reason: reason.to_owned(),
        });
        self.tell(
            at_ms,
            EventSource::Vrrp,
            EventSeverity::Notice,
            EventKind::VrrpTransition,
            "R1",
            &format!("{from} -> {state}"),
            reason,
        );
    }
}

impl World {
    /// The article's pair: `a` is MASTER.
    pub fn pair() -> Shared {
        let at_ms = now_ms();
        Arc::new(Mutex::new(Self {
            nodes: vec![
                node("a", VrrpState::Master, at_ms),
                node("b", VrrpState::Backup, at_ms),
            ],
            last_ms: at_ms,
        }))
    }

    /// Lets time pass.
    pub fn tick(&mut self, at_ms: u64) {
        let elapsed = at_ms.saturating_sub(self.last_ms);
        self.last_ms = at_ms;
        for node in &mut self.nodes {
            let master = node.instance().state == VrrpState::Master;
            // Traffic swings a little, so that graphs have something to show.
            let swing = 80 + at_ms / 1_000 * 13 % 40;
            let rate = if master {
                node.requests_per_second * swing / 100
            } else {
                0
            };
            let served = rate * elapsed / 1_000 + u64::from(master && at_ms % 1_000 < elapsed);
            let second = at_ms / 1_000 != (at_ms - elapsed.min(at_ms)) / 1_000;
            let errors = if master && second {
                node.errors_per_second
            } else {
                0
            };
            node.snapshot.at_ms = at_ms;
            node.snapshot.uptime_seconds = (at_ms - node.started_ms) / 1_000;
            let backend = node.backend();
            let used = |server: &ServerStats| {
                server.admin == ServerAdmin::Ready && server.operational == Operational::Up
            };
            let number = backend.servers.iter().filter(|server| used(server)).count() as u64;
            let mut sessions = 0;
            for server in &mut backend.servers {
                server.last_change_ms += elapsed;
                if used(server) && master {
                    server.sessions_total += served / number;
                    server.requests_total += served / number;
                    server.responses.class_2xx += served / number;
                    server.rate.current = rate / number;
                    server.sessions.current = (24 + at_ms / 1_000 % 5) / number;
                    server.sessions.maximum = server.sessions.maximum.max(server.sessions.current);
                } else if server.admin != ServerAdmin::Ready
                    && server.sessions.current > 0
                    && at_ms / 400 != (at_ms - elapsed.min(at_ms)) / 400
                {
                    server.sessions.current -= 1;
                    server.rate.current = 0;
                } else if !master {
                    server.sessions.current = 0;
                }
                sessions += server.sessions.current;
            }
            let usable = backend.servers.iter().filter(|server| used(server)).count() as u32;
            if let Some(stats) = &mut backend.backend {
                let status = if usable == 0 { "DOWN" } else { "UP" };
                if stats.status != status {
                    stats.last_change_ms = 0;
                }
                stats.status = status.to_owned();
                stats.active_servers = usable;
                stats.last_change_ms += elapsed;
                stats.sessions.current = sessions;
                stats.responses.class_5xx += errors;
            }
            if let Some(worker) = &mut node.snapshot.worker {
                worker.process.current_connections = sessions;
                if let Some(frontend) = &mut worker.proxies[0].frontend {
                    frontend.requests_total += served;
                    frontend.responses.class_5xx += errors;
                    frontend.sessions.current = sessions;
                }
            }
            let counters = &mut node.instance().counters;
            if at_ms / 1_000 != (at_ms - elapsed.min(at_ms)) / 1_000 {
                if master {
                    counters.adverts_sent += 1
                } else {
                    counters.adverts_received += 1
                }
            }
        }
    }

    /// Moves the address to the other node.
    fn move_to(&mut self, to: usize, at_ms: u64, why_leaves: &str, why_takes: &str) {
        for index in 0..self.nodes.len() {
            let (source, priority) = {
                let other = self.nodes[1 - index].instance();
                (other.source.clone(), other.effective_priority)
            };
            let heard = PeerSeen {
                address: source,
                priority,
                age_ms: 120,
                adverts: 1,
            };
            let node = &mut self.nodes[index];
            if index == to {
                node.become_state(VrrpState::Master, at_ms, why_takes);
                node.instance().master = None;
            } else {
                node.become_state(VrrpState::Backup, at_ms, why_leaves);
                node.instance().master = Some(heard);
            }
        }
    }

    /// Does what the daemon would.
    pub fn operate(&mut self, place: usize, operation: &Operation) -> Result<String, Refusal> {
        let at_ms = now_ms();
        match operation {
            Operation::ServerState { server, state } => {
                let node = &mut self.nodes[place];
                let stats = find(node, server)?;
                stats.admin = *state;
                stats.admin_cause = if *state == ServerAdmin::Ready {
                    AdminCause::None
                } else {
                    AdminCause::Operator
                };
                let word = match state {
                    ServerAdmin::Ready if stats.operational == Operational::Down => "DOWN",
                    ServerAdmin::Ready => "UP",
                    ServerAdmin::Drain => "DRAIN",
                    ServerAdmin::Maint => "MAINT",
                };
                stats.status = word.to_owned();
                stats.last_change_ms = 0;
                stats.weight = if *state == ServerAdmin::Drain {
                    0
                } else {
                    stats.user_weight
                };
                node.tell(
                    at_ms,
                    EventSource::Operator,
                    EventSeverity::Notice,
                    EventKind::ServerAdmin,
                    &server.to_string(),
                    &format!("is now {word}"),
                    "asked by an operator",
                );
                Ok(String::new())
            }
            Operation::ServerWeight { server, weight } => {
                let stats = find(&mut self.nodes[place], server)?;
                stats.user_weight = match weight {
                    WeightChange::Absolute(number) => u32::from(*number),
                    WeightChange::Percent(number) => (stats.initial_weight * number).div_ceil(100),
                };
                stats.weight = stats.user_weight;
                Ok(String::new())
            }
            Operation::VrrpFailover { instance, force } => {
                if instance != "R1" {
                    return Err(Refusal::NoSuchInstance(instance.clone()));
                }
                let other = 1 - place;
                let there = self.nodes[other].instance().state == VrrpState::Backup;
                if !there && !force {
                    return Err(Refusal::Unsafe(
                        "nobody is there to take over; 'force' insists".to_owned(),
                    ));
                }
                self.nodes[place].instance().held = true;
                self.move_to(
                    other,
                    at_ms,
                    "given away by an operator",
                    "the master resigned",
                );
                Ok(String::new())
            }
            Operation::VrrpFailback { instance } => {
                if instance != "R1" {
                    return Err(Refusal::NoSuchInstance(instance.clone()));
                }
                self.nodes[place].instance().held = false;
                if place != 0 {
                    return Err(Refusal::Unsafe(
                        "the master has priority 100, this node has 98: it would lose".to_owned(),
                    ));
                }
                self.move_to(0, at_ms, "a better master speaks", "operator: failback");
                Ok(String::new())
            }
            Operation::Reload => Ok("the new worker runs".to_owned()),
            _ => Err(Refusal::Invalid("the mock does not do this".to_owned())),
        }
    }
}

fn find<'a>(
    node: &'a mut MockNode,
    name: &protocol::ServerName,
) -> Result<&'a mut ServerStats, Refusal> {
    let worker = node
        .snapshot
        .worker
        .as_mut()
        .ok_or(Refusal::NotRunning("The worker".to_owned()))?;
    let proxy = worker
        .proxies
        .iter_mut()
        .find(|proxy| proxy.name == name.backend)
        .ok_or(Refusal::NoSuchBackend)?;
    proxy
        .servers
        .iter_mut()
        .find(|server| server.name == name.server)
        .ok_or(Refusal::NoSuchServer)
}

/// Lets time pass for as long as the task lives.
pub async fn run_clock(world: Shared) {
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    loop {
        clock.tick().await;
        lock(&world).tick(now_ms());
    }
}

/// Serves a node on a socket until the task ends; aborting it cuts all connections.
pub async fn serve(world: Shared, place: usize, path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(converse(world.clone(), place, stream));
    }
}

async fn converse(world: Shared, place: usize, mut stream: UnixStream) -> std::io::Result<()> {
    let mut magic = [0; 8];
    stream.read_exact(&mut magic).await?;
    if magic != wire::CLIENT_MAGIC {
        return stream.write_all(b"Unknown command.\n\n").await;
    }
    let (mut read, mut write) = stream.into_split();
    let (asked, mut asks) = tokio::sync::mpsc::channel::<ClientRequest>(16);
    let reader = tokio::spawn(async move {
        let mut length = [0; wire::LENGTH_BYTES];
        while read.read_exact(&mut length).await.is_ok() {
            let Ok(length) = wire::announced_length(length, wire::MAX_CLIENT_FRAME_BYTES) else {
                return;
            };
            let mut bytes = vec![0; length];
            if read.read_exact(&mut bytes).await.is_err() {
                return;
            }
            let Ok(request) = wire::decode(&bytes) else {
                return;
            };
            if asked.send(request).await.is_err() {
                return;
            }
        }
    });
    let mut interval: Option<tokio::time::Interval> = None;
    let (mut push_ms, mut pushed_ms) = (0, 0);
    let mut told = 0;
    loop {
        tokio::select! {
            request = asks.recv() => {
                let Some(request) = request else { break };
                let body = match request.body {
                    ClientAsk::Hello { .. } => ClientTell::Welcome {
                        version: PROTOCOL_VERSION,
                        node: lock(&world).nodes[place].snapshot.node.clone(),
                        level: Level::Admin,
                    },
                    ClientAsk::Snapshot => ClientTell::Snapshot(Box::new(lock(&world).nodes[place].snapshot.clone())),
                    ClientAsk::Subscribe { interval_ms } => {
                        told = lock(&world).nodes[place].events.len();
                        push_ms = interval_ms.max(100);
                        interval = Some(tokio::time::interval(Duration::from_millis(100)));
                        ClientTell::Done(String::new())
                    }
                    ClientAsk::Events { after } => {
                        let world = lock(&world);
                        let events = world.nodes[place].events.iter().filter(|event| event.sequence > after);
                        ClientTell::Events(events.cloned().collect())
                    }
                    ClientAsk::Do(operation) => match lock(&world).operate(place, &operation) {
                        Ok(text) => ClientTell::Done(text),
                        Err(refusal) => ClientTell::Refused(refusal),
                    },
                    ClientAsk::Text(command) => ClientTell::Text(format!("Name: mock\nasked: {command}\n")),
                };
                write.write_all(&wire::frame(&ClientReply { id: request.id, body }).map_err(std::io::Error::other)?).await?;
            }
            _ = next(&mut interval) => {
                let (snapshot, events) = {
                    let world = lock(&world);
                    let node = &world.nodes[place];
                    (node.snapshot.clone(), node.events[told.min(node.events.len())..].to_vec())
                };
                told += events.len();
                let mut bytes = Vec::new();
                if now_ms() >= pushed_ms + push_ms {
                    pushed_ms = now_ms();
                    bytes = wire::frame(&ClientReply { id: 0, body: ClientTell::Snapshot(Box::new(snapshot)) }).map_err(std::io::Error::other)?;
                }
                if !events.is_empty() {
                    bytes.extend(wire::frame(&ClientReply { id: 0, body: ClientTell::Events(events) }).map_err(std::io::Error::other)?);
                }
                write.write_all(&bytes).await?;
            }
        }
    }
    reader.abort();
    Ok(())
}

async fn next(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// A BFD session that hears its neighbour, or does not any more.
pub fn bfd_session(name: &str, up: bool, at_ms: u64) -> BfdSnapshot {
    let state = if up { "Up" } else { "Down" };
    let detail = if up {
        "10.230.137.254 said Init: both hear each other"
    } else {
        "nothing heard from 10.230.137.254 for 250 ms (detection time 250 ms)"
    };
    BfdSnapshot {
        name: name.to_owned(),
        neighbor: "10.230.137.254".to_owned(),
        interface: String::new(),
        source: "10.230.137.1".to_owned(),
        state: state.to_owned(),
        up,
        since_ms: at_ms - 60_000,
        detail: format!("{state}: {detail}"),
        diagnostic: "no diagnostic".to_owned(),
        remote_state: "Up".to_owned(),
        remote_diagnostic: "no diagnostic".to_owned(),
        heard_ms: Some(40),
        discriminator: 1,
        remote_discriminator: 2,
        transmit_interval_us: 50_000,
        receive_interval_us: 50_000,
        multiplier: 5,
        remote_multiplier: 5,
        detection_time_us: 250_000,
        sent: 12,
        received: 11,
        ups: 1,
        downs: u64::from(!up),
        refused: vec![("ttl".to_owned(), 3)],
    }
}
