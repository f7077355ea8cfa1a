//! A request's head: the verdict does not depend on how the bytes arrive, and what is written anew means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::Head;
use proxy::http1::{ClientPersistence, Framing, Limits, Parsed, parse_request, write_request_head};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let mut head = Head::default();
    let whole = parse_request(bytes, limits, &mut head);
    let half = parse_request(&bytes[..bytes.len() / 2], limits, &mut Head::default());
    match (&half, &whole) {
        (Ok(Parsed::Complete { length: one, .. }), Ok(Parsed::Complete { length: two, .. })) => {
            assert_eq!(one, two)
        }
        (Ok(Parsed::Complete { .. }) | Err(_), Ok(_)) | (Ok(Parsed::Complete { .. }), Err(_)) => {
            panic!("half of it was {half:?}, the whole is {whole:?}")
        }
        _ => {}
    }
    if let Ok(Parsed::Complete { facts, .. }) = whole {
        let mut written = Vec::new();
        let framing = Framing::of(facts.body);
        write_request_head(&mut written, &head, framing, ClientPersistence::Silent);
        let large = Limits {
            head_bytes: 4 * limits.head_bytes,
            fields: 2 * limits.fields,
        };
        let mut again = Head::default();
        let Ok(Parsed::Complete { length, facts: own }) =
            parse_request(&written, large, &mut again)
        else {
            panic!("what was written is not sound");
        };
        assert_eq!(length, written.len());
        assert_eq!(own.body, facts.body);
        assert_eq!(again.method(), head.method());
        assert_eq!(again.target(), head.target());
    }
});
