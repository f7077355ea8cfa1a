//! Clients that count: each request is completed or failed, and why. No request is tried again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::Outcome;
use crate::host::Host;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Kinds of failures that are told apart.
const MAX_REASONS: usize = 64;

/// What the clients do.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The address asked.
    pub target: SocketAddr,
    /// Clients at a time.
    pub clients: usize,
    /// Whether a client keeps its connection as long as the server does.
    pub keep_alive: bool,
    /// Bytes of a request's body; 0 is a GET.
    pub body_bytes: usize,
    /// Pause after each answer: client N waits N times this.
    pub pause: Duration,
}

impl LoadOptions {
    /// Clients that keep their connections and ask without a pause.
    pub fn new(target: SocketAddr, clients: usize) -> LoadOptions {
        LoadOptions {
            target,
            clients,
            keep_alive: true,
            body_bytes: 0,
            pause: Duration::ZERO,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests answered with 200 and a whole body.
    pub completed: u64,
    /// Requests that were not, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Times of answers in microseconds, those of the last window first asked for.
    pub times_us: Vec<u64>,
}

impl Tally {
    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The time within which this share (0 to 1) of the requests was answered.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.times_us.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        Duration::from_micros(sorted.get(at).copied().unwrap_or(0))
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    completed: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    times_us: Mutex<Vec<u64>>,
}

impl Shared {
    fn note_failure(&self, reason: String) {
        let mut failed = lock(&self.failed);
        if failed.len() < MAX_REASONS || failed.contains_key(&reason) {
            *failed.entry(reason).or_default() += 1;
        }
    }
}

/// Running clients; they stop when dropped.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    /// Starts them in a host's network.
    pub fn start(host: &Host, options: LoadOptions) -> Outcome<Load> {
        let shared = Arc::new(Shared::default());
        let clients = Arc::clone(&shared);
        let thread = host.background(move || run(options, clients))?;
        Ok(Load {
            shared,
            thread: Some(thread),
        })
    }

    /// Starts them in this network.
    pub fn here(options: LoadOptions) -> Load {
        let shared = Arc::new(Shared::default());
        let clients = Arc::clone(&shared);
        Load {
            shared,
            thread: Some(std::thread::spawn(move || run(options, clients))),
        }
    }

    /// Requests completed so far.
    pub fn completed(&self) -> u64 {
        self.shared.completed.load(Ordering::Relaxed)
    }

    /// What came since the last call; times are forgotten, counts begin anew.
    pub fn window(&self) -> Tally {
        Tally {
            completed: self.shared.completed.swap(0, Ordering::Relaxed),
            failed: std::mem::take(&mut *lock(&self.shared.failed)),
            times_us: std::mem::take(&mut *lock(&self.shared.times_us)),
        }
    }

    /// Lets each client end its request, and tells.
    pub fn finish(mut self) -> Tally {
        self.halt();
        self.window()
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.halt();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(options: LoadOptions, shared: Arc<Shared>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..options.clients {
            clients.spawn(client(options.clone(), number as u32, Arc::clone(&shared)));
        }
        clients.join_all().await;
    });
}

async fn client(options: LoadOptions, number: u32, shared: Arc<Shared>) {
    let method = match options.body_bytes {
        0 => "GET / HTTP/1.1\r\n".to_owned(),
        bytes => format!("POST / HTTP/1.1\r\nContent-Length: {bytes}\r\n"),
    };
    let closing = if options.keep_alive {
        ""
    } else {
        "Connection: close\r\n"
    };
    let mut request = format!("{method}Host: a\r\n{closing}\r\n").into_bytes();
    request.resize(request.len() + options.body_bytes, b'b');
    let mut kept: Option<TcpStream> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let asked = tokio::time::timeout(PATIENCE, ask(kept.take(), &options, &request)).await;
        match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(stream) => {
                shared.completed.fetch_add(1, Ordering::Relaxed);
                lock(&shared.times_us).push(began.elapsed().as_micros() as u64);
                kept = stream;
            }
            Err(reason) => {
                shared.note_failure(reason);
                tokio::time::sleep(Duration::from_millis(5)).await; // Not to spin on a dead server.
            }
        }
        if !options.pause.is_zero() {
            tokio::time::sleep(options.pause * number).await;
        }
    }
}

/// One request; gives the connection back if both sides keep it.
async fn ask(
    kept: Option<TcpStream>,
    options: &LoadOptions,
    request: &[u8],
) -> Result<Option<TcpStream>, String> {
    let is_kept = kept.is_some();
    let how = if is_kept { "kept" } else { "new" };
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(options.target)
            .await
            .map_err(|error| format!("connect: {}", error.kind()))?,
    };
    let _ = stream.set_nodelay(true);
    let failed =
        |what: &str, error: std::io::Error| format!("{what} on a {how} one: {}", error.kind());
    stream
        .write_all(request)
        .await
        .map_err(|error| failed("send", error))?;
    let mut answer = Vec::new();
    let head = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let count = stream
            .read_buf(&mut answer)
            .await
            .map_err(|error| failed("head", error))?;
        if count == 0 {
            return Err(format!(
                "end of a {how} one after {} bytes of the head",
                answer.len()
            ));
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .ok_or_else(|| "an answer without a length".to_owned())?;
    while answer.len() < head + length {
        let count = stream
            .read_buf(&mut answer)
            .await
            .map_err(|error| failed("body", error))?;
        if count == 0 {
            return Err(format!("end of a {how} one within the body"));
        }
    }
    if !text.starts_with("http/1.1 200") {
        return Err(format!(
            "status {}",
            text.split(' ').nth(1).unwrap_or_default()
        ));
    }
    let closes = text.contains("\r\nconnection: close");
    Ok((options.keep_alive && !closes).then_some(stream))
}
