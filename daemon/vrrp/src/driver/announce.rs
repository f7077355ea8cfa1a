//! Gratuitous ARPs: the network learns where the virtual addresses are.

use super::Driver;
use super::unit::ipv4;
use crate::core::Burst;

impl Driver {
    /// Sends gratuitous ARPs, address after address, round after round.
    pub(super) fn announce(&mut self, at: usize, burst: Burst) {
        let unit = &self.units[at];
        let rounds = match burst {
            Burst::Full => unit.config.garp_master_repeat,
            Burst::Refresh => unit.config.garp_master_refresh_repeat,
        };
        let mut frames = Vec::new();
        for (device, entry) in unit.addresses() {
            let found = self.network.view.get(device);
            let hardware = found.and_then(|interface| Some((interface.index, interface.hardware?)));
            if let (Some((index, hardware)), Some(address)) = (hardware, ipv4(entry.address)) {
                frames.push((index, sys::packet::gratuitous_arp(hardware, address)));
            }
        }
        let mut sent = 0;
        for _ in 0..rounds {
            for (index, frame) in &frames {
                match self.frames.send(*index, frame) {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        tracing::debug!("{}: gratuitous ARP not sent: {error}", unit.name())
                    }
                }
            }
        }
        self.units[at].counters.gratuitous_arps_sent += sent;
    }
}
