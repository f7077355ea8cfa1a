//! What we tell peers of our bounds: `tune.h2.*` and what follows from the bounds of heads.

use config::haproxy::Http2Tuning;

use crate::http1::Limits;

/// Bytes that a client may send on a stream, or on its connection, before it hears from us (manual, `tune.h2.initial-window-size`).
const DEFAULT_WINDOW: u32 = 65_535;
/// Streams at a time (manual, `tune.h2.max-concurrent-streams`).
const DEFAULT_STREAMS: u32 = 100;
/// HPACK's dynamic table in bytes (manual, `tune.h2.header-table-size`).
const DEFAULT_TABLE: u32 = 4_096;
/// Largest frame that we take in bytes (manual, `tune.h2.max-frame-size`).
const DEFAULT_FRAME: u32 = 16_384;
/// Most bytes of a body that wait for the peer, for each stream.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// What RFC 9113 6.5.2 adds to a field's length.
const FIELD_OVERHEAD: usize = 32;
/// Streams that we have reset and still know, to tell late frames from wrong ones.
const MAX_RESET_STREAMS: usize = 50;
/// Streams that the client reset before we looked at them, and streams that it made us reset, until it is a flood.
const MAX_PENDING_RESETS: usize = 100;
const MAX_ERROR_RESETS: usize = 1_000;

/// Our settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `tune.h2.initial-window-size`.
    pub window: u32,
    /// `tune.h2.max-concurrent-streams`.
    pub streams: u32,
    /// `tune.h2.header-table-size`.
    pub table: u32,
    /// `tune.h2.max-frame-size`.
    pub frame: u32,
    /// Largest list of fields as RFC 9113 6.5.2 counts it.
    pub header_list: u32,
}

impl Settings {
    /// Towards clients.
    pub fn towards_clients(tuning: &Http2Tuning, limits: Limits) -> Self {
        let window = tuning.client_window_bytes.or(tuning.window_bytes);
        Self::new(
            tuning,
            window,
            tuning.client_streams.or(tuning.streams),
            limits,
        )
    }

    /// Towards servers.
    pub fn towards_servers(tuning: &Http2Tuning, limits: Limits) -> Self {
        let window = tuning.server_window_bytes.or(tuning.window_bytes);
        Self::new(
            tuning,
            window,
            tuning.server_streams.or(tuning.streams),
            limits,
        )
    }

    fn new(
        tuning: &Http2Tuning,
        window: Option<u32>,
        streams: Option<u32>,
        limits: Limits,
    ) -> Self {
        Self {
            window: window.unwrap_or(DEFAULT_WINDOW),
            streams: streams.unwrap_or(DEFAULT_STREAMS),
            table: tuning.header_table_bytes.unwrap_or(DEFAULT_TABLE),
            frame: tuning.max_frame_bytes.unwrap_or(DEFAULT_FRAME),
            header_list: (limits.head_bytes + limits.fields * FIELD_OVERHEAD) as u32,
        }
    }

    /// For the connections of clients.
    pub fn server_builder(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(self.window)
            .initial_connection_window_size(self.connection_window())
            .max_concurrent_streams(self.streams)
            .header_table_size(self.table)
            .max_frame_size(self.frame)
            .max_header_list_size(self.header_list)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
            .enable_connect_protocol();
        builder
    }

    /// For connections to servers.
    pub fn client_builder(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(self.window)
            .initial_connection_window_size(self.connection_window())
            .header_table_size(self.table)
            .max_frame_size(self.frame)
            .max_header_list_size(self.header_list)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .enable_push(false);
        builder
    }

    /// The window of a connection: room for some streams' bodies at a time, so that one that waits does not stop the others.
    fn connection_window(&self) -> u32 {
        const STREAMS: u32 = 16;
        const MAX: u32 = (1 << 31) - 1;
        self.window
            .saturating_mul(STREAMS.min(self.streams))
            .clamp(DEFAULT_WINDOW, MAX)
    }
}
