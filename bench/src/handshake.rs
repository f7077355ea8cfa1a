//! `tandem-bench handshake`: a connection, a TLS handshake, one request and a close, over and over.
//!
//! wrk would do for small requests, but it may resume sessions and cannot be told not to. Here it is said:
//! `full` never resumes, `resumed` does from the second connection on. rustls as client costs the load core
//! less than OpenSSL, so that the contenders are what is slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::load::{Load, LoadErrors};

/// Threads, each with one connection at a time.
const THREADS: usize = 8;
/// A contender that is silent for longer counts as an error.
const PATIENCE: Duration = Duration::from_secs(5);
/// Name in the certificates.
pub(crate) const SERVER_NAME: &str = "bench.test";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n";
/// An answer is small; a longer one is an error.
const ANSWER_MAX_BYTES: u64 = 64 << 10;

/// Runs as a program of its own: `ADDRESS SECONDS CERTIFICATE full|resumed`; prints one line that [`Load::parse`] reads.
pub(crate) fn command(arguments: Vec<String>) -> Result<(), String> {
    let [address, seconds, certificate, kind] = arguments.as_slice() else {
        return Err("handshake: wanted ADDRESS SECONDS CERTIFICATE full|resumed".into());
    };
    let address = address
        .parse()
        .map_err(|_| format!("handshake: no address: {address}"))?;
    let seconds = seconds
        .parse()
        .map_err(|_| format!("handshake: no seconds: {seconds}"))?;
    let client = client(certificate)?;
    let load = run(
        address,
        Duration::from_secs(seconds),
        client,
        kind == "resumed",
    );
    println!("{}", load.line());
    Ok(())
}

/// A client that trusts the certificate of the PEM file `certificate` alone and never resumes.
pub(crate) fn client(certificate: &str) -> Result<ClientConfig, String> {
    let fail = |error: &dyn std::fmt::Display| format!("handshake: {certificate}: {error}");
    let mut roots = RootCertStore::empty();
    for item in CertificateDer::pem_file_iter(certificate).map_err(|error| fail(&error))? {
        roots
            .add(item.map_err(|error| fail(&error))?)
            .map_err(|error| fail(&error))?;
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// One connection, handshake, request and answer; the answer's text.
pub(crate) fn exchange(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    request: &[u8],
) -> std::io::Result<(Vec<u8>, Option<HandshakeKind>)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(SERVER_NAME).expect("the constant is a DNS name");
    let mut session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(request)?;
    let mut answer = Vec::new();
    tls.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
    Ok((answer, session.handshake_kind()))
}

fn run(address: SocketAddr, duration: Duration, mut config: ClientConfig, resume: bool) -> Load {
    if resume {
        config.resumption = Resumption::in_memory_sessions(THREADS * 8);
    }
    let config = Arc::new(config);
    let started = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let config = config.clone();
            std::thread::spawn(move || {
                let (mut latencies, mut errors) = (Vec::new(), LoadErrors::default());
                let mut first = true;
                while started.elapsed() < duration {
                    let begun = Instant::now();
                    match exchange(address, config.clone(), REQUEST) {
                        Ok((answer, _)) if !answer.starts_with(b"HTTP/1.1 200 ") => {
                            errors.status += 1
                        }
                        // Threads share the store of sessions: the first of each may find it empty.
                        Ok((_, Some(HandshakeKind::Resumed))) if resume => {
                            latencies.push(begun.elapsed())
                        }
                        Ok(_) if !resume || first => latencies.push(begun.elapsed()),
                        Ok(_) => {
                            errors.not_resumed += 1;
                            latencies.push(begun.elapsed());
                        }
                        Err(_) => errors.read += 1,
                    }
                    first = false;
                }
                (latencies, errors)
            })
        })
        .collect();

    let (mut latencies, mut errors) = (Vec::new(), LoadErrors::default());
    for thread in threads {
        if let Ok((of_thread, errors_of_thread)) = thread.join() {
            latencies.extend(of_thread);
            errors.add(&errors_of_thread);
        }
    }
    latencies.sort();
    let percentile = |share: f64| {
        let place = (latencies.len().saturating_sub(1) as f64 * share) as usize;
        latencies.get(place).copied().unwrap_or_default()
    };
    Load {
        requests: latencies.len() as u64,
        duration: started.elapsed(),
        p50: percentile(0.50),
        p99: percentile(0.99),
        errors,
    }
}
