//! What happened: one line of the daemon's history.

use serde::{Deserialize, Serialize};

/// Who tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EventSource {
    Supervisor,
    Worker,
    Vrrp,
    Control,
    /// A person or a script on the control socket.
    Operator,
}

/// How much it matters at 3 a.m.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EventSeverity {
    Info,
    Notice,
    Warning,
    Alert,
}

/// What sort of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EventKind {
    ServerUp,
    ServerDown,
    ServerAdmin,
    ServerWeight,
    BackendEmpty,
    BackendUsable,
    VrrpTransition,
    VrrpPacketRefused,
    VrrpTracking,
    VrrpScriptNative,
    AddressReclaimed,
    ProcessStarted,
    ProcessDied,
    Reload,
    Configuration,
    Operation,
    Other,
}

/// One thing that happened: subject, change, reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the node's history, from 1; 0 until the control process numbers it.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who tells it.
    pub source: EventSource,
    /// How much it matters.
    pub severity: EventSeverity,
    /// What sort of thing.
    pub kind: EventKind,
    /// What it is about: `nginx/web1`, `R1`, `worker`.
    pub subject: String,
    /// What changed: `UP -> DOWN`.
    pub change: String,
    /// Why: `Layer4 connection problem, Connection refused`.
    pub reason: String,
}

/// Milliseconds since 1970 by the system's clock.
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

impl Event {
    /// An event of this moment.
    pub fn now(
        source: EventSource,
        severity: EventSeverity,
        kind: EventKind,
        subject: impl Into<String>,
        change: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            sequence: 0,
            at_ms: now_ms(),
            source,
            severity,
            kind,
            subject: subject.into(),
            change: change.into(),
            reason: reason.into(),
        }
    }
}
