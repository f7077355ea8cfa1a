//! From one worker to the next without losing a change: what operators change between the state that a new worker starts with
//! and its taking over is asked of it too, before anybody else may ask it anything.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::operation::{Operation, Refusal};
use protocol::process::{FromChild, Role};
use protocol::worker::{WorkerAsk, WorkerTell};
use tokio::sync::{RwLock, mpsc};

use super::hub::{Hub, WorkerSilent, no_answer};
use super::peers::{Ask, NoAnswer, Tell};

/// Turns that may wait.
pub(super) const MAX_TURNS: usize = 1_024;
/// Changes that may be made while a new worker starts.
const MAX_CHANGES: usize = 1_024;

/// What happens to workers, in order.
#[derive(Debug)]
pub(super) enum Turn {
    /// The supervisor wants the state for a new worker.
    AskState,
    /// This worker serves from now on.
    Current(u32),
    /// This worker has ended.
    Gone(u32),
    /// An operator made a change on this worker's statistics page.
    Operated(u32, Operation),
}

/// Changes since the last worker's state was told.
#[derive(Default)]
pub(super) struct Succession {
    /// Held for reading by every change, for writing while one worker follows another.
    turn: RwLock<()>,
    /// What was changed since, while a new worker starts.
    changes: Mutex<Option<Vec<Operation>>>,
}

impl Succession {
    fn changes(&self) -> std::sync::MutexGuard<'_, Option<Vec<Operation>>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.changes()
            .as_ref()
            .is_some_and(|changes| changes.len() >= MAX_CHANGES)
    }

    fn remember(&self, operation: &Operation) {
        // Sessions are those of one worker.
        let is_of_sessions = matches!(
            operation,
            Operation::ShutdownSession { .. } | Operation::ShutdownServerSessions { .. }
        );
        if let Some(changes) = self.changes().as_mut().filter(|_| !is_of_sessions) {
            changes.push(operation.clone());
        }
    }
}

/// Follows what happens to workers until the control process ends.
pub(super) async fn follow(hub: Arc<Hub>, mut turns: mpsc::Receiver<Turn>) {
    while let Some(turn) = turns.recv().await {
        match turn {
            Turn::AskState => {
                {
                    // Changes that are on their way are in the state; those after are remembered.
                    let _turn = hub.succession.turn.write().await;
                    *hub.succession.changes() = Some(Vec::new());
                }
                let state = hub.worker_state().await;
                // The supervisor's end is noticed elsewhere.
                let _ = hub.tell_supervisor(&FromChild::WorkerState(state)).await;
            }
            Turn::Current(pid) => {
                let _turn = hub.succession.turn.write().await;
                let changes = hub.succession.changes().take().unwrap_or_default();
                if *hub.current.borrow() != Some(pid) {
                    repeat(&hub, pid, changes).await;
                }
                hub.current.send_replace(Some(pid));
            }
            Turn::Gone(pid) => hub.remove_peer(Role::Worker, pid),
            Turn::Operated(pid, operation) => {
                if *hub.current.borrow() == Some(pid) {
                    hub.succession.remember(&operation);
                } else if let Ok(Err(refusal)) = hub.change_worker_once(&operation).await {
                    tell_left_out(&operation, &refusal);
                }
            }
        }
    }
}

/// Asks the changes of a new worker.
async fn repeat(hub: &Hub, pid: u32, changes: Vec<Operation>) {
    let Some(worker) = hub.worker_of(pid) else {
        return;
    };
    for operation in changes {
        match worker
            .ask(Ask::Worker(WorkerAsk::Do(operation.clone())))
            .await
        {
            Ok(Tell::Worker(WorkerTell::Done {
                result: Err(refusal),
                ..
            })) => tell_left_out(&operation, &refusal),
            Ok(_) => {}
            Err(reason @ (NoAnswer::Gone | NoAnswer::Late)) => {
                tracing::warn!(
                    "worker {pid} did not hear of all changes that were made while it started: {reason:?}"
                );
                return;
            }
        }
    }
}

/// A server that the new configuration lacks, or a state that the new worker had already.
fn tell_left_out(operation: &Operation, refusal: &Refusal) {
    let (subject, change) = super::views::describe_operation(operation);
    tracing::info!("{subject} {change}: not repeated on the new worker: {refusal}");
}

impl Hub {
    /// Makes a change in the worker that serves, and in the one that is about to.
    pub(super) async fn change_worker(&self, operation: &Operation) -> Result<String, Refusal> {
        loop {
            match self.change_worker_once(operation).await {
                Ok(done) => return done,
                Err(WorkerSilent::Gone(pid)) if self.succeeded(pid).await.is_some() => {}
                Err(_) => return Err(no_answer(Role::Worker)),
            }
        }
    }

    async fn change_worker_once(
        &self,
        operation: &Operation,
    ) -> Result<Result<String, Refusal>, WorkerSilent> {
        let _turn = self.succession.turn.read().await;
        if self.succession.is_full() {
            return Ok(Err(Refusal::Invalid(
                "a reload is under way, and too many changes wait for the new worker".to_owned(),
            )));
        }
        let ask = WorkerAsk::Do(operation.clone());
        match self.ask_worker_once(&ask).await? {
            Tell::Worker(WorkerTell::Done { result, .. }) => {
                if result.is_ok() {
                    self.succession.remember(operation);
                }
                Ok(result)
            }
            _ => Err(WorkerSilent::Late),
        }
    }
}
