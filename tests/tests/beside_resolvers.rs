//! Names of servers resolved while the worker runs: the same states, addresses, weights and log lines as haproxy's, from
//! the same scripted name server.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_until};
use tandem_tests::dns::{NameServer, Says};
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, ensure, require};

const LIMIT: Duration = Duration::from_secs(15);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn addresses(all: &[&str]) -> Says {
    Says::Addresses(all.iter().map(|one| ip(one)).collect())
}

/// A section with short times, and a backend `b` with these lines.
fn text(server: &NameServer, lines: &str) -> String {
    format!(
        "resolvers dns\n nameserver d1 {}\n timeout resolve 300ms\n timeout retry 150ms\n resolve_retries 2\n hold nx 600ms\n hold refused 600ms\n hold other 600ms\n hold timeout 600ms\n hold obsolete 600ms\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n default-server init-addr none resolvers dns\n{lines}",
        server.address()
    )
}

/// Address, state and weight of all servers of `b`, sorted by address.
fn servers(side: &Side) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for line in side.command("show stat")?.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.first() == Some(&"b") && fields.get(1) != Some(&"BACKEND") {
            all.push(format!("{} {} {}", fields[73], fields[17], fields[18]));
        }
    }
    all.sort();
    Ok(all)
}

fn wait_servers(side: &Side, expected: &[&str]) -> Outcome {
    let mut expected: Vec<String> = expected.iter().map(|one| (*one).to_owned()).collect();
    expected.sort();
    wait_for(&format!("{:?}: {expected:?}", side.which), LIMIT, || {
        let found = servers(side).map_err(|error| error.to_string())?;
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
}

/// The lines about servers since the last look, once so many with a text are there, sorted: the order of names is
/// nobody's promise.
fn lines(side: &Side, text: &str, count: usize) -> Outcome<Vec<String>> {
    side.wait_lines(text, count)?;
    let mut lines = side.lines();
    lines.sort();
    side.forget();
    Ok(lines)
}

/// Ends the lines of a server that resolves again.
const READY: &str = "administratively READY";
const UNRESOLVED: &str = " MAINT (resolution) 1";

#[test]
fn addresses_come_go_and_are_held_as_haproxys() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let dns = NameServer::start()?;
    let set = |names: &[(&str, Says)]| {
        names
            .iter()
            .for_each(|(name, says)| dns.set(name, says.clone()))
    };
    let start = [
        ("one.test", addresses(&["127.0.0.1"])),
        ("six.test", addresses(&["127.0.0.9", "::1"])),
        ("alias.test", Says::Alias("one.test".to_owned())),
        ("two.test", addresses(&["127.0.0.21", "127.0.0.22"])),
    ];
    let mut logs = Vec::new();
    for which in BOTH {
        set(&start);
        let side = Side::start(
            which,
            &text(
                &dns,
                " server one one.test:80\n server six six.test:80\n server four six.test:80 resolve-prefer ipv4\n server alias alias.test:80\n server gone gone.test:80\n server t1 two.test:80\n server literal 127.0.0.5:80\n",
            ),
        )?;
        let mut seen = Vec::new();
        let rest = [
            "127.0.0.5:80 no check 1",
            UNRESOLVED,
            "127.0.0.9:80 no check 1",
        ];
        // Two addresses and one server: either is good.
        dns.set("two.test", addresses(&["127.0.0.21"]));
        let good = [
            "127.0.0.1:80 no check 1",
            "127.0.0.1:80 no check 1",
            "[::1]:80 no check 1",
            "127.0.0.21:80 no check 1",
        ];
        wait_servers(&side, &[&good[..], &rest].concat())?;
        let first = lines(&side, READY, 5)?;
        ensure!(
            first
                .iter()
                .any(|line| line == "b/one changed its IP from (none) to 127.0.0.1 by dns/d1."),
            "{first:?}"
        );
        seen.push(
            first
                .into_iter()
                .filter(|line| !line.contains("b/t1"))
                .collect::<Vec<_>>(),
        );
        // A name is gone, one is refused, one is silent: the last good answer is held, then the server goes.
        dns.remove("one.test");
        dns.set("six.test", Says::Refused);
        dns.set("two.test", Says::Silence);
        ensure!(
            servers(&side)?.contains(&"127.0.0.1:80 no check 1".to_owned()),
            "not held"
        );
        let lost = [UNRESOLVED; 6];
        wait_servers(&side, &[&lost[..], &["127.0.0.5:80 no check 1"]].concat())?;
        let told = lines(&side, "going DOWN", 5)?;
        // How many are left depends on the order.
        seen.push(
            told.iter()
                .map(|line| line.split(". ").next().unwrap_or_default().to_owned())
                .collect(),
        );
        // Back again.
        set(&start);
        dns.set("one.test", addresses(&["127.0.0.2"]));
        dns.set("two.test", addresses(&["127.0.0.23"]));
        wait_servers(
            &side,
            &[
                "127.0.0.2:80 no check 1",
                "127.0.0.2:80 no check 1",
                "[::1]:80 no check 1",
                "127.0.0.9:80 no check 1",
                "127.0.0.23:80 no check 1",
                "127.0.0.5:80 no check 1",
                UNRESOLVED,
            ],
        )?;
        seen.push(lines(&side, READY, 5)?);
        logs.push(seen);
    }
    let ours = logs.pop().unwrap_or_default();
    let theirs = logs.pop().unwrap_or_default();
    for (number, (theirs, ours)) in theirs.into_iter().zip(ours).enumerate() {
        differences.compare(&format!("log {number}"), theirs, ours);
    }
    differences.none()
}

#[test]
fn servers_of_a_template_share_nothing() -> Outcome {
    require!("tandemd", "haproxy");
    for which in BOTH {
        let dns = NameServer::start()?;
        dns.set("a.test", addresses(&["127.0.0.1", "127.0.0.2"]));
        let side = Side::start(which, &text(&dns, " server-template s 3 a.test:80\n"))?;
        wait_servers(
            &side,
            &[
                "127.0.0.1:80 no check 1",
                "127.0.0.2:80 no check 1",
                UNRESOLVED,
            ],
        )?;
        dns.set(
            "a.test",
            addresses(&["127.0.0.3", "127.0.0.1", "127.0.0.2"]),
        );
        wait_servers(
            &side,
            &[
                "127.0.0.1:80 no check 1",
                "127.0.0.2:80 no check 1",
                "127.0.0.3:80 no check 1",
            ],
        )?;
        side.forget();
        dns.set("a.test", addresses(&["127.0.0.3"]));
        wait_servers(&side, &["127.0.0.3:80 no check 1", UNRESOLVED, UNRESOLVED])?;
        let told = side.wait_lines("going DOWN for maintenance (No IP for server ). ", 2)?;
        ensure!(told.len() == 2, "{told:?}");
    }
    Ok(())
}

#[test]
fn services_give_servers_hosts_ports_and_weights() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let dns = NameServer::start()?;
        let service = |port, weight, host: &str| (port, weight, host.to_owned());
        dns.set("n1.test", addresses(&["127.0.0.11"]));
        dns.set("n2.test", addresses(&["127.0.0.12"]));
        dns.set(
            "_h._tcp.test",
            Says::Services(vec![service(8_001, 1_000, "n1.test")]),
        );
        let side = Side::start(which, &text(&dns, " server-template s 2 _h._tcp.test\n"))?;
        wait_servers(&side, &["127.0.0.11:8001 no check 4", UNRESOLVED])?;
        let mut seen = vec![lines(&side, READY, 1)?];
        let state = side.command("show servers state b")?;
        let line = state
            .lines()
            .find(|line| line.contains(" s1 "))
            .unwrap_or_default();
        let fields: Vec<&str> = line.split(' ').collect();
        seen.push(vec![format!("{:?} {:?}", &fields[4..9], &fields[17..20])]);
        dns.set(
            "_h._tcp.test",
            Says::Services(vec![
                service(8_001, 0, "n1.test"),
                service(8_002, 65_535, "n2.test"),
            ]),
        );
        wait_servers(
            &side,
            &["127.0.0.11:8001 no check 0", "127.0.0.12:8002 no check 256"],
        )?;
        seen.push(lines(&side, READY, 1)?);
        dns.set(
            "_h._tcp.test",
            Says::Services(vec![service(8_002, 65_535, "n2.test")]),
        );
        wait_servers(
            &side,
            &[" MAINT (resolution) 0", "127.0.0.12:8002 no check 256"],
        )?;
        seen.push(lines(&side, "going DOWN", 1)?);
        found.push(seen);
    }
    let ours = found.pop();
    differences.compare("what was told", found.pop(), ours);
    differences.none()
}

#[test]
fn an_operator_gives_a_server_another_name() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let dns = NameServer::start()?;
        dns.set("a.test", addresses(&["127.0.0.1"]));
        dns.set("b.test", addresses(&["127.0.0.2"]));
        let side = Side::start(
            which,
            &text(&dns, " server s a.test:80\n server services _h._tcp.test\n").replace(
                "frontend f",
                "backend c\n server n localhost:80\nfrontend f",
            ),
        )?;
        wait_servers(&side, &["127.0.0.1:80 no check 1", UNRESOLVED])?;
        side.forget();
        let mut answers = Vec::new();
        for command in [
            "set server c/n fqdn x.test",
            "set server b/services fqdn x.test",
            "set server b/s fqdn",
            "set server b/s fqdn ..x",
            "set server b/s fqdn b.test",
            "show resolvers nobody",
        ] {
            answers.push(side.command(command)?);
        }
        wait_servers(&side, &["127.0.0.2:80 no check 1", UNRESOLVED])?;
        answers.push(side.command("set server b/s fqdn b.test")?);
        let shown = side.command("show resolvers dns")?;
        // The same lines; the figures depend on time.
        let names = shown
            .lines()
            .map(|line| {
                line.trim_end_matches(|c: char| c.is_ascii_digit())
                    .to_owned()
            })
            .collect();
        answers.push(names);
        answers.extend(lines(&side, "changed its IP", 1)?);
        found.push(answers);
    }
    let ours = found.pop();
    differences.compare("answers", found.pop(), ours);
    differences.none()
}

#[test]
fn truncated_answers_are_asked_for_over_tcp_and_forged_ones_change_nothing() -> Outcome {
    require!("tandemd");
    let dns = NameServer::start()?;
    dns.set("big.test", Says::TruncatedUnlessTcp(vec![ip("127.0.0.7")]));
    dns.set("forged.test", Says::Forged(ip("127.0.0.66")));
    let side = Side::start(
        Which::Tandem,
        &text(
            &dns,
            " server big big.test:80 resolve-prefer ipv4\n server forged forged.test:80 resolve-prefer ipv4\n",
        ),
    )?;
    wait_servers(&side, &["127.0.0.7:80 no check 1", UNRESOLVED])?;
    wait_for("forged answers to be counted", LIMIT, || {
        let shown = side
            .command("show resolvers")
            .map_err(|error| error.to_string())?;
        let count = |name: &str| -> u32 {
            let line = shown
                .lines()
                .find(|line| line.trim_start().starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
                .unwrap_or(0)
        };
        if count("invalid:") >= 9 && count("truncated:") >= 1 && count("timeout:") >= 3 {
            Ok(())
        } else {
            Err(shown)
        }
    })?;
    wait_servers(&side, &["127.0.0.7:80 no check 1", UNRESOLVED])?;
    let asked = dns.asked();
    ensure!(
        asked.iter().any(|one| one.tcp && one.name == "big.test"),
        "{asked:?}"
    );
    let mut ports: Vec<u16> = asked
        .iter()
        .filter(|one| !one.tcp)
        .map(|one| one.port)
        .collect();
    let mut ids: Vec<u16> = asked.iter().map(|one| one.id).collect();
    let count = ports.len();
    for numbers in [&mut ports, &mut ids] {
        numbers.sort_unstable();
        numbers.dedup();
        // Random ones meet now and then, in a row they would be few.
        ensure!(
            numbers.len() * 10 > count * 8,
            "{count} questions, {numbers:?}"
        );
    }
    Ok(())
}

#[test]
fn a_reload_keeps_what_was_resolved() -> Outcome {
    require!("tandemd");
    let dns = NameServer::start()?;
    dns.set("a.test", addresses(&["127.0.0.1"]));
    dns.set("n1.test", addresses(&["127.0.0.11"]));
    dns.set(
        "_h._tcp.test",
        Says::Services(vec![(8_001, 1_000, "n1.test".to_owned())]),
    );
    let side = Side::start(
        Which::Tandem,
        &text(
            &dns,
            " server s a.test:80 init-addr last,none\n server-template t 2 _h._tcp.test init-addr last,none\n",
        ),
    )?;
    let expected = [
        "127.0.0.1:80 no check 1",
        "127.0.0.11:8001 no check 4",
        UNRESOLVED,
    ];
    wait_servers(&side, &expected)?;
    // From now on nobody answers; what is known must last for the hold, and a moment after the reload it does.
    for name in ["a.test", "n1.test", "_h._tcp.test"] {
        dns.set(name, Says::Silence);
    }
    let before = side.serving();
    let answer = side.command("reload")?;
    ensure!(
        side.serving() != before || answer.contains("uccess"),
        "no reload: {answer}"
    );
    let found = servers(&side)?;
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    ensure!(found == expected, "{found:?}");
    // It goes on from there: with answers nothing changes.
    dns.set("a.test", addresses(&["127.0.0.1"]));
    dns.set("n1.test", addresses(&["127.0.0.11"]));
    dns.set(
        "_h._tcp.test",
        Says::Services(vec![(8_001, 1_000, "n1.test".to_owned())]),
    );
    let count = dns.asked().len();
    wait_for("questions of the new worker", LIMIT, || {
        let asked = dns.asked().len();
        if asked > count + 6 {
            Ok(())
        } else {
            Err(asked.to_string())
        }
    })?;
    let found = servers(&side)?;
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[test]
fn kept_connections_do_not_outlive_the_address() -> Outcome {
    require!("tandemd");
    let dns = NameServer::start()?;
    dns.set("a.test", addresses(&["127.0.0.1"]));
    // One port on all loopback addresses: the answer says which one was reached.
    let listener = std::net::TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(count) = stream.read(&mut buffer) {
                    let Ok(own) = stream.local_addr() else { return };
                    let body = own.ip().to_string();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if count == 0 || stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    for options in ["", " send-proxy-v2"] {
        dns.set("a.test", addresses(&["127.0.0.1"]));
        let side = Side::start(
            Which::Tandem,
            &text(
                &dns,
                &format!(" http-reuse always\n server s a.test:{port}{options}\n"),
            ),
        )?;
        wait_servers(&side, &[&format!("127.0.0.1:{port} no check 1")])?;
        let mut client = side.connect()?;
        let mut ask = |expected: &str| -> Outcome {
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
            let answer = read_until(&mut client, expected);
            ensure!(answer.ends_with(expected), "{options}: {answer}");
            Ok(())
        };
        ask("127.0.0.1")?;
        ask("127.0.0.1")?;
        dns.set("a.test", addresses(&["127.0.0.2"]));
        wait_servers(&side, &[&format!("127.0.0.2:{port} no check 1")])?;
        ask("127.0.0.2")?;
    }
    Ok(())
}

#[test]
fn options_choose_among_addresses_and_weights() -> Outcome {
    require!("tandemd", "haproxy");
    for which in BOTH {
        let dns = NameServer::start()?;
        dns.set(
            "many.test",
            addresses(&["127.0.0.1", "127.0.0.2", "127.1.0.3", "::1"]),
        );
        dns.set("shared.test", addresses(&["127.0.0.21"]));
        dns.set("single.test", addresses(&["127.0.0.22"]));
        dns.set("n1.test", addresses(&["127.0.0.11"]));
        dns.set(
            "_h._tcp.test",
            Says::Services(vec![(8_001, 65_535, "n1.test".to_owned())]),
        );
        let side = Side::start(
            which,
            &text(
                &dns,
                " server net many.test:80 resolve-prefer ipv4 resolve-net 10.0.0.0/8,127.1.0.0/16\n \
                 server-template d 3 shared.test:80 resolve-opts allow-dup-ip\n \
                 server-template n 2 single.test:80 resolve-opts prevent-dup-ip\n \
                 server-template w 1 _h._tcp.test resolve-opts ignore-weight weight 7\n",
            ),
        )?;
        wait_servers(
            &side,
            &[
                "127.1.0.3:80 no check 1",
                "127.0.0.21:80 no check 1",
                "127.0.0.21:80 no check 1",
                "127.0.0.21:80 no check 1",
                "127.0.0.22:80 no check 1",
                UNRESOLVED,
                "127.0.0.11:8001 no check 7",
            ],
        )?;
    }
    Ok(())
}

/// `hold`: an address that was good stays for the period of what came since: long for names that do not exist, none for
/// name servers that refuse.
#[test]
fn each_kind_of_failure_has_its_own_hold() -> Outcome {
    require!("tandemd", "haproxy");
    for which in BOTH {
        let dns = NameServer::start()?;
        dns.set("gone.test", addresses(&["127.0.0.1"]));
        dns.set("refused.test", addresses(&["127.0.0.2"]));
        let lines = " server gone gone.test:80\n server refused refused.test:80\n";
        let text = text(&dns, lines)
            .replace("hold nx 600ms", "hold nx 1h")
            .replace("hold refused 600ms", "hold refused 0");
        let side = Side::start(which, &text)?;
        wait_servers(
            &side,
            &["127.0.0.1:80 no check 1", "127.0.0.2:80 no check 1"],
        )?;
        dns.remove("gone.test");
        dns.set("refused.test", Says::Refused);
        wait_servers(&side, &["127.0.0.1:80 no check 1", UNRESOLVED])?;
        let asked = dns.asked().len();
        wait_for("further questions", LIMIT, || match dns.asked().len() {
            now if now > asked + 12 => Ok(()),
            now => Err(now.to_string()),
        })?;
        wait_servers(&side, &["127.0.0.1:80 no check 1", UNRESOLVED])?;
    }
    Ok(())
}

/// `hold valid` is no time between questions, whatever it says: names are asked again after `timeout resolve`.
#[test]
fn a_valid_answer_is_asked_for_again_as_often_as_by_haproxy() -> Outcome {
    require!("tandemd", "haproxy");
    for (resolve, valid, least, most) in [("100ms", "20s", 6, 17), ("700ms", "50ms", 1, 5)] {
        let mut counts = Vec::new();
        for which in BOTH {
            let dns = NameServer::start()?;
            dns.set("one.test", addresses(&["127.0.0.1"]));
            let text = text(&dns, " server one one.test:80 resolve-prefer ipv4\n").replace(
                "timeout resolve 300ms",
                &format!("timeout resolve {resolve}\n hold valid {valid}"),
            );
            let side = Side::start(which, &text)?;
            wait_servers(&side, &["127.0.0.1:80 no check 1"])?;
            let before = dns.asked().len();
            // What is counted is how often something happens in a time.
            std::thread::sleep(Duration::from_millis(1_500));
            counts.push(dns.asked().len() - before);
        }
        let good = counts.iter().all(|count| (least..=most).contains(count));
        ensure!(
            good,
            "resolve {resolve}, valid {valid}: asked {counts:?} times in 1.5 s"
        );
    }
    Ok(())
}
