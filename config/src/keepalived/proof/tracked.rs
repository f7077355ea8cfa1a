//! What an instance tracks, as a flat list: each kind of tracked item is one function here, and the proofs know
//! only the list.

use std::time::Duration;

use super::super::model::{KeepalivedConfig, ScriptKind, Tracks, VrrpInstance, VrrpScript};
use crate::source::Span;

/// Longest that a dead proxy is overlooked; the daemon waits half an interval, and not longer than this.
const PROXY_GRACE: Duration = Duration::from_millis(500);

/// What a script asks for that is answered by this daemon itself.
const PROXY: &str = "the proxy";

/// Pause between two counts of processes.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);

/// Pause between two looks at a file.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a tracked item does to its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Adds this to the priority.
    Priority(i32),
    /// FAULT.
    Fault,
}

/// A tracked item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    /// `script chk`, `interface eth1`, `the proxy`: the same thing has the same name on both nodes.
    pub(super) name: String,
    /// 0 means FAULT.
    pub(super) weight: i32,
    /// FAULT whatever the weight.
    pub(super) vital: bool,
    /// What it would add it subtracts, and the other way round; with weight 0 it must fail.
    pub(super) reverse: bool,
    /// Longest from the failure until it is noticed.
    pub(super) noticed: Duration,
    /// Another member of the sync group tracks it: its weight is that one's.
    pub(super) of_other: bool,
    /// Where it is tracked.
    pub(super) span: Option<Span>,
}

/// A `track_file` with a weight: it holds any number, which the weight multiplies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    /// `file load`.
    pub(super) name: String,
    /// What 1 in it adds to the priority.
    pub(super) factor: i64,
}

/// Longest until a new number is noticed.
pub(super) const NUMBER_NOTICED: Duration = LOOK_INTERVAL;

/// What runs on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// This daemon.
    #[default]
    Tandem,
    /// keepalived: it runs every script, and knows no backends.
    Keepalived,
}

impl Tracked {
    /// What it does while it is well, or fails.
    pub(super) fn effect(&self, well: bool) -> Effect {
        let sign = if self.reverse { -1 } else { 1 };
        match (self.weight, well) {
            (_, false) if self.vital => Effect::Fault,
            (weight, _) if self.of_other && weight != 0 => Effect::Priority(0),
            // `weight 0 reverse`: it must be down.
            (0, well) if well == self.reverse => Effect::Fault,
            (0, _) => Effect::Priority(0),
            // A positive weight counts while all is well, a negative one while it is not.
            (weight, true) => Effect::Priority(weight.max(0) * sign),
            (weight, false) => Effect::Priority(weight.min(0) * sign),
        }
    }

    /// Whether it can only change the priority.
    pub(super) fn is_weighted(&self) -> bool {
        self.weight != 0 && !self.vital && !self.of_other
    }

    /// The thing itself, whoever tracks it.
    pub(super) fn thing(&self) -> &str {
        match self.name.split_once(" (") {
            Some((thing, _)) if self.of_other => thing,
            _ => &self.name,
        }
    }
}

/// All that an instance and its sync group track but its own interface, and what puts the other members of the group in FAULT.
/// Files with a weight are left out ([`numbered`]). What the others track with a weight is in it and changes nothing of this one.
pub(super) fn tracked(config: &KeepalivedConfig, instance: &VrrpInstance) -> Vec<Tracked> {
    tracked_by(config, instance, Program::Tandem)
}

/// The same where this program runs.
pub(super) fn tracked_by(
    config: &KeepalivedConfig,
    instance: &VrrpInstance,
    program: Program,
) -> Vec<Tracked> {
    let mut all = all_tracked(config, instance);
    if program == Program::Keepalived {
        all.retain(|item| !item.thing().starts_with("backend "));
        for item in &mut all {
            let is_script = item.thing() == PROXY;
            if is_script {
                // A script as any other: its weight counts, and it is noticed when it has run.
                let script = proxy_script(config);
                item.vital = false;
                item.noticed = script.map_or(item.noticed, slow);
            }
        }
    }
    all
}

/// Whether the text asks for what keepalived does not know: backends.
pub(super) fn tracks_backends(config: &KeepalivedConfig, instance: &VrrpInstance) -> bool {
    let is_backend = |item: &Tracked| item.thing().starts_with("backend ");
    all_tracked(config, instance).iter().any(is_backend)
}

fn proxy_script(config: &KeepalivedConfig) -> Option<&VrrpScript> {
    let is_proxy = |script: &&VrrpScript| script.kind == ScriptKind::ProxyAlive;
    config.scripts.iter().find(is_proxy)
}

/// The failures that count begin with the next run; a run may take its whole time limit.
fn slow(script: &VrrpScript) -> Duration {
    script.interval * script.fall + script.timeout.min(script.interval)
}

/// Files with a weight that the instance or its sync group tracks.
pub(super) fn numbered(config: &KeepalivedConfig, instance: &VrrpInstance) -> Vec<Numbered> {
    let is_member = |at: &usize| {
        let member = config.instances.get(*at);
        member.is_some_and(|member| member.name.text == instance.name.text)
    };
    let groups = config.sync_groups.iter();
    let groups = groups.filter(|group| group.members.iter().any(is_member));
    let mut found = Vec::new();
    for tracks in std::iter::once(&instance.tracks).chain(groups.map(|group| &group.tracks)) {
        for entry in tracks.files.iter().filter(|entry| entry.weight != 0) {
            let Some(file) = config.track_files.get(entry.item) else {
                continue;
            };
            let sign = if entry.reverse { -1 } else { 1 };
            found.push(Numbered {
                name: format!("file {}", file.name.as_str()),
                factor: i64::from(entry.weight) * sign,
            });
        }
    }
    found
}

fn all_tracked(config: &KeepalivedConfig, instance: &VrrpInstance) -> Vec<Tracked> {
    let mut all = Vec::new();
    let is_member = |at: &usize| {
        let member = config.instances.get(*at);
        member.is_some_and(|member| member.name.text == instance.name.text)
    };
    let groups = config.sync_groups.iter();
    let groups = groups.filter(|group| group.members.iter().any(is_member));
    for tracks in std::iter::once(&instance.tracks).chain(groups.map(|group| &group.tracks)) {
        scripts(config, instance, tracks, &mut all);
        interfaces(instance, tracks, &mut all);
        processes(config, instance, tracks, &mut all);
        bfds(config, instance, tracks, &mut all);
        backends(tracks, &mut all);
        files(config, instance, tracks, &mut all);
    }
    let groups = config.sync_groups.iter();
    for group in groups.filter(|group| group.members.iter().any(is_member)) {
        let others = group.members.iter().filter(|at| !is_member(at));
        for other in others.filter_map(|at| config.instances.get(*at)) {
            member(config, other, &mut all);
        }
    }
    all
}

/// What puts another member of the sync group in FAULT, and so all of it; its weights are its own, and are kept as such.
fn member(config: &KeepalivedConfig, other: &VrrpInstance, all: &mut Vec<Tracked>) {
    let mut own = Vec::new();
    if !other.dont_track_primary {
        own.push(Tracked {
            name: format!("interface {}", other.interface),
            weight: 0,
            vital: true,
            reverse: false,
            of_other: false,
            noticed: Duration::ZERO,
            span: None,
        });
    }
    scripts(config, other, &other.tracks, &mut own);
    interfaces(other, &other.tracks, &mut own);
    processes(config, other, &other.tracks, &mut own);
    bfds(config, other, &other.tracks, &mut own);
    backends(&other.tracks, &mut own);
    files(config, other, &other.tracks, &mut own);
    for mut item in own {
        let name = format!("{} ({})", item.name, other.name.as_str());
        let is_known = all
            .iter()
            .any(|known| (known.name == item.name && !known.is_weighted()) || known.name == name);
        let is_own = item.is_weighted() && all.iter().any(|known| known.name == item.name);
        if !is_known && !is_own {
            item.name = name;
            item.of_other = true;
            all.push(item);
        }
    }
}

/// Files whose content means FAULT: any number but 0.
fn files(
    config: &KeepalivedConfig,
    instance: &VrrpInstance,
    tracks: &Tracks,
    all: &mut Vec<Tracked>,
) {
    for entry in tracks.files.iter().filter(|entry| entry.weight == 0) {
        let Some(file) = config.track_files.get(entry.item) else {
            continue;
        };
        let name = file.name.as_str();
        all.push(Tracked {
            name: format!("file {name}"),
            weight: 0,
            vital: false,
            reverse: entry.reverse,
            of_other: false,
            noticed: LOOK_INTERVAL,
            span: instance.places.find(&format!("track_file {name}")),
        });
    }
}

fn scripts(
    config: &KeepalivedConfig,
    instance: &VrrpInstance,
    tracks: &Tracks,
    all: &mut Vec<Tracked>,
) {
    for entry in &tracks.scripts {
        let Some(script) = config.scripts.get(entry.item) else {
            continue;
        };
        let native = script.kind == ScriptKind::ProxyAlive;
        let grace = (instance.advert_int / 2).min(PROXY_GRACE);
        all.push(Tracked {
            name: if native {
                PROXY.to_owned()
            } else {
                format!("script {}", script.name.as_str())
            },
            weight: entry.weight,
            vital: native,
            reverse: entry.reverse,
            of_other: false,
            noticed: if native { grace } else { slow(script) },
            span: instance
                .places
                .find(&format!("track_script {}", script.name.as_str())),
        });
    }
}

fn interfaces(instance: &VrrpInstance, tracks: &Tracks, all: &mut Vec<Tracked>) {
    let interfaces = tracks.interfaces.iter();
    for entry in interfaces.filter(|entry| entry.item.text != instance.interface) {
        all.push(Tracked {
            name: format!("interface {}", entry.item.text),
            weight: entry.weight,
            vital: false,
            reverse: entry.reverse,
            of_other: false,
            noticed: Duration::ZERO,
            span: Some(entry.item.span),
        });
    }
}

fn processes(
    config: &KeepalivedConfig,
    instance: &VrrpInstance,
    tracks: &Tracks,
    all: &mut Vec<Tracked>,
) {
    for entry in &tracks.processes {
        let Some(process) = config.track_processes.get(entry.item) else {
            continue;
        };
        let name = process.name.as_str();
        all.push(Tracked {
            name: format!("process {name}"),
            weight: entry.weight,
            vital: false,
            reverse: entry.reverse,
            of_other: false,
            noticed: process.terminate_delay + COUNT_INTERVAL,
            span: instance.places.find(&format!("track_process {name}")),
        });
    }
}

/// A session fails when nothing was heard for the detection time; the neighbour is taken to be configured alike.
fn bfds(
    config: &KeepalivedConfig,
    instance: &VrrpInstance,
    tracks: &Tracks,
    all: &mut Vec<Tracked>,
) {
    for entry in &tracks.bfds {
        let Some(session) = config.bfd_instances.get(entry.item) else {
            continue;
        };
        let name = session.name.as_str();
        all.push(Tracked {
            name: format!("bfd {name}"),
            weight: entry.weight,
            vital: false,
            reverse: entry.reverse,
            of_other: false,
            noticed: session.min_rx.max(session.min_tx) * u32::from(session.multiplier),
            span: instance.places.find(&format!("track_bfd {name}")),
        });
    }
}

fn backends(tracks: &Tracks, all: &mut Vec<Tracked>) {
    for entry in &tracks.backends {
        all.push(Tracked {
            name: format!("backend {}", entry.item.text),
            weight: entry.weight,
            vital: false,
            reverse: entry.reverse,
            of_other: false,
            noticed: Duration::ZERO,
            span: Some(entry.item.span),
        });
    }
}
