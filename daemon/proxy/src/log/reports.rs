//! Where state changes are told: each proxy's log targets.

use crate::sample::Names;
use config::Diagnostics;
use config::haproxy::{HaproxyConfig, LogLevel};

use super::plan::{LogPlan, plan};
use super::sockets::LogSockets;

/// The log targets of all proxies, opened.
pub struct Reports {
    /// All targets.
    pub sockets: LogSockets,
    /// By index into `HaproxyConfig::proxies`.
    plans: Vec<LogPlan>,
}

impl Reports {
    /// Opens the targets of a configuration. Before the chroot.
    pub fn open(config: &HaproxyConfig, pid: u32) -> Self {
        // What is wrong with a format is told when the traffic's plans are made.
        let names = Names::of(config);
        let mut ignored = Diagnostics::default();
        Self {
            sockets: LogSockets::open(config),
            plans: (0..config.proxies.len())
                .map(|index| plan(config, index, &names, pid, &mut ignored))
                .collect(),
        }
    }

    /// A message to the targets of a proxy.
    pub fn tell(&self, proxy: usize, level: LogLevel, text: &str) {
        if let Some(plan) = self.plans.get(proxy) {
            plan.message(&self.sockets, level, text);
        }
    }
}
