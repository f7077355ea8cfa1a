//! A name server that says what a test tells it to say, over UDP and TCP on loopback. It writes its messages by hand
//! (RFC 1035 4.1), so that a test does not check a library against itself.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::Outcome;

/// Seconds that its records may be kept.
const TTL: u32 = 5;
/// How often its threads look whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Addresses of both families.
    Addresses(Vec<IpAddr>),
    /// SRV records: port, weight, host.
    Services(Vec<(u16, u16, String)>),
    /// Another name.
    Alias(String),
    /// Only a truncated answer over UDP; the addresses over TCP.
    TruncatedUnlessTcp(Vec<IpAddr>),
    /// First answers with another number, another name, and from another port; then nothing.
    Forged(IpAddr),
    /// SERVFAIL.
    Failure,
    /// REFUSED.
    Refused,
    /// Nothing.
    Silence,
}

/// A question that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name in lower case.
    pub name: String,
    /// 1 is A, 28 is AAAA, 33 is SRV.
    pub kind: u16,
    /// The message's number.
    pub id: u16,
    /// The asking port.
    pub port: u16,
    /// Whether over TCP.
    pub tcp: bool,
}

#[derive(Debug, Default)]
struct Zone {
    names: HashMap<String, Says>,
    asked: Vec<Asked>,
}

/// The server; its threads end with it.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

impl NameServer {
    /// Starts one that knows no name: it answers NXDOMAIN.
    pub fn start() -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let socket = UdpSocket::bind(address)?;
        let zone = Arc::<Mutex<Zone>>::default();
        let wanted = Arc::downgrade(&zone);
        socket.set_read_timeout(Some(LOOK))?;
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            loop {
                let received = socket.recv_from(&mut bytes);
                let Some(zone) = wanted.upgrade() else { return };
                if let Ok((count, from)) = received {
                    for answer in answers(&zone, &bytes[..count], from.port(), false) {
                        let _ = match answer {
                            Answer::Own(bytes) => socket.send_to(&bytes, from),
                            Answer::Foreign(bytes) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
                                .and_then(|other| other.send_to(&bytes, from)),
                        };
                    }
                }
            }
        });
        let wanted = Arc::downgrade(&zone);
        listener.set_nonblocking(true)?;
        std::thread::spawn(move || {
            loop {
                let accepted = listener.accept();
                let Some(zone) = wanted.upgrade() else { return };
                match accepted {
                    Ok((stream, from)) => {
                        std::thread::spawn(move || serve_stream(&zone, stream, from.port()));
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Ok(Self { address, zone })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes a name.
    pub fn set(&self, name: &str, says: Says) {
        self.zone().names.insert(name.to_owned(), says);
    }

    /// Takes a name away.
    pub fn remove(&self, name: &str) {
        self.zone().names.remove(name);
    }

    /// The questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.zone().asked.clone()
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve_stream(zone: &Mutex<Zone>, mut stream: TcpStream, port: u16) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        for answer in answers(zone, &question, port, true) {
            if let Answer::Own(bytes) = answer {
                let mut message = (bytes.len() as u16).to_be_bytes().to_vec();
                message.extend_from_slice(&bytes);
                let _ = stream.write_all(&message);
            }
        }
    }
}

enum Answer {
    /// From the server's own port.
    Own(Vec<u8>),
    /// From another one.
    Foreign(Vec<u8>),
}

fn answers(zone: &Mutex<Zone>, question: &[u8], port: u16, tcp: bool) -> Vec<Answer> {
    let Some((name, kind, end)) = read_question(question) else {
        return Vec::new();
    };
    let id = u16::from_be_bytes([question[0], question[1]]);
    let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    zone.asked.push(Asked {
        name: name.clone(),
        kind,
        id,
        port,
        tcp,
    });
    let says = zone.names.get(&name).cloned();
    let write = |code: u8, truncated: bool, records: &[(String, u16, Vec<u8>)]| {
        let mut message = question[..end].to_vec();
        message[2] = 0x81 | if truncated { 2 } else { 0 };
        message[3] = 0x80 | code;
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        message[8..12].fill(0);
        for (owner, kind, data) in records {
            message.extend_from_slice(&encode(owner));
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&1_u16.to_be_bytes());
            message.extend_from_slice(&TTL.to_be_bytes());
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    };
    let addresses = |owner: &str, addresses: &[IpAddr]| -> Vec<(String, u16, Vec<u8>)> {
        let record = |address: &IpAddr| match address {
            IpAddr::V4(address) if kind == A => {
                Some((owner.to_owned(), A, address.octets().to_vec()))
            }
            IpAddr::V6(address) if kind == AAAA => {
                Some((owner.to_owned(), AAAA, address.octets().to_vec()))
            }
            _ => None,
        };
        addresses.iter().filter_map(record).collect()
    };
    let own = |message| vec![Answer::Own(message)];
    match says {
        None => own(write(3, false, &[])),
        Some(Says::Failure) => own(write(2, false, &[])),
        Some(Says::Refused) => own(write(5, false, &[])),
        Some(Says::Silence) => Vec::new(),
        Some(Says::Addresses(found)) => own(write(0, false, &addresses(&name, &found))),
        Some(Says::TruncatedUnlessTcp(found)) if tcp => {
            own(write(0, false, &addresses(&name, &found)))
        }
        Some(Says::TruncatedUnlessTcp(_)) => own(write(0, true, &[])),
        Some(Says::Alias(target)) => {
            let mut records = vec![(name.clone(), CNAME, encode(&target))];
            if let Some(Says::Addresses(found)) = zone.names.get(&target) {
                records.append(&mut addresses(&target, found));
            }
            own(write(0, false, &records))
        }
        Some(Says::Services(services)) if kind == SRV => {
            let records: Vec<_> = services
                .iter()
                .map(|(port, weight, host)| {
                    let mut data = 1_u16.to_be_bytes().to_vec();
                    data.extend_from_slice(&weight.to_be_bytes());
                    data.extend_from_slice(&port.to_be_bytes());
                    data.extend_from_slice(&encode(host));
                    (name.clone(), SRV, data)
                })
                .collect();
            own(write(0, false, &records))
        }
        Some(Says::Services(_)) => own(write(0, false, &[])),
        Some(Says::Forged(address)) => {
            let good = write(0, false, &addresses(&name, &[address]));
            let mut other_number = good.clone();
            other_number[1] ^= 1;
            let mut other_name = good.clone();
            other_name[13] ^= 1;
            vec![
                Answer::Own(other_number),
                Answer::Own(other_name),
                Answer::Own(b"short".to_vec()),
                Answer::Foreign(good),
            ]
        }
    }
}

/// The name in lower case, the type, and the end of the question.
fn read_question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    message.get(at + 3)?;
    Some((labels.join("."), kind, at + 4))
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
