//! An answer's head: the verdict does not depend on how the bytes arrive, and what is written anew means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::Head;
use proxy::http1::{
    BodyLength, ClientPersistence, Framing, Limits, Parsed, parse_response, write_response_head,
};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let mut head = Head::default();
    let whole = parse_response(bytes, limits, false, false, &mut head);
    let half = parse_response(
        &bytes[..bytes.len() / 2],
        limits,
        false,
        false,
        &mut Head::default(),
    );
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
        // An answer without a body says so, or would end with its connection.
        let framing = match facts.body {
            BodyLength::None => Framing::Length(0),
            length => Framing::of(length),
        };
        write_response_head(&mut written, &head, framing, ClientPersistence::Silent);
        let large = Limits {
            head_bytes: 4 * limits.head_bytes,
            fields: 2 * limits.fields,
        };
        let mut again = Head::default();
        let Ok(Parsed::Complete { length, facts: own }) =
            parse_response(&written, large, false, false, &mut again)
        else {
            panic!("what was written is not sound");
        };
        assert_eq!(length, written.len());
        assert_eq!(own.body, facts.body);
        assert_eq!(again.status(), head.status());
    }
});
