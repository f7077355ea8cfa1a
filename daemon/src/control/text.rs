//! HAProxy's protocol on a stats socket: a line of commands, the answers, an empty line, and the end; with `prompt`, more lines.

use std::sync::Arc;
use std::time::Duration;

use protocol::Level;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Stream;
use super::commands::{self, Session, SeverityOutput};
use super::hub::Hub;

/// Longest line of commands in bytes.
pub(super) const MAX_LINE_BYTES: usize = 16 << 10;
const READ_BYTES: usize = 4 << 10;
/// Longest payload behind a `<<`, in bytes.
const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// What ends a line whose command has a payload.
const PAYLOAD_MARK: &str = "<<";

/// Serves one client; `first` is the byte that was read already.
pub(super) async fn serve(
    mut stream: impl Stream,
    first: u8,
    hub: Arc<Hub>,
    level: Level,
    socket: String,
) {
    let timeout = hub.setup().timeout;
    let mut session = Session {
        level,
        severity: SeverityOutput::None,
        prompt: false,
        quit: false,
        experimental: false,
        expert: false,
        timeout,
        socket,
    };
    let mut pending = vec![first];
    while let Some(line) = read_line(&mut stream, &mut pending, session.timeout).await {
        let answer = match line {
            Ok(line) => {
                let payload = match line.ends_with(PAYLOAD_MARK) {
                    true => read_payload(&mut stream, &mut pending, session.timeout).await,
                    false => Some(Ok(String::new())),
                };
                match payload {
                    None => break,
                    Some(Ok(payload)) => answer(&line, &payload, &hub, &mut session).await,
                    Some(Err(TooLong)) => {
                        session.quit = true;
                        format!(
                            "Payload too long: at most {MAX_PAYLOAD_BYTES} bytes are accepted.\n\n"
                        )
                    }
                }
            }
            Err(TooLong) => {
                session.quit = true;
                format!("Line too long: at most {MAX_LINE_BYTES} bytes are accepted.\n\n")
            }
        };
        if write(&mut stream, answer.as_bytes(), session.timeout)
            .await
            .is_none()
            || session.quit
            || !session.prompt
        {
            break;
        }
    }
    // The client may be gone already.
    let _ = stream.shutdown().await;
}

struct TooLong;

/// The next line without its end; `None` when there is none any more or the client is silent for too long.
async fn read_line(
    stream: &mut impl Stream,
    pending: &mut Vec<u8>,
    timeout: Duration,
) -> Option<Result<String, TooLong>> {
    let mut ended = false;
    loop {
        if let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            return Some(Ok(String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned()));
        }
        if pending.len() > MAX_LINE_BYTES {
            return Some(Err(TooLong));
        }
        if ended {
            // A client may shut its side without ending its line.
            let line = std::mem::take(pending);
            return (!line.is_empty()).then(|| Ok(String::from_utf8_lossy(&line).into_owned()));
        }
        let mut bytes = [0; READ_BYTES];
        let count = tokio::time::timeout(timeout, stream.read(&mut bytes))
            .await
            .ok()?
            .ok()?;
        ended = count == 0;
        pending.extend_from_slice(&bytes[..count]);
    }
}

/// The lines up to an empty one.
async fn read_payload(
    stream: &mut impl Stream,
    pending: &mut Vec<u8>,
    timeout: Duration,
) -> Option<Result<String, TooLong>> {
    let mut payload = String::new();
    loop {
        let line = match read_line(stream, pending, timeout).await? {
            Ok(line) => line,
            Err(TooLong) => return Some(Err(TooLong)),
        };
        if line.is_empty() {
            return Some(Ok(payload));
        }
        if payload.len() + line.len() >= MAX_PAYLOAD_BYTES {
            return Some(Err(TooLong));
        }
        payload.push_str(&line);
        payload.push('\n');
    }
}

/// Runs all commands of a line and returns what goes out. A payload belongs to the last of them.
async fn answer(line: &str, payload: &str, hub: &Hub, session: &mut Session) -> String {
    let mut out = String::new();
    let (line, has_payload) = match line.strip_suffix(PAYLOAD_MARK) {
        Some(line) => (line, true),
        None => (line, false),
    };
    if session.prompt && line.trim().is_empty() {
        return "\n> ".to_owned();
    }
    let commands = split(line);
    for (at, command) in commands.iter().enumerate() {
        let payload = (has_payload && at + 1 == commands.len()).then_some(payload);
        let answer = commands::run(command, payload, hub, session).await;
        if session.quit {
            break;
        }
        out.push_str(&answer.text(session.severity));
        out.push('\n');
    }
    if session.prompt && !session.quit {
        out.push_str("> ");
    }
    out
}

/// Commands of a line: apart at `;`, unless a backslash stands before it. One before a blank stays for [`words`].
fn split(line: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let current = commands.len() - 1;
        match letter {
            '\\' => match letters.next() {
                Some(' ') => commands[current].push_str("\\ "),
                next => commands[current].extend(next),
            },
            ';' => commands.push(String::new()),
            _ => commands[current].push(letter),
        }
    }
    if commands.len() > 1 && commands.last().is_some_and(|last| last.trim().is_empty()) {
        commands.pop();
    }
    commands
}

/// Words of a command: apart at blanks, unless a backslash stands before them.
pub(super) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&' ') => word.extend(letters.next()),
            letter if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

async fn write(stream: &mut impl Stream, bytes: &[u8], timeout: Duration) -> Option<()> {
    // A client that does not read is dropped.
    tokio::time::timeout(timeout, stream.write_all(bytes))
        .await
        .ok()?
        .ok()?;
    stream.flush().await.ok()
}

/// A text command for a typed client, with its payload on further lines: the answer without the empty line behind it.
pub(super) async fn one(line: &str, hub: &Hub, level: Level, socket: &str) -> String {
    let mut session = Session {
        level,
        severity: SeverityOutput::None,
        prompt: false,
        quit: false,
        experimental: false,
        expert: false,
        timeout: Duration::from_secs(1),
        socket: socket.to_owned(),
    };
    let (line, payload) = line.split_once('\n').unwrap_or((line, ""));
    let mut out = answer(line, payload, hub, &mut session).await;
    if out.ends_with("\n\n") {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_falls_apart_at_semicolons() {
        let check = |line: &str, expected: &[&str]| assert_eq!(split(line), expected, "{line}");
        check("show info; show stat", &["show info", " show stat"]);
        check("show info;", &["show info"]);
        check("a\\;b;c", &["a;b", "c"]);
        check("", &[""]);
        check("add map f k a\\ b;c", &["add map f k a\\ b", "c"]);
        assert_eq!(
            words("add  map f k a\\ b "),
            ["add", "map", "f", "k", "a b"]
        );
    }

    #[tokio::test]
    async fn a_line_ends_at_its_end_or_with_the_client() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"ne\r\nlast").await.expect("write");
        drop(theirs);
        let mut pending = vec![b'o'];
        let limit = Duration::from_secs(5);
        let mut next = async || {
            read_line(&mut ours, &mut pending, limit)
                .await
                .map(|line| line.unwrap_or_else(|TooLong| "too long".to_owned()))
        };
        assert_eq!(next().await.as_deref(), Some("one"));
        assert_eq!(next().await.as_deref(), Some("last"));
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (mut ours, mut theirs) = tokio::io::duplex(64 << 10);
        theirs
            .write_all(&[b'a'; MAX_LINE_BYTES + 1])
            .await
            .expect("write");
        let line = read_line(&mut ours, &mut Vec::new(), Duration::from_secs(5)).await;
        assert!(matches!(line, Some(Err(TooLong))));
    }
}
