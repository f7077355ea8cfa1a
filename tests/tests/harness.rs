//! The harness itself: each of its tools sees what it should see, so that the scenarios can be believed.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_tests::origin::Answer;
use tandem_tests::sinks::{MailSink, Syslog};
use tandem_tests::terminal::{self, key};
use tandem_tests::{
    Lab, Nginx, Origin, Outcome, ProbeOptions, Prober, Terminal, browser, ensure, http, require,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(5);

fn web1() -> SocketAddr {
    "10.230.150.68:80".parse().expect("a written address")
}

#[test]
fn a_prober_measures_an_outage() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    let origin = Origin::start(lab.host("web1"), 80)?;
    let prober = Prober::start(lab.host("client"), ProbeOptions::new(web1()))?;
    prober.wait_answer_after(Duration::ZERO, LIMIT)?;
    let cut = prober.now();
    lab.cut_link("web1")?;
    std::thread::sleep(Duration::from_millis(500)); // The outage that is to be measured.
    lab.restore_link("web1")?;
    prober.wait_answer_after(cut + Duration::from_millis(500), LIMIT)?;
    let report = prober.finish();
    let outage = report.longest_outage();
    ensure!(
        outage >= Duration::from_millis(480) && outage < Duration::from_millis(1500),
        "measured {outage:?}"
    );
    ensure!(
        !report.failures().is_empty(),
        "no request failed in the outage"
    );
    ensure!(
        report.servers().keys().eq(["web1"]),
        "other servers answered: {:?}",
        report.servers()
    );
    drop(origin);
    Ok(())
}

#[test]
fn an_address_is_found_on_its_hosts() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    ensure!(
        lab.who_has("10.230.137.100")?.is_empty(),
        "the virtual address is there before anybody took it"
    );
    lab.host("a")
        .exec("ip", &["addr", "add", "10.230.137.100/32", "dev", "eth0"])?;
    ensure!(
        lab.who_has("10.230.137.100")? == ["a"],
        "the address is not found on a"
    );
    lab.host("b")
        .exec("ip", &["addr", "add", "10.230.137.100/32", "dev", "eth0"])?;
    ensure!(
        lab.who_has("10.230.137.100")? == ["a", "b"],
        "the address is not found on both"
    );
    Ok(())
}

#[test]
fn an_isolated_host_keeps_its_carrier_and_hears_nothing() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    let _origin = Origin::start(lab.host("web1"), 80)?;
    let reach = || http::get(lab.host("client"), web1(), "/", &[]).is_ok();
    ensure!(reach(), "web1 does not answer at first");
    lab.isolate("client")?;
    let link = lab.host("client").exec("ip", &["link", "show", "eth0"])?;
    ensure!(link.contains("LOWER_UP"), "the carrier is gone: {link}");
    let deaf = lab.host("client").in_network(|| {
        std::net::TcpStream::connect_timeout(&web1(), Duration::from_millis(300)).is_err()
    })?;
    ensure!(deaf, "an isolated host still reaches web1");
    lab.rejoin("client")?;
    wait_until("web1 after the isolation", LIMIT, reach)?;
    Ok(())
}

#[test]
fn an_origin_records_and_obeys() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    let client = lab.host("client");
    let origin = Origin::start(lab.host("web1"), 80)?;
    let answer = http::get(client, web1(), "/", &["X-Test: 1"])?;
    ensure!(
        answer.status == 200 && answer.server() == "web1",
        "{answer:?}"
    );
    ensure!(
        origin.requests()[0].header("x-test") == ["1"],
        "{:?}",
        origin.requests()
    );
    origin.once(Answer::Status(503, b"sorry".to_vec()));
    ensure!(
        http::get(client, web1(), "/", &[])?.status == 503,
        "no 503 on command"
    );
    origin.once(Answer::Reset);
    ensure!(
        http::get(client, web1(), "/", &[]).is_err(),
        "no reset on command"
    );
    ensure!(
        http::get(client, web1(), "/", &[])?.status == 200,
        "it does not recover from its commands"
    );
    ensure!(
        http::get(client, web1(), "/status/404", &[])?.status == 404,
        "no 404 by path"
    );
    let bytes = http::raw(
        client,
        web1(),
        b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    )?;
    ensure!(
        String::from_utf8_lossy(&bytes).contains("POST /echo"),
        "no echo"
    );
    ensure!(
        origin
            .requests()
            .last()
            .is_some_and(|last| last.body == b"abc"),
        "the body was not recorded"
    );
    Ok(())
}

#[test]
fn the_fast_origin_answers_pipelined_requests() -> Outcome {
    require!("root", "tandem-origin");
    let lab = Lab::start()?;
    let program = tandem_tests::requirements::our_program("tandem-origin").expect("required above");
    let origin = lab
        .host("web1")
        .spawn(&program.to_string_lossy(), &["0.0.0.0:80", "10"])?;
    origin.wait_for_log("listening on", LIMIT)?;
    let answer = lab.host("client").in_network(|| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(web1())?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    })??;
    ensure!(answer.matches("xxxxxxxxxx").count() == 2, "{answer}");
    Ok(())
}

#[test]
fn nginx_answers_with_its_name_until_it_is_killed() -> Outcome {
    require!("root", "nginx", "curl");
    let lab = Lab::start()?;
    let client = lab.host("client");
    let mut nginx = Nginx::start(&lab, "web1")?;
    let echo = http::curl(
        client,
        &[
            "--header",
            "X-Forwarded-For: 1.2.3.4",
            "http://10.230.150.68/echo",
        ],
    )?;
    ensure!(echo.body.contains("forwarded-for=1.2.3.4"), "{}", echo.body);
    ensure!(
        http::get(client, web1(), "/status/503", &[])?.status == 503,
        "no 503 by path"
    );
    nginx.kill();
    ensure!(
        http::get(client, web1(), "/", &[]).is_err(),
        "it answers after its death"
    );
    nginx.up()?;
    ensure!(
        http::get(client, web1(), "/", &[])?.server() == "web1",
        "it does not come back"
    );
    Ok(())
}

#[test]
fn sinks_remember_logs_and_mails() -> Outcome {
    require!("root", "socat");
    let lab = Lab::start()?;
    let node = lab.host("a");
    let local = Syslog::on_dev_log(node)?;
    let remote = Syslog::on_udp(node, "127.0.0.1:514".parse().expect("a written address"))?;
    let mails = MailSink::start(node, "127.0.0.1:25".parse().expect("a written address"))?;
    node.exec(
        "sh",
        &[
            "-c",
            "echo '<134>by the socket' | socat - UNIX-SENDTO:/dev/log",
        ],
    )?;
    node.exec(
        "sh",
        &[
            "-c",
            "echo '<134>by the network' | socat - UDP:127.0.0.1:514",
        ],
    )?;
    let dialogue = "printf 'HELO a\\r\\nMAIL FROM:<x@y>\\r\\nRCPT TO:<z@y>\\r\\nDATA\\r\\nSubject: alarm\\r\\n\\r\\ntext\\r\\n.\\r\\nQUIT\\r\\n' | socat -t2 - TCP:127.0.0.1:25";
    node.exec("sh", &["-c", dialogue])?;
    local.wait_for("<134>by the socket", LIMIT)?;
    remote.wait_for("<134>by the network", LIMIT)?;
    let mail = mails.wait_for("Subject: alarm", LIMIT)?;
    ensure!(
        mail.contains("RCPT TO:<z@y>"),
        "the dialogue is missing: {mail}"
    );
    Ok(())
}

#[test]
fn nodes_have_files_and_processes_of_their_own() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    let (a, b) = (lab.host("a"), lab.host("b"));
    a.write("/run/tandem/mark", "a")?;
    a.write("/etc/haproxy/mark", "a")?;
    a.write("/var/lib/haproxy/mark", "a")?;
    for path in [
        "/run/tandem/mark",
        "/etc/haproxy/mark",
        "/var/lib/haproxy/mark",
    ] {
        ensure!(b.read(path).is_err(), "{path} of a is seen on b");
        ensure!(
            std::fs::metadata(path).is_err(),
            "{path} of a is seen outside"
        );
    }
    ensure!(
        a.read("/etc/hosts")?.contains("host1"),
        "a does not know host1"
    );
    let mut sleeper = a.spawn("sleep", &["1000"])?;
    wait_until("the process to be what it was started as", LIMIT, || {
        a.processes().iter().any(|(_, title)| title == "sleep 1000")
    })?;
    ensure!(
        b.processes().is_empty(),
        "b sees processes: {:?}",
        b.processes()
    );
    ensure!(sleeper.is_running(), "the process ended by itself");
    sleeper.kill();
    wait_until("the end of the process", LIMIT, || a.processes().is_empty())?;
    Ok(())
}

#[test]
fn a_terminal_shows_a_programs_screen() -> Outcome {
    require!("root");
    let lab = Lab::start()?;
    let script = "printf '\\033[2J\\033[31mred\\033[0m'; stty size; read answer; echo \"got $answer\"; exit 3";
    let mut terminal = Terminal::start(lab.host("a"), terminal::LARGE, "sh", &["-c", script], &[])?;
    terminal.wait_for_text("40 120", LIMIT)?;
    ensure!(
        terminal.has_colour(),
        "no colour seen:\n{}",
        terminal.text()
    );
    terminal.send(&format!("yes{}", key::ENTER))?;
    terminal.wait_for_text("got yes", LIMIT)?;
    ensure!(terminal.wait(LIMIT)? == 3, "its exit code is lost");
    Ok(())
}

#[test]
fn a_browser_shows_a_page_of_the_lab() -> Outcome {
    require!("root", "chromium");
    let lab = Lab::start()?;
    let origin = Origin::start(lab.host("web1"), 80)?;
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<p id=p>x</p><script>p.textContent = 6 * 7</script>";
    origin.set(Answer::Raw(page.to_vec()));
    let dom = browser::dump_dom(lab.host("client"), lab.folder(), "http://10.230.150.68/")?;
    ensure!(dom.contains(">42</p>"), "{dom}");
    let picture = browser::screenshot(lab.host("client"), lab.folder(), "http://10.230.150.68/")?;
    ensure!(
        std::fs::read(picture)?.starts_with(b"\x89PNG"),
        "the picture is none"
    );
    Ok(())
}
