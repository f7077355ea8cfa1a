//! A chunked body: the data do not depend on how the bytes arrive. The first byte says how they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http1::{BodyDecoder, BodyLength};

/// The data, how many bytes were used, and whether the body was whole or broken.
fn decode(bytes: &[u8], step: usize) -> (Vec<u8>, usize, Option<bool>) {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut data = Vec::new();
    let (mut used, mut there) = (0, step.min(bytes.len()));
    loop {
        match decoder.decode(&bytes[used..there]) {
            Err(_) => return (data, used, None),
            Ok((count, range)) => {
                data.extend_from_slice(&bytes[used..there][range]);
                used += count;
                if decoder.is_done() {
                    return (data, used, Some(true));
                }
                if count == 0 {
                    if there == bytes.len() {
                        return (data, used, Some(false));
                    }
                    there = (there + step).min(bytes.len());
                }
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = decode(bytes, bytes.len().max(1));
    let parts = decode(bytes, usize::from(*cut % 16) + 1);
    assert_eq!(whole.2, parts.2);
    if whole.2.is_some() {
        assert_eq!(whole.0, parts.0);
    }
    if whole.2 == Some(true) {
        assert_eq!(whole.1, parts.1);
    }
});
