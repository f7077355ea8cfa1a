//! The cookie of an RDP connection request ([MS-RDPBCGR] 2.2.1.1): `Cookie: NAME=VALUE` behind TPKT and X.224 headers.

use crate::tls::hello::Look;

/// RFC 1006 6: the first byte of a TPKT.
const TPKT_VERSION: u8 = 3;
/// X.224 13.3: a connection request.
const CONNECTION_REQUEST: u8 = 0xe0;
/// Bytes of both headers.
const HEADERS: usize = 11;
const FIELD: &[u8] = b"Cookie:";

/// The value of the cookie of this name, whatever its case; of the first cookie if the name is empty.
pub(crate) fn cookie<'d>(data: &'d [u8], name: &[u8]) -> Look<&'d [u8]> {
    match data {
        [version, ..] if *version != TPKT_VERSION => return Look::Absent,
        [_, _, _, _, _, code, ..] if *code != CONNECTION_REQUEST => return Look::Absent,
        _ => {}
    }
    let Some(text) = data.get(HEADERS..) else {
        return Look::Partial;
    };
    let start = text.len().min(FIELD.len());
    if !text[..start].eq_ignore_ascii_case(&FIELD[..start]) {
        return Look::Absent;
    }
    if start < FIELD.len() {
        return Look::Partial;
    }
    let text = text[start..].trim_ascii_start();
    let end = text
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n' | b';'));
    let line = &text[..end.unwrap_or(text.len())];
    match (line.iter().position(|byte| *byte == b'='), end) {
        (Some(at), _) if !name.is_empty() && !line[..at].eq_ignore_ascii_case(name) => Look::Absent,
        (Some(at), Some(_)) => Look::Found(&line[at + 1..]),
        (None, Some(_)) => Look::Absent,
        (_, None) => Look::Partial,
    }
}
