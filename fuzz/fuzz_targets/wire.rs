//! Frames between the processes and of clients: decoded within bounds or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = protocol::wire::decode::<protocol::process::ToChild>(bytes);
    let _ = protocol::wire::decode::<protocol::process::FromChild>(bytes);
    let _ = protocol::wire::decode::<protocol::client::ClientRequest>(bytes);
    let _ = protocol::wire::decode::<protocol::client::ClientReply>(bytes);
});
