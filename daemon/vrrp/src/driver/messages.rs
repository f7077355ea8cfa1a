//! What other processes say to us: the supervisor, and the control process with its requests.

use std::os::fd::OwnedFd;

use protocol::operation::Operation;
use protocol::process::{ProxyHealth, Role, ScriptOutcome, ToChild};
use protocol::vrrp::{InstanceSnapshot, VrrpAsk, VrrpRequest, VrrpTell};
use protocol::{EventKind, EventSeverity, Refusal};
use sys::channel::{Channel, Receiver};
use tokio::sync::mpsc;

use super::difference::same_router;
use super::outbox::Outbox;
use super::release::Afterwards;
use super::unit::Asked;
use super::{Control, Driver};
use crate::Setup;
use crate::core::tracking::{MAX_PROXY_GRACE, Report};

/// A message of another process.
pub(super) enum Message {
    /// It asks for the end.
    Signal(&'static str),
    Supervisor(ToChild, Vec<OwnedFd>),
    SupervisorGone,
    Control {
        generation: u64,
        request: VrrpRequest,
    },
    ControlGone {
        generation: u64,
    },
    /// An event whose reason took time to find out.
    Found {
        subject: String,
        change: String,
        reason: String,
    },
}

impl Driver {
    /// Takes a message; the reason to stop, if it is one.
    pub(super) async fn message(&mut self, message: Message) -> Option<&'static str> {
        match message {
            Message::Signal(name) => return Some(name),
            Message::SupervisorGone => {
                self.supervisor_gone = true;
                return Some("the supervisor is gone");
            }
            Message::Supervisor(ToChild::Stop, _) => return Some("the daemon stops"),
            Message::Supervisor(message, descriptors) => {
                self.supervised(message, descriptors).await
            }
            Message::Control {
                generation,
                request,
            } => self.asked(generation, request).await,
            Message::Found {
                subject,
                change,
                reason,
            } => {
                let severity = EventSeverity::Warning;
                self.event(severity, EventKind::Other, &subject, &change, &reason);
            }
            Message::ControlGone { generation } => {
                self.control
                    .take_if(|control| control.generation == generation);
            }
        }
        None
    }

    async fn supervised(&mut self, message: ToChild, descriptors: Vec<OwnedFd>) {
        match message {
            ToChild::ProxyHealth(health) => self.proxy_told(&health).await,
            ToChild::Observed(observations) => self.observe(observations).await,
            ToChild::ScriptDone { id, outcome } => {
                if let Some(at) = self.scripts.iter_mut().position(|script| script.done(id)) {
                    self.script_ended(at, &outcome).await;
                } else if !self.release_ended(id, &outcome)
                    && !self.notification_ended(id, &outcome)
                {
                    tracing::debug!("vrrp: script run {id} ended after it was given up");
                }
            }
            ToChild::NewVrrpConfig(bytes) => match protocol::wire::decode::<Setup>(&bytes) {
                Ok(setup) => {
                    let ends = |at: &usize| {
                        let unit = &self.units[*at].config;
                        let mut new = setup.config.instances.iter();
                        !new.any(|new| new.name.text == unit.name.text && same_router(new, unit))
                    };
                    let ending: Vec<usize> = self.masters().into_iter().filter(ends).collect();
                    let after = Afterwards::Reload(Box::new(setup));
                    let why = "it ends or begins anew with the new configuration";
                    if let Some(Afterwards::Reload(setup)) =
                        self.release(ending.into_iter(), None, why, after)
                    {
                        Box::pin(self.apply(*setup, "reloaded")).await;
                    }
                }
                Err(error) => tracing::error!("vrrp: new configuration not understood: {error}"),
            },
            ToChild::Peer {
                role: Role::Control,
                ..
            } => {
                let channel = descriptors
                    .into_iter()
                    .next()
                    .ok_or_else(|| std::io::Error::other("no descriptor"));
                match channel.and_then(Channel::new) {
                    Ok(channel) => self.attach(channel),
                    Err(error) => {
                        tracing::error!("vrrp: new control process not reachable: {error}")
                    }
                }
            }
            ToChild::PeerGone {
                role: Role::Control,
                ..
            } => {
                // The end of its channel says so more exactly: a successor may be attached already.
            }
            other => tracing::debug!("vrrp: not for us: {other:?}"),
        }
    }

    pub(super) fn attach(&mut self, channel: Channel) {
        self.generation += 1;
        let generation = self.generation;
        tokio::spawn(read_control(
            channel.receiver,
            generation,
            self.messages.clone(),
        ));
        self.control = Some(Control {
            generation,
            outbox: Outbox::new("control", channel.sender),
        });
    }

    async fn proxy_told(&mut self, health: &ProxyHealth) {
        let now = self.now();
        let shortest = self
            .units
            .iter()
            .map(|unit| unit.config.advert_int / 2)
            .min();
        let grace = shortest.unwrap_or(MAX_PROXY_GRACE).min(MAX_PROXY_GRACE);
        if self.proxy.told(now, health.alive, &health.detail, grace) {
            let cause = if health.alive {
                "the proxy is alive"
            } else {
                health.detail.as_str()
            };
            self.judge_all(cause).await;
        }
    }

    pub(super) async fn script_ended(&mut self, at: usize, outcome: &ScriptOutcome) {
        let script = &mut self.scripts[at];
        let first = matches!(script.track.report(), Report::Unknown(_));
        let changed = script.track.ended(outcome);
        let (severity, change, detail) = match script.track.report() {
            Report::Up(detail) => (EventSeverity::Notice, "succeeds", detail),
            Report::Down(detail) => (EventSeverity::Warning, "fails", detail),
            Report::Unknown(_) | Report::Number(..) => return,
        };
        let name = script.config.name.as_str().to_owned();
        if changed && !(first && severity == EventSeverity::Notice) {
            self.event(severity, EventKind::VrrpTracking, &name, change, &detail);
        }
        // Also when nothing changed: the shares show the last result.
        self.judge_all(&format!("script {name}: {detail}")).await;
    }

    async fn asked(&mut self, generation: u64, request: VrrpRequest) {
        let id = request.id;
        match request.ask {
            VrrpAsk::Show => {
                let sessions = self.show_bfd().await;
                let now = self.now();
                let units = self.units.iter().enumerate();
                let instances = units.map(|(at, unit)| InstanceSnapshot {
                    bfd: self.tracked_bfd(at, &sessions),
                    decided: self.decided(at),
                    ..unit.snapshot(now, &self.network)
                });
                // The list that is made one by one is the last of the message.
                let message = VrrpTell::Instances {
                    id,
                    sessions: sessions.clone(),
                    instances: Vec::new(),
                };
                if let Some(control) = &self.control {
                    control.outbox.send_list(&message, instances);
                }
            }
            VrrpAsk::Announce(instance) => {
                let result = self.announce_once(&instance);
                self.done(id, result);
            }
            VrrpAsk::Do(Operation::VrrpFailover { instance, force }) => {
                let Some(at) = self.find(&instance) else {
                    return self.done(id, Err(Refusal::NoSuchInstance(instance)));
                };
                let core = &self.units[at].core;
                let moves = core.is_active() && !core.is_handing_over();
                let after = Afterwards::Failover {
                    generation,
                    id,
                    instance: instance.clone(),
                    force,
                };
                let units = self.moves_with(at).into_iter().filter(|_| moves);
                if self
                    .release(units, None, "operator: failover", after)
                    .is_some()
                {
                    self.fail_over(generation, id, instance, force).await;
                }
            }
            VrrpAsk::Do(Operation::VrrpFailback { instance }) => {
                let Some(at) = self.find(&instance) else {
                    return self.done(id, Err(Refusal::NoSuchInstance(instance)));
                };
                let now = self.now();
                match self.units[at].core.failback(now) {
                    Ok((text, actions)) => {
                        self.carry(at, actions).await;
                        self.done(id, Ok(format!("{instance}: {text}")));
                    }
                    Err(why) => self.done(id, Err(Refusal::Unsafe(format!("{instance}: {why}")))),
                }
            }
            VrrpAsk::Do(other) => {
                self.done(
                    id,
                    Err(Refusal::Invalid(format!(
                        "not an operation of VRRP: {other:?}"
                    ))),
                );
            }
        }
    }

    /// An operator's failover, after `pre_release`.
    pub(super) async fn fail_over(
        &mut self,
        generation: u64,
        id: u64,
        instance: String,
        force: bool,
    ) {
        let Some(at) = self.find(&instance) else {
            return self.done(id, Err(Refusal::NoSuchInstance(instance)));
        };
        match self.failover(at, force) {
            Ok(batch) => {
                self.units[at].asked = Some(Asked { generation, id });
                self.perform_all(batch).await;
            }
            Err(why) => self.done(id, Err(Refusal::Unsafe(format!("{instance}: {why}")))),
        }
    }

    pub(super) fn find(&self, instance: &str) -> Option<usize> {
        self.units.iter().position(|unit| unit.name() == instance)
    }
}

pub(super) async fn read_supervisor(mut receiver: Receiver, messages: mpsc::Sender<Message>) {
    while let Ok(Some((bytes, descriptors))) = receiver.receive().await {
        match protocol::wire::decode(&bytes) {
            Ok(message) => {
                if messages
                    .send(Message::Supervisor(message, descriptors))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                tracing::error!("vrrp: message of the supervisor not understood: {error}")
            }
        }
    }
    let _ = messages.send(Message::SupervisorGone).await;
}

async fn read_control(mut receiver: Receiver, generation: u64, messages: mpsc::Sender<Message>) {
    while let Ok(Some((bytes, _))) = receiver.receive().await {
        match protocol::wire::decode(&bytes) {
            Ok(request) => {
                if messages
                    .send(Message::Control {
                        generation,
                        request,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                tracing::error!("vrrp: message of the control process not understood: {error}")
            }
        }
    }
    let _ = messages.send(Message::ControlGone { generation }).await;
}
