//! Who removed an address or a route: a message of the kernel's carries the netlink port of who asked for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Removals that are remembered.
const MAX_REMOVALS: usize = 256;
/// Processes that are looked at for a hint.
const MAX_PROCESSES: usize = 8_192;

/// Programs that are known to remove addresses and routes that they did not set up: the name of the process, and the one
/// that an operator knows it by.
const SUSPECTS: [(&str, &str); 11] = [
    ("NetworkManager", "NetworkManager"),
    ("connmand", "ConnMan"),
    ("dhclient", "dhclient"),
    ("dhcpcd", "dhcpcd"),
    ("ifdown", "ifupdown (networking)"),
    ("ifup", "ifupdown (networking)"),
    ("keepalived", "another keepalived"),
    ("netplan", "netplan"),
    // The kernel keeps 15 bytes of a name.
    ("systemd-network", "systemd-networkd"),
    ("wicked", "wicked"),
    ("wickedd", "wicked"),
];

/// A removal: the address (none is a route or a rule), the netlink port, and the name of its process.
type Removal = (Option<IpAddr>, u32, Option<String>);

/// The last removals by others, newest last.
#[derive(Clone, Default)]
pub(crate) struct Removals(Arc<Mutex<VecDeque<Removal>>>);

impl Removals {
    /// Notes that an address (none is a route or a rule) was removed by the owner of a netlink port.
    pub(super) fn note(&self, address: Option<IpAddr>, port: u32) {
        // The first socket of a process has the process's number.
        if port == std::process::id() {
            return;
        }
        let name = std::fs::read_to_string(format!("/proc/{port}/comm"));
        let name = name.ok().map(|text| text.trim().to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_REMOVALS {
            all.pop_front();
        }
        all.push_back((address, port, name));
    }

    /// Who removed it last, as far as that is known.
    pub(crate) fn who(&self, address: Option<IpAddr>) -> Culprit {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().rposition(|(one, ..)| *one == address);
        match found.and_then(|at| all.remove(at)) {
            Some((_, 0, _)) => Culprit::Kernel,
            Some((_, port, Some(name))) => Culprit::Known(format!("{name} (process {port})")),
            // Of further sockets the number is any one.
            Some((_, port, None)) if i32::try_from(port).is_ok() => Culprit::Ended(port),
            Some(_) | None => Culprit::Unknown,
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    /// A process that runs, with its number.
    Known(String),
    /// A process that has ended.
    Ended(u32),
    /// The kernel, as a consequence of something else.
    Kernel,
    /// Nothing is known.
    Unknown,
}

impl Culprit {
    /// What is known, in words; `hint` is what [`suspects`] found.
    pub(crate) fn text(&self, hint: &str) -> String {
        match self {
            Self::Known(who) => format!("removed by {who}"),
            Self::Kernel => {
                "removed by the kernel, with another address or its interface".to_owned()
            }
            Self::Ended(port) => format!("removed by process {port}, which has ended{hint}"),
            Self::Unknown => format!("somebody removed it{hint}"),
        }
    }
}

/// Who runs here and is known to do such things: `; systemd-networkd (process 77) runs here and may have done it`, or nothing.
///
/// Reads /proc: for a thread that nobody waits for.
pub(crate) fn suspects() -> String {
    let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let ours = network("self");
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return String::new();
    };
    let mut found = Vec::new();
    for entry in processes.flatten().take(MAX_PROCESSES) {
        let name = entry.file_name();
        let Some(id) = name.to_str().filter(|text| text.parse::<u32>().is_ok()) else {
            continue;
        };
        let Ok(comm) = std::fs::read_to_string(entry.path().join("comm")) else {
            continue;
        };
        let Some((_, title)) = SUSPECTS.iter().find(|(known, _)| *known == comm.trim()) else {
            continue;
        };
        // One of another network cannot have done it.
        if network(id).is_none_or(|theirs| Some(theirs) == ours) {
            found.push(format!("{title} (process {id})"));
        }
    }
    match found.len() {
        0 => String::new(),
        1 => format!("; {} runs here and may have done it", found[0]),
        _ => format!("; {} run here and may have done it", found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_names_its_process_once() {
        let removals = Removals::default();
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        removals.note(address, 1);
        removals.note(None, 0);
        removals.note(address, std::process::id());
        let Culprit::Known(text) = removals.who(address) else {
            panic!("process 1 runs");
        };
        assert!(text.ends_with("(process 1)"), "{text}");
        assert_eq!(removals.who(address), Culprit::Unknown);
        assert_eq!(removals.who(None), Culprit::Kernel);
        assert_eq!(Culprit::Unknown.text("; x"), "somebody removed it; x");
    }
}
