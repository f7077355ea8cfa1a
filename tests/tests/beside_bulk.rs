//! Large bodies through HTTP, TCP and TLS at once, each byte checked.

use std::io::{Read, Write};

use tandem_tests::beside::{Side, Which, connect, read_all, scripted};
use tandem_tests::{Outcome, certificate, ensure, require};

/// Bytes whose place in the stream shows in them, so that loss, doubling and exchange are seen.
fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

const LARGE: usize = 100 << 20;

fn check_large(stream: &mut impl Read) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0u64;
    while at < LARGE as u64 {
        let wanted = buffer.len().min(LARGE - at as usize);
        let count = stream.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Ok(at);
        }
        if let Some(wrong) = (0..count).find(|&index| buffer[index] != pattern(at + index as u64)) {
            return Err(std::io::Error::other(format!(
                "byte {} is wrong",
                at + wrong as u64
            )));
        }
        at += count as u64;
    }
    Ok(at)
}

fn send_large(stream: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < LARGE {
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = pattern((at + index) as u64);
        }
        stream.write_all(&buffer)?;
        at += buffer.len();
    }
    Ok(())
}

/// 100 MiB down and up at once, through HTTP, TCP and TLS, each byte checked.
#[test]
fn large_bodies_arrive_whole() -> Outcome {
    require!("curl", "tandemd");
    let origin = scripted(|mut stream, _| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let _ = if head.starts_with(b"GET") {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {LARGE}\r\n\r\n"
            )
            .and_then(|()| send_large(&mut stream))
        } else {
            let told = check_large(&mut stream)
                .map_or_else(|error| error.to_string(), |count| count.to_string());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{told}",
                told.len()
            )
        };
    })?;
    let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
    std::fs::write(folder.path().join("pem"), certificate::pem(&["localhost"])?)?;
    let tcp = tandem_tests::beside::free_port()?;
    let text = format!(
        "listen h\n bind {{in}}\n bind {{in2}} ssl crt {{dir}}/pem\n server s1 127.0.0.1:{origin}\nlisten t\n mode tcp\n option tcplog\n bind 127.0.0.1:{tcp}\n server s1 127.0.0.1:{origin}\n"
    );
    let side = Side::start_in(Which::Tandem, &text, folder)?;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let (plain, tls) = (side.address, side.second);
        let tcp = std::net::SocketAddr::from(([127, 0, 0, 1], tcp));
        let mut running = Vec::new();
        for to in [plain, tcp] {
            running.push(scope.spawn(move || download(to)));
            running.push(scope.spawn(move || upload(to)));
        }
        running.push(scope.spawn(move || {
            let mut child = std::process::Command::new("curl")
                .args([
                    "--silent",
                    "--insecure",
                    "--http1.1",
                    "--noproxy",
                    "*",
                    &format!("https://{tls}/"),
                ])
                .stdout(std::process::Stdio::piped())
                .spawn()?;
            let count = child.stdout.as_mut().map(check_large).transpose()?;
            let status = child.wait()?;
            ensure!(
                count == Some(LARGE as u64) && status.success(),
                "TLS download: {count:?}, {status}"
            );
            Ok(())
        }));
        running.push(scope.spawn(move || {
            let mut child = std::process::Command::new("curl")
                .args([
                    "--silent",
                    "--insecure",
                    "--http1.1",
                    "--noproxy",
                    "*",
                    "--header",
                    "Expect:",
                    "--header",
                ])
                .arg(format!("Content-Length: {LARGE}"))
                .args([
                    "--header",
                    "Transfer-Encoding:",
                    "--request",
                    "PUT",
                    "--upload-file",
                    "-",
                    &format!("https://{tls}/"),
                ])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                send_large(&mut input)?;
            }
            let output = child.wait_with_output()?;
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(
                told == LARGE.to_string(),
                "TLS upload: {told}, {}",
                output.status
            );
            Ok(())
        }));
        running
            .into_iter()
            .map(|thread| thread.join().expect("no transfer panics"))
            .collect()
    });
    outcomes.into_iter().collect()
}

fn download(to: std::net::SocketAddr) -> Outcome {
    let mut stream = connect(to)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let count = check_large(&mut stream)?;
    ensure!(count == LARGE as u64, "{to}: {count} bytes came");
    ensure!(
        read_all(&mut stream).is_empty(),
        "{to}: more came than was sent"
    );
    Ok(())
}

fn upload(to: std::net::SocketAddr) -> Outcome {
    let mut stream = connect(to)?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {LARGE}\r\n\r\n"
    )?;
    send_large(&mut stream)?;
    let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    ensure!(answer.ends_with(&LARGE.to_string()), "{to}: {answer}");
    Ok(())
}
