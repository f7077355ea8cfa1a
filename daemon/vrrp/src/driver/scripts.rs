//! Tracked scripts: when which runs. The supervisor runs them.

use std::time::Duration;

use config::keepalived::{ScriptKind, VrrpScript};
use protocol::process::{FromChild, ScriptOutcome};

use super::outbox::Outbox;
use crate::core::Moment;
use crate::core::tracking::ScriptTrack;

/// How long beyond a script's own timeout the supervisor's answer may take.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Numbers for requests to the supervisor.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    /// The next one.
    pub(super) fn next(&mut self) -> u64 {
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
            environment: Vec::new(),
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

/// For messages.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
