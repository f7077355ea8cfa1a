//! A steady client: it asks at a fixed rate on one kept connection and notes how long each answer took, from when it was due
//! on, so that a stall counts for every request that it delayed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::beside::connect;

/// Requests a second.
pub const RATE: u32 = 200;
/// Below this a 99th percentile tells of the machine, not of the proxy: it counts as unchanged.
pub const FLOOR: Duration = Duration::from_millis(5);

/// What came in a window.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Times of answers.
    pub times: Vec<Duration>,
    /// Requests that were not answered with 200.
    pub failed: Vec<String>,
}

impl Window {
    /// The time within which this share (0 to 1) was answered.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

/// Runs until it is dropped.
pub struct Steady {
    stop: Arc<AtomicBool>,
    window: Arc<Mutex<Window>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Steady {
    /// Asks `GET /steady` of this address.
    pub fn start(target: SocketAddr) -> Steady {
        let (stop, window) = (Arc::default(), Arc::default());
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&window));
        Steady {
            stop,
            window,
            thread: Some(std::thread::spawn(move || run(target, &stopped, &noted))),
        }
    }

    /// What came since the last call.
    pub fn window(&self) -> Window {
        std::mem::take(&mut *self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(target: SocketAddr, stop: &AtomicBool, window: &Mutex<Window>) {
    let step = Duration::from_secs(1) / RATE;
    let mut due = Instant::now();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        due += step;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = ask(&mut kept, target);
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(()) => window.times.push(due.elapsed()),
            Err(reason) => {
                window.failed.push(reason);
                kept = None;
            }
        }
    }
}

fn ask(kept: &mut Option<TcpStream>, target: SocketAddr) -> Result<(), String> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(connect(target).map_err(|error| error.to_string())?),
    };
    stream
        .write_all(b"GET /steady HTTP/1.1\r\nhost: a\r\n\r\n")
        .map_err(|error| format!("send: {error}"))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 2048]);
    while !bytes.ends_with(b"steady") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            Ok(_) => return Err(format!("end after {} bytes", bytes.len())),
            Err(error) => return Err(format!("receive: {error}")),
        }
    }
    if bytes.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&bytes).into_owned())
    }
}
