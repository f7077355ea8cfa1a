//! The trailer of `auth_hmac` behind an advertisement of either version and family: who sent it, and when.
//!
//! The layout, in octets; numbers are big-endian:
//!
//! | at | what |
//! |---|---|
//! | 0 | kind: 1, HMAC-SHA256 cut to 128 bits |
//! | 1 | length of the trailer: 28 |
//! | 2 | the key's number |
//! | 3 | 0 |
//! | 4 | sequence number: 32 bits of seconds since 1970, 24 bits of their fraction, 8 bits that count on |
//! | 12 | the digest |
//!
//! The digest covers a pseudo-header (family 4 or 6, VRRP version, VRID, 0, source address), the advertisement with its
//! checksum, and the trailer before the digest. The checksum is that of the advertisement alone; the IP header stays
//! out. The fields are those that keepalived 2.4's manual
//! and draft-cassen-vrrp-auth-hmac name; that their order is the same is not proved: the constants below are the one place
//! to change.

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::{AntiReplay, AuthHmac, HmacMode, Version};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{HEADER_BYTES, Refused};

/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 28;
const KIND_AT: usize = 0;
const LENGTH_AT: usize = 1;
const KEY_AT: usize = 2;
const RESERVED_AT: usize = 3;
const SEQUENCE_AT: usize = 4;
const DIGEST_AT: usize = 12;
const DIGEST_BYTES: usize = TRAILER_BYTES - DIGEST_AT;
/// HMAC-SHA256 cut to 128 bits.
const KIND: u8 = 1;
/// The families of the pseudo-header.
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// Most senders of an instance whose last numbers are remembered; the one unheard for longest is forgotten. Only who has a
/// key becomes one.
pub const MAX_SENDERS: usize = 16;

/// Time since 1970: only the sequence numbers know it. A step of the clock changes what counts as fresh and nothing else.
pub type Wall = Duration;

/// A digest over everything before it.
fn begin(
    secret: &[u8],
    version: Version,
    vrid: u8,
    source: IpAddr,
    advertisement: &[u8],
    trailer: &[u8],
) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104)");
    let family = if source.is_ipv6() { IPV6 } else { IPV4 };
    mac.update(&[family, version.number(), vrid, 0]);
    match source {
        IpAddr::V4(address) => mac.update(&address.octets()),
        IpAddr::V6(address) => mac.update(&address.octets()),
    }
    mac.update(advertisement);
    mac.update(&trailer[..DIGEST_AT]);
    mac
}

/// Adds the trailer to an advertisement. Without the active key, which the configuration sees to, nothing is added.
pub fn seal(
    advertisement: &mut Vec<u8>,
    auth: &AuthHmac,
    (version, vrid): (Version, u8),
    source: IpAddr,
    sequence: u64,
) {
    let Some(secret) = auth.key(auth.active_key) else {
        return;
    };
    let mut trailer = [0; TRAILER_BYTES];
    trailer[KIND_AT] = KIND;
    trailer[LENGTH_AT] = TRAILER_BYTES as u8;
    trailer[KEY_AT] = auth.active_key;
    trailer[RESERVED_AT] = 0;
    trailer[SEQUENCE_AT..DIGEST_AT].copy_from_slice(&sequence.to_be_bytes());
    let mac = begin(
        secret.octets(),
        version,
        vrid,
        source,
        advertisement,
        &trailer,
    );
    let digest = mac.finalize().into_bytes();
    trailer[DIGEST_AT..].copy_from_slice(&digest[..DIGEST_BYTES]);
    advertisement.extend(trailer);
}

/// Takes the trailer off and checks the digest: the advertisement, and the sequence number if there is a trailer.
pub(super) fn open<'a>(
    payload: &'a [u8],
    auth: &AuthHmac,
    (version, vrid): (Version, u8),
    source: IpAddr,
) -> Result<(&'a [u8], Option<u64>), Refused> {
    let wanted = plain_bytes(payload, version, source);
    if payload.len() == wanted {
        return match auth.mode {
            HmacMode::Enforce => Err(Refused::NoTrailer),
            HmacMode::Permissive => Ok((payload, None)),
        };
    }
    let length = Refused::Length {
        found: payload.len(),
        wanted: wanted + TRAILER_BYTES,
    };
    let (advertisement, trailer) = payload
        .split_at_checked(wanted)
        .ok_or_else(|| length.clone())?;
    let trailer: &[u8; TRAILER_BYTES] = trailer.try_into().map_err(|_| length)?;
    if trailer[KIND_AT] != KIND
        || usize::from(trailer[LENGTH_AT]) != TRAILER_BYTES
        || trailer[RESERVED_AT] != 0
    {
        return Err(Refused::MalformedTrailer);
    }
    let secret = auth
        .key(trailer[KEY_AT])
        .ok_or(Refused::UnknownKey(trailer[KEY_AT]))?;
    // It compares in constant time.
    begin(
        secret.octets(),
        version,
        vrid,
        source,
        advertisement,
        trailer,
    )
    .verify_truncated_left(&trailer[DIGEST_AT..])
    .map_err(|_| Refused::InvalidHmac(trailer[KEY_AT]))?;
    let sequence = trailer[SEQUENCE_AT..]
        .first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes));
    Ok((advertisement, sequence))
}

/// Bytes of an advertisement with as many addresses as it says, without a trailer.
fn plain_bytes(payload: &[u8], version: Version, source: IpAddr) -> usize {
    let count = payload.get(3).copied().map_or(0, usize::from);
    let authentication = match version {
        Version::V2 => super::v2::AUTHENTICATION_BYTES,
        Version::V3 => 0,
    };
    HEADER_BYTES + count * super::v3::address_bytes(source) + authentication
}

/// The sequence number of a moment: it wraps in 2106, and is compared so that this does not matter.
fn stamp(wall: Wall) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let fraction = (u64::from(wall.subsec_nanos()) << 24) / SECOND;
    (wall.as_secs() << 32) | (fraction << 8)
}

/// How far one number is ahead of another (RFC 1982): negative if it is behind.
fn ahead(one: u64, other: u64) -> i64 {
    one.wrapping_sub(other).cast_signed()
}

/// A difference of numbers in seconds.
fn seconds(difference: i64) -> f64 {
    difference as f64 / (1_u64 << 32) as f64
}

fn is_within(difference: i64, window: Duration) -> bool {
    difference.unsigned_abs() <= stamp(window)
}

/// The numbers that we send.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing {
    last: Option<u64>,
}

impl Outgoing {
    /// The next number: the time, or one above the last if the clock stands still or was set back a little. With
    /// `anti_replay time` a clock that was set back by more than the window is followed: nobody would believe the old time.
    pub fn take(&mut self, wall: Wall, auth: &AuthHmac) -> u64 {
        let now = stamp(wall);
        let next = match self.last {
            Some(last) if ahead(now, last) <= 0 => {
                let is_far = auth.anti_replay == AntiReplay::Time
                    && !is_within(ahead(now, last), auth.time_window);
                if is_far { now } else { last.wrapping_add(1) }
            }
            Some(_) | None => now,
        };
        self.last = Some(next);
        next
    }
}

/// A router whose advertisements were proved.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// Its address.
    pub address: IpAddr,
    /// How far its clock is ahead of ours, in seconds; what its advertisements took on their way is in it.
    pub skew_s: f64,
    last: u64,
}

/// The last numbers of those who were heard, the latest first.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    heard: Vec<Sender>,
    /// Numbers of before a restart.
    before: Vec<(IpAddr, u64)>,
}

impl Senders {
    /// Takes up what was heard before a restart. Of these nothing is known but the number: they are told once they are
    /// heard again.
    pub fn recall(&mut self, known: &[(IpAddr, u64)]) {
        self.before = known.iter().copied().take(MAX_SENDERS).collect();
    }

    /// Whether an advertisement that was proved is new. Call it for what is valid in every other respect.
    ///
    /// With `anti_replay time` a last number that our own clock has not reached yet, and could not reach within the window,
    /// is one of before our clock was set back: it is forgotten. Otherwise nobody would be believed until that time
    /// comes again.
    pub fn accept(
        &mut self,
        from: IpAddr,
        sequence: u64,
        wall: Wall,
        auth: &AuthHmac,
    ) -> Result<&Sender, Refused> {
        let now = stamp(wall);
        let skew = ahead(sequence, now);
        let at = self.heard.iter().position(|sender| sender.address == from);
        let before = self.before.iter().find(|(address, _)| *address == from);
        let last = at
            .map(|at| self.heard[at].last)
            .or(before.map(|(_, number)| *number));
        if auth.anti_replay == AntiReplay::Time && !is_within(skew, auth.time_window) {
            return Err(Refused::Stale {
                ahead_ms: (seconds(skew) * 1e3) as i64,
                window: auth.time_window,
            });
        }
        if let Some(last) = last.filter(|last| ahead(sequence, *last) <= 0) {
            let is_ours_set_back = auth.anti_replay == AntiReplay::Time
                && ahead(last, now) > 0
                && !is_within(ahead(last, now), auth.time_window);
            if !is_ours_set_back {
                return Err(Refused::Repeated);
            }
        }
        if let Some(at) = at {
            self.heard.remove(at);
        }
        self.heard.truncate(MAX_SENDERS - 1);
        self.heard.insert(
            0,
            Sender {
                address: from,
                skew_s: seconds(skew),
                last: sequence,
            },
        );
        Ok(&self.heard[0])
    }

    /// The last numbers, those of before a restart that nothing was heard of since behind the others.
    pub fn numbers(&self) -> impl Iterator<Item = (IpAddr, u64)> {
        let heard = self
            .heard
            .iter()
            .map(|sender| (sender.address, sender.last));
        let is_heard = |address| self.heard.iter().any(|sender| sender.address == address);
        let before = self.before.iter().copied();
        heard
            .chain(before.filter(move |(address, _)| !is_heard(*address)))
            .take(MAX_SENDERS)
    }

    /// All who were heard, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = &Sender> {
        self.heard.iter()
    }
}

#[cfg(test)]
mod tests;
