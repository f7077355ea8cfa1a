//! `no_accept`: packets to and from virtual addresses are dropped on their master (RFC 5798 6.4.3), by nftables.
//!
//! One table, `inet tandem-vrrp` or as `nftables` names it, belongs to the open socket: the kernel removes it when the process ends, however it ends.
//! Each change replaces the whole table in one step. As keepalived's, it lets neighbour discovery pass.

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind};
use std::net::IpAddr;

use config::keepalived::{FilterTable, Life, Usual};
use rtnetlink::sys::{Socket, SocketAddr};

/// The table's name, as `nft list ruleset` shows it, where none is configured.
const TABLE: &str = "tandem-vrrp";
/// Largest batch in bytes: 20,000 addresses and more.
const MAX_BATCH_BYTES: usize = 1 << 21;
/// Addresses of one message of elements: an attribute's length has 16 bits.
const TOGETHER: usize = 512;
/// Longest answer of the kernel.
const ANSWER_BYTES: usize = 8192;
/// Answers that are read at most after a batch.
const MAX_ANSWERS: usize = 4096;

const NETLINK_NETFILTER: isize = 12;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const FAMILY_INET: u8 = 1;
const NESTED: u16 = 1 << 15;
/// NFT_TABLE_F_OWNER: it ends with the socket.
const OWNED: u32 = 2;
/// A protocol family with its numbers: NFPROTO_*, the set's name and type, and where the addresses are in the IP header.
struct Family {
    number: u8,
    set: &'static str,
    kind: u32,
    bytes: u32,
    source_at: u32,
    destination_at: u32,
}

const IPV4: Family = Family {
    number: 2,
    set: "vips4",
    kind: 7,
    bytes: 4,
    source_at: 12,
    destination_at: 16,
};
const IPV6: Family = Family {
    number: 10,
    set: "vips6",
    kind: 8,
    bytes: 16,
    source_at: 8,
    destination_at: 24,
};

/// A chain: its name, hook, and which side of a packet it looks at.
struct Chain {
    name: &'static str,
    hook: u32,
    /// NFT_META_IIF or NFT_META_OIF.
    interface: u32,
    incoming: bool,
}

const CHAINS: [Chain; 2] = [
    Chain {
        name: "in",
        hook: 1,
        interface: 4,
        incoming: true,
    },
    Chain {
        name: "out",
        hook: 3,
        interface: 5,
        incoming: false,
    },
];

/// An address, with the interface's number where it is one of the link's alone.
pub(crate) type Silent = (IpAddr, Option<u32>);

/// The table of this process, if it has one.
#[derive(Default)]
pub(crate) struct Filter {
    socket: Option<Socket>,
    sequence: u32,
    there: BTreeSet<Silent>,
    /// What the configuration says of the table.
    wanted_table: Option<FilterTable>,
}

impl Filter {
    /// How the table is to be from now on; another one than before takes its place with the next change.
    pub(crate) fn configure(&mut self, table: &FilterTable) {
        if self.wanted_table.as_ref() != Some(table) {
            self.wanted_table = Some(table.clone());
            // The old one ends with its socket.
            self.socket = None;
            self.there.clear();
        }
    }

    /// Drops packets to and from these addresses and no others.
    ///
    /// # Errors
    /// The kernel has no nftables, or another process has a table of this name. What was before stays.
    pub(crate) fn set(&mut self, wanted: BTreeSet<Silent>) -> Result<(), Error> {
        if wanted == self.there {
            return Ok(());
        }
        if wanted.is_empty() {
            // The table ends with its socket.
            self.socket = None;
            self.there = wanted;
            return Ok(());
        }
        if self.socket.is_none() {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_non_blocking(true)?;
            self.socket = Some(socket);
        }
        let table = self.wanted_table.as_ref();
        let mut batch = Batch {
            bytes: Vec::new(),
            sequence: self.sequence,
            table: table
                .and_then(|table| table.name.as_deref())
                .unwrap_or(TABLE),
            priority: table.map_or(Life::usual().filter.priority, |table| table.priority),
            counters: table.is_some_and(|table| table.counters),
        };
        batch.replace(&wanted, !self.there.is_empty());
        self.sequence = batch.sequence;
        if batch.bytes.len() > MAX_BATCH_BYTES {
            return Err(Error::other("too many addresses for one table"));
        }
        let socket = self.socket.as_ref().ok_or(ErrorKind::NotConnected)?;
        let outcome = ask(socket, &batch.bytes);
        match outcome {
            Ok(()) => self.there = wanted,
            // A socket without a table is of no use.
            Err(_) if self.there.is_empty() => self.socket = None,
            Err(_) => {}
        }
        outcome
    }
}

/// Sends a batch and reads its answers, which are there when the kernel has taken it.
fn ask(socket: &Socket, batch: &[u8]) -> Result<(), Error> {
    const ERROR: u16 = 2;
    const HEADER_BYTES: usize = 16;
    socket.send(batch, 0)?;
    let mut buffer = vec![0; ANSWER_BYTES];
    let mut failure = None;
    for _ in 0..MAX_ANSWERS {
        let length = match socket.recv(&mut &mut buffer[..], 0) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some(header) = rest.first_chunk::<HEADER_BYTES>() {
            let long = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let kind = u16::from_ne_bytes([header[4], header[5]]);
            let code = rest.get(HEADER_BYTES..HEADER_BYTES + 4);
            if let (ERROR, Some(&[a, b, c, d])) = (kind, code) {
                let code = i32::from_ne_bytes([a, b, c, d]);
                if code != 0 {
                    failure.get_or_insert(Error::from_raw_os_error(-code));
                }
            }
            let next = long.max(HEADER_BYTES).next_multiple_of(4);
            rest = rest.get(next..).unwrap_or_default();
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Messages that are done together or not at all.
struct Batch<'a> {
    bytes: Vec<u8>,
    sequence: u32,
    /// The table's name.
    table: &'a str,
    /// Of its chains.
    priority: i32,
    /// Each rule counts.
    counters: bool,
}

impl Batch<'_> {
    fn replace(&mut self, wanted: &BTreeSet<Silent>, is_there: bool) {
        self.message(BATCH_BEGIN, 0, 0, SUBSYSTEM, &[]);
        let name = text(1, self.table);
        let table = [name.clone(), number(2, OWNED)].concat();
        if is_there {
            self.change(DELETE_TABLE, 0, &name);
        }
        self.change(NEW_TABLE, CREATE, &table);
        for (id, family) in [(1, &IPV4), (2, &IPV6)] {
            let of_family = |(address, index): &&Silent| {
                index.is_none() && address.is_ipv6() == (family.number == IPV6.number)
            };
            let all: Vec<&Silent> = wanted.iter().filter(of_family).collect();
            let set = [
                name.clone(),
                text(2, family.set),
                number(4, family.kind),
                number(5, family.bytes),
                number(10, id),
            ];
            self.change(NEW_SET, CREATE, &set.concat());
            for some in all.chunks(TOGETHER) {
                let elements: Vec<u8> = some
                    .iter()
                    .flat_map(|(address, _)| {
                        nested(1, &nested(1, &attribute(1, &octets(*address))))
                    })
                    .collect();
                let body = [
                    name.clone(),
                    text(2, family.set),
                    nested(3, &elements),
                    number(4, id),
                ];
                self.change(NEW_ELEMENTS, CREATE, &body.concat());
            }
        }
        for chain in &CHAINS {
            let hook = [
                number(1, chain.hook),
                attribute(2, &self.priority.to_be_bytes()),
            ];
            let body = [
                name.clone(),
                text(3, chain.name),
                nested(4, &hook.concat()),
                number(5, ACCEPT),
                text(7, "filter"),
            ];
            self.change(NEW_CHAIN, CREATE, &body.concat());
            self.rules(chain, wanted);
        }
        self.message(BATCH_END, 0, 0, SUBSYSTEM, &[]);
    }

    fn rules(&mut self, chain: &Chain, wanted: &BTreeSet<Silent>) {
        /// Neighbour solicitation and advertisement (RFC 4861).
        const DISCOVERY: [u8; 2] = [135, 136];
        const ICMPV6: u8 = 58;
        for kind in DISCOVERY {
            self.rule(
                chain,
                &[
                    meta(META_FAMILY),
                    equals(&[IPV6.number]),
                    meta(META_TRANSPORT),
                    equals(&[ICMPV6]),
                    payload(BASE_TRANSPORT, 0, 1),
                    equals(&[kind]),
                    verdict(ACCEPT),
                ],
            );
        }
        for (id, family) in [(1, &IPV4), (2, &IPV6)] {
            let expressions = [
                meta(META_FAMILY),
                equals(&[family.number]),
                address(chain, family),
                lookup(family.set, id),
                verdict(DROP),
            ];
            self.rule(chain, &expressions);
        }
        for (silent, index) in wanted {
            let Some(index) = index else { continue };
            let expressions = [
                meta(META_FAMILY),
                equals(&[IPV6.number]),
                meta(chain.interface),
                equals(&index.to_ne_bytes()),
                address(chain, &IPV6),
                equals(&octets(*silent)),
                verdict(DROP),
            ];
            self.rule(chain, &expressions);
        }
    }

    fn rule(&mut self, chain: &Chain, expressions: &[Vec<u8>]) {
        let mut all: Vec<u8> = Vec::new();
        let (last, before) = expressions.split_last().unzip();
        all.extend(before.into_iter().flatten().flat_map(|one| nested(1, one)));
        if self.counters {
            all.extend(nested(1, &expression("counter", &[])));
        }
        all.extend(last.into_iter().flat_map(|one| nested(1, one)));
        let body = [text(1, self.table), text(2, chain.name), nested(4, &all)];
        self.change(NEW_RULE, CREATE | APPEND, &body.concat());
    }

    fn change(&mut self, what: u16, flags: u16, body: &[u8]) {
        let kind = SUBSYSTEM << 8 | what;
        self.message(kind, flags | ACK, FAMILY_INET, 0, body);
    }

    /// A message with the header of netfilter's.
    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) {
        const HEADERS_BYTES: usize = 20;
        let length = HEADERS_BYTES + body.len();
        self.bytes.extend((length as u32).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(body);
    }
}

const ACCEPT: u32 = 1;
const DROP: u32 = 0;
const REGISTER: u32 = 1;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: usize = 4;
    let length = HEADER_BYTES + value.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend((length as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, inner: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, inner)
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    [text(1, name), nested(2, &data.concat())].concat()
}

/// What is known of a packet, into the register.
fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(2, key), number(1, REGISTER)])
}

/// Goes on if the register holds this.
fn equals(value: &[u8]) -> Vec<u8> {
    const EQUAL: u32 = 0;
    let value = nested(3, &attribute(1, value));
    expression("cmp", &[number(1, REGISTER), number(2, EQUAL), value])
}

/// Bytes of a header, into the register.
fn payload(base: u32, offset: u32, bytes: u32) -> Vec<u8> {
    let data = [
        number(1, REGISTER),
        number(2, base),
        number(3, offset),
        number(4, bytes),
    ];
    expression("payload", &data)
}

/// The address that a chain looks at, into the register.
fn address(chain: &Chain, family: &Family) -> Vec<u8> {
    let at = match chain.incoming {
        true => family.destination_at,
        false => family.source_at,
    };
    payload(BASE_NETWORK, at, family.bytes)
}

/// Goes on if the register's value is in a set.
fn lookup(set: &str, id: u32) -> Vec<u8> {
    expression(
        "lookup",
        &[text(1, set), number(2, REGISTER), number(4, id)],
    )
}

fn verdict(code: u32) -> Vec<u8> {
    const VERDICT_REGISTER: u32 = 0;
    let code = nested(2, &nested(2, &number(1, code)));
    expression("immediate", &[number(1, VERDICT_REGISTER), code])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks through the attributes; how many there are at this level.
    fn count(mut bytes: &[u8]) -> usize {
        let mut found = 0;
        while !bytes.is_empty() {
            let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
            assert!(length >= 4 && length <= bytes.len());
            bytes = &bytes[length.next_multiple_of(4)..];
            found += 1;
        }
        found
    }

    #[test]
    fn messages_end_where_they_say() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut wanted: BTreeSet<Silent> = (0..=255_u8)
            .flat_map(|high| (0..8).map(move |low| (IpAddr::from([10, 0, high, low]), None)))
            .collect();
        wanted.insert((address("2001:db8::1"), None));
        wanted.insert((address("fe80::1"), Some(7)));
        let mut batch = Batch {
            bytes: Vec::new(),
            sequence: 3,
            table: TABLE,
            priority: -1,
            counters: true,
        };
        batch.replace(&wanted, true);
        let (mut rest, mut kinds) = (batch.bytes.as_slice(), Vec::new());
        while let Some(header) = rest.first_chunk::<20>() {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
            kinds.push(u16::from_ne_bytes([header[4], header[5]]));
            count(&rest[20..length]);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!((kinds[0], kinds.last()), (BATCH_BEGIN, Some(&BATCH_END)));
        let of = |what: u16| {
            let kind = SUBSYSTEM << 8 | what;
            kinds.iter().filter(|one| **one == kind).count()
        };
        assert_eq!((of(DELETE_TABLE), of(NEW_TABLE), of(NEW_SET)), (1, 1, 2));
        assert_eq!(of(NEW_ELEMENTS), 2048 / TOGETHER + 1);
        // Two for neighbour discovery, two for the sets, one for the address of the link.
        assert_eq!((of(NEW_CHAIN), of(NEW_RULE)), (2, 10));
    }

    #[test]
    fn nothing_to_drop_needs_no_socket() {
        let mut filter = Filter::default();
        assert!(filter.set(BTreeSet::new()).is_ok());
        assert!(filter.socket.is_none());
    }
}
