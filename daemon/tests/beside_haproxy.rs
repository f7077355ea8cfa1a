//! The text protocol beside a real haproxy: same columns, same words. Skipped with a message where haproxy is not installed.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::Level;
use support::{LIMIT, Rig, ask};

struct Haproxy {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Haproxy {
    fn start() -> Option<Self> {
        if Command::new("haproxy")
            .arg("-v")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            println!("skipped: haproxy is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "global\n stats socket {} level admin\n stats socket {} level user\n\
             defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 1s\n\
             frontend main\n bind unix@{}\n default_backend nginx\n\
             backend nginx\n balance roundrobin\n server web1 192.0.2.1:80\n server web2 192.0.2.2:80 backup\n",
            at("s"),
            at("user"),
            at("front")
        );
        std::fs::write(folder.path().join("h.cfg"), text).expect("configuration");
        let process = Command::new("haproxy")
            .args(["-db", "-q", "-f"])
            .arg(folder.path().join("h.cfg"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy starts");
        let haproxy = Self { process, folder };
        let deadline = Instant::now() + LIMIT;
        while std::os::unix::net::UnixStream::connect(haproxy.socket()).is_err() {
            assert!(Instant::now() < deadline, "haproxy does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(haproxy)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("s")
    }
}

#[tokio::test]
async fn the_columns_are_haproxys() {
    let Some(haproxy) = Haproxy::start() else {
        return;
    };
    let rig = Rig::start(Level::Admin).await;
    let header = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
            .to_owned()
    };
    let theirs = header(&ask(&haproxy.socket(), "show stat").await);
    let ours = header(&rig.ask("show stat").await);
    let own_columns = theirs.split(',').take_while(|name| *name != "-");
    for (position, (theirs, ours)) in own_columns.zip(ours.split(',')).enumerate() {
        assert_eq!(ours, theirs, "column {position}");
    }
}

#[tokio::test]
async fn lines_have_values_where_haproxy_has_values() {
    let Some(haproxy) = Haproxy::start() else {
        return;
    };
    let rig = Rig::start(Level::Admin).await;
    let theirs = ask(&haproxy.socket(), "show stat").await;
    let ours = rig.ask("show stat").await;
    let header: Vec<&str> = theirs
        .lines()
        .next()
        .expect("a header")
        .split(',')
        .collect();
    // web1 has a check in the rig, and what is not counted yet is empty.
    let exempt = |name: &str| {
        name.starts_with("agg_")
            || name.contains("check")
            || ["slim", "algo", "need_conn_est", "cookie"].contains(&name)
    };
    for key in ["main,FRONTEND,", "nginx,web2,", "nginx,BACKEND,"] {
        let line = |text: &str| {
            text.lines()
                .find(|line| line.starts_with(key))
                .map(str::to_owned)
                .unwrap_or_else(|| panic!("{key} in {text}"))
        };
        let (theirs, ours) = (line(&theirs), line(&ours));
        for (name, (theirs, ours)) in header
            .iter()
            .zip(theirs.split(',').zip(ours.split(',')))
            .take(103)
        {
            assert!(
                exempt(name) || theirs.is_empty() == ours.is_empty(),
                "{key} {name}: haproxy '{theirs}', we '{ours}'"
            );
        }
    }
}

#[tokio::test]
async fn errors_and_answers_have_haproxys_words() {
    let Some(haproxy) = Haproxy::start() else {
        return;
    };
    let rig = Rig::start(Level::Admin).await;
    let mut differences = Vec::new();
    for command in [
        "get weight nginx/web1",
        "get weight nginx",
        "get weight nginx/none",
        "get weight none/web1",
        "get weight",
        "set weight nginx/web1",
        "set weight nginx/web1 300",
        "set weight nginx/web1 -1",
        "set weight nginx/web1 1",
        "set server",
        "set server nginx/web1",
        "set server nginx/web1 what",
        "set server nginx/web1 state",
        "set server nginx/web1 state what",
        "set server nginx/web1 health what",
        "set server nginx/web1 addr what",
        "set server nginx/web1 addr 192.0.2.1 port 80",
        "set server nginx/web1 weight 257",
        "disable server nginx",
        "enable server none/web1",
        "disable frontend",
        "disable frontend none",
        "enable frontend main",
        "enable health nginx/web2",
        "shutdown session",
        "shutdown session 0x1",
        "shutdown sessions server nginx",
        "shutdown sessions server nginx/web1",
        "set maxconn frontend main",
        "set maxconn frontend none 1",
        "set maxconn global",
        "set maxconn server nginx/web1",
        "show servers state none",
        "show stat none 2 -1",
        "show backend",
        "show cli level",
        "set severity-output what",
        "set severity-output number; get weight x",
        "set timeout cli",
        "set timeout what",
        "set timeout cli 5",
        "clear counters",
        "operator; show cli level; disable server nginx/web1",
        "user; clear counters",
    ] {
        let (ours, theirs) = (
            rig.ask(command).await,
            ask(&haproxy.socket(), command).await,
        );
        if ours != theirs {
            differences.push(format!("{command}: haproxy {theirs:?}, we {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn show_info_has_haproxys_lines() {
    let Some(haproxy) = Haproxy::start() else {
        return;
    };
    let rig = Rig::start(Level::Admin).await;
    let names = |text: String| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let theirs = names(ask(&haproxy.socket(), "show info").await);
    let ours = names(rig.ask("show info").await);
    assert!(ours.len() > theirs.len());
    let (first, own) = ours.split_at(theirs.len());
    assert_eq!(first, theirs);
    // What haproxy does not count stands behind what it does.
    assert!(
        own.iter().all(|name| name.starts_with("H2Flood")),
        "{own:?}"
    );
    let kinds = |text: String| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        // Position and value differ between versions; name, tags and type do not.
        lines
            .filter_map(|line| {
                Some(
                    line.split_once('.')?
                        .1
                        .splitn(4, ':')
                        .take(3)
                        .collect::<Vec<_>>()
                        .join(":"),
                )
            })
            .collect()
    };
    let theirs = kinds(ask(&haproxy.socket(), "show info typed").await);
    let ours = kinds(rig.ask("show info typed").await);
    assert_eq!(ours[..theirs.len()], theirs);
}

#[tokio::test]
async fn the_state_file_has_haproxys_header() {
    let Some(haproxy) = Haproxy::start() else {
        return;
    };
    let rig = Rig::start(Level::Admin).await;
    let head = |text: String| text.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        head(rig.ask("show servers state").await),
        head(ask(&haproxy.socket(), "show servers state").await)
    );
}
