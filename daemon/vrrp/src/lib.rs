//! Stand-in until the real one is merged.
#![allow(missing_docs)]
use std::process::ExitCode;
use protocol::process::{FromChild, ToChild};
use protocol::vrrp::*;
use protocol::wire;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Setup { pub config: config::keepalived::KeepalivedConfig, pub proxy_configured: bool, pub node: String }

pub fn remove_addresses(_config: &config::keepalived::KeepalivedConfig) -> Result<Vec<String>, String> { Ok(Vec::new()) }

pub async fn run(_setup: Setup, mut supervisor: sys::channel::Channel, control: Option<sys::channel::Channel>) -> ExitCode {
    let mut control = control;
    let _ = supervisor.sender.send(&wire::encode(&FromChild::Ready).unwrap_or_default(), &[]).await;
    loop {
        let asked = async { match &mut control { Some(c) => c.receiver.receive().await, None => std::future::pending().await } };
        tokio::select! {
            frame = supervisor.receiver.receive() => {
                let Ok(Some((frame, descriptors))) = frame else { return ExitCode::SUCCESS };
                match wire::decode::<ToChild>(&frame) {
                    Ok(ToChild::Stop) => return ExitCode::SUCCESS,
                    Ok(ToChild::Peer { .. }) => control = descriptors.into_iter().next().and_then(|d| sys::channel::Channel::new(d).ok()),
                    Ok(other) => tracing::info!("vrrp stand-in hears {other:?}"),
                    Err(error) => tracing::error!("{error}"),
                }
            }
            frame = asked => match frame {
                Ok(Some((frame, _))) => {
                    let Ok(request) = wire::decode::<VrrpRequest>(&frame) else { continue };
                    let tell = match request.ask {
                        VrrpAsk::Show => VrrpTell::Instances { id: request.id, instances: Vec::new() },
                        VrrpAsk::Do(_) => VrrpTell::Done { id: request.id, result: Ok(String::new()) },
                    };
                    if let Some(c) = &control { let _ = c.sender.send(&wire::encode(&tell).unwrap_or_default(), &[]).await; }
                }
                _ => control = None,
            },
        }
    }
}
