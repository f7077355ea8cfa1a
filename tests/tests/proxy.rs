//! The article's other files on one node: persistence by source and by cookie, TLS and redirect, routing by path and by
//! host; and servers that die and come back under traffic. The same runs on haproxy, to know that the test is right.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_tests::scenario::{NODE, Single, node_address, summary};
use tandem_tests::sinks::Syslog;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Lab, Nginx, Node, NodeFiles, NodeKind, Origin, Outcome, ProbeOptions, Prober, article,
    certificate, ensure, http, on_both, require,
};

const LIMIT: Duration = Duration::from_secs(10);

fn persistence_by_source(kind: NodeKind) -> Outcome {
    persistence_by_source_with(kind, article::l4_persistence())
}

fn persistence_by_source_with(kind: NodeKind, text: String) -> Outcome {
    let setup = Single::start(kind, NodeFiles::proxy(text))?;
    let url = format!("http://{NODE}/");
    for from in 1..=4 {
        let servers = (0..6)
            .map(|_| Ok(setup.ask(from, &[&url])?.server().to_owned()))
            .collect::<Outcome<BTreeSet<_>>>()?;
        ensure!(
            servers.len() == 1,
            "client {from} was sent to several servers: {servers:?}"
        );
        ensure!(
            servers.is_subset(&["web1".into(), "web3".into()].into()),
            "a server not in the file: {servers:?}"
        );
    }
    Ok(())
}

fn persistence_by_cookie(kind: NodeKind) -> Outcome {
    persistence_by_cookie_with(kind, article::l7_cookie())
}

fn persistence_by_cookie_with(kind: NodeKind, text: String) -> Outcome {
    let setup = Single::start(kind, NodeFiles::proxy(text))?;
    let url = format!("http://{NODE}/");
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let first = setup.ask(1, &[&url])?;
        let server = first.server().to_owned();
        let cookie = first.header("set-cookie").unwrap_or_default().to_owned();
        ensure!(
            cookie == format!("WEBSRV={server}; path=/"),
            "{server} came with the cookie {cookie:?}"
        );
        for _ in 0..4 {
            let value = format!("WEBSRV={server}");
            let again = setup.ask(1, &["--cookie", &value, &url])?;
            ensure!(
                again.server() == server,
                "the cookie of {server} led to {}",
                again.server()
            );
            ensure!(
                again.header("set-cookie").is_none(),
                "the cookie is set again though it came: {again:?}"
            );
        }
        seen.insert(server);
    }
    ensure!(
        seen.len() == 2,
        "without a cookie one server alone answers: {seen:?}"
    );
    // `nocache`: a shared cache must not hand out the cookie.
    let cacheable = setup.ask(1, &[&format!("http://{NODE}/cacheable")])?;
    let private = cacheable
        .headers
        .iter()
        .any(|(name, value)| name == "cache-control" && value.contains("private"));
    ensure!(private, "nocache left no mark: {cacheable:?}");
    // `indirect`: the server does not see the cookie, but sees the others.
    let echo = setup.ask(
        1,
        &[
            "--cookie",
            "WEBSRV=web1; other=1",
            &format!("http://{NODE}/echo"),
        ],
    )?;
    ensure!(
        echo.body.contains("cookie=other=1\n"),
        "the server saw {}",
        echo.body
    );
    ensure!(
        echo.body.contains("forwarded-for=10.230.200.1\n"),
        "the server saw {}",
        echo.body
    );
    Ok(())
}

fn tls_redirect_and_routing(kind: NodeKind) -> Outcome {
    tls_redirect_and_routing_with(kind, article::ssl_path_host())
}

fn tls_redirect_and_routing_with(kind: NodeKind, text: String) -> Outcome {
    let pem = certificate::pem(&["www.test1.com", "www.test2.com"])?;
    let setup = Single::start(
        kind,
        NodeFiles::proxy(text).with("/etc/ssl/certs/web.pem", pem),
    )?;
    let plain = setup.ask(1, &[&format!("http://{NODE}/test1/x?y=1")])?;
    ensure!(plain.status == 302, "plain HTTP gives {}", plain.status);
    let location = plain.header("location").unwrap_or_default();
    ensure!(
        location == format!("https://{NODE}/test1/x?y=1"),
        "redirected to {location}"
    );
    let secure = |host: &str, path: &str| {
        let resolve = format!("{host}:443:{NODE}");
        setup.ask(
            1,
            &["--resolve", &resolve, &format!("https://{host}{path}")],
        )
    };
    for (host, path, server) in [
        ("www.example.com", "/", "web1"),
        ("www.example.com", "/test1/a", "web2"),
        ("www.example.com", "/test2/a", "web3"),
        ("www.test1.com", "/", "web2"),
        ("www.test2.com", "/", "web3"),
        ("www.test2.com", "/test1", "web2"),
    ] {
        let answer = secure(host, path)?;
        ensure!(
            answer.status == 200,
            "https://{host}{path} gives {}",
            answer.status
        );
        ensure!(
            answer.server() == server,
            "https://{host}{path} was answered by {}, not {server}",
            answer.server()
        );
    }
    Ok(())
}

/// A server dies under traffic: after the check has seen it no request fails; it comes back and is used again.
fn a_server_dies_and_returns(kind: NodeKind) -> Outcome {
    let quick = article::haproxy().replace(
        "check inter 3s rise 1 fall 2",
        "check inter 300ms rise 1 fall 2",
    );
    let mut setup = Single::start(
        kind,
        NodeFiles::proxy(
            quick.replace("host2:80 check", "host2:80 check inter 300ms rise 1 fall 2"),
        ),
    )?;
    let client = setup.lab.host("client").clone();
    let both = |prober: &Prober, what: &str| {
        wait_for(what, LIMIT, || {
            let now = prober.now();
            let recent = prober
                .report()
                .between(now.saturating_sub(Duration::from_millis(300)), now);
            if recent.servers().len() == 2 {
                Ok(())
            } else {
                Err(summary(&recent))
            }
        })
    };
    let options = ProbeOptions {
        timeout: Duration::from_secs(5),
        ..ProbeOptions::new(node_address())
    };
    let prober = Prober::start(&client, options)?;
    both(&prober, "answers of both servers at first")?;

    let killed = prober.now();
    setup.webs[0].kill();
    // The check looks every 300 ms and wants two failures.
    let seen = wait_for("the check to have seen it", LIMIT, || {
        let now = prober.now();
        let recent = prober
            .report()
            .between(now.saturating_sub(Duration::from_millis(200)), now);
        let only_web2 = recent.servers().keys().eq(["web2"]) && recent.failures().is_empty();
        if only_web2 && now > killed + Duration::from_millis(900) {
            Ok(now)
        } else {
            Err(summary(&recent))
        }
    })?;
    prober.wait_answer_after(seen + Duration::from_secs(1), LIMIT)?;
    let after = prober.report().between(seen, Duration::MAX);
    ensure!(
        after.failures().is_empty(),
        "requests failed after the check had seen it: {}",
        summary(&after)
    );
    // `retries 3` with `redispatch`: those in between were retried on the other server.
    let between = prober.report().between(killed, seen);
    println!("between death and check: {}", summary(&between));

    setup.webs[0].up()?;
    both(&prober, "the server to be used again")?;
    let all = prober.finish();
    println!("all in all: {}", summary(&all));
    let failures = all.failures().len();
    // Those under way at the moment of death were answered in part or not at all; there cannot be many.
    ensure!(
        failures <= 5,
        "{failures} requests failed: {}",
        summary(&all)
    );
    Ok(())
}

/// A log line for every request, on `/dev/log`, in the format `option httplog` names.
fn requests_are_logged(kind: NodeKind) -> Outcome {
    let lab = Lab::start()?;
    // haproxy looks for the socket again after it has changed its root; ours keeps the one it opened before.
    let path = if kind == NodeKind::Peer {
        "/var/lib/haproxy/dev/log"
    } else {
        "/dev/log"
    };
    let syslog = Syslog::on_path(lab.host("a"), path)?;
    let _webs = [Nginx::start(&lab, "web1")?, Nginx::start(&lab, "web2")?];
    let _node = Node::start(&lab, "a", kind, NodeFiles::proxy(article::haproxy()))?;
    let answer = http::get(lab.host("client"), node_address(), "/?logged", &[])?;
    ensure!(answer.status == 200, "status {}", answer.status);
    let line = syslog.wait_for("/?logged", LIMIT)?;
    ensure!(
        line.starts_with("<134>"),
        "facility and level are wrong: {line}"
    );
    ensure!(
        line.contains(" main nginx/web"),
        "the names are wrong: {line}"
    );
    ensure!(line.contains(" ---- "), "the termination is wrong: {line}");
    ensure!(
        line.ends_with("\"GET /?logged HTTP/1.1\""),
        "the request is wrong: {line}"
    );
    Ok(())
}

/// A request whose server resets the connection is sent again, to another server at last.
fn a_refused_connection_is_retried_elsewhere(kind: NodeKind) -> Outcome {
    let lab = Lab::start()?;
    let web2 = Origin::start(lab.host("web2"), 80)?;
    // No checks: web1 refuses and nobody knows.
    let config = article::with_defaults(
        "frontend main\nbind :80\ndefault_backend nginx\nbackend nginx\nbalance roundrobin\nserver web1 host1:80\nserver web2 host2:80\n",
    );
    let config = config.replace("timeout connect 10s", "timeout connect 100ms");
    let _node = Node::start(&lab, "a", kind, NodeFiles::proxy(config))?;
    for _ in 0..4 {
        let answer = http::get(lab.host("client"), node_address(), "/", &[])?;
        ensure!(
            answer.status == 200 && answer.server() == "web2",
            "{answer:?}"
        );
    }
    ensure!(
        web2.requests().len() == 4,
        "{} requests reached web2",
        web2.requests().len()
    );
    Ok(())
}

/// The article's own files to the byte, where they lie beside the project, with its defaults section before them.
#[test]
fn the_articles_own_files_do_the_same() -> Outcome {
    require!("root", "users", "tandemd", "nginx", "curl");
    let Some(first) = article::original("haproxy.cfg") else {
        println!(
            "the article's own files are not beside the project; examples/ is used by the other tests"
        );
        return Ok(());
    };
    let whole = |name: &str| {
        let rest = article::original(name).unwrap_or_default();
        format!("{}{rest}", article::defaults_of(&first))
    };
    persistence_by_source_with(NodeKind::Tandem, whole("l4-persistence.cfg"))?;
    persistence_by_cookie_with(NodeKind::Tandem, whole("l7-cookie.cfg"))?;
    tls_redirect_and_routing_with(NodeKind::Tandem, whole("ssl-path-host.cfg"))
}

on_both!(
    persistence_by_source,
    persistence_by_cookie,
    tls_redirect_and_routing,
    a_server_dies_and_returns,
    requests_are_logged,
    a_refused_connection_is_retried_elsewhere
);
