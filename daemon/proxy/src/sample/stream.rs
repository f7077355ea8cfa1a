//! Samples of a stream's first bytes, while they are still here (manual, "7.3.5. Fetching samples from buffer contents").
//!
//! What more bytes may change says so ([`crate::net::Peeked::not_yet`]): rules then wait for them.

use super::{Argument, Value, View, rdp};
use crate::net::Peeked;
use crate::tls::hello::{self, Hello, Look};

/// What the names of these fetches begin with.
const NAMES: [&str; 9] = [
    "payload",
    "rdp_cookie",
    "req.len",
    "req.payload",
    "req.rdp_cookie",
    "req.ssl_",
    "req_len",
    "req_rdp_cookie",
    "req_ssl_",
];

/// Whether a fetch looks at a stream's bytes, or waits for them.
pub(super) fn reads(name: &str) -> bool {
    name == "wait_end" || NAMES.iter().any(|start| name.starts_with(start))
}

/// Whether its patterns are versions with a dot (`3.1`).
pub(super) fn is_dotted(name: &str) -> bool {
    matches!(name, "req.ssl_ver" | "req_ssl_ver")
}

/// Whether its patterns are bytes in hexadecimal.
pub(super) fn is_binary(name: &str) -> bool {
    name.starts_with("payload") || name.starts_with("req.payload")
}

/// A version as its sample has it: major times 65536 plus minor.
fn version_number((major, minor): (u8, u8)) -> i64 {
    i64::from(major) << 16 | i64::from(minor)
}

fn look<'a, T>(view: &View<'a>, find: impl FnOnce(&'a [u8]) -> Look<T>) -> Option<T> {
    let peeked: &'a Peeked = view.txn.peeked.as_deref()?;
    match find(&peeked.bytes) {
        Look::Found(found) => Some(found),
        Look::Absent => None,
        Look::Partial => {
            peeked.not_yet();
            None
        }
    }
}

fn hello<'a>(view: &View<'a>) -> Option<Hello<'a>> {
    look(view, hello::hello)
}

/// `req.ssl_hello_type`.
pub(super) fn hello_type<'a>(view: &View<'a>) -> Option<Value<'a>> {
    hello(view).map(|hello| Value::Int(i64::from(hello.kind)))
}

/// `req.ssl_sni`.
pub(super) fn server_name<'a>(view: &View<'a>) -> Option<Value<'a>> {
    let name = hello(view)?.server_name()?.to_vec();
    Some(Value::owned(name))
}

/// `req.ssl_alpn`: tests see all names; the one value of an expression, which is the last that it sees, is the first name.
pub(super) fn alpn<'a>(view: &View<'a>, visit: &mut dyn FnMut(Value<'a>) -> bool) {
    let Some(hello) = hello(view) else {
        return;
    };
    let names: Vec<&[u8]> = hello.alpn().collect();
    for name in names.into_iter().rev() {
        if visit(Value::owned(name.to_vec())) {
            return;
        }
    }
}

/// `req.ssl_ec_ext`: true, or not there.
pub(super) fn curves<'a>(view: &View<'a>) -> Option<Value<'a>> {
    hello(view)?.has_curves().then_some(Value::Bool(true))
}

/// `req.ssl_st_ext`.
pub(super) fn ticket<'a>(view: &View<'a>) -> Option<Value<'a>> {
    let ticket = hello(view)?.ticket()?;
    Some(Value::Int(i64::from(ticket)))
}

/// `req.ssl_ver`.
pub(super) fn version<'a>(view: &View<'a>) -> Option<Value<'a>> {
    look(view, hello::version).map(|found| Value::Int(version_number(found)))
}

/// `req.len`: a test of it is false only when no more bytes can come.
pub(super) fn length<'a>(view: &View<'a>) -> Option<Value<'a>> {
    let peeked = view.txn.peeked.as_deref()?;
    peeked.not_yet();
    Some(Value::Int(peeked.bytes.len() as i64))
}

/// `wait_end`: true when nothing is to be waited for any longer.
pub(super) fn wait_end<'a>(view: &View<'a>) -> Option<Value<'a>> {
    match view.txn.peeked.as_deref() {
        Some(peeked) if !peeked.is_final => {
            peeked.not_yet();
            None
        }
        _ => Some(Value::Bool(true)),
    }
}

/// `req.payload(offset,length)`; all from the offset on if the length is 0.
pub(super) fn payload<'a>(arguments: &[Argument], view: &View<'a>) -> Option<Value<'a>> {
    let at = |index: usize| usize::try_from(arguments[index].as_int()).ok();
    let (offset, length) = (at(0)?, at(1)?);
    let found = look(view, |data| piece(data, offset, length))?;
    if length == 0
        && let Some(peeked) = view.txn.peeked.as_deref()
    {
        peeked.not_yet();
    }
    Some(Value::text(found))
}

fn piece(data: &[u8], offset: usize, length: usize) -> Look<&[u8]> {
    let rest = data.get(offset..).unwrap_or_default();
    if rest.is_empty() {
        return Look::Partial;
    }
    match length {
        0 => Look::Found(rest),
        length => rest.get(..length).map_or(Look::Partial, Look::Found),
    }
}

/// `req.payload_lv(offset1,length[,offset2])`: a block behind its length, or at another place; `+` and `-` count from behind
/// the length.
pub(super) fn payload_lv<'a>(arguments: &[Argument], view: &View<'a>) -> Option<Value<'a>> {
    let at = |index: usize| usize::try_from(arguments[index].as_int()).ok();
    let (offset, width) = (at(0)?, at(1)?);
    let behind = offset.checked_add(width)?;
    let start = match arguments.get(2).map(Argument::as_text) {
        None | Some("") => behind,
        Some(text) => {
            let number: i64 = text.parse().ok()?;
            match text.starts_with(['+', '-']) {
                true => behind.checked_add_signed(isize::try_from(number).ok()?)?,
                false => usize::try_from(number).ok()?,
            }
        }
    };
    let found = look(view, |data| {
        let Some(length) = data.get(offset..behind) else {
            return Look::Partial;
        };
        let length = length.iter().try_fold(0usize, |sum, byte| {
            sum.checked_mul(256)?.checked_add(usize::from(*byte))
        });
        match length {
            None | Some(0) => Look::Absent,
            Some(length) => piece(data, start, length),
        }
    })?;
    Some(Value::text(found))
}

/// `req.rdp_cookie([name])`.
pub(super) fn rdp_cookie<'a>(arguments: &[Argument], view: &View<'a>) -> Option<Value<'a>> {
    let name = arguments.first().map_or("", Argument::as_text);
    look(view, |data| rdp::cookie(data, name.as_bytes())).map(Value::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_waited_for_until_it_is_whole() {
        let check = |offset, length, expected| assert_eq!(piece(b"abcd", offset, length), expected);
        check(0, 2, Look::Found(&b"ab"[..]));
        check(1, 0, Look::Found(&b"bcd"[..]));
        check(2, 3, Look::Partial);
        check(4, 0, Look::Partial);
        check(usize::MAX, 1, Look::Partial);
    }
}
