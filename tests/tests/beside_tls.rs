//! What is offered in TLS handshakes beside haproxy: versions, cipher suites, curves, whose order counts, and how sessions
//! come back.

use std::process::{Command, Stdio};

use tandem_tests::beside::{Differences, Side, Which, free_port};
use tandem_tests::{Outcome, certificate, require};

/// `bind` options, and what clients (`openssl s_client`) ask for.
const CASES: [(&str, &[&str]); 17] = [
    ("", &["", "-tls1_2", "-tls1_3", "-tls1_1"]),
    ("ssl-min-ver TLSv1.3", &["", "-tls1_2"]),
    ("ssl-max-ver TLSv1.2", &["", "-tls1_3"]),
    ("force-tlsv12", &["", "-tls1_3"]),
    (
        "ciphers ECDHE-ECDSA-AES128-GCM-SHA256",
        &[
            "-tls1_2",
            "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384",
            "-tls1_3",
        ],
    ),
    (
        "ciphers ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256",
        &[
            "-tls1_2",
            "-tls1_2 -cipher AESGCM",
            "-tls1_2 -cipher AES256",
        ],
    ),
    (
        "ciphers HIGH:!AES256:!CHACHA20",
        &["-tls1_2", "-tls1_2 -cipher AES256"],
    ),
    (
        "ciphers FOO:AES256+ECDHE",
        &["-tls1_2", "-tls1_2 -cipher AES128"],
    ),
    (
        "prefer-client-ciphers",
        &[
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
            "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
        ],
    ),
    (
        "ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256 ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
        &[
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
            "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
        ],
    ),
    (
        "ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        &["-tls1_3", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384"],
    ),
    ("ciphersuites FOO:TLS_AES_128_GCM_SHA256", &["-tls1_3"]),
    (
        "curves P-384",
        &[
            "-tls1_3 -groups P-256:P-384",
            "-tls1_2 -groups P-256:P-384",
            "-tls1_3 -groups X25519",
        ],
    ),
    (
        "curves P-384:X25519",
        &[
            "-tls1_3 -groups X25519:P-384",
            "-tls1_3 -groups P-256:X25519",
        ],
    ),
    ("no-tls-tickets", &["-tls1_2"]),
    ("ecdhe secp384r1", &["-tls1_2", "-tls1_2 -groups P-256"]),
    ("ecdhe secp384r1 curves prime256v1", &["-tls1_2", "-tls1_3"]),
];

/// A handshake of openssl(1): version, cipher suite, group, whether a session came back and whether there was a ticket.
fn handshake(port: u16, wishes: &str) -> Outcome<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", "a.test"])
        .args(wishes.split_whitespace())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |begin: &str| {
        let mut lines = text.lines().map(str::trim);
        lines
            .find(|line| line.starts_with(begin))
            .unwrap_or("-")
            .to_owned()
    };
    let cipher = ["New, ", "Reused, "].map(line).concat().replace("-", "");
    let ticket = if wishes.contains("-tls1_2") {
        line("TLS session ticket:")
    } else {
        String::new()
    };
    Ok(format!("{cipher} {} {ticket}", line("Server Temp Key")))
}

#[test]
fn handshakes_agree_on_the_same_as_with_haproxy() -> Outcome {
    require!("haproxy", "tandemd", "openssl");
    let run = |which| -> Outcome<Vec<String>> {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        std::fs::write(folder.path().join("pem"), certificate::pem(&["a.test"])?)?;
        let mut text = String::new();
        let mut ports = Vec::new();
        for (options, _) in CASES {
            let port = free_port()?;
            text += &format!(" bind 127.0.0.1:{port} ssl crt {{dir}}/pem {options}\n");
            ports.push(port);
        }
        let text = format!("frontend f\n{text} http-request return status 200\n");
        let side = Side::start_in(which, &text, folder)?;
        let mut found = Vec::new();
        for ((options, clients), port) in CASES.iter().zip(ports) {
            for wishes in *clients {
                found.push(format!("{options}, {wishes}: {}", handshake(port, wishes)?));
            }
        }
        drop(side);
        Ok(found)
    };
    let (theirs, ours) = (run(Which::Haproxy)?, run(Which::Tandem)?);
    let mut differences = Differences::default();
    for (theirs, ours) in theirs.into_iter().zip(ours) {
        differences.compare("handshake", theirs, ours);
    }
    differences.none()
}

/// Options of a server, and whether the connection after the first comes back to its session.
const SERVERS: [&str; 10] = [
    "",
    "ssl-min-ver TLSv1.3",
    "ssl-max-ver TLSv1.2",
    "force-tlsv12",
    "no-tlsv13",
    "no-tlsv12",
    "ciphersuites TLS_AES_128_GCM_SHA256",
    "no-tlsv13 ciphers ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
    "no-tlsv13 ciphers AES128",
    "no-ssl-reuse",
];

#[test]
fn servers_are_offered_the_same_as_by_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let run = |which| -> Outcome<Vec<String>> {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        std::fs::write(folder.path().join("pem"), certificate::pem(&["a.test"])?)?;
        let mut text = "global: ssl-default-server-ciphers ECDHE-ECDSA-AES256-GCM-SHA384\n\
            listen inner\n bind {in2} ssl crt {dir}/pem\n \
            http-request return status 200 hdr X-Tls \"%[ssl_fc_protocol] %[ssl_fc_cipher] %[ssl_fc_is_resumed]\"\n\
            frontend f\n bind {in}\n"
            .to_owned();
        for at in 0..SERVERS.len() {
            text += &format!(" use_backend b{at} if {{ path /{at} }}\n");
        }
        for (at, options) in SERVERS.iter().enumerate() {
            text += &format!(
                "backend b{at}\n option http-server-close\n server s {{in2}} ssl verify none sni str(a.test) {options}\n"
            );
        }
        let side = Side::start_in(which, &text, folder)?;
        let mut found = Vec::new();
        for (at, options) in SERVERS.iter().enumerate() {
            for turn in 0..2 {
                let answer = side.get(&format!("/{at}"), &[])?;
                found.push(format!("{options}, {turn}: {:?}", answer.header("x-tls")));
            }
        }
        Ok(found)
    };
    let (theirs, ours) = (run(Which::Haproxy)?, run(Which::Tandem)?);
    let mut differences = Differences::default();
    for (theirs, ours) in theirs.into_iter().zip(ours) {
        differences.compare("connection", theirs, ours);
    }
    differences.none()
}
