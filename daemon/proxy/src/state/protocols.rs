//! What TLS and HTTP/2 connections of a frontend, or to a backend's servers, have come to: the columns that HAProxy's modules
//! append to `show stat`.

use protocol::snapshot::ProtocolStats;

use super::counters::{Counter, MaxGauge};

/// See `protocol::snapshot::ProtocolStats` for their meaning.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ProtocolCounters {
    pub tls_sessions: Counter,
    pub tls_resumed: Counter,
    pub tls_failed: Counter,
    pub http2_headers_received: Counter,
    pub http2_data_received: Counter,
    pub http2_settings_received: Counter,
    pub http2_resets_received: Counter,
    pub http2_goaways_received: Counter,
    pub http2_connection_errors: Counter,
    pub http2_stream_errors: Counter,
    pub http2_resets_sent: Counter,
    pub http2_goaways_sent: Counter,
    pub http2_connections: MaxGauge,
    pub http2_connections_total: Counter,
    pub http2_streams_total: Counter,
}

impl ProtocolCounters {
    /// A TLS handshake came to its end.
    pub fn shook_hands(&self, kind: Option<rustls::HandshakeKind>) {
        match kind {
            Some(rustls::HandshakeKind::Resumed) => self.tls_resumed.increment(),
            _ => self.tls_sessions.increment(),
        }
    }

    /// All that only grow, in the order of [`ProtocolStats::totals`].
    pub fn totals(&self) -> [&Counter; 14] {
        [
            &self.tls_sessions,
            &self.tls_resumed,
            &self.tls_failed,
            &self.http2_headers_received,
            &self.http2_data_received,
            &self.http2_settings_received,
            &self.http2_resets_received,
            &self.http2_goaways_received,
            &self.http2_connection_errors,
            &self.http2_stream_errors,
            &self.http2_resets_sent,
            &self.http2_goaways_sent,
            &self.http2_connections_total,
            &self.http2_streams_total,
        ]
    }

    /// All of it now.
    pub fn snapshot(&self) -> ProtocolStats {
        let mut stats = ProtocolStats {
            http2_connections: self.http2_connections.current(),
            ..ProtocolStats::default()
        };
        for (total, counter) in stats.totals().into_iter().zip(self.totals()) {
            *total = counter.value();
        }
        stats
    }

    /// `clear counters all`.
    pub fn clear(&self) {
        for counter in self.totals() {
            counter.clear();
        }
    }
}
