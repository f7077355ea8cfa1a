//! What an instance tracks, as a flat list: each kind of tracked item is one function here, and the proofs know
//! only the list.

use std::time::Duration;

use super::super::model::{KeepalivedConfig, ScriptKind, VrrpInstance};
use crate::source::Span;

/// Longest that a dead proxy is overlooked; the daemon waits half an interval, and not longer than this.
const PROXY_GRACE: Duration = Duration::from_millis(500);

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
    /// Its failure counts as its success, and the other way round.
    pub(super) reverse: bool,
    /// Longest from the failure until it is noticed.
    pub(super) noticed: Duration,
    /// Where it is tracked.
    pub(super) span: Option<Span>,
}

impl Tracked {
    /// What it does while it is well, or fails.
    pub(super) fn effect(&self, well: bool) -> Effect {
        let up = well != self.reverse;
        match self.weight {
            _ if self.vital && !well => Effect::Fault,
            0 if up => Effect::Priority(0),
            0 => Effect::Fault,
            // A positive weight adds while all is well, a negative one subtracts while it is not.
            weight if up => Effect::Priority(weight.max(0)),
            weight => Effect::Priority(weight.min(0)),
        }
    }

    /// Whether it can only change the priority.
    pub(super) fn is_weighted(&self) -> bool {
        self.weight != 0 && !self.vital
    }
}

/// All that an instance tracks but its own interface.
pub(super) fn tracked(config: &KeepalivedConfig, instance: &VrrpInstance) -> Vec<Tracked> {
    let mut all = Vec::new();
    scripts(config, instance, &mut all);
    interfaces(instance, &mut all);
    all
}

fn scripts(config: &KeepalivedConfig, instance: &VrrpInstance, all: &mut Vec<Tracked>) {
    for entry in &instance.track_scripts {
        let Some(script) = config.scripts.get(entry.script) else {
            continue;
        };
        let native = script.kind == ScriptKind::ProxyAlive;
        // The failures that count begin with the next run; a run may take its whole time limit.
        let slow = script.interval * script.fall + script.timeout.min(script.interval);
        let grace = (instance.advert_int / 2).min(PROXY_GRACE);
        all.push(Tracked {
            name: if native {
                "the proxy".to_owned()
            } else {
                format!("script {}", script.name.as_str())
            },
            weight: entry.weight,
            vital: native,
            reverse: false,
            noticed: if native { grace } else { slow },
            span: instance
                .places
                .find(&format!("track_script {}", script.name.as_str())),
        });
    }
}

fn interfaces(instance: &VrrpInstance, all: &mut Vec<Tracked>) {
    for entry in &instance.track_interfaces {
        if entry.name == instance.interface {
            continue;
        }
        all.push(Tracked {
            name: format!("interface {}", entry.name),
            weight: entry.weight,
            vital: false,
            reverse: false,
            noticed: Duration::ZERO,
            span: instance
                .places
                .find(&format!("track_interface {}", entry.name)),
        });
    }
}
