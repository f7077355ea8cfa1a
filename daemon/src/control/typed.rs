//! The protocol of `tandem`: frames of requests, answers, and pushed snapshots and events.

use std::sync::Arc;
use std::time::Duration;

use protocol::client::{
    ClientAsk, ClientReply, ClientRequest, ClientTell, MIN_PUSH_INTERVAL_MS, PROTOCOL_VERSION,
};
use protocol::{Level, Refusal, wire};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc};

use super::hub::Hub;
use super::{Stream, text};

/// Frames that may wait for a client; one that lets more wait is dropped.
pub(super) const MAX_QUEUED_FRAMES: usize = 64;
/// Requests of one client that are under way at a time.
const MAX_REQUESTS: usize = 16;
/// How long a client may take to read one frame.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Longest interval of pushed snapshots.
const MAX_PUSH_INTERVAL_MS: u64 = 60_000;

/// Serves one client whose magic was read.
pub(super) async fn serve(stream: impl Stream, hub: Arc<Hub>, level: Level, socket: String) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (out, mut queue) = mpsc::channel::<Vec<u8>>(MAX_QUEUED_FRAMES);
    let writing = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            match tokio::time::timeout(WRITE_LIMIT, writer.write_all(&frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        // The client may be gone already.
        let _ = writer.shutdown().await;
    });
    let client = Client {
        hub,
        level,
        socket,
        out,
        doomed: Arc::default(),
    };
    let mut tasks = tokio::task::JoinSet::new();
    let mut greeted = false;
    loop {
        let request = tokio::select! {
            request = read_request(&mut reader) => request,
            // The writer ends first when the client does not read.
            () = client.out.closed() => break,
            () = client.doomed.notified() => {
                tracing::warn!("a client on {} does not read: dropped", client.socket);
                writing.abort();
                break;
            }
        };
        let Some(request) = request else { break };
        while tasks.try_join_next().is_some() {}
        let refusal = match &request.body {
            ClientAsk::Hello { version } if *version != PROTOCOL_VERSION => Some(format!(
                "this node speaks version {PROTOCOL_VERSION} of the protocol, the client version {version}"
            )),
            ClientAsk::Hello { .. } => None,
            _ if !greeted => Some("the first request must be Hello".to_owned()),
            _ => None,
        };
        if let Some(reason) = refusal {
            client.tell(request.id, ClientTell::Refused(Refusal::Invalid(reason)));
            break;
        }
        greeted = true;
        if tasks.len() >= MAX_REQUESTS {
            tasks.join_next().await;
        }
        let client = client.clone();
        tasks.spawn(async move { client.answer(request).await });
    }
    tasks.abort_all();
    drop(client);
    tasks.shutdown().await;
    // A panic of the writer has been told by tokio already.
    let _ = writing.await;
}

async fn read_request(reader: &mut (impl AsyncRead + Unpin)) -> Option<ClientRequest> {
    let mut length = [0; wire::LENGTH_BYTES];
    reader.read_exact(&mut length).await.ok()?;
    let length = wire::announced_length(length, wire::MAX_CLIENT_FRAME_BYTES).ok()?;
    let mut payload = Vec::new();
    // Grows with what comes, not with what was announced.
    reader
        .take(length as u64)
        .read_to_end(&mut payload)
        .await
        .ok()?;
    if payload.len() < length {
        return None;
    }
    wire::decode(&payload).ok()
}

#[derive(Clone)]
struct Client {
    hub: Arc<Hub>,
    level: Level,
    socket: String,
    out: mpsc::Sender<Vec<u8>>,
    doomed: Arc<Notify>,
}

impl Client {
    /// Queues a reply; `false` if the client does not read: then it is dropped.
    fn tell(&self, id: u64, body: ClientTell) -> bool {
        match wire::frame(&ClientReply { id, body }) {
            Ok(frame) => {
                if self.out.try_send(frame).is_ok() {
                    return true;
                }
            }
            Err(error) => tracing::error!("a reply cannot be sent: {error}"),
        }
        self.doomed.notify_one();
        false
    }

    async fn answer(self, request: ClientRequest) {
        let id = request.id;
        let body = match request.body {
            ClientAsk::Hello { .. } => ClientTell::Welcome {
                version: PROTOCOL_VERSION,
                node: self.hub.setup().node.clone(),
                level: self.level,
            },
            ClientAsk::Snapshot => {
                ClientTell::Snapshot(Box::new(Arc::unwrap_or_clone(self.hub.snapshot().await)))
            }
            ClientAsk::Subscribe { interval_ms } => {
                self.push(
                    id,
                    interval_ms.clamp(MIN_PUSH_INTERVAL_MS, MAX_PUSH_INTERVAL_MS),
                )
                .await;
                return;
            }
            ClientAsk::Events { after } => ClientTell::Events(self.hub.history.after(after)),
            ClientAsk::Do(operation) if self.level < operation.required_level() => {
                ClientTell::Refused(Refusal::PermissionDenied)
            }
            ClientAsk::Do(operation) => match self.hub.operate(operation, &self.socket).await {
                Ok(text) => ClientTell::Done(text),
                Err(refusal) => ClientTell::Refused(refusal),
            },
            ClientAsk::Text(line) => {
                ClientTell::Text(text::one(&line, &self.hub, self.level, &self.socket).await)
            }
        };
        self.tell(id, body);
    }

    /// Pushes snapshots and events until the client is gone.
    async fn push(self, id: u64, interval_ms: u64) {
        let mut subscription = self.hub.subscribe(interval_ms);
        let mut events = self.hub.history.subscribe();
        if !self.tell(id, ClientTell::Done(String::new())) {
            return;
        }
        // A picture leaves when it is made: one that waited for a clock of its own would be older by up to an interval. The
        // pictures come at the shortest interval of all clients, a little late each; hence not the whole interval.
        let spacing = Duration::from_millis(interval_ms) * 9 / 10;
        let mut next = tokio::time::Instant::now();
        loop {
            let body = tokio::select! {
                is_new = async {
                    tokio::time::sleep_until(next).await;
                    subscription.pictures.changed().await
                } => {
                    if is_new.is_err() {
                        return;
                    }
                    next = tokio::time::Instant::now() + spacing;
                    let picture = Arc::clone(&subscription.pictures.borrow_and_update());
                    ClientTell::Snapshot(Box::new((*picture).clone()))
                }
                event = events.recv() => match event {
                    Ok(event) => ClientTell::Events(vec![event]),
                    // It asks for what it missed by the numbers.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            if !self.tell(0, body) {
                return;
            }
        }
    }
}
