//! A channel to the worker or to vrrp: questions with numbers, answers, and events in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::vrrp::{VrrpAsk, VrrpRequest, VrrpTell};
use protocol::wire;
use protocol::worker::{WorkerAsk, WorkerRequest, WorkerTell};
use sys::channel::Channel;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::history::History;
use super::hub::log_event;
use super::succession::Turn;

/// How long a process may take to answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Questions that may wait for a process.
const MAX_QUESTIONS: usize = 128;

/// A question for either.
pub(super) enum Ask {
    /// For a worker.
    Worker(WorkerAsk),
    /// For vrrp.
    Vrrp(VrrpAsk),
}

/// An answer of either.
pub(super) enum Tell {
    /// Of a worker.
    Worker(WorkerTell),
    /// Of vrrp.
    Vrrp(VrrpTell),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The process has ended, or its channel has.
    Gone,
    /// It takes too long.
    Late,
}

/// A process that can be asked.
#[derive(Clone)]
pub(super) struct Peer {
    /// Its process id.
    pub pid: u32,
    questions: mpsc::Sender<(Ask, oneshot::Sender<Tell>)>,
}

impl Peer {
    /// Takes a channel over; the task ends with the channel or with the last clone of the peer.
    pub(super) fn start(
        pid: u32,
        channel: Channel,
        is_worker: bool,
        history: Arc<History>,
        turns: mpsc::Sender<Turn>,
    ) -> Self {
        let (questions, queue) = mpsc::channel(MAX_QUESTIONS);
        let turns = is_worker.then_some((pid, turns));
        tokio::spawn(converse(channel, turns, queue, history));
        Self { pid, questions }
    }

    /// Asks.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Tell, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        self.questions
            .try_send((ask, sender))
            .map_err(|error| match error {
                TrySendError::Full(_) => NoAnswer::Late,
                TrySendError::Closed(_) => NoAnswer::Gone,
            })?;
        match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(tell)) => Ok(tell),
            Ok(Err(_)) => Err(NoAnswer::Gone),
            Err(_) => Err(NoAnswer::Late),
        }
    }
}

async fn converse(
    channel: Channel,
    worker: Option<(u32, mpsc::Sender<Turn>)>,
    mut queue: mpsc::Receiver<(Ask, oneshot::Sender<Tell>)>,
    history: Arc<History>,
) {
    let Channel {
        sender,
        mut receiver,
    } = channel;
    let mut waiting: HashMap<u64, oneshot::Sender<Tell>> = HashMap::new();
    let mut next_id = 0;
    loop {
        tokio::select! {
            question = queue.recv() => {
                let Some((ask, answer)) = question else { return };
                next_id += 1;
                let frame = match ask {
                    Ask::Worker(ask) => wire::encode(&WorkerRequest { id: next_id, ask }),
                    Ask::Vrrp(ask) => wire::encode(&VrrpRequest { id: next_id, ask }),
                };
                // Who asked and gave up is forgotten here.
                waiting.retain(|_, answer| !answer.is_closed());
                waiting.insert(next_id, answer);
                let Ok(frame) = frame else { continue };
                // A process that does not read is asked no more.
                match tokio::time::timeout(ANSWER_LIMIT, sender.send(&frame, &[])).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            frame = receiver.receive() => {
                let Ok(Some((frame, _))) = frame else { return };
                let told = if worker.is_some() {
                    wire::decode::<WorkerTell>(&frame).map(Tell::Worker)
                } else {
                    wire::decode::<VrrpTell>(&frame).map(Tell::Vrrp)
                };
                match told {
                    Ok(Tell::Worker(WorkerTell::Event(event)) | Tell::Vrrp(VrrpTell::Event(event))) => {
                        log_event(&history.record(event));
                    }
                    Ok(Tell::Worker(WorkerTell::Operated(operation))) => {
                        if let Some((pid, turns)) = &worker {
                            // The control process ends if nobody listens.
                            let _ = turns.send(Turn::Operated(*pid, operation)).await;
                        }
                    }
                    Ok(tell) => {
                        if let Some(answer) = waiting.remove(&number(&tell)) {
                            // Who asked may have given up.
                            let _ = answer.send(tell);
                        }
                    }
                    Err(error) => tracing::error!("an answer cannot be read: {error}"),
                }
            }
        }
    }
}

fn number(tell: &Tell) -> u64 {
    match tell {
        Tell::Worker(
            WorkerTell::Snapshot { id, .. }
            | WorkerTell::Sessions { id, .. }
            | WorkerTell::Errors { id, .. }
            | WorkerTell::Done { id, .. },
        )
        | Tell::Vrrp(VrrpTell::Instances { id, .. } | VrrpTell::Done { id, .. }) => *id,
        Tell::Worker(WorkerTell::Event(_) | WorkerTell::Operated(_))
        | Tell::Vrrp(VrrpTell::Event(_)) => 0,
    }
}
