//! Tracked scripts and notifications: when which runs. The supervisor runs them.

use std::collections::VecDeque;
use std::time::Duration;

use config::keepalived::{ScriptKind, VrrpScript};
use protocol::process::{FromChild, ScriptOutcome};

use super::outbox::Outbox;
use crate::core::Moment;
use crate::core::tracking::ScriptTrack;

/// How long beyond a script's own timeout the supervisor's answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Longest run of a notification.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(60);
/// Notifications of an instance that wait for the one that runs; the oldest is dropped beyond that.
const MAX_WAITING: usize = 32;

/// Numbers for requests to the supervisor.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A `vrrp_script`.
pub(super) struct Script {
    /// Its definition.
    pub(super) config: VrrpScript,
    /// Answered from the proxy's health instead of being run.
    pub(super) native: bool,
    /// Its results.
    pub(super) track: ScriptTrack,
    argv: Vec<String>,
    /// The run's number and its begin.
    running: Option<(u64, Moment)>,
    due: Moment,
}

impl Script {
    /// A script that runs as soon as possible.
    pub(super) fn new(config: VrrpScript, proxy_configured: bool, now: Moment) -> Self {
        let (native, argv) = match &config.kind {
            ScriptKind::ProxyAlive if proxy_configured => (true, Vec::new()),
            // Beside another proxy the command runs as it is written.
            ScriptKind::ProxyAlive => {
                let words = config.command.split_whitespace();
                (
                    false,
                    words
                        .map(|word| word.trim_matches(['"', '\'']).to_owned())
                        .collect(),
                )
            }
            ScriptKind::Run(argv) => (false, argv.clone()),
        };
        let track = ScriptTrack::new(config.rise, config.fall, config.init_fail);
        Self {
            config,
            native,
            track,
            argv,
            running: None,
            due: now,
        }
    }

    /// When [`Script::elapsed`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Moment> {
        if self.native {
            return None;
        }
        // No second run while one runs: until its end, only a lost answer is waited for.
        Some(
            self.running
                .map_or(self.due, |(_, started)| started + self.patience()),
        )
    }

    fn patience(&self) -> Duration {
        self.config.timeout + ANSWER_PATIENCE
    }

    /// Starts a run if it is time; an outcome if the supervisor never answered.
    pub(super) fn elapsed(
        &mut self,
        now: Moment,
        numbers: &mut Numbers,
        supervisor: &Outbox,
    ) -> Option<ScriptOutcome> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        if self.running.take().is_some() {
            return Some(ScriptOutcome::Failed(
                "the supervisor did not say how it ended".to_owned(),
            ));
        }
        let id = numbers.next();
        self.running = Some((id, now));
        self.due = now + self.config.interval;
        supervisor.send(&FromChild::RunScript {
            id,
            argv: self.argv.clone(),
            user: self.config.user.clone(),
            timeout_ms: milliseconds(self.config.timeout),
            notifies: false,
        });
        None
    }

    /// Takes the end of run `id`; true if it is this script's.
    pub(super) fn done(&mut self, id: u64) -> bool {
        self.running
            .take_if(|(running, _)| *running == id)
            .is_some()
    }
}

/// Notifications of one instance, one at a time, in order.
#[derive(Default)]
pub(super) struct Notifications {
    waiting: VecDeque<Vec<String>>,
    running: Option<(u64, Moment)>,
}

impl Notifications {
    /// Queues a command; returns one that had to be dropped for it.
    pub(super) fn push(&mut self, argv: Vec<String>) -> Option<Vec<String>> {
        self.waiting.push_back(argv);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front()
        } else {
            None
        }
    }

    /// Starts the next one if none runs.
    pub(super) fn turn(&mut self, now: Moment, numbers: &mut Numbers, supervisor: &Outbox) {
        if self.running.is_some_and(|(_, until)| until <= now) {
            self.running = None;
        }
        if self.running.is_some() {
            return;
        }
        let Some(argv) = self.waiting.pop_front() else {
            return;
        };
        let id = numbers.next();
        self.running = Some((id, now + NOTIFY_TIMEOUT + ANSWER_PATIENCE));
        supervisor.send(&FromChild::RunScript {
            id,
            argv,
            user: None,
            timeout_ms: milliseconds(NOTIFY_TIMEOUT),
            notifies: true,
        });
    }

    /// Takes the end of run `id` if it is one of these.
    pub(super) fn done(&mut self, id: u64) -> bool {
        let ours = self.running.is_some_and(|(running, _)| running == id);
        if ours {
            self.running = None;
        }
        ours
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// When [`Notifications::turn`] wants to be called although nothing ended.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.running.map(|(_, until)| until)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
