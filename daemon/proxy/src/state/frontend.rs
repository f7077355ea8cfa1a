//! A frontend's facts and counters.

use std::sync::atomic::{AtomicBool, AtomicU32};

use std::sync::Arc;

use super::counters::{Counter, MaxGauge, RateMeter, ResponseCounters};
use super::protocols::ProtocolCounters;

/// Index of a frontend in the runtime's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrontendId(pub u32);

/// A frontend (or the front half of a `listen`).
#[derive(Debug)]
pub struct Frontend {
    /// Its index.
    pub id: FrontendId,
    /// Index of its configuration in `HaproxyConfig::proxies`.
    pub config_index: usize,
    /// HAProxy's number.
    pub iid: u32,
    /// Its name.
    pub name: String,
    /// Whether it speaks HTTP.
    pub http: bool,
    /// `maxconn` now; operators change it. 0 is none.
    pub maxconn: AtomicU32,
    /// `rate-limit sessions`; 0 is none.
    pub session_rate_limit: u32,
    /// Cleared by `disable frontend`.
    pub enabled: AtomicBool,
    /// Figures.
    pub counters: FrontendCounters,
}

/// A frontend's counters; see `protocol::snapshot::FrontendStats` for their meaning.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct FrontendCounters {
    pub sessions: MaxGauge,
    pub sessions_total: Counter,
    pub session_rate: RateMeter,
    pub connections_total: Counter,
    pub connection_rate: RateMeter,
    pub requests_total: Counter,
    pub request_rate: RateMeter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub denied_requests: Counter,
    pub denied_responses: Counter,
    pub denied_connections: Counter,
    pub denied_sessions: Counter,
    pub request_errors: Counter,
    pub http2_sessions_total: Counter,
    pub http2_requests_total: Counter,
    pub intercepted: Counter,
    pub internal_errors: Counter,
    pub responses: ResponseCounters,
    pub protocols: Arc<ProtocolCounters>,
}
