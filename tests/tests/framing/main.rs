//! Framing: nothing that a client or a server sends comes out of the proxy otherwise than as sound, unambiguous messages.
//!
//! Every case of the corpus goes through a real `tandemd`, whole, split in two at every byte, and byte by byte, to an
//! origin that records all bytes; a reader that shares nothing with the proxy says what they mean.

mod corpus;
mod http2;
mod oracle;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corpus::{Case, Expect};
use oracle::{Kind, Reading};
use tandem_tests::beside::{Side, Which};
use tandem_tests::{Context, Outcome, ensure, require};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Exchanges at a time.
const AT_ONCE: usize = 64;
/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Longer cases are split at so many places only.
const ALL_SPLITS: usize = 400;
const SOME_SPLITS: usize = 40;
/// Between the parts, so that the proxy reads them apart: no condition tells that it did.
const PAUSE: Duration = Duration::from_millis(1);

/// How the bytes of a case are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    At(usize),
    Bytes,
}

fn cuts(length: usize) -> Vec<Cut> {
    let mut cuts = vec![Cut::Whole];
    if length <= ALL_SPLITS {
        cuts.extend((1..length).map(Cut::At));
        cuts.push(Cut::Bytes);
    } else {
        cuts.extend((1..SOME_SPLITS).map(|part| Cut::At(length * part / SOME_SPLITS)));
    }
    cuts
}

async fn send(stream: &mut TcpStream, bytes: &[u8], cut: Cut) -> std::io::Result<()> {
    match cut {
        Cut::Whole => stream.write_all(bytes).await,
        Cut::At(at) => {
            stream.write_all(&bytes[..at]).await?;
            tokio::time::sleep(PAUSE).await;
            stream.write_all(&bytes[at..]).await
        }
        Cut::Bytes => {
            for byte in bytes {
                stream.write_all(std::slice::from_ref(byte)).await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    }
}

/// The language of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// Sends everything and reads to the end: of the connection, once we have ended our direction, or of HTTP/2's stream.
/// What the proxy refuses it may cut short.
async fn ask(
    to: SocketAddr,
    version: Version,
    bytes: &[u8],
    cut: Cut,
) -> Outcome<(SocketAddr, Vec<u8>)> {
    let socket = TcpSocket::new_v4()?;
    let mut stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let own = stream.local_addr()?;
    let mut answer = Vec::new();
    let exchange = async {
        // A refusal may come before all is sent; then the rest cannot be.
        let sent = send(&mut stream, bytes, cut).await.is_ok();
        if sent && version == Version::Http1 {
            let _ = stream.shutdown().await;
        }
        while stream.read_buf(&mut answer).await.unwrap_or(0) > 0 {
            if version == Version::Http2 && http2::is_answered(&answer) {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, exchange)
        .await
        .map_err(|_| tandem_tests::Failure::new("an exchange did not end"))?;
    Ok((own, answer))
}

/// What the origin received, by the client's address of the PROXY header: one text for every connection.
type Records = Arc<Mutex<HashMap<String, Vec<Record>>>>;

#[derive(Debug, Default, Clone)]
struct Record {
    bytes: Vec<u8>,
    ended: bool,
}

/// An origin that answers every sound message and writes down every byte.
async fn record(listener: TcpListener, records: Records) {
    while let Ok((stream, _)) = listener.accept().await {
        let records = Arc::clone(&records);
        tokio::spawn(async move {
            let _ = recorded(stream, records).await;
        });
    }
}

async fn recorded(mut stream: TcpStream, records: Records) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n") {
        header.push(stream.read_u8().await?);
    }
    let header = String::from_utf8_lossy(&header).into_owned();
    let words: Vec<_> = header.split_whitespace().collect();
    let key = format!(
        "{}:{}",
        words.get(2).unwrap_or(&""),
        words.get(4).unwrap_or(&"")
    );
    let index = {
        let mut all = records.lock().unwrap_or_else(PoisonError::into_inner);
        let list = all.entry(key.clone()).or_default();
        list.push(Record::default());
        list.len() - 1
    };
    let mut answered = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        let due = {
            let mut all = records.lock().unwrap_or_else(PoisonError::into_inner);
            let record = &mut all.entry(key.clone()).or_default()[index];
            record.bytes.extend_from_slice(&buffer[..count]);
            record.ended = count == 0;
            oracle::read(Kind::Requests, &record.bytes).messages
        };
        for message in due.iter().skip(answered) {
            let answer: &[u8] = if message.line.starts_with("HEAD ") {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            if let Err(error) = stream.write_all(answer).await {
                // Reset: nothing comes any more.
                let mut all = records.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(key.clone()).or_default()[index].ended = true;
                return Err(error);
            }
        }
        answered = due.len();
        if count == 0 {
            return Ok(());
        }
    }
}

/// What reached the origin of one client, once all its connections have ended.
async fn reached(records: &Records, client: SocketAddr) -> Outcome<Vec<Vec<u8>>> {
    let key = client.to_string();
    let started = std::time::Instant::now();
    loop {
        {
            let mut all = records.lock().unwrap_or_else(PoisonError::into_inner);
            if all
                .get(&key)
                .is_none_or(|list| list.iter().all(|record| record.ended))
            {
                let list = all.remove(&key).unwrap_or_default();
                return Ok(list.into_iter().map(|record| record.bytes).collect());
            }
        }
        ensure!(
            started.elapsed() < LIMIT,
            "the origin's connection of {key} did not end"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// The connections of one client read one after the other.
fn readings(streams: &[Vec<u8>]) -> Reading {
    let mut all = Reading::default();
    for stream in streams {
        let one = oracle::read(Kind::Requests, stream);
        all.messages.extend(one.messages);
        all.cut |= one.cut;
        all.broken = all.broken.or(one.broken);
    }
    all
}

fn judge_request(
    case: &Case,
    version: Version,
    reading: &Reading,
    answer: &[u8],
) -> Result<(), String> {
    if let Some(why) = &reading.broken {
        return Err(format!("the server got something unsound: {why}"));
    }
    let targets: Vec<_> = reading
        .messages
        .iter()
        .map(|message| message.second().to_owned())
        .collect();
    if targets.iter().any(|target| target == corpus::HIDDEN) {
        return Err("the hidden request came out".to_owned());
    }
    let answers = String::from_utf8_lossy(answer)
        .matches(" 200 OK\r\n")
        .count();
    let (count, at_most) = match &case.expect {
        Expect::Refused => (0, 0),
        Expect::Passed(count, _) => (*count, *count),
        Expect::AtMost(count) => (0, *count),
    };
    if !(count..=at_most).contains(&targets.len()) {
        return Err(format!("messages came out: {targets:?}"));
    }
    if version == Version::Http1 && answers != targets.len() {
        return Err(format!("{answers} answers to {} messages", targets.len()));
    }
    if let Expect::Passed(_, body) = &case.expect
        && reading.messages[0].body != *body
    {
        return Err(format!("the content is {:?}", reading.messages[0].body));
    }
    Ok(())
}

#[test]
fn no_request_comes_out_otherwise_than_as_one_sound_message() -> Outcome {
    require!("tandemd");
    let cases = corpus::requests();
    ensure!(cases.len() >= 500, "only {} cases", cases.len());
    through(Version::Http1, cases)
}

#[test]
fn no_request_of_http2_comes_out_otherwise_than_as_one_sound_message() -> Outcome {
    require!("tandemd");
    let cases = http2::requests();
    ensure!(cases.len() >= 300, "only {} cases", cases.len());
    through(Version::Http2, cases)
}

/// Sends all cases in all cuts through a proxy, and judges what reached the origin.
fn through(version: Version, cases: Vec<Case>) -> Outcome {
    let proto = match version {
        Version::Http1 => "",
        Version::Http2 => "proto h2",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = listener.local_addr()?;
        let records = Records::default();
        tokio::spawn(record(listener, Arc::clone(&records)));
        let side = Side::start(
            Which::Tandem,
            &format!(
                "frontend f\n bind {{in}} {proto}\n default_backend b\n\
                 backend b\n option http-server-close\n server s {origin} send-proxy\n"
            ),
        )?;
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = tokio::task::JoinSet::new();
        let address = side.address;
        for case in cases.into_iter().map(Arc::new) {
            for cut in cuts(case.bytes.len()) {
                let permit = Arc::clone(&permits)
                    .acquire_owned()
                    .await
                    .context("a permit")?;
                let (case, records) = (Arc::clone(&case), Arc::clone(&records));
                tasks.spawn(async move {
                    let _permit = permit;
                    let (client, answer) = ask(address, version, &case.bytes, cut).await?;
                    let streams = reached(&records, client).await?;
                    let reading = readings(&streams);
                    let verdict = judge_request(&case, version, &reading, &answer);
                    Outcome::Ok((case, cut, verdict, reading.messages.len(), streams, answer))
                });
            }
        }
        let mut wrong = Vec::new();
        let mut outcomes: HashMap<String, usize> = HashMap::new();
        let mut count = 0;
        while let Some(done) = tasks.join_next().await {
            let (case, cut, verdict, messages, streams, answer) = done.context("a task")??;
            count += 1;
            let verdict = verdict.and_then(|()| {
                let usual = *outcomes.entry(case.name.clone()).or_insert(messages);
                // A stream that breaks off behind a complete head may be seen to do so before or after that is sent.
                if usual == messages || version == Version::Http2 {
                    Ok(())
                } else {
                    Err(format!("{messages} messages, otherwise cut {usual}"))
                }
            });
            if let Err(why) = verdict {
                wrong.push(report(&case, cut, &why, &streams.concat(), &answer));
            }
        }
        println!(
            "{} cases, {count} exchanges, {} wrong",
            outcomes.len(),
            wrong.len()
        );
        fail_if_any(wrong)
    })
}

fn report(case: &Case, cut: Cut, why: &str, server: &[u8], client: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let end = bytes.len().min(300);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    format!(
        "{} ({cut:?}, expected {:?}): {why}\n    sent {:?}\n    to the server {:?}\n    to the client {:?}",
        case.name,
        case.expect,
        text(&case.bytes),
        text(server),
        text(client)
    )
}

/// The first wrong run of every case.
fn fail_if_any(mut wrong: Vec<String>) -> Outcome {
    wrong.sort();
    wrong.dedup_by(|a, b| a.split(" (").next() == b.split(" (").next());
    ensure!(
        wrong.is_empty(),
        "{} cases are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// An origin that answers `/n/CASE/CUT` with the bytes of a case, and everything else with `AFTER`.
async fn misbehave(listener: TcpListener, cases: Arc<Vec<Case>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let cases = Arc::clone(&cases);
        tokio::spawn(async move {
            let _ = misbehaved(stream, &cases).await;
        });
    }
}

async fn misbehaved(mut stream: TcpStream, cases: &[Case]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    loop {
        while oracle::read(Kind::Requests, &input).messages.is_empty() {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
        let message = oracle::read(Kind::Requests, &input).messages.swap_remove(0);
        input.clear();
        let words: Vec<_> = message.second().split('/').collect();
        if let ["", "n", number, cut] = words[..] {
            let case = &cases[number.parse::<usize>().unwrap_or(0)];
            let cut = cut.parse::<usize>().map_or(Cut::Bytes, |at| {
                if at == 0 { Cut::Whole } else { Cut::At(at) }
            });
            send(&mut stream, &case.bytes, cut).await?;
            // What hides behind an answer waits on the kept connection for the next request.
            if !case.bytes.windows(6).any(|part| part == b"hidden") {
                return stream.shutdown().await;
            }
        } else {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nAFTER")
                .await?;
        }
    }
}

/// What hides behind an answer must come with it: bytes that come later belong to the next answer for every reader.
fn answer_cuts(bytes: &[u8]) -> Vec<Cut> {
    let hidden = bytes.windows(6).position(|part| part == b"hidden");
    let Some(hidden) = hidden else {
        return cuts(bytes.len());
    };
    let before = bytes[..hidden]
        .windows(9)
        .rposition(|part| part == b"HTTP/1.1 ");
    let mut cuts = cuts(before.unwrap_or(hidden));
    cuts.retain(|cut| *cut != Cut::Bytes);
    cuts
}

fn judge_answer(case: &Case, answer: &[u8]) -> Result<(), String> {
    if answer.windows(6).any(|part| part == b"hidden") {
        return Err("the hidden answer came out".to_owned());
    }
    let reading = oracle::read(Kind::Answers, answer);
    if let Some(why) = &reading.broken {
        return Err(format!("the client got something unsound: {why}"));
    }
    let first = reading.messages.first();
    match &case.expect {
        Expect::Refused => match first {
            None if reading.cut => Ok(()),
            Some(message) if message.second() == "502" => Ok(()),
            other => Err(format!(
                "the client got {:?}",
                other.map(|message| &message.line)
            )),
        },
        Expect::Passed(count, body) => {
            let own: Vec<_> = reading
                .messages
                .iter()
                .filter(|message| message.body != b"AFTER")
                .collect();
            if own.len() != *count || own[0].body != *body {
                return Err(format!("the client got {own:?}"));
            }
            Ok(())
        }
        Expect::AtMost(_) => Ok(()),
    }
}

#[test]
fn no_answer_comes_out_otherwise_than_as_one_sound_message() -> Outcome {
    require!("tandemd");
    let cases = Arc::new(corpus::answers());
    ensure!(cases.len() >= 150, "only {} cases", cases.len());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = listener.local_addr()?;
        tokio::spawn(misbehave(listener, Arc::clone(&cases)));
        let side = Side::start(
            Which::Tandem,
            &format!(
                "frontend f\n bind {{in}}\n default_backend b\n\
                 backend b\n http-reuse always\n retries 0\n server s {origin}\n"
            ),
        )?;
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = tokio::task::JoinSet::new();
        let address = side.address;
        for number in 0..cases.len() {
            for cut in answer_cuts(&cases[number].bytes) {
                let permit = Arc::clone(&permits)
                    .acquire_owned()
                    .await
                    .context("a permit")?;
                tasks.spawn(async move {
                    let _permit = permit;
                    let place = match cut {
                        Cut::Whole => "0".to_owned(),
                        Cut::At(at) => at.to_string(),
                        Cut::Bytes => "b".to_owned(),
                    };
                    let requests = format!(
                        "GET /n/{number}/{place} HTTP/1.1\r\nHost: a\r\n\r\n\
                         GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
                    );
                    let (_, answer) =
                        ask(address, Version::Http1, requests.as_bytes(), Cut::Whole).await?;
                    Outcome::Ok((number, cut, answer))
                });
            }
        }
        let mut wrong = Vec::new();
        let mut count = 0;
        while let Some(done) = tasks.join_next().await {
            let (number, cut, answer) = done.context("a task")??;
            count += 1;
            if let Err(why) = judge_answer(&cases[number], &answer) {
                wrong.push(report(&cases[number], cut, &why, b"", &answer));
            }
        }
        println!(
            "{} cases, {count} exchanges, {} wrong",
            cases.len(),
            wrong.len()
        );
        fail_if_any(wrong)
    })
}
