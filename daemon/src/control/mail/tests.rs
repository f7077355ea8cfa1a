//! Mails to servers of every manner on the loopback.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::dialogue::{MAX_REPLY_LINE_BYTES, MAX_REPLY_LINES};
use super::*;

/// More than any of these tests needs.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn setup(port: u16) -> MailSetup {
    MailSetup {
        server: ("127.0.0.1".to_owned(), port),
        connect_timeout: Duration::from_secs(10),
        helo: "n1".to_owned(),
        from: "a@example.com".to_owned(),
        to: vec!["b@example.com".to_owned(), "c@example.com".to_owned()],
        router: "r1".to_owned(),
    }
}

/// What a server does at STARTTLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Starttls {
    NotOffered,
    Works,
    /// 454.
    Refused,
    /// Closes instead of an answer.
    Closes,
    /// Answers to our hello with words that are not TLS.
    Babbles,
    /// Shakes hands, then leaves.
    Leaves,
    /// Something on the way puts an answer behind the 220, in the same segment.
    Injected,
}

#[derive(Clone, Copy)]
struct Manner {
    ehlo: bool,
    starttls: Starttls,
    /// Recipients that get 550.
    refuses: &'static [&'static str],
}

const KIND: Manner = Manner {
    ehlo: true,
    starttls: Starttls::NotOffered,
    refuses: &[],
};

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["other.example.com".to_owned()])
        .expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}

/// One dialogue up to its end, or to STARTTLS, which gives the stream back. `heard` gets each line but the headers.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    manner: Manner,
    encrypted: bool,
    heard: &mut Vec<String>,
) -> std::io::Result<Option<S>> {
    let mut stream = BufReader::new(stream);
    if !encrypted {
        stream.write_all(b"220-hello\r\n220 there\r\n").await?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        heard.push(format!("{}{line}", if encrypted { "tls " } else { "" }));
        let offers = manner.starttls != Starttls::NotOffered && !encrypted;
        let reply: &[u8] = if line.starts_with("EHLO") {
            match (manner.ehlo, offers) {
                (false, _) => b"502 what?\r\n",
                (true, false) => b"250-s\r\n250-8BITMIME\r\n250 SIZE 1000\r\n",
                (true, true) => b"250-s\r\n250-SIZE 1000\r\n250-StartTLS\r\n250 HELP\r\n",
            }
        } else if line == "STARTTLS" {
            match manner.starttls {
                Starttls::Refused => b"454 not now\r\n",
                Starttls::Closes => return Ok(None),
                Starttls::Injected => {
                    stream.write_all(b"220 go\r\n550 injected\r\n").await?;
                    return Ok(Some(stream.into_inner()));
                }
                _ => {
                    stream.write_all(b"220 go\r\n").await?;
                    return Ok(Some(stream.into_inner()));
                }
            }
        } else if line == "DATA" {
            stream.write_all(b"354 go on\r\n").await?;
            let mut body = String::new();
            while !body.ends_with("\r\n.\r\n") {
                if stream.read_line(&mut body).await? == 0 {
                    return Ok(None);
                }
            }
            let text = body.split_once("\r\n\r\n").map_or("", |(_, text)| text);
            heard.push(text.to_owned());
            b"250 taken\r\n"
        } else if manner.refuses.iter().any(|refused| line.contains(refused)) {
            b"550-we do not\r\n550 know her\r\n"
        } else {
            b"250 ok\r\n"
        };
        stream.write_all(reply).await?;
    }
}

/// Answers connections, and tells on the channel what it heard on each.
async fn serve(
    listener: TcpListener,
    manner: Manner,
    told: tokio::sync::mpsc::UnboundedSender<Vec<String>>,
) {
    let acceptor = acceptor();
    while let Ok((stream, _)) = listener.accept().await {
        let mut heard = Vec::new();
        if let Ok(Some(mut stream)) = talk(stream, manner, false, &mut heard).await {
            if manner.starttls == Starttls::Babbles {
                let mut hello = [0; 1_024];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(b"500 what was that?\r\n").await;
            } else if let Ok(encrypted) = acceptor.accept(stream).await
                && manner.starttls != Starttls::Leaves
            {
                // The client ends TLS without a goodbye of its own.
                let _ = talk(encrypted, manner, true, &mut heard).await;
            }
        }
        let _ = told.send(heard);
    }
}

/// Sends a mail to such a server: what came out, and what the server heard on each connection.
async fn mail_to(manner: Manner) -> (Result<Sent, MailError>, Vec<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(serve(listener, manner, told));
    let connections = match manner.starttls {
        Starttls::Closes | Starttls::Babbles | Starttls::Leaves => 2,
        _ => 1,
    };
    let all = async {
        let text = message::message(&setup(port), "x", "one\n.two", SystemTime::UNIX_EPOCH);
        let sent = deliver(&setup(port), &text).await;
        let mut dialogues = Vec::new();
        for _ in 0..connections {
            dialogues.push(heard.recv().await.expect("a dialogue"));
        }
        (sent, dialogues)
    };
    let outcome = tokio::time::timeout(LIMIT, all).await.expect("in time");
    server.abort();
    outcome
}

/// What a server hears from the hello on.
fn dialogue(prefix: &str, hellos: &[&str]) -> Vec<String> {
    let rest = [
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "RCPT TO:<c@example.com>",
        "DATA",
    ];
    let mut lines: Vec<String> = hellos
        .iter()
        .chain(&rest)
        .map(|line| format!("{prefix}{line}"))
        .collect();
    lines.push("one\r\n..two\r\n.\r\n".to_owned());
    lines.push(format!("{prefix}QUIT"));
    lines
}

fn encrypted_dialogue() -> Vec<String> {
    let mut lines = vec!["EHLO n1".to_owned(), "STARTTLS".to_owned()];
    lines.extend(dialogue("tls ", &["EHLO n1"]));
    lines
}

#[tokio::test]
async fn a_server_without_ehlo_is_greeted_with_helo() {
    let (sent, heard) = mail_to(Manner {
        ehlo: false,
        ..KIND
    })
    .await;
    assert_eq!(sent.expect("sent"), Sent::default());
    assert_eq!(heard, [dialogue("", &["EHLO n1", "HELO n1"])]);
}

#[tokio::test]
async fn a_server_without_starttls_gets_the_mail_unencrypted() {
    let (sent, heard) = mail_to(KIND).await;
    assert_eq!(sent.expect("sent"), Sent::default());
    assert_eq!(heard, [dialogue("", &["EHLO n1"])]);
}

#[tokio::test]
async fn a_server_with_starttls_gets_the_mail_encrypted_whatever_its_certificate() {
    let (sent, heard) = mail_to(Manner {
        starttls: Starttls::Works,
        ..KIND
    })
    .await;
    assert_eq!(sent.expect("sent"), Sent::default());
    assert_eq!(heard, [encrypted_dialogue()]);
}

#[tokio::test]
async fn an_answer_injected_before_the_handshake_is_not_taken_for_one_inside() {
    let (sent, heard) = mail_to(Manner {
        starttls: Starttls::Injected,
        ..KIND
    })
    .await;
    assert_eq!(sent.expect("sent"), Sent::default());
    assert_eq!(heard, [encrypted_dialogue()]);
}

#[tokio::test]
async fn a_refused_starttls_costs_the_encryption_and_no_connection() {
    let (sent, heard) = mail_to(Manner {
        starttls: Starttls::Refused,
        ..KIND
    })
    .await;
    let reason = sent.expect("sent").unencrypted.expect("a reason");
    assert!(
        reason.ends_with(" answers to STARTTLS: 454 not now"),
        "{reason}"
    );
    assert_eq!(heard, [dialogue("", &["EHLO n1", "STARTTLS"])]);
}

#[tokio::test]
async fn a_failed_handshake_is_followed_by_a_mail_in_plain() {
    for (starttls, words) in [
        (Starttls::Closes, "unexpected end of file"),
        (Starttls::Babbles, "the TLS handshake fails"),
        (Starttls::Leaves, "behind the TLS handshake"),
    ] {
        // This server offers STARTTLS on the second connection too; it is not asked for it again.
        let (sent, heard) = mail_to(Manner { starttls, ..KIND }).await;
        let reason = sent.expect("sent").unencrypted.expect("a reason");
        assert!(reason.contains(words), "{reason}");
        assert_eq!(heard[0][..2], ["EHLO n1", "STARTTLS"]);
        assert_eq!(heard[1], dialogue("", &["EHLO n1"]));
    }
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_others_their_mail() {
    let (sent, heard) = mail_to(Manner {
        refuses: &["b@"],
        ..KIND
    })
    .await;
    let refused = sent.expect("sent").refused;
    assert_eq!(
        refused.as_deref(),
        Some("b@example.com: 550-we do not 550 know her")
    );
    assert_eq!(heard, [dialogue("", &["EHLO n1"])]);
}

#[tokio::test]
async fn a_mail_that_all_recipients_are_refused_fails() {
    let (sent, heard) = mail_to(Manner {
        refuses: &["b@", "c@"],
        ..KIND
    })
    .await;
    let error = sent.expect_err("refused").to_string();
    assert!(
        error.ends_with(
            " refuses all recipients: b@example.com: 550-we do not 550 know her; \
             c@example.com: 550-we do not 550 know her"
        ),
        "{error}"
    );
    assert_eq!(heard[0].last().map(String::as_str), Some("QUIT"));
    assert!(!heard[0].contains(&"DATA".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn answers_without_end_and_answers_that_are_none_are_errors() {
    let long = vec![b'2'; MAX_REPLY_LINE_BYTES as usize + 1];
    let many = b"220-x\r\n".repeat(MAX_REPLY_LINES + 1);
    for (answer, words) in [
        (&long[..], "a line of more than 4096 bytes"),
        (&many, "more than 128 lines"),
        (b"220-x\r\n220", "unexpected end of file"),
        (b"", "unexpected end of file"),
        (b"\r\n", "answers to the greeting: "),
        (b"2\xff\xc3\r\n", "answers to the greeting: 2"),
        (
            b"554 no\x1b[2J\rservice\r\n",
            "answers to the greeting: 554 no [2J service",
        ),
        (b"421 busy\r\n", "answers to the greeting: 421 busy"),
    ] {
        let (ours, mut theirs) = tokio::io::duplex(answer.len() + 1);
        theirs.write_all(answer).await.expect("room for it");
        drop(theirs);
        let error = Dialogue::new(ours, "s:25")
            .greeting()
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn missing_encryption_is_told_once_until_it_is_back() {
    let told = Told(Mutex::new(None));
    let mails = [
        ("a:25", true),
        ("a:25", true),
        ("a:25", false),
        ("a:25", true),
        ("b:25", true),
    ];
    let news = mails.map(|(server, unencrypted)| told.is_news(server, unencrypted));
    assert_eq!(news, [true, false, false, true, true]);
}

#[tokio::test]
async fn a_mail_that_takes_too_long_in_all_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    // It is never late with an answer, and never done.
    let dribbling = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        while stream.write_all(b"220-wait\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let limit = Duration::from_millis(300);
    let error = deliver_within(&setup(port), "text", limit)
        .await
        .expect_err("given up");
    assert!(
        error
            .to_string()
            .ends_with("the mail has not gone within 300ms"),
        "{error}"
    );
    dribbling.await.expect("it sees the end");
}
