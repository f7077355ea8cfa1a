//! Our own web server, for what nginx cannot do: it records requests byte by byte and misbehaves on command.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::failure::{Context, Failure, Outcome};
use crate::host::Host;

/// The longest head accepted.
const HEAD_LIMIT_BYTES: usize = 2 << 20;
/// How many requests are remembered; older ones are forgotten.
const RECORD_LIMIT: usize = 100_000;

/// What to do with the next requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200 with the server's name, as nginx would; `/echo` returns the head it got, `/status/N` answers N.
    Name,
    /// This status with this body.
    Status(u16, Vec<u8>),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// The name, after a while.
    Delay(Duration),
    /// A reset instead of an answer.
    Reset,
    /// The end of the connection instead of an answer.
    Close,
    /// Nothing at all, with the connection open.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When its head was complete.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// The head, with its empty line.
    pub head: Vec<u8>,
    /// The body (by its Content-Length; chunks as they came).
    pub body: Vec<u8>,
}

impl Recorded {
    /// The head as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// The values of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Vec<String> {
        headers(&self.text())
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value)
            .collect()
    }
}

struct Shared {
    name: String,
    plan: Mutex<(VecDeque<Answer>, Answer)>,
    record: Mutex<VecDeque<Recorded>>,
}

/// A running origin; ends when dropped.
pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Origin {
    /// Starts an origin named like its host on a port of it (0: any).
    pub fn start(host: &Host, port: u16) -> Outcome<Origin> {
        let shared = Arc::new(Shared {
            name: host.name().to_owned(),
            plan: Mutex::new((VecDeque::new(), Answer::Name)),
            record: Mutex::new(VecDeque::new()),
        });
        let listener = host
            .in_network(move || listen(SocketAddr::from(([0, 0, 0, 0], port))))?
            .context(format!("the origin's port {port} on {}", host.name()))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let for_thread = Arc::clone(&shared);
        let thread = host.background(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                runtime.block_on(accept(listener, for_thread, stopped));
            }
        })?;
        Ok(Origin {
            shared,
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Starts an origin on a port of this machine's loopback, whatever the network it runs in.
    pub fn on_loopback(name: &str) -> Outcome<Origin> {
        const TRIES: usize = 20;
        for _ in 1..TRIES {
            if let Ok(origin) = Origin::on_loopback_port(name, crate::beside::free_port()?) {
                return Ok(origin);
            }
        }
        Origin::on_loopback_port(name, crate::beside::free_port()?)
    }

    /// The same on a port of choice: where one has ended before, say.
    pub fn on_loopback_port(name: &str, port: u16) -> Outcome<Origin> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            plan: Mutex::new((VecDeque::new(), Answer::Name)),
            record: Mutex::new(VecDeque::new()),
        });
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                runtime.block_on(accept(listener, for_thread, stopped));
            }
        });
        Ok(Origin {
            shared,
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What to answer from now on.
    pub fn set(&self, answer: Answer) {
        locked(&self.shared.plan).1 = answer;
    }

    /// What to answer to the next request alone; several are kept in order.
    pub fn once(&self, answer: Answer) {
        locked(&self.shared.plan).0.push_back(answer);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        locked(&self.shared.record).iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        locked(&self.shared.record).clear();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn headers(head: &str) -> impl Iterator<Item = (String, String)> + '_ {
    head.split("\r\n").skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_lowercase(), value.trim().to_owned()))
    })
}

/// A listening socket that can be bound again at once after a restart.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener, std::io::Error> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => {
                if let Ok((stream, from)) = accepted {
                    tokio::spawn(serve(stream, from, Arc::clone(&shared)));
                }
            }
        }
    }
}

async fn serve(mut stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer, from).await {
        let head = request.text();
        {
            let mut record = locked(&shared.record);
            if record.len() == RECORD_LIMIT {
                record.pop_front();
            }
            record.push_back(request);
        }
        let answer = {
            let mut plan = locked(&shared.plan);
            let (next, usual) = &mut *plan;
            next.pop_front().unwrap_or_else(|| usual.clone())
        };
        let bytes = match answer {
            Answer::Name => by_path(&shared.name, &head),
            Answer::Status(status, body) => render(&shared.name, status, &body),
            Answer::Delay(time) => {
                tokio::time::sleep(time).await;
                by_path(&shared.name, &head)
            }
            Answer::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Answer::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
            Answer::Close => return,
            Answer::Silence => {
                let mut rest = [0; 64];
                while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
                return;
            }
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        if headers(&head)
            .any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case("close"))
        {
            return;
        }
    }
}

/// Reads one request; `buffer` keeps what came after it.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    from: SocketAddr,
) -> Option<Recorded> {
    let end = loop {
        if let Some(found) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break found + 4;
        }
        if buffer.len() > HEAD_LIMIT_BYTES || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let at = Instant::now();
    let text = String::from_utf8_lossy(&head).into_owned();
    let length = headers(&text)
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok());
    let chunked = headers(&text)
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let complete = |buffer: &[u8]| match length {
        Some(length) => (buffer.len() >= length).then_some(length),
        None if chunked => buffer
            .windows(5)
            .position(|bytes| bytes == b"0\r\n\r\n")
            .map(|at| at + 5),
        None => Some(0),
    };
    let length = loop {
        if let Some(length) = complete(buffer) {
            break length;
        }
        if buffer.len() > HEAD_LIMIT_BYTES * 8 || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    Some(Recorded {
        at,
        from,
        head,
        body: buffer.drain(..length).collect(),
    })
}

fn by_path(name: &str, head: &str) -> Vec<u8> {
    let path = head.split(' ').nth(1).unwrap_or("/");
    if path == "/echo" {
        return render(name, 200, head.as_bytes());
    }
    let status = path
        .strip_prefix("/status/")
        .and_then(|number| number.parse().ok())
        .unwrap_or(200);
    render(name, status, format!("{name}\n").as_bytes())
}

fn render(name: &str, status: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} OK\r\nContent-Type: text/plain\r\nX-Server: {name}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Answers every request with the same bytes, as fast as can be: the origin of the benchmarks. Runs until the process ends.
pub fn serve_fixed(address: SocketAddr, body_bytes: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer: Arc<[u8]> = render("origin", 200, &vec![b'x'; body_bytes]).into();
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listen(address)?)?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve_fast(stream, Arc::clone(&answer)));
        }
        #[allow(unreachable_code, reason = "gives the block its error type")]
        Ok::<(), Failure>(())
    })
}

/// The largest request the fast origin takes.
const FAST_REQUEST_BYTES: usize = 16 * 1024;

async fn serve_fast(mut stream: TcpStream, answer: Arc<[u8]>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; FAST_REQUEST_BYTES];
    let mut filled = 0;
    loop {
        let Ok(count) = stream.read(&mut buffer[filled..]).await else {
            return;
        };
        if count == 0 {
            return;
        }
        filled += count;
        // Requests without bodies: each ends with an empty line.
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            let requests = buffer[..filled]
                .windows(4)
                .filter(|bytes| *bytes == b"\r\n\r\n")
                .count();
            for _ in 0..requests {
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            filled = 0;
        } else if filled == buffer.len() {
            return;
        }
    }
}
