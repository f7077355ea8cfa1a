//! `static_ipaddress`, `static_routes` and `static_rules`: there from the start to the end, whoever is master.

use config::keepalived::{Statics, VirtualAddress};
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::routes::{Line, lines};
use crate::core::tracking::{Item, Report};

/// Who events about them are about.
const SUBJECT: &str = "static";

/// An address's device; the configuration gave each one.
fn device(entry: &VirtualAddress) -> &str {
    entry.device.as_deref().unwrap_or_default()
}

fn same(one: &VirtualAddress, other: &VirtualAddress) -> bool {
    (one.address, one.prefix_length, &one.device)
        == (other.address, other.prefix_length, &other.device)
}

impl Driver {
    /// Takes those of a configuration: what it has no more goes.
    pub(super) async fn apply_statics(&mut self, new: Statics) {
        let old = std::mem::replace(&mut self.statics, new);
        let mut gone = Statics::default();
        let kept = &self.statics;
        for entry in old.addresses {
            if !kept.addresses.iter().any(|one| same(one, &entry)) {
                gone.addresses.push(entry);
            }
        }
        gone.routes = old.routes;
        gone.routes.retain(|route| !kept.routes.contains(route));
        gone.rules = old.rules;
        gone.rules.retain(|rule| !kept.rules.contains(rule));
        self.remove_statics(&gone).await;
    }

    /// Puts there what is missing; at the start all of it.
    pub(super) async fn keep_statics(&mut self) {
        let now = self.now();
        let mut restored = Vec::new();
        let mut failures = Vec::new();
        for entry in &self.statics.addresses {
            let device = device(entry);
            let title = format!("{}/{} on {device}", entry.address, entry.prefix_length);
            if self.network.has(device, entry.address)
                || (entry.no_track && self.statics_kept.contains(&title))
            {
                self.statics_kept.insert(title);
                continue;
            }
            match self.network.add(device, entry).await {
                Ok(()) => restored.push(title),
                Err(error) => failures.push((title, error.to_string())),
            }
        }
        for line in lines(&self.statics.routes, &self.statics.rules) {
            let title = line.title();
            let untracked = match line {
                Line::Route(route) => route.no_track,
                Line::Rule(rule) => rule.no_track,
            };
            if untracked && self.statics_kept.contains(&title) {
                continue;
            }
            match line.add(&self.network).await {
                Ok(false) => {
                    self.statics_kept.insert(title);
                }
                Ok(true) => restored.push(title),
                Err(error) => failures.push((title, error.to_string())),
            }
        }
        for (title, why) in failures {
            if self.statics_troubles.insert(title.clone(), why.clone()) != Some(why.clone()) {
                let change = format!("{title} is missing");
                self.event(
                    EventSeverity::Alert,
                    EventKind::Other,
                    SUBJECT,
                    &change,
                    &why,
                );
            }
        }
        for title in restored {
            self.statics_troubles.remove(&title);
            // What was never there was not removed by anybody.
            if !self.statics_kept.insert(title.clone()) {
                let address = title.split('/').next().and_then(|text| text.parse().ok());
                let culprit = self.network.removals.who(address);
                let change = format!("{title} put back");
                self.tell_restored(SUBJECT.to_owned(), change, culprit);
            } else {
                tracing::debug!("{SUBJECT}: {title} added at {now:?}");
            }
        }
    }

    /// What an instance tracks by `track_group`: something static that cannot be there.
    pub(super) fn tracked_statics(&self, at: usize, items: &mut Vec<Item>) {
        let groups = self.statics.track_groups.iter();
        for group in groups.filter(|group| group.members.contains(&at)) {
            let is_of = |named: &Option<config::Word>| {
                named
                    .as_ref()
                    .is_some_and(|word| word.text == group.name.text)
            };
            let addresses = self.statics.addresses.iter();
            let addresses = addresses
                .filter(|one| is_of(&one.track_group))
                .map(|entry| {
                    let device = device(entry);
                    format!("{}/{} on {device}", entry.address, entry.prefix_length)
                });
            let lines = lines(&self.statics.routes, &self.statics.rules).into_iter();
            let lines = lines.filter(|line| match line {
                Line::Route(route) => is_of(&route.track_group),
                Line::Rule(rule) => is_of(&rule.track_group),
            });
            let mut titles = addresses.chain(lines.map(|line| line.title()));
            let missing = titles.find_map(|title| {
                let why = self.statics_troubles.get(&title)?;
                Some(format!("{title} is missing: {why}"))
            });
            items.push(Item {
                name: format!("track_group {}", group.name.text),
                report: match missing {
                    Some(why) => Report::Down(why),
                    None => Report::Up("all is there".to_owned()),
                },
                weight: 0,
                reverse: false,
                vital: false,
            });
        }
    }

    /// Removes some, rules and routes before addresses.
    pub(super) async fn remove_statics(&mut self, gone: &Statics) {
        let mut failures = Vec::new();
        for line in lines(&gone.routes, &gone.rules).into_iter().rev() {
            self.statics_kept.remove(&line.title());
            failures.extend(line.remove(&self.network).await.err());
        }
        for entry in &gone.addresses {
            let device = device(entry);
            let title = format!("{}/{} on {device}", entry.address, entry.prefix_length);
            self.statics_kept.remove(&title);
            if self.network.has(device, entry.address) {
                failures.extend(self.network.remove(device, entry).await.err());
            }
        }
        for error in failures {
            self.network_failed(SUBJECT, "something static is still here", &error);
        }
    }
}
