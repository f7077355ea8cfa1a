//! BFD packets as a link carries them: who said what, when, and from how far.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use tandem_vrrp::bfd::packet::{ControlPacket, SessionState};

use crate::lab::{Lab, Node, wait};

/// A BFD packet that passed.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Since the clock's epoch.
    pub(crate) at: Duration,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    /// Type of service, or traffic class.
    pub(crate) tos: u8,
    /// Source and destination port.
    pub(crate) ports: [u16; 2],
    /// What the datagram holds.
    pub(crate) bytes: Vec<u8>,
    pub(crate) packet: ControlPacket,
}

impl Seen {
    /// Every field that does not differ from run to run, in words. The type of service is apart: keepalived has none.
    pub(crate) fn form(&self) -> String {
        let packet = &self.packet;
        let flag = |set: bool, name: &'static str| if set { name } else { "" };
        let flags = [
            flag(packet.poll, "P"),
            flag(packet.is_final, "F"),
            flag(packet.control_plane_independent, "C"),
            flag(packet.demand, "D"),
        ]
        .concat();
        let known = match packet.your_discriminator {
            0 => "unknown",
            _ => "known",
        };
        format!(
            "{} diag {} [{flags}] x{} {known} tx {} rx {} echo {} of {} bytes, ttl {}, to {}",
            packet.state,
            packet.diagnostic.number(),
            packet.detect_multiplier,
            packet.desired_min_tx_us,
            packet.required_min_rx_us,
            packet.required_min_echo_rx_us,
            self.bytes.len(),
            self.ttl,
            self.ports[1],
        )
    }
}

/// Writes down what passes an interface.
pub(crate) struct Tap {
    process: Node,
}

impl Tap {
    /// Begins; packets from now on are seen.
    pub(crate) fn start(lab: &Lab, name: &str, interface: &str) -> Self {
        let mut command = Command::new("sh");
        // What it says of itself is how it is known to listen.
        let line = format!(
            "exec ip netns exec {} tcpdump -n -l -tt -x --immediate-mode -i {interface} udp port 3784 2>&1",
            lab.space(name)
        );
        command.args(["-c", &line]);
        let process = Node::start(command);
        process.hears("listening on", Duration::from_secs(5));
        process.forget();
        Self { process }
    }

    /// Forgets what passed.
    pub(crate) fn forget(&self) {
        self.process.forget();
    }

    /// All that passed, also what is no packet of ours to read: that is left out.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let text = self.process.text();
        let mut all: Vec<(Duration, Vec<u8>)> = Vec::new();
        for line in text.lines() {
            if let Some(hex) = line.trim_start().strip_prefix("0x") {
                let digits: Vec<u8> = hex
                    .split_once(':')
                    .map_or("", |(_, rest)| rest)
                    .bytes()
                    .filter(u8::is_ascii_hexdigit)
                    .collect();
                let pairs = digits.chunks(2).filter_map(|pair| {
                    let text = std::str::from_utf8(pair).ok()?;
                    u8::from_str_radix(text, 16).ok()
                });
                if let Some((_, bytes)) = all.last_mut() {
                    bytes.extend(pairs);
                }
            } else if let Some(seconds) = line.split(' ').next().and_then(|word| word.parse().ok())
            {
                all.push((Duration::from_secs_f64(seconds), Vec::new()));
            }
        }
        all.iter()
            .filter_map(|(at, bytes)| datagram(*at, bytes))
            .collect()
    }

    /// What an address said.
    pub(crate) fn of(&self, source: &str) -> Vec<Seen> {
        let source: IpAddr = source.parse().expect("an address");
        let mut seen = self.seen();
        seen.retain(|one| one.source == source);
        seen
    }

    /// Waits until an address said something of this kind; that.
    pub(crate) fn awaits(
        &self,
        what: &str,
        source: &str,
        limit: Duration,
        is_it: impl Fn(&Seen) -> bool,
    ) -> Seen {
        let found = || self.of(source).into_iter().find(&is_it);
        wait(what, limit, || found().is_some());
        found().expect("it was there")
    }

    /// Waits until an address says that it is Up without asking anything; that.
    pub(crate) fn up(&self, source: &str, limit: Duration) -> Seen {
        self.awaits(&format!("{source} says Up"), source, limit, |one| {
            one.packet.state == SessionState::Up && !one.packet.poll && !one.packet.is_final
        })
    }
}

/// The forms of packets, each once, in the order of their first one.
pub(crate) fn forms(seen: &[Seen]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let forms = seen.iter().map(Seen::form);
    forms.filter(|form| known.insert(form.clone())).collect()
}

/// The usual pause between packets that no poll called for.
pub(crate) fn median_pause(seen: &[Seen]) -> Duration {
    let timed: Vec<_> = seen.iter().filter(|one| !one.packet.is_final).collect();
    let mut pauses: Vec<_> = timed
        .windows(2)
        .map(|two| two[1].at.saturating_sub(two[0].at))
        .collect();
    pauses.sort_unstable();
    pauses[pauses.len() / 2]
}

fn datagram(at: Duration, bytes: &[u8]) -> Option<Seen> {
    let (source, destination, ttl, tos, rest): (IpAddr, IpAddr, _, _, _) = match bytes.first()? >> 4
    {
        4 => {
            let head = usize::from(bytes[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
            let address = |at: usize| {
                let four = bytes.get(at..)?.first_chunk::<4>()?;
                Some(Ipv4Addr::from(*four).into())
            };
            let rest = bytes.get(head..total)?;
            (address(12)?, address(16)?, bytes[8], bytes[1], rest)
        }
        6 => {
            let length = usize::from(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]));
            let address = |at: usize| {
                let all = bytes.get(at..)?.first_chunk::<16>()?;
                Some(Ipv6Addr::from(*all).into())
            };
            let class = (bytes[0] & 15) << 4 | bytes[1] >> 4;
            let rest = bytes.get(40..40 + length)?;
            (address(8)?, address(24)?, bytes[7], class, rest)
        }
        _ => return None,
    };
    let port = |at: usize| {
        let two = rest.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*two))
    };
    let bytes = rest.get(8..)?.to_vec();
    let packet = ControlPacket::read(&bytes).ok()?;
    Some(Seen {
        at,
        source,
        destination,
        ttl,
        tos,
        ports: [port(0)?, port(2)?],
        bytes,
        packet,
    })
}
