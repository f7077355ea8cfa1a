//! One raw socket an interface, shared by its instances, and the task that reads it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sys::packet::VrrpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::packet::MAX_DATAGRAM_BYTES;

/// Pause after an error of a socket, such as its link going down.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// A datagram with the interface that it came in by.
pub(super) struct Arrival {
    /// The interface's name.
    pub(super) interface: Arc<str>,
    /// The datagram, IP header included.
    pub(super) bytes: Vec<u8>,
}

struct Port {
    socket: Arc<VrrpSocket>,
    group: Option<IpAddr>,
    reader: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// All sockets by interface.
pub(super) struct Ports {
    open: HashMap<String, Port>,
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

    /// Sees that a socket for this interface, as it is now, is open.
    pub(super) fn ensure(
        &mut self,
        interface: &str,
        index: u32,
        group: Option<IpAddr>,
    ) -> std::io::Result<()> {
        if self
            .open
            .get(interface)
            .is_some_and(|port| port.socket.index() == index && port.group == group)
        {
            return Ok(());
        }
        self.open.remove(interface);
        let socket = Arc::new(VrrpSocket::open(interface, index, group)?);
        let reader = tokio::spawn(read(
            Arc::clone(&socket),
            Arc::from(interface),
            self.arrivals.clone(),
        ));
        self.open.insert(
            interface.to_owned(),
            Port {
                socket,
                group,
                reader,
            },
        );
        Ok(())
    }

    /// Closes the sockets of interfaces that nobody needs or that are gone.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.open.retain(|interface, _| wanted(interface));
    }

    /// What waits in the sockets, `limit` datagrams of each at most.
    pub(super) fn waiting(&self, limit: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        for (interface, port) in &self.open {
            let interface: Arc<str> = Arc::from(interface.as_str());
            for _ in 0..limit {
                let Some(length) = port.socket.receive_waiting(&mut buffer) else {
                    break;
                };
                arrivals.push(Arrival {
                    interface: Arc::clone(&interface),
                    bytes: buffer[..length].to_vec(),
                });
            }
        }
        arrivals
    }

    /// Sends an advertisement.
    pub(super) fn send(
        &self,
        interface: &str,
        from: IpAddr,
        to: IpAddr,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let port = self
            .open
            .get(interface)
            .ok_or_else(|| std::io::Error::other("no socket on this interface"))?;
        port.socket.send(from, to, bytes)
    }
}

async fn read(socket: Arc<VrrpSocket>, interface: Arc<str>, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    loop {
        match socket.receive(&mut buffer).await {
            Ok(length) => {
                let arrival = Arrival {
                    interface: Arc::clone(&interface),
                    bytes: buffer[..length].to_vec(),
                };
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
