//! A control process in this process, with a worker that answers from a fixed snapshot.

#![allow(dead_code, unreachable_pub)]

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::client::{ClientAsk, ClientReply, ClientRequest, ClientTell, PROTOCOL_VERSION};
use protocol::process::{FromChild, Role, ToChild};
use protocol::snapshot::{
    BackendStats, CheckStats, FrontendStats, ProcessInfo, ProxySnapshot, ServerStats,
    WorkerSnapshot,
};
use protocol::worker::{WorkerAsk, WorkerRequest, WorkerTell};
use protocol::{Event, EventKind, EventSeverity, EventSource, Level, Operation, Refusal, wire};
use sys::channel::Channel;
use tandem_daemon::control::{self, Setup, SocketSetup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Figures of the proxies `main` and `nginx`.
pub fn figures() -> WorkerSnapshot {
    let server = |id: u32, name: &str, backup: bool| ServerStats {
        id,
        name: name.to_owned(),
        address: format!("192.0.2.{id}:80"),
        status: "UP".to_owned(),
        throttle: None,
        initial_weight: 1,
        user_weight: 1,
        weight: 1,
        backup,
        check: (!backup).then(|| CheckStats {
            status: "L4OK".to_owned(),
            rise: 2,
            fall: 3,
            health: 4,
            enabled: true,
            ..CheckStats::default()
        }),
        ..ServerStats::empty()
    };
    let main = ProxySnapshot {
        id: 2,
        name: "main".to_owned(),
        http: true,
        frontend: Some(FrontendStats {
            status: "OPEN".to_owned(),
            session_limit: 100,
            ..FrontendStats::default()
        }),
        ..ProxySnapshot::default()
    };
    let nginx = ProxySnapshot {
        id: 3,
        name: "nginx".to_owned(),
        http: true,
        servers: vec![server(1, "web1", false), server(2, "web2", true)],
        backend: Some(BackendStats {
            status: "UP".to_owned(),
            algorithm: "roundrobin".to_owned(),
            ..BackendStats::default()
        }),
        ..ProxySnapshot::default()
    };
    WorkerSnapshot {
        process: ProcessInfo {
            pid: 4_242,
            ..ProcessInfo::default()
        },
        proxies: vec![main, nginx],
        resolvers: Vec::new(),
        settings: Vec::new(),
    }
}

/// A running control process.
pub struct Rig {
    folder: tempfile::TempDir,
    supervisor: Channel,
    operations: Arc<Mutex<Vec<Operation>>>,
}

impl Rig {
    /// With a worker.
    pub async fn start(level: Level) -> Self {
        let rig = Self::without_worker(level).await;
        let (ours, theirs) = sys::channel::pair().expect("pair");
        let peer = wire::encode(&ToChild::Peer {
            role: Role::Worker,
            pid: 4_242,
        })
        .expect("small");
        use std::os::fd::AsFd;
        rig.supervisor
            .sender
            .send(&peer, &[theirs.as_fd()])
            .await
            .expect("peer");
        let current = wire::encode(&ToChild::CurrentWorker { pid: 4_242 }).expect("small");
        rig.supervisor
            .sender
            .send(&current, &[])
            .await
            .expect("current");
        let operations = Arc::clone(&rig.operations);
        tokio::spawn(async move {
            let mut channel = Channel::new(ours).expect("worker's end");
            while let Ok(Some((frame, _))) = channel.receiver.receive().await {
                let request: WorkerRequest = wire::decode(&frame).expect("a request");
                let id = request.id;
                let tell = match request.ask {
                    WorkerAsk::Snapshot => WorkerTell::Snapshot {
                        id,
                        snapshot: Box::new(figures()),
                    },
                    WorkerAsk::Sessions => WorkerTell::Sessions {
                        id,
                        sessions: Vec::new(),
                    },
                    WorkerAsk::Errors => WorkerTell::Errors {
                        id,
                        errors: Vec::new(),
                    },
                    WorkerAsk::Patterns(_) => WorkerTell::Done {
                        id,
                        result: Ok(String::new()),
                    },
                    WorkerAsk::Do(Operation::ShutdownSession { .. }) => WorkerTell::Done {
                        id,
                        result: Err(Refusal::NoSuchSession),
                    },
                    WorkerAsk::Do(operation) => {
                        let event = Event::now(
                            EventSource::Operator,
                            EventSeverity::Notice,
                            EventKind::ServerAdmin,
                            "nginx/web1",
                            "changed",
                            "asked by an operator",
                        );
                        let event = wire::encode(&WorkerTell::Event(event)).expect("small");
                        channel.sender.send(&event, &[]).await.expect("an event");
                        operations.lock().expect("unpoisoned").push(operation);
                        WorkerTell::Done {
                            id,
                            result: Ok(String::new()),
                        }
                    }
                };
                channel
                    .sender
                    .send(&wire::encode(&tell).expect("small"), &[])
                    .await
                    .expect("an answer");
            }
        });
        // The peer is known when a first answer came.
        let deadline = tokio::time::Instant::now() + LIMIT;
        while !rig.ask("show backend").await.contains("nginx") {
            assert!(
                tokio::time::Instant::now() < deadline,
                "the worker is not asked"
            );
        }
        rig
    }

    /// Without one.
    pub async fn without_worker(level: Level) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let listener =
            std::os::unix::net::UnixListener::bind(folder.path().join("s")).expect("socket");
        let setup = Setup {
            node: "n1".to_owned(),
            version: "0".to_owned(),
            supervisor_pid: 1,
            started_at_ms: 0,
            sockets: vec![SocketSetup {
                name: "unix@s".to_owned(),
                level,
            }],
            timeout: LIMIT,
            max_clients: 10,
            proxy_configured: true,
            vrrp_configured: false,
            mail: None,
            dbus: None,
            description: String::new(),
            uid: None,
            gid: None,
        };
        let (ours, theirs) = sys::channel::pair().expect("pair");
        let theirs = Channel::new(theirs).expect("control's end");
        tokio::spawn(control::run(setup, theirs, vec![OwnedFd::from(listener)]));
        let mut supervisor = Channel::new(ours).expect("supervisor's end");
        let (frame, _) = supervisor
            .receiver
            .receive()
            .await
            .expect("io")
            .expect("ready");
        assert_eq!(
            wire::decode::<FromChild>(&frame).expect("a message"),
            FromChild::Ready
        );
        Self {
            folder,
            supervisor,
            operations: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// What the worker was told to do.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().expect("unpoisoned").clone()
    }

    /// Sends lines, shuts the writing side and reads to the end.
    pub async fn ask(&self, lines: &str) -> String {
        ask(&self.path(), lines).await
    }

    /// A connection that has said its magic.
    pub async fn typed(&self) -> Typed {
        let mut stream = UnixStream::connect(self.path()).await.expect("connect");
        stream.write_all(&wire::CLIENT_MAGIC).await.expect("magic");
        Typed { stream, next_id: 0 }
    }
}

/// Asks on a text socket.
pub async fn ask(path: &std::path::Path, lines: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("connect");
    stream
        .write_all(format!("{lines}\n").as_bytes())
        .await
        .expect("write");
    // haproxy closes at once after `quit`; then there is nothing to shut.
    let _ = stream.shutdown().await;
    let mut bytes = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes))
        .await
        .expect("in time")
        .expect("read");
    String::from_utf8(bytes).expect("text")
}

/// A typed client.
pub struct Typed {
    stream: UnixStream,
    next_id: u64,
}

impl Typed {
    /// Greets and is welcomed.
    pub async fn hello(&mut self) {
        let welcome = self
            .ask(ClientAsk::Hello {
                version: PROTOCOL_VERSION,
            })
            .await;
        assert!(matches!(welcome, ClientTell::Welcome { node, .. } if node == "n1"));
    }

    /// Asks and waits for the answer of that number.
    pub async fn ask(&mut self, body: ClientAsk) -> ClientTell {
        self.next_id += 1;
        let frame = wire::frame(&ClientRequest {
            id: self.next_id,
            body,
        })
        .expect("small");
        self.stream.write_all(&frame).await.expect("write");
        let (id, body) = self.receive().await;
        assert_eq!(id, self.next_id);
        body
    }

    /// The next reply or push.
    pub async fn receive(&mut self) -> (u64, ClientTell) {
        let read = async {
            let mut length = [0; wire::LENGTH_BYTES];
            self.stream.read_exact(&mut length).await.expect("length");
            let mut payload =
                vec![0; wire::announced_length(length, wire::MAX_FRAME_BYTES).expect("short")];
            self.stream.read_exact(&mut payload).await.expect("payload");
            wire::decode::<ClientReply>(&payload).expect("a reply")
        };
        let reply = tokio::time::timeout(LIMIT, read).await.expect("in time");
        (reply.id, reply.body)
    }
}
