//! The virtual routes and rules of instances: they come after the addresses and go before them.

use std::collections::BTreeMap;

use config::keepalived::{Addressing, Route, Rule};
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::addresses::Put;
use crate::network::{Network, NetworkError};

/// A line of `virtual_routes` or `virtual_rules`.
#[derive(Clone, Copy)]
pub(crate) enum Line<'a> {
    Route(&'a Route),
    Rule(&'a Rule),
}

impl Line<'_> {
    /// `route 10.0.0.0/8 via 10.1.1.1`.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Route(route) => format!("route {}", route.text),
            Self::Rule(rule) => format!("rule {}", rule.text),
        }
    }

    /// Whether it is put back when somebody removes it.
    fn is_watched(&self) -> bool {
        match self {
            Self::Route(route) => !route.no_track,
            Self::Rule(rule) => !rule.no_track,
        }
    }

    /// Adds it; false if it was there already.
    pub(crate) async fn add(&self, network: &Network) -> Result<bool, NetworkError> {
        match self {
            Self::Route(route) => network.add_route(route).await,
            Self::Rule(rule) => network.add_rule(rule).await,
        }
    }

    /// Removes it; false if it was not there.
    pub(crate) async fn remove(&self, network: &Network) -> Result<bool, NetworkError> {
        match self {
            Self::Route(route) => network.remove_route(route).await,
            Self::Rule(rule) => network.remove_rule(rule).await,
        }
    }
}

/// Routes, then rules.
pub(crate) fn lines<'a>(routes: &'a [Route], rules: &'a [Rule]) -> Vec<Line<'a>> {
    let routes = routes.iter().map(Line::Route);
    routes.chain(rules.iter().map(Line::Rule)).collect()
}

/// Lines that could not be added, and why: it is told once.
pub(super) type Troubles = BTreeMap<String, String>;

impl Driver {
    /// Hears of removed routes and rules, if the configuration has any.
    pub(super) fn watch_routes(&mut self) {
        let statics = &self.setup.config.statics;
        let mut addressings = self.units.iter().map(|unit| &unit.config.addressing);
        let any = !statics.routes.is_empty()
            || !statics.rules.is_empty()
            || addressings.any(|one| !one.routes.is_empty() || !one.rules.is_empty());
        if let (true, Err(error)) = (any, self.network.watch_routes()) {
            tracing::error!("vrrp: routes are not watched: {error}");
        }
    }

    /// Adds an instance's routes and rules; what went wrong.
    pub(super) async fn add_routes(&mut self, at: usize) -> Vec<NetworkError> {
        let unit = &mut self.units[at];
        unit.troubles.clear();
        let mut failures = Vec::new();
        for line in lines(
            &unit.config.addressing.routes,
            &unit.config.addressing.rules,
        ) {
            if let Err(error) = line.add(&self.network).await {
                unit.troubles.insert(line.title(), error.to_string());
                failures.push(error);
            }
        }
        failures
    }

    /// Removes an instance's rules and routes, the last one first; what went wrong.
    pub(super) async fn remove_routes(&self, at: usize) -> Vec<NetworkError> {
        let addressing = &self.units[at].config.addressing;
        let mut failures = Vec::new();
        for line in lines(&addressing.routes, &addressing.rules)
            .into_iter()
            .rev()
        {
            if let Err(error) = line.remove(&self.network).await {
                failures.push(error);
            }
        }
        failures
    }

    /// Puts routes and rules of a master back that are gone; which.
    pub(super) async fn restore_routes(&mut self, at: usize) -> Vec<String> {
        let unit = &mut self.units[at];
        let mut put = Put::default();
        for line in lines(
            &unit.config.addressing.routes,
            &unit.config.addressing.rules,
        ) {
            if line.is_watched() {
                let outcome = line.add(&self.network).await;
                put.note(&mut unit.troubles, line.title(), outcome);
            }
        }
        let name = unit.name().to_owned();
        self.tell_put(&name, "a route or rule is missing", put)
    }

    /// After a reload: what an instance that stays master has no more goes, what it has got comes.
    pub(super) async fn follow_routes(&mut self, at: usize, old: &Addressing) {
        let unit = &self.units[at];
        if !unit.core.is_active() {
            return;
        }
        let new = &unit.config.addressing;
        let mut failures = Vec::new();
        for line in lines(&old.routes, &old.rules).into_iter().rev() {
            let stays = match line {
                Line::Route(route) => new.routes.contains(route),
                Line::Rule(rule) => new.rules.contains(rule),
            };
            if !stays {
                failures.extend(line.remove(&self.network).await.err());
            }
        }
        for line in lines(&new.routes, &new.rules) {
            failures.extend(line.add(&self.network).await.err());
        }
        let name = unit.name().to_owned();
        for error in failures {
            self.network_failed(&name, "a route or rule is not as configured", &error);
        }
    }

    /// Removes routes and rules that a crash left behind.
    pub(super) async fn reclaim_routes(&mut self, at: usize) {
        let unit = &self.units[at];
        let name = unit.name().to_owned();
        let mut found = Vec::new();
        for line in lines(
            &unit.config.addressing.routes,
            &unit.config.addressing.rules,
        )
        .into_iter()
        .rev()
        {
            if let Ok(true) = line.remove(&self.network).await {
                found.push(line.title());
            }
        }
        for title in found {
            let change = format!("{title} removed");
            let reason = "reclaimed: it was left there by a crash";
            self.event(
                EventSeverity::Warning,
                EventKind::AddressReclaimed,
                &name,
                &change,
                reason,
            );
        }
    }
}
