//! What contenders are told: one text for haproxy and tandemd alike, its equivalent for nginx, and certificates.
//!
//! The frontend's address is `${BENCH_PORT}` in the text, so that haproxy and tandemd read the same file to the
//! byte and still listen side by side.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::handshake::SERVER_NAME;
use crate::rows::{Key, Mode, Reuse, Row};

/// Environment variable with the frontend's port.
pub(crate) const PORT_VARIABLE: &str = "BENCH_PORT";
/// Where Debian keeps nginx's module for TCP; it is a package of its own.
pub(crate) const NGINX_STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Files and addresses that all rows share.
pub(crate) struct Setup {
    folder: PathBuf,
    origin: SocketAddr,
    log: SocketAddr,
}

impl Setup {
    /// Makes certificates in `folder`.
    pub(crate) fn new(folder: &Path, origin: SocketAddr, log: SocketAddr) -> Result<Self, String> {
        for key in [Key::P256, Key::Rsa2048] {
            make_certificate(folder, key)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            origin,
            log,
        })
    }

    /// The temporary folder of this run.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Certificate and key of the row's frontend in one PEM file.
    pub(crate) fn certificate(&self, row: &Row) -> Option<PathBuf> {
        row.tls.map(|key| self.folder.join(certificate_name(key)))
    }

    /// Writes the configuration for haproxy and tandemd and returns its path.
    pub(crate) fn write_haproxy(&self, row: &Row) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{}.cfg", row.name));
        fs::write(&path, self.haproxy(row))?;
        Ok(path)
    }

    /// Writes nginx's configuration and returns its path.
    pub(crate) fn write_nginx(&self, row: &Row, name: &str, port: u16) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-{}", row.name));
        fs::create_dir_all(&folder)?;
        let path = folder.join("nginx.conf");
        fs::write(&path, self.nginx(row, &folder, port))?;
        Ok(path)
    }

    fn haproxy(&self, row: &Row) -> String {
        let log_target = if row.log {
            format!("    log {} local0\n", self.log)
        } else {
            String::new()
        };
        let log = if row.log { "    log global\n" } else { "" };
        let mode = match row.mode {
            Mode::Tcp if row.log => "    mode tcp\n    option tcplog\n",
            Mode::Tcp => "    mode tcp\n",
            Mode::Http if row.log => "    mode http\n    option httplog\n",
            Mode::Http => "    mode http\n",
        };
        let http = match (row.mode, row.reuse) {
            (Mode::Tcp, _) => "",
            (Mode::Http, Reuse::Safe) => {
                "    option http-keep-alive\n    option forwardfor\n    http-reuse safe\n"
            }
            (Mode::Http, Reuse::Always) => {
                "    option http-keep-alive\n    option forwardfor\n    http-reuse always\n"
            }
        };
        let tls = self
            .certificate(row)
            .map(|path| format!(" ssl crt {}", path.display()))
            .unwrap_or_default();
        format!(
            "\
global
    nbthread 1
    maxconn 4000
{log_target}
defaults
{log}{mode}{http}    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 30s
    timeout http-keep-alive 30s

frontend bench
    bind \"127.0.0.1:${{{PORT_VARIABLE}}}\"{tls}
    default_backend origin

backend origin
    server origin {}
",
            self.origin
        )
    }

    fn nginx(&self, row: &Row, folder: &Path, port: u16) -> String {
        let dir = folder.display();
        let log = |format: &str| {
            if row.log {
                let facility = "facility=local0,tag=nginx,severity=info";
                format!(
                    "    log_format bench {format};\n    access_log syslog:server={},{facility} bench;\n",
                    self.log
                )
            } else {
                "    access_log off;\n".to_owned()
            }
        };
        let tls = match self.certificate(row) {
            Some(path) => format!(
                "        ssl_certificate {0};\n        ssl_certificate_key {0};\n",
                path.display()
            ),
            None => String::new(),
        };
        let ssl = if row.tls.is_some() { " ssl" } else { "" };
        let body = match row.mode {
            Mode::Http => format!(
                "\
http {{
{log}    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 30s;
    client_max_body_size 0;
    upstream origin {{
        server {origin};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096;
{tls}        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
",
                log = log(
                    "'$remote_addr:$remote_port [$time_local] bench origin/$upstream_addr $request_time/$upstream_connect_time/\
                     $upstream_header_time $status $bytes_sent $connection $connection_requests \"$request\"'"
                ),
                origin = self.origin,
            ),
            Mode::Tcp => format!(
                "\
stream {{
{log}    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096;
{tls}        proxy_pass {origin};
    }}
}}
",
                log = log(
                    "'$remote_addr:$remote_port [$time_local] bench origin/$upstream_addr $session_time $bytes_sent $status'"
                ),
                origin = self.origin,
            ),
        };
        let module = match row.mode {
            Mode::Tcp => format!("load_module {NGINX_STREAM_MODULE};\n"),
            Mode::Http => String::new(),
        };
        // The worker keeps our user, who owns the folder.
        let user = if nix::unistd::geteuid().is_root() {
            "user root;\n"
        } else {
            ""
        };
        format!(
            "{module}{user}daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log warn;\n\
             events {{ worker_connections 8192; }}\n{body}"
        )
    }
}

fn certificate_name(key: Key) -> &'static str {
    match key {
        Key::P256 => "p256.pem",
        Key::Rsa2048 => "rsa2048.pem",
    }
}

/// A self-signed certificate for [`SERVER_NAME`], made by openssl: key and certificate in one file.
fn make_certificate(folder: &Path, key: Key) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("openssl: {error}");
    let config = folder.join("openssl.cnf");
    let text = format!(
        "[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n[name]\nCN={SERVER_NAME}\n\
         [extensions]\nsubjectAltName=DNS:{SERVER_NAME}\nbasicConstraints=critical,CA:FALSE\n"
    );
    fs::write(&config, text).map_err(|error| fail(&error))?;
    let (key_file, certificate_file) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let kind: &[&str] = match key {
        Key::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Key::Rsa2048 => &["-newkey", "rsa:2048"],
    };
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "30", "-config"])
        .arg(&config)
        .args(kind)
        .arg("-keyout")
        .arg(&key_file)
        .arg("-out")
        .arg(&certificate_file)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail(&error))?;
    if !output.status.success() {
        return Err(fail(&String::from_utf8_lossy(&output.stderr)));
    }
    let read = |path: &Path| fs::read(path).map_err(|error| fail(&error));
    let both = [read(&certificate_file)?, read(&key_file)?].concat();
    fs::write(folder.join(certificate_name(key)), both).map_err(|error| fail(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    #[test]
    fn the_file_of_every_row_is_accepted_without_errors() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        let setup =
            Setup::new(folder.path(), address, address).expect("openssl makes certificates");
        for row in ROWS {
            let input = config::Input::text(row.name, setup.haproxy(row));
            let port = |name: &str| (name == PORT_VARIABLE).then(|| "4001".to_owned());
            let loaded = config::load(&[input], &port);
            assert!(
                !loaded.diagnostics.has_errors(),
                "{}: {:?}",
                row.name,
                loaded.diagnostics
            );
        }
    }
}
