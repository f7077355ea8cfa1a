//! Asking all name servers of a section at once: UDP, and TCP for what did not fit. The first good answer counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::message::{Answer, Kind, Question};
use super::{Asked, Section};
use crate::app::Shared;

/// Most datagrams to one question that are looked at.
const MAX_DATAGRAMS: u32 = 16;
/// Room behind the announced payload, to see that an answer is larger.
const SPARE_BYTES: usize = 1;

/// What came of a question.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer, and the index of who gave it.
    Answered(Answer, usize),
    /// Nobody answered in time.
    Silence,
}

/// Asks for a name's records. Without a good answer the last one counts; an answer that is an error waits for the others.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    section_index: usize,
    name: &str,
    kind: Kind,
) -> Outcome {
    let section = &shared.resolvers.sections[section_index];
    let deadline = Instant::now() + section.config.timeout_retry;
    let mut asking = JoinSet::new();
    for index in 0..section.servers.len() {
        let (shared, name) = (Arc::clone(shared), name.to_owned());
        asking.spawn_local(async move {
            let section = &shared.resolvers.sections[section_index];
            // Each has a question of its own: numbers and ports are not to be guessed from another's.
            let question = Question::new(&name, kind, section.config.payload_bytes);
            let answer = match question {
                Some(question) => {
                    ask_one(section, &section.servers[index], &question, deadline).await
                }
                None => Some(Answer::Other),
            };
            (answer, index)
        });
    }
    let mut last = Outcome::Silence;
    while let Some(done) = asking.join_next().await {
        match done {
            Ok((Some(answer @ (Answer::Addresses(_) | Answer::Services(_))), index)) => {
                return Outcome::Answered(answer, index);
            }
            Ok((Some(answer), index)) => last = Outcome::Answered(answer, index),
            Ok((None, _)) | Err(_) => {}
        }
    }
    last
}

/// One server's answer; `None` if it does not answer in time.
async fn ask_one(
    section: &Section,
    server: &Asked,
    question: &Question,
    deadline: Instant,
) -> Option<Answer> {
    let counters = &server.counters;
    counters.sent.increment();
    let answering = async {
        if server.tcp {
            return over_tcp(server, question).await;
        }
        match over_udp(section, server, question).await {
            Ok(Answer::Truncated) => {
                counters.truncated.increment();
                counters.sent.increment();
                over_tcp(server, question).await
            }
            answer => answer,
        }
    };
    let answer = match timeout_at(deadline, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            counters.send_errors.increment();
            // A server that refuses packets is as silent as one that drops them: the pace stays the same.
            tokio::time::sleep_until(deadline).await;
            return None;
        }
        Err(_) => {
            counters.timeouts.increment();
            return None;
        }
    };
    match &answer {
        Answer::Addresses(_) | Answer::Services(_) => counters.valid.increment(),
        Answer::Empty => counters.empty.increment(),
        Answer::Nx => counters.nx.increment(),
        Answer::Refused => counters.refused.increment(),
        Answer::Truncated | Answer::Other => counters.other.increment(),
    }
    Some(answer)
}

async fn over_udp(section: &Section, server: &Asked, question: &Question) -> io::Result<Answer> {
    let any = match server.address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // A socket for each question: the kernel chooses a random port, and takes datagrams of the asked server alone.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server.address).await?;
    socket.send(&question.bytes).await?;
    let payload = usize::from(section.config.payload_bytes);
    let mut bytes = vec![0; payload + SPARE_BYTES];
    for _ in 0..MAX_DATAGRAMS {
        let count = socket.recv(&mut bytes).await?;
        if count > payload {
            server.counters.too_big.increment();
            continue;
        }
        match question.read(&bytes[..count]) {
            Ok(answer) => return Ok(answer),
            // Somebody else's, or a forgery: the real one may still come.
            Err(_) => server.counters.invalid.increment(),
        }
    }
    Ok(Answer::Other)
}

/// RFC 1035 4.2.2: two bytes of length before each message.
async fn over_tcp(server: &Asked, question: &Question) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    let mut message = (question.bytes.len() as u16).to_be_bytes().to_vec();
    message.extend_from_slice(&question.bytes);
    stream.write_all(&message).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).await?;
    Ok(question.read(&bytes).unwrap_or_else(|_| {
        server.counters.invalid.increment();
        Answer::Other
    }))
}

/// Asks as often as `resolve_retries` allows: for each kind in turn, then again once `timeout retry` has passed since the
/// round began. Returns with the moment of the last question.
pub(super) async fn resolve(
    shared: &Arc<Shared>,
    section_index: usize,
    name: &str,
    kinds: &[Kind],
) -> (Outcome, Instant) {
    let config = &shared.resolvers.sections[section_index].config;
    let mut last = (Outcome::Silence, Instant::now());
    for round in 0..config.retries {
        let begun = Instant::now();
        for kind in kinds {
            let at = Instant::now();
            last = (ask(shared, section_index, name, *kind).await, at);
            match &last.0 {
                Outcome::Answered(Answer::Addresses(_) | Answer::Services(_), _) => return last,
                Outcome::Answered(..) => {}
                // Who is silent is asked the same again.
                Outcome::Silence => break,
            }
        }
        if round + 1 < config.retries {
            tokio::time::sleep_until(begun + config.timeout_retry.max(MIN_PACE)).await;
        }
    }
    last
}

/// The shortest pause between rounds.
const MIN_PACE: Duration = Duration::from_millis(10);
