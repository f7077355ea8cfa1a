//! Variables of log formats: one row each in a sorted table.

use std::net::IpAddr;

use super::format::Line;
use super::stamp;
use crate::txn::Timings;

/// A variable.
pub(super) struct VariableRow {
    /// Its word without the percent sign.
    name: &'static str,
    /// Appends its text; nothing when there is none.
    pub(super) write: fn(&Line<'_>, &mut Vec<u8>),
}

impl VariableRow {
    /// Captures of headers leave no trace where nothing is captured.
    pub(super) fn may_vanish(&self) -> bool {
        matches!(self.name, "hr" | "hs")
    }
}

pub(super) fn find(name: &str) -> Option<&'static VariableRow> {
    TABLE
        .binary_search_by_key(&name, |row| row.name)
        .ok()
        .map(|at| &TABLE[at])
}

/// Variables of HAProxy that are not done.
pub(super) fn is_known(name: &str) -> bool {
    matches!(name, "HPO" | "lc" | "OG" | "bi" | "bp" | "Tu")
}

macro_rules! row {
    ($name:literal, $write:expr) => {
        VariableRow {
            name: $name,
            write: $write,
        }
    };
}

#[rustfmt::skip]
static TABLE: &[VariableRow] = &[
    row!("B", |l, o| { unfinished(l, o); number(o, l.view.txn.bytes_out) }),
    row!("CC", |l, o| dash_or(o, captured_cookie(&l.view.txn.captured_cookies[0]))),
    row!("CS", |l, o| dash_or(o, captured_cookie(&l.view.txn.captured_cookies[1]))),
    row!("H", |l, o| o.extend_from_slice(l.view.environment.node.as_bytes())),
    row!("HM", |l, o| o.extend_from_slice(request_part(l, 0))),
    row!("HP", |l, o| encoded(o, request_path(l))),
    row!("HQ", |l, o| if let Some(at) = memchr::memchr(b'?', request_part(l, 1)) { encoded(o, &request_part(l, 1)[at..]) }),
    row!("HU", |l, o| encoded(o, request_part(l, 1))),
    row!("HV", |l, o| o.extend_from_slice(request_part(l, 2))),
    row!("ID", |l, o| if let Some(id) = l.view.txn.variable("txn.unique-id") { o.extend_from_slice(id) }),
    row!("ST", |l, o| match l.view.txn.status { 0 => o.extend_from_slice(b"-1"), status => number(o, status.into()) }),
    row!("T", |l, o| stamp::write_gmt(l.view.session.accepted_wall_us, o)),
    row!("TR", |l, o| milliseconds(o, request_time(&l.view.txn.timings))),
    row!("Ta", |l, o| { unfinished(l, o); milliseconds(o, active_time(l)) }),
    row!("Tc", |l, o| milliseconds(o, between(l.view.txn.timings.dequeued_us, l.view.txn.timings.connected_us))),
    row!("Td", |l, o| milliseconds(o, between(l.view.txn.timings.response_us.max(if l.http { 0 } else { l.view.txn.timings.connected_us }), l.view.txn.timings.end_us))),
    row!("Th", |_, o| o.push(b'0')),
    row!("Ti", |l, o| milliseconds(o, between(l.view.txn.timings.start_us, l.view.txn.timings.first_byte_us).or(Some(0)))),
    row!("Tl", |l, o| stamp::write_local(wall_us(l, l.view.txn.timings.end_us), false, o)),
    row!("Tq", |l, o| milliseconds(o, between(l.view.txn.timings.start_us, l.view.txn.timings.request_us))),
    row!("Tr", |l, o| milliseconds(o, between(l.view.txn.timings.connected_us, l.view.txn.timings.response_us))),
    row!("Ts", |l, o| number(o, l.view.session.accepted_wall_us / 1_000_000)),
    row!("Tt", |l, o| { unfinished(l, o); milliseconds(o, total_time(l)) }),
    row!("Tw", |l, o| milliseconds(o, queue_time(l))),
    row!("U", |l, o| number(o, l.view.txn.bytes_in)),
    row!("ac", |l, o| number(o, l.gauges.process)),
    row!("b", |l, o| match &l.view.txn.backend { Some(backend) => o.extend_from_slice(backend.name.as_bytes()), None => o.extend_from_slice(l.view.session.frontend.name.as_bytes()) }),
    row!("bc", |l, o| number(o, l.gauges.backend)),
    row!("bq", |l, o| number(o, l.view.txn.queue_positions.1.into())),
    row!("ci", |l, o| ip(o, l.view.session.source.ip().to_canonical())),
    row!("cp", |l, o| number(o, l.view.session.source.port().into())),
    row!("f", |l, o| o.extend_from_slice(l.view.session.frontend.name.as_bytes())),
    row!("fc", |l, o| number(o, l.gauges.frontend)),
    row!("fi", |l, o| ip(o, l.view.session.destination.ip().to_canonical())),
    row!("fp", |l, o| number(o, l.view.session.destination.port().into())),
    row!("ft", |l, o| { o.extend_from_slice(l.view.session.frontend.name.as_bytes()); if l.view.session.tls.is_some() { o.push(b'~'); } }),
    row!("hr", |l, o| braces(o, &l.view.txn.captured_request)),
    row!("hrl", |l, o| list(o, &l.view.txn.captured_request)),
    row!("hs", |l, o| braces(o, &l.view.txn.captured_response)),
    row!("hsl", |l, o| list(o, &l.view.txn.captured_response)),
    row!("ms", |l, o| o.extend_from_slice(format!("{:03}", l.view.session.accepted_wall_us / 1_000 % 1_000).as_bytes())),
    row!("pid", |l, o| number(o, l.view.environment.pid.into())),
    row!("r", |l, o| match &l.view.txn.request_line[..] { b"" => o.extend_from_slice(b"<BADREQ>"), line => encoded(o, line) }),
    row!("rc", |l, o| { if l.view.txn.redispatched { o.push(b'+'); } number(o, l.view.txn.retries.into()); }),
    row!("rt", |l, o| number(o, l.view.session.id)),
    row!("s", |l, o| match &l.view.txn.server { Some(server) => o.extend_from_slice(server.name.as_bytes()), None if l.view.txn.is_statistics => o.extend_from_slice(b"<STATS>"), None => o.extend_from_slice(b"<NOSRV>") }),
    row!("sc", |l, o| number(o, l.gauges.server)),
    row!("si", |l, o| if let Some(address) = server_address(l) { ip(o, address.ip()) }),
    row!("sp", |l, o| if let Some(address) = server_address(l) { number(o, address.port().into()) }),
    row!("sq", |l, o| number(o, l.view.txn.queue_positions.0.into())),
    row!("sslc", |l, o| dash_or(o, l.view.session.tls.as_ref().map_or(b"", |tls| tls.cipher.as_bytes()))),
    row!("sslv", |l, o| dash_or(o, l.view.session.tls.as_ref().map_or(b"", |tls| tls.version.as_bytes()))),
    row!("t", |l, o| stamp::write_clf_ms(l.view.session.accepted_wall_us, o)),
    row!("tr", |l, o| stamp::write_clf_ms(request_wall_us(l), o)),
    row!("trg", |l, o| stamp::write_gmt(request_wall_us(l), o)),
    row!("trl", |l, o| stamp::write_local(request_wall_us(l), false, o)),
    row!("ts", |l, o| letters(l, o, false)),
    row!("tsc", |l, o| letters(l, o, true)),
];

/// An address, without the formatting machinery for the usual kind: it is in every line.
fn ip(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        out.extend_from_slice(address.to_string().as_bytes());
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
}

/// The mark of a total that may grow after the line was written.
fn unfinished(line: &Line<'_>, out: &mut Vec<u8>) {
    if line.asap {
        out.push(b'+');
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds, or -1 for a timer that did not run.
fn milliseconds(out: &mut Vec<u8>, value_us: Option<u64>) {
    match value_us {
        Some(value) => number(out, value / 1_000),
        None => out.extend_from_slice(b"-1"),
    }
}

/// Between two moments; `None` unless both were reached. Both are cut to milliseconds first, as the sum of the
/// timers must not exceed the total.
fn between(start_us: u64, end_us: u64) -> Option<u64> {
    (start_us != 0 && end_us != 0).then(|| end_us.saturating_sub(start_us))
}

fn request_time(timings: &Timings) -> Option<u64> {
    between(timings.first_byte_us, timings.request_us)
}

fn active_time(line: &Line<'_>) -> Option<u64> {
    let timings = &line.view.txn.timings;
    let start = if timings.first_byte_us != 0 {
        timings.first_byte_us
    } else {
        timings.start_us
    };
    Some(timings.end_us.saturating_sub(start))
}

fn total_time(line: &Line<'_>) -> Option<u64> {
    Some(
        line.view
            .txn
            .timings
            .end_us
            .saturating_sub(line.view.txn.timings.start_us),
    )
}

/// `%Tw`: from the request (in TCP: from the start) to the place at a server.
fn queue_time(line: &Line<'_>) -> Option<u64> {
    let timings = &line.view.txn.timings;
    let start = if line.http {
        timings.request_us
    } else {
        timings.start_us
    };
    between(start.max(u64::from(!line.http)), timings.dequeued_us)
}

fn wall_us(line: &Line<'_>, at_us: u64) -> u64 {
    line.view.session.accepted_wall_us + at_us.saturating_sub(line.view.session.accepted_us)
}

fn request_wall_us(line: &Line<'_>) -> u64 {
    let timings = &line.view.txn.timings;
    wall_us(
        line,
        if timings.first_byte_us != 0 {
            timings.first_byte_us
        } else {
            timings.start_us
        },
    )
}

fn letters(line: &Line<'_>, out: &mut Vec<u8>, with_cookies: bool) {
    let txn = line.view.txn;
    out.push(txn.termination.cause.letter());
    out.push(txn.termination.stage.letter());
    if with_cookies {
        for letter in txn.cookie_letters {
            out.push(if letter == 0 { b'-' } else { letter });
        }
    }
}

fn captured_cookie(cookie: &[u8]) -> &[u8] {
    cookie
}

fn dash_or(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(if text.is_empty() { b"-" } else { text });
}

/// `%hr`: `{a|b}`, and nothing when nothing is captured at all.
fn braces(out: &mut Vec<u8>, slots: &[Vec<u8>]) {
    if slots.is_empty() {
        return;
    }
    out.push(b'{');
    list_with(out, slots, b'|');
    out.push(b'}');
}

fn list(out: &mut Vec<u8>, slots: &[Vec<u8>]) {
    list_with(out, slots, b' ');
}

fn list_with(out: &mut Vec<u8>, slots: &[Vec<u8>], separator: u8) {
    for (index, slot) in slots.iter().enumerate() {
        if index > 0 {
            out.push(separator);
        }
        if slot.iter().any(|byte| b"{|}".contains(byte)) {
            for byte in slot {
                match byte {
                    b'{' | b'|' | b'}' => hexadecimal(out, *byte),
                    byte => encoded(out, std::slice::from_ref(byte)),
                }
            }
        } else {
            encoded(out, slot);
        }
    }
}

/// What a client wrote: `#` and the quote are always encoded (manual 8.6), so that the line can be read back. Other odd bytes
/// are left to the format.
fn encoded(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'#', b'"', rest) {
        out.extend_from_slice(&rest[..at]);
        hexadecimal(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn hexadecimal(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(format!("#{byte:02X}").as_bytes());
}

fn request_part<'a>(line: &Line<'a>, part: usize) -> &'a [u8] {
    line.view
        .txn
        .request_line
        .split(|byte| *byte == b' ')
        .nth(part)
        .unwrap_or(b"<BADREQ>")
}

fn request_path<'a>(line: &Line<'a>) -> &'a [u8] {
    let target = request_part(line, 1);
    &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
}

fn server_address(line: &Line<'_>) -> Option<std::net::SocketAddr> {
    line.view
        .txn
        .server
        .as_ref()
        .and_then(|server| server.address.load().as_deref().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|row| row.name));
    }
}
