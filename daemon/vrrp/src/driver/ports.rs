//! The raw sockets: one an interface and kind of travel, shared by its instances, and the tasks that read them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sys::packet::{Arrived, Travel, VrrpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::packet::{Datagram, MAX_DATAGRAM_BYTES, Refused};

/// Pause after an error of a socket, such as its link going down.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// A datagram with the interface that it came in by.
pub(super) struct Arrival {
    /// The interface's name.
    pub(super) interface: Arc<str>,
    /// What kind of socket it came through.
    pub(super) travel: Travel,
    about: Arrived,
    bytes: Vec<u8>,
}

impl Arrival {
    fn new(interface: &Arc<str>, travel: Travel, about: Arrived, buffer: &[u8]) -> Self {
        let (Arrived::Ipv4 { length } | Arrived::Ipv6 { length, .. }) = about;
        Self {
            interface: Arc::clone(interface),
            travel,
            about,
            bytes: buffer[..length.min(buffer.len())].to_vec(),
        }
    }

    /// What it holds.
    pub(super) fn datagram(&self) -> Result<Datagram<'_>, Refused> {
        match self.about {
            Arrived::Ipv4 { .. } => Datagram::read(&self.bytes),
            Arrived::Ipv6 {
                source,
                destination,
                hop_limit,
                ..
            } => Ok(Datagram::ipv6(
                source.into(),
                destination.into(),
                hop_limit,
                &self.bytes,
            )),
        }
    }
}

struct Port {
    socket: Arc<VrrpSocket>,
    groups: HashSet<IpAddr>,
    reader: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// All sockets.
pub(super) struct Ports {
    open: HashMap<(String, Travel), Port>,
    arrivals: mpsc::Sender<Arrival>,
}

impl Ports {
    /// No sockets yet; what arrives goes to `arrivals`, and waits in the kernel while that is full.
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>) -> Self {
        Self {
            open: HashMap::new(),
            arrivals,
        }
    }

    /// Sees that a socket for this interface, as it is now, is open and has joined the group if one is given.
    pub(super) fn ensure(
        &mut self,
        interface: &str,
        index: u32,
        travel: Travel,
        group: Option<IpAddr>,
    ) -> std::io::Result<()> {
        let key = (interface.to_owned(), travel);
        let is_current = |port: &Port| port.socket.index() == index;
        if !self.open.get(&key).is_some_and(is_current) {
            self.open.remove(&key);
            let socket = Arc::new(VrrpSocket::open(interface, index, travel)?);
            let reader = tokio::spawn(read(
                Arc::clone(&socket),
                Arc::from(interface),
                travel,
                self.arrivals.clone(),
            ));
            let port = Port {
                socket,
                groups: HashSet::new(),
                reader,
            };
            self.open.insert(key.clone(), port);
        }
        if let (Some(group), Some(port)) = (group, self.open.get_mut(&key))
            && !port.groups.contains(&group)
        {
            port.socket.join(group)?;
            port.groups.insert(group);
        }
        Ok(())
    }

    /// Closes the sockets that nobody needs, or whose interface is gone.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str, Travel) -> bool) {
        self.open
            .retain(|(interface, travel), _| wanted(interface, *travel));
    }

    /// What waits in the sockets, `limit` datagrams of each at most.
    pub(super) fn waiting(&self, limit: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        for ((interface, travel), port) in &self.open {
            let interface: Arc<str> = Arc::from(interface.as_str());
            for _ in 0..limit {
                let Some(about) = port.socket.receive_waiting(&mut buffer) else {
                    break;
                };
                arrivals.push(Arrival::new(&interface, *travel, about, &buffer));
            }
        }
        arrivals
    }

    /// Sends an advertisement; with [`Travel::Ipv4Ah`] it has its IP header already.
    pub(super) fn send(
        &self,
        (interface, travel): (&str, Travel),
        from: IpAddr,
        to: IpAddr,
        ttl: u8,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let port = self
            .open
            .get(&(interface.to_owned(), travel))
            .ok_or_else(|| std::io::Error::other("no socket on this interface"))?;
        port.socket.send(from, to, ttl, bytes)
    }
}

async fn read(
    socket: Arc<VrrpSocket>,
    interface: Arc<str>,
    travel: Travel,
    arrivals: mpsc::Sender<Arrival>,
) {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    loop {
        match socket.receive(&mut buffer).await {
            Ok(about) => {
                let arrival = Arrival::new(&interface, travel, about, &buffer);
                if arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!("{interface}: receiving advertisements: {error}");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}
