//! Where an instance is on the bus, how its states are called there, and which of them clients have not been told yet.

use protocol::vrrp::{Transition, VrrpState};

/// keepalived's number for an instance at the daemon's end.
pub(super) const STOPPED: u32 = 98;

/// keepalived's number of a state.
pub(super) fn status(state: VrrpState) -> u32 {
    match state {
        VrrpState::Init => 0,
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
    }
}

/// keepalived's word for a state on the bus.
pub(super) fn word(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Init => "Init",
        VrrpState::Backup => "Backup",
        VrrpState::Master => "Master",
        VrrpState::Fault => "Fault",
    }
}

/// `/org/keepalived/Vrrp1/Instance/eth0_7/51/IPv4`: what a path cannot hold becomes `_`. An instance's family is that of its first
/// address.
pub(super) fn path(interface: &str, vrid: u8, address: &str, no_interface: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter,
        false => '_',
    };
    let interface: String = match interface {
        "" => no_interface.to_owned(),
        name => name.chars().map(letter).collect(),
    };
    let family = if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    };
    format!("/org/keepalived/Vrrp1/Instance/{interface}/{vrid}/{family}")
}

/// What clients have been told of an instance.
#[derive(Debug)]
pub(super) struct Seen {
    state: VrrpState,
    last: Option<Transition>,
}

impl Seen {
    pub(super) fn new(state: VrrpState, history: &[Transition]) -> Self {
        Self {
            state,
            last: history.last().cloned(),
        }
    }

    /// The states entered since, in order. An instance that was begun anew has another history: then those count that are younger.
    pub(super) fn changes(&mut self, state: VrrpState, history: &[Transition]) -> Vec<VrrpState> {
        let known = self.last.as_ref();
        let mut states: Vec<VrrpState> = match history.iter().rposition(|one| Some(one) == known) {
            Some(at) => history[at + 1..].iter().map(|one| one.to).collect(),
            None => {
                let since_ms = known.map_or(0, |last| last.at_ms);
                let younger = history.iter().filter(|one| one.at_ms > since_ms);
                younger.map(|one| one.to).collect()
            }
        };
        // What is so now is the last word, also where no transition led to it.
        if states.last().copied().unwrap_or(self.state) != state {
            states.push(state);
        }
        *self = Self::new(state, history);
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keepalived_s() {
        let check = |interface: &str, address: &str, expected: &str| {
            let found = path(interface, 51, address, "none");
            assert_eq!(found, format!("/org/keepalived/Vrrp1/Instance/{expected}"));
        };
        check("ve-0.7", "fe80::100/64", "ve_0_7/51/IPv6");
        check("eth0", "10.0.0.1/24", "eth0/51/IPv4");
        check("", "10.0.0.1/24", "none/51/IPv4");
    }

    fn history(states: &[(u64, VrrpState)]) -> (VrrpState, Vec<Transition>) {
        let transitions = states.iter().map(|&(at_ms, to)| Transition {
            at_ms,
            from: VrrpState::Init,
            to,
            reason: String::new(),
        });
        let now = states.last().map_or(VrrpState::Init, |&(_, to)| to);
        (now, transitions.collect())
    }

    #[test]
    fn each_state_is_told_once_and_in_order() {
        use VrrpState::{Backup, Fault, Init, Master};
        let (state, first) = history(&[(1, Backup)]);
        let mut seen = Seen::new(state, &first);
        let mut check = |states: &[(u64, VrrpState)], expected: &[VrrpState]| {
            let (state, history) = history(states);
            assert_eq!(seen.changes(state, &history), expected);
        };
        check(&[(1, Backup)], &[]);
        // Two in one millisecond are two.
        check(&[(1, Backup), (5, Master), (5, Backup)], &[Master, Backup]);
        check(&[(1, Backup), (5, Master), (5, Backup)], &[]);
        // The oldest are forgotten.
        check(&[(5, Backup), (7, Fault)], &[Fault]);
        // The instance was begun anew.
        check(&[(9, Backup)], &[Backup]);
        // Anew, and nothing has happened to it since.
        check(&[], &[Init]);
        check(&[(11, Backup), (12, Master)], &[Backup, Master]);
    }
}
