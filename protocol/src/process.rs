//! What the supervisor and its children say to each other on the channel that a child is born with.

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Role {
    Vrrp,
    Worker,
    Control,
}

impl Role {
    /// The word on the command line and in process titles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vrrp => "vrrp",
            Self::Worker => "worker",
            Self::Control => "control",
        }
    }
}

/// Whether the proxy works, as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyHealth {
    /// A worker is alive, ready, and its heartbeat is fresh.
    pub alive: bool,
    /// Why not, or since when.
    pub detail: String,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptOutcome {
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// It ran longer than allowed and was killed.
    TimedOut,
    /// It could not be started, or was refused: why.
    Failed(String),
}

/// Something that instances track, as the supervisor or the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// The number in a `track_file`.
    File {
        /// Name of the `track_file` block.
        name: String,
        /// 0 if the file holds none.
        value: i64,
        /// `holds 5`, `does not exist: counts as 0`.
        detail: String,
    },
    /// How many processes a `vrrp_track_process` means.
    Processes {
        /// Name of the block.
        name: String,
        /// Running ones; zombies do not count.
        count: u32,
    },
    /// Servers of a backend (`track_backend`).
    Backend {
        /// The backend.
        name: String,
        /// Servers that take new clients, as the sample fetch `nbsrv` counts them.
        usable: u32,
        /// All its servers.
        servers: u32,
        /// Whether a check has found one usable, or none; before that they are believed to be.
        known: bool,
    },
}

impl Observation {
    /// Whether it is of the same file, processes or backend.
    pub fn is_of_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { name, .. }, Self::File { name: other, .. })
            | (Self::Processes { name, .. }, Self::Processes { name: other, .. })
            | (Self::Backend { name, .. }, Self::Backend { name: other, .. }) => name == other,
            _ => false,
        }
    }
}

/// Told by the supervisor to a child. Descriptors that belong to a message travel with its frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChild {
    /// Worker: stop accepting, let what runs end, then exit. `hard_stop_ms` cuts it short.
    Drain {
        /// Milliseconds until what is left is cut.
        hard_stop_ms: Option<u64>,
        /// The encoded [`crate::snapshot::WorkerSnapshot`] that the next worker has started with (empty: with none); what was
        /// counted beyond it is told at the end ([`FromChild::LastFigures`]). Absent if there is no next worker.
        handed_over: Option<Vec<u8>>,
    },
    /// End in order, now: vrrp says priority 0 and removes addresses.
    Stop,
    /// Vrrp: the proxy's health changed.
    ProxyHealth(ProxyHealth),
    /// Vrrp: what it tracks changed, or all of it at its start.
    Observed(Vec<Observation>),
    /// Vrrp: the configuration changed; the bytes are its new setup, encoded as [`crate::wire`] does.
    NewVrrpConfig(Vec<u8>),
    /// Vrrp and worker: a script that it asked for has ended.
    ScriptDone {
        /// Number of the request.
        id: u64,
        /// How.
        outcome: ScriptOutcome,
    },
    /// A new channel between control and another process; one descriptor comes along, the receiver's end.
    /// Control gets it for each new worker and vrrp process; a worker and vrrp get it (role `Control`) when
    /// the control process was started again, and drop their old one.
    Peer {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
    },
    /// Control: that process is gone.
    PeerGone {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
    },
    /// Control: a new configuration, the encoded setup of the control process; new listening sockets come along.
    NewControlConfig(Vec<u8>),
    /// Control: this worker serves from now on; what operators changed since [`ToChild::AskWorkerState`] is asked of it too.
    CurrentWorker {
        /// Its process id.
        pid: u32,
    },
    /// Control: tell the figures of the worker, for the next one ([`FromChild::WorkerState`]).
    AskWorkerState,
    /// Worker: what an older one has counted since it was taken over from ([`FromChild::LastFigures`]).
    AddFigures(Vec<u8>),
    /// Control: an event of the supervisor's own or one passed on.
    Event(Event),
    /// Control: send this mail (`smtp_alert`).
    Mail {
        /// Subject line.
        subject: String,
        /// Body, lines ended by `\n`.
        body: String,
    },
    /// Control: an operation that it passed up has ended.
    OperationDone {
        /// Number of the request.
        id: u64,
        /// Outcome.
        result: Result<String, String>,
    },
}

/// A file that keepalived's clients ask for, beside the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// `keepalived.data`: the instances as they are.
    Data,
    /// `keepalived.stats`: their counters.
    Stats,
}

impl Report {
    /// Its name in its folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Data => "keepalived.data",
            Self::Stats => "keepalived.stats",
        }
    }
}

/// Told by a child to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromChild {
    /// It does its work from now on.
    Ready,
    /// It is alive; a worker sends one every [`HEARTBEAT_MS`] if all its runtimes turned since the last one.
    Heartbeat,
    /// It cannot start: why. It exits after this.
    Failed(String),
    /// Something happened.
    Event(Event),
    /// Vrrp: run a script as its user.
    RunScript {
        /// Comes back in [`ToChild::ScriptDone`].
        id: u64,
        /// Program and arguments.
        argv: Vec<String>,
        /// `script_user`, with group; the default one if absent.
        user: Option<(String, Option<String>)>,
        /// Killed after this, in milliseconds.
        timeout_ms: u64,
        /// It tells of a change: at the end of the daemon it may finish, where one that checks is killed.
        notifies: bool,
        /// Variables that it gets besides the daemon's own.
        environment: Vec<(String, String)>,
    },
    /// Vrrp: write this line to the notify FIFOs.
    NotifyLine(String),
    /// Worker: servers of the backends of its setup that are tracked ([`Observation::Backend`]): all at its start, then
    /// those that changed.
    Observed(Vec<Observation>),
    /// Vrrp: send this mail (`smtp_alert`).
    Mail {
        /// Subject line.
        subject: String,
        /// Body.
        body: String,
    },
    /// Vrrp: what its next start, also that of the daemon, is to know: the numbers of `auth_hmac` that were heard.
    Remember(Vec<u8>),
    /// Control: the encoded [`crate::snapshot::WorkerSnapshot`] of the current worker or the last one known; empty if none.
    WorkerState(Vec<u8>),
    /// Control: the same, told because operators have changed something; a worker that dies is replaced by one that knows.
    LatestState(Vec<u8>),
    /// Worker: it ends; the encoded [`crate::snapshot::WorkerSnapshot`] holds what it counted since the next one took over.
    LastFigures(Vec<u8>),
    /// Control: reload the configuration, for this request.
    Reload {
        /// Comes back in [`ToChild::OperationDone`].
        id: u64,
    },
    /// Control: write this file, for this request; control itself may write none.
    WriteReport {
        /// Comes back in [`ToChild::OperationDone`].
        id: u64,
        /// Which.
        report: Report,
        /// What it holds.
        text: String,
    },
    /// Worker: run the command of an external check, as the worker's user.
    RunCheck {
        /// Comes back in [`ToChild::ScriptDone`].
        id: u64,
        /// Command and arguments.
        argv: Vec<String>,
        /// Its environment.
        environment: Vec<(String, String)>,
        /// Killed after this, in milliseconds.
        timeout_ms: u64,
    },
}

/// Interval of a worker's heartbeat in milliseconds.
pub const HEARTBEAT_MS: u64 = 250;
/// A worker without a heartbeat for this long is held for dead, in milliseconds.
pub const HEARTBEAT_LIMIT_MS: u64 = 2_000;
