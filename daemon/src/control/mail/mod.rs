//! Mail for `smtp_alert`: SMTP (RFC 5321) to the one configured server, with STARTTLS (RFC 3207) where the server offers it.
//!
//! TLS is opportunistic (RFC 7435), as between mail relays: the certificate is not verified, and a handshake that fails costs
//! the encryption, not the mail. [`dialogue`] speaks the protocol, [`message`] writes the text.

mod dialogue;
mod message;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use config::keepalived::GlobalDefs;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use dialogue::{Class, Dialogue, MailError, REPLY_LIMIT};

/// How long a mail may take in all: a server that answers each command just in time must not keep it under way for ever.
const MAIL_LIMIT: Duration = Duration::from_secs(120);
/// Refused recipients that an event names.
const MAX_TOLD_RECIPIENTS: usize = 8;

/// Where mail goes, from `global_defs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSetup {
    /// Server's name or address, and port.
    pub server: (String, u16),
    /// Limit of the connect.
    pub connect_timeout: Duration,
    /// Name in HELO.
    pub helo: String,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// `router_id`, in front of each subject.
    pub router: String,
}

impl MailSetup {
    /// What the configuration says; `None` without a server or recipients.
    pub fn new(global: &GlobalDefs) -> Option<Self> {
        let server = global.smtp_server.clone()?;
        if global.notification_email.is_empty() {
            return None;
        }
        let host = crate::configuration::host_name();
        Some(Self {
            server,
            connect_timeout: global.smtp_connect_timeout,
            helo: global
                .smtp_helo_name
                .clone()
                .unwrap_or_else(|| host.clone()),
            from: global
                .notification_email_from
                .clone()
                .unwrap_or_else(|| format!("tandem@{host}")),
            to: global.notification_email.clone(),
            router: global.router_id.clone().unwrap_or(host),
        })
    }
}

/// What there is to tell of a mail that was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Recipients that the server refused, and its words, if there were any; the others have the mail.
    pub refused: Option<String>,
    /// Why the mail went unencrypted though the server offered TLS; told once until a mail goes as it should.
    pub unencrypted: Option<String>,
}

/// Sends one mail to all recipients.
pub(super) async fn send(setup: &MailSetup, subject: &str, body: &str) -> Result<Sent, MailError> {
    /// Of the one configured server.
    static TOLD: Told = Told(Mutex::new(None));
    let text = message::message(setup, subject, body, SystemTime::now());
    let mut sent = deliver_within(setup, &text, MAIL_LIMIT).await?;
    if !TOLD.is_news(&server(setup), sent.unencrypted.is_some()) {
        sent.unencrypted = None;
    }
    Ok(sent)
}

/// The server whose missing encryption was told already.
struct Told(Mutex<Option<String>>);

impl Told {
    /// Whether this mail's missing encryption is to be told; a mail without trouble makes the next trouble news.
    fn is_news(&self, server: &str, unencrypted: bool) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.as_deref() == Some(server);
        *told = unencrypted.then(|| server.to_owned());
        unencrypted && !known
    }
}

fn server(setup: &MailSetup) -> String {
    format!("{}:{}", setup.server.0, setup.server.1)
}

async fn deliver_within(setup: &MailSetup, text: &str, limit: Duration) -> Result<Sent, MailError> {
    let delivered = tokio::time::timeout(limit, deliver(setup, text)).await;
    delivered.unwrap_or_else(|_| {
        Err(MailError::Late {
            server: server(setup),
            limit,
        })
    })
}

async fn deliver(setup: &MailSetup, text: &str) -> Result<Sent, MailError> {
    let server = server(setup);
    let stream = connect(setup, &server).await?;
    let peer = stream.peer_addr();
    let mut plain = Dialogue::new(stream, &server);
    plain.greeting().await?;
    let hello = plain.hello(&setup.helo).await?;
    if !hello.offers("STARTTLS") {
        return plain.mail(setup, text).await.map(Sent::to);
    }
    match plain.say("STARTTLS").await {
        Ok(reply) if reply.class() == Class::Done => {}
        // RFC 3207 4: no TLS for now; we may go on without.
        Ok(reply) => {
            let mut sent = plain.mail(setup, text).await.map(Sent::to)?;
            sent.unencrypted = Some(format!("{server} answers to STARTTLS: {}", reply.text()));
            return Ok(sent);
        }
        Err(error) => return without_tls(setup, text, &server, error.to_string()).await,
    }
    let (stream, early_bytes) = plain.into_stream();
    if early_bytes > 0 {
        // Nothing may come between the answer to STARTTLS and our hello. Somebody on the way may have put it there, to have
        // it taken for an answer inside TLS (the class of CVE-2011-0411), so it is thrown away.
        tracing::warn!(
            "mail server {server}: {early_bytes} bytes before the TLS handshake are dropped"
        );
    }
    // An address as a name is not sent as SNI; neither is a host name that TLS cannot write.
    let name = ServerName::try_from(setup.server.0.clone())
        .ok()
        .or_else(|| peer.ok().map(|peer| ServerName::from(peer.ip())));
    let begun = match name {
        Some(name) => handshake(stream, name, &server, &setup.helo).await,
        None => Err("the server's address is not known any more".to_owned()),
    };
    match begun {
        Ok(mut encrypted) => encrypted.mail(setup, text).await.map(Sent::to),
        Err(reason) => without_tls(setup, text, &server, reason).await,
    }
}

async fn connect(setup: &MailSetup, server: &str) -> Result<TcpStream, MailError> {
    let io = |error| MailError::Io {
        server: server.to_owned(),
        error,
    };
    let connecting = TcpStream::connect((setup.server.0.as_str(), setup.server.1));
    tokio::time::timeout(setup.connect_timeout, connecting)
        .await
        .map_err(|_| io(std::io::ErrorKind::TimedOut.into()))?
        .map_err(io)
}

/// Begins TLS and says hello again (RFC 3207 4.2).
async fn handshake<'a>(
    stream: TcpStream,
    name: ServerName<'static>,
    server: &'a str,
    helo: &str,
) -> Result<Dialogue<'a, TlsStream<TcpStream>>, String> {
    let connector = proxy::tls::opportunistic().map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(REPLY_LIMIT, connector.connect(name, stream))
        .await
        .map_err(|_| format!("{server}: the TLS handshake takes more than {REPLY_LIMIT:?}"))?
        .map_err(|error| format!("{server}: the TLS handshake fails: {error}"))?;
    let mut dialogue = Dialogue::new(stream, server);
    // In TLS 1.3 we learn here, behind our half of the handshake, that the server does not like it.
    dialogue
        .hello(helo)
        .await
        .map_err(|error| format!("behind the TLS handshake: {error}"))?;
    Ok(dialogue)
}

/// The mail on a new connection, unencrypted, as keepalived sends it.
async fn without_tls(
    setup: &MailSetup,
    text: &str,
    server: &str,
    reason: String,
) -> Result<Sent, MailError> {
    let mut plain = Dialogue::new(connect(setup, server).await?, server);
    plain.greeting().await?;
    plain.hello(&setup.helo).await?;
    let mut sent = plain.mail(setup, text).await.map(Sent::to)?;
    sent.unencrypted = Some(reason);
    Ok(sent)
}

impl Sent {
    /// Sent to all but these.
    fn to(refused: Vec<String>) -> Self {
        Self {
            refused: (!refused.is_empty()).then(|| list(&refused)),
            unencrypted: None,
        }
    }
}

/// The first of them, and how many more there are.
fn list(refused: &[String]) -> String {
    let told: Vec<&str> = refused
        .iter()
        .take(MAX_TOLD_RECIPIENTS)
        .map(String::as_str)
        .collect();
    let told = told.join("; ");
    match refused.len().saturating_sub(MAX_TOLD_RECIPIENTS) {
        0 => told,
        more => format!("{told}; and {more} more"),
    }
}
