//! What an operator can ask of a virtual router: to give its addresses away, and to take them back.

use std::time::Duration;

use config::keepalived::Version;
use protocol::EventSeverity;

use super::{Action, Instance, Moment, RESIGN, State, Wait};

/// More than the longest skew time of any peer, for its work: then somebody has taken over, or nobody will.
const HANDOVER_GRACE: Duration = Duration::from_millis(200);

/// A failover that an operator asked for and whose outcome is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) since: Moment,
    pub(super) until: Moment,
}

impl Instance {
    fn handover_limit(&self) -> Duration {
        let longest_skew = match self.rules.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.rules.advert_interval,
        };
        longest_skew + HANDOVER_GRACE
    }

    pub(super) fn take_back(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let reason = format!(
            "operator: failover, but nobody took over within {} ms",
            self.handover_limit().as_millis()
        );
        actions.push(Action::Tell {
            severity: EventSeverity::Alert,
            change: "failover taken back".to_owned(),
            reason: "no other router of this group took the addresses; they are here again"
                .to_owned(),
        });
        self.handover = None;
        self.enter_active(now, &reason, actions);
        actions.push(Action::FailoverEnded(Err(format!(
            "nobody took over within {} ms: the addresses are here again. Is the other node up? \
             ('force' gives them away all the same)",
            self.handover_limit().as_millis()
        ))));
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
        let mut actions = Vec::new();
        actions.push(Action::Advertise(RESIGN));
        self.enter_backup(
            now,
            Wait::Nobody { since: now },
            "operator: failover",
            &mut actions,
        );
        self.held = true;
        if force {
            actions.push(Action::FailoverEnded(Ok(
                "given away; nobody was waited for".to_owned(),
            )));
        } else {
            self.handover = Some(Handover {
                since: now,
                until: now + self.handover_limit(),
            });
        }
        Ok(actions)
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
