//! DNS messages: the question for a name, and what an answer to it says. Pure; hickory-proto reads and writes the bytes.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

/// Most records of one answer that are used.
const MAX_RECORDS: usize = 4_096;
/// Longest chain of aliases that is followed; each link is a search through the answer.
const MAX_ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    A,
    Aaaa,
    Srv,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Srv => RecordType::SRV,
        }
    }
}

/// A record of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Its host, without the last dot, in lower case.
    pub(super) target: String,
    /// Its port.
    pub(super) port: u16,
    /// Its weight, 0 to 65535.
    pub(super) weight: u16,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    Services(Vec<Service>),
    /// The name exists without records of this kind.
    Empty,
    Nx,
    Refused,
    /// It did not fit; it is to be asked for over TCP.
    Truncated,
    /// Any other error.
    Other,
}

/// The bytes are no answer to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer to the question")]
pub(super) struct NoAnswer;

/// A question with a random number.
#[derive(Clone, Debug)]
pub(super) struct Question {
    id: u16,
    name: Name,
    kind: Kind,
    /// The message.
    pub(super) bytes: Vec<u8>,
}

/// Whether a text can be asked for: a host's name of DNS.
pub fn valid_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && absolute(text).is_some_and(|name| !name.is_root())
}

fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl Question {
    /// The question for a name's records; `payload_bytes` is what an answer may have. `None` for what is no name.
    pub(super) fn new(name: &str, kind: Kind, payload_bytes: u16) -> Option<Self> {
        let name = absolute(name)?;
        // The library takes the number from the system's generator.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), kind.record_type()));
        let mut edns = Edns::new();
        edns.set_max_payload(payload_bytes);
        message.set_edns(edns);
        Some(Self {
            id: message.metadata.id,
            name,
            kind,
            bytes: message.to_vec().ok()?,
        })
    }

    /// Reads an answer; what does not fit the question (number, name, type, class) is none.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Answer, NoAnswer> {
        let message = Message::from_vec(bytes).map_err(|_| NoAnswer)?;
        let about = &message.metadata;
        let [asked] = &message.queries[..] else {
            return Err(NoAnswer);
        };
        let fits = about.id == self.id
            && about.message_type == MessageType::Response
            && about.op_code == OpCode::Query
            && *asked.name() == self.name
            && asked.query_type() == self.kind.record_type()
            && asked.query_class() == DNSClass::IN;
        if !fits {
            return Err(NoAnswer);
        }
        Ok(match about.response_code {
            _ if about.truncation => Answer::Truncated,
            ResponseCode::NoError => self.records(&message),
            ResponseCode::NXDomain => Answer::Nx,
            ResponseCode::Refused => Answer::Refused,
            _ => Answer::Other,
        })
    }

    fn records(&self, message: &Message) -> Answer {
        let mut owner = &self.name;
        let mut addresses = Vec::new();
        let mut services = Vec::new();
        // Aliases lead from the name to the owner of the records. They may stand in any order, each is used once.
        for _ in 0..MAX_ALIASES {
            let next = message
                .answers
                .iter()
                .find_map(|record| match &record.data {
                    RData::CNAME(target) if record.name == *owner => Some(&target.0),
                    _ => None,
                });
            match next {
                Some(target) if target != owner => owner = target,
                _ => break,
            }
        }
        for record in message.answers.iter().take(MAX_RECORDS) {
            if record.name != *owner || record.dns_class != DNSClass::IN {
                continue;
            }
            match (self.kind, &record.data) {
                (Kind::A, RData::A(address)) => addresses.push(IpAddr::V4(address.0)),
                (Kind::Aaaa, RData::AAAA(address)) => addresses.push(IpAddr::V6(address.0)),
                (Kind::Srv, RData::SRV(service)) => {
                    let target = service.target.to_lowercase().to_ascii();
                    let target = target.trim_end_matches('.');
                    // RFC 2782: a target of "." says that there is no such service.
                    if !target.is_empty() && service.port != 0 {
                        services.push(Service {
                            target: target.to_owned(),
                            port: service.port,
                            weight: service.weight,
                        });
                    }
                }
                _ => {}
            }
        }
        match self.kind {
            Kind::Srv if !services.is_empty() => Answer::Services(services),
            Kind::A | Kind::Aaaa if !addresses.is_empty() => Answer::Addresses(addresses),
            _ => Answer::Empty,
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
