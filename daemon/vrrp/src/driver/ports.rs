//! The raw sockets: one an interface and kind of travel, shared by its instances, and read by the driver's own loop.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sys::batch::{BATCH, Batch};
use sys::packet::{Arrived, Travel, VrrpSocket};
use tokio::time::Instant;

use crate::packet::{Datagram, Refused};

/// Pause after an error of a socket, such as its link going down.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// Which socket: its place among [`Ports`].
pub(super) type PortNumber = usize;

/// What a datagram that came by one of the sockets holds.
pub(super) fn read(about: Arrived, bytes: &[u8]) -> Result<Datagram<'_>, Refused> {
    match about {
        Arrived::Ipv4 { .. } => Datagram::read(bytes),
        Arrived::Ipv6 {
            source,
            destination,
            hop_limit,
            ..
        } => Ok(Datagram::ipv6(
            source.into(),
            destination.into(),
            hop_limit,
            bytes,
        )),
    }
}

/// The sockets that have become ready, and who waits for them: at a wake only these are looked at.
#[derive(Default)]
struct Rung {
    numbers: Mutex<(Vec<PortNumber>, Option<Waker>)>,
}

impl Rung {
    /// Adds one; who waits is given, to be woken.
    fn add(&self, number: PortNumber) -> Option<Waker> {
        let mut rung = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if !rung.0.contains(&number) {
            rung.0.push(number);
        }
        rung.1.take()
    }

    fn ring(&self, number: PortNumber) {
        if let Some(waker) = self.add(number) {
            waker.wake();
        }
    }

    /// The next one; without one `context` will be woken.
    fn poll_next(&self, context: &Context<'_>) -> Poll<PortNumber> {
        let mut rung = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        match rung.0.pop() {
            Some(number) => Poll::Ready(number),
            None => {
                let waits = rung.1.as_ref();
                if !waits.is_some_and(|waker| waker.will_wake(context.waker())) {
                    rung.1 = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// What a socket wakes.
struct Bell {
    number: PortNumber,
    rung: Arc<Rung>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.ring(self.number);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.ring(self.number);
    }
}

struct Port {
    socket: VrrpSocket,
    interface: String,
    groups: HashSet<IpAddr>,
    bell: Waker,
}

/// All sockets.
#[derive(Default)]
pub(super) struct Ports {
    /// A place becomes empty when its socket is closed, and is used again.
    open: Vec<Option<Port>>,
    /// By the interface's number.
    numbers: HashMap<(u32, Travel), PortNumber>,
    rung: Arc<Rung>,
}

impl Ports {
    /// Sees that a socket for this interface, as it is now, is open and has joined the group if one is given.
    pub(super) fn ensure(
        &mut self,
        interface: &str,
        index: u32,
        travel: Travel,
        group: Option<IpAddr>,
    ) -> std::io::Result<PortNumber> {
        let key = (index, travel);
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => self.open(interface, index, travel)?,
        };
        if let (Some(group), Some(Some(port))) = (group, self.open.get_mut(number))
            && !port.groups.contains(&group)
        {
            port.socket.join(group)?;
            port.groups.insert(group);
        }
        Ok(number)
    }

    /// The interface of an open one.
    pub(super) fn interface(&self, number: PortNumber) -> Option<&str> {
        let port = self.open.get(number)?.as_ref()?;
        Some(&port.interface)
    }

    fn open(&mut self, interface: &str, index: u32, travel: Travel) -> std::io::Result<PortNumber> {
        let socket = VrrpSocket::open(interface, index, travel)?;
        let free = self.open.iter().position(Option::is_none);
        let number = free.unwrap_or(self.open.len());
        let bell = Waker::from(Arc::new(Bell {
            number,
            rung: Arc::clone(&self.rung),
        }));
        let port = Some(Port {
            socket,
            interface: interface.to_owned(),
            groups: HashSet::new(),
            bell,
        });
        match self.open.get_mut(number) {
            Some(place) => *place = port,
            None => self.open.push(port),
        }
        self.numbers.insert((index, travel), number);
        // It is looked at once, and waits from then on.
        self.rung.ring(number);
        Ok(number)
    }

    /// Closes the sockets that nobody needs.
    pub(super) fn keep(&mut self, wanted: impl Fn(PortNumber) -> bool) {
        self.numbers.retain(|_, number| wanted(*number));
        for (number, place) in self.open.iter_mut().enumerate() {
            if !wanted(number) {
                *place = None;
            }
        }
    }

    /// How many sockets there may be: all numbers are less.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Waits until something has come by a socket, and takes it: by which one, and how many datagrams. Cancel-safe.
    pub(super) async fn receive(&self, batch: &mut Batch) -> (PortNumber, usize) {
        std::future::poll_fn(|context| self.poll_receive(context, batch)).await
    }

    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<(PortNumber, usize)> {
        loop {
            let number = std::task::ready!(self.rung.poll_next(context));
            let Some(Some(port)) = self.open.get(number) else {
                continue;
            };
            // Its own bell is what it wakes: who it was is known then.
            let mut context = Context::from_waker(&port.bell);
            match port.socket.poll_receive(&mut context, batch) {
                Poll::Pending => {}
                Poll::Ready(Ok(count)) => {
                    // Whether there are more is seen at its next turn; that also has its bell hung up again. Nobody is
                    // to be woken for it: we are awake.
                    let _ = self.rung.add(number);
                    return Poll::Ready((number, count));
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!("{}: receiving advertisements: {error}", port.interface);
                    let bell = port.bell.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep_until(Instant::now() + ERROR_PAUSE).await;
                        bell.wake();
                    });
                }
            }
        }
    }

    /// Takes what waits in a socket now; how many datagrams, and whether there may be more.
    pub(super) fn receive_waiting(&self, number: PortNumber, batch: &mut Batch) -> (usize, bool) {
        let Some(Some(port)) = self.open.get(number) else {
            return (0, false);
        };
        let count = port.socket.receive_waiting(batch).unwrap_or(0);
        (count, count == BATCH)
    }

    /// Sends an advertisement; with [`Travel::Ipv4Ah`] it has its IP header already.
    pub(super) fn send(
        &self,
        number: Option<PortNumber>,
        from: IpAddr,
        to: IpAddr,
        ttl: u8,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let port = number.and_then(|number| self.open.get(number)?.as_ref());
        port.ok_or_else(|| std::io::Error::other("no socket on this interface"))?
            .socket
            .send(from, to, ttl, bytes)
    }
}
