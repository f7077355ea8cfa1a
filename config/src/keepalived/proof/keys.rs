//! Whether two nodes believe each other by `auth_hmac`. Keys are compared and never shown.

use super::super::hmac::{AuthHmac, HmacMode};

/// What keeps them apart, and what is only not as meant.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Keys {
    /// Each refuses the other, or one of them does: both are master at once.
    pub(super) errors: Vec<String>,
    /// They hear each other.
    pub(super) warnings: Vec<String>,
}

/// Compares the keys of two nodes, which are called by these names.
pub(super) fn compare(
    own: Option<&AuthHmac>,
    peer: Option<&AuthHmac>,
    [here, there]: [&str; 2],
) -> Keys {
    let mut found = Keys::default();
    let (own, peer) = match (own, peer) {
        (None, None) => return found,
        (Some(own), Some(peer)) => (own, peer),
        (Some(one), None) | (None, Some(one)) => {
            let (with, without) = match own {
                Some(_) => (here, there),
                None => (there, here),
            };
            let what = match one.mode {
                HmacMode::Enforce => "each refuses the other's advertisements".to_owned(),
                HmacMode::Permissive => {
                    format!(
                        "{without} refuses what {with} says as master, though {with} is permissive"
                    )
                }
            };
            found.errors.push(format!(
                "auth_hmac on {with} and not on {without}: {what}, and both are master at once"
            ));
            return found;
        }
    };
    for ((one, name), (other, receiver)) in
        [((own, here), (peer, there)), ((peer, there), (own, here))]
    {
        let id = one.active_key;
        let why = match (one.key(id), other.key(id)) {
            (Some(key), Some(known)) if key == known => continue,
            (_, None) => format!("{receiver} has no key {id}"),
            (_, Some(_)) => format!("key {id} is another one on {receiver}"),
        };
        found.errors.push(format!(
            "auth_hmac: {name} speaks with key {id}, and {why}: it is not believed there, and both are master at once"
        ));
    }
    for key in &own.keys {
        let is_spoken_with = [own.active_key, peer.active_key].contains(&key.id);
        let differs = peer.key(key.id).is_some_and(|other| *other != key.secret);
        if differs && !is_spoken_with {
            found.warnings.push(format!(
                "auth_hmac: key {} is another one on {there}: it cannot become the active one",
                key.id
            ));
        }
    }
    if own.anti_replay != peer.anti_replay {
        found.warnings.push(format!(
            "auth_hmac: 'anti_replay' differs between {here} and {there}: 'time' refuses who keeps counting while its clock is wrong"
        ));
    }
    if own.mode != peer.mode {
        let permissive = if own.mode == HmacMode::Permissive {
            here
        } else {
            there
        };
        found.warnings.push(format!(
            "auth_hmac: {permissive} alone is permissive: it believes what the other node would refuse"
        ));
    }
    found
}
