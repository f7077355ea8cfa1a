//! Version 2 (RFC 3768, and RFC 2338 for its authentication): IPv4, whole seconds.

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::Authentication;

use super::checksum::Sum;
use super::{Form, HEADER_BYTES, MAX_ADDRESSES, Refused, Said};

/// Bytes of the authentication data at the end.
pub(super) const AUTHENTICATION_BYTES: usize = 8;
/// Bytes of an address.
pub(super) const ADDRESS_BYTES: usize = 4;
/// Version 2, type 1 (advertisement).
const VERSION_AND_TYPE: u8 = 0x21;
const NO_AUTHENTICATION: u8 = 0;
const SIMPLE_PASSWORD: u8 = 1;
const AUTHENTICATION_HEADER: u8 = 2;

fn authentication_type(form: &Form) -> u8 {
    match form.authentication {
        None => NO_AUTHENTICATION,
        Some(Authentication::Pass(_)) => SIMPLE_PASSWORD,
        Some(Authentication::Ah(_)) => AUTHENTICATION_HEADER,
    }
}

/// What stands at the end: the password in plain text, or zeros (with AH the header authenticates).
fn authentication_data(form: &Form) -> [u8; AUTHENTICATION_BYTES] {
    match form.authentication {
        Some(Authentication::Pass(password)) => password,
        None | Some(Authentication::Ah(_)) => [0; AUTHENTICATION_BYTES],
    }
}

/// Whole seconds, 1 to 255.
fn interval_s(form: &Form) -> u8 {
    u8::try_from(form.interval.as_secs().max(1)).unwrap_or(u8::MAX)
}

pub(super) fn encode(form: &Form, priority: u8) -> Vec<u8> {
    let octets: Vec<[u8; ADDRESS_BYTES]> = form
        .addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(address.octets()),
            IpAddr::V6(_) => None,
        })
        .take(MAX_ADDRESSES)
        .collect();
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + ADDRESS_BYTES * octets.len() + AUTHENTICATION_BYTES);
    bytes.extend([
        VERSION_AND_TYPE,
        form.vrid,
        priority,
        octets.len() as u8,
        authentication_type(form),
        interval_s(form),
        0,
        0,
    ]);
    bytes.extend(octets.as_flattened());
    bytes.extend(authentication_data(form));
    let sum = Sum::default().add(&bytes).finish().to_be_bytes();
    bytes[6..8].copy_from_slice(&sum);
    bytes
}

/// Checks what RFC 3768 7.1 and keepalived 2.2.7 check, but for the addresses.
pub(super) fn check<'a>(payload: &'a [u8], form: &Form) -> Result<Said<'a>, Refused> {
    let short = Refused::Length {
        found: payload.len(),
        wanted: HEADER_BYTES + AUTHENTICATION_BYTES,
    };
    let &[_, _, priority, count, authentication, interval, _, _] =
        payload.first_chunk::<HEADER_BYTES>().ok_or(short)?;
    let count = usize::from(count);
    let wanted = HEADER_BYTES + ADDRESS_BYTES * count + AUTHENTICATION_BYTES;
    if payload.len() != wanted {
        return Err(Refused::Length {
            found: payload.len(),
            wanted,
        });
    }
    if Sum::default().add(payload).finish() != 0 {
        return Err(Refused::Checksum);
    }
    let ours = authentication_type(form);
    if authentication != ours {
        return Err(Refused::AuthenticationType {
            found: authentication,
            wanted: ours,
        });
    }
    let (addresses, data) = payload[HEADER_BYTES..].split_at(ADDRESS_BYTES * count);
    if ours == SIMPLE_PASSWORD && data != authentication_data(form) {
        return Err(Refused::Password);
    }
    let wanted = interval_s(form);
    if interval != wanted {
        return Err(Refused::Interval {
            found: interval,
            wanted,
        });
    }
    Ok(Said {
        priority,
        interval: Duration::from_secs(interval.into()),
        addresses,
        other_checksum: None,
    })
}
