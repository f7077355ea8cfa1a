//! The leak soak: everything at once, for `TANDEM_SOAK_SECONDS` (60 in the usual run, 600 by `make soak`): kept and closed
//! connections, HTTP/2, TLS, TCP, WebSocket, clients that leave at every stage, servers that die at every stage. Afterwards
//! nothing is left: descriptors, memory, sessions, gauges.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tandem_tests::beside::{Side, Which, connect, free_port, read_all, read_until, scripted};
use tandem_tests::play::reset;
use tandem_tests::wait::wait_for;
use tandem_tests::{Load, LoadOptions, Origin, Outcome, certificate, ensure, http2, require};

use super::servers::Full;
use super::silent::{info, resident_kib};
use super::stages::{serve, stages};

const SECONDS: u64 = 60;
/// What a first load makes it hold is no growth.
const WARM: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(30);
/// How much more memory the worker may hold at the end than half-way.
const SECOND_HALF_KIB: u64 = 3 * 1024;
/// Descriptors that may be left beside those of the start: connections kept to servers, which are given up later.
const DESCRIPTORS: usize = 0;
/// Time between two requests of a client that misbehaves.
const PAUSE: Duration = Duration::from_millis(10);

/// Where everything listens.
#[derive(Clone, Copy)]
struct Places {
    http: SocketAddr,
    http2: SocketAddr,
    tls: SocketAddr,
    tcp: SocketAddr,
}

fn websocket() -> Outcome<u16> {
    scripted(|mut stream, _| {
        if read_until(&mut stream, "\r\n\r\n").contains("\r\n\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nopen");
            let mut buffer = [0; 4096];
            while let Ok(count) = stream.read(&mut buffer)
                && count > 0
                && stream.write_all(&buffer[..count]).is_ok()
            {}
        }
    })
}

/// One that leaves somewhere: `number` says where and how.
fn leave(places: Places, number: usize) -> Outcome {
    let upload = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000\r\n\r\n";
    let wanted = format!("{upload}{}", "b".repeat(20_000));
    let to = [places.http, places.tcp, places.tls][number % 3];
    let mut stream = connect(to)?;
    // Nothing, in the head, behind the head, in the body.
    let sent = [0, 11, upload.len(), wanted.len()][number / 3 % 4];
    let _ = stream.write_all(&wanted.as_bytes()[..sent]);
    if (number / 12).is_multiple_of(2) {
        reset(stream);
    }
    Ok(())
}

/// One that leaves in an answer.
fn leave_answer(places: Places, number: usize) -> Outcome {
    let mut stream = connect(places.http)?;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let mut buffer = vec![0; [1, 1000, 100_000][number % 3]];
    let _ = stream.read(&mut buffer);
    if number.is_multiple_of(2) {
        reset(stream);
    }
    Ok(())
}

fn upgrade(places: Places, number: usize) -> Outcome {
    let mut stream = connect(places.http)?;
    stream.write_all(b"GET /websocket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")?;
    read_until(&mut stream, "open");
    stream.write_all(b"hello")?;
    let got = read_until(&mut stream, "hello");
    ensure!(got.ends_with("hello"), "the tunnel gave {got:?}");
    if number.is_multiple_of(2) {
        reset(stream);
    }
    Ok(())
}

fn streams(places: Places, number: usize) -> Outcome {
    let mut client = http2::Client::connect(places.http2, &[])?;
    for stream in [1, 3, 5, 7, 9] {
        client.head(stream, &http2::request("GET", "/"), true)?;
    }
    if number.is_multiple_of(2) {
        // Some are cancelled, and the connection goes with those that are left.
        let cancel = http2::code::CANCEL.to_be_bytes();
        client.send(&http2::Frame::new(http2::kind::RST_STREAM, 0, 3, cancel))?;
        return Ok(());
    }
    for stream in [1, 3, 5, 7, 9] {
        if let Err(error) = client.answer(stream)
            && number % 2 == 1
        {
            // Answers come in any order: those behind it were passed over.
            let _ = error;
            break;
        }
    }
    Ok(())
}

fn tls(places: Places) -> Outcome {
    let url = format!("https://{}/", places.tls);
    let output = Command::new("h2load")
        .args(["-t1", "-n60", "-c6", "-m3", &url])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains(" 60 succeeded"), "over TLS: {said}");
    Ok(())
}

fn broken(places: Places, number: usize, count: usize) -> Outcome {
    let mut stream = connect(places.http)?;
    let _ = stream
        .write_all(format!("GET /b{} HTTP/1.1\r\nhost: a\r\n\r\n", number % count).as_bytes());
    stream.set_read_timeout(Some(Duration::from_millis(900)))?;
    let _ = stream.read(&mut [0; 1000]);
    Ok(())
}

/// Asks again and again, on several threads, until told to stop; a failure ends it.
fn again<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    stop: &'scope AtomicBool,
    done: &'scope AtomicU64,
    threads: usize,
    ask: impl Fn(usize) -> Outcome + Send + Sync + Copy + 'scope,
) -> Vec<std::thread::ScopedJoinHandle<'scope, Outcome>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    (0..threads)
        .map(|_| {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ask(NEXT.fetch_add(1, Ordering::Relaxed))?;
                    done.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                Ok(())
            })
        })
        .collect()
}

/// Everything at once for a while; calls `half` in the middle.
fn mixed(places: Places, count: usize, time: Duration, half: impl FnOnce()) -> Outcome<u64> {
    let kept = Load::here(LoadOptions {
        pause: Duration::from_millis(1),
        ..LoadOptions::new(places.http, 8)
    });
    let closing = Load::here(LoadOptions {
        keep_alive: false,
        pause: Duration::from_millis(3),
        ..LoadOptions::new(places.http, 4)
    });
    let posting = Load::here(LoadOptions {
        body_bytes: 100_000,
        pause: Duration::from_millis(5),
        ..LoadOptions::new(places.http, 4)
    });
    let relayed = Load::here(LoadOptions {
        keep_alive: false,
        pause: Duration::from_millis(5),
        ..LoadOptions::new(places.tcp, 4)
    });
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| -> Outcome {
        let mut running = Vec::new();
        running.extend(again(scope, &stop, &done, 3, move |n| leave(places, n)));
        running.extend(again(scope, &stop, &done, 1, move |n| {
            leave_answer(places, n)
        }));
        running.extend(again(scope, &stop, &done, 1, move |n| upgrade(places, n)));
        running.extend(again(scope, &stop, &done, 2, move |n| streams(places, n)));
        running.extend(again(scope, &stop, &done, 1, move |_| tls(places)));
        running.extend(again(scope, &stop, &done, 8, move |n| {
            broken(places, n, count)
        }));
        // The time is what is asked for.
        std::thread::sleep(time / 2);
        half();
        std::thread::sleep(time / 2);
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            thread.join().expect("a client does not panic")?;
        }
        Ok(())
    })?;
    let mut total = done.load(Ordering::Relaxed);
    for (name, load) in [
        ("kept", kept),
        ("closing", closing),
        ("posting", posting),
        ("relayed", relayed),
    ] {
        let tally = load.finish();
        ensure!(
            tally.failures() == 0 && tally.completed > 0,
            "{name}: {} requests, failed: {:?}",
            tally.completed,
            tally.failed
        );
        total += tally.completed;
    }
    Ok(total)
}

/// Gauges that are not zero.
fn gauges(side: &Side) -> Outcome<Vec<String>> {
    let mut left = Vec::new();
    let table = side.command("show stat")?;
    let mut lines = table.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    for line in lines {
        let values: Vec<&str> = line.split(',').collect();
        for (name, value) in names.iter().zip(&values) {
            let is_gauge = ["scur", "qcur", "srv_icur", "used_conn_cur"].contains(name);
            if is_gauge && !matches!(*value, "" | "0") {
                left.push(format!("{}/{} {name}={value}", values[0], values[1]));
            }
        }
    }
    for name in ["CurrConns", "CurrSslConns", "PipesUsed"] {
        let value = info(side, name)?;
        if value != 0 {
            left.push(format!("{name}={value}"));
        }
    }
    let sessions = side.command("show sess")?;
    left.extend(
        sessions
            .lines()
            .filter(|line| line.contains("fe=f"))
            .map(str::to_owned),
    );
    Ok(left)
}

/// Waits until nothing goes on; how many descriptors are left then.
fn calm(side: &Side, descriptors: Option<usize>) -> Outcome<usize> {
    wait_for("nothing to go on", LIMIT, || {
        let left = gauges(side).map_err(|error| error.to_string())?;
        if !left.is_empty() {
            return Err(format!("{left:?}"));
        }
        let now = side.descriptors();
        match descriptors {
            Some(before) if now > before + DESCRIPTORS => {
                Err(format!("{now} descriptors of {before}"))
            }
            _ => Ok(now),
        }
    })
}

#[test]
fn nothing_leaks() -> Outcome {
    require!("tandemd", "h2load");
    let seconds = std::env::var("TANDEM_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    let (origin, full) = (Origin::on_loopback("o")?, Full::start()?);
    let websocket = websocket()?;
    let large = scripted(|mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; 4_000_000]);
    })?;
    let mut backends = String::new();
    let stages = stages();
    for (number, stage) in stages.iter().enumerate() {
        let server = stage.server;
        let port = scripted(move |stream: TcpStream, _| serve(stream, server))?;
        let back = stage
            .back
            .replace("{origin}", &format!("127.0.0.1:{port}"))
            .replace("{healthy}", &format!("127.0.0.1:{}", origin.port()))
            .replace("{full}", &full.address.to_string());
        backends.push_str(&format!("backend b{number}\n{back}"));
    }
    let uses: String = (0..stages.len())
        .map(|number| format!(" use_backend b{number} if {{ path /b{number} }}\n"))
        .collect();
    let (http2, tcp) = (free_port()?, free_port()?);
    let text = format!(
        " timeout client 1s\n timeout server 800ms\n timeout http-request 1s\n timeout http-keep-alive 2s\n retries 1\n\
         frontend f1\n bind {{in}}\n use_backend large if {{ path /large }}\n use_backend websocket if {{ path /websocket }}\n{uses} default_backend o\n\
         frontend f2\n bind 127.0.0.1:{http2} proto h2\n default_backend o\n\
         frontend f3\n bind {{in2}} ssl crt {{dir}}/pem alpn h2,http/1.1\n default_backend o\n\
         frontend f4\n bind 127.0.0.1:{tcp}\n mode tcp\n option tcplog\n default_backend t\n\
         backend o\n server s1 127.0.0.1:{origin} pool-purge-delay 500ms\n\
         backend large\n server s1 127.0.0.1:{large}\n\
         backend websocket\n server s1 127.0.0.1:{websocket}\n\
         backend t\n mode tcp\n server s1 127.0.0.1:{origin}\n{backends}",
        origin = origin.port(),
    );
    let folder = tempfile::Builder::new().prefix("soak-").tempdir()?;
    std::fs::write(
        folder.path().join("pem"),
        certificate::pem(&["example.org"])?,
    )?;
    let side = Side::start_in(Which::Tandem, &text, folder)?;
    let places = Places {
        http: side.address,
        tls: side.second,
        http2: SocketAddr::from(([127, 0, 0, 1], http2)),
        tcp: SocketAddr::from(([127, 0, 0, 1], tcp)),
    };
    let worker = side.serving();
    mixed(places, stages.len(), WARM, || {})?;
    let descriptors = calm(&side, None)?;
    origin.forget();
    side.forget();
    let began = Instant::now();
    let mut half_kib = 0;
    let time = Duration::from_secs(seconds);
    let done = mixed(places, stages.len(), time, || {
        half_kib = resident_kib(worker)
    })?;
    let end_kib = resident_kib(worker);
    let left = calm(&side, Some(descriptors))?;
    println!(
        "{done} exchanges in {:?}; worker: {half_kib} KiB half-way, {end_kib} KiB at the end, {} KiB afterwards; {descriptors} descriptors before, {left} after",
        began.elapsed(),
        resident_kib(worker)
    );
    ensure!(side.serving() == worker, "the worker was replaced");
    ensure!(
        end_kib <= half_kib + SECOND_HALF_KIB,
        "{half_kib} KiB half-way, {end_kib} KiB at the end"
    );
    let mut stream = connect(places.http)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let got = read_all(&mut stream);
    ensure!(
        got.starts_with(b"HTTP/1.1 200"),
        "afterwards: {:?}",
        String::from_utf8_lossy(&got)
    );
    Ok(())
}
