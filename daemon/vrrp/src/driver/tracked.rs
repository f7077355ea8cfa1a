//! What instances and sync groups track, as it is now: links, scripts, files, processes, BFD sessions, backends.

use std::collections::HashMap;

use config::keepalived::{KeepalivedConfig, TrackProcess, Tracks};
use protocol::process::Observation;

use super::Driver;
use super::unit::link_report;
use crate::core::Moment;
use crate::core::tracking::{Item, ProcessTrack, Report};

/// What the supervisor and the proxy have told of things outside.
#[derive(Default)]
pub(super) struct Watched {
    /// By name of the `track_file`.
    files: HashMap<String, Report>,
    /// By name of the `vrrp_track_process`.
    processes: HashMap<String, (TrackProcess, ProcessTrack)>,
    /// By name of the backend.
    backends: HashMap<String, Report>,
}

impl Watched {
    /// Takes a configuration; what did not change keeps what it knows.
    pub(super) fn follow(&mut self, config: &KeepalivedConfig) {
        let files = &config.track_files;
        self.files
            .retain(|name, _| files.iter().any(|file| file.name.as_str() == name));
        let mut old = std::mem::take(&mut self.processes);
        for process in &config.track_processes {
            let mut plain = process.clone();
            plain.name.span = config::Span::default();
            let name = plain.name.text.clone();
            let known = old.remove(&name).filter(|(before, _)| *before == plain);
            let track = known.map_or_else(
                || {
                    ProcessTrack::new(
                        plain.quorum,
                        plain.quorum_max,
                        plain.fork_delay,
                        plain.terminate_delay,
                    )
                },
                |(_, track)| track,
            );
            self.processes.insert(name, (plain, track));
        }
    }

    /// When [`Watched::elapsed`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.processes
            .values()
            .filter_map(|(_, track)| track.deadline())
            .min()
    }

    /// Ends one delay that is over: what changed by it. To be called until nothing is left, so that each change has its own reason.
    pub(super) fn elapsed(&mut self, now: Moment) -> Option<String> {
        self.processes.iter_mut().find_map(|(name, (_, track))| {
            let is_over = track.elapsed(now);
            is_over.then(|| told(&format!("process {name}"), &track.report()))
        })
    }

    /// Takes an observation; what changed by it.
    fn observed(&mut self, now: Moment, observation: Observation) -> Option<String> {
        match observation {
            Observation::File {
                name,
                value,
                detail,
            } => {
                let report = Report::Number(value, detail);
                let said = told(&format!("file {name}"), &report);
                let before = self.files.insert(name, report.clone());
                (before.as_ref() != Some(&report)).then_some(said)
            }
            Observation::Processes { name, count } => {
                let (_, track) = self.processes.get_mut(&name)?;
                track.counted(now, count);
                Some(told(&format!("process {name}"), &track.report()))
            }
            Observation::Backend {
                name,
                usable,
                servers,
                known,
            } => {
                let report = match (usable, known) {
                    (0, _) => Report::Down(format!("none of {servers} servers is usable")),
                    (usable, true) => Report::Up(format!("{usable} of {servers} servers usable")),
                    // A new worker has not looked yet: what the one before knew stands.
                    (_, false) if self.backends.contains_key(&name) => return None,
                    (usable, false) => unknown(&format!(
                        "{usable} of {servers} servers are believed to be usable, and no check has ended yet"
                    )),
                };
                let said = told(&format!("backend {name}"), &report);
                let before = self.backends.insert(name, report.clone());
                (before.as_ref() != Some(&report)).then_some(said)
            }
        }
    }
}

fn told(item: &str, report: &Report) -> String {
    let (Report::Up(detail)
    | Report::Down(detail)
    | Report::Unknown(detail)
    | Report::Number(_, detail)) = report;
    format!("{item}: {detail}")
}

fn unknown(why: &str) -> Report {
    Report::Unknown(why.to_owned())
}

impl Driver {
    /// Takes what the supervisor sees; judges anew if something changed.
    pub(super) async fn observe(&mut self, observations: Vec<Observation>) {
        let now = self.now();
        let mut cause = None;
        for observation in observations {
            cause = self.watched.observed(now, observation).or(cause);
        }
        if let Some(cause) = cause {
            self.judge_all(&cause).await;
        }
    }

    /// All that a unit tracks itself and by its sync group, as it is now.
    pub(super) fn items(&mut self, at: usize) -> Vec<Item> {
        let virtual_addresses = &self.virtual_addresses;
        let own = self.units[at].own_item(&self.network.view, |address| {
            virtual_addresses.contains(&address)
        });
        let mut items = vec![own];
        let unit = &self.units[at];
        self.tracked(&unit.config.tracks, &unit.config.interface, &mut items);
        self.tracked_statics(at, &mut items);
        let groups = self.groups.iter();
        for group in groups.filter(|group| group.config.members.contains(&at)) {
            self.tracked(&group.config.tracks, &unit.config.interface, &mut items);
        }
        items
    }

    /// Adds what is tracked here; `own` is the interface that is watched in any case.
    fn tracked(&self, tracks: &Tracks, own: &str, items: &mut Vec<Item>) {
        let config = &self.setup.config;
        let mut add = |name: String, report: Report, weight: i32, reverse: bool, vital: bool| {
            // What an instance and its sync group both track counts once: for the group.
            items.retain(|item| item.name != name);
            items.push(Item {
                name,
                report,
                weight,
                reverse,
                vital,
            });
        };
        for tracked in tracks.interfaces.iter().filter(|one| one.item.text != own) {
            let name = &tracked.item.text;
            let report = link_report(&self.network.view, name);
            let name = format!("interface {name}");
            add(name, report, tracked.weight, tracked.reverse, false);
        }
        for tracked in &tracks.scripts {
            let Some(script) = self.scripts.get(tracked.item) else {
                continue;
            };
            let report = match script.native {
                true => self.proxy.report(),
                false => script.track.report(),
            };
            let name = format!("script {}", script.config.name.as_str());
            add(name, report, tracked.weight, tracked.reverse, script.native);
        }
        for tracked in &tracks.files {
            let Some(file) = config.track_files.get(tracked.item) else {
                continue;
            };
            let name = file.name.as_str();
            let report = self.watched.files.get(name).cloned();
            let report = report.unwrap_or_else(|| unknown("not read yet"));
            let name = format!("file {name}");
            add(name, report, tracked.weight, tracked.reverse, false);
        }
        for tracked in &tracks.processes {
            let Some(process) = config.track_processes.get(tracked.item) else {
                continue;
            };
            let name = process.name.as_str();
            let report = self.watched.processes.get(name);
            let report = report.map(|(_, track)| track.report());
            let report = report.unwrap_or_else(|| unknown("nothing was counted yet"));
            let name = format!("process {name}");
            add(name, report, tracked.weight, tracked.reverse, false);
        }
        for tracked in &tracks.bfds {
            let Some(session) = config.bfd_instances.get(tracked.item) else {
                continue;
            };
            let name = session.name.as_str();
            let report = self.bfd.report(name);
            let report = report.unwrap_or_else(|| unknown("not started yet"));
            let name = format!("bfd {name}");
            add(name, report, tracked.weight, tracked.reverse, false);
        }
        for tracked in &tracks.backends {
            let name = &tracked.item.text;
            let report = match (self.proxy.report(), self.watched.backends.get(name)) {
                // Nobody counts servers any more.
                (dead @ Report::Down(_), _) => dead,
                (_, Some(report)) => report.clone(),
                (_, None) => unknown("the proxy has not told of it yet"),
            };
            let name = format!("backend {name}");
            add(name, report, tracked.weight, tracked.reverse, false);
        }
    }
}
