//! The transport below an HTTP/2 connection, with an eye on the peer's frames: their headers alone are read on the way, to
//! tell work from floods. The `h2` crate refuses broken frames, endless heads and empty data by itself; it answers pings,
//! settings and resets for as long as they come, so that these are bounded here.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Flood, PREFACE, Wire};
use crate::app::Clock;
use crate::net::{Buffer, Stream};
use crate::state::ProtocolCounters;

/// Frames without any work that a peer may send at once, and in a second. What we write and what it asks for gives credit again.
const IDLE_BURST: i64 = 1_000;
const IDLE_PER_SECOND: i64 = 50;
/// Bytes written that excuse one such frame: windows are opened, and pings measure, where data flows.
const BYTES_PER_IDLE: u64 = 1 << 10;
/// Streams that a peer may reset at once, and in a second. A finished request gives credit again.
const RESET_BURST: i64 = 200;
const RESETS_PER_SECOND: i64 = 20;
/// Most bytes that are read and thrown away after our end of a connection, so that the peer can read why.
const MAX_DRAINED: u64 = 256 << 10;
/// Most refused streams that are remembered until they are logged.
const MAX_REFUSED: usize = 128;
/// Most streams that are named as cut off; if there are more, all look around.
const MAX_CUT: usize = 64;
/// Longest payload that is looked at.
const MAX_PAYLOAD: usize = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// RFC 9113 7.
const PROTOCOL_ERROR: [u8; 4] = 1u32.to_be_bytes();

/// What the watch knows; the connection's driver reads it.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    counters: Arc<ProtocolCounters>,
    /// Whether the peer is a server.
    is_server: bool,
    idle_credit: Cell<i64>,
    reset_credit: Cell<i64>,
    refilled_us: Cell<u64>,
    flood: Cell<Option<Flood>>,
    written: Cell<u64>,
    excused: Cell<u64>,
    refused: RefCell<Vec<u32>>,
    last_words: Cell<LastWords>,
    /// Streams that heads came for, and the last of them.
    heads: Cell<u64>,
    last_stream: Cell<u32>,
    /// Streams that either side has cut off, and those that the driver was not told of yet; `None` is any.
    cuts: Cell<u64>,
    cut: RefCell<Option<Vec<u32>>>,
}

/// The data of a GOAWAY that the `h2` crate sends.
#[derive(Clone, Copy, Debug)]
enum LastWords {
    Resets,
    Continuations,
    DataFrames,
    Other,
}

impl LastWords {
    fn of(payload: &[u8]) -> Self {
        match payload.get(8..) {
            Some(b"too_many_resets") => Self::Resets,
            Some(b"too_many_continuations") => Self::Continuations,
            Some(b"too_many_data_frames") => Self::DataFrames,
            _ => Self::Other,
        }
    }
}

/// A frame's header (RFC 9113 4.1).
#[derive(Clone, Copy)]
struct FrameHeader {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the headers of frames in the bytes that pass.
struct Frames {
    /// Bytes to pass until the next header.
    skip: u32,
    header: [u8; 9],
    have: usize,
    /// A short payload that is looked at: of RST_STREAM and GOAWAY.
    payload: [u8; MAX_PAYLOAD],
    wanted: usize,
    got: usize,
}

impl Frames {
    fn behind(skip: u32) -> Self {
        Self {
            skip,
            header: [0; 9],
            have: 0,
            payload: [0; MAX_PAYLOAD],
            wanted: 0,
            got: 0,
        }
    }

    /// Calls `seen` for each frame, with the front of the payload of those whose payload matters.
    fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(FrameHeader, &[u8])) {
        while !bytes.is_empty() {
            if self.got < self.wanted {
                let taken = bytes.len().min(self.wanted - self.got);
                self.payload[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
                self.got += taken;
                self.skip -= taken as u32;
                bytes = &bytes[taken..];
                if self.got == self.wanted {
                    seen(self.frame(), &self.payload[..self.got]);
                    (self.wanted, self.got) = (0, 0);
                }
                continue;
            }
            let passed = bytes.len().min(self.skip as usize);
            self.skip -= passed as u32;
            bytes = &bytes[passed..];
            let taken = bytes.len().min(9 - self.have);
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.have += taken;
            if self.have < 9 {
                continue;
            }
            self.have = 0;
            let frame = self.frame();
            self.skip = frame.length;
            if matches!(frame.kind, RST_STREAM | GOAWAY) && frame.length > 0 {
                self.wanted = MAX_PAYLOAD.min(frame.length as usize);
            } else {
                seen(frame, &[]);
            }
        }
    }

    fn frame(&self) -> FrameHeader {
        let [a, b, c, kind, flags, s, t, u, v] = self.header;
        FrameHeader {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s & 127, t, u, v]),
        }
    }
}

/// It counts among those that are open.
impl Drop for Watch {
    fn drop(&mut self) {
        self.counters.http2_connections.leave();
    }
}

impl Watch {
    fn new(clock: Clock, counters: Arc<ProtocolCounters>, is_server: bool) -> Self {
        counters.http2_connections.enter();
        counters.http2_connections_total.increment();
        Self {
            clock,
            counters,
            is_server,
            idle_credit: Cell::new(IDLE_BURST),
            reset_credit: Cell::new(RESET_BURST),
            refilled_us: Cell::new(clock.now_us()),
            flood: Cell::new(None),
            written: Cell::new(0),
            excused: Cell::new(0),
            refused: RefCell::default(),
            last_words: Cell::new(LastWords::Other),
            heads: Cell::new(0),
            last_stream: Cell::new(0),
            cuts: Cell::new(0),
            cut: RefCell::new(Some(Vec::new())),
        }
    }

    /// What was too much, if something was.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// Bytes written so far; of a server's connection, bytes read, too.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Streams that the peer has opened; they may have been refused since, or their heads be on the way.
    pub fn heads(&self) -> u64 {
        self.heads.get()
    }

    /// How many streams were cut off (RST_STREAM, either way); the end of the connection is one more.
    pub fn cuts(&self) -> u64 {
        self.cuts.get()
    }

    /// The streams that were cut off since the last call; `None` if all are to look.
    pub fn take_cut(&self) -> Option<Vec<u32>> {
        self.cut.replace(Some(Vec::new()))
    }

    /// All streams are cut off.
    pub fn ended(&self) {
        self.cuts.set(self.cuts.get() + 1);
        self.cut.replace(None);
    }

    fn cut(&self, stream: u32) {
        self.cuts.set(self.cuts.get() + 1);
        let mut cut = self.cut.borrow_mut();
        match &mut *cut {
            Some(streams) if streams.len() < MAX_CUT => streams.push(stream),
            all => *all = None,
        }
    }

    /// A request came to its end.
    pub fn finished(&self) {
        self.reset_credit
            .set((self.reset_credit.get() + 1).min(RESET_BURST));
    }

    /// Streams whose heads were refused since the last call.
    pub fn take_refused(&self) -> Vec<u32> {
        if self.refused.borrow().is_empty() {
            return Vec::new();
        }
        self.refused.take()
    }

    /// What the `h2` crate closed the connection for, if its peer was to calm down.
    pub fn closed_for(&self) -> Flood {
        match self.last_words.get() {
            LastWords::Resets => Flood::Reset,
            LastWords::Continuations => Flood::Continuation,
            LastWords::DataFrames => Flood::EmptyData,
            LastWords::Other => Flood::Headers,
        }
    }

    fn refuse(&self, stream: u32) {
        let mut refused = self.refused.borrow_mut();
        if refused.len() < MAX_REFUSED {
            refused.push(stream);
        }
    }

    fn frame(&self, frame: FrameHeader) {
        let FrameHeader {
            length,
            kind,
            flags,
            stream,
        } = frame;
        let is_ack = flags & 1 != 0;
        let counters = &*self.counters;
        match kind {
            DATA => counters.http2_data_received.increment(),
            HEADERS => counters.http2_headers_received.increment(),
            RST_STREAM => counters.http2_resets_received.increment(),
            SETTINGS => counters.http2_settings_received.increment(),
            GOAWAY => counters.http2_goaways_received.increment(),
            _ => {}
        }
        let credit = match kind {
            // DATA with something in it (or the end of a stream), HEADERS, and acknowledgements of our settings.
            DATA if length > 0 || is_ack => return,
            HEADERS => {
                if stream > self.last_stream.get() {
                    self.last_stream.set(stream);
                    self.heads.set(self.heads.get() + 1);
                    if !self.is_server {
                        counters.http2_streams_total.increment();
                    }
                }
                return;
            }
            SETTINGS if is_ack => return,
            RST_STREAM => {
                self.cut(stream);
                &self.reset_credit
            }
            GOAWAY => {
                self.ended();
                &self.idle_credit
            }
            _ => &self.idle_credit,
        };
        credit.set(credit.get() - 1);
        if credit.get() < 0 {
            self.refill();
            if credit.get() < 0 && self.flood.get().is_none() {
                self.flood.set(Some(Flood::of_frame(kind)));
            }
        }
    }

    fn refill(&self) {
        let now_us = self.clock.now_us();
        let passed_us = now_us
            .saturating_sub(self.refilled_us.get())
            .min(60_000_000) as i64;
        let by_time = |each_second: i64| passed_us * each_second / 1_000_000;
        if by_time(RESETS_PER_SECOND) == 0
            && self.written.get() < self.excused.get() + BYTES_PER_IDLE
        {
            return;
        }
        if by_time(RESETS_PER_SECOND) > 0 {
            self.refilled_us.set(now_us);
            self.reset_credit
                .set((self.reset_credit.get() + by_time(RESETS_PER_SECOND)).min(RESET_BURST));
        }
        let by_bytes = (self.written.get() - self.excused.get()) / BYTES_PER_IDLE;
        self.excused.set(self.written.get());
        self.idle_credit.set(
            (self.idle_credit.get() + by_time(IDLE_PER_SECOND) + by_bytes as i64).min(IDLE_BURST),
        );
    }
}

/// The transport with its watch.
pub struct Transport {
    wire: Rc<Wire>,
    /// What was read before it was known to be HTTP/2.
    before: Buffer,
    watch: Rc<Watch>,
    incoming: Frames,
    outgoing: Frames,
    is_shut: bool,
    drained: u64,
}

impl Transport {
    /// A client's connection; `before` is what was already read from it.
    pub fn new(
        stream: Stream,
        before: Buffer,
        clock: Clock,
        counters: Arc<ProtocolCounters>,
    ) -> (Self, Rc<Watch>) {
        let watch = Rc::new(Watch::new(clock, counters, false));
        let transport = Self {
            wire: Rc::new(Wire::new(stream)),
            before,
            watch: Rc::clone(&watch),
            incoming: Frames::behind(PREFACE.len() as u32),
            outgoing: Frames::behind(0),
            is_shut: false,
            drained: 0,
        };
        (transport, watch)
    }

    /// What it writes to.
    pub fn wire(&self) -> Rc<Wire> {
        Rc::clone(&self.wire)
    }

    /// A server's connection. Each request that it gets and each byte that it sends gives it credit.
    pub fn to_server(
        stream: Stream,
        clock: Clock,
        counters: Arc<ProtocolCounters>,
    ) -> (Self, Rc<Watch>) {
        let watch = Rc::new(Watch::new(clock, counters, true));
        let transport = Self {
            wire: Rc::new(Wire::new(stream)),
            before: Buffer::default(),
            watch: Rc::clone(&watch),
            incoming: Frames::behind(0),
            outgoing: Frames::behind(PREFACE.len() as u32),
            is_shut: false,
            // A server's connection ends with no last words to wait for.
            drained: MAX_DRAINED,
        };
        (transport, watch)
    }

    /// Our own frames: which streams were refused below us, and why the connection ends.
    fn wrote(&mut self, bytes: &[u8]) {
        let watch = &self.watch;
        watch.written.set(watch.written.get() + bytes.len() as u64);
        let is_server = watch.is_server;
        self.outgoing
            .feed(bytes, |frame, payload| match frame.kind {
                HEADERS if is_server => {
                    watch.counters.http2_streams_total.increment();
                    watch.finished();
                }
                RST_STREAM => {
                    watch.counters.http2_resets_sent.increment();
                    watch.cut(frame.stream);
                    if payload.starts_with(&PROTOCOL_ERROR) {
                        watch.counters.http2_stream_errors.increment();
                        watch.refuse(frame.stream);
                    }
                }
                GOAWAY => {
                    let counters = &*watch.counters;
                    counters.http2_goaways_sent.increment();
                    // RFC 9113 6.8: the last stream, then the reason, of which 0 is none.
                    if !matches!(payload.get(4..8), Some([0, 0, 0, 0]) | None) {
                        counters.http2_connection_errors.increment();
                    }
                    watch.ended();
                    watch.last_words.set(LastWords::of(payload));
                }
                _ => {}
            });
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.flood.get().is_some() {
            // The driver looks at it as soon as this returns.
            return Poll::Pending;
        }
        let old = space.filled().len();
        if !this.before.is_empty() {
            let count = this.before.len().min(space.remaining());
            space.put_slice(&this.before.data()[..count]);
            this.before.consume(count);
            this.before.release_if_empty();
        } else {
            ready!(this.wire.poll_read(context, space))?;
        }
        let (watch, bytes) = (&this.watch, &space.filled()[old..]);
        if watch.is_server {
            watch.written.set(watch.written.get() + bytes.len() as u64);
        }
        this.incoming.feed(bytes, |frame, _| watch.frame(frame));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.wire.poll_write(context, bytes))?;
        self.wrote(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(context)
    }

    /// Ends our direction, then reads what the peer still sends: a reset because of unread bytes would eat our last words.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            ready!(this.wire.poll_shutdown(context))?;
            this.is_shut = true;
        }
        while this.drained < MAX_DRAINED {
            let space = this.before.space();
            let mut space = ReadBuf::new(space);
            match this.wire.poll_read(context, &mut space) {
                Poll::Ready(Ok(())) if !space.filled().is_empty() => {
                    this.drained += space.filled().len() as u64;
                }
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        this.before.release_if_empty();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"preface!".to_vec();
        let frames: [(u8, &[u8]); 4] = [
            (0, b"some data"),
            (3, &[0, 0, 0, 1]),
            (7, b"12345678too_many_resets and so on and so on"),
            (6, b"12345678"),
        ];
        for (kind, payload) in frames {
            bytes.extend([0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 5]);
            bytes.extend(payload);
        }
        for step in 1..bytes.len() {
            let mut found = Vec::new();
            let mut frames = Frames::behind(8);
            for part in bytes.chunks(step) {
                frames.feed(part, |frame, payload| {
                    found.push((frame.kind, frame.length, frame.stream, payload.to_vec()));
                });
            }
            let long = b"12345678too_many_resets and so on".to_vec();
            let expected = vec![
                (0, 9, 5, Vec::new()),
                (3, 4, 5, vec![0, 0, 0, 1]),
                (7, 43, 5, long[..MAX_PAYLOAD].to_vec()),
                (6, 8, 5, Vec::new()),
            ];
            assert_eq!(found, expected, "step {step}");
        }
    }
}
