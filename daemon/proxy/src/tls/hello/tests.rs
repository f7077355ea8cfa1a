//! Whole, split, cut off, and with every length wrong.

use super::*;

/// Bytes in front of a record's content.
const RECORD_HEADER: usize = 5;

fn with_length(bytes: usize, text: &[u8]) -> Vec<u8> {
    let length = (text.len() as u32).to_be_bytes();
    [&length[4 - bytes..], text].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(2, data)].concat()
}

fn name(text: &str) -> Vec<u8> {
    let entry = [&[HOST_NAME][..], &with_length(2, text.as_bytes())].concat();
    extension(SERVER_NAME, &with_length(2, &entry))
}

fn alpn(names: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| with_length(1, name.as_bytes()))
        .collect();
    extension(ALPN, &with_length(2, &list))
}

fn client_hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &with_length(1, &[9; 32]),
        &with_length(2, &[0x13, 0x01, 0x13, 0x02]),
        &with_length(1, &[0]),
        &with_length(2, &extensions.concat()),
    ]
    .concat();
    let message = [&[CLIENT_HELLO][..], &with_length(3, &body)].concat();
    [&[HANDSHAKE, 3, 1][..], &with_length(2, &message)].concat()
}

fn usual() -> Vec<u8> {
    client_hello(&[
        extension(23, b""),
        name("www.example.org"),
        extension(SUPPORTED_GROUPS, &with_length(2, &[0, 29])),
        alpn(&["h2", "http/1.1"]),
        extension(SESSION_TICKET, b""),
    ])
}

#[test]
fn a_hello_tells_its_name_its_protocols_and_its_version() {
    let bytes = usual();
    let Look::Found(found) = hello(&bytes) else {
        panic!("not found");
    };
    assert_eq!(found.server_name(), Some(&b"www.example.org"[..]));
    assert_eq!(found.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert_eq!((found.version(), found.ticket()), ((3, 3), Some(1)));
    assert_eq!(found.kind, 1);
    assert!(found.has_curves());
    assert_eq!(version(&bytes), Look::Found((3, 3)));
}

#[test]
fn what_is_missing_is_absent_and_not_waited_for() {
    let bytes = client_hello(&[]);
    let Look::Found(found) = hello(&bytes) else {
        panic!("not found");
    };
    assert_eq!((found.server_name(), found.alpn().count()), (None, 0));
    assert_eq!((found.has_curves(), found.ticket()), (false, None));
    for text in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\0", &[23, 3, 1]] {
        assert_eq!(hello(text), Look::Absent, "{text:?}");
        assert_eq!(version(text), Look::Absent, "{text:?}");
    }
    assert_eq!(hello(b""), Look::Partial);
}

#[test]
fn a_hello_cut_off_anywhere_is_waited_for() {
    let bytes = usual();
    for end in 0..bytes.len() {
        assert_eq!(hello(&bytes[..end]), Look::Partial, "{end}");
    }
    // What follows it changes nothing.
    let more = [&bytes[..], b"and more"].concat();
    assert_eq!(hello(&more), hello(&bytes));
}

#[test]
fn a_hello_spread_over_records_is_put_together() {
    let whole = usual();
    let message = &whole[RECORD_HEADER..];
    for at in 1..message.len() {
        let (first, second) = message.split_at(at);
        let record = |part| [&[HANDSHAKE, 3, 1][..], &with_length(2, part)].concat();
        let bytes = [record(first), record(second)].concat();
        let Look::Found(found) = hello(&bytes) else {
            panic!("not found with {at}");
        };
        assert_eq!(found.server_name(), Some(&b"www.example.org"[..]), "{at}");
        for end in 0..bytes.len() {
            assert_eq!(hello(&bytes[..end]), Look::Partial, "{at} {end}");
        }
    }
}

/// Every byte with every other value: no panic, and no name that reaches beyond the message.
#[test]
fn wrong_bytes_and_wrong_lengths_read_nothing_beyond_the_message() {
    let bytes = usual();
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            for text in [&wrong[..], &wrong[..at + 1]] {
                let _ = version(text);
                if let Look::Found(found) = hello(text) {
                    let length = found.server_name().unwrap_or_default().len();
                    assert!(length < bytes.len());
                    let _ = (found.alpn().count(), found.ticket(), found.has_curves());
                }
            }
        }
    }
}

#[test]
fn a_hello_of_sslv2_tells_its_version_only() {
    let bytes = [0x80, 9, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10];
    assert_eq!(version(&bytes), Look::Found((3, 1)));
    assert_eq!(version(&bytes[..10]), Look::Partial);
    assert_eq!(hello(&bytes), Look::Absent);
    // A length that leaves no room for the version is none, however much follows.
    assert_eq!(version(&[0x80, 0, 1, 22, 164]), Look::Absent);
    assert_eq!(version(&[0x80, 2, 1, 3, 1]), version(&[0x80, 2]));
}
