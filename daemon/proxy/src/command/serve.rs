//! Answers the control process and tells it what happened.

use std::sync::Arc;

use protocol::operation::{Operation, Refusal};
use protocol::wire;
use protocol::worker::{MAX_SESSIONS_SHOWN, WorkerAsk, WorkerRequest, WorkerTell};

use super::apply;
use crate::app::{App, Shared, add_server, remove_server};

/// Serves the channel to the control process until it is gone. Events that could not be told go back to the queue.
pub async fn serve(control: sys::channel::Channel, app: Arc<App>) {
    let shared = &app.shared;
    let mut receiver = control.receiver;
    let sender = control.sender;
    loop {
        tokio::select! {
            frame = receiver.receive() => {
                let Ok(Some((bytes, _))) = frame else { return };
                let request: WorkerRequest = match wire::decode(&bytes) {
                    Ok(request) => request,
                    Err(error) => {
                        tracing::warn!("the control process sent what cannot be read: {error}");
                        continue;
                    }
                };
                if !reply(&sender, &app, request).await {
                    return;
                }
            }
            operation = shared.operated.next() => {
                if !tell(&sender, &WorkerTell::Operated(operation.clone())).await {
                    shared.operated.put_back(operation);
                    return;
                }
            }
            event = shared.events.next() => {
                let message = WorkerTell::Event(event);
                if !tell(&sender, &message).await {
                    if let WorkerTell::Event(event) = message {
                        shared.events.put_back(event);
                    }
                    return;
                }
            }
        }
    }
}

/// What takes long with thousands of servers or patterns is made beside the data path, which goes on meanwhile.
async fn reply(sender: &sys::channel::Sender, app: &Arc<App>, request: WorkerRequest) -> bool {
    if let WorkerAsk::Do(operation) = &request.ask {
        let result = operate(app, operation);
        return tell(
            sender,
            &WorkerTell::Done {
                id: request.id,
                result,
            },
        )
        .await;
    }
    let shared = Arc::clone(&app.shared);
    let made = tokio::task::spawn_blocking(move || wire::encode(&answer(&shared, request)));
    match made.await {
        Ok(Ok(bytes)) => sender.send(&bytes, &[]).await.is_ok(),
        Ok(Err(error)) => {
            tracing::warn!("an answer to the control process cannot be written: {error}");
            true
        }
        Err(_) => true,
    }
}

async fn tell(sender: &sys::channel::Sender, message: &WorkerTell) -> bool {
    match wire::encode(message) {
        Ok(bytes) => sender.send(&bytes, &[]).await.is_ok(),
        Err(error) => {
            tracing::warn!("an answer to the control process cannot be written: {error}");
            true
        }
    }
}

/// What changes who there is takes more than the state that other changes go to.
fn operate(app: &Arc<App>, operation: &Operation) -> Result<String, Refusal> {
    match operation {
        Operation::AddServer { server, words } => add_server(app, server, words),
        Operation::RemoveServer { server } => remove_server(app, server),
        _ => apply(&app.shared, operation),
    }
}

fn answer(shared: &Shared, request: WorkerRequest) -> WorkerTell {
    let id = request.id;
    match request.ask {
        WorkerAsk::Snapshot => WorkerTell::Snapshot {
            id,
            snapshot: Box::new(crate::stats::snapshot(shared)),
        },
        WorkerAsk::Sessions => WorkerTell::Sessions {
            id,
            sessions: shared.sessions.list(shared, MAX_SESSIONS_SHOWN),
        },
        WorkerAsk::Errors => WorkerTell::Errors {
            id,
            errors: shared.errors.list(),
        },
        WorkerAsk::Patterns(ask) => WorkerTell::Done {
            id,
            result: super::patterns::run(shared, &ask),
        },
        WorkerAsk::Do(operation) => WorkerTell::Done {
            id,
            result: apply(shared, &operation),
        },
    }
}
