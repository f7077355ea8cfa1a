//! The columns that HAProxy's modules append to `show stat`: of TLS, of HTTP/2, and what of HTTP/1 is counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side};
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, certificate, ensure, require};

/// What both count alike, of a frontend's clients. SETTINGS, DATA and RST_STREAM of a peer are counted as they come, by
/// haproxy only where it acts on them.
const COLUMNS: &[&str] = &[
    "ssl_sess",
    "ssl_reused_sess",
    "ssl_failed_handshake",
    "h2_headers_rcvd",
    "h2_goaway_rcvd",
    "h2_detected_conn_protocol_errors",
    "h2_detected_strm_protocol_errors",
    "h2_goaway_resp",
    "h2_open_connections",
    "h2_total_connections",
    "h2_backend_total_streams",
    "h1_open_connections",
    "h1_total_connections",
    "h1_total_streams",
];

#[test]
fn connections_and_frames_are_counted_alike() -> Outcome {
    require!("haproxy", "tandemd", "curl");
    let figures = BOTH.map(|which| -> Outcome<Vec<String>> {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        std::fs::write(folder.path().join("pem"), certificate::pem(&["a.test"])?)?;
        let side = Side::start_in(
            which,
            "global: tune.ssl.default-dh-param 2048\nfrontend f\n bind {in} ssl crt {dir}/pem alpn h2,http/1.1\n default_backend b\n\
             backend b\n server s1 {in2} ssl verify none alpn http/1.1\n\
             frontend g\n bind {in2} ssl crt {dir}/pem\n http-request return status 200 content-type text/plain string hello\n",
            folder,
        )?;
        for (version, count) in [("--http2", 1), ("--http2", 3), ("--http1.1", 1), ("--http1.1", 2)] {
            let urls = (0..count).map(|number| format!("https://{}/{number}", side.address));
            let output = Command::new("curl")
                .args(["-sk", "--max-time", "10", version])
                .args(urls)
                .output()?;
            ensure!(
                output.stdout == "hello".repeat(count).into_bytes(),
                "{which:?} {version}: {output:?}"
            );
        }
        // Plain HTTP where TLS is expected.
        let mut stream = TcpStream::connect(side.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let _ = stream.read_to_end(&mut Vec::new());
        side.wait_stat("f", "FRONTEND", "ssl_failed_handshake", "1")?;
        side.wait_stat("f", "FRONTEND", "scur", "0")?;
        let mut figures = Vec::new();
        for column in COLUMNS {
            figures.push(format!("f {column} {}", side.stat("f", "FRONTEND", column)?));
        }
        // How many connections go to a server is each program's own choice; what they are is not.
        let of = |column: &str| -> Outcome<u64> {
            Ok(side.stat("b", "BACKEND", column)?.parse().unwrap_or(0))
        };
        wait_for("the sum of handshakes", Duration::from_secs(5), || {
            let read = |column| of(column).map_err(|error| error.to_string());
            let handshakes = read("ssl_sess")? + read("ssl_reused_sess")?;
            let connections = read("h1_total_connections")?;
            if handshakes == connections && handshakes > 0 {
                Ok(())
            } else {
                Err(format!("{handshakes} handshakes, {connections} connections"))
            }
        })?;
        figures.push(format!("b h1_total_streams {}", of("h1_total_streams")?));
        figures.push(format!("b h2_total_connections {}", of("h2_total_connections")?));
        let typed = side.command("show stat typed")?;
        ensure!(
            typed.lines().any(|line| line.contains(".ssl_sess.1:MCP:u64:")),
            "the typed form lacks ssl_sess"
        );
        Ok(figures)
    });
    let [theirs, ours] = figures;
    let mut differences = Differences::default();
    for (theirs, ours) in theirs?.into_iter().zip(ours?) {
        differences.compare("column", theirs, ours);
    }
    differences.none()
}
