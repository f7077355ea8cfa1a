//! A TLS hello at the beginning of a stream: found, refused or waited for, and the same however the bytes arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::tls::hello::{Look, hello, version};

fuzz_target!(|bytes: &[u8]| {
    let whole = hello(bytes);
    if let Look::Found(found) = &whole {
        let name = found.server_name().unwrap_or_default();
        let _ = (
            found.alpn().count(),
            found.ticket(),
            found.has_curves(),
            found.version(),
        );
        assert!(name.len() < bytes.len());
    }
    let half = &bytes[..bytes.len() / 2];
    if hello(half) != Look::Partial {
        assert_eq!(hello(half), whole);
    }
    if version(half) != Look::Partial {
        assert_eq!(version(half), version(bytes));
    }
});
