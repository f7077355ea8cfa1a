//! Bad input of every kind: a clear error or a refusal, and nothing else disturbed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tandem_tests::requirements::our_program;
use tandem_tests::scenario::{NODE, Pair, Single, node_address, vip};
use tandem_tests::{
    Failure, Host, Lab, Node, NodeFiles, NodeKind, Outcome, ProbeOptions, Prober, article,
    certificate, ensure, http, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Runs `tandemd -c` on files in a host; returns whether it was content, and what it said.
fn check(host: &Host, files: &[(&str, &str)]) -> Outcome<(Option<i32>, String)> {
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let mut command = host.command(program);
    command.arg("-c");
    for (path, text) in files {
        host.write(path, text)?;
        command.args(["-f", path]);
    }
    let output = command.output()?;
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    ))
}

fn refused(host: &Host, files: &[(&str, &str)], words: &[&str]) -> Outcome {
    let (code, said) = check(host, files)?;
    ensure!(
        code == Some(1),
        "exit code {code:?} for a broken file; it said: {said}"
    );
    for word in words {
        ensure!(said.contains(word), "{word:?} is missing in: {said}");
    }
    Ok(())
}

#[test]
fn broken_files_are_refused_with_all_their_errors() -> Outcome {
    require!("root", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    let (code, said) = check(
        host,
        &[
            ("/etc/ok.cfg", article::haproxy()),
            ("/etc/ok.conf", article::keepalived()),
        ],
    )?;
    ensure!(code == Some(0), "the article's files are refused: {said}");
    let broken = article::haproxy()
        .replace("balance roundrobin", "balanec roundrobin")
        .replace("bind :80", "bind :99999");
    refused(
        host,
        &[("/etc/broken.cfg", &broken)],
        &["/etc/broken.cfg:", "balanec", "balance", "99999"],
    )?;
    let broken = article::keepalived()
        .replace("virtual_router_id 50", "virtual_router_id 500")
        .replace("advert_int", "advertint");
    refused(
        host,
        &[("/etc/broken.conf", &broken)],
        &["/etc/broken.conf:", "500"],
    )?;
    refused(
        host,
        &[(
            "/etc/none.cfg",
            "frontend f\n bind :80 ssl crt /nowhere.pem\n",
        )],
        &["/etc/none.cfg:2", "/nowhere.pem"],
    )?;
    let other = certificate::pem(&["other"])?;
    let good = certificate::pem(&["good"])?;
    let key = other
        .find("-----BEGIN PRIVATE KEY")
        .ok_or_else(|| Failure::new("no key in the PEM"))?;
    let end = good
        .find("-----BEGIN PRIVATE KEY")
        .ok_or_else(|| Failure::new("no key in the PEM"))?;
    host.write(
        "/etc/mixed.pem",
        format!("{}{}", &good[..end], &other[key..]),
    )?;
    refused(
        host,
        &[(
            "/etc/mixed.cfg",
            "frontend f\n mode http\n bind :80 ssl crt /etc/mixed.pem\n",
        )],
        &["/etc/mixed.cfg:3", "/etc/mixed.pem"],
    )?;
    let nameless = "backend b\n mode http\n server s does-not-exist.invalid:80\n";
    refused(
        host,
        &[("/etc/nameless.cfg", nameless)],
        &["does-not-exist.invalid"],
    )
}

#[test]
fn what_is_missing_is_named_with_file_and_line() -> Outcome {
    require!("root", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    let server = "backend b\n mode http\n server s does-not-exist.invalid:80";
    refused(
        host,
        &[("/etc/name.cfg", server)],
        &["/etc/name.cfg:3", "does-not-exist.invalid"],
    )?;
    for lenient in ["init-addr none", "init-addr last,libc,none"] {
        let (code, said) = check(host, &[("/etc/name.cfg", &format!("{server} {lenient}\n"))])?;
        ensure!(code == Some(0), "{lenient} is refused: {said}");
    }
    refused(
        host,
        &[(
            "/etc/user.cfg",
            "global\n group no-such-group\n stats socket /run/s level user user no-such-user\n",
        )],
        &[
            "/etc/user.cfg:2",
            "no-such-group",
            "/etc/user.cfg:3",
            "no-such-user",
        ],
    )?;
    // The errors of both languages, each in its file.
    refused(
        host,
        &[
            ("/etc/both.cfg", "defaults\n mode htpp\n"),
            (
                "/etc/both.conf",
                "vrrp_instance R {\n interface eth0\n virtual_router_id 0\n}\n",
            ),
        ],
        &["/etc/both.cfg:2", "/etc/both.conf:3"],
    )?;
    // A directory: its files in order, and the mistakes of each.
    host.write(
        "/etc/parts/10-defaults.cfg",
        "defaults\n mode http\n timeout client 1s\n",
    )?;
    host.write(
        "/etc/parts/20-web.cfg",
        "frontend f\n bind :80\n bidn :81\n",
    )?;
    host.write("/etc/parts/30-vrrp.conf", article::keepalived())?;
    host.write("/etc/parts/notes.txt", "no configuration at all")?;
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let run = |files: &[&str]| -> Outcome<(Option<i32>, String)> {
        let mut command = host.command(&program);
        command.arg("-c");
        for file in files {
            command.args(["-f", file]);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.code(), said))
    };
    let (code, said) = run(&["/etc/parts"])?;
    ensure!(
        code == Some(1) && said.contains("/etc/parts/20-web.cfg:3"),
        "{code:?}: {said}"
    );
    host.write("/etc/parts/20-web.cfg", "frontend f\n bind :80\n")?;
    let (code, said) = run(&["/etc/parts"])?;
    ensure!(code == Some(0), "a directory is refused: {said}");
    let (code, said) = run(&["/etc/absent.cfg", "/etc/parts"])?;
    ensure!(
        code == Some(1) && said.contains("/etc/absent.cfg"),
        "{code:?}: {said}"
    );
    Ok(())
}

#[test]
fn an_occupied_port_ends_the_start_with_its_name() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let lab = Lab::start()?;
    let _other = tandem_tests::Origin::start(lab.host("a"), 80)?;
    let mut node = Node::start_unready(
        &lab,
        "a",
        NodeKind::Tandem,
        NodeFiles::proxy(article::haproxy()),
    )?;
    let status = node.main().wait(LIMIT)?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    ensure!(
        node.log().contains(":80"),
        "the port is not named: {}",
        node.log()
    );
    Ok(())
}

#[test]
fn odd_requests_are_refused_and_disturb_nobody() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let setup = Single::start(NodeKind::Tandem, NodeFiles::proxy(article::haproxy()))?;
    let client = setup.lab.host("client").clone();
    wait_until("the servers", LIMIT, || {
        setup.get("/").is_ok_and(|answer| answer.status == 200)
    })?;
    let workers = setup.node.pids(tandem_tests::Part::Worker);
    let prober = Prober::start(
        &client,
        ProbeOptions {
            timeout: Duration::from_secs(2),
            ..ProbeOptions::new(node_address())
        },
    )?;
    prober.wait_answer_after(Duration::ZERO, LIMIT)?;

    let long = [
        b"GET /".as_slice(),
        &vec![b'a'; 1 << 20],
        b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .concat();
    let cases: [(&str, &[u8]); 8] = [
        ("a request line of 1 MB", &long),
        ("both lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
        ("a bare line feed in a name", b"GET / HTTP/1.1\r\nHost: x\r\nA\n: b\r\n\r\n"),
        ("a zero byte in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"),
        ("a blank before the colon", b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n"),
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("a bad chunk size", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n0\r\n\r\n"),
    ];
    for (what, bytes) in cases {
        // A reset instead of an answer is a refusal too.
        let Ok(answer) = http::raw(&client, node_address(), bytes) else {
            continue;
        };
        let status = http::Answer::parse(&answer).map(|answer| answer.status);
        ensure!(
            matches!(status, None | Some(400 | 414 | 431)),
            "{what} was answered with {status:?}"
        );
    }
    // Garbage on the control socket, in text and in the first bytes of anything else.
    for bytes in [
        b"\0\0\0\0\xff\xff\xff\xff".as_slice(),
        &vec![b'x'; 100_000],
        b"\xff\xfe\n",
    ] {
        use std::io::Write;
        let mut stream = setup.node.socket().connect()?;
        let _ = stream.write_all(bytes);
    }
    setup.node.command("show info")?;
    let report = prober.finish();
    ensure!(
        report.failures().is_empty(),
        "others were disturbed: {}",
        tandem_tests::scenario::summary(&report)
    );
    ensure!(
        setup.node.pids(tandem_tests::Part::Worker) == workers,
        "the worker was replaced"
    );
    Ok(())
}

/// A VRRP advertisement (RFC 3768 5.1) with what is asked for; the checksum is right unless spoilt.
fn advertisement(priority: u8, password: &[u8; 8], spoil: bool) -> Vec<u8> {
    let mut packet = vec![0x21, 50, priority, 1, 1, 1, 0, 0];
    packet.extend(
        VIP.parse::<Ipv4Addr>()
            .map(|address| address.octets())
            .unwrap_or_default(),
    );
    packet.extend(password);
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !(sum as u16) ^ u16::from(spoil);
    packet[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Says each of some packets with its TTL to the VRRP group, ten times a second for five seconds: more often than the
/// master itself.
fn forge(host: &Host, packets: Vec<(Vec<u8>, u32)>) -> Outcome<usize> {
    let sent = host.in_network(move || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
        socket.set_multicast_if_v4(&Ipv4Addr::new(10, 230, 200, 1))?;
        let group = SocketAddr::from(([224, 0, 0, 18], 0)).into();
        let mut sent = 0;
        for _ in 0..50 {
            for (packet, ttl) in &packets {
                socket.set_multicast_ttl_v4(*ttl)?;
                socket.send_to(packet, &group)?;
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(100)); // The pace of the forger.
        }
        Ok::<usize, std::io::Error>(sent)
    })??;
    Ok(sent)
}

/// The other side of the next test: were the packets not broken, they would depose a master.
#[test]
fn a_right_advertisement_deposes_keepalived() -> Outcome {
    require!("root", "users", "haproxy", "keepalived", "killall", "nginx");
    let pair = Pair::start(NodeKind::Peer, NodeKind::Peer)?;
    forge(
        pair.lab.host("client"),
        vec![(advertisement(255, b"passwd\0\0", false), 255)],
    )?;
    ensure!(
        pair.lab.who_has(VIP)?.is_empty(),
        "it is still on {:?}",
        pair.lab.who_has(VIP)?
    );
    Ok(())
}

#[test]
fn forged_and_broken_advertisements_change_nothing() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    let prober = Prober::start(pair.lab.host("client"), ProbeOptions::new(vip()))?;
    prober.wait_answer_after(Duration::ZERO, LIMIT)?;
    let mark = prober.now();
    let before = (pair.a.transitions(), pair.b.transitions());
    let wrong_password = advertisement(255, b"wrong\0\0\0", false);
    let right = advertisement(255, b"passwd\0\0", false);
    let packets = vec![
        (wrong_password, 255),
        (advertisement(255, b"passwd\0\0", true), 255),
        (right[..7].to_vec(), 255),
        (right[..12].to_vec(), 255),
        (Vec::new(), 255),
        // RFC 3768 7.1: the TTL has to be 255.
        (right, 254),
    ];
    let sent = forge(pair.lab.host("client"), packets)?;
    ensure!(sent == 300, "{sent} packets sent");
    ensure!(
        pair.lab.who_has(VIP)? == ["a"],
        "the address moved: {:?}",
        pair.lab.who_has(VIP)?
    );
    prober.wait_answer_after(prober.now(), LIMIT)?;
    let report = prober.finish().between(mark, Duration::MAX);
    let outage = report.longest_outage();
    ensure!(
        outage < Duration::from_secs(1),
        "the address was silent for {outage:?} under forged advertisements"
    );
    let after = (pair.a.transitions(), pair.b.transitions());
    ensure!(
        before == after && before.0 > 0,
        "changes of state before and after: {before:?}, {after:?}"
    );
    Ok(())
}

#[test]
fn a_taken_control_socket_is_a_warning() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let setup = Single::start(NodeKind::Tandem, NodeFiles::proxy(article::haproxy()))?;
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let host = setup.node.host();
    host.write(
        "/etc/second.cfg",
        article::haproxy()
            .replace("bind :80", "bind :81")
            .replace("haproxy.pid", "second.pid"),
    )?;
    let mut second = host.spawn(
        &program.to_string_lossy(),
        &[
            "-db",
            "-f",
            "/etc/second.cfg",
            "--socket",
            "/run/tandem/tandem.sock",
        ],
    )?;
    let on_81: SocketAddr = format!("{NODE}:81")
        .parse()
        .map_err(|_| Failure::new("no address"))?;
    let client = setup.lab.host("client");
    wait_until("the second daemon", LIMIT, || {
        http::get(client, on_81, "/", &[]).is_ok()
    })?;
    ensure!(second.is_running(), "the second daemon ended");
    ensure!(
        second.log().contains("tandem.sock"),
        "the taken socket is not named: {}",
        second.log()
    );
    setup.node.command("show info")?;
    Ok(())
}
