//! What the proxy's language means, keyword by keyword, and what is complained about where.

use std::time::Duration;

use tandem_config::haproxy::*;
use tandem_config::{DiagnosticKind as Kind, Input, Loaded, Severity, Word, load};

const TIMEOUTS: &str = " timeout client 1s\n timeout server 1s\n timeout connect 1s\n";

fn read(text: &str) -> Loaded {
    load(&[Input::text("t.cfg", text)], &|name| {
        (name == "WHO").then(|| "world".to_owned())
    })
}

/// A text without errors.
fn good(text: &str) -> HaproxyConfig {
    let loaded = read(text);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.sources)
    );
    loaded.haproxy.expect("a configuration")
}

/// A `listen` section with some lines.
fn listen(lines: &str) -> ProxyConfig {
    let config = good(&format!(
        "global\n log 127.0.0.1 local0\nlisten l\n bind :80\n mode http\n{TIMEOUTS}{lines}\n"
    ));
    config.proxies.into_iter().next().expect("a proxy")
}

/// The complaints about a text as `line:column kind`, errors and warnings alike.
fn complaints(text: &str) -> Vec<String> {
    let loaded = read(text);
    loaded
        .diagnostics
        .0
        .iter()
        .filter(|one| one.severity > Severity::Notice)
        .map(|one| {
            let span = one.span.unwrap_or_default();
            let mark = if one.severity == Severity::Error {
                ""
            } else {
                "~"
            };
            format!("{mark}{}:{} {:?}", span.line, span.column, one.kind)
        })
        .collect()
}

fn check_complaints(text: &str, expected: &[&str]) {
    assert_eq!(complaints(text), expected, "{text}");
}

#[test]
fn all_errors_of_a_file_are_told_in_one_run() {
    let text = format!(
        "global\n maxcon 5\n stick-table x\nfrontend f\n bind 80\n blance x\n timeout client 3z\n{TIMEOUTS} stick-table type ip\n default_backend bb\nbackend b\n balanec roundrobin\n server s 1.2.3.4:80 chek\n"
    );
    check_complaints(
        &text,
        &[
            "2:2 UnknownWord",
            "3:2 UnknownWord",
            "5:7 InvalidValue",
            "6:2 UnknownWord",
            "7:17 InvalidValue",
            "~9:10 Pointless",
            "~10:10 Pointless",
            "11:2 NotSupportedYet",
            "14:2 UnknownWord",
            "15:22 UnknownWord",
            "12:18 UnknownName",
        ],
    );
}

#[test]
fn a_misspelt_word_gets_a_suggestion() {
    let check = |text: &str, help: &str| {
        let loaded = read(text);
        let found: Vec<&str> = loaded
            .diagnostics
            .0
            .iter()
            .filter_map(|one| one.help.as_deref())
            .collect();
        assert!(found.contains(&help), "{text}: {found:?}");
    };
    check("backend b\n blance roundrobin\n", "did you mean 'balance'?");
    check(
        "backend b\n balance roundrobbin\n",
        "did you mean 'roundrobin'?",
    );
    check("backend b\n option httpchek\n", "did you mean 'httpchk'?");
    check(
        "backend b\n server s 1.2.3.4:80 chek\n",
        "did you mean 'check'?",
    );
    check("backend b\n timeout conect 1s\n", "did you mean 'connect'?");
    check(
        "frontend f\n bind :80 acept-proxy\n",
        "did you mean 'accept-proxy'?",
    );
    check("global\n maxcon 5\n", "did you mean 'maxconn'?");
    check("globl\n maxconn 5\nlisten x\n", "did you mean 'global'?");
    check(
        "frontend f\n default_backend web\nbackend webs\n",
        "did you mean 'webs'?",
    );
}

#[test]
fn words_known_but_not_done_are_named() {
    for text in [
        "peers p\n peer a 1.2.3.4:5\n",
        "resolvers r\n nameserver a 1.2.3.4:53 ssl\n",
        "backend b\n stick on src\n",
        "frontend f\n bind :80 ssl crt-list x\n",
        "backend b\n server s 1.2.3.4:80 ws h1\n",
        "backend b\n option spop-check\n",
        "global\n lua-load x\n",
    ] {
        let loaded = read(text);
        let kinds: Vec<Kind> = loaded
            .diagnostics
            .0
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .map(|one| one.kind)
            .collect();
        assert_eq!(kinds, [Kind::NotSupportedYet], "{text}");
    }
}

#[test]
fn tuning_words_are_accepted_in_silence() {
    let text =
        "global\n tune.ssl.default-dh-param 2048\n tune.idletimer 5\n maxzlibmem 9\n cpu-map 1 0\n";
    let loaded = read(text);
    assert!(
        loaded
            .diagnostics
            .0
            .iter()
            .all(|one| one.severity == Severity::Notice)
    );
    assert_eq!(loaded.diagnostics.0.len(), 4);
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
}

#[test]
fn defaults_are_inherited_by_name_and_by_order() {
    let config = good(&format!(
        "defaults base\n mode http\n{TIMEOUTS} retries 7\n default-server inter 5s check\ndefaults tcp\n{TIMEOUTS} mode tcp\nlisten a from base\n bind :80\n server s 1.2.3.4:80\nlisten b\n bind :81\ndefaults\n mode http\n timeout client 9s\nfrontend c\n bind :82\n"
    ));
    let [a, b, c] = &config.proxies[..] else {
        panic!("three proxies")
    };
    assert_eq!(
        (a.mode, b.mode, c.mode),
        (Mode::Http, Mode::Tcp, Mode::Http)
    );
    assert_eq!((a.retries, b.retries), (7, 3));
    assert_eq!(
        a.servers[0].check.as_ref().map(|check| check.inter),
        Some(Duration::from_secs(5))
    );
    assert_eq!(c.timeouts.client, Some(Duration::from_secs(9)));
    check_complaints(
        "listen a from nobody\n bind :80\n timeout client 1s\n",
        &["1:15 UnknownName"],
    );
}

#[test]
fn repeated_global_sections_merge() {
    let config = good(
        "global\n maxconn 5\n nbthread 2\nlisten a\n bind :80\n timeout client 1s\nglobal\n maxconn 6\n",
    );
    assert_eq!(
        (config.global.maxconn, config.global.nbthread),
        (Some(6), Some(2))
    );
}

#[test]
fn one_bind_line_makes_a_socket_for_each_address() {
    let proxy = listen(" bind :81,127.0.0.1:82,[::]:83 name x maxconn 5\n bind 10.0.0.1:8000-8010");
    assert_eq!(proxy.binds.len(), 1 + 3 + 11);
    assert_eq!(proxy.binds[1].name.as_deref(), Some("x"));
    assert_eq!(proxy.binds[3].maxconn, Some(5));
}

#[test]
fn a_frontend_may_have_its_address_on_its_own_line() {
    let config = good("frontend f 127.0.0.1:80\n timeout client 1s\n");
    assert_eq!(config.proxies[0].binds.len(), 1);
}

#[test]
fn server_options_are_read() {
    let proxy = listen(
        " default-server inter 1s rise 5 cookie d\n server a 10.0.0.1:80 check fall 9 weight 7 maxconn 3 backup\n server b 10.0.0.2 disabled slowstart 10s send-proxy-v2 init-addr none,10.0.0.9 on-marked-down shutdown-sessions\n server c h:80 ssl verify none sni str(x) id 9\n server d /run/d.sock no-check\n source 10.0.0.5",
    );
    let [a, b, c, d] = &proxy.servers[..] else {
        panic!("four servers")
    };
    let check = a.check.as_ref().expect("a check");
    assert_eq!(
        (check.inter, check.rise, check.fall),
        (Duration::from_secs(1), 5, 9)
    );
    assert_eq!(
        (a.weight, a.maxconn, a.backup, a.cookie.as_deref()),
        (7, Some(3), true, Some("d"))
    );
    assert!(b.disabled && b.shutdown_sessions_on_down && b.check.is_none());
    assert_eq!(
        b.init_addr,
        [
            InitAddr::None,
            InitAddr::Ip("10.0.0.9".parse().expect("an address"))
        ]
    );
    assert_eq!(
        b.address,
        ServerAddress::Host {
            host: "10.0.0.2".into(),
            port: 0,
            relative: false
        }
    );
    assert_eq!(b.send_proxy, Some(SendProxy::V2(ProxyV2Options::default())));
    assert_eq!(c.tls.as_ref().and_then(|tls| tls.sni.as_deref()), Some("x"));
    assert_eq!(d.address, ServerAddress::Unix("/run/d.sock".into()));
    assert_eq!([a.id, b.id, c.id, d.id], [1, 2, 9, 4]);
    assert!(proxy.servers.iter().all(|server| {
        server
            .source
            .as_ref()
            .is_some_and(|source| source.address == Some("10.0.0.5".parse().expect("an address")))
    }));
}

#[test]
fn resolvers_and_templates_are_read() {
    let loaded = read(
        "defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nresolvers dns\n nameserver a 10.0.0.1:53\n nameserver b tcp@[::1]:5353\n parse-resolv-conf\n accepted_payload_size 4096\n resolve_retries 5\n timeout resolve 2s\n timeout retry 300\n hold valid 5s\n hold obsolete 1s\n hold nx 3s\nbackend b\n default-server resolvers dns resolve-prefer ipv4\n server-template web 2-4 _http._tcp.example.org resolve-opts allow-dup-ip,ignore-weight check\n server s a.example.org:80 resolvers default resolve-net 10.0.0.0/8,::1\n",
    );
    assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics);
    let config = loaded.haproxy.expect("a proxy");
    let [dns, default] = &config.resolvers[..] else {
        panic!("{:?}", config.resolvers);
    };
    assert!(matches!(
        &dns.nameservers[..],
        [
            NameServer::Address { tcp: false, .. },
            NameServer::Address { tcp: true, .. },
            NameServer::ResolvConf(_)
        ]
    ));
    assert_eq!((dns.payload_bytes, dns.retries), (4_096, 5));
    assert_eq!(dns.timeout_resolve, Duration::from_secs(2));
    assert_eq!(dns.timeout_retry, Duration::from_millis(300));
    assert_eq!(dns.hold.obsolete, Duration::from_secs(1));
    assert_eq!(dns.hold.nx, Duration::from_secs(3));
    assert_eq!(dns.hold.other, Duration::from_secs(30));
    assert_eq!(default.name.text, "default");
    assert!(matches!(
        default.nameservers[..],
        [NameServer::ResolvConf(_)]
    ));
    let servers = &config.proxies[0].servers;
    let names: Vec<_> = servers
        .iter()
        .map(|server| server.name.text.as_str())
        .collect();
    assert_eq!(names, ["web2", "web3", "web4", "s"]);
    assert!(servers.iter().all(|server| server.resolve.prefer_ipv4));
    assert!(servers[0].resolve.allow_duplicates && servers[0].resolve.ignore_weight);
    assert_eq!(servers[3].resolve.networks.len(), 2);
    let loaded = read("backend b\n server s a:80 resolvers dnss\nresolvers dns\n");
    let text = loaded.diagnostics.render(&loaded.sources);
    assert!(text.contains("did you mean 'dns'?"), "{text}");
}

#[test]
fn sources_and_proxy_headers_are_read() {
    let proxy = listen(
        " server a h:1 source 10.0.0.1:1000-2000 interface eth0\n server b h:1 source 0.0.0.0 usesrc clientip\n server c h:1 send-proxy-v2-ssl proxy-v2-options crc32c,unique-id check\n server d h:1 proxy-v2-options crc32c check port 5\n server e h:1 send-proxy send-proxy-v2 no-send-proxy-v2 check check-send-proxy port 5\n server f abns@x",
    );
    let [a, b, c, d, e, f] = &proxy.servers[..] else {
        panic!("six servers");
    };
    let source = a.source.as_ref().expect("a source");
    assert_eq!(
        (source.ports, source.interface.as_deref()),
        ((1_000, 2_000), Some("eth0"))
    );
    let source = b.source.as_ref().expect("a source");
    assert_eq!(
        (source.address, source.transparent.clone()),
        (None, Some(TransparentSource::ClientIp))
    );
    let options = ProxyV2Options {
        ssl: true,
        crc32c: true,
        unique_id: true,
        ..ProxyV2Options::default()
    };
    assert_eq!(c.send_proxy, Some(SendProxy::V2(options)));
    // As HAProxy 2.6: options alone mean version 1.
    assert_eq!(
        (d.send_proxy, e.send_proxy),
        (Some(SendProxy::V1), Some(SendProxy::V1))
    );
    let checked =
        [c, d, e].map(|server| server.check.as_ref().is_some_and(|check| check.send_proxy));
    assert_eq!(checked, [true, false, true]);
    assert_eq!(f.address, ServerAddress::Abstract("x".into()));
}

#[test]
fn algorithms_are_read() {
    let balance = |words: &str| listen(&format!(" balance {words}")).balance;
    assert_eq!(balance("roundrobin"), Balance::RoundRobin);
    assert_eq!(balance("static-rr"), Balance::StaticRr);
    assert_eq!(balance("leastconn"), Balance::LeastConn);
    assert_eq!(balance("first"), Balance::First);
    assert_eq!(balance("source"), Balance::Source);
    assert_eq!(
        balance("uri depth 2 whole"),
        Balance::Uri {
            whole: true,
            length: 0,
            path_only: false,
            depth: 2
        }
    );
    assert_eq!(
        balance("url_param id check_post"),
        Balance::UrlParam {
            name: "id".into(),
            check_post: true
        }
    );
    assert_eq!(
        balance("hdr(Host) use_domain_only"),
        Balance::Header {
            name: "host".into(),
            use_domain_only: true
        }
    );
    assert_eq!(balance("random(4)"), Balance::Random { draws: 4 });
}

#[test]
fn checks_are_read() {
    let check = |lines: &str| listen(lines).check;
    let request = |lines: &str| match check(lines).kind {
        CheckKind::Http(request) => request,
        other => panic!("{other:?}"),
    };
    let plain = request(" option httpchk");
    assert_eq!(
        (plain.method.as_str(), plain.uri.as_str()),
        ("OPTIONS", "/")
    );
    assert_eq!(request(" option httpchk /up").uri, "/up");
    let old = request(r" option httpchk GET /up HTTP/1.1\r\nHost:\ www\r\nX:\ y");
    assert_eq!(
        (old.method.as_str(), old.version.as_str()),
        ("GET", "HTTP/1.1")
    );
    assert_eq!(
        old.headers,
        [
            ("Host".to_owned(), "www".to_owned()),
            ("X".to_owned(), "y".to_owned())
        ]
    );
    let rules = check(
        " option httpchk\n http-check send meth HEAD uri /x ver HTTP/1.1 hdr Host www body b\n http-check comment why\n http-check expect ! status 500-599,404",
    )
    .steps;
    let CheckAction::HttpSend(send) = &rules[0].action else {
        panic!("{rules:?}");
    };
    assert_eq!(send.method.as_deref(), Some("HEAD"));
    assert_eq!(send.headers[0].0, "Host");
    let CheckAction::Expect(expect) = &rules[2].action else {
        panic!("{rules:?}");
    };
    assert_eq!(rules[2].comment.as_deref(), Some("why"));
    assert!(expect.negated);
    assert_eq!(
        expect.what,
        ExpectKind::Status(vec![(500, 599), (404, 404)])
    );
    assert_eq!(check(" option tcp-check").kind, CheckKind::TcpScript);
    assert_eq!(
        check(" option smtpchk EHLO a.org").kind,
        CheckKind::Smtp("EHLO a.org".to_owned())
    );
    assert_eq!(
        check(" option mysql-check user u pre-41").kind,
        CheckKind::Mysql {
            user: Some("u".to_owned()),
            pre_41: true
        }
    );
    let scripted =
        check(" option tcp-check\n tcp-check send-binary 50494e47\n tcp-check expect string +PONG");
    assert_eq!(scripted.kind, CheckKind::TcpScript);
    assert_eq!(
        scripted.steps[0].action,
        CheckAction::Send(CheckData::Binary(b"PING".to_vec()))
    );
}

/// `defaults` are replaced by the section's own lines, as HAProxy does it.
#[test]
fn checks_of_defaults_give_way_to_the_sections_own() {
    let config = good(&format!(
        "defaults\n mode http\n{TIMEOUTS} option httpchk GET /d\n http-check send hdr A 1\nbackend a\n server s 1.1.1.1:80\nbackend b\n option httpchk\n server s 1.1.1.1:80\nbackend c\n http-check send hdr B 2\n server s 1.1.1.1:80\n"
    ));
    let shown: Vec<_> = config
        .proxies
        .iter()
        .map(|proxy| match &proxy.check.kind {
            CheckKind::Http(request) => (request.uri.as_str(), proxy.check.steps.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, [("/d", 1), ("/", 0), ("/d", 1)]);
}

#[test]
fn rules_of_checks_stand_where_haproxy_lets_them() {
    let refused = |lines: &str| {
        let text = format!("backend b\n option httpchk\n option tcp-check\n{lines}\n");
        assert!(read(&text).diagnostics.has_errors(), "{lines}");
    };
    refused(" http-check connect\n http-check expect status 200");
    refused(" http-check send uri /a\n http-check send uri /b");
    refused(" http-check expect status 200\n http-check connect");
    refused(" tcp-check expect string a\n tcp-check connect");
    refused(" tcp-check send-binary 123");
    refused(" tcp-check expect error-status L7OK string a");
    refused(" server s 1.1.1.1:80 track t");
    refused(" server s 1.1.1.1:80 agent-check");
    refused(" server t 1.1.1.1:80\n server s 1.1.1.1:80 track t");
    refused(" server s 1.1.1.1:80 check track s");
}

#[test]
fn the_statistics_page_is_read() {
    let page = listen(" stats uri /s\n stats auth a:b:c\n stats realm x\\ y\n stats refresh 10\n stats admin if TRUE\n stats show-node\n stats hide-version").stats.expect("a page");
    assert_eq!(page.uri, "/s");
    assert_eq!(page.auth, [("a".to_owned(), "b:c".to_owned())]);
    assert_eq!(page.realm.as_deref(), Some("x y"));
    assert_eq!(page.refresh, Some(Duration::from_secs(10)));
    assert_eq!(page.admin[0].len(), 2);
    assert!(page.hide_version && page.show_node.as_deref() == Some(""));
    // As in HAProxy a section's own first `stats` line leaves what `defaults` says of the page.
    let config = good(&format!(
        "defaults\n mode http\n{TIMEOUTS} stats auth u:p\n stats uri /d\nlisten a\n bind :80\n stats uri /mine\nlisten b\n bind :81\n"
    ));
    let pages: Vec<_> = config
        .proxies
        .iter()
        .map(|proxy| proxy.stats.clone().expect("a page"))
        .collect();
    assert_eq!((pages[0].uri.as_str(), pages[0].auth.len()), ("/mine", 0));
    assert_eq!((pages[1].uri.as_str(), pages[1].auth.len()), ("/d", 1));
}

#[test]
fn log_lines_are_read() {
    let config = good(&format!(
        "global\n log stdout format raw local0\n log 127.0.0.1:1514 len 4096 format rfc5424 local1 notice err\nlisten l\n bind :80\n log global\n log /dev/log local2\n{TIMEOUTS}"
    ));
    let logs = &config.proxies[0].logs;
    assert_eq!(logs.len(), 3);
    assert_eq!(
        (logs[0].format, &logs[0].address),
        (LogLineFormat::Raw, &LogAddress::Stdout)
    );
    assert_eq!(
        (logs[1].max_length, logs[1].format),
        (4096, LogLineFormat::Rfc5424)
    );
    assert_eq!(
        (logs[1].facility, logs[1].max_level, logs[1].min_level),
        (17, LogLevel::Notice, LogLevel::Err)
    );
}

#[test]
fn stats_sockets_are_read() {
    let config = good(
        "global\n stats socket /run/a mode 660 level admin expose-fd listeners user root group adm\n stats socket ipv4@127.0.0.1:9999\n stats timeout 30s\n",
    );
    let [a, b] = &config.global.stats_sockets[..] else {
        panic!("two sockets")
    };
    assert_eq!(
        (a.mode, a.level, a.expose_fd),
        (Some(0o660), Level::Admin, true)
    );
    assert!(matches!(&a.group, Some(Account::Name(name)) if name.text == "adm"));
    assert_eq!(b.level, Level::Operator);
    assert_eq!(config.global.stats_timeout, Some(Duration::from_secs(30)));
}

#[test]
fn tls_settings_are_read() {
    let text = format!(
        "global\n crt-base /etc/certs\n ca-base /etc/ca\n ssl-default-bind-options ssl-min-ver TLSv1.3\nlisten l\n mode http\n bind :443 ssl crt a.pem crt /b alpn h2,http/1.1 verify optional ca-file ca.pem strict-sni\n bind :444 ssl crt c no-tlsv13 ssl-min-ver TLSv1.0\n{TIMEOUTS}"
    );
    let config = good(&text);
    let tls: Vec<_> = config.proxies[0]
        .binds
        .iter()
        .map(|bind| bind.tls.clone().expect("TLS"))
        .collect();
    let names: Vec<&str> = tls[0]
        .certificates
        .iter()
        .map(|word| word.as_str())
        .collect();
    assert_eq!(names, ["/etc/certs/a.pem", "/b"]);
    assert_eq!(tls[0].alpn, ["h2", "http/1.1"]);
    assert_eq!(
        tls[0].ca_file.as_ref().map(|word| word.as_str()),
        Some("/etc/ca/ca.pem")
    );
    assert_eq!(tls[0].choice.min_version.as_deref(), Some("TLSv1.3"));
    assert_eq!(
        (
            tls[1].choice.min_version.as_deref(),
            tls[1].choice.max_version.as_deref()
        ),
        (Some("TLSv1.2"), Some("TLSv1.2"))
    );
}

#[test]
fn offers_of_tls_come_from_the_line_or_from_global() {
    let config = good(&format!(
        "global\n ssl-default-bind-ciphers AES\n ssl-default-bind-curves P-256\n ssl-default-bind-options no-tls-tickets prefer-client-ciphers\n \
         ssl-default-server-ciphersuites X\n ssl-default-server-options force-tlsv13\n\
         listen l\n mode http\n bind :443 ssl crt a ciphers ALL ecdhe P-384\n bind :444 ssl crt a\n{TIMEOUTS} \
         server a 1.2.3.4:443 ssl verify none ssl-min-ver TLSv1.2 ciphers HIGH no-ssl-reuse check\n"
    ));
    let text = |word: &Option<Word>| word.as_ref().map_or("", |word| word.as_str()).to_owned();
    let offer = |choice: &TlsChoice| {
        let versions = [&choice.min_version, &choice.max_version];
        let versions = versions.map(|version| version.clone().unwrap_or_default());
        [
            text(&choice.ciphers),
            text(&choice.ciphersuites),
            text(&choice.curves),
            versions.join(" to "),
        ]
    };
    let proxy = &config.proxies[0];
    let binds = proxy.binds.iter().filter_map(|bind| bind.tls.as_ref());
    let binds: Vec<_> = binds
        .map(|tls| {
            (
                offer(&tls.choice),
                tls.no_tickets,
                tls.prefer_client_ciphers,
            )
        })
        .collect();
    let words = |words: [&str; 4]| words.map(str::to_owned);
    assert_eq!(
        binds,
        [
            (words(["ALL", "", "P-384", " to "]), true, true),
            (words(["AES", "", "P-256", " to "]), true, true)
        ]
    );
    let server = &proxy.servers[0];
    let tls = server.tls.as_ref().expect("TLS");
    let check = &server.check.as_ref().expect("a check").tls_options;
    for tls in [tls, check] {
        let expected = words(["HIGH", "X", "", "TLSv1.2 to TLSv1.3"]);
        assert_eq!((offer(&tls.choice), tls.no_reuse), (expected, true));
    }
}

#[test]
fn variables_and_conditions_choose_the_text() {
    let config = good(&format!(
        "global\n setenv PORT 8080\n.if defined(WHO) && streq(\"$WHO\",world)\nlisten \"$WHO\"\n bind :\"$PORT\"\n bind :\"${{NOPE-81}}\"\n{TIMEOUTS}.elif 1\nlisten no\n.else\nlisten no\n.endif\n.if version_before(2.0)\nthis is not read\n.endif\n"
    ));
    assert_eq!(config.proxies.len(), 1);
    assert_eq!(config.proxies[0].name.as_str(), "world");
    assert_eq!(
        config.proxies[0].binds[0].address,
        BindAddress::Tcp {
            address: None,
            port: 8080
        }
    );
    assert_eq!(
        config.proxies[0].binds[1].address,
        BindAddress::Tcp {
            address: None,
            port: 81
        }
    );
    assert_eq!(
        config.global.environment.get("PORT").map(String::as_str),
        Some("8080")
    );
}

#[test]
fn an_error_page_is_read_with_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("503.http"), "HTTP/1.0 503 No\r\n\r\nno").expect("written");
    let cfg = folder.path().join("h.cfg");
    let text = format!(
        "global\n default-path config\nlisten l\n bind :80\n mode http\n errorfile 503 503.http\n errorfile 500 gone\n{TIMEOUTS}"
    );
    std::fs::write(&cfg, text).expect("written");
    let loaded = load(&[Input::path(&cfg)], &|_| None);
    assert_eq!(loaded.diagnostics.0.len(), 1);
    assert_eq!(loaded.diagnostics.0[0].kind, Kind::File);
    let config = loaded.haproxy.expect("a configuration");
    assert_eq!(
        config.proxies[0].error_files[0].content,
        b"HTTP/1.0 503 No\r\n\r\nno"
    );
}

#[test]
fn certificates_are_found_from_the_default_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let cfg = folder.path().join("h.cfg");
    let text = format!(
        "global\n default-path config\nlisten l\n mode http\n bind :443 ssl crt a.pem crt /b.pem\n{TIMEOUTS}"
    );
    std::fs::write(&cfg, text).expect("written");
    let config = load(&[Input::path(&cfg)], &|_| None)
        .haproxy
        .expect("a configuration");
    let tls = config.proxies[0].binds[0].tls.as_ref().expect("TLS");
    let names: Vec<&str> = tls.certificates.iter().map(|word| word.as_str()).collect();
    assert_eq!(
        names,
        [&folder.path().join("a.pem").to_string_lossy(), "/b.pem"]
    );
}

#[test]
fn userlists_join_users_and_groups() {
    let config = good(
        "userlist u\n group g users a\n user a insecure-password p groups h\n group h\n user b password $6$x\n",
    );
    let users = &config.userlists[0].users;
    assert_eq!(
        users[0],
        ("a".into(), "p".into(), true, vec!["h".into(), "g".into()])
    );
    assert!(!users[1].2);
}

#[test]
fn line_ends_of_all_kinds_are_accepted() {
    let unix = good(&format!(
        "listen l\n\tbind :80\n{TIMEOUTS} server s 1.2.3.4:80"
    ));
    let windows = good(
        &format!("listen l\n\tbind :80\n{TIMEOUTS} server s 1.2.3.4:80").replace('\n', "\r\n"),
    );
    assert_eq!(unix, windows);
}

#[test]
fn a_tcp_frontend_may_lead_to_an_http_backend_but_not_the_other_way_round() {
    let errors = |front: &str, back: &str| {
        let text = format!(
            "frontend f\n mode {front}\n bind :80\n default_backend b\nbackend b\n mode {back}\n"
        );
        read(&text).diagnostics.has_errors()
    };
    assert!(!errors("tcp", "http"));
    assert!(errors("http", "tcp"));
}

/// A `deny` in such a frontend once counted for nothing.
#[test]
fn rules_of_a_tcp_frontend_are_kept_where_its_backend_is_http() {
    for (back, kept) in [("http", 1), ("tcp", 0)] {
        let text = format!(
            "frontend f\n bind :80\n http-request deny if {{ path /bad }}\n default_backend b\nbackend b\n mode {back}\n"
        );
        let config = good(&text);
        assert_eq!(config.proxies[0].http_request.len(), kept, "{back}");
    }
}

#[test]
fn pools_of_servers_have_bounds() {
    let config = listen(
        " server a 1.2.3.4:80\n server b 1.2.3.4:80 pool-max-conn 7 pool-purge-delay 2 max-reuse 3\n \
         server c 1.2.3.4:80 pool-max-conn -1 pool-purge-delay 0 max-reuse -1\n",
    );
    let pools: Vec<_> = config
        .servers
        .iter()
        .map(|server| {
            let pool = &server.pool;
            (
                pool.idle_limit(),
                pool.purge_delay.as_millis(),
                pool.max_reuse,
            )
        })
        .collect();
    assert_eq!(
        pools,
        [
            (None, 5_000, None),
            (Some(7), 2, Some(3)),
            (Some(0), 0, None)
        ]
    );
}

/// A switch of `defaults` that a section takes back leaves nothing behind.
#[test]
fn options_of_defaults_can_be_taken_back() {
    for name in [
        "abortonclose",
        "accept-invalid-http-request",
        "accept-invalid-http-response",
        "allbackups",
        "clitcpka",
        "disable-h2-upgrade",
        "dontlog-normal",
        "dontlognull",
        "http-buffer-request",
        "http-drop-request-trailers",
        "http-drop-response-trailers",
        "http-ignore-probes",
        "http-no-delay",
        "http-server-close",
        "http-use-proxy-header",
        "httpclose",
        "idle-close-on-response",
        "log-health-checks",
        "log-separate-errors",
        "logasap",
        "persist",
        "prefer-last-server",
        "redispatch",
        "srvtcpka",
    ] {
        let text = |first: &str, second: &str| {
            format!("defaults\n mode http\n{TIMEOUTS} {first}\nlisten l\n bind :80\n {second}\n")
        };
        let option = format!("option {name}");
        let taken_back = good(&text(&option, &format!("no {option}")));
        let never = good(&text("#", "#"));
        assert_eq!(taken_back, never, "{name}");
        if name != "http-no-delay" {
            assert_ne!(good(&text(&option, "#")), never, "{name} does nothing");
        }
    }
}

#[test]
fn a_socks_proxy_has_an_address_and_a_port() {
    let errors = |options: &str| {
        let text = format!("backend b\n server s 1.2.3.4:80 {options}\n");
        read(&text).diagnostics.has_errors()
    };
    assert!(!errors("socks4 1.2.3.4:1080 check check-via-socks4"));
    assert!(errors("socks4 1.2.3.4"));
    assert!(errors("socks4 name:1080"));
}
