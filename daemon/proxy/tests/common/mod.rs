//! What the tests of rules share: a configuration from text, a session, a request.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use config::Diagnostics;
use config::haproxy::HaproxyConfig;
use tandem_proxy::rules::{self, CompiledRules, Context, Verdict};
use tandem_proxy::sample::{Environment, Names};
use tandem_proxy::state::{
    Backend, BackendId, Frontend, FrontendCounters, FrontendId, Server, ServerId,
};
use tandem_proxy::txn::{Session, Transaction};

/// A configuration that must be good.
pub(crate) fn configuration(text: &str) -> HaproxyConfig {
    let loaded = config::load(&[config::Input::text("test.cfg", text)], &|_| None);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.sources)
    );
    loaded.haproxy.expect("a proxy")
}

/// Frontends and backends as the worker builds them.
pub(crate) fn environment(config: &HaproxyConfig) -> Environment {
    let mut environment = Environment {
        node: "node".to_owned(),
        pid: 1,
        ..Environment::default()
    };
    for (index, proxy) in config.proxies.iter().enumerate() {
        let http = proxy.mode == config::haproxy::Mode::Http;
        if proxy.kind.is_frontend() {
            environment.frontends.push(Arc::new(Frontend {
                id: FrontendId(environment.frontends.len() as u32),
                config_index: index,
                iid: proxy.id,
                name: proxy.name.text.clone(),
                http,
                maxconn: AtomicU32::new(0),
                session_rate_limit: 0,
                enabled: AtomicBool::new(true),
                counters: FrontendCounters::default(),
            }));
        }
        if proxy.kind.is_backend() {
            let servers = proxy
                .servers
                .iter()
                .enumerate()
                .map(|(at, server)| {
                    let address = Some(([127, 0, 0, 1], 80).into());
                    Arc::new(Server::new(
                        ServerId(at as u32),
                        proxy.name.text.clone(),
                        server.clone(),
                        address,
                        0,
                    ))
                })
                .collect();
            environment.backends.push(Arc::new(Backend::new(
                BackendId(environment.backends.len() as u32),
                index,
                proxy.id,
                proxy.name.text.clone(),
                http,
                servers,
            )));
        }
    }
    environment
}

/// A client's connection.
pub(crate) fn session(environment: &Environment) -> Session {
    Session {
        id: 1,
        frontend: Arc::clone(&environment.frontends[0]),
        listener: Arc::new("1".to_owned()),
        source: ([127, 0, 0, 1], 40_000).into(),
        destination: ([127, 0, 0, 1], 80).into(),
        accepted_wall_us: 1_795_000_000_123_456,
        accepted_us: 1_000,
        tls: None,
        is_http2: false,
        proxied: None,
    }
}

/// A request: its line, then its fields.
pub(crate) fn transaction(method: &str, target: &str, fields: &[(&str, &str)]) -> Transaction {
    let mut txn = Transaction::default();
    txn.request
        .start_request(method.as_bytes(), target.as_bytes(), 1);
    for (name, value) in fields {
        txn.request.add(name.as_bytes(), value.as_bytes());
    }
    txn.request_line = format!("{method} {target} HTTP/1.1").into_bytes();
    txn
}

/// The first proxy's rules, compiled without complaint.
pub(crate) fn compile(config: &HaproxyConfig) -> CompiledRules {
    let mut diagnostics = Diagnostics::default();
    let compiled = rules::compile(config, 0, &Names::of(config), &mut diagnostics);
    assert!(diagnostics.0.is_empty(), "{:?}", diagnostics.0);
    compiled
}

/// Complaints of the first proxy's rules.
pub(crate) fn complaints(text: &str) -> Vec<config::Diagnostic> {
    let config = configuration(text);
    let mut diagnostics = Diagnostics::default();
    let _ = rules::compile(&config, 0, &Names::of(&config), &mut diagnostics);
    diagnostics.0
}

/// Runs the request rules of the first proxy.
pub(crate) fn run(config: &HaproxyConfig, txn: &mut Transaction) -> (Verdict, Option<String>) {
    let environment = environment(config);
    let mut session = session(&environment);
    let rules = compile(config);
    let mut context = Context {
        session: &mut session,
        txn,
        now_us: 5_000,
        environment: &environment,
    };
    let verdict = rules.request(&mut context);
    let backend = rules
        .backend(&mut context)
        .map(|id| environment.backends[id.0 as usize].name.clone());
    (verdict, backend)
}
