//! Sample fetches: one row each in a sorted table, the functions below.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Argument, ArgumentKind, FetchRow, Kind, Value, View, stream};
use crate::http::Head;
use crate::state::{Backend, Usability};

use ArgumentKind::{Backend as BackendName, Frontend, Int, Server, Text, Users, Variable};

/// Finds a fetch by its word.
pub(super) fn find(name: &str) -> Option<&'static FetchRow> {
    TABLE
        .binary_search_by_key(&name, |row| row.name)
        .ok()
        .map(|at| &TABLE[at])
}

/// All words.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

macro_rules! row {
    ($name:literal, $arguments:expr, $required:literal, $kind:ident, $run:expr) => {
        FetchRow {
            name: $name,
            arguments: &$arguments,
            required: $required,
            kind: Kind::$kind,
            run: $run,
        }
    };
}

#[rustfmt::skip]
static TABLE: &[FetchRow] = &[
    row!("always_false", [], 0, Bool, |_, _, f| one(f, Some(Value::Bool(false)))),
    row!("always_true", [], 0, Bool, |_, _, f| one(f, Some(Value::Bool(true)))),
    row!("base", [], 0, Text, |_, v, f| one(f, Some(Value::owned(base(&v.txn.request, false))))),
    row!("baseq", [], 0, Text, |_, v, f| one(f, Some(Value::owned(base(&v.txn.request, true))))),
    row!("be_conn", [BackendName], 0, Int, |a, v, f| one(f, backend(a, v).map(|found| int(found.counters.sessions.current())))),
    row!("be_conn_free", [BackendName], 0, Int, |a, v, f| one(f, backend(a, v).map(free_connections))),
    row!("be_id", [], 0, Int, |_, v, f| one(f, v.txn.backend.as_ref().map(|found| int(found.iid)))),
    row!("be_name", [], 0, Text, |_, v, f| one(f, v.txn.backend.as_ref().map(|found| Value::text(found.name.as_bytes())))),
    row!("be_sess_rate", [BackendName], 0, Int, |a, v, f| one(f, backend(a, v).map(|found| int(found.counters.rate.rate(v.now_us / 1000))))),
    row!("bool", [Text], 1, Bool, |a, _, f| one(f, Some(Value::Bool(matches!(a[0].as_text(), "1" | "true" | "yes" | "on"))))),
    row!("capture.req.hdr", [Int], 1, Text, |a, v, f| one(f, captured(&v.txn.captured_request, a))),
    row!("capture.req.method", [], 0, Text, |_, v, f| one(f, request_line_part(v, 0))),
    row!("capture.req.uri", [], 0, Text, |_, v, f| one(f, request_line_part(v, 1))),
    row!("capture.req.ver", [], 0, Text, |_, v, f| one(f, request_line_part(v, 2))),
    row!("capture.res.hdr", [Int], 1, Text, |a, v, f| one(f, captured(&v.txn.captured_response, a))),
    row!("cook", [Text], 0, Text, |a, v, f| request_cookies(a, v, f)),
    row!("cook_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| request_cookies(a, v, f))))),
    row!("cook_val", [Text], 0, Int, |a, v, f| request_cookies(a, v, &mut |x| as_int(f, &x))),
    row!("cookie", [Text], 0, Text, |a, v, f| request_cookies(a, v, f)),
    row!("date", [Int, Text], 0, Int, |a, _, f| one(f, Some(Value::Int(now_seconds() + a.first().map_or(0, Argument::as_int))))),
    row!("dst", [], 0, Address, |_, v, f| one(f, address(v.session.destination))),
    row!("dst_port", [], 0, Int, |_, v, f| one(f, port(v.session.destination))),
    row!("env", [Text], 1, Text, |a, _, f| one(f, std::env::var(a[0].as_text()).ok().map(|found| Value::owned(found.into_bytes())))),
    row!("fc_dst", [], 0, Address, |_, v, f| one(f, address(own_addresses(v).1))),
    row!("fc_dst_port", [], 0, Int, |_, v, f| one(f, port(own_addresses(v).1))),
    row!("fc_err", [], 0, Int, |_, _, f| one(f, Some(Value::Int(0)))),
    row!("fc_http_major", [], 0, Int, |_, v, f| one(f, Some(Value::Int(major(v))))),
    row!("fc_pp_authority", [], 0, Text, |_, v, f| one(f, v.session.proxied.as_ref().and_then(|found| found.authority.as_deref()).map(Value::text))),
    row!("fc_pp_unique_id", [], 0, Text, |_, v, f| one(f, v.session.proxied.as_ref().and_then(|found| found.unique_id.as_deref()).map(Value::text))),
    row!("fc_rcvd_proxy", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(v.session.proxied.is_some())))),
    row!("fc_src", [], 0, Address, |_, v, f| one(f, address(own_addresses(v).0))),
    row!("fc_src_port", [], 0, Int, |_, v, f| one(f, port(own_addresses(v).0))),
    row!("fe_conn", [Frontend], 0, Int, |a, v, f| one(f, frontend(a, v).map(|found| int(found.counters.sessions.current())))),
    row!("fe_id", [], 0, Int, |_, v, f| one(f, Some(int(v.session.frontend.iid)))),
    row!("fe_name", [], 0, Text, |_, v, f| one(f, Some(Value::text(v.session.frontend.name.as_bytes())))),
    row!("fe_req_rate", [Frontend], 0, Int, |a, v, f| one(f, frontend(a, v).map(|found| int(found.counters.request_rate.rate(v.now_us / 1000))))),
    row!("fe_sess_rate", [Frontend], 0, Int, |a, v, f| one(f, frontend(a, v).map(|found| int(found.counters.session_rate.rate(v.now_us / 1000))))),
    row!("hdr", [Text, Int], 0, Text, |a, v, f| header_values(&v.txn.request, a, f)),
    row!("hdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| header_values(&v.txn.request, a, f))))),
    row!("hdr_ip", [Text, Int], 0, Address, |a, v, f| header_values(&v.txn.request, a, &mut |x| as_address(f, &x))),
    row!("hdr_val", [Text, Int], 0, Int, |a, v, f| header_values(&v.txn.request, a, &mut |x| as_int(f, &x))),
    row!("hostname", [], 0, Text, |_, v, f| one(f, Some(Value::text(v.environment.node.as_bytes())))),
    row!("http_auth", [Users], 1, Bool, |a, v, f| one(f, Some(Value::Bool(authenticate(a, v).is_some())))),
    row!("http_auth_group", [Users], 1, Text, |a, v, f| { for group in authenticate(a, v).unwrap_or(&[]) { if f(Value::text(group.as_bytes())) { return; } } }),
    row!("http_auth_pass", [], 0, Text, |_, v, f| one(f, own_credentials(v).map(|found| Value::owned(found.1)))),
    row!("http_auth_type", [], 0, Text, |_, v, f| one(f, v.txn.request.header(authorization(v)).map(|found| Value::text(&found[..memchr::memchr(b' ', found).unwrap_or(found.len())])))),
    row!("http_auth_user", [], 0, Text, |_, v, f| one(f, own_credentials(v).map(|found| Value::owned(found.0)))),
    row!("int", [Int], 1, Int, |a, _, f| one(f, Some(Value::Int(a[0].as_int())))),
    row!("ipv4", [Text], 1, Address, |a, _, f| one(f, a[0].as_text().parse().ok().map(Value::Address))),
    row!("ipv6", [Text], 1, Address, |a, _, f| one(f, a[0].as_text().parse().ok().map(Value::Address))),
    row!("meth", [Text], 1, Text, |a, _, f| one(f, Some(Value::text(a[0].as_text().as_bytes())))),
    row!("method", [], 0, Text, |_, v, f| one(f, Some(Value::text(v.txn.request.method())))),
    row!("nbproc", [], 0, Int, |_, _, f| one(f, Some(Value::Int(1)))),
    row!("nbsrv", [BackendName], 0, Int, |a, v, f| one(f, backend(a, v).map(|found| int(found.usable_servers() as u64)))),
    row!("path", [], 0, Text, |_, v, f| one(f, path(v).map(Value::text))),
    row!("pathq", [], 0, Text, |_, v, f| one(f, path_and_query(&v.txn.request).map(Value::text))),
    row!("payload", [Int, Int], 2, Text, |a, v, f| one(f, stream::payload(a, v))),
    row!("payload_lv", [Int, Int, Text], 2, Text, |a, v, f| one(f, stream::payload_lv(a, v))),
    row!("query", [], 0, Text, |_, v, f| one(f, Some(Value::text(v.txn.request.query())))),
    row!("rand", [Int], 0, Int, |a, v, f| one(f, Some(random(a, v)))),
    row!("rdp_cookie", [Text], 0, Text, |a, v, f| one(f, stream::rdp_cookie(a, v))),
    row!("rdp_cookie_cnt", [Text], 0, Int, |a, v, f| one(f, stream::rdp_cookie(a, v).map(|_| Value::Int(1)))),
    row!("req.body", [], 0, Text, |_, v, f| one(f, Some(Value::text(&v.txn.body)))),
    row!("req.body_len", [], 0, Int, |_, v, f| one(f, Some(int(v.txn.body.len() as u64)))),
    row!("req.body_param", [Text], 0, Text, |a, v, f| body_parameters(a, v, f)),
    row!("req.body_size", [], 0, Int, |_, v, f| one(f, Some(body_size(v)))),
    row!("req.cook", [Text], 0, Text, |a, v, f| request_cookies(a, v, f)),
    row!("req.cook_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| request_cookies(a, v, f))))),
    row!("req.cook_val", [Text], 0, Int, |a, v, f| request_cookies(a, v, &mut |x| as_int(f, &x))),
    row!("req.fhdr", [Text, Int], 0, Text, |a, v, f| full_headers(&v.txn.request, a, f)),
    row!("req.fhdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| full_headers(&v.txn.request, a, f))))),
    row!("req.hdr", [Text, Int], 0, Text, |a, v, f| header_values(&v.txn.request, a, f)),
    row!("req.hdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| header_values(&v.txn.request, a, f))))),
    row!("req.hdr_ip", [Text, Int], 0, Address, |a, v, f| header_values(&v.txn.request, a, &mut |x| as_address(f, &x))),
    row!("req.hdr_names", [Text], 0, Text, |a, v, f| one(f, Some(header_names(&v.txn.request, a)))),
    row!("req.hdr_val", [Text, Int], 0, Int, |a, v, f| header_values(&v.txn.request, a, &mut |x| as_int(f, &x))),
    row!("req.hdrs", [], 0, Text, |_, v, f| one(f, Some(all_headers(&v.txn.request)))),
    row!("req.len", [], 0, Int, |_, v, f| one(f, stream::length(v))),
    row!("req.payload", [Int, Int], 2, Text, |a, v, f| one(f, stream::payload(a, v))),
    row!("req.payload_lv", [Int, Int, Text], 2, Text, |a, v, f| one(f, stream::payload_lv(a, v))),
    row!("req.proto_http", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(!v.txn.request.method().is_empty())))),
    row!("req.rdp_cookie", [Text], 0, Text, |a, v, f| one(f, stream::rdp_cookie(a, v))),
    row!("req.rdp_cookie_cnt", [Text], 0, Int, |a, v, f| one(f, stream::rdp_cookie(a, v).map(|_| Value::Int(1)))),
    row!("req.ssl_alpn", [], 0, Text, |_, v, f| stream::alpn(v, f)),
    row!("req.ssl_ec_ext", [], 0, Bool, |_, v, f| one(f, stream::curves(v))),
    row!("req.ssl_hello_type", [], 0, Int, |_, v, f| one(f, stream::hello_type(v))),
    row!("req.ssl_sni", [], 0, Text, |_, v, f| one(f, stream::server_name(v))),
    row!("req.ssl_st_ext", [], 0, Int, |_, v, f| one(f, stream::ticket(v))),
    row!("req.ssl_ver", [], 0, Int, |_, v, f| one(f, stream::version(v))),
    row!("req.ver", [], 0, Text, |_, v, f| one(f, Some(version(v)))),
    row!("req_len", [], 0, Int, |_, v, f| one(f, stream::length(v))),
    row!("req_proto_http", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(!v.txn.request.method().is_empty())))),
    row!("req_rdp_cookie", [Text], 0, Text, |a, v, f| one(f, stream::rdp_cookie(a, v))),
    row!("req_rdp_cookie_cnt", [Text], 0, Int, |a, v, f| one(f, stream::rdp_cookie(a, v).map(|_| Value::Int(1)))),
    row!("req_ssl_hello_type", [], 0, Int, |_, v, f| one(f, stream::hello_type(v))),
    row!("req_ssl_sni", [], 0, Text, |_, v, f| one(f, stream::server_name(v))),
    row!("req_ssl_ver", [], 0, Int, |_, v, f| one(f, stream::version(v))),
    row!("req_ver", [], 0, Text, |_, v, f| one(f, Some(version(v)))),
    row!("res.cook", [Text], 0, Text, |a, v, f| response_cookies(a, v, f)),
    row!("res.cook_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| response_cookies(a, v, f))))),
    row!("res.fhdr", [Text, Int], 0, Text, |a, v, f| full_headers(&v.txn.response, a, f)),
    row!("res.fhdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| full_headers(&v.txn.response, a, f))))),
    row!("res.hdr", [Text, Int], 0, Text, |a, v, f| header_values(&v.txn.response, a, f)),
    row!("res.hdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| header_values(&v.txn.response, a, f))))),
    row!("res.hdr_ip", [Text, Int], 0, Address, |a, v, f| header_values(&v.txn.response, a, &mut |x| as_address(f, &x))),
    row!("res.hdr_names", [Text], 0, Text, |a, v, f| one(f, Some(header_names(&v.txn.response, a)))),
    row!("res.hdr_val", [Text, Int], 0, Int, |a, v, f| header_values(&v.txn.response, a, &mut |x| as_int(f, &x))),
    row!("res.hdrs", [], 0, Text, |_, v, f| one(f, Some(all_headers(&v.txn.response)))),
    row!("res.ver", [], 0, Text, |_, v, f| one(f, Some(response_version(v)))),
    row!("resp_ver", [], 0, Text, |_, v, f| one(f, Some(response_version(v)))),
    row!("scook", [Text], 0, Text, |a, v, f| response_cookies(a, v, f)),
    row!("scook_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| response_cookies(a, v, f))))),
    row!("shdr", [Text, Int], 0, Text, |a, v, f| header_values(&v.txn.response, a, f)),
    row!("shdr_cnt", [Text], 0, Int, |a, v, f| one(f, Some(count(|f| header_values(&v.txn.response, a, f))))),
    row!("shdr_ip", [Text, Int], 0, Address, |a, v, f| header_values(&v.txn.response, a, &mut |x| as_address(f, &x))),
    row!("shdr_val", [Text, Int], 0, Int, |a, v, f| header_values(&v.txn.response, a, &mut |x| as_int(f, &x))),
    row!("so_name", [], 0, Text, |_, v, f| one(f, Some(Value::owned(v.session.listener.as_bytes().to_vec())))),
    row!("src", [], 0, Address, |_, v, f| one(f, address(v.session.source))),
    row!("src_is_local", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(v.session.source.ip().to_canonical().is_loopback() || v.session.source.ip() == v.session.destination.ip())))),
    row!("src_port", [], 0, Int, |_, v, f| one(f, port(v.session.source))),
    row!("srv_conn", [Server], 1, Int, |a, v, f| one(f, server(a, v).map(|found| int(found.counters.sessions.current())))),
    row!("srv_conn_free", [Server], 1, Int, |a, v, f| one(f, server(a, v).map(|found| server_free(&found)))),
    row!("srv_id", [], 0, Int, |_, v, f| one(f, v.txn.server.as_ref().map(|found| int(found.sid)))),
    row!("srv_is_up", [Server], 1, Bool, |a, v, f| one(f, server(a, v).map(|found| Value::Bool(found.usability() != Usability::Down)))),
    row!("srv_iweight", [Server], 1, Int, |a, v, f| one(f, server(a, v).map(|found| int(found.config.weight)))),
    row!("srv_name", [], 0, Text, |_, v, f| one(f, v.txn.server.as_ref().map(|found| Value::text(found.name.as_bytes())))),
    row!("srv_sess_rate", [Server], 1, Int, |a, v, f| one(f, server(a, v).map(|found| int(found.counters.rate.rate(v.now_us / 1000))))),
    row!("srv_weight", [Server], 1, Int, |a, v, f| one(f, server(a, v).map(|found| int(found.user_weight.load(std::sync::atomic::Ordering::Relaxed))))),
    row!("ssl_c_ca_err", [], 0, Int, |_, v, f| one(f, v.session.tls.as_ref().map(|_| Value::Int(0)))),
    row!("ssl_c_err", [], 0, Int, |_, v, f| one(f, v.session.tls.as_ref().map(|_| Value::Int(0)))),
    row!("ssl_fc", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(v.session.tls.is_some())))),
    row!("ssl_fc_alpn", [], 0, Text, |_, v, f| one(f, v.session.tls.as_ref().and_then(|tls| tls.alpn.as_deref()).map(|found| Value::text(found.as_bytes())))),
    row!("ssl_fc_cipher", [], 0, Text, |_, v, f| one(f, v.session.tls.as_ref().map(|tls| Value::text(tls.cipher.as_bytes())))),
    row!("ssl_fc_err", [], 0, Int, |_, v, f| one(f, v.session.tls.as_ref().map(|_| Value::Int(0)))),
    row!("ssl_fc_has_crt", [], 0, Bool, |_, _, f| one(f, Some(Value::Bool(false)))),
    row!("ssl_fc_has_sni", [], 0, Bool, |_, v, f| one(f, Some(Value::Bool(v.session.tls.as_ref().is_some_and(|tls| tls.sni.is_some()))))),
    row!("ssl_fc_is_resumed", [], 0, Bool, |_, v, f| one(f, v.session.tls.as_ref().map(|tls| Value::Bool(tls.resumed)))),
    row!("ssl_fc_protocol", [], 0, Text, |_, v, f| one(f, v.session.tls.as_ref().map(|tls| Value::text(tls.version.as_bytes())))),
    row!("ssl_fc_sni", [], 0, Text, |_, v, f| one(f, v.session.tls.as_ref().and_then(|tls| tls.sni.as_deref()).map(|found| Value::text(found.as_bytes())))),
    row!("status", [], 0, Int, |_, v, f| one(f, (v.txn.response.status() != 0).then(|| int(v.txn.response.status())))),
    row!("stopping", [], 0, Bool, |_, _, f| one(f, Some(Value::Bool(false)))),
    row!("str", [Text], 1, Text, |a, _, f| one(f, Some(Value::text(a[0].as_text().as_bytes())))),
    row!("unique-id", [], 0, Text, |_, v, f| one(f, v.txn.variable("txn.unique-id").map(Value::text))),
    row!("url", [], 0, Text, |_, v, f| one(f, Some(Value::text(v.txn.request.target())))),
    row!("url_param", [Text, Text], 0, Text, |a, v, f| one(f, parameter(a, v))),
    row!("urlp", [Text, Text], 0, Text, |a, v, f| one(f, parameter(a, v))),
    row!("urlp_val", [Text, Text], 0, Int, |a, v, f| one(f, parameter(a, v).and_then(|found| found.as_int()).map(Value::Int))),
    row!("uuid", [Int], 0, Text, |_, v, f| one(f, Some(Value::owned(uuid(v).into_bytes())))),
    row!("var", [Variable, Text], 1, Any, |a, v, f| one(f, v.txn.variable(a[0].as_text()).or(a.get(1).map(|default| default.as_text().as_bytes())).map(Value::text))),
    row!("wait_end", [], 0, Bool, |_, v, f| one(f, stream::wait_end(v))),
];

type Visit<'v, 'a> = &'v mut dyn FnMut(Value<'a>) -> bool;

fn one<'a>(visit: Visit<'_, 'a>, value: Option<Value<'a>>) {
    if let Some(value) = value {
        visit(value);
    }
}

/// The connection's own source and destination, whatever rules and a PROXY header say.
fn own_addresses(v: &View<'_>) -> (SocketAddr, SocketAddr) {
    match (&v.session.proxied, v.txn.told_addresses.as_deref()) {
        (None, Some(own)) => *own,
        _ => v.session.own_addresses(),
    }
}

/// An end of a connection; a unix socket has none.
fn address<'a>(end: SocketAddr) -> Option<Value<'a>> {
    (!end.ip().is_unspecified()).then(|| Value::Address(end.ip().to_canonical()))
}

/// Its port, as above.
fn port<'a>(end: SocketAddr) -> Option<Value<'a>> {
    (end.port() != 0).then(|| int(end.port()))
}

fn int<'a>(value: impl TryInto<i64>) -> Value<'a> {
    Value::Int(value.try_into().unwrap_or(i64::MAX))
}

fn as_int(visit: Visit<'_, '_>, value: &Value<'_>) -> bool {
    value.as_int().is_some_and(|found| visit(Value::Int(found)))
}

fn as_address(visit: Visit<'_, '_>, value: &Value<'_>) -> bool {
    value
        .as_address()
        .is_some_and(|found| visit(Value::Address(found)))
}

fn count<'a, 'b>(run: impl FnOnce(Visit<'_, 'a>)) -> Value<'b> {
    let mut found = 0;
    run(&mut |_| {
        found += 1;
        false
    });
    Value::Int(found)
}

fn backend<'a>(arguments: &[Argument], view: &View<'a>) -> Option<&'a Backend> {
    match arguments.first()? {
        Argument::Backend(id) => view.environment.backend(*id).map(|found| &**found),
        _ => None,
    }
}

fn frontend<'a>(arguments: &[Argument], view: &View<'a>) -> Option<&'a crate::state::Frontend> {
    match arguments.first()? {
        Argument::Frontend(id) => view
            .environment
            .frontends
            .get(id.0 as usize)
            .map(|found| &**found),
        _ => None,
    }
}

fn server(arguments: &[Argument], view: &View<'_>) -> Option<Arc<crate::state::Server>> {
    match arguments.first()? {
        Argument::Server(backend, server) => view.environment.backend(*backend)?.server(*server),
        _ => None,
    }
}

/// `be_conn_free`: places left, or -1 if a usable server has no limit (manual 7.3.2).
fn free_connections<'a>(backend: &Backend) -> Value<'a> {
    let mut free = 0;
    for server in backend.servers.now().iter() {
        if server.usability() != Usability::Up {
            continue;
        }
        match server_free(server) {
            Value::Int(-1) => return Value::Int(-1),
            Value::Int(places) => free += places,
            _ => {}
        }
    }
    Value::Int(free)
}

fn server_free<'a>(server: &crate::state::Server) -> Value<'a> {
    let limit = server.maxconn.load(std::sync::atomic::Ordering::Relaxed);
    if limit == 0 {
        return Value::Int(-1);
    }
    int(u64::from(limit).saturating_sub(server.counters.sessions.current()))
}

fn path<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    let path = view.txn.request.path();
    // A target such as `*` or `host:port` (CONNECT) has no path.
    path.starts_with(b"/").then_some(path)
}

fn path_and_query(head: &Head) -> Option<&[u8]> {
    let path = head.path();
    if !path.starts_with(b"/") {
        return None;
    }
    let target = head.target();
    let start = (path.as_ptr() as usize).checked_sub(target.as_ptr() as usize);
    match start {
        Some(start) if start <= target.len() => Some(&target[start..]),
        // The path of `http://host` is a constant slash outside of the target.
        _ => Some(path),
    }
}

/// `base`: the first Host header's value followed by the path.
fn base(head: &Head, with_query: bool) -> Vec<u8> {
    let mut text = head.header(b"host").unwrap_or(b"").to_vec();
    let rest = if with_query {
        path_and_query(head)
    } else {
        Some(head.path()).filter(|path| path.starts_with(b"/"))
    };
    text.extend_from_slice(rest.unwrap_or(b""));
    text
}

fn captured<'a>(slots: &'a [Vec<u8>], arguments: &[Argument]) -> Option<Value<'a>> {
    let index = usize::try_from(arguments[0].as_int()).ok()?;
    slots
        .get(index)
        .filter(|slot| !slot.is_empty())
        .map(|slot| Value::text(slot))
}

fn request_line_part<'a>(view: &View<'a>, part: usize) -> Option<Value<'a>> {
    view.txn
        .request_line
        .split(|byte| *byte == b' ')
        .nth(part)
        .map(Value::text)
}

/// `hdr(name[,occurrence])`: values are what commas separate; without a name, those of all headers.
fn header_values<'a>(head: &'a Head, arguments: &[Argument], visit: Visit<'_, 'a>) {
    pick(arguments.get(1), visit, |visit| {
        for (name, value) in head.iter() {
            if !is_wanted(arguments, name) {
                continue;
            }
            for part in comma_parts(value) {
                if visit(Value::text(part)) {
                    return;
                }
            }
        }
    });
}

/// `req.fhdr(name[,occurrence])`: whole lines.
fn full_headers<'a>(head: &'a Head, arguments: &[Argument], visit: Visit<'_, 'a>) {
    pick(arguments.get(1), visit, |visit| {
        for (name, value) in head.iter() {
            if is_wanted(arguments, name) && visit(Value::text(value)) {
                return;
            }
        }
    });
}

fn is_wanted(arguments: &[Argument], name: &[u8]) -> bool {
    arguments
        .first()
        .is_none_or(|wanted| name.eq_ignore_ascii_case(wanted.as_text().as_bytes()))
}

/// Visits all values, or one of them: counted from 1, or from the end if negative.
fn pick<'a>(occurrence: Option<&Argument>, visit: Visit<'_, 'a>, run: impl FnOnce(Visit<'_, 'a>)) {
    match occurrence.map_or(0, Argument::as_int) {
        0 => run(visit),
        wanted @ 1.. => {
            let mut position = 0;
            run(&mut |value| {
                position += 1;
                position == wanted && {
                    visit(value);
                    true
                }
            });
        }
        wanted => {
            let mut all = Vec::new();
            run(&mut |value| {
                all.push(value);
                false
            });
            let back = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
            if let Some(at) = all.len().checked_sub(back) {
                visit(all.swap_remove(at));
            }
        }
    }
}

/// The parts of a header's value between commas that no quotes protect.
pub(crate) fn comma_parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return true,
                _ => {}
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
}

fn header_names<'a>(head: &Head, arguments: &[Argument]) -> Value<'a> {
    let separator = arguments.first().map_or(",", Argument::as_text);
    let mut text = Vec::new();
    for (name, _) in head.iter() {
        if !text.is_empty() {
            text.extend_from_slice(separator.as_bytes());
        }
        text.extend_from_slice(&name.to_ascii_lowercase());
    }
    Value::owned(text)
}

fn all_headers<'a>(head: &Head) -> Value<'a> {
    let mut text = Vec::new();
    for (name, value) in head.iter() {
        text.extend_from_slice(&name.to_ascii_lowercase());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    Value::owned(text)
}

fn request_cookies<'a>(arguments: &[Argument], view: &View<'a>, visit: Visit<'_, 'a>) {
    for line in view.txn.request.headers(b"cookie") {
        for (name, value) in cookie_pairs(line) {
            if is_named(arguments, name) && visit(Value::text(value)) {
                return;
            }
        }
    }
}

fn response_cookies<'a>(arguments: &[Argument], view: &View<'a>, visit: Visit<'_, 'a>) {
    for line in view.txn.response.headers(b"set-cookie") {
        if let Some((name, value)) = cookie_pairs(line).next()
            && is_named(arguments, name)
            && visit(Value::text(value))
        {
            return;
        }
    }
}

fn is_named(arguments: &[Argument], name: &[u8]) -> bool {
    arguments
        .first()
        .is_none_or(|wanted| name == wanted.as_text().as_bytes())
}

/// Name and value of each cookie of a `Cookie` line.
pub(crate) fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
    })
}

/// The value of a query's parameter.
fn parameter<'a>(arguments: &[Argument], view: &View<'a>) -> Option<Value<'a>> {
    let wanted = arguments.first()?.as_text().as_bytes();
    let target = view.txn.request.target();
    let delimiter = arguments
        .get(1)
        .and_then(|delimiter| delimiter.as_text().bytes().next())
        .unwrap_or(b'?');
    let query = &target[memchr::memchr(delimiter, target)? + 1..];
    query
        .split(|byte| matches!(byte, b'&' | b';'))
        .find_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            (&pair[..at] == wanted).then(|| Value::text(&pair[at + 1..]))
        })
}

/// The values of a parameter in a body of `application/x-www-form-urlencoded`, or of all without a name.
fn body_parameters<'a>(
    arguments: &[Argument],
    view: &View<'a>,
    found: &mut dyn FnMut(Value<'a>) -> bool,
) {
    let wanted = arguments.first().map(|name| name.as_text().as_bytes());
    for pair in view.txn.body.split(|byte| *byte == b'&') {
        let Some(at) = memchr::memchr(b'=', pair) else {
            continue;
        };
        if wanted.is_none_or(|wanted| wanted == &pair[..at]) && found(Value::text(&pair[at + 1..]))
        {
            return;
        }
    }
}

/// The length that the request tells, or what is here of a body without one.
fn body_size<'a>(view: &View<'_>) -> Value<'a> {
    let told = view.txn.request.header(b"content-length");
    let told = told.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Value::Int(told.unwrap_or(view.txn.body.len() as i64))
}

fn major(view: &View<'_>) -> i64 {
    if view.session.is_http2 { 2 } else { 1 }
}

fn version<'a>(view: &View<'a>) -> Value<'a> {
    match (major(view), view.txn.request.minor_version()) {
        (2, _) => Value::text(b"2.0"),
        (_, 0) => Value::text(b"1.0"),
        _ => Value::text(b"1.1"),
    }
}

fn response_version<'a>(view: &View<'a>) -> Value<'a> {
    match view.txn.response.minor_version() {
        0 => Value::text(b"1.0"),
        _ => Value::text(b"1.1"),
    }
}

/// User and password of a Basic `Authorization` header (RFC 7617).
pub(crate) fn credentials(head: &Head) -> Option<(Vec<u8>, Vec<u8>)> {
    credentials_in(head, b"authorization")
}

/// The field in which a request shows who it comes from.
fn authorization(view: &View<'_>) -> &'static [u8] {
    if view.txn.is_to_proxy {
        b"proxy-authorization"
    } else {
        b"authorization"
    }
}

fn own_credentials(view: &View<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    credentials_in(&view.txn.request, authorization(view))
}

fn credentials_in(head: &Head, field: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = head.header(field)?;
    let at = memchr::memchr(b' ', value)?;
    if !value[..at].eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let plain = super::base64::decode(value[at + 1..].trim_ascii())?;
    let colon = memchr::memchr(b':', &plain)?;
    Some((plain[..colon].to_vec(), plain[colon + 1..].to_vec()))
}

/// Compares secrets in a time that does not tell where they differ.
pub(crate) fn same_secret(left: &[u8], right: &[u8]) -> bool {
    let mut difference = left.len() ^ right.len();
    for (index, byte) in right.iter().enumerate() {
        difference |= usize::from(byte ^ left.get(index).copied().unwrap_or(0));
    }
    std::hint::black_box(difference) == 0
}

/// The groups of the user who has shown the right password.
fn authenticate<'a>(arguments: &'a [Argument], view: &View<'a>) -> Option<&'a [String]> {
    let Argument::Users(list) = arguments.first()? else {
        return None;
    };
    let (user, password) = own_credentials(view)?;
    let mut groups = None;
    for (name, wanted, _, memberships) in &list.users {
        let same = same_secret(&user, name.as_bytes()) & same_secret(&password, wanted.as_bytes());
        if same {
            groups = Some(memberships.as_slice());
        }
    }
    groups
}

fn now_seconds() -> i64 {
    (protocol::event::now_ms() / 1000) as i64
}

fn random_bits(view: &View<'_>) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(view.now_us);
    hasher.write_u64(view.session.id);
    hasher.finish()
}

fn random<'a>(arguments: &[Argument], view: &View<'_>) -> Value<'a> {
    let bits = random_bits(view) >> 32;
    match arguments
        .first()
        .and_then(|range| u64::try_from(range.as_int()).ok())
    {
        Some(range @ 1..) => int(bits % range),
        _ => int(bits),
    }
}

/// A random UUID of version 4 (RFC 9562 5.4).
fn uuid(view: &View<'_>) -> String {
    let (high, low) = (random_bits(view), random_bits(view));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|row| row.name));
    }

    #[test]
    fn commas_in_quotes_do_not_separate() {
        let parts: Vec<_> = comma_parts(br#"a, "b,c" ,d"#).collect();
        assert_eq!(parts, [&b"a"[..], br#""b,c""#, b"d"]);
    }

    #[test]
    fn secrets_are_compared_in_full() {
        assert!(same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"abc", b"abd"));
        assert!(!same_secret(b"ab", b"abc"));
        assert!(!same_secret(b"abc", b"ab"));
    }
}
