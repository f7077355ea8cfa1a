//! Judging: what every instance tracks is weighed, sync groups are judged as one, and whatever follows is done.

use protocol::vrrp::{Effect, Share};
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::unit::Unit;
use crate::core::group::{Entered, Followed, Group, failover};
use crate::core::tracking::{Standing, weigh};
use crate::core::{Action, Instance};

/// A group has no priority: keepalived's notifications say so.
const GROUP_PRIORITY: u8 = 0;

/// A sync group with its definition.
pub(super) struct SyncGroup {
    /// Its definition; the members are positions of units.
    pub(super) config: config::keepalived::SyncGroup,
    /// What decides.
    pub(super) core: Group,
}

/// The state machines of a group's members.
fn members<'a>(units: &'a mut [Unit], positions: &[usize]) -> Vec<&'a mut Instance> {
    units
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| positions.contains(at))
        .map(|(_, unit)| &mut unit.core)
        .collect()
}

impl Driver {
    /// Weighs what every instance tracks. `cause` says what changed, for those that leave FAULT by it.
    pub(super) async fn judge_all(&mut self, cause: &str) {
        let now = self.now();
        let starting = self.starting && now < self.begins_at();
        let mut standings = Vec::with_capacity(self.units.len());
        let mut priorities = Vec::with_capacity(self.units.len());
        for at in 0..self.units.len() {
            let items = self.items(at);
            let unit = &mut self.units[at];
            let mut verdict = weigh(unit.config.priority, &items);
            if verdict.standing == Standing::Well && starting {
                verdict.standing = Standing::Waiting("vrrp_startup_delay".to_owned());
            }
            unit.shares = verdict.shares.into();
            // Most instances track the same, and there may be many.
            if let [.., before, unit] = &mut self.units[..=at] {
                unit.shares.share(&before.shares);
            }
            standings.push(verdict.standing);
            priorities.push(verdict.effective);
        }
        self.merge(&mut standings);
        let mut batch = Vec::new();
        for (at, standing) in standings.iter().enumerate() {
            let core = &mut self.units[at].core;
            let before = core.effective_priority();
            batch.push((at, core.judge(now, standing, priorities[at], cause)));
            if before != priorities[at] {
                let change = format!("priority {before} -> {}", priorities[at]);
                let name = self.units[at].name().to_owned();
                let (severity, kind) = (EventSeverity::Notice, EventKind::VrrpTracking);
                self.event(severity, kind, &name, &change, cause);
                self.notify_priority(at, cause);
            }
        }
        self.perform_all(batch).await;
        for group in 0..self.groups.len() {
            self.settle(group, Vec::new()).await;
        }
    }

    /// Gives every member of a sync group the standing of the group.
    fn merge(&mut self, standings: &mut [Standing]) {
        for group in &self.groups {
            let positions = &group.config.members;
            let own: Vec<_> = positions.iter().map(|at| standings[*at].clone()).collect();
            for (member, at) in positions.iter().enumerate() {
                let standing = group.core.standing(&own, member);
                if let Standing::Fault(reason) | Standing::Waiting(reason) = &standing
                    && standing != own[member]
                {
                    let item = format!("sync group {}", group.core.name());
                    self.units[*at].shares.push(Share {
                        detail: reason
                            .strip_prefix(&item)
                            .map_or(reason.as_str(), |rest| rest.trim_start_matches([':', ' ']))
                            .to_owned(),
                        item,
                        healthy: false,
                        effect: Effect::Fault,
                    });
                }
                standings[*at] = standing;
            }
        }
    }

    /// Which member of a unit's sync group decided for the whole group, and why; empty if none had to.
    pub(super) fn decided(&self, at: usize) -> String {
        let group = self.group_of(at).and_then(|group| self.groups.get(group));
        group.map_or_else(String::new, |group| group.core.decided().to_owned())
    }

    /// The sync group of a unit.
    pub(super) fn group_of(&self, at: usize) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| group.config.members.contains(&at))
    }

    /// A unit and those that move with it.
    pub(super) fn moves_with(&self, at: usize) -> Vec<usize> {
        let group = self.group_of(at).and_then(|group| self.groups.get(group));
        group.map_or_else(|| vec![at], |group| group.config.members.clone())
    }

    /// Performs what a core decided, and what follows from it for its sync group.
    pub(super) async fn carry(&mut self, at: usize, actions: Vec<Action>) {
        match self.group_of(at) {
            Some(group) => self.settle(group, vec![(at, actions)]).await,
            // What was put off must not be done because nothing else is.
            None if actions.is_empty() => self.plan(at),
            None => {
                if let Some((batch, _)) = self.yield_later(vec![(at, actions)], None) {
                    self.perform_all(batch).await;
                }
            }
        }
    }

    /// Lets a group's members follow each other after these decisions.
    async fn settle(&mut self, group: usize, mut batch: Vec<(usize, Vec<Action>)>) {
        let now = self.now();
        let found = &mut self.groups[group];
        let positions = &found.config.members;
        let Followed { actions, entered } = found
            .core
            .settle(now, &mut members(&mut self.units, positions));
        let followed = actions.into_iter();
        batch.extend(followed.map(|(member, actions)| (positions[member], actions)));
        let Some((batch, entered)) = self.yield_later(batch, entered) else {
            return;
        };
        self.perform_all(batch).await;
        if let Some(entered) = entered {
            let name = self.groups[group].core.name().to_owned();
            self.tell_group(&name, &entered);
        }
    }

    /// Tells that a sync group changed.
    pub(super) fn tell_group(&mut self, name: &str, entered: &Entered) {
        let mut groups = self.groups.iter();
        let Some(found) = groups.find(|group| group.core.name() == name) else {
            return;
        };
        let config = found.config.clone();
        let change = format!("{} -> {}", entered.from, entered.to);
        let (severity, kind) = (EventSeverity::Notice, EventKind::VrrpTransition);
        let (name, reason) = (config.name.as_str(), &entered.reason);
        self.event(severity, kind, name, &change, reason);
        let (notify, mails) = (&config.notify, config.smtp_alert);
        self.notify_group(name, notify, mails, entered.to, GROUP_PRIORITY, reason);
    }

    /// The daemon ends, and its members have stopped.
    pub(super) fn stop_groups(&mut self, reason: &str) {
        for group in std::mem::take(&mut self.groups) {
            let name = group.config.name.as_str();
            self.notify_group_stop(name, &group.config.notify, GROUP_PRIORITY, reason);
        }
    }

    /// Performs the decisions of several cores: first all say what they have to say, then addresses are moved.
    pub(super) async fn perform_all(&mut self, mut batch: Vec<(usize, Vec<Action>)>) {
        for (at, actions) in &mut batch {
            let is_word = |action: &Action| matches!(action, Action::Advertise(_));
            let words = actions.iter().take_while(|action| is_word(action)).count();
            let rest = actions.split_off(words);
            let words = std::mem::replace(actions, rest);
            if !words.is_empty() {
                self.perform(*at, words).await;
            }
        }
        for (at, actions) in batch {
            match actions.is_empty() {
                true => self.plan(at),
                false => self.perform(at, actions).await,
            }
        }
    }

    /// Gives away the addresses of a unit and of its sync group.
    pub(super) fn failover(
        &mut self,
        at: usize,
        force: bool,
    ) -> Result<Vec<(usize, Vec<Action>)>, String> {
        let now = self.now();
        let Some(group) = self.group_of(at) else {
            let actions = self.units[at].core.failover(now, force)?;
            return Ok(vec![(at, actions)]);
        };
        let positions = &self.groups[group].config.members;
        let batch = failover(now, force, &mut members(&mut self.units, positions))?;
        Ok(positions.iter().copied().zip(batch).collect())
    }

    /// Before a unit's timers run: whether its sync group keeps it from taking over.
    pub(super) async fn hold_back(&mut self, at: usize) {
        let Some(group) = self.group_of(at) else {
            return;
        };
        let now = self.now();
        let found = &mut self.groups[group];
        let positions = &found.config.members;
        let Some(member) = positions.iter().position(|member| *member == at) else {
            return;
        };
        let told = found
            .core
            .hold_back(now, member, &mut members(&mut self.units, positions));
        if !told.is_empty() {
            self.perform(at, told).await;
        }
    }

    /// Takes the groups of a new configuration; the units are in its order already.
    pub(super) fn take_groups(&mut self, configs: &[config::keepalived::SyncGroup]) {
        let mut old = std::mem::take(&mut self.groups);
        for config in configs {
            let names = config.members.iter().filter_map(|at| self.units.get(*at));
            let names: Vec<_> = names.map(|unit| unit.name().to_owned()).collect();
            let known = old
                .iter()
                .position(|group| group.core.name() == config.name.as_str());
            let core = match known {
                Some(found) => {
                    let mut core = old.swap_remove(found).core;
                    core.follow(names);
                    core
                }
                None => Group::new(config.name.as_str(), names),
            };
            let units = config.members.iter().filter_map(|at| self.units.get(*at));
            let rank = |unit: &Unit| (unit.config.virtual_router_id, unit.config.is_ipv6());
            let core = core.ranked(units.map(rank).collect());
            self.groups.push(SyncGroup {
                config: config.clone(),
                core,
            });
        }
    }
}
