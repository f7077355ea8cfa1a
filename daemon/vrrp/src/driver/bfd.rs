//! BFD sessions as what instances and sync groups track: what the thread of the sessions tells, and what it is asked.

use std::collections::HashMap;
use std::net::IpAddr;

use config::keepalived::{BfdInstance, Tracks};
use protocol::vrrp::BfdSnapshot;
use protocol::{EventKind, EventSeverity};
use tokio::sync::mpsc;

use super::Driver;
use super::sessions::{Sessions, Told};
use crate::core::tracking::Report;

/// What sessions told that waits for its turn; a later state of a session takes the place of one that found no room.
pub(super) const TOLD: usize = 256;

/// A session and its ends: another one of the same name begins anew.
type Ends = (String, IpAddr, Option<IpAddr>);

/// What is known of the sessions.
pub(super) struct Bfd {
    /// The thread, while sessions are configured.
    sessions: Option<Sessions>,
    /// What the thread has to tell goes here.
    told: mpsc::Sender<Told>,
    /// What each session says.
    reports: HashMap<String, (Ends, Report)>,
}

impl Bfd {
    pub(super) fn new(told: mpsc::Sender<Told>) -> Self {
        Self {
            sessions: None,
            told,
            reports: HashMap::new(),
        }
    }

    /// What a session says now.
    pub(super) fn report(&self, name: &str) -> Option<Report> {
        self.reports.get(name).map(|(_, report)| report.clone())
    }
}

fn ends(config: &BfdInstance) -> Ends {
    (config.name.text.clone(), config.neighbor, config.source)
}

impl Driver {
    /// Takes the sessions of a configuration. Those with the same ends go on.
    pub(super) async fn follow_bfd(&mut self, configs: &[BfdInstance]) {
        let mut old = std::mem::take(&mut self.bfd.reports);
        for config in configs {
            let ends = ends(config);
            let known = old.remove(&ends.0).filter(|(before, _)| *before == ends);
            // As keepalived: Down until the neighbour is heard, and not unknown.
            let report = known.map_or_else(
                || Report::Down(format!("Down: nothing heard from {} yet", config.neighbor)),
                |(_, report)| report,
            );
            self.bfd.reports.insert(ends.0.clone(), (ends, report));
        }
        if configs.is_empty() {
            return self.end_bfd("it is gone from the configuration").await;
        }
        if self.bfd.sessions.is_none() {
            match Sessions::start(self.bfd.told.clone()) {
                Ok(sessions) => self.bfd.sessions = Some(sessions),
                Err(error) => {
                    let (severity, kind) = (EventSeverity::Alert, EventKind::Other);
                    let why = format!("no thread for them: {error}");
                    return self.event(severity, kind, "bfd", "no session runs", &why);
                }
            }
        }
        if let Some(sessions) = &self.bfd.sessions {
            sessions.configure(configs.to_vec()).await;
        }
    }

    /// Takes what the thread tells; judges anew.
    pub(super) async fn bfd_told(&mut self, told: Told) {
        // Notifications of what follows leave with the timers.
        self.stirred = true;
        match told {
            Told::State {
                name,
                up,
                detail,
                event,
            } => {
                let Some((_, report)) = self.bfd.reports.get_mut(&name) else {
                    return;
                };
                let new = match up {
                    true => Report::Up(detail.clone()),
                    false => Report::Down(detail.clone()),
                };
                let changed = std::mem::replace(report, new.clone()) != new;
                if let Some((severity, change, reason)) = event {
                    let subject = format!("bfd {name}");
                    self.event(
                        severity,
                        EventKind::VrrpTracking,
                        &subject,
                        &change,
                        &reason,
                    );
                }
                if changed {
                    self.judge_all(&format!("bfd {name}: {detail}")).await;
                }
            }
            Told::Gone => {
                let (severity, kind) = (EventSeverity::Alert, EventKind::Other);
                let (change, why) = ("all sessions begin anew", "their thread failed");
                self.event(severity, kind, "bfd", change, why);
                self.bfd.sessions = None;
                self.bfd.reports.clear();
                let configs = self.setup.config.bfd_instances.clone();
                self.follow_bfd(&configs).await;
                self.judge_all("bfd: all sessions begin anew").await;
            }
            Told::Trouble {
                subject,
                change,
                reason,
                refused,
            } => {
                let kind = match refused {
                    true => EventKind::VrrpPacketRefused,
                    false => EventKind::Other,
                };
                self.event(EventSeverity::Warning, kind, &subject, &change, &reason);
            }
        }
    }

    /// All that is to be known of the sessions.
    pub(super) async fn show_bfd(&self) -> Vec<BfdSnapshot> {
        match &self.bfd.sessions {
            Some(sessions) => sessions.show().await,
            None => Vec::new(),
        }
    }

    /// Those that a unit tracks itself or by its sync group.
    pub(super) fn tracked_bfd(&self, at: usize, sessions: &[BfdSnapshot]) -> Vec<BfdSnapshot> {
        let groups = self.groups.iter();
        let groups = groups.filter(|group| group.config.members.contains(&at));
        let mut tracks: Vec<&Tracks> = groups.map(|group| &*group.config.tracks).collect();
        tracks.push(&self.units[at].config.tracks);
        let configs = &self.setup.config.bfd_instances;
        let tracked = tracks.iter().flat_map(|tracks| &tracks.bfds);
        let names: Vec<&str> = tracked
            .filter_map(|one| Some(configs.get(one.item)?.name.as_str()))
            .collect();
        let is_tracked = |session: &&BfdSnapshot| names.contains(&session.name.as_str());
        sessions.iter().filter(is_tracked).cloned().collect()
    }

    /// Ends all sessions; their neighbours are told.
    pub(super) async fn end_bfd(&mut self, reason: &str) {
        if let Some(sessions) = self.bfd.sessions.take() {
            sessions.end(reason).await;
        }
    }
}
