//! Where a child begins: it takes its setup from the supervisor and becomes what it was started as.

use std::process::ExitCode;

use sys::channel::Channel;
use sys::privileges::{Capability, Identity, Restriction};

use crate::logging::{self, LogTarget};
use crate::{birth, control};

/// Runs the role that the command line names.
pub fn run(role: &str) -> ExitCode {
    logging::start(
        LogTarget::from_environment(),
        std::env::var_os("TANDEM_DEBUG").is_some(),
    );
    sys::title::set_name(&format!("tandemd-{role}"));
    let outcome = match role {
        "worker" => worker(),
        "vrrp" => vrrp(),
        "control" => control_process(),
        _ => Err(format!("there is no role '{role}'")),
    };
    outcome.unwrap_or_else(|reason| {
        tracing::error!("{role} cannot start: {reason}");
        ExitCode::FAILURE
    })
}

type Born<T> = (T, std::vec::IntoIter<std::os::fd::OwnedFd>);

fn born<T: serde::de::DeserializeOwned>() -> Result<Born<T>, String> {
    let descriptor = sys::spawn::birth_descriptor()
        .map_err(|error| format!("not started by a supervisor: {error}"))?;
    let (setup, descriptors) =
        birth::receive(descriptor).map_err(|error| format!("no setup: {error}"))?;
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

fn worker() -> Result<ExitCode, String> {
    let (setup, mut descriptors) = born::<proxy::Setup>()?;
    let supervisor = descriptors.next().ok_or(MISSING)?;
    let control = descriptors.next().ok_or(MISSING)?;
    Ok(proxy::run(
        setup,
        descriptors.collect(),
        supervisor,
        control,
    ))
}

fn vrrp() -> Result<ExitCode, String> {
    // Before the setup comes, which is large and not needed for long.
    sys::memory::keep_little();
    let (setup, mut descriptors) = born::<vrrp::Setup>()?;
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
    runtime()?.block_on(async {
        let supervisor = Channel::new(supervisor).map_err(|error| error.to_string())?;
        let control = control
            .map(Channel::new)
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(vrrp::run(setup, supervisor, control).await)
    })
}

fn control_process() -> Result<ExitCode, String> {
    let (setup, mut descriptors) = born::<control::Setup>()?;
    let supervisor = descriptors.next().ok_or(MISSING)?;
    control::restrict(&setup).map_err(|error| format!("rights: {error}"))?;
    runtime()?.block_on(async {
        let supervisor = Channel::new(supervisor).map_err(|error| error.to_string())?;
        Ok(control::run(setup, supervisor, descriptors.collect()).await)
    })
}
