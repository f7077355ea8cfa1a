//! Where a child begins: it takes its setup from the supervisor and becomes what it was started as.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::ExitCode;

use sys::channel::Channel;
use sys::privileges::{Capability, Identity, Restriction};

use crate::logging::{self, LogTarget};
use crate::{birth, control};

/// Runs the role that the command line names, with the channel that this process was started with.
pub fn run(role: &str) -> ExitCode {
    match sys::spawn::birth_descriptor() {
        Ok(birth) => run_with(role, birth),
        Err(error) => {
            eprintln!("tandemd: {role} cannot start: not started by a supervisor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a role with the channel that this process is born with.
pub fn run_with(role: &str, birth: OwnedFd) -> ExitCode {
    logging::start(
        LogTarget::from_environment(),
        std::env::var_os("TANDEM_DEBUG").is_some(),
    );
    sys::title::set_name(&format!("tandemd-{role}"));
    let outcome = match role {
        "worker" => worker(birth),
        "vrrp" => vrrp(birth),
        "control" => control_process(birth),
        _ => Err(format!("there is no role '{role}'")),
    };
    outcome.unwrap_or_else(|reason| {
        tracing::error!("{role} cannot start: {reason}");
        ExitCode::FAILURE
    })
}

type Born<T> = (T, std::vec::IntoIter<OwnedFd>);

fn born<T: serde::de::DeserializeOwned>(birth: OwnedFd) -> Result<Born<T>, String> {
    let (setup, descriptors) =
        birth::receive(birth).map_err(|error| format!("no setup: {error}"))?;
    let setup = protocol::wire::decode(&setup).map_err(|error| format!("setup: {error}"))?;
    Ok((setup, descriptors.into_iter()))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

/// Addresses and raw sockets; real-time priority and locked memory, so that timers hold under load.
const VRRP_CAPABILITIES: &[Capability] = &[
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_SYS_NICE,
    Capability::CAP_IPC_LOCK,
];

const MISSING: &str = "a descriptor is missing";

#[inline(never)]
fn worker(birth: OwnedFd) -> Result<ExitCode, String> {
    let (setup, mut descriptors) = born::<proxy::Setup>(birth)?;
    let supervisor = descriptors.next().ok_or(MISSING)?;
    let control = descriptors.next().ok_or(MISSING)?;
    Ok(proxy::run(
        setup,
        descriptors.collect(),
        supervisor,
        control,
    ))
}

#[inline(never)]
fn vrrp(birth: OwnedFd) -> Result<ExitCode, String> {
    let (runtime, life) = begin_vrrp(birth)?;
    Ok(runtime.block_on(life))
}

type Life = (
    tokio::runtime::Runtime,
    Pin<Box<dyn Future<Output = ExitCode>>>,
);

/// What only the beginning needs lies in a frame of its own, which ends: what runs afterwards has little on the stack.
#[inline(never)]
fn begin_vrrp(birth: OwnedFd) -> Result<Life, String> {
    // Before the setup comes, which is large and not needed for long.
    sys::memory::keep_little();
    let (setup, mut descriptors) = born::<vrrp::Setup>(birth)?;
    let supervisor = descriptors.next().ok_or(MISSING)?;
    let control = descriptors.next();
    for needed in [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW] {
        if !sys::privileges::has(needed) {
            return Err(format!(
                "virtual addresses take {needed}, which this process does not have: run tandemd as root, or leave keepalived's file out"
            ));
        }
    }
    let identity = Identity {
        uid: None,
        gid: None,
    };
    sys::privileges::restrict(&Restriction {
        chroot: None,
        identity,
        keep: VRRP_CAPABILITIES,
    })
    .map_err(|error| format!("rights: {error}"))?;
    let runtime = runtime()?;
    let inside = runtime.enter();
    let supervisor = Channel::new(supervisor).map_err(|error| error.to_string())?;
    let control = control
        .map(Channel::new)
        .transpose()
        .map_err(|error| error.to_string())?;
    let life = Box::pin(vrrp::run(setup, supervisor, control));
    drop(inside);
    Ok((runtime, life))
}

#[inline(never)]
fn control_process(birth: OwnedFd) -> Result<ExitCode, String> {
    let (setup, mut descriptors) = born::<control::Setup>(birth)?;
    let supervisor = descriptors.next().ok_or(MISSING)?;
    control::restrict(&setup).map_err(|error| format!("rights: {error}"))?;
    runtime()?.block_on(async {
        let supervisor = Channel::new(supervisor).map_err(|error| error.to_string())?;
        Ok(control::run(setup, supervisor, descriptors.collect()).await)
    })
}
