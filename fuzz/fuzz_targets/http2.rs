//! Frames of an HTTP/2 client behind its preface and settings: what becomes a request is sound in HTTP/1.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use proxy::app::Clock;
use proxy::http::Head;
use proxy::http1::{ClientPersistence, Framing, Limits, Parsed, parse_request, write_request_head};
use proxy::http2::{PREFACE, Settings, Transport, request_into_head};
use proxy::net::{Buffer, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Longer inputs would not fit into a socket's buffer at once.
const MAX_BYTES: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > MAX_BYTES {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(exchange(bytes));
});

async fn exchange(bytes: &[u8]) {
    let limits = Limits::default();
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    for part in [PREFACE, SETTINGS, bytes] {
        client.write_all(part).await.expect("room in the socket");
    }
    client.shutdown().await.expect("an open socket");
    let (transport, _watch) = Transport::new(
        Stream::Unix(server),
        Buffer::default(),
        Clock::start(),
        Arc::default(),
    );
    let settings = Settings::towards_clients(&Default::default(), limits);
    let Ok(mut connection) = settings
        .server_builder()
        .handshake::<_, bytes::Bytes>(transport)
        .await
    else {
        return;
    };
    while let Some(Ok((request, _respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let mut head = Head::default();
        let Ok(facts) = request_into_head(&parts, body.is_end_stream(), limits, &mut head) else {
            continue;
        };
        let mut written = Vec::new();
        write_request_head(
            &mut written,
            &head,
            Framing::of(facts.body),
            ClientPersistence::Silent,
        );
        let large = Limits {
            head_bytes: 4 * limits.head_bytes,
            fields: 2 * limits.fields,
        };
        let Ok(Parsed::Complete { length, facts: own }) =
            parse_request(&written, large, &mut Head::default())
        else {
            panic!("unsound: {:?}", String::from_utf8_lossy(&written));
        };
        assert_eq!(length, written.len());
        assert_eq!(own.body, facts.body);
    }
}
