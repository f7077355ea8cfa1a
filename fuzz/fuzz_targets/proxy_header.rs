//! A PROXY header of either version: taken, refused or waited for, and the same however the bytes arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::net::proxy_protocol::{ParseError, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = format!("{:?}", parse(bytes));
    let half = parse(&bytes[..bytes.len() / 2]);
    let is_settled = !matches!(half, Err(ParseError::Incomplete));
    if is_settled {
        assert_eq!(format!("{half:?}"), whole);
    }
});
