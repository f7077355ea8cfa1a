//! One virtual router without the rest of the daemon, for trials in network namespaces.
//!
//! ```text
//! vrrp_alone priority=100 vip=10.230.137.100/32 pass=passwd
//! ```
//!
//! `file=PATH` takes a keepalived.conf instead. Words (`also` is a number of further instances): `name also interface vrid priority state advert vip pass nopreempt preempt_delay peers source garp_delay
//! script interval fall rise weight proxy notify mail keep pre_release`. On standard input: `show`, `failover [force]`, `failback`,
//! `proxy up|down`, `set WORD=VALUE …` (a reload), `control` (a new
//! control process), `stop`, `abandon` (the supervisor vanishes). Whatever happens is printed, a line each.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use config::keepalived::*;
use config::{Span, Word};
use protocol::Operation;
use protocol::process::{FromChild, ProxyHealth, Role, ScriptOutcome, ToChild};
use protocol::vrrp::{VrrpAsk, VrrpRequest, VrrpTell};
use sys::channel::{Channel, Sender, pair};
use tandem_vrrp::Setup;
use tokio::io::AsyncBufReadExt;
use tokio::task::AbortHandle;

/// Where `remember=FILE` keeps what the process says of it.
fn memory(words: &[String]) -> Option<&str> {
    words.iter().find_map(|word| word.strip_prefix("remember="))
}

fn remembered(words: &[String]) -> Vec<u8> {
    let bytes = memory(words).map(std::fs::read);
    bytes.and_then(Result::ok).unwrap_or_default()
}

/// Builds a setup of one instance out of `word=value` arguments.
pub(crate) fn setup(words: &[String]) -> Setup {
    let value = |name: &str| {
        let with_name = |word: &String| {
            word.strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        };
        words.iter().rev().find_map(with_name)
    };
    let has = |name: &str| words.iter().any(|word| word == name);
    let number = |name: &str, default: u64| {
        value(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let seconds = |name: &str, default| Duration::from_secs(number(name, default));
    let split = |text: String| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let word = |text: &str| Word::new(text, Span::default());
    if let Some(path) = value("file") {
        let loaded = config::load(&[config::Input::path(path)], &|_| None);
        return Setup {
            config: loaded.keepalived.expect("a keepalived configuration"),
            proxy_configured: has("proxy"),
            keep_addresses: has("keep"),
            node: "alone".to_owned(),
            remembered: remembered(words),
        };
    }
    let mut config = KeepalivedConfig::default();
    let mut tracks = Tracks::default();
    if let Some(command) = value("script") {
        let weight = value("weight")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let native = command == "killall -0 haproxy";
        config.scripts.push(VrrpScript {
            name: word("chk"),
            kind: if native {
                ScriptKind::ProxyAlive
            } else {
                ScriptKind::Run(split(command.clone()))
            },
            command,
            interval: seconds("interval", 1),
            timeout: seconds("interval", 1),
            weight,
            reverse: false,
            rise: number("rise", 1) as u32,
            fall: number("fall", 1) as u32,
            init_fail: false,
            user: None,
            places: Default::default(),
        });
        tracks.scripts.push(Tracked {
            item: 0,
            weight,
            reverse: false,
        });
    }
    let addresses = value("vip").unwrap_or("10.230.137.100/32".to_owned());
    let virtual_addresses = addresses
        .split(',')
        .map(|entry| {
            let (address, prefix) = entry.split_once('/').unwrap_or((entry, "32"));
            VirtualAddress::new(
                address.parse().expect("an address in vip="),
                prefix.parse().expect("a prefix length in vip="),
                Span::default(),
            )
        })
        .collect();
    let notify = value("notify").map(split);
    let with = |state: &str| {
        notify.clone().map(|mut argv| {
            argv.push(state.to_owned());
            NotifyCommand { argv, user: None }
        })
    };
    config.instances.push(VrrpInstance {
        name: word(&value("name").unwrap_or("R1".to_owned())),
        state: if value("state").as_deref() == Some("MASTER") {
            InitialState::Master
        } else {
            InitialState::Backup
        },
        interface: value("interface").unwrap_or("eth0".to_owned()),
        version: if has("v3") { Version::V3 } else { Version::V2 },
        virtual_router_id: number("vrid", 50) as u8,
        priority: number("priority", 100) as u8,
        advert_int: value("advert")
            .and_then(|text| text.parse().ok())
            .map_or(Duration::from_secs(1), Duration::from_secs_f64),
        authentication: value("pass").map(|text| {
            let mut octets = [0; 8];
            octets[..text.len().min(8)].copy_from_slice(&text.as_bytes()[..text.len().min(8)]);
            if has("ah") {
                Authentication::Ah(octets)
            } else {
                Authentication::Pass(octets)
            }
        }),
        auth_hmac: None,
        virtual_addresses,
        excluded_addresses: Vec::new(),
        nopreempt: has("nopreempt"),
        preempt_delay: seconds("preempt_delay", 0),
        timer_expired_backup: None,
        source_address: value("source").and_then(|text| text.parse().ok()),
        unicast_peers: value("peers")
            .iter()
            .flat_map(|text| text.split(','))
            .filter_map(|peer| peer.parse().ok())
            .collect(),
        group: None,
        peer_ttls: Vec::new(),
        unicast_ttl: 255,
        unicast_fault_no_peer: false,
        skip_check_adv_addr: false,
        checksum: Checksum::default(),
        strict: false,
        tracks: tracks.into(),
        dont_track_primary: false,
        track_src_ip: false,
        down_timer_adverts: 3,
        higher_prio_send_advert: true,
        lower_prio_no_advert: false,
        garp_master_delay: seconds("garp_delay", 5),
        garp_master_repeat: 5,
        garp_master_refresh: Duration::ZERO,
        garp_master_refresh_repeat: 1,
        addressing: Addressing::default().into(),
        notify: Notify {
            master: with("own-master"),
            backup: with("own-backup"),
            fault: with("own-fault"),
            stop: with("own-stop"),
            any: notify.map(|argv| NotifyCommand { argv, user: None }),
            pre_release: value("pre_release").map(|command| PreRelease {
                command: NotifyCommand {
                    argv: split(command),
                    user: None,
                },
                timeout: Duration::from_millis(700),
            }),
            ..Notify::default()
        }
        .into(),
        smtp_alert: has("mail"),
        places: Default::default(),
        span: Span::default(),
    });
    for number in 1..=number("also", 0) as u8 {
        let mut instance = config.instances[0].clone();
        instance.name = word(&format!("also{number}"));
        instance.virtual_router_id = number;
        instance.virtual_addresses[0].address = std::net::Ipv4Addr::new(10, 231, 0, number).into();
        instance.virtual_addresses.truncate(1);
        config.instances.push(instance);
    }
    Setup {
        config,
        proxy_configured: has("proxy"),
        keep_addresses: has("keep"),
        node: "alone".to_owned(),
        remembered: remembered(words),
    }
}

fn say(text: &str) {
    println!("{} {text}", protocol::event::now_ms());
}

async fn send<T: serde::Serialize>(sender: &Sender, message: &T) {
    let bytes = protocol::wire::encode(message).expect("small");
    let _ = sender.send(&bytes, &[]).await;
}

async fn run_script(
    sender: Sender,
    id: u64,
    argv: Vec<String>,
    timeout_ms: u64,
    environment: Vec<(String, String)>,
) {
    let child = argv.split_first().map(|(program, rest)| {
        tokio::process::Command::new(program)
            .args(rest)
            .envs(environment)
            .kill_on_drop(true)
            .status()
    });
    let outcome = match child {
        None => ScriptOutcome::Failed("nothing to run".to_owned()),
        Some(child) => match tokio::time::timeout(Duration::from_millis(timeout_ms), child).await {
            Err(_) => ScriptOutcome::TimedOut,
            Ok(Err(error)) => ScriptOutcome::Failed(error.to_string()),
            Ok(Ok(status)) => status
                .code()
                .map_or(ScriptOutcome::Signaled(0), ScriptOutcome::Exited),
        },
    };
    send(&sender, &ToChild::ScriptDone { id, outcome }).await;
}

/// Plays the supervisor: runs scripts, prints events.
async fn supervise(mut channel: Channel, memory: Option<String>) {
    while let Ok(Some((bytes, _))) = channel.receiver.receive().await {
        match protocol::wire::decode::<FromChild>(&bytes) {
            Ok(FromChild::RunScript {
                id,
                argv,
                timeout_ms,
                environment,
                ..
            }) => {
                let sender = channel.sender.clone();
                tokio::spawn(run_script(sender, id, argv, timeout_ms, environment));
            }
            Ok(FromChild::NotifyLine(line)) => say(&format!("LINE {}", line.trim_end())),
            Ok(FromChild::Ready) => say("READY"),
            Ok(FromChild::Remember(bytes)) => {
                if let Some(path) = &memory {
                    // A reader finds all of it.
                    let beside = format!("{path}.new");
                    std::fs::write(&beside, bytes).expect("a file");
                    std::fs::rename(&beside, path).expect("a file");
                }
            }
            Ok(FromChild::Mail { subject, body }) => {
                say(&format!("MAIL {subject} | {}", body.replace('\n', "/")))
            }
            Ok(other) => say(&format!("CHILD {other:?}")),
            Err(error) => say(&format!("BAD {error}")),
        }
    }
}

/// Plays the control process: prints what it is told.
async fn control(mut receiver: sys::channel::Receiver) {
    while let Ok(Some((bytes, _))) = receiver.receive().await {
        match protocol::wire::decode::<VrrpTell>(&bytes) {
            Ok(VrrpTell::Event(event)) => {
                say(&format!(
                    "EVENT {:?} {:?} {}: {}: {}",
                    event.severity, event.kind, event.subject, event.change, event.reason
                ));
            }
            Ok(VrrpTell::Done { result, .. }) => say(&format!("DONE {result:?}")),
            Ok(VrrpTell::Instances {
                instances,
                sessions,
                ..
            }) => {
                say(&format!("SHOW {instances:?}"));
                say(&format!("SESSIONS {sessions:?}"));
            }
            Err(error) => say(&format!("BAD {error}")),
        }
    }
}

/// Plays a new control process, whose channel the supervisor passes on.
async fn new_control(supervisor: &Sender) -> Sender {
    let (ours, theirs) = pair().expect("a socketpair");
    let ours = Channel::new(ours).expect("a channel");
    tokio::spawn(control(ours.receiver));
    let message = ToChild::Peer {
        role: Role::Control,
        pid: 1,
    };
    let bytes = protocol::wire::encode(&message).expect("small");
    let _ = supervisor.send(&bytes, &[theirs.as_fd()]).await;
    ours.sender
}

/// Obeys standard input.
async fn obey(
    mut words: Vec<String>,
    supervisor: Sender,
    mut control: Sender,
    supervising: AbortHandle,
) {
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    let instance = setup(&words).config.instances[0].name.text.clone();
    let mut id = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        id += 1;
        let ask = |ask| VrrpRequest { id, ask };
        let instance = instance.clone();
        match line.trim() {
            "show" => send(&control, &ask(VrrpAsk::Show)).await,
            "failback" => {
                send(
                    &control,
                    &ask(VrrpAsk::Do(Operation::VrrpFailback { instance })),
                )
                .await
            }
            "failover" | "failover force" => {
                let force = line.contains("force");
                send(
                    &control,
                    &ask(VrrpAsk::Do(Operation::VrrpFailover { instance, force })),
                )
                .await;
            }
            "proxy up" | "proxy down" => {
                let alive = line.contains("up");
                let detail = if alive {
                    "ready"
                } else {
                    "the worker was killed by signal 9"
                }
                .to_owned();
                send(
                    &supervisor,
                    &ToChild::ProxyHealth(ProxyHealth { alive, detail }),
                )
                .await;
            }
            "control" => control = new_control(&supervisor).await,
            "abandon" => {
                supervising.abort();
                return;
            }
            "stop" => send(&supervisor, &ToChild::Stop).await,
            set => {
                words.extend(set.split_whitespace().skip(1).map(str::to_owned));
                let bytes = protocol::wire::encode(&setup(&words)).expect("small");
                send(&supervisor, &ToChild::NewVrrpConfig(bytes)).await;
            }
        }
    }
}

/// Runs a node until it is stopped.
pub(crate) fn node(words: Vec<String>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(async {
        let (ours, theirs) = pair().expect("a socketpair");
        let (our_control, their_control) = pair().expect("a socketpair");
        let supervisor = Channel::new(ours).expect("a channel");
        let our_control = Channel::new(our_control).expect("a channel");
        let theirs = Channel::new(theirs).expect("a channel");
        let their_control = Channel::new(their_control).expect("a channel");
        let to_supervised = supervisor.sender.clone();
        let supervising = tokio::spawn(supervise(supervisor, memory(&words).map(str::to_owned)));
        let supervising = supervising.abort_handle();
        let to_control = our_control.sender.clone();
        tokio::spawn(obey(words.clone(), to_supervised, to_control, supervising));
        tokio::spawn(control(our_control.receiver));
        tandem_vrrp::run(setup(&words), theirs, Some(their_control)).await
    });
    // A thread may wait for standard input for ever.
    runtime.shutdown_background();
    code
}

#[allow(dead_code)]
fn main() -> ExitCode {
    node(std::env::args().skip(1).collect())
}
