//! Debian's nginx as a web server: answers its own name, so that a client sees who served it.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Outcome;
use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;
use crate::requirements::users_are_mapped;
use crate::wait::wait_until;

/// A running nginx on port 80 of its host; killed when dropped.
pub struct Nginx {
    host: Arc<Host>,
    folder: std::path::PathBuf,
    process: Option<Process>,
}

/// The paths every web server of the tests answers:
/// `/` its name, `/cacheable` the same with leave to cache it, `/echo` what it got of the request, `/slow` 20 kB in about two seconds, `/status/404`, `500` and `503`.
fn configuration(name: &str, folder: &str) -> String {
    // Where root is the only user there is, the worker cannot become another, nor root anew.
    let user = if users_are_mapped() {
        "user root;"
    } else {
        "master_process off;"
    };
    format!(
        r#"daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 80 default_server;
        root {folder}/files;
        add_header X-Server {name} always;
        location / {{ return 200 "{name}\n"; }}
        location = /echo {{ return 200 "server={name}\nmethod=$request_method\nuri=$request_uri\nhost=$http_host\nforwarded-for=$http_x_forwarded_for\ncookie=$http_cookie\nport=$remote_port\n"; }}
        location = /cacheable {{ add_header Cache-Control max-age=60; add_header X-Server {name}; return 200 "{name}\n"; }}
        location = /slow {{ limit_rate 10k; }}
        location = /status/404 {{ return 404; }}
        location = /status/500 {{ return 500; }}
        location = /status/503 {{ return 503; }}
    }}
}}
"#
    )
}

impl Nginx {
    /// Starts nginx on the named host of the lab and waits until it answers.
    pub fn start(lab: &Lab, name: &str) -> Outcome<Nginx> {
        let folder = lab.folder().join(format!("nginx-{name}"));
        std::fs::create_dir_all(folder.join("files"))?;
        std::fs::write(folder.join("files/slow"), vec![b'x'; 20_000])?;
        std::fs::write(
            folder.join("nginx.conf"),
            configuration(name, &folder.to_string_lossy()),
        )?;
        let mut nginx = Nginx {
            host: Arc::clone(lab.host(name)),
            folder,
            process: None,
        };
        nginx.up()?;
        Ok(nginx)
    }

    /// Starts it again after [`Nginx::kill`].
    pub fn up(&mut self) -> Outcome {
        let file = self.folder.join("nginx.conf");
        self.process = Some(
            self.host
                .spawn("nginx", &["-e", "stderr", "-c", &file.to_string_lossy()])?,
        );
        let host = Arc::clone(&self.host);
        wait_until(
            &format!("nginx of {}", host.name()),
            Duration::from_secs(5),
            || {
                host.in_network(|| std::net::TcpStream::connect("127.0.0.1:80").is_ok())
                    .unwrap_or(false)
            },
        )?;
        Ok(())
    }

    /// Ends all its processes at once; its port refuses connections from then on.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        for pid in process.tree() {
            let _ = crate::process::send(pid, crate::process::Signal::SIGKILL);
        }
        process.kill();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
    }
}
