//! A strict reader of HTTP/1 messages, written from RFC 9112 alone and sharing nothing with the proxy: what it takes for
//! one message every other reader must take for the same one.

/// What a stream of bytes holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The complete messages in order.
    pub(crate) messages: Vec<Message>,
    /// Bytes behind them that are the beginning of a message, cut by the end of the stream.
    pub(crate) cut: bool,
    /// Why the bytes behind the complete messages are no message at all.
    pub(crate) broken: Option<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) line: String,
    /// Names in lower case and values, in order.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// The content.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The second word of the first line: a request's target, an answer's status.
    pub(crate) fn second(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// Whether the stream holds requests or answers; answers to HEAD and some statuses have no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From a client.
    Requests,
    /// From a server.
    Answers,
}

enum Step<T> {
    Done(T, usize),
    Cut,
    Broken(String),
}

/// Reads everything.
pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut at = 0;
    while at < bytes.len() {
        match message(kind, &bytes[at..]) {
            Step::Done(message, length) => {
                reading.messages.push(message);
                at += length;
            }
            Step::Cut => {
                reading.cut = true;
                break;
            }
            Step::Broken(why) => {
                reading.broken = Some(why);
                break;
            }
        }
    }
    reading
}

fn message(kind: Kind, bytes: &[u8]) -> Step<Message> {
    let (lines, mut at) = match lines(bytes) {
        Step::Done(lines, at) => (lines, at),
        Step::Cut => return Step::Cut,
        Step::Broken(why) => return Step::Broken(why),
    };
    let line = match lines.first() {
        Some(line) => String::from_utf8_lossy(line).into_owned(),
        None => return Step::Broken("an empty line where a message begins".to_owned()),
    };
    if let Err(why) = first_line(kind, &line) {
        return Step::Broken(why);
    }
    let mut fields = Vec::new();
    for raw in &lines[1..] {
        match field(raw) {
            Ok(field) => fields.push(field),
            Err(why) => return Step::Broken(why),
        }
    }
    let mut message = Message {
        line,
        fields,
        body: Vec::new(),
    };
    let bodiless = kind == Kind::Answers
        && (matches!(message.second(), "204" | "304") || message.second().starts_with('1'));
    if bodiless {
        return Step::Done(message, at);
    }
    let codings: Vec<_> = message.values("transfer-encoding").collect();
    let lengths: Vec<_> = message.values("content-length").collect();
    if codings.len() + lengths.len() > 1 {
        return Step::Broken("more than one statement about the length".to_owned());
    }
    if !message.line.ends_with("HTTP/1.1") && kind == Kind::Requests && !codings.is_empty() {
        return Step::Broken("a transfer coding in HTTP/1.0".to_owned());
    }
    if kind == Kind::Requests && message.values("host").count() > 1 {
        return Step::Broken("more than one Host".to_owned());
    }
    if let Some(coding) = codings.first() {
        if *coding != b"chunked" {
            return Step::Broken("a transfer coding other than chunked".to_owned());
        }
        return match chunks(&bytes[at..]) {
            Step::Done(body, length) => {
                message.body = body;
                Step::Done(message, at + length)
            }
            Step::Cut => Step::Cut,
            Step::Broken(why) => Step::Broken(why),
        };
    }
    if let Some(length) = lengths.first() {
        let text = String::from_utf8_lossy(length);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Step::Broken(format!("the length {text:?}"));
        }
        let Ok(length) = text.parse::<usize>() else {
            return Step::Broken(format!("the length {text:?}"));
        };
        if bytes.len() - at < length {
            return Step::Cut;
        }
        message.body = bytes[at..at + length].to_vec();
        at += length;
    }
    Step::Done(message, at)
}

/// The lines of a head without their ends, and the length of the whole.
fn lines(bytes: &[u8]) -> Step<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            return Step::Cut;
        };
        if rest[end] == b'\n' {
            return Step::Broken("a bare LF".to_owned());
        }
        match rest.get(end + 1) {
            None => return Step::Cut,
            Some(b'\n') => {}
            Some(_) => return Step::Broken("a bare CR".to_owned()),
        }
        start += end + 2;
        if end == 0 {
            return Step::Done(lines, start);
        }
        lines.push(&rest[..end]);
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn first_line(kind: Kind, line: &str) -> Result<(), String> {
    let wrong = || Err(format!("the first line {line:?}"));
    match kind {
        Kind::Requests => {
            let words: Vec<_> = line.split(' ').collect();
            let [method, target, version] = words[..] else {
                return wrong();
            };
            let sound = !method.is_empty()
                && method.bytes().all(is_token)
                && !target.is_empty()
                && target.bytes().all(|byte| byte.is_ascii_graphic())
                && matches!(version, "HTTP/1.1" | "HTTP/1.0");
            if sound { Ok(()) } else { wrong() }
        }
        Kind::Answers => {
            let sound = line
                .strip_prefix("HTTP/1.1 ")
                .or_else(|| line.strip_prefix("HTTP/1.0 "))
                .is_some_and(|rest| {
                    rest.len() >= 4
                        && rest.as_bytes()[..3].iter().all(u8::is_ascii_digit)
                        && rest.as_bytes()[3] == b' '
                        && rest.bytes().all(|byte| byte == b'\t' || byte >= 0x20)
                });
            if sound { Ok(()) } else { wrong() }
        }
    }
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let wrong = || format!("the field {:?}", String::from_utf8_lossy(line));
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or_else(wrong)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(wrong());
    }
    if value
        .iter()
        .any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
    {
        return Err(wrong());
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, value.trim_ascii().to_vec()))
}

fn chunks(bytes: &[u8]) -> Step<Vec<u8>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return Step::Cut;
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let Ok(size) = u32::from_str_radix(&line, 16) else {
            return Step::Broken(format!("the chunk size {line:?}"));
        };
        if line.starts_with('+') {
            return Step::Broken(format!("the chunk size {line:?}"));
        }
        at += end + 2;
        if size == 0 {
            return match lines(&bytes[at..]) {
                Step::Done(trailers, length) => {
                    match trailers.iter().find_map(|line| field(line).err()) {
                        Some(why) => Step::Broken(why),
                        None => Step::Done(body, at + length),
                    }
                }
                Step::Cut => Step::Cut,
                Step::Broken(why) => Step::Broken(why),
            };
        }
        let size = size as usize;
        if bytes.len() - at < size + 2 {
            return Step::Cut;
        }
        body.extend_from_slice(&bytes[at..at + size]);
        if &bytes[at + size..at + size + 2] != b"\r\n" {
            return Step::Broken("a chunk without its line end".to_owned());
        }
        at += size + 2;
    }
}

#[test]
fn the_oracle_tells_messages_from_what_is_none() {
    let whole = |bytes: &[u8]| {
        let reading = read(Kind::Requests, bytes);
        (
            reading.messages.len(),
            reading.cut,
            reading.broken.is_some(),
        )
    };
    assert_eq!(
        whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (1, false, false)
    );
    assert_eq!(
        whole(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET /x HTTP/1.1\r\n\r\n"),
        (2, false, false)
    );
    assert_eq!(
        whole(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"),
        (0, true, false)
    );
    assert_eq!(
        whole(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        (1, false, false)
    );
    for broken in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
    ] {
        assert_eq!(whole(broken), (0, false, true), "{broken:?}");
    }
}
