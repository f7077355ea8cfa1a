//! Pipes that a thread lends to bulk between plain TCP sockets: splice(2) moves pages and copies nothing.
//!
//! A transfer holds a pipe only as long as bytes are in it, or while it is moved in one turn. Where no pipe is to be had,
//! or one end is not a plain socket, the caller copies through a buffer.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use config::haproxy::Tuning;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Stream;

/// What a pipe is asked to hold in bytes (`tune.pipesize`). The kernel counts in pages: as many pieces, however short, fit in.
const PIPE_BYTES: usize = 256 << 10;
/// Most bytes moved by one call, so that a fast connection leaves the others their turn.
const MAX_MOVED: usize = 256 << 10;
/// Empty pipes that a thread keeps for later.
const MAX_KEPT: usize = 16;
/// Pipes of the process unless `maxpipes` says otherwise.
const DEFAULT_MAX_PIPES: usize = 256;
/// Pipes that the process may have even where connections could use up all descriptors.
const MIN_PIPES: usize = 8;

static OPEN: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_MAX_PIPES);
static SIZE: AtomicUsize = AtomicUsize::new(PIPE_BYTES);

thread_local! {
    static KEPT: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Pipes that the configuration asks for.
pub fn wanted_pipes(tuning: &Tuning) -> usize {
    if tuning.nosplice {
        return 0;
    }
    tuning
        .max_pipes
        .map_or(DEFAULT_MAX_PIPES, |count| count as usize)
}

/// Sets how many pipes this process may have open, with `spare_descriptors` that connections leave to them.
pub fn set_pipes(tuning: &Tuning, spare_descriptors: u64) {
    LIMIT.store(affordable_pipes(tuning, spare_descriptors), Relaxed);
    SIZE.store(
        tuning.pipe_bytes.map_or(PIPE_BYTES, |bytes| bytes as usize),
        Relaxed,
    );
}

fn affordable_pipes(tuning: &Tuning, spare_descriptors: u64) -> usize {
    let affordable = usize::try_from(spare_descriptors / 2).unwrap_or(usize::MAX);
    wanted_pipes(tuning).min(affordable.max(MIN_PIPES))
}

/// An open pipe, counted as long as it lives.
#[derive(Debug)]
struct Pipe(sys::splice::Pipe);

impl Pipe {
    fn take() -> Option<Self> {
        if let Some(pipe) = KEPT.with_borrow_mut(Vec::pop) {
            return Some(pipe);
        }
        if OPEN.fetch_add(1, Relaxed) < LIMIT.load(Relaxed)
            && let Ok(pipe) = sys::splice::Pipe::open(SIZE.load(Relaxed))
        {
            return Some(Self(pipe));
        }
        OPEN.fetch_sub(1, Relaxed);
        None
    }

    fn give_back(self) {
        // The pool is gone while the thread ends; then the pipe is closed.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < MAX_KEPT {
                kept.push(self);
            }
        });
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// One direction of a transfer by way of a pipe. Without a pipe it owns nothing.
#[derive(Debug, Default)]
pub struct Splice {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
}

impl Splice {
    /// Bytes that were taken and not yet passed on.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether bytes can go from one to the other by a pipe now; takes one if so.
    pub fn begin(&mut self, from: &Stream, to: &Stream) -> bool {
        if !matches!((from, to), (Stream::Tcp(_), Stream::Tcp(_))) {
            return false;
        }
        if self.pipe.is_none() {
            self.pipe = Pipe::take();
        }
        self.pipe.is_some()
    }

    /// Takes what has come, at most `count` bytes; 0 is the end of the stream. Only after [`Splice::begin`], and with
    /// nothing held: to the kernel a full pipe and an empty socket look alike. While there is nothing, the pipe is given back.
    pub fn poll_fill(
        &mut self,
        from: &Stream,
        context: &mut Context<'_>,
        count: u64,
    ) -> Poll<io::Result<usize>> {
        let (Stream::Tcp(from), Some(pipe), 0) = (from, &self.pipe, self.held) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let count = count.min(MAX_MOVED as u64) as usize;
        let outcome = poll_fill(from, pipe, context, count);
        match &outcome {
            Poll::Ready(Ok(count)) => self.held = *count,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.end(),
        }
        outcome
    }

    /// Passes on what is held, until nothing is left. The count of bytes passed on is added to `moved`.
    pub fn poll_drain(
        &mut self,
        to: &Stream,
        context: &mut Context<'_>,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        while self.held > 0 {
            let (Stream::Tcp(to), Some(pipe)) = (to, &self.pipe) else {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            ready!(to.poll_write_ready(context))?;
            match to.try_io(Interest::WRITABLE, || pipe.0.drain(to, self.held)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.held -= count;
                    *moved += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives an empty pipe back; one that still holds bytes is closed with them.
    pub fn end(&mut self) {
        if let Some(pipe) = self.pipe.take()
            && self.held == 0
        {
            pipe.give_back();
        }
        self.held = 0;
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        self.end();
    }
}

fn poll_fill(
    from: &TcpStream,
    pipe: &Pipe,
    context: &mut Context<'_>,
    count: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(from.poll_read_ready(context))?;
        match from.try_io(Interest::READABLE, || pipe.0.fill(from, count)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    /// Moves everything from one to the other and returns how much it was.
    async fn relay(from: Stream, to: Stream) -> u64 {
        let (mut splice, mut moved) = (Splice::default(), 0);
        loop {
            assert!(splice.begin(&from, &to));
            let count = poll_fn(|context| {
                if splice.begin(&from, &to) {
                    splice.poll_fill(&from, context, u64::MAX)
                } else {
                    Poll::Pending
                }
            })
            .await
            .expect("data or the end");
            if count == 0 {
                return moved;
            }
            assert_eq!(splice.held(), count);
            poll_fn(|context| splice.poll_drain(&to, context, &mut moved))
                .await
                .expect("the reader is there");
            assert_eq!(splice.held(), 0);
        }
    }

    #[tokio::test]
    async fn a_transfer_larger_than_all_buffers_arrives_whole_and_gives_its_pipe_back() {
        let sent: Vec<u8> = (0..16_000_000_u32).map(|at| (at * 7 / 5) as u8).collect();
        let (mut writer, from) = pair().await;
        let (to, mut reader) = pair().await;
        let mut received = Vec::new();
        let (moved, (), _) = tokio::join!(
            relay(Stream::Tcp(from), Stream::Tcp(to)),
            async {
                writer.write_all(&sent).await.expect("it is read");
                drop(writer);
            },
            reader.read_to_end(&mut received),
        );
        assert_eq!(moved, sent.len() as u64);
        assert!(received == sent);
        assert_eq!(KEPT.with_borrow(Vec::len), 1);
    }

    #[test]
    fn pipes_leave_descriptors_to_connections() {
        let tuning = Tuning::default();
        assert_eq!(affordable_pipes(&tuning, 10_000), DEFAULT_MAX_PIPES);
        assert_eq!(affordable_pipes(&tuning, 100), 50);
        assert_eq!(affordable_pipes(&tuning, 0), MIN_PIPES);
        let none = Tuning {
            nosplice: true,
            ..tuning
        };
        assert_eq!(affordable_pipes(&none, 10_000), 0);
        let many = Tuning {
            max_pipes: Some(1_000),
            ..tuning
        };
        assert_eq!(affordable_pipes(&many, 10_000), 1_000);
    }
}
