//! Random bodies of random sizes, both ways in turn on kept connections, in random pieces with pauses, through every pair of
//! transports and both framings: each byte is checked at each end.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tandem_tests::beside::{Side, Which, connect, free_port, scripted};
use tandem_tests::{Outcome, certificate, ensure, require};

const CONNECTIONS: u64 = 2;
const REQUESTS: u64 = 10;
/// Bodies are shorter than 2 to the power of this: 8 MiB.
const MAX_SIZE_BITS: u64 = 23;
const MAX_PIECE: u64 = 200_000;
/// A pause is longer than what any part of a proxy might wait for more.
const MAX_PAUSE_MS: u64 = 15;

/// xorshift64*: the same seed gives the same bytes at both ends.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn bytes(seed: u64, size: usize) -> Vec<u8> {
        let mut random = Self::new(seed);
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        bytes.truncate(size);
        bytes
    }
}

/// What a message carries: told to the other end in its head.
#[derive(Clone, Copy, Debug)]
struct Body {
    seed: u64,
    size: usize,
    chunked: bool,
}

impl Body {
    /// As many small ones as large ones.
    fn random(random: &mut Random) -> Self {
        let bits = random.below(MAX_SIZE_BITS + 1);
        Self {
            seed: random.next(),
            size: random.below(1 << bits) as usize,
            chunked: random.below(2) == 0,
        }
    }

    fn fields(self) -> String {
        let Self {
            seed,
            size,
            chunked,
        } = self;
        if chunked {
            format!("x-body: {seed} {size}\r\ntransfer-encoding: chunked\r\n")
        } else {
            format!("x-body: {seed} {size}\r\ncontent-length: {size}\r\n")
        }
    }

    /// Sends it in pieces with a few pauses.
    fn send(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut random = Random::new(self.seed ^ 1);
        let bytes = Self::bytes(self);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let piece = (1 + random.below(MAX_PIECE) as usize).min(rest.len());
            if self.chunked {
                write!(stream, "{piece:x}\r\n")?;
            }
            stream.write_all(&rest[..piece])?;
            if self.chunked {
                stream.write_all(b"\r\n")?;
            }
            rest = &rest[piece..];
            if random.below(8) == 0 {
                std::thread::sleep(Duration::from_millis(random.below(MAX_PAUSE_MS)));
            }
        }
        if self.chunked {
            stream.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    }

    fn bytes(self) -> Vec<u8> {
        Random::bytes(self.seed, self.size)
    }
}

/// A message as it came: its first line, and whether its body is what its head says.
struct Received {
    first_line: String,
    verdict: String,
    fields: Vec<String>,
}

/// Reads one message; `None` is the end of the connection.
fn receive(stream: &mut impl BufRead) -> std::io::Result<Option<Received>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let mut body = Vec::new();
    if let Some(length) = field("content-length") {
        body.resize(length.parse().map_err(std::io::Error::other)?, 0);
        stream.read_exact(&mut body)?;
    } else {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
            let start = body.len();
            body.resize(start + size, 0);
            stream.read_exact(&mut body[start..])?;
            stream.read_exact(&mut [0; 2])?;
            if size == 0 {
                break;
            }
        }
    }
    let told: Vec<u64> = field("x-body")
        .unwrap_or_default()
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let verdict = match told[..] {
        [seed, size] if body == Random::bytes(seed, size as usize) => "whole".to_owned(),
        [seed, size] => {
            let wanted = Random::bytes(seed, size as usize);
            let wrong = body
                .iter()
                .zip(&wanted)
                .position(|(came, sent)| came != sent);
            format!("{} of {size} bytes, wrong at {wrong:?}", body.len())
        }
        _ => "its head does not tell of its body".to_owned(),
    };
    Ok(Some(Received {
        first_line: lines.first().cloned().unwrap_or_default(),
        verdict,
        fields: lines,
    }))
}

/// Answers each request with the body that its target names, and with what it thinks of the request's.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = receive(&mut reader)? {
        let target = request.first_line.split(' ').nth(1).unwrap_or_default();
        let words: Vec<u64> = target
            .split('/')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [seed, size, chunked] = words[..] else {
            return Ok(());
        };
        let body = Body {
            seed,
            size: size as usize,
            chunked: chunked == 1,
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nx-request: {}\r\n{}\r\n",
            request.verdict,
            body.fields()
        )?;
        body.send(&mut stream)?;
    }
    Ok(())
}

/// Exchanges on one kept connection.
fn exchange(to: SocketAddr, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let mut stream = connect(to)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    for number in 0..REQUESTS {
        let (up, down) = (Body::random(&mut random), Body::random(&mut random));
        let what = format!("{to}, seed {seed}, request {number}: up {up:?}, down {down:?}");
        let head = format!(
            "POST /{}/{}/{} HTTP/1.1\r\nhost: a\r\n{}\r\n",
            down.seed,
            down.size,
            u8::from(down.chunked),
            up.fields()
        );
        stream.write_all(head.as_bytes())?;
        up.send(&mut stream)
            .map_err(|error| tandem_tests::failure::Failure::new(format!("{what}: {error}")))?;
        let answer = receive(&mut reader)
            .map_err(|error| tandem_tests::failure::Failure::new(format!("{what}: {error}")))?;
        let Some(answer) = answer else {
            return Err(tandem_tests::failure::Failure::new(format!(
                "{what}: no answer"
            )));
        };
        ensure!(
            answer.fields.contains(&"x-request: whole".to_owned()) && answer.verdict == "whole",
            "{what}: {:?}, the answer is {}",
            answer.fields,
            answer.verdict
        );
    }
    Ok(())
}

/// Through plain HTTP, through TCP, and by way of three listeners through plain to TLS, TLS to TLS and TLS to plain.
fn check(global: &str) -> Outcome {
    let origin = scripted(|stream, _| {
        // A client that ends in the middle shows at the client.
        let _ = serve(stream);
    })?;
    let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
    std::fs::write(folder.path().join("pem"), certificate::pem(&["localhost"])?)?;
    let (tcp, middle, last) = (free_port()?, free_port()?, free_port()?);
    let text = format!(
        "{global}
 timeout client 60s
 timeout server 60s
listen plain
 bind {{in}}
 server s1 127.0.0.1:{origin}
listen tcp
 mode tcp
 option tcplog
 bind 127.0.0.1:{tcp}
 server s1 127.0.0.1:{origin}
listen first
 bind {{in2}}
 server s1 127.0.0.1:{middle} ssl verify none
listen middle
 bind 127.0.0.1:{middle} ssl crt {{dir}}/pem
 server s1 127.0.0.1:{last} ssl verify none
listen last
 bind 127.0.0.1:{last} ssl crt {{dir}}/pem
 server s1 127.0.0.1:{origin}
"
    );
    let side = Side::start_in(Which::Tandem, &text, folder)?;
    let seed = RandomState::new().build_hasher().finish();
    let entries = [
        side.address,
        side.second,
        SocketAddr::from(([127, 0, 0, 1], tcp)),
    ];
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for entry in entries {
            for number in 0..CONNECTIONS {
                running.push(scope.spawn(move || exchange(entry, seed.wrapping_add(number))));
            }
        }
        running
            .into_iter()
            .map(|thread| thread.join().expect("no exchange panics"))
            .collect()
    });
    let names = ["plain", "TLS", "TCP"];
    let failed: Vec<String> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(place, outcome)| {
            let error = outcome.as_ref().err()?;
            Some(format!("{}: {error}", names[place / CONNECTIONS as usize]))
        })
        .collect();
    ensure!(
        failed.is_empty(),
        "{}\n{}",
        failed.join("\n"),
        side.lines().join("")
    );
    Ok(())
}

#[test]
fn random_bodies_arrive_whole_by_pipes() -> Outcome {
    require!("tandemd");
    check("")
}

#[test]
fn random_bodies_arrive_whole_by_copies() -> Outcome {
    require!("tandemd");
    check("global:nosplice")
}
