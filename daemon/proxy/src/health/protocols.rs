//! Checks that speak a protocol that is known here: TLS hello, SMTP, MySQL, PostgreSQL, Redis, LDAP.
//!
//! Each is a list of steps whose answers are judged by a function. The functions see all that has come since the
//! connection was made, so that a late step can look back at a greeting.

use config::haproxy::CheckKind;

use super::outcome::Outcome;
use super::plan::{Action, Connect, Data, Step, implicit};

/// Judges what has come; `closed` says that no more will. `None` wants more.
pub(super) struct Judge {
    pub(super) judge: fn(&[u8], bool) -> Judged,
    /// What a missing answer is: `L7RSP` or `L7STS` with the number of the step.
    pub(super) empty: &'static str,
    pub(super) timeout: &'static str,
    /// What has come is forgotten after it: the next answer stands alone.
    pub(super) forgets: bool,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Judge")
    }
}

/// `None` wants more; else the result, good or bad.
pub(super) type Judged = Option<Result<Outcome, Outcome>>;

fn judge(judge: fn(&[u8], bool) -> Judged) -> Action {
    Action::Protocol(Judge {
        judge,
        empty: "L7RSP",
        timeout: "L7TOUT",
        forgets: false,
    })
}

/// The next answer stands alone.
fn forgetting(action: Action) -> Action {
    match action {
        Action::Protocol(judge) => Action::Protocol(Judge {
            forgets: true,
            ..judge
        }),
        other => other,
    }
}

fn send(bytes: Vec<u8>) -> Action {
    Action::Send(Data::Bytes(bytes))
}

/// The steps of a protocol.
pub(super) fn steps(kind: &CheckKind) -> Vec<Step> {
    let connect = Action::Connect(Connect {
        by_server: true,
        ..Connect::default()
    });
    // HAProxy's numbers, which its messages name, differ from protocol to protocol.
    let (actions, first) = match kind {
        CheckKind::SslHello => {
            let answer = Action::Protocol(Judge {
                judge: tls_hello,
                empty: "L6RSP",
                timeout: "L6TOUT",
                forgets: false,
            });
            (vec![connect, send(client_hello()), answer], 0)
        }
        CheckKind::Smtp(hello) => (
            vec![
                connect,
                forgetting(judge(smtp_greeting)),
                send(format!("{hello}\r\n").into_bytes()),
                forgetting(judge(smtp_hello)),
                send(b"QUIT\r\n".to_vec()),
                judge(smtp_goodbye),
            ],
            1,
        ),
        CheckKind::Mysql { user: None, .. } => (vec![connect, judge(mysql_greeting)], 1),
        CheckKind::Mysql {
            user: Some(user),
            pre_41,
        } => (
            vec![
                connect,
                judge(mysql_greeting),
                send(mysql_login(user, *pre_41)),
                judge(mysql_answer),
            ],
            1,
        ),
        CheckKind::Pgsql(user) => (
            vec![connect, send(pgsql_start(user)), judge(pgsql_answer)],
            1,
        ),
        CheckKind::Redis => {
            let answer = Action::Protocol(Judge {
                judge: redis_answer,
                empty: "L7STS",
                timeout: "L7TOUT",
                forgets: false,
            });
            (
                vec![connect, send(b"*1\r\n$4\r\nPING\r\n".to_vec()), answer],
                0,
            )
        }
        CheckKind::Ldap => (
            vec![connect, send(LDAP_BIND.to_vec()), judge(ldap_answer)],
            0,
        ),
        _ => (vec![connect], 0),
    };
    actions
        .into_iter()
        .enumerate()
        .map(|(at, action)| Step {
            number: at + first,
            ..implicit(action)
        })
        .collect()
}

/// An SSLv3 ClientHello that offers every suite of old (RFC 6101 5.6.1.2).
fn client_hello() -> Vec<u8> {
    const HANDSHAKE: u8 = 0x16;
    const CLIENT_HELLO: u8 = 1;
    const SUITES: [std::ops::RangeInclusive<u8>; 2] = [0x01..=0x1b, 0x2f..=0x3a];
    let mut body = vec![3, 0];
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs() as u32);
    body.extend_from_slice(&seconds.to_be_bytes());
    // The other 28 bytes of the random value: nothing is encrypted with it.
    body.extend_from_slice(b"TANDEM-SSL-CHECK\nTANDEM-SSL\n");
    // No session to resume.
    body.push(0);
    let suites: Vec<u8> = SUITES.into_iter().flatten().collect();
    body.extend_from_slice(&((suites.len() * 2) as u16).to_be_bytes());
    suites
        .iter()
        .for_each(|suite| body.extend_from_slice(&[0, *suite]));
    // One way of compression: none.
    body.extend_from_slice(&[1, 0]);
    let mut hello = vec![HANDSHAKE, 3, 0];
    hello.extend_from_slice(&((body.len() + 4) as u16).to_be_bytes());
    hello.extend_from_slice(&[CLIENT_HELLO, 0]);
    hello.extend_from_slice(&(body.len() as u16).to_be_bytes());
    hello.extend_from_slice(&body);
    hello
}

/// A handshake or an alert: whoever answers so speaks TLS.
fn tls_hello(bytes: &[u8], _closed: bool) -> Judged {
    match bytes.first()? {
        0x15 | 0x16 => Some(Ok(Outcome::new("L6OK", ""))),
        _ => Some(Err(Outcome::new("L6RSP", ""))),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Code and text of an SMTP line that ends an answer (`250 ok`), from the lines that have come (RFC 5321 4.2).
fn smtp_end(bytes: &[u8]) -> Option<(u16, String)> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .find_map(|line| {
            let code: u16 = std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()?;
            match line.get(3) {
                Some(b' ') => Some((code, first_line(&line[4..]))),
                Some(b'\r' | b'\n') => Some((code, String::new())),
                _ => None,
            }
        })
}

/// A greeting that begins with a code, and whose last line is good.
fn smtp_greeting(bytes: &[u8], closed: bool) -> Judged {
    if bytes.len() < 4 && !closed {
        return None;
    }
    let is_code = bytes.len() >= 4
        && bytes[..3].iter().all(u8::is_ascii_digit)
        && matches!(bytes[3], b' ' | b'\r' | b'-');
    if !is_code {
        return Some(Err(Outcome::new("L7RSP", first_line(bytes))));
    }
    smtp_judge(bytes, closed, Patience::Short)
}

fn smtp_hello(bytes: &[u8], closed: bool) -> Judged {
    smtp_judge(bytes, closed, Patience::Long)
}

fn smtp_goodbye(bytes: &[u8], closed: bool) -> Judged {
    smtp_judge(bytes, closed, Patience::Short)
}

/// Whether a refusal is the end at once, or only when the connection ends (HAProxy waits after its greeting).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Short,
    Long,
}

fn smtp_judge(bytes: &[u8], closed: bool, patience: Patience) -> Judged {
    let ended = smtp_end(bytes);
    match ended {
        Some((code, text)) if (200..300).contains(&code) => {
            Some(Ok(Outcome::coded("L7OK", Some(code), text)))
        }
        Some((code, text)) if patience == Patience::Short || closed => {
            Some(Err(Outcome::coded("L7STS", Some(code), text)))
        }
        None if closed => Some(Err(Outcome::new("L7STS", first_line(bytes)))),
        _ => None,
    }
}

/// The payload of the MySQL packet at the front, and what follows it; `None` while it is not whole.
fn mysql_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header: &[u8; 4] = bytes.first_chunk()?;
    let length =
        usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
    let rest = &bytes[4..];
    (rest.len() >= length).then(|| rest.split_at(length))
}

/// The code and text of an ERR packet.
fn mysql_error(payload: &[u8]) -> Option<Outcome> {
    let (&[0xff, low, high], text) = payload.split_first_chunk()? else {
        return None;
    };
    let text = String::from_utf8_lossy(text).into_owned();
    Some(Outcome::coded(
        "L7STS",
        Some(u16::from_le_bytes([low, high])),
        text,
    ))
}

fn mysql_version(greeting: &[u8]) -> Option<Outcome> {
    let version = greeting.get(1..)?;
    let end = version.iter().position(|byte| *byte == 0)?;
    let version = String::from_utf8_lossy(&version[..end]).into_owned();
    Some(Outcome {
        fleeting: true,
        ..Outcome::new("L7OK", version)
    })
}

fn mysql_greeting(bytes: &[u8], closed: bool) -> Judged {
    let bad = Err(Outcome::new("L7RSP", ""));
    match mysql_packet(bytes) {
        None if closed => Some(bad),
        None => None,
        Some((payload, _)) => Some(match mysql_error(payload) {
            Some(error) => Err(error),
            None => mysql_version(payload).map_or(bad, Ok),
        }),
    }
}

/// The answer to the login stands behind the greeting.
fn mysql_answer(bytes: &[u8], closed: bool) -> Judged {
    let bad = Err(Outcome::new("L7RSP", ""));
    let second =
        mysql_packet(bytes).and_then(|(greeting, rest)| Some((greeting, mysql_packet(rest)?.0)));
    match second {
        None if closed => Some(bad),
        None => None,
        Some((greeting, payload)) => Some(match mysql_error(payload) {
            Some(error) => Err(error),
            None => mysql_version(greeting).map_or(bad, Ok),
        }),
    }
}

/// The handshake response of a client without a password, and its goodbye.
fn mysql_login(user: &str, pre_41: bool) -> Vec<u8> {
    const CLIENT_PROTOCOL_41_AND_SECURE: [u8; 4] = [0x00, 0x82, 0x00, 0x00];
    const CLIENT_OLD: [u8; 2] = [0x00, 0x80];
    const UTF8: u8 = 0x21;
    const QUIT: [u8; 5] = [1, 0, 0, 0, 1];
    let mut payload = Vec::new();
    if pre_41 {
        payload.extend_from_slice(&CLIENT_OLD);
        payload.extend_from_slice(&[0, 0, 1]);
    } else {
        payload.extend_from_slice(&CLIENT_PROTOCOL_41_AND_SECURE);
        payload.extend_from_slice(&[0, 0x80, 0, 1, UTF8]);
        payload.extend_from_slice(&[0; 23]);
    }
    payload.extend_from_slice(user.as_bytes());
    payload.extend_from_slice(&[0, 0]);
    let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(1);
    packet.extend_from_slice(&payload);
    packet.extend_from_slice(&QUIT);
    packet
}

/// StartupMessage of protocol 3.0.
fn pgsql_start(user: &str) -> Vec<u8> {
    const VERSION_3: [u8; 4] = [0, 3, 0, 0];
    let mut body = VERSION_3.to_vec();
    body.extend_from_slice(b"user\0");
    body.extend_from_slice(user.as_bytes());
    body.extend_from_slice(&[0, 0]);
    let mut message = ((body.len() + 4) as u32).to_be_bytes().to_vec();
    message.extend_from_slice(&body);
    message
}

/// An authentication request is good, an ErrorResponse is not.
fn pgsql_answer(bytes: &[u8], closed: bool) -> Judged {
    const LEAST: usize = 9;
    if bytes.first() == Some(&b'E') && (bytes.len() > 5 || closed) {
        let text = bytes.get(6..).unwrap_or_default();
        let end = text
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(text.len());
        let text = String::from_utf8_lossy(&text[..end]).into_owned();
        return Some(Err(Outcome::new("L7RSP", text)));
    }
    if bytes.len() < LEAST && !closed {
        return None;
    }
    Some(match bytes {
        [b'R', 0, 0, 0, _, 0, 0, 0, ..] => Ok(Outcome::new("L7OK", "PostgreSQL server is ok")),
        _ => Err(Outcome::new("L7STS", "PostgreSQL unknown error")),
    })
}

fn redis_answer(bytes: &[u8], closed: bool) -> Judged {
    if memchr::memmem::find(bytes, b"+PONG\r\n").is_some() {
        return Some(Ok(Outcome::new("L7OK", "Redis server is ok")));
    }
    closed.then(|| Err(Outcome::new("L7STS", first_line(bytes))))
}

/// An anonymous bind of LDAPv3 (RFC 4511 4.2).
const LDAP_BIND: [u8; 14] = [
    0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00,
];

/// A BER element at the front: its tag, its content, and what follows; long lengths of up to four bytes.
fn ber(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, mut rest) = rest.split_first()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let count = usize::from(short & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let digits = rest.get(..count)?;
        length = digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = &rest[count..];
    }
    // A referral may be cut: what is there suffices.
    let (content, rest) = rest.split_at(length.min(rest.len()));
    Some((tag, content, rest))
}

/// The result code of a BindResponse.
fn ldap_code(bytes: &[u8]) -> Option<u16> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const BIND_RESPONSE: u8 = 0x61;
    const ENUMERATED: u8 = 0x0a;
    let (SEQUENCE, message, _) = ber(bytes)? else {
        return None;
    };
    let (INTEGER, _, rest) = ber(message)? else {
        return None;
    };
    let (BIND_RESPONSE, response, _) = ber(rest)? else {
        return None;
    };
    let (ENUMERATED, code, _) = ber(response)? else {
        return None;
    };
    code.first().map(|code| u16::from(*code))
}

fn ldap_answer(bytes: &[u8], closed: bool) -> Judged {
    const LEAST: usize = 14;
    if bytes.len() < LEAST && !closed {
        return None;
    }
    Some(match ldap_code(bytes) {
        None => Err(Outcome::new("L7RSP", "Not LDAPv3 protocol")),
        Some(0) => Ok(Outcome {
            fleeting: true,
            ..Outcome::new("L7OK", "Success")
        }),
        Some(code) => Err(Outcome::coded(
            "L7STS",
            Some(code),
            "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9",
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(judge: fn(&[u8], bool) -> Judged, bytes: &[u8], closed: bool, expected: Option<&str>) {
        let found = judge(bytes, closed).map(|found| match found {
            Ok(outcome) | Err(outcome) => format!(
                "{} {} {}",
                outcome.status,
                outcome.code.unwrap_or(0),
                outcome.detail
            ),
        });
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn answers_are_judged_at_the_first_byte_that_decides() {
        check(smtp_greeting, b"22", false, None);
        check(smtp_greeting, b"220-a\r\n", false, None);
        check(smtp_greeting, b"220 hi\r\n", false, Some("L7OK 220 hi"));
        check(
            smtp_greeting,
            b"421 busy\r\n",
            false,
            Some("L7STS 421 busy"),
        );
        check(
            smtp_greeting,
            b"SSH-2.0\r\n",
            false,
            Some("L7RSP 0 SSH-2.0"),
        );
        check(smtp_hello, b"250-a\r\n250 b\r\n", false, Some("L7OK 250 b"));
        check(smtp_hello, b"550 no\r\n", false, None);
        check(smtp_hello, b"550 no\r\n", true, Some("L7STS 550 no"));
        check(mysql_greeting, &[3, 0, 0, 0, 10, b'8'], false, None);
        check(
            mysql_greeting,
            &[3, 0, 0, 0, 10, b'8', 0],
            false,
            Some("L7OK 0 8"),
        );
        check(redis_answer, b"-LOADING\r\n", false, None);
        check(
            redis_answer,
            b"-LOADING\r\n",
            true,
            Some("L7STS 0 -LOADING"),
        );
        check(tls_hello, b"H", false, Some("L6RSP 0 "));
    }

    #[test]
    fn ldap_lengths_may_be_long() {
        let long = [
            0x30, 0x84, 0, 0, 0, 0x10, 2, 1, 1, 0x61, 0x84, 0, 0, 0, 7, 0x0a, 1, 0, 4, 0, 4, 0,
        ];
        check(ldap_answer, &long, false, Some("L7OK 0 Success"));
        check(
            ldap_answer,
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            true,
            Some("L7RSP 0 Not LDAPv3 protocol"),
        );
    }

    /// No cut of an answer makes a judge panic.
    #[test]
    fn every_cut_of_an_answer_is_survived() {
        let judges: [fn(&[u8], bool) -> Judged; 8] = [
            tls_hello,
            smtp_greeting,
            smtp_hello,
            mysql_greeting,
            mysql_answer,
            pgsql_answer,
            redis_answer,
            ldap_answer,
        ];
        let answers: [&[u8]; 4] = [
            b"220 x\r\n",
            &[0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0],
            &[5, 0, 0, 0, 10, b'8', 0, 1, 2, 3, 0, 0, 2, 0xff, 1, 4],
            b"E\0\0\0\x10SFATAL\0",
        ];
        for judge in judges {
            for answer in answers {
                for cut in 0..=answer.len() {
                    for closed in [false, true] {
                        let _ = judge(&answer[..cut], closed);
                    }
                }
            }
        }
    }
}
