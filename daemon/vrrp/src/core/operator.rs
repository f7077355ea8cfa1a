//! What an operator can ask of a virtual router: to give its addresses away, and to take them back.
//!
//! A failover leaves no gap: this router resigns with priority 0 and goes on answering for the addresses until another
//! one speaks as master, and a moment longer. If nobody does, or somebody who is not well, nothing has moved. A master
//! does not hear its backups (RFC 3768 6.4.2: they are silent), so there is no other way to ask them.

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::Version;
use protocol::EventSeverity;

use super::{Action, Instance, Moment, RESIGN, State, Wait};

/// More than the longest skew time of any peer, for its work: then somebody has taken over, or nobody will.
const HANDOVER_GRACE: Duration = Duration::from_millis(200);
/// The new master speaks first and then adds its addresses and announces them: so long both answer.
const LINGER: Duration = Duration::from_millis(100);

/// A failover that an operator asked for and whose outcome is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) since: Moment,
    /// When the wait ends: for a successor, or for the end of its work.
    pub(super) until: Moment,
    /// The addresses leave whoever takes them, if anybody.
    force: bool,
    successor: Option<Successor>,
}

/// Who has taken over.
#[derive(Clone, Copy, Debug)]
struct Successor {
    address: IpAddr,
    priority: u8,
    /// What it advertises.
    interval: Duration,
    heard: Moment,
}

impl Instance {
    fn handover_limit(&self) -> Duration {
        let longest_skew = match self.rules.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.rules.advert_interval,
        };
        longest_skew + HANDOVER_GRACE
    }

    /// Whether a failover is under way: the addresses are still here, and another router is to be their master.
    pub fn is_handing_over(&self) -> bool {
        self.handover.is_some()
    }

    /// `vrrp failover`: gives the addresses away. The outcome comes as [`Action::FailoverEnded`].
    pub fn failover(&mut self, now: Moment, force: bool) -> Result<Vec<Action>, String> {
        if self.state != State::Active {
            let master = self
                .master
                .map_or("nobody is known to be".to_owned(), |master| {
                    format!("{master} is")
                });
            return Err(format!(
                "this node is not master ({}), {master}: run it there",
                self.shown()
            ));
        }
        if self.handover.is_some() {
            return Err("a failover is under way already".to_owned());
        }
        self.forget_timers();
        self.handover = Some(Box::new(Handover {
            since: now,
            until: now + self.handover_limit(),
            force,
            successor: None,
        }));
        Ok(vec![Action::Advertise(RESIGN)])
    }

    /// Hears another router while a failover is under way.
    pub(super) fn heard_in_handover(
        &mut self,
        now: Moment,
        successor: (IpAddr, u8, Duration),
        mut handover: Handover,
        actions: &mut Vec<Action>,
    ) {
        let (address, priority, interval) = successor;
        if priority == RESIGN {
            // It may have announced the addresses before it gave up.
            self.yield_at = Some(now + super::YIELD_TIME);
        }
        if let Some(known) = handover.successor {
            if priority == RESIGN && address == known.address {
                // It has given up at once: the wait goes on.
                handover.successor = None;
                handover.until = handover.since + self.handover_limit();
                self.handover = Some(Box::new(handover));
            }
            return;
        }
        if priority == RESIGN {
            return;
        }
        let best = self.peers.find(address).map_or(priority, |peer| peer.best);
        // A router lowers its priority when something that it tracks fails: its proxy, a script, an interface.
        if priority < best && priority < self.effective && !handover.force {
            let reason = format!(
                "{address} took over with priority {priority}, it had {best} before: something that it tracks fails"
            );
            actions.push(Action::Tell {
                severity: EventSeverity::Warning,
                change: "failover refused".to_owned(),
                reason: format!("{reason}; the addresses stay here"),
            });
            self.go_on(now, handover.since, actions);
            actions.push(Action::FailoverEnded(Err(format!(
                "{reason}. The addresses stay here ('force' gives them away all the same)"
            ))));
            return;
        }
        handover.successor = Some(Successor {
            address,
            priority,
            interval,
            heard: now,
        });
        handover.until = now + LINGER;
        self.handover = Some(Box::new(handover));
    }

    /// The wait of a failover is over.
    pub(super) fn handover_over(
        &mut self,
        now: Moment,
        handover: Handover,
        actions: &mut Vec<Action>,
    ) {
        self.handover = None;
        if let Some(successor) = handover.successor {
            let Successor {
                address, priority, ..
            } = successor;
            self.master = Some(address);
            self.learn(successor.interval);
            let wait = Wait::Silence {
                from: address,
                since: successor.heard,
            };
            let reason = format!("operator: failover to {address} (priority {priority})");
            self.enter_backup(now, wait, &reason, actions);
            self.held = true;
            // The last word makes the new master speak and announce once more, now that the addresses are gone from here.
            actions.push(Action::Advertise(RESIGN));
            let took = (successor.heard - handover.since).as_millis();
            actions.push(Action::FailoverEnded(Ok(format!(
                "{address} (priority {priority}) took over after {took} ms"
            ))));
            return;
        }
        let waited = (handover.until - handover.since).as_millis();
        if handover.force {
            let wait = Wait::Nobody { since: now };
            let reason = "operator: failover (force), although nobody took over";
            self.enter_backup(now, wait, reason, actions);
            self.held = true;
            // Who took over in this moment, unheard, announces once more, now that the addresses are gone from here.
            actions.push(Action::Advertise(RESIGN));
            actions.push(Action::FailoverEnded(Ok(format!(
                "given away although nobody took over within {waited} ms"
            ))));
            return;
        }
        let last = match self.peers.iter().next() {
            None => "No other router was ever heard here".to_owned(),
            Some(peer) => format!(
                "{} was heard last, {} s ago with priority {}",
                peer.address,
                now.saturating_sub(peer.heard_at).as_secs(),
                peer.priority
            ),
        };
        actions.push(Action::Tell {
            severity: EventSeverity::Warning,
            change: "failover refused".to_owned(),
            reason: format!(
                "nobody took over within {waited} ms; the addresses never left. {last}"
            ),
        });
        self.go_on(now, handover.since, actions);
        actions.push(Action::FailoverEnded(Err(format!(
            "nobody took over within {waited} ms: the addresses stay here and never left. {last}. Is the other node up \
             and in BACKUP? ('force' gives them away all the same)"
        ))));
    }

    /// Ends a failover because the one of another member of the sync group was refused; nothing if none is under way.
    pub(super) fn call_off(&mut self, now: Moment, reason: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(handover) = self.handover.as_deref().copied() {
            self.go_on(now, handover.since, &mut actions);
            actions.push(Action::FailoverEnded(Err(format!(
                "{reason}: the addresses stay here"
            ))));
        }
        actions
    }

    /// Ends a failover that is none: this router is master as before.
    fn go_on(&mut self, now: Moment, since: Moment, actions: &mut Vec<Action>) {
        self.handover = None;
        // Whoever spoke meanwhile has announced the addresses: their neighbours are told where they are.
        if self.peers.iter().any(|peer| peer.heard_at >= since) {
            self.yield_at = Some(now + super::YIELD_TIME);
        }
        actions.push(Action::Advertise(self.effective));
        self.advertised_at = now;
        self.advert_at = Some(now + self.rules.advert_interval);
        if !self.rules.announce_refresh.is_zero() {
            self.refresh_at = Some(now + self.rules.announce_refresh);
        }
    }

    /// `vrrp failback`: ends a failover, and takes the addresses at once if we outrank the master.
    pub fn failback(&mut self, now: Moment) -> Result<(String, Vec<Action>), String> {
        match self.state {
            State::Active => return Ok(("this node is master already".to_owned(), Vec::new())),
            State::Waiting | State::Fault => {
                return Err(format!(
                    "this node is in {} and cannot be master",
                    self.shown()
                ));
            }
            State::Backup => {}
        }
        self.held = false;
        let mut actions = Vec::new();
        let Some(master) = self.master().cloned() else {
            self.enter_active(now, "operator: failback", &mut actions);
            return Ok((
                "no master was known; the addresses are here now".to_owned(),
                actions,
            ));
        };
        let outranks = self.effective > master.priority
            || (self.effective == master.priority && self.source > master.address);
        if !outranks {
            return Err(format!(
                "the master {} has priority {}, this node has {}: it would lose. Run 'vrrp failover' there instead",
                master.address, master.priority, self.effective
            ));
        }
        self.enter_active(now, "operator: failback", &mut actions);
        let text = format!(
            "taken from {} (priority {} < {})",
            master.address, master.priority, self.effective
        );
        Ok((text, actions))
    }
}
