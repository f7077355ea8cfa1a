//! The transport below an HTTP/2 connection, with an eye on the peer's frames: their headers alone are read on the way, to
//! tell work from floods. The `h2` crate refuses broken frames, endless heads and empty data by itself; it answers pings,
//! settings and resets for as long as they come, so that these are bounded here.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Flood, PREFACE};
use crate::app::Clock;
use crate::net::{Buffer, Stream};

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

/// What the watch knows; the connection's driver reads it.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    idle_credit: Cell<i64>,
    reset_credit: Cell<i64>,
    refilled_us: Cell<u64>,
    last_kind: Cell<u8>,
    flood: Cell<Option<Flood>>,
    written: Cell<u64>,
    excused: Cell<u64>,
}

impl Watch {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            idle_credit: Cell::new(IDLE_BURST),
            reset_credit: Cell::new(RESET_BURST),
            refilled_us: Cell::new(clock.now_us()),
            last_kind: Cell::new(u8::MAX),
            flood: Cell::new(None),
            written: Cell::new(0),
            excused: Cell::new(0),
        }
    }

    /// What was too much, if something was.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// What the frame that came last would be a flood of.
    pub fn last_frame(&self) -> Flood {
        Flood::of_frame(self.last_kind.get())
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// A request came to its end.
    pub fn finished(&self) {
        self.reset_credit
            .set((self.reset_credit.get() + 1).min(RESET_BURST));
    }

    fn frame(&self, length: u32, kind: u8, flags: u8) {
        self.last_kind.set(kind);
        let is_ack = flags & 1 != 0;
        let credit = match kind {
            // DATA with something in it (or the end of a stream), HEADERS, and acknowledgements of our settings.
            0 if length > 0 || is_ack => return,
            1 => return,
            4 if is_ack => return,
            3 => &self.reset_credit,
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
    stream: Stream,
    /// What was read before it was known to be HTTP/2.
    before: Buffer,
    watch: Rc<Watch>,
    /// Bytes to pass until the next frame's header.
    skip: u32,
    header: [u8; 9],
    have: u8,
    is_shut: bool,
    drained: u64,
}

impl Transport {
    /// A client's connection; `before` is what was already read from it.
    pub fn new(stream: Stream, before: Buffer, clock: Clock) -> (Self, Rc<Watch>) {
        let watch = Rc::new(Watch::new(clock));
        let transport = Self {
            stream,
            before,
            watch: Rc::clone(&watch),
            skip: PREFACE.len() as u32,
            header: [0; 9],
            have: 0,
            is_shut: false,
            drained: 0,
        };
        (transport, watch)
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = bytes.len().min(self.skip as usize);
            self.skip -= passed as u32;
            bytes = &bytes[passed..];
            let have = usize::from(self.have);
            let taken = bytes.len().min(9 - have);
            self.header[have..have + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.have += taken as u8;
            if self.have == 9 {
                // RFC 9113 4.1: length in 24 bits, type, flags, stream.
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.have = 0;
                self.skip = length;
                self.watch.frame(length, kind, flags);
            }
        }
    }

    fn wrote(&self, count: usize) {
        self.watch
            .written
            .set(self.watch.written.get() + count as u64);
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
            ready!(this.stream.poll_read_into(context, space))?;
        }
        this.look(&space.filled()[old..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.stream.poll_write(context, bytes))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.stream.poll_write_vectored(context, slices))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(context)
    }

    /// Ends our direction, then reads what the peer still sends: a reset because of unread bytes would eat our last words.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            ready!(this.stream.poll_shutdown(context))?;
            this.is_shut = true;
        }
        while this.drained < MAX_DRAINED {
            let space = this.before.space();
            let mut space = ReadBuf::new(space);
            match this.stream.poll_read_into(context, &mut space) {
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
