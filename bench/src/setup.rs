//! What contenders are told: one text for haproxy and tandemd alike, its equivalent for nginx, and certificates.
//!
//! The frontend's port and the stats socket are `${BENCH_PORT}` and `${BENCH_SOCKET}` in the text, so that haproxy
//! and tandemd read the same file to the byte and still listen side by side.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::handshake::SERVER_NAME;
use crate::lists;
use crate::rows::{Key, Lookup, Mode, Reuse, Row, Work};

/// Environment variable with the frontend's port.
pub(crate) const PORT_VARIABLE: &str = "BENCH_PORT";
/// Environment variable with the path of the stats socket.
pub(crate) const SOCKET_VARIABLE: &str = "BENCH_SOCKET";
/// A header of requests to the origin: which configuration they passed. Only rows that reload have it.
pub(crate) const GENERATION_HEADER: &str = "X-Generation";
/// A header of requests to the origin: what a lookup found.
pub(crate) const FOUND_HEADER: &str = "X-Found";
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
    pub(crate) fn write_haproxy(&self, row: &Row, generation: u32) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{}.cfg", row.name));
        fs::write(&path, self.haproxy(row, generation)?)?;
        Ok(path)
    }

    /// Writes nginx's configuration and returns its path.
    pub(crate) fn write_nginx(
        &self,
        row: &Row,
        generation: u32,
        name: &str,
        port: u16,
    ) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-{}", row.name));
        fs::create_dir_all(&folder)?;
        let path = folder.join("nginx.conf");
        fs::write(&path, self.nginx(row, generation, &folder, port))?;
        Ok(path)
    }

    fn haproxy(&self, row: &Row, generation: u32) -> io::Result<String> {
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
        let splice = if row.splice {
            "    option splice-auto\n"
        } else {
            ""
        };
        let tls = self
            .certificate(row)
            .map(|path| format!(" ssl crt {}", path.display()))
            .unwrap_or_default();
        let protocol = match (row.h2, row.tls) {
            (true, Some(_)) => " alpn h2,http/1.1",
            (true, None) => " proto h2",
            (false, _) => "",
        };
        let mut rules = match row.lookup {
            Some(lookup) => self.lookup_rule(lookup)?,
            None => String::new(),
        };
        if matches!(row.work, Work::Reload) {
            rules.push_str(&format!(
                "    http-request set-header {GENERATION_HEADER} {generation}\n"
            ));
        }
        // Connections to both sides must fit in the limit of descriptors, which is often 20,000.
        let maxconn = match row.work {
            Work::Idle { connections } => connections + 500,
            _ => 4000,
        };
        let check = row
            .checks
            .map(|every| format!(" check inter {}ms", every.as_millis()))
            .unwrap_or_default();
        let servers: String = (1..=row.servers)
            .map(|number| format!("    server s{number} {}{check}\n", self.origin))
            .collect();
        Ok(format!(
            "\
global
    nbthread 1
    maxconn {maxconn}
    stats socket \"${{{SOCKET_VARIABLE}}}\" mode 600 level admin
{log_target}
defaults
{log}{mode}{http}{splice}    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
    timeout http-keep-alive 60s

frontend bench
    bind \"127.0.0.1:${{{PORT_VARIABLE}}}\"{tls}{protocol}
{rules}    default_backend origin

backend origin
    balance {balance}
{servers}",
            balance = row.balance
        ))
    }

    fn lookup_rule(&self, lookup: Lookup) -> io::Result<String> {
        let file = lists::write(&self.folder, lookup)?;
        let file = file.display();
        let sample = |method| match method {
            "ip" => format!("req.hdr_ip({})", lists::CLIENT_HEADER),
            _ => "path".to_owned(),
        };
        Ok(match lookup {
            Lookup::Acl(method) => format!(
                "    http-request set-header {FOUND_HEADER} yes if {{ {} -m {method} -f {file} }}\n",
                sample(method)
            ),
            Lookup::Map(method) => format!(
                "    http-request set-header {FOUND_HEADER} %[{},map_{method}({file},none)]\n",
                sample(method)
            ),
        })
    }

    fn nginx(&self, row: &Row, generation: u32, folder: &Path, port: u16) -> String {
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
        let ssl = match (row.tls, row.h2) {
            (Some(_), true) => " ssl http2",
            (Some(_), false) => " ssl",
            (None, true) => " http2",
            (None, false) => "",
        };
        let balance = match row.balance {
            "leastconn" => "        least_conn;\n",
            "random(2)" => "        random two;\n",
            _ => "",
        };
        // It shares connections between servers of one address.
        let servers = format!("        server {};\n", self.origin).repeat(row.servers.into());
        let generation = match row.work {
            Work::Reload => {
                format!("            proxy_set_header {GENERATION_HEADER} {generation};\n")
            }
            _ => String::new(),
        };
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
    keepalive_timeout 60s;
    client_max_body_size 0;
    upstream origin {{
{balance}{servers}        keepalive 256;
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
{generation}            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
",
                log = log(
                    "'$remote_addr:$remote_port [$time_local] bench origin/$upstream_addr $request_time/$upstream_connect_time/\
                     $upstream_header_time $status $bytes_sent $connection $connection_requests \"$request\"'"
                ),
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
             events {{ worker_connections 19000; }}\n{body}"
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
    use crate::rows::rows;

    #[test]
    fn the_file_of_every_row_is_accepted_without_errors() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        let setup =
            Setup::new(folder.path(), address, address).expect("openssl makes certificates");
        for row in rows() {
            let text = setup.haproxy(row, 1).expect("lists are written");
            let input = config::Input::text(row.name, text);
            let variables = |name: &str| match name {
                PORT_VARIABLE => Some("4001".to_owned()),
                SOCKET_VARIABLE => Some("/tmp/bench.sock".to_owned()),
                _ => None,
            };
            let loaded = config::load(&[input], &variables);
            // What is not supported yet is named when it is measured.
            let is_wrong = |diagnostic: &config::Diagnostic| {
                diagnostic.severity == config::Severity::Error
                    && diagnostic.kind != config::DiagnosticKind::NotSupportedYet
            };
            assert!(
                !loaded.diagnostics.0.iter().any(is_wrong),
                "{}: {:?}",
                row.name,
                loaded.diagnostics
            );
        }
    }
}
