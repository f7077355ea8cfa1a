//! Stand-in until the real one is merged.
#![allow(missing_docs)]
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use config::haproxy::{BindAddress, HaproxyConfig};
use protocol::process::{FromChild, HEARTBEAT_MS, ToChild};
use protocol::snapshot::*;
use protocol::wire;
use protocol::worker::*;
use sys::channel::Channel;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ListenerKey { pub proxy: usize, pub bind: usize, pub address: BindAddress }
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Setup { pub config: HaproxyConfig, pub node: String, pub pid_for_logs: u32, pub listeners: Vec<ListenerKey>, pub servers_state: Vec<u8> }
pub fn listener_keys(config: &HaproxyConfig) -> Vec<ListenerKey> {
    config.proxies.iter().enumerate().filter(|(_, p)| !p.disabled).flat_map(|(proxy, p)| p.binds.iter().enumerate().map(move |(bind, b)| ListenerKey { proxy, bind, address: b.address.clone() })).collect()
}
pub fn check(_config: &HaproxyConfig, _sources: &config::SourceMap) -> config::Diagnostics { config::Diagnostics::default() }
pub fn run(setup: Setup, _listeners: Vec<OwnedFd>, supervisor: OwnedFd, control: OwnedFd) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let (Ok(mut supervisor), Ok(control)) = (Channel::new(supervisor), Channel::new(control)) else { return ExitCode::FAILURE };
        let mut control = Some(control);
        let say = async |m: FromChild| { supervisor.sender.send(&wire::encode(&m).unwrap_or_default(), &[]).await.ok() };
        say(FromChild::Ready).await;
        let proxies = setup.config.proxies.iter().map(|p| ProxySnapshot {
            id: p.id, name: p.name.text.clone(), http: true,
            frontend: p.kind.is_frontend().then(|| FrontendStats { status: "OPEN".into(), session_limit: 100, ..Default::default() }),
            backend: p.kind.is_backend().then(|| BackendStats { status: "UP".into(), algorithm: "roundrobin".into(), ..Default::default() }),
            servers: Vec::new(),
        }).collect();
        let snapshot = WorkerSnapshot { process: ProcessInfo { pid: std::process::id(), ..Default::default() }, proxies };
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(HEARTBEAT_MS));
        loop {
            let asked = async { match &mut control { Some(c) => c.receiver.receive().await, None => std::future::pending().await } };
            tokio::select! {
                _ = tick.tick() => { say(FromChild::Heartbeat).await; }
                frame = supervisor.receiver.receive() => {
                    let Ok(Some((frame, descriptors))) = frame else { return ExitCode::SUCCESS };
                    match wire::decode::<ToChild>(&frame) {
                        Ok(ToChild::Stop | ToChild::Drain { .. }) => return ExitCode::SUCCESS,
                        Ok(ToChild::Peer { .. }) => control = descriptors.into_iter().next().and_then(|d| Channel::new(d).ok()),
                        other => tracing::info!("worker stand-in hears {other:?}"),
                    }
                }
                frame = asked => match frame {
                    Ok(Some((frame, _))) => {
                        let Ok(request) = wire::decode::<WorkerRequest>(&frame) else { continue };
                        let id = request.id;
                        let tell = match request.ask {
                            WorkerAsk::Snapshot => WorkerTell::Snapshot { id, snapshot: Box::new(snapshot.clone()) },
                            WorkerAsk::Sessions => WorkerTell::Sessions { id, sessions: Vec::new() },
                            WorkerAsk::Errors => WorkerTell::Errors { id, errors: Vec::new() },
                            WorkerAsk::Do(_) => WorkerTell::Done { id, result: Ok(String::new()) },
                        };
                        if let Some(c) = &control { let _ = c.sender.send(&wire::encode(&tell).unwrap_or_default(), &[]).await; }
                    }
                    _ => control = None,
                },
            }
        }
    })
}
