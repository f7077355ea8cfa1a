//! The two kinds of objects, with keepalived's interfaces.
//!
//! Who may call what is the bus's policy (`packaging/`): here each call counts as an administrator's.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::process::Report;
use protocol::vrrp::{InstanceSnapshot, VrrpState};
use protocol::{Operation, Refusal};
use zbus::fdo::{Error, Result};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

use super::super::{Hub, Place};
use super::difference::{status, word};
use super::reports::{self, Cleared};

/// Calls that change something, under way at a time.
const MAX_CALLS: u32 = 16;
static CALLS: AtomicU32 = AtomicU32::new(0);

/// A place among the calls.
fn place() -> Result<Place<'static>> {
    Place::take(&CALLS, MAX_CALLS).ok_or_else(|| {
        Error::LimitsExceeded(format!(
            "{MAX_CALLS} calls are under way already: try later"
        ))
    })
}

fn failed(refusal: Refusal) -> Error {
    Error::Failed(refusal.to_string().trim_end().to_owned())
}

/// `D-Bus (:1.7)`, for the log.
fn who(header: &Header<'_>) -> String {
    match header.sender() {
        Some(sender) => format!("D-Bus ({sender})"),
        None => "D-Bus".to_owned(),
    }
}

/// What is shown of an instance.
pub(super) struct Shown {
    pub(super) name: String,
    state: VrrpState,
}

impl Shown {
    pub(super) fn of(instance: &InstanceSnapshot) -> Self {
        Self {
            name: instance.name.clone(),
            state: instance.state,
        }
    }
}

/// An instance.
pub(super) struct Instance {
    hub: Arc<Hub>,
    shown: Arc<Mutex<Shown>>,
}

impl Instance {
    pub(super) fn new(hub: Arc<Hub>, shown: Arc<Mutex<Shown>>) -> Self {
        Self { hub, shown }
    }

    fn shown<T>(&self, read: impl FnOnce(&Shown) -> T) -> T {
        read(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[zbus::interface(name = "org.keepalived.Vrrp1.Instance", introspection_docs = false)]
impl Instance {
    /// One gratuitous ARP or neighbour advertisement for each address; refused where the addresses are not.
    async fn send_garp(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let _place = place()?;
        let name = self.shown(|shown| shown.name.clone());
        let done = self.hub.announce(name, &who(&header)).await;
        done.map(|_| ()).map_err(failed)
    }

    /// keepalived 2.2.7 declares a string and gives a structure of one; here the declaration says what is given.
    #[zbus(property)]
    fn name(&self) -> (String,) {
        (self.shown(|shown| shown.name.clone()),)
    }

    #[zbus(property)]
    fn state(&self) -> (u32, String) {
        let state = self.shown(|shown| shown.state);
        (status(state), word(state).to_owned())
    }

    #[zbus(signal)]
    pub(super) async fn vrrp_status_change(
        emitter: &SignalEmitter<'_>,
        status: u32,
    ) -> zbus::Result<()>;
}

/// The daemon.
pub(super) struct Vrrp {
    hub: Arc<Hub>,
    cleared: Mutex<Cleared>,
}

impl Vrrp {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            cleared: Mutex::default(),
        }
    }

    /// Has the supervisor write a file about the instances, in the folder of the control socket.
    async fn write(
        &self,
        header: &Header<'_>,
        report: Report,
        text: impl FnOnce(&mut Cleared, &[InstanceSnapshot]) -> String + Send,
    ) -> Result<()> {
        let _place = place()?;
        let told = self.hub.instances().await;
        let instances =
            told.ok_or_else(|| Error::Failed("the vrrp process does not answer".to_owned()))?;
        let text = {
            let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
            text(&mut cleared, &instances)
        };
        let path = self.hub.write_report(report, text).await.map_err(failed)?;
        tracing::info!("{path} is written: asked on {}", who(header));
        Ok(())
    }
}

fn no_instances() -> Error {
    let why = "instances come from the configuration alone, so that a restart knows them too: change the file and call ReloadConfig";
    Error::NotSupported(why.to_owned())
}

#[zbus::interface(name = "org.keepalived.Vrrp1.Vrrp", introspection_docs = false)]
impl Vrrp {
    /// Returns when `keepalived.data` is written: beside the control socket, not in `/tmp`, where all may write.
    async fn print_data(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let text = |_: &mut Cleared, instances: &[InstanceSnapshot]| reports::data(instances);
        self.write(&header, Report::Data, text).await
    }

    /// The same with `keepalived.stats`.
    async fn print_stats(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let text =
            |cleared: &mut Cleared, instances: &[InstanceSnapshot]| cleared.statistics(instances);
        self.write(&header, Report::Stats, text).await
    }

    /// The same; the file counts from here on.
    async fn print_stats_clear(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let text = |cleared: &mut Cleared, instances: &[InstanceSnapshot]| {
            let text = cleared.statistics(instances);
            cleared.clear(instances);
            text
        };
        self.write(&header, Report::Stats, text).await
    }

    /// Returns when the new configuration runs, or with what is wrong with it.
    async fn reload_config(&self, #[zbus(header)] header: Header<'_>) -> Result<()> {
        let _place = place()?;
        let done = self.hub.operate(Operation::Reload, &who(&header)).await;
        done.map(|_| ()).map_err(failed)
    }

    /// Of keepalived only where it was built for it; Debian's has no such method.
    fn create_instance(
        &self,
        _name: String,
        _interface: String,
        _vrid: u32,
        _family: u32,
    ) -> Result<()> {
        Err(no_instances())
    }

    fn destroy_instance(&self, _name: String) -> Result<()> {
        Err(no_instances())
    }

    #[zbus(signal)]
    pub(super) async fn vrrp_started(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn vrrp_reloaded(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn vrrp_stopped(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}
