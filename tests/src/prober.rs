//! A client that asks the virtual address every few milliseconds and knows afterwards how long it was not answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::Outcome;
use crate::host::Host;
use crate::wait::wait_until;

/// Requests under way at once; a tick that finds more waits for the next.
const IN_FLIGHT_LIMIT: usize = 64;
/// Samples kept; the oldest are forgotten first.
const KEEP_LIMIT: usize = 200_000;

/// What to ask, and how.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// The address asked.
    pub target: SocketAddr,
    /// The path asked for.
    pub path: String,
    /// Time from one request to the next.
    pub interval: Duration,
    /// How long to wait for one answer.
    pub timeout: Duration,
    /// When to stop by oneself.
    pub limit: Duration,
}

impl ProbeOptions {
    /// `GET /` every 10 ms, 200 ms of patience, two minutes at most.
    pub fn new(target: SocketAddr) -> ProbeOptions {
        ProbeOptions {
            target,
            path: "/".into(),
            interval: Duration::from_millis(10),
            timeout: Duration::from_millis(200),
            limit: Duration::from_secs(120),
        }
    }
}

/// One request and what became of it; times count from the prober's start.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was sent.
    pub sent: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// The status and the trimmed body (the server's name), or why there is none.
    pub outcome: Result<(u16, String), String>,
}

impl Sample {
    /// Whether a server answered with 200.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Ok((200, _)))
    }
}

/// A running prober; stops when dropped.
pub struct Prober {
    began: Instant,
    samples: Arc<Mutex<VecDeque<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Prober {
    /// Starts asking from a host.
    pub fn start(host: &Host, options: ProbeOptions) -> Outcome<Prober> {
        let began = Instant::now();
        let samples = Arc::new(Mutex::new(VecDeque::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, ended) = (Arc::clone(&samples), Arc::clone(&stop));
        let thread = host.background(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                runtime.block_on(ask_on(options, began, into, ended));
            }
        })?;
        Ok(Prober {
            began,
            samples,
            stop,
            thread: Some(thread),
        })
    }

    /// The time on the prober's clock, to mark an event.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        let samples = self
            .samples
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut samples: Vec<Sample> = samples.iter().cloned().collect();
        samples.sort_by_key(|sample| sample.sent);
        Report { samples }
    }

    /// Waits until a request sent after `mark` is answered; returns the time from the mark to that answer.
    pub fn wait_answer_after(&self, mark: Duration, limit: Duration) -> Outcome<Duration> {
        let mut answered = None;
        wait_until("an answer from the virtual address", limit, || {
            answered = self
                .report()
                .samples
                .iter()
                .find(|one| one.sent >= mark && one.is_success())
                .map(|one| one.ended);
            answered.is_some()
        })?;
        Ok(answered.unwrap_or_default().saturating_sub(mark))
    }

    /// Stops and returns everything.
    pub fn finish(mut self) -> Report {
        self.halt();
        self.report()
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.halt();
    }
}

/// What a prober saw.
#[derive(Debug, Clone)]
pub struct Report {
    /// In order of sending.
    pub samples: Vec<Sample>,
}

impl Report {
    /// The samples sent from one time to another.
    pub fn between(&self, from: Duration, to: Duration) -> Report {
        Report {
            samples: self
                .samples
                .iter()
                .filter(|one| one.sent >= from && one.sent < to)
                .cloned()
                .collect(),
        }
    }

    /// The longest time between two answers (or from the first request to the first answer, or the last one to the end).
    pub fn longest_outage(&self) -> Duration {
        let mut answers: Vec<Duration> = self
            .samples
            .iter()
            .filter(|one| one.is_success())
            .map(|one| one.ended)
            .collect();
        answers.extend(self.samples.first().map(|one| one.sent));
        answers.extend(self.samples.iter().map(|one| one.sent).max());
        answers.sort();
        answers
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }

    /// How often each server answered.
    pub fn servers(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            if let Ok((200, server)) = &sample.outcome {
                *counts.entry(server.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Every request that did not end with 200.
    pub fn failures(&self) -> Vec<&Sample> {
        self.samples
            .iter()
            .filter(|one| !one.is_success())
            .collect()
    }
}

async fn ask_on(
    options: ProbeOptions,
    began: Instant,
    samples: Arc<Mutex<VecDeque<Sample>>>,
    stop: Arc<AtomicBool>,
) {
    let mut ticks = tokio::time::interval(options.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let in_flight = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT_LIMIT));
    let options = Arc::new(options);
    while !stop.load(Ordering::Relaxed) && began.elapsed() < options.limit {
        ticks.tick().await;
        let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else {
            continue;
        };
        let (options, samples) = (Arc::clone(&options), Arc::clone(&samples));
        tokio::spawn(async move {
            let sent = began.elapsed();
            let outcome = match tokio::time::timeout(options.timeout, ask(&options)).await {
                Ok(outcome) => outcome,
                Err(_) => Err("no answer in time".to_owned()),
            };
            let sample = Sample {
                sent,
                ended: began.elapsed(),
                outcome,
            };
            let mut samples = samples
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if samples.len() == KEEP_LIMIT {
                samples.pop_front();
            }
            samples.push_back(sample);
            drop(permit);
        });
    }
    // Let the last ones come home.
    let _ = tokio::time::timeout(
        options.timeout * 2,
        in_flight.acquire_many(IN_FLIGHT_LIMIT as u32),
    )
    .await;
}

async fn ask(options: &ProbeOptions) -> Result<(u16, String), String> {
    let mut stream = TcpStream::connect(options.target)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        options.path, options.target
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("send: {error}"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(|error| format!("receive: {error}"))?;
    let answer = crate::http::Answer::parse(&answer).ok_or_else(|| "no HTTP answer".to_owned())?;
    Ok((answer.status, answer.body.trim().to_owned()))
}
