//! Servers that speak HTTP/2: their floods, and their figures.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tandem_tests::beside::{BOTH, Side, Which, scripted};
use tandem_tests::http2::{Frame, kind};
use tandem_tests::{Outcome, ensure, require};

/// What a server says again and again.
type Flood = fn() -> Vec<u8>;

/// A server that says its settings and then one thing only, until it is not heard any more.
fn flooding(flood: Flood) -> Outcome<u16> {
    scripted(move |mut stream: TcpStream, _| {
        let settings = Frame::new(kind::SETTINGS, 0, 0, []).bytes();
        if stream.write_all(&settings).is_err() {
            return;
        }
        // What we say meanwhile is read, so that nobody waits for room.
        let reader = stream.try_clone();
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(reader) = &reader
                && let Ok(1..) = (&*reader).read(&mut buffer)
            {}
        });
        let many = flood().repeat(100);
        for _ in 0..10_000 {
            if stream.write_all(&many).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = reading.join();
    })
}

fn curl(side: &Side) -> Outcome<String> {
    let output = Command::new("timeout")
        .args(["20", "curl", "-s", "-m", "15", "-o", "/dev/null"])
        .args(["-w", "%{http_code}", &format!("http://{}/", side.address)])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_server_that_floods_loses_its_connection_with_a_count_and_a_log_line() -> Outcome {
    require!("tandemd", "curl");
    let cases: [(&str, Flood); 4] = [
        ("pings", || Frame::new(kind::PING, 0, 0, [0; 8]).bytes()),
        ("settings", || Frame::new(kind::SETTINGS, 0, 0, []).bytes()),
        ("window updates", || {
            Frame::new(kind::WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]).bytes()
        }),
        ("priorities or unknown frames", || {
            Frame::new(99, 0, 0, []).bytes()
        }),
    ];
    for (name, flood) in cases {
        let port = flooding(flood)?;
        let text =
            format!("listen l\n bind {{in}}\n retries 0\n server s1 127.0.0.1:{port} proto h2\n");
        let side = Side::start(Which::Tandem, &text)?;
        let status = curl(&side)?;
        ensure!(status.starts_with("50"), "{name}: {status}");
        let lines = side.wait_lines("HTTP/2 connection closed", 1)?;
        ensure!(
            lines[0].contains("l/s1: ") && lines[0].contains(name),
            "{name}: {lines:?}"
        );
        let info = side.command("show info")?;
        let counted = info
            .lines()
            .any(|line| line.starts_with("H2Flood") && line.ends_with(": 1"));
        ensure!(counted, "{name}: it is not counted: {info}");
        side.wait_stat("l", "s1", "scur", "0")?;
        side.wait_stat("l", "s1", "srv_icur", "0")?;
    }
    Ok(())
}

#[test]
fn sessions_and_requests_are_counted_by_protocol() -> Outcome {
    require!("tandemd", "curl", "h2load");
    let text = "frontend l\n bind {in}\n http-request return status 200\n";
    let side = Side::start(Which::Tandem, text)?;
    let url = format!("http://{}/", side.address);
    let two = ["--http1.1", "-s", &url, &url];
    for (program, arguments) in [("h2load", &["-n3", "-c1", &url][..]), ("curl", &two)] {
        let output = Command::new("timeout")
            .args(["20", program])
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{program}: {output:?}");
    }
    for (column, wanted) in [
        ("h2sess", "1"),
        ("h2req", "3"),
        ("h1sess", "1"),
        ("h1req", "2"),
    ] {
        side.wait_stat("l", "FRONTEND", column, wanted)?;
    }
    Ok(())
}

#[test]
fn a_shared_connection_without_requests_counts_as_idle() -> Outcome {
    require!("haproxy", "tandemd", "curl");
    let origin = scripted(|mut stream: TcpStream, _| {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        while let Ok(1..) = stream.read(&mut [0; 4_096]) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })?;
    for which in BOTH {
        let text = format!(
            "listen l\n bind {{in}}\n http-reuse always\n server s1 {{in2}} proto h2\nlisten inner\n bind {{in2}} proto h2\n \
             server s1 127.0.0.1:{origin}\n"
        );
        let side = Side::start(which, &text)?;
        ensure!(curl(&side)? == "200", "{which:?}: no answer");
        side.wait_stat("l", "s1", "srv_icur", "1")?;
    }
    Ok(())
}
