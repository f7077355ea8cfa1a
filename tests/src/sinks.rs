//! What a node talks to besides clients and servers: a mail server and a syslog daemon, which remember what they got.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::{Context, Outcome};
use crate::host::Host;

/// How many lines or mails a sink keeps.
const KEEP_LIMIT: usize = 100_000;
/// How long a sink's thread may sleep in a receive before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// The largest syslog datagram.
const DATAGRAM_BYTES: usize = 65_536;

type Store = Arc<Mutex<Vec<String>>>;

/// A syslog daemon on `/dev/log` of a node, or on a UDP port of it.
pub struct Syslog {
    lines: Store,
}

impl Syslog {
    /// Listens on `/dev/log` inside of the host.
    pub fn on_dev_log(host: &Host) -> Outcome<Syslog> {
        Syslog::on_path(host, "/dev/log")
    }

    /// Listens on another path inside of the host.
    pub fn on_path(host: &Host, inside: &str) -> Outcome<Syslog> {
        let path = host.path(inside);
        let _ = std::fs::remove_file(&path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let socket = UnixDatagram::bind(&path).context(inside)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Syslog::run(move |buffer| socket.recv(buffer)))
    }

    /// Listens on a UDP address of the host, `127.0.0.1:514` for `log 127.0.0.1 local0`.
    pub fn on_udp(host: &Host, address: SocketAddr) -> Outcome<Syslog> {
        let socket = host
            .in_network(move || UdpSocket::bind(address))?
            .context(address)?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Syslog::run(move |buffer| socket.recv(buffer)))
    }

    fn run(
        mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
    ) -> Syslog {
        let lines = Store::default();
        let wanted = Arc::downgrade(&lines);
        std::thread::spawn(move || {
            let mut buffer = vec![0; DATAGRAM_BYTES];
            loop {
                let received = receive(&mut buffer);
                let Some(lines) = wanted.upgrade() else {
                    return;
                };
                if let Ok(count) = received {
                    keep(
                        &lines,
                        String::from_utf8_lossy(&buffer[..count])
                            .trim_end()
                            .to_owned(),
                    );
                }
            }
        });
        Syslog { lines }
    }

    /// The messages so far, with their `<PRI>`.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a message that holds a text, and returns it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Outcome<String> {
        wait_in(&self.lines, text, limit)
    }
}

/// A mail server on port 25 of a host's loopback.
pub struct MailSink {
    mails: Store,
}

impl MailSink {
    /// Listens on an address of the host and takes every mail.
    pub fn start(host: &Host, address: SocketAddr) -> Outcome<MailSink> {
        let listener = host
            .in_network(move || TcpListener::bind(address))?
            .context(address)?;
        listener.set_nonblocking(true)?;
        let mails = Store::default();
        let wanted = Arc::downgrade(&mails);
        std::thread::spawn(move || {
            while wanted.strong_count() > 0 {
                match listener.accept() {
                    Ok((stream, _)) => {
                        if let (Some(mails), Ok(Some(mail))) =
                            (wanted.upgrade(), receive_mail(stream))
                        {
                            keep(&mails, mail);
                        }
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Ok(MailSink { mails })
    }

    /// The mails so far: the commands of each dialogue, then headers and body.
    pub fn mails(&self) -> Vec<String> {
        self.mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a mail that holds a text, and returns it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Outcome<String> {
        wait_in(&self.mails, text, limit)
    }
}

/// The receiving side of one SMTP dialogue (RFC 5321, as far as a sender of alerts goes).
fn receive_mail(stream: TcpStream) -> std::io::Result<Option<String>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    writer.write_all(b"220 sink ESMTP\r\n")?;
    let mut mail = String::new();
    let mut taken = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(taken);
        }
        mail.push_str(&line);
        let verb = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase();
        match verb.as_str() {
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line)? == 0 || line.trim_end() == "." {
                        break;
                    }
                    mail.push_str(&line);
                }
                taken = Some(mail.clone());
                writer.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n")?;
                return Ok(taken);
            }
            _ => writer.write_all(b"250 fine\r\n")?,
        }
    }
}

fn keep(store: &Store, entry: String) {
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    if store.len() < KEEP_LIMIT {
        store.push(entry);
    }
}

fn wait_in(store: &Store, text: &str, limit: Duration) -> Outcome<String> {
    crate::wait::wait_for(&format!("a message with {text:?}"), limit, || {
        let entries = store.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().find(|entry| entry.contains(text)).cloned();
        found.ok_or_else(|| {
            format!(
                "{} others came: {:?}",
                entries.len(),
                entries.iter().rev().take(5).collect::<Vec<_>>()
            )
        })
    })
}
