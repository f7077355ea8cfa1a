//! One child process: starting it, talking to it, hearing of its end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use protocol::process::{FromChild, Observation, Role, ToChild};
use protocol::wire;
use sys::channel::{self, Channel};
use sys::nursery::Nursery;
use tokio::sync::mpsc;

use super::Happening;
use super::listeners::borrowed;
use super::process::Process;
use crate::birth;

/// Messages that may wait for a child; one that lets so many wait is held for hung.
pub(super) const MAX_QUEUED_MESSAGES: usize = 1_024;

type Outgoing = (Vec<u8>, Vec<Arc<OwnedFd>>);

/// A running child.
pub(super) struct Child {
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started: Instant,
    /// It said so.
    pub ready: bool,
    /// When it last gave a sign of life.
    pub heartbeat: Instant,
    /// It was told to end.
    pub leaving: bool,
    /// What a worker was told of the one before, until that one is told of it.
    pub born_with: Vec<u8>,
    /// A worker's backends, as it last told of them.
    pub observed: Vec<Observation>,
    /// Why it said that it cannot start.
    pub failure: Option<String>,
    outgoing: mpsc::Sender<Outgoing>,
}

impl Child {
    /// Starts a process in a role and gives it its setup. `descriptors` follow its end of the supervisor's channel.
    pub(super) fn start(
        role: Role,
        setup: Vec<u8>,
        descriptors: Vec<Arc<OwnedFd>>,
        happenings: &mpsc::Sender<Happening>,
        environment: &[(String, String)],
        nursery: &mut Option<Nursery>,
    ) -> std::io::Result<Self> {
        let (birth_ours, birth_theirs) = channel::pair()?;
        let (ours, theirs) = channel::pair()?;
        let process = Process::start(role, &birth_theirs, environment, nursery)?;
        let pid = process.id();
        drop(birth_theirs);

        let channel = Channel::new(ours)?;
        let birth_channel = Channel::new(birth_ours)?;
        let (outgoing, mut queue) = mpsc::channel::<Outgoing>(MAX_QUEUED_MESSAGES);
        let sender = channel.sender;
        tokio::spawn(async move {
            let mut all = vec![Arc::new(theirs)];
            all.extend(descriptors);
            // A child that is gone already is told of by its end.
            let _ = birth::send(&birth_channel.sender, setup, &borrowed(&all)).await;
            drop((birth_channel, all));
            while let Some((payload, descriptors)) = queue.recv().await {
                let borrowed: Vec<_> = descriptors
                    .iter()
                    .map(|descriptor| descriptor.as_fd())
                    .collect();
                if sender.send(&payload, &borrowed).await.is_err() {
                    break;
                }
            }
        });
        let told = happenings.clone();
        let mut receiver = channel.receiver;
        let reading = tokio::spawn(async move {
            while let Ok(Some((frame, _))) = receiver.receive().await {
                let Ok(message) = wire::decode::<FromChild>(&frame) else {
                    tracing::error!("process {pid}: a message that cannot be read");
                    continue;
                };
                if told.send(Happening::Told { pid, message }).await.is_err() {
                    return;
                }
            }
        });
        let ended = happenings.clone();
        tokio::spawn(async move {
            let reason = process.wait().await;
            // What it said last comes before its end.
            let _ = reading.await;
            let _ = ended.send(Happening::Ended { pid, reason }).await;
        });
        let now = Instant::now();
        Ok(Self {
            role,
            pid,
            started: now,
            ready: false,
            heartbeat: now,
            leaving: false,
            born_with: Vec::new(),
            observed: Vec::new(),
            failure: None,
            outgoing,
        })
    }

    /// Sends a message. A child that does not read is killed by the caller's next look at [`Child::hung`].
    pub(super) fn tell(&self, message: &ToChild) {
        self.tell_with(message, Vec::new());
    }

    /// Sends a message with descriptors.
    pub(super) fn tell_with(&self, message: &ToChild, descriptors: Vec<Arc<OwnedFd>>) {
        match wire::encode(message) {
            Ok(payload) => {
                if self.outgoing.try_send((payload, descriptors)).is_err() {
                    tracing::warn!(
                        "{} (process {}) does not read its messages",
                        self.role.as_str(),
                        self.pid
                    );
                }
            }
            Err(error) => tracing::error!("a message for {} is lost: {error}", self.role.as_str()),
        }
    }

    /// Whether its queue of messages is full.
    pub(super) fn hung(&self) -> bool {
        self.outgoing.capacity() == 0
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: nix::sys::signal::Signal) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // It is gone if this fails, and its end is told elsewhere.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }
}
