//! More of HTTP/1: clients that leave, early answers, targets, upgrades, interim answers, trailers, retries.

use super::cases::{Case, ONE, case};
use tandem_tests::play::Step::{self, Leave, Pause, Reset, Send, Shut, Until};

const SILENT: &str = "GET /silent HTTP/1.1\r\nhost: a\r\n\r\n";
const WEBSOCKET: &str = "GET /websocket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Times are told in two classes with their border at 280 ms: no pause is near it.
fn one(text: &'static str) -> Vec<Step> {
    vec![Send(text)]
}

const RELAXED: &str = " option accept-invalid-http-request\n";

/// Ends with a frontend that takes what is written behind it.
const PROXY_AUTH: &str = " option http-use-proxy-header\n http-request auth unless { http_auth(people) }\n default_backend b\nuserlist people\n user a insecure-password b\nfrontend f2\n";

/// A request whose head has this many bytes.
fn long(bytes: usize) -> Vec<Step> {
    let (start, end) = (
        "GET /fields HTTP/1.1\r\nhost: a\r\nconnection: close\r\ny: ",
        "\r\n\r\n",
    );
    let filler = "y".repeat(bytes - start.len() - end.len());
    one(String::leak(format!("{start}{filler}{end}")))
}

/// With `option abortonclose` in the defaults: haproxy heeds it while it waits for an answer only where the frontend has
/// it too.
#[rustfmt::skip]
pub(crate) fn abort_cases() -> Vec<Case> {
    vec![
        case("the client shuts while it waits", "", ONE, vec![Send(SILENT), Pause(600), Shut]),
        case("the client closes while it waits", "", ONE, vec![Send(SILENT), Pause(600), Leave]),
        case("the client resets while it waits", "", ONE, vec![Send(SILENT), Pause(600), Reset]),
        case("the client shuts with its request", "", ONE, vec![Send(SILENT), Shut]),
        case("the client shuts behind a body", "", ONE, vec![Send("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"), Pause(600), Shut]),
        case("the client sends the next request and stays", "", ONE, vec![Send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(100), Send("GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("the client leaves in the pause before another try", "", " timeout connect 2s\n server s1 127.0.0.1:1\n", vec![Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(600), Leave]),
    ]
}

#[rustfmt::skip]
pub(crate) fn http1_cases() -> Vec<Case> {
    vec![
        case("the client shuts and is served", "", ONE, vec![Send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(100), Shut]),
        case("early answer, then the next request", "", ONE, vec![Send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Until("big"), Send("defghi!GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("early answer, and the client leaves", "", ONE, vec![Send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Until("big"), Pause(600), Leave]),
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
        case("another try after a status", "", " retries 2\n retry-on 503\n server s1 {origin}\n", one("GET /flaky/503 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("another try of a body", "", " retries 2\n retry-on 503\n server s1 {origin}\n", one("POST /flaky/body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")),
        case("no other try while the body is coming", "", " retries 2\n retry-on all-retryable-errors\n server s1 {origin}\n", vec![Send("POST /flaky/late HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhe"), Pause(60), Send("llo")]),
        case("another try after nothing", "", " retries 2\n retry-on empty-response\n server s1 {origin}\n", one("GET /flaky/close HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("another try after junk", "", " retries 2\n retry-on junk-response\n server s1 {origin}\n", one("GET /flaky/junk HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("another try after silence", "", " retries 2\n timeout server 500ms\n retry-on response-timeout\n server s1 {origin}\n", one("GET /flaky/silent HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("another try elsewhere", "", " retries 2\n option redispatch\n balance roundrobin\n retry-on 503\n server s1 {origin}\n server s2 {origin}\n", one("GET /flaky/elsewhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("all tries in vain", "", " retries 2\n retry-on 500\n server s1 {origin}\n", one("GET /500 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("no other try after half a head", "", " retries 1\n retry-on junk-response\n server s1 {origin}\n", one("GET /half-head HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("no other try after another event", "", " retry-on empty-response\n server s1 {origin}\n", one("GET /500 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("no other try", " http-request disable-l7-retry\n", " retry-on 500\n server s1 {origin}\n", one("GET /500 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("never another try to connect", "", " retry-on none\n server s1 127.0.0.1:1\n", one("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("the body is read first", " option http-buffer-request\n http-request deny if { req.body -m sub bad }\n", ONE, vec![Send("POST /flaky/buffer HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\nabc"), Pause(60), Send("bad4567")]),
        case("the body is read first, and sent", "", " option http-buffer-request\n server s1 {origin}\n", vec![Send("POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"), Pause(60), Send("0\r\nx-end: 1\r\n\r\n")]),
        case("the body is read first, and does not come", " option http-buffer-request\n timeout http-request 500ms\n", ONE, one("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")),
        case("the body is read first, and the client leaves", " option http-buffer-request\n", ONE, vec![Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), Pause(60), Leave]),
        case("the body is read first, and asked for", " option http-buffer-request\n http-request return status 200 hdr x-body %[req.body]\n", ONE, vec![Send("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"), Until("100 Continue\r\n\r\n"), Send("abc")]),
        case("a rule waits for the body", " http-request wait-for-body time 2s\n http-request return status 200 hdr x-body %[req.body] hdr x-len %[req.body_len] hdr x-size %[req.body_size] hdr x-b %[req.body_param(b)]\n", ONE, vec![Send("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 7\r\n\r\na=1&"), Pause(60), Send("b=2")]),
        case("a rule waits for a part", " http-request wait-for-body time 2s at-least 2\n http-request return status 200 hdr x-body %[req.body] hdr x-size %[req.body_size]\n", ONE, one("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc")),
        case("a rule waits in vain", " http-request wait-for-body time 400ms\n http-request return status 200 hdr x-len %[req.body_len]\n", ONE, one("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc")),
        case("captures by number", " declare capture request len 4\n capture request header user-agent len 8\n declare capture response len 6\n", " http-request capture path id 0\n http-response capture status id 0\n server s1 {origin}\n", one("GET /longpath HTTP/1.1\r\nhost: a\r\nuser-agent: me\r\nconnection: close\r\n\r\n")),
        case("the server's name in a header", "", " http-send-name-header X-Server\n server s1 {origin}\n", one("GET /show HTTP/1.1\r\nhost: a\r\nx-server: forged\r\nconnection: close\r\n\r\n")),
        case("a probe that leaves", " option http-ignore-probes\n", ONE, vec![Leave]).lines(0),
        case("a probe that stays", " option http-ignore-probes\n timeout http-request 500ms\n", ONE, vec![]).lines(0),
        case("an odd name", "", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nX (a): 1\r\n\r\n")),
        case("an odd name accepted", RELAXED, ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nX (a): 1\r\nX_b : 2\r\nx\u{e9}: 3\r\nconnection: close\r\n\r\n")),
        case("no name is not accepted", RELAXED, ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\n: 1\r\n\r\n")),
        case("an odd length is never accepted", RELAXED, ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\nx (a): 1\r\n\r\n")),
        case("an accepted fragment", RELAXED, ONE, one("GET /fields#y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("what would end a field of the log", " option accept-invalid-http-request\n capture request header x-a len 30\n log-format \"%ci:%cp [%tr] %ft %r %{+Q}r %HU %HQ %HP %hr %hrl %{+E}hr\"\n", ONE, one("GET /fields/#\"{c|d}?x#\"{ HTTP/1.1\r\nhost: a\r\nx-a: #\"{b|c}\\]\u{e9}\r\nconnection: close\r\n\r\n")),
        case("accepted bytes in the target", RELAXED, ONE, one("GET /fields/\u{fffd} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("unusual characters in the target", "", ONE, one("GET /fields/\"<>\\^`{|} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a control character in the target", RELAXED, ONE, one("GET /fields/\u{1} HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("accepting is taken back", " option accept-invalid-http-request\n no option accept-invalid-http-request\n", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nX (a): 1\r\n\r\n")),
        case("an odd name of a server", "", ONE, one("GET /odd-name HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("an odd name of a server accepted", "", " option accept-invalid-http-response\n server s1 {origin}\n", one("GET /odd-name HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("an odd length of a server is never accepted", "", " option accept-invalid-http-response\n server s1 {origin}\n", one("GET /odd-length HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("names restricted by the frontend", " option http-restrict-req-hdr-names reject\n", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nx_a: 1\r\nx-b: 1\r\nconnection: close\r\n\r\n")),
        case("names restricted by the backend", "", " option http-restrict-req-hdr-names reject\n server s1 {origin}\n", one("GET /fields HTTP/1.1\r\nhost: a\r\nx_a: 1\r\nx-b: 1\r\nconnection: close\r\n\r\n")),
        case("names that are taken out", "", " option http-restrict-req-hdr-names delete\n server s1 {origin}\n", one("GET /fields HTTP/1.1\r\nhost: a\r\nx_a: 1\r\nx-b: 1\r\nconnection: close\r\n\r\n")),
        case("names that stay", " option http-restrict-req-hdr-names preserve\n", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nx_a: 1\r\nx-b: 1\r\nconnection: close\r\n\r\n")),
        case("as many fields as may be", "global: tune.http.maxhdr 5\n", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nx1: 1\r\nx2: 1\r\nx3: 1\r\nconnection: close\r\n\r\n")),
        case("one field too many", "global: tune.http.maxhdr 5\n", ONE, one("GET /fields HTTP/1.1\r\nhost: a\r\nx1: 1\r\nx2: 1\r\nx3: 1\r\nx4: 1\r\nconnection: close\r\n\r\n")),
        case("as many fields from a server as may be", "global: tune.http.maxhdr 7\n", ONE, one("GET /many HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a field too many from a server", "global: tune.http.maxhdr 6\n", ONE, one("GET /many HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a head within the buffer", "global: tune.bufsize 8192\n", ONE, long(7_000)),
        case("a head beyond the buffer", "global: tune.bufsize 8192\n", ONE, long(8_300)),
        case("a head within a small reserve", "global: tune.bufsize 8192\nglobal: tune.maxrewrite 4096\n", ONE, long(4_000)),
        case("a head beyond a large reserve", "global: tune.bufsize 8192\nglobal: tune.maxrewrite 4096\n", ONE, long(8_300)),
        case("half closed by the client", " timeout client-fin 500ms\n", " timeout tunnel 3s\n server s1 {origin}\n", vec![Send(WEBSOCKET), Until("open"), Send("hello"), Until("hello"), Shut]),
        case("content refused by the frontend", " tcp-request content reject if { path /no }\n", ONE, vec![Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"), Until("hello"), Send("GET /no HTTP/1.1\r\nhost: a\r\n\r\n")]).lines(2),
        case("content refused by the backend", "", " tcp-request content reject if { path /no }\n server s1 {origin}\n", one("GET /no HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("content accepted, request denied", " tcp-request content accept if { path /no }\n tcp-request content reject\n http-request deny\n", ONE, one("GET /no HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a variable of the content", " tcp-request content set-var(txn.a) path\n http-request set-header x-a %[var(txn.a)]\n", ONE, one("GET /fields/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("a proxy's challenge", PROXY_AUTH, ONE, one("GET http://a/1 HTTP/1.1\r\nhost: a\r\nauthorization: Basic YTpi\r\nconnection: close\r\n\r\n")),
        case("a proxy's challenge answered", PROXY_AUTH, ONE, one("GET http://a/1 HTTP/1.1\r\nhost: a\r\nproxy-authorization: Basic YTpi\r\nconnection: close\r\n\r\n")),
        case("a server's challenge", PROXY_AUTH, ONE, one("GET /1 HTTP/1.1\r\nhost: a\r\nproxy-authorization: Basic YTpi\r\nconnection: close\r\n\r\n")),
        case("a server's challenge answered", PROXY_AUTH, ONE, one("GET /1 HTTP/1.1\r\nhost: a\r\nauthorization: Basic YTpi\r\nconnection: close\r\n\r\n")),
        case("a proxy's challenge without the option", " http-request auth unless { http_auth(people) }\n default_backend b\nuserlist people\n user a insecure-password b\nfrontend f2\n", ONE, one("GET http://a/1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("pipelined with bodies", "", ONE, one("POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHEAD /head HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).lines(3),
    ]
}
