//! More of HTTP/1: clients that leave, early answers, targets, upgrades, interim answers, trailers, retries.

use super::cases::{Case, ONE, case};
use super::play::Step::{self, Leave, Pause, Reset, Send, Shut, Until};

const SILENT: &str = "GET /silent HTTP/1.1\r\nhost: a\r\n\r\n";
const WEBSOCKET: &str = "GET /websocket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn one(text: &'static str) -> Vec<Step> {
    vec![Send(text)]
}

/// With `option abortonclose` in the defaults: haproxy heeds it while it waits for an answer only where the frontend has
/// it too.
#[rustfmt::skip]
pub(crate) fn abort_cases() -> Vec<Case> {
    vec![
        case("the client shuts while it waits", "", ONE, vec![Send(SILENT), Pause(300), Shut]),
        case("the client closes while it waits", "", ONE, vec![Send(SILENT), Pause(300), Leave]),
        case("the client resets while it waits", "", ONE, vec![Send(SILENT), Pause(300), Reset]),
        case("the client shuts with its request", "", ONE, vec![Send(SILENT), Shut]),
        case("the client shuts behind a body", "", ONE, vec![Send("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"), Pause(300), Shut]),
        case("the client sends the next request and stays", "", ONE, vec![Send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(100), Send("GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("the client leaves in the pause before another try", "", " timeout connect 2s\n server s1 127.0.0.1:1\n", vec![Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(300), Leave]),
    ]
}

#[rustfmt::skip]
pub(crate) fn http1_cases() -> Vec<Case> {
    vec![
        case("the client shuts and is served", "", ONE, vec![Send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(100), Shut]),
        case("early answer, then the next request", "", ONE, vec![Send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Until("big"), Send("defghi!GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("early answer, and the client leaves", "", ONE, vec![Send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Until("big"), Pause(300), Leave]),
        case("early answer of a server that closes", "", ONE, vec![Send("POST /early-close HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Until("big"), Pause(100), Send("defghi!GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("early answer to who asks before the body", "", ONE, vec![Send("POST /early HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"), Until("big"), Send("abc!GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("asked before the body", "", ONE, vec![Send("POST /100 HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"), Until("100 Continue\r\n\r\n"), Send("ab")]),
        case("denied before the body", " http-request deny\n", ONE, one("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")),
        case("early hints", "", ONE, one("GET /103 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("switched unasked", "", ONE, one("GET /websocket HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("WebSocket", "", " timeout tunnel 3s\n server s1 {origin}\n", vec![Send(WEBSOCKET), Until("open"), Send("hello"), Until("hello"), Shut]),
        case("WebSocket that falls silent", "", " timeout tunnel 700ms\n server s1 {origin}\n", vec![Send(WEBSOCKET), Until("open")]),
        case("WebSocket refused", "", ONE, one("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")),
        case("CONNECT", "", ONE, vec![Send("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"), Shut]),
        case("CONNECT without a port", "", ONE, one("CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("CONNECT elsewhere than Host", "", ONE, one("CONNECT a:443 HTTP/1.1\r\nhost: b\r\n\r\n")),
        case("absolute target of another host", "", ONE, one("GET http://b/x HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("absolute target of another port", "", ONE, one("GET http://a:81/x HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("absolute target with the usual port", "", ONE, one("GET http://a/x HTTP/1.1\r\nhost: A:80\r\nconnection: close\r\n\r\n")),
        case("absolute target, a query behind the host", "", ONE, one("GET http://a?x=/y HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("absolute target before path rules", " http-request deny if { path /x }\n", ONE, one("GET http://a/x?y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a fragment", "", ONE, one("GET /x#y HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("a trailer from the server", "", ONE, one("GET /trailer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a trailer from the client", "", ONE, one("POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nx-end: 1\r\n\r\n")),
        case("pipelined with bodies", "", ONE, one("POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHEAD /head HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).lines(3),
    ]
}
