//! SOCKS version 4: a proxy between us and a server (`socks4`).
//!
//! Protocol: Ying-Da Lee, "SOCKS: A protocol for TCP proxy across firewalls".

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Version 4, command 1: CONNECT.
const CONNECT: [u8; 2] = [4, 1];
/// The name that HAProxy gives itself: proxies may know it.
const USER: &[u8] = b"HAProxy\0";
/// The second byte of an answer that grants the request.
const GRANTED: u8 = 90;

/// Asks the proxy at the other end for a connection to `target`.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::ConnectionRefused`] where the proxy refuses or the target has no IPv4 address,
/// which the protocol needs.
pub async fn ask(stream: &mut TcpStream, target: SocketAddr) -> io::Result<()> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::ConnectionRefused, why.to_owned());
    let IpAddr::V4(ip) = target.ip().to_canonical() else {
        return Err(refused("SOCKS4 knows no IPv6 addresses"));
    };
    let mut request = CONNECT.to_vec();
    request.extend_from_slice(&target.port().to_be_bytes());
    request.extend_from_slice(&ip.octets());
    request.extend_from_slice(USER);
    stream.write_all(&request).await?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await?;
    if answer[0] != 0 || answer[1] != GRANTED {
        return Err(refused("SOCKS4 Proxy deny the request"));
    }
    Ok(())
}
