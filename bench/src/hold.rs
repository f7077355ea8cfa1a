//! `tandem-bench hold`: connections that do one request each and then nothing, until standard input ends.
//!
//! Over TLS the client is rustls; HTTP/2 is spoken by hand, as far as one request needs it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::handshake::{self, SERVER_NAME};

/// Threads that open connections.
const THREADS: usize = 8;
/// A contender that is silent for longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n";
/// An answer's head and small body.
const ANSWER_MAX_BYTES: usize = 16 << 10;
/// RFC 9113 3.4, with SETTINGS that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// RFC 9113 6: kinds of frames and the flags that matter here.
const FRAME_DATA: u8 = 0;
const FRAME_HEADERS: u8 = 1;
const FRAME_SETTINGS: u8 = 4;
const FLAG_END_STREAM: u8 = 1;
const FLAG_ACK: u8 = 1;

/// Runs as a program of its own: `ADDRESS COUNT CERTIFICATE|- h1|h2`; prints how many it holds.
pub(crate) fn command(arguments: Vec<String>) -> Result<(), String> {
    let [address, count, certificate, protocol] = arguments.as_slice() else {
        return Err("hold: wanted ADDRESS COUNT CERTIFICATE|- h1|h2".into());
    };
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("hold: no address: {address}"))?;
    let count: usize = count
        .parse()
        .map_err(|_| format!("hold: no number: {count}"))?;
    let h2 = protocol == "h2";
    let client = match certificate.as_str() {
        "-" => None,
        file => {
            let mut client = handshake::client(file)?;
            if h2 {
                client.alpn_protocols = vec![b"h2".to_vec()];
            }
            Some(Arc::new(client))
        }
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let client = client.clone();
            let share = count / THREADS + usize::from(thread < count % THREADS);
            std::thread::spawn(move || {
                (0..share)
                    .map(|_| open(address, client.clone(), h2))
                    .collect::<io::Result<Vec<_>>>()
            })
        })
        .collect();
    let mut held = Vec::new();
    for thread in threads {
        let opened = thread.join().map_err(|_| "hold: a thread panicked")?;
        held.push(opened.map_err(|error| format!("hold: {error}"))?);
    }
    println!("{}", held.iter().map(Vec::len).sum::<usize>());
    let mut rest = Vec::new();
    let _ = io::stdin().take(1).read_to_end(&mut rest);
    Ok(())
}

/// Reading and writing, over TLS or not.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

fn open(
    address: SocketAddr,
    client: Option<Arc<ClientConfig>>,
    h2: bool,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let is_tls = client.is_some();
    let mut stream: Box<dyn Stream> = match client {
        None => Box::new(stream),
        Some(client) => {
            let name = ServerName::try_from(SERVER_NAME).expect("the constant is a DNS name");
            let session = ClientConnection::new(client, name).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(session, stream);
            stream.conn.complete_io(&mut stream.sock)?;
            if h2 && stream.conn.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other("it did not agree to HTTP/2"));
            }
            Box::new(stream)
        }
    };
    if h2 {
        exchange_h2(stream.as_mut(), is_tls)?;
    } else {
        exchange_h1(stream.as_mut())?;
    }
    Ok(stream)
}

fn exchange_h1(stream: &mut dyn Stream) -> io::Result<()> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 || answer.len() > ANSWER_MAX_BYTES {
            return Err(io::Error::other("no whole answer"));
        }
        answer.extend_from_slice(&piece[..length]);
        // The origin's small answer: 128 bytes behind the head.
        if let Some(head) = memchr::memmem::find(&answer, b"\r\n\r\n")
            && answer.len() >= head + 4 + 128
        {
            return match answer.starts_with(b"HTTP/1.1 200 ") {
                true => Ok(()),
                false => Err(io::Error::other("its answer was not 200")),
            };
        }
    }
}

fn exchange_h2(stream: &mut dyn Stream, is_tls: bool) -> io::Result<()> {
    let mut sent = PREFACE.to_vec();
    // RFC 7541: GET, https or http, and / are in the static table; the authority (index 1) is a literal that enters no table.
    let mut block = vec![0x82, if is_tls { 0x87 } else { 0x86 }, 0x84, 0x01];
    block.push(SERVER_NAME.len() as u8);
    block.extend_from_slice(SERVER_NAME.as_bytes());
    sent.extend_from_slice(&[0, 0, block.len() as u8, FRAME_HEADERS, 0x05, 0, 0, 0, 1]);
    sent.extend_from_slice(&block);
    stream.write_all(&sent)?;
    let (mut has_settings, mut is_ok, mut is_whole) = (false, false, false);
    while !(has_settings && is_whole) {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags, on_stream) = (head[3], head[4], head[5..] != [0; 4]);
        if length > ANSWER_MAX_BYTES {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        match kind {
            FRAME_SETTINGS if flags & FLAG_ACK == 0 => {
                has_settings = true;
                stream.write_all(&[0, 0, 0, FRAME_SETTINGS, FLAG_ACK, 0, 0, 0, 0])?;
            }
            // An answer begins with :status; index 8 of the static table is 200. A size update may stand before it.
            FRAME_HEADERS if on_stream => {
                is_ok = payload.iter().find(|byte| *byte & 0xe0 != 0x20) == Some(&0x88);
                is_whole = flags & FLAG_END_STREAM != 0;
            }
            FRAME_DATA if on_stream => is_whole = flags & FLAG_END_STREAM != 0,
            3 | 7 => return Err(io::Error::other("it reset the stream or went away")),
            _ => {}
        }
    }
    match is_ok {
        true => Ok(()),
        false => Err(io::Error::other("its answer was not 200")),
    }
}
