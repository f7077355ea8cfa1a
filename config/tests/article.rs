//! The configurations of the article: our own layout of them in `examples/`, and the article's own files
//! unchanged where they lie beside the workspace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_config::haproxy::{
    Account, Balance, BindAddress, ConnectionMode, CookieMode, LogAddress, Mode, TrafficLog,
};
use tandem_config::keepalived::{Authentication, InitialState, ScriptKind};
use tandem_config::{DiagnosticKind, Input, Loaded, Severity, load};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Our own file, and the article's if it is there; its `defaults` section stands before all but the first.
fn each(name: &str, check: impl Fn(&Loaded)) {
    check(&load(
        &[Input::path(workspace().join("examples").join(name))],
        &|_| None,
    ));
    let article = workspace().join("../shared/article");
    let Ok(text) = std::fs::read_to_string(article.join(name)) else {
        eprintln!("skipped: the article's own {name} is not beside the workspace");
        return;
    };
    let text = match text.contains("defaults section stands before") {
        true => {
            let base = std::fs::read_to_string(article.join("haproxy.cfg"))
                .expect("the article's first file");
            let defaults = base.find("defaults").expect("its defaults section")
                ..base.find("frontend").expect("the next");
            base[defaults].to_owned() + &text
        }
        false => text,
    };
    check(&load(&[Input::text(name, text)], &|_| None));
}

fn no_complaints(loaded: &Loaded) {
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
}

#[test]
fn the_first_proxy_file_is_understood() {
    each("haproxy.cfg", |loaded| {
        no_complaints(loaded);
        let config = loaded.haproxy.as_ref().expect("a proxy configuration");
        let global = &config.global;
        assert_eq!(global.maxconn, Some(4000));
        assert!(global.daemon);
        assert!(matches!(&global.user, Some(Account::Name(name)) if name.text == "haproxy"));
        assert!(matches!(&global.group, Some(Account::Name(name)) if name.text == "haproxy"));
        assert_eq!(
            global.chroot.as_ref().map(|word| word.as_str()),
            Some("/var/lib/haproxy")
        );
        assert_eq!(
            global.pidfile.as_ref().map(|word| word.as_str()),
            Some("/var/run/haproxy.pid")
        );
        assert_eq!(global.logs[0].address, LogAddress::Unix("/dev/log".into()));
        assert_eq!(global.logs[0].facility, 16);
        let [main, nginx] = &config.proxies[..] else {
            panic!("two proxies")
        };
        assert_eq!((main.id, nginx.id), (2, 3));
        assert_eq!(main.mode, Mode::Http);
        assert_eq!(
            main.binds[0].address,
            BindAddress::Tcp {
                address: None,
                port: 80
            }
        );
        assert_eq!(
            main.default_backend.as_ref().map(|word| word.as_str()),
            Some("nginx")
        );
        assert_eq!(main.traffic_log, TrafficLog::Http);
        assert_eq!(main.connection_mode, ConnectionMode::ServerClose);
        assert!(main.dontlognull);
        assert_eq!(main.logs, global.logs);
        assert_eq!(main.timeouts.client, Some(Duration::from_secs(60)));
        assert_eq!(main.timeouts.http_request, Some(Duration::from_secs(10)));
        assert_eq!(
            main.timeouts.server, None,
            "a frontend has no server's timeout"
        );
        let forwardfor = main.forwardfor.as_ref().expect("forwardfor");
        assert_eq!(
            forwardfor.except,
            Some("127.0.0.0/8".parse().expect("a network"))
        );
        assert_eq!(nginx.redispatch, Some(-1));
        assert_eq!(nginx.retries, 3);
        assert_eq!(nginx.balance, Balance::RoundRobin);
        assert_eq!(nginx.timeouts.queue, Some(Duration::from_secs(60)));
        let check = nginx.servers[0].check.as_ref().expect("a check");
        assert_eq!(
            (check.inter, check.rise, check.fall),
            (Duration::from_secs(3), 1, 2)
        );
        let check = nginx.servers[1].check.as_ref().expect("a check");
        assert_eq!(
            (check.inter, check.rise, check.fall),
            (Duration::from_secs(2), 2, 3)
        );
    });
}

#[test]
fn the_vrrp_file_is_understood() {
    each("keepalived.conf", |loaded| {
        assert!(loaded.haproxy.is_none());
        let complaints = &loaded.diagnostics.0;
        assert!(
            complaints
                .iter()
                .all(|one| one.severity == Severity::Warning
                    && one.kind == DiagnosticKind::Pointless)
        );
        assert_eq!(
            complaints.len(),
            2,
            "nopreempt and preempt_delay do nothing with state MASTER"
        );
        let config = loaded.keepalived.as_ref().expect("a VRRP configuration");
        assert_eq!(config.global.notification_email, ["sysadmin@example.com"]);
        assert_eq!(
            config.global.smtp_server,
            Some(("127.0.0.1".to_owned(), 25))
        );
        assert_eq!(config.global.smtp_connect_timeout, Duration::from_secs(60));
        let script = &config.scripts[0];
        assert_eq!(script.kind, ScriptKind::ProxyAlive);
        assert_eq!(
            (script.interval, script.weight, script.fall, script.rise),
            (Duration::from_secs(2), -2, 3, 1)
        );
        assert_eq!(script.timeout, script.interval);
        let instance = &config.instances[0];
        assert_eq!(
            (instance.name.as_str(), instance.interface.as_str()),
            ("R1", "eth0")
        );
        assert_eq!(instance.state, InitialState::Master);
        assert_eq!((instance.virtual_router_id, instance.priority), (50, 100));
        assert_eq!(
            instance.authentication,
            Some(Authentication::Pass(*b"passwd\0\0"))
        );
        assert_eq!(instance.virtual_addresses[0].prefix_length, 32);
        assert_eq!(
            (
                instance.tracks.scripts[0].item,
                instance.tracks.scripts[0].weight
            ),
            (0, -2)
        );
        assert!(!instance.nopreempt);
        assert_eq!(instance.preempt_delay, Duration::ZERO);
    });
}

#[test]
fn persistence_by_source_is_understood() {
    each("l4-persistence.cfg", |loaded| {
        assert!(!loaded.diagnostics.has_errors());
        let config = loaded.haproxy.as_ref().expect("a proxy configuration");
        assert_eq!(config.proxies[0].mode, Mode::Tcp);
        assert_eq!(
            config.proxies[0].traffic_log,
            TrafficLog::Tcp,
            "httplog falls back"
        );
        assert_eq!(config.proxies[1].balance, Balance::Source);
        assert_eq!(
            config.proxies[1].servers[0].cookie, None,
            "TCP has no cookies"
        );
    });
}

#[test]
fn persistence_by_cookie_is_understood() {
    each("l7-cookie.cfg", |loaded| {
        assert!(!loaded.diagnostics.has_errors());
        let config = loaded.haproxy.as_ref().expect("a proxy configuration");
        let cookie = config.proxies[1].cookie.as_ref().expect("a cookie");
        assert_eq!(
            (cookie.name.as_str(), cookie.mode),
            ("WEBSRV", CookieMode::Insert)
        );
        assert!(cookie.indirect && cookie.nocache && !cookie.postonly);
        assert_eq!(config.proxies[1].servers[1].cookie.as_deref(), Some("web3"));
    });
}

#[test]
fn tls_and_routing_are_understood() {
    each("ssl-path-host.cfg", |loaded| {
        no_complaints(loaded);
        let config = loaded.haproxy.as_ref().expect("a proxy configuration");
        assert_eq!(config.global.stats_sockets.len(), 1);
        let main = &config.proxies[0];
        assert_eq!(main.binds.len(), 2);
        let tls = main.binds[1].tls.as_ref().expect("TLS");
        assert_eq!(tls.certificates[0].as_str(), "/etc/ssl/certs/web.pem");
        let words: Vec<&str> = main.redirects[0]
            .words
            .iter()
            .map(|word| word.as_str())
            .collect();
        assert_eq!(words, ["scheme", "https", "if", "!{", "ssl_fc", "}"]);
        assert_eq!(main.acls.len(), 4);
        assert_eq!(main.acls[2].words[0].as_str(), "hdr_beg(host)");
        let uses: Vec<&str> = main
            .use_backends
            .iter()
            .map(|line| line.backend.as_str())
            .collect();
        assert_eq!(uses, ["test1", "test2", "test1", "test2"]);
        assert_eq!(main.use_backends[0].condition.len(), 2);
        assert_eq!(
            main.logs[0].address,
            LogAddress::Udp {
                host: "127.0.0.1".into(),
                port: 514
            }
        );
    });
}

#[test]
fn a_directory_is_read_in_order_and_both_languages_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("20-web.cfg", "frontend b\n bind :81\n");
    write(
        "10-base.cfg",
        "global\n maxconn 5\ndefaults\n timeout client 1s\nfrontend a\n bind :80",
    );
    write(
        "30-vip.conf",
        "vrrp_instance A {\n interface e\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n}",
    );
    write("notes.txt", "this is not read");
    write(".hidden.cfg", "nor is this");
    let loaded = load(&[Input::path(folder.path())], &|_| None);
    no_complaints(&loaded);
    let config = loaded.haproxy.expect("a proxy configuration");
    let names: Vec<&str> = config
        .proxies
        .iter()
        .map(|proxy| proxy.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        config.proxies[1].timeouts.client,
        Some(Duration::from_secs(1)),
        "defaults reach over files"
    );
    assert_eq!(
        loaded
            .keepalived
            .expect("a VRRP configuration")
            .instances
            .len(),
        1
    );
}
