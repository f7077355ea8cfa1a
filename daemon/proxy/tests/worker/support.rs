//! A worker in this process, the origins behind it, and clients that speak raw HTTP/1.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::process::{FromChild, ToChild};
use protocol::wire;
use tandem_proxy::{Setup, listener_keys, run};

use super::PATIENCE;

/// An origin whose behaviour is a function of each connection.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
}

impl Origin {
    pub(super) fn new(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("origin");
        let address = listener.local_addr().expect("address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream, number));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Answers each request without a body with its name, the head it got in the body.
    pub(super) fn echo(name: &'static str) -> Self {
        Self::new(move |mut stream, _| {
            while let Some(head) = read_head(&mut stream) {
                let body = format!("{name}\n{head}");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Origin: {name}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Sends one fixed answer to each connection's first request and closes.
    pub(super) fn fixed(answer: &'static [u8]) -> Self {
        Self::new(move |mut stream, _| {
            if read_head(&mut stream).is_some() {
                let _ = stream.write_all(answer);
                let _ = stream.shutdown(Shutdown::Write);
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest);
            }
        })
    }
}

/// A head up to its empty line; `None` at the end of the stream.
pub(super) fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// A worker in threads of this process.
pub(super) struct Worker {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) channel: Option<std::os::unix::net::UnixStream>,
    pub(super) thread: Option<std::thread::JoinHandle<std::process::ExitCode>>,
    _control: OwnedFd,
    pub(super) log: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    /// Starts one; `{log}` in the text stands for an address that collects log lines.
    pub(super) fn start(text: &str) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("log");
        let text = text.replace("{log}", &socket.local_addr().expect("log").to_string());
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut line = [0; 4096];
            while let Ok(count) = socket.recv(&mut line) {
                lines
                    .lock()
                    .expect("log")
                    .push(String::from_utf8_lossy(&line[..count]).into_owned());
            }
        });
        let loaded = config::load(&[config::Input::text("test.cfg", text)], &|_| None);
        assert!(
            !loaded.diagnostics.has_errors(),
            "{}",
            loaded.diagnostics.render(&loaded.sources)
        );
        let config = loaded.haproxy.expect("an haproxy.cfg");
        let checked = tandem_proxy::check(&config, &loaded.sources);
        assert!(!checked.has_errors(), "{}", checked.render(&loaded.sources));
        let listeners = listener_keys(&config);
        let sockets: Vec<TcpListener> = listeners
            .iter()
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("listener"))
            .collect();
        let addresses = sockets
            .iter()
            .map(|socket| socket.local_addr().expect("address"))
            .collect();
        let setup = Setup {
            config,
            node: "test".into(),
            pid_for_logs: 1,
            listeners,
            servers_state: Vec::new(),
            tracked_backends: Vec::new(),
        };
        let (ours, theirs) = sys::channel::pair().expect("channel");
        let (control, worker_control) = sys::channel::pair().expect("channel");
        let thread = std::thread::spawn(move || {
            run(
                setup,
                sockets.into_iter().map(OwnedFd::from).collect(),
                theirs,
                worker_control,
            )
        });
        let channel = std::os::unix::net::UnixStream::from(ours);
        channel.set_nonblocking(false).expect("blocking");
        channel.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut worker = Self {
            addresses,
            channel: Some(channel),
            thread: Some(thread),
            _control: control,
            log,
        };
        assert_eq!(worker.hear(), FromChild::Ready);
        worker
    }

    pub(super) fn hear(&mut self) -> FromChild {
        let channel = self.channel.as_mut().expect("channel");
        let mut header = [0; 5];
        channel.read_exact(&mut header).expect("frame");
        let mut payload =
            vec![0; u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize];
        channel.read_exact(&mut payload).expect("payload");
        wire::decode(&payload).expect("message")
    }

    pub(super) fn tell(&mut self, message: &ToChild) {
        let payload = wire::encode(message).expect("message");
        let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
        frame.push(0);
        frame.extend(payload);
        self.channel
            .as_mut()
            .expect("channel")
            .write_all(&frame)
            .expect("told");
    }

    pub(super) fn connect(&self, listener: usize) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[listener]).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// Sends bytes on a connection of its own and reads until the end.
    pub(super) fn ask(&self, listener: usize, request: &[u8]) -> String {
        let mut stream = self.connect(listener);
        stream.write_all(request).expect("sent");
        read_all(stream)
    }

    /// The log line that contains `text`.
    pub(super) fn logged(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self
                .log
                .lock()
                .expect("log")
                .iter()
                .find(|line| line.contains(text))
            {
                return line.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no line with {text:?} in {:?}",
                self.log.lock()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.channel = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A port that refuses connections for as long as the socket is held: bound, never listening.
pub(super) fn dead_port() -> (SocketAddr, socket2::Socket) {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("bound");
    (
        socket
            .local_addr()
            .expect("address")
            .as_socket()
            .expect("inet"),
        socket,
    )
}
