//! Figures of TLS and HTTP/2 that are counted for each frontend and each backend.

use serde::{Deserialize, Serialize};

/// Of a frontend's clients, or of a backend's servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolStats {
    /// TLS handshakes that began a session.
    pub tls_sessions: u64,
    /// TLS handshakes that resumed a session.
    pub tls_resumed: u64,
    /// TLS handshakes that failed.
    pub tls_failed: u64,
    /// HEADERS frames received.
    pub http2_headers_received: u64,
    /// DATA frames received.
    pub http2_data_received: u64,
    /// SETTINGS frames received.
    pub http2_settings_received: u64,
    /// RST_STREAM frames received.
    pub http2_resets_received: u64,
    /// GOAWAY frames received.
    pub http2_goaways_received: u64,
    /// Connections that broke the rules of HTTP/2.
    pub http2_connection_errors: u64,
    /// Streams that broke the rules of HTTP/2.
    pub http2_stream_errors: u64,
    /// RST_STREAM frames sent.
    pub http2_resets_sent: u64,
    /// GOAWAY frames sent.
    pub http2_goaways_sent: u64,
    /// Connections of HTTP/2 now.
    pub http2_connections: u64,
    /// Connections of HTTP/2 since the start.
    pub http2_connections_total: u64,
    /// Requests by HTTP/2 since the start.
    pub http2_streams_total: u64,
}

impl ProtocolStats {
    /// All that only grow.
    pub fn totals(&mut self) -> [&mut u64; 14] {
        [
            &mut self.tls_sessions,
            &mut self.tls_resumed,
            &mut self.tls_failed,
            &mut self.http2_headers_received,
            &mut self.http2_data_received,
            &mut self.http2_settings_received,
            &mut self.http2_resets_received,
            &mut self.http2_goaways_received,
            &mut self.http2_connection_errors,
            &mut self.http2_stream_errors,
            &mut self.http2_resets_sent,
            &mut self.http2_goaways_sent,
            &mut self.http2_connections_total,
            &mut self.http2_streams_total,
        ]
    }
}
