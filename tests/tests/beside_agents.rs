//! What takes a server out of use, or brings it back, besides its checks: agents, answers of checks, other servers that
//! are tracked, and what becomes of sessions then. Beside haproxy: states, columns and log lines.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::origin::Answer;
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Origin, Outcome, require};

const LIMIT: Duration = Duration::from_secs(15);

/// What both give, asked at the same time.
fn both<T: Send>(ask: impl Fn(Which) -> Outcome<T> + Sync) -> Outcome<[T; 2]> {
    std::thread::scope(|scope| {
        let [theirs, ours] = BOTH.map(|which| {
            let ask = &ask;
            scope.spawn(move || ask(which))
        });
        let joined = |thread: std::thread::ScopedJoinHandle<'_, Outcome<T>>| {
            thread.join().expect("a side does not panic")
        };
        Ok([joined(theirs)?, joined(ours)?])
    })
}

/// A server of which nothing is asked: what the log says of it comes behind all that was said before.
const MARK: &str = "backend mark\n server m 127.0.0.1:9\n";

/// Waits until all that has happened is logged.
fn settle(side: &Side) -> Outcome {
    side.command("set server mark/m state drain")?;
    side.command("set server mark/m state ready")?;
    side.wait_lines("mark/m is UP", 1)?;
    Ok(())
}

/// The lines about servers, without durations; then forgets them.
fn events(side: &Side) -> Vec<String> {
    let lines = side.lines();
    side.forget();
    let told = |line: &&String| line.contains("erver ") && !line.contains("mark/m");
    let told = lines.iter().filter(told);
    told.map(|line| without_times(line)).collect()
}

fn without_times(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        if word.trim_end_matches([',', '.']).ends_with("ms") {
            "TIME"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Columns of `show stat` for a server, when no check of it is under way: HAProxy forgets a check's words when the next
/// begins.
fn columns(side: &Side, backend: &str, server: &str, names: &[&str]) -> Outcome<Vec<String>> {
    let found = std::cell::RefCell::new(Vec::new());
    wait_for("a moment without a check", LIMIT, || {
        let values = columns_now(side, backend, server, names).map_err(|e| e.to_string())?;
        if values.iter().any(|value| value.starts_with("* ")) {
            return Err(format!("{values:?}"));
        }
        found.replace(values);
        Ok(())
    })?;
    Ok(found.into_inner())
}

fn columns_now(side: &Side, backend: &str, server: &str, names: &[&str]) -> Outcome<Vec<String>> {
    // HAProxy has a line break within one of its texts.
    let table = side.command("show stat")?.replace(">.\n", ">.");
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let place = format!("{backend},{server},");
    let line = lines
        .find(|line| line.starts_with(&place))
        .ok_or_else(|| Failure::new(format!("no {place} in {table}")))?;
    let values: Vec<&str> = line.split(',').collect();
    let value = |name: &&str| {
        let at = header.split(',').position(|column| column == *name);
        let value = at.and_then(|at| values.get(at).copied()).unwrap_or("?");
        let value = value.trim_matches('"');
        match value {
            // HAProxy counts the good checks of a server that its agent, disabled since, has taken down.
            "DOWN 2/2" | "DOWN 3/2" => "DOWN".to_owned(),
            // HAProxy says it while the next line is awaited.
            "Ignoring incomplete line from agent" => String::new(),
            _ => value.to_owned(),
        }
    };
    Ok(names.iter().map(value).collect())
}

/// A step, what `show stat` has then, and what the log says of it.
type Told = (String, Vec<String>, Vec<String>);

/// Compares what both told of each step: columns, then lines of the log.
fn compare(seen: [Vec<Told>; 2]) -> Outcome {
    let mut differences = Differences::default();
    let [theirs, ours] = seen;
    for (theirs, ours) in theirs.into_iter().zip(ours) {
        differences.compare(&format!("{}: columns", theirs.0), theirs.1, ours.1);
        differences.compare(&format!("{}: log", theirs.0), theirs.2, ours.2);
    }
    differences.none()
}

/// An agent that says what it is told to say, and counts how often it was asked.
struct Agent {
    port: u16,
    line: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Agent {
    fn start() -> Outcome<Agent> {
        let line = Arc::new(Mutex::new("up\n".to_owned()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (said, count) = (Arc::clone(&line), Arc::clone(&asked));
        let port = scripted(move |mut stream, _| {
            let text = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let _ = stream.write_all(text.as_bytes());
            count.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(Agent { port, line, asked })
    }

    /// Says this from now on; waits until it was asked and the answer taken in.
    fn say(&self, text: &str) -> Outcome {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = text.to_owned();
        // The next may still have the old line, the one after has the new, and then one more has come round.
        let enough = self.asked.load(Ordering::SeqCst) + 3;
        wait_for("the agent to be asked", LIMIT, || {
            let asked = self.asked.load(Ordering::SeqCst);
            if asked >= enough {
                Ok(())
            } else {
                Err(asked.to_string())
            }
        })
    }
}

/// What agents say, one after the other; each leaves the server as the next one finds it.
#[rustfmt::skip]
const LINES: &[&str] = &[
    "up", "75%", "50% up", "0%", "100%", "maxconn:30", "maxconn:x", "maxconn:", "maxconn:12x", "MAXCONN:7", "maxconn:0",
    "drain", "ready", "maint", "ready", "ready up", "down", "up", "down # gone fishing", "up # back", "fail", "ready", "up",
    "failed # because", "up", "stopped #stop", "up ready", "drain 20%", "ready,100%", "down,drain", "up\tready", "nonsense",
    "nonsense # described", "one two", "300%", "100%", "99999999999%", "1e2%", "50.5%", "+5%", "5 %", "75", "-5%", "x%",
    "100%", "down up", "up down", "up nonsense", "nonsense up", "DOWN", "Up", "Drain", "READY", "Maint", "ready UP",
    "down nonsense", "up", "down#x", "up#y", "up #z, down", "", "# nothing but a remark", "maint # for a reason",
    "ready up 100% maxconn:10", "drain down", "ready up", "up 40% maxconn:20 # all is \"well\"",
];

fn words_of_agents(check: &str, weight: u16, lines: &[&str]) -> Outcome {
    compare(both(|which| {
        let agent = Agent::start()?;
        let origin = Origin::on_loopback("o")?;
        let text = format!(
            "global: max-spread-checks 50ms\n timeout check 3s\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{} weight {weight} {check} agent-check agent-inter 20ms agent-port {}\n server s2 127.0.0.1:{}\n{MARK}",
            origin.port(),
            agent.port,
            origin.port()
        );
        let side = Side::start(which, &text)?;
        let mut seen = Vec::new();
        if !check.is_empty() {
            side.wait_stat("b", "s1", "check_status", "L4OK")?;
        }
        side.wait_stat("b", "s1", "agent_status", "L7OK")?;
        for line in lines {
            side.forget();
            agent.say(&format!("{line}\n"))?;
            settle(&side)?;
            let names = [
                "status",
                "weight",
                "slim",
                "agent_status",
                "agent_code",
                "agent_desc",
                "agent_health",
                "last_agt",
            ];
            let mut lines = events(&side);
            // HAProxy says this again with each weight that the agent repeats.
            lines.retain(|line| !line.contains(" remains in forced drain"));
            seen.push((
                format!("{line:?}"),
                columns(&side, "b", "s1", &names)?,
                lines,
            ));
        }
        Ok(seen)
    })?)
}

#[test]
fn words_of_agents_mean_the_same() -> Outcome {
    require!("haproxy", "tandemd");
    words_of_agents("", 100, LINES)
}

#[test]
fn words_of_agents_mean_the_same_beside_checks() -> Outcome {
    require!("haproxy", "tandemd");
    words_of_agents("check inter 600s", 100, &LINES[..LINES.len() / 2])
}

#[test]
fn words_of_agents_mean_the_same_without_weight() -> Outcome {
    require!("haproxy", "tandemd");
    words_of_agents("", 0, &LINES[..16])
}

/// An agent's line that does not end, or is not there, changes nothing.
#[test]
fn silent_and_cut_off_agents_are_told_alike() -> Outcome {
    require!("haproxy", "tandemd");
    const CASES: [&[u8]; 8] = [
        b"",
        b"\n",
        b"\r\n",
        b"down",
        b"down\0\n",
        b"up\ndown\n",
        b"up\rdown\n",
        b"down # \"quoted\" \xc3\xbc\n",
    ];
    compare(both(|which| {
        let mut text = "global: max-spread-checks 50ms\n timeout check 3s\n option log-health-checks\nfrontend f\n bind {in}\n".to_owned();
        let origin = Origin::on_loopback("o")?;
        for (at, said) in CASES.into_iter().enumerate() {
            let agent = scripted(move |mut stream, _| {
                let _ = stream.write_all(said);
            })?;
            text += &format!(
                "backend c{at}\n server s 127.0.0.1:{} agent-check agent-inter 600s agent-port {agent}\n",
                origin.port()
            );
        }
        let side = Side::start(which, &(text + MARK))?;
        let mut seen = Vec::new();
        for (at, said) in CASES.iter().enumerate() {
            let backend = format!("c{at}");
            let names = ["agent_status", "status", "agent_code", "last_agt"];
            wait_for("an answer of the agent", LIMIT, || {
                let told = columns(&side, &backend, "s", &names).map_err(|e| e.to_string())?;
                match told[0].as_str() {
                    "INI" => Err(format!("{told:?}")),
                    _ => Ok(()),
                }
            })?;
            settle(&side)?;
            let mut lines = side.lines();
            lines.retain(|line| line.contains(&format!("{backend}/s")));
            // HAProxy tells of a line that is cut off when it has waited for the rest in vain, or earlier.
            if columns(&side, &backend, "s", &names)?[0] == "L7TOUT" {
                lines.clear();
            }
            let lines = lines.iter().map(|line| without_times(line)).collect();
            let what = String::from_utf8_lossy(said).into_owned();
            seen.push((
                format!("{what:?}"),
                columns(&side, &backend, "s", &names)?,
                lines,
            ));
        }
        Ok(seen)
    })?)
}

/// The state of a server as `show servers state` has it: state, administrative state, weights, and flags of check and agent.
fn state(side: &Side, backend: &str, server: &str) -> Outcome<Vec<String>> {
    let table = side.command(&format!("show servers state {backend}"))?;
    let line = table
        .lines()
        .find(|line| line.split(' ').nth(3) == Some(server))
        .unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    const KEPT: [usize; 6] = [5, 6, 7, 8, 13, 14];
    Ok(KEPT
        .iter()
        .map(|at| words.get(*at).copied().unwrap_or("?").to_owned())
        .collect())
}

/// What operators do to a server (`L`), to one that tracks it (`T`, which `U` tracks), and to one without checks (`W`, and
/// `D`, whose line says `disabled`).
#[rustfmt::skip]
const ORDERS: &[&[&str]] = &[
    &["L state drain", "T state drain", "L state ready", "T state ready"],
    &["L state drain", "T state drain", "T state ready", "L state ready"],
    &["L state maint", "T state maint", "T state ready", "L state ready"],
    &["L state maint", "T state maint", "L state ready", "T state ready"],
    &["T state maint", "L health down", "T state ready", "L health up"],
    &["T state maint", "L health down", "L health up", "T state ready"],
    &["L state maint", "L health down", "L state ready", "L health up"],
    &["L state maint", "L health stopping", "L state ready", "L health up"],
    &["L health down", "T state maint", "T state drain", "T state ready", "L health up"],
    &["L health down", "L state maint", "L health up", "L state ready"],
    &["L health down", "L state drain", "L state ready", "L state maint", "L state ready"],
    &["L health stopping", "T state maint", "T state ready", "T state drain", "L health up", "T state ready"],
    &["L health stopping", "L state drain", "L state ready", "L health up"],
    &["L health stopping", "L state maint", "L state drain", "L state ready"],
    &["L state drain", "L state maint", "L state drain", "L state ready"],
    &["L state drain", "L health down", "L health up", "L health stopping", "L state ready", "L health up"],
    &["T state drain", "L state maint", "L state drain", "L state ready", "T state ready"],
    &["T state maint", "L state maint", "L state drain", "T state ready", "L state ready"],
    &["W state maint", "W health down", "W state ready"],
    &["W state maint", "W state drain", "W state ready", "W health down", "W state drain", "W state maint", "W state ready"],
    &["L agent down", "L state maint", "L state ready", "L agent up"],
    &["T state maint", "L agent down", "T state ready", "L agent up"],
    &["disable health L", "L state drain", "L state ready", "enable health L"],
    &["D state ready", "D state maint", "D state drain", "D state ready", "D state maint"],
    &["L agent down", "disable agent L", "enable agent L", "L agent up"],
];

/// Servers of the other backend follow one, through all states that an operator may give any of them.
#[test]
fn administrative_states_follow_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(both(|which| {
        let agent = Agent::start()?;
        let origin = Origin::on_loopback("o")?;
        let port = origin.port();
        let text = format!(
            "global: max-spread-checks 50ms\nfrontend f\n bind {{in}}\n default_backend b\nbackend a\n option httpchk\n server L 127.0.0.1:{port} check inter 600s rise 2 fall 2 agent-check agent-inter 600s agent-port {}\n server W 127.0.0.1:{port}\n server D 127.0.0.1:{port} disabled\nbackend b\n server T 127.0.0.1:{port} track a/L\n server U 127.0.0.1:{port} track b/T weight 3\n{MARK}",
            agent.port
        );
        let side = Side::start(which, &text)?;
        side.wait_stat("a", "L", "check_status", "L7OK")?;
        side.wait_stat("a", "L", "agent_status", "L7OK")?;
        side.forget();
        let mut seen = Vec::new();
        for (orders, order) in ORDERS
            .iter()
            .flat_map(|orders| orders.iter().map(move |order| (orders, order)))
        {
            let place = |name: &str| match name {
                "L" | "W" | "D" => format!("a/{name}"),
                _ => format!("b/{name}"),
            };
            let command = match order.split(' ').collect::<Vec<_>>()[..] {
                [verb, what @ ("health" | "agent"), name] if verb.ends_with("able") => {
                    format!("{verb} {what} {}", place(name))
                }
                [name, what, word] => format!("set server {} {what} {word}", place(name)),
                _ => return Err(Failure::new("no order")),
            };
            side.command(&command)?;
            settle(&side)?;
            let mut told = Vec::new();
            for (backend, server) in [("a", "L"), ("a", "W"), ("a", "D"), ("b", "T"), ("b", "U")] {
                let names = ["status", "weight", "act", "chkdown", "check_status"];
                told.extend(columns(&side, backend, server, &names)?);
                let mut state = state(&side, backend, server)?;
                // A server that tracks one that tracks inherits both states in HAProxy's number, the stronger one in ours.
                if server == "U" && state[1] == "18" {
                    state[1] = "2".to_owned();
                }
                told.extend(state);
            }
            seen.push((format!("{orders:?}: {order}"), told, events(&side)));
        }
        Ok(seen)
    })?)
}

/// A server of another backend is tracked while its checks and its agent say one thing after the other.
#[test]
fn trackers_follow_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(both(|which| {
        let agent = Agent::start()?;
        let origin = Origin::on_loopback("o")?;
        let port = origin.port();
        let text = format!(
            "global: max-spread-checks 50ms\n timeout check 3s\nfrontend f\n bind {{in}}\n default_backend b\nbackend a\n option httpchk\n http-check disable-on-404\n server s1 127.0.0.1:{port} check inter 50ms rise 2 fall 2 agent-check agent-inter 50ms agent-port {}\nbackend b\n http-check disable-on-404\n server s2 127.0.0.1:{port} track a/s1\n server s3 127.0.0.1:{port} track b/s2 weight 3\n{MARK}",
            agent.port
        );
        let side = Side::start(which, &text)?;
        side.wait_stat("a", "s1", "check_status", "L7OK")?;
        agent.say("up\n")?;
        side.forget();
        let mut seen = Vec::new();
        let mut look = |what: &str| -> Outcome {
            settle(&side)?;
            let mut told = Vec::new();
            for server in ["s2", "s3"] {
                let names = ["status", "weight", "act", "chkdown"];
                told.extend(columns(&side, "b", server, &names)?);
                told.extend(state(&side, "b", server)?);
            }
            let mut lines = events(&side);
            lines.retain(|line| line.contains("b/s"));
            seen.push((what.to_owned(), told, lines));
            Ok(())
        };
        look("at first")?;
        origin.set(Answer::Status(404, Vec::new()));
        side.wait_stat("a", "s1", "status", "NOLB")?;
        look("404")?;
        origin.set(Answer::Status(503, Vec::new()));
        side.wait_stat("a", "s1", "status", "DOWN")?;
        look("503")?;
        origin.set(Answer::Name);
        side.wait_stat("a", "s1", "status", "UP")?;
        look("200")?;
        for line in ["down\n", "up\n", "drain\n", "ready\n", "maint\n"] {
            agent.say(line)?;
            look(line)?;
        }
        agent.say("ready\n")?;
        side.wait_stat("a", "s1", "status", "UP")?;
        look("ready after maint")?;
        Ok(seen)
    })?)
}

/// `http-check disable-on-404`: a server is taken out for new clients, not for those that it has, and comes back.
#[test]
fn servers_are_disabled_by_404_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(both(|which| {
        let origin = Origin::on_loopback("o")?;
        let other = Origin::on_loopback("other")?;
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n option log-health-checks\n option httpchk GET /health\n http-check disable-on-404\n cookie SRV insert indirect\n server s1 127.0.0.1:{} check inter 100ms rise 2 fall 3 cookie one\n server s2 127.0.0.1:{} cookie two\n{MARK}",
            origin.port(),
            other.port()
        );
        let side = Side::start(which, &text)?;
        side.wait_stat("b", "s1", "check_status", "L7OK")?;
        let mut seen = Vec::new();
        for (answer, status) in [
            (404, "NOLB"),
            (200, "UP"),
            (404, "NOLB"),
            (503, "DOWN"),
            // It does not bring one up that is down.
            (404, "DOWN"),
            (200, "UP"),
            (503, "DOWN"),
            (200, "UP"),
        ] {
            side.forget();
            origin.set(if answer == 200 {
                Answer::Name
            } else {
                Answer::Status(answer, Vec::new())
            });
            side.wait_stat("b", "s1", "check_code", &answer.to_string())?;
            side.wait_stat("b", "s1", "status", status)?;
            let cookie = |headers: &[&str]| -> Outcome<String> {
                let answer = side.get("/", headers)?;
                Ok(answer.header("set-cookie").unwrap_or_default().to_owned())
            };
            let mut told = vec![cookie(&["Cookie: SRV=one"])?];
            let mut served: Vec<String> = (0..4).map(|_| cookie(&[])).collect::<Outcome<_>>()?;
            // Whose turn is first is not the point.
            served.sort();
            told.extend(served);
            settle(&side)?;
            let mut lines = events(&side);
            // A check that was under way may still have its old outcome, and the next may have come already.
            lines.retain(|line| !line.starts_with("Health check for"));
            seen.push((format!("{answer} {status}"), told, lines));
        }
        Ok(seen)
    })?)
}

/// `on-marked-down shutdown-sessions` and `on-marked-up shutdown-backup-sessions`: what their clients get and what is logged.
#[test]
fn sessions_end_with_their_server_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let mut seen = Vec::new();
    for which in BOTH {
        let silent = scripted(|mut stream, _| {
            let head = read_until(&mut stream, "\r\n\r\n");
            if head.contains("/begun") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345");
            }
            read_all(&mut stream);
        })?;
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout server 20s\n server s1 127.0.0.1:{silent} on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions check inter 60s\n server s2 127.0.0.1:{silent} backup\n\
             frontend raw\n mode tcp\n option tcplog\n bind {{in2}}\n default_backend t\nbackend t\n mode tcp\n timeout server 20s\n server s1 127.0.0.1:{silent} on-marked-down shutdown-sessions\n"
        );
        let side = Side::start(which, &text)?;
        side.wait_stat("b", "s1", "check_status", "L4OK")?;
        let begin = |path: &str| -> Outcome<std::net::TcpStream> {
            let mut stream = side.connect()?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())?;
            Ok(stream)
        };
        let got = |mut stream: std::net::TcpStream| {
            let text = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            let status = text.lines().next().unwrap_or_default().to_owned();
            (status, text.ends_with("12345"))
        };
        let mut of_side = Vec::new();
        let (waiting, mut begun) = (begin("/waiting")?, begin("/begun")?);
        let mut start = read_until(&mut begun, "12345");
        side.wait_stat("b", "s1", "scur", "2")?;
        let mut raw = tandem_tests::beside::connect(side.second)?;
        raw.write_all(b"GET /begun HTTP/1.1\r\n\r\n")?;
        start += &read_until(&mut raw, "12345");
        side.command("set server b/s1 health down")?;
        side.command("set server t/s1 health down")?;
        of_side.push(("waiting", got(waiting)));
        of_side.push(("begun", got(begun)));
        of_side.push(("raw", got(raw)));
        let backup = begin("/waiting/backup")?;
        side.wait_stat("b", "s2", "scur", "1")?;
        side.command("set server b/s1 health up")?;
        of_side.push(("backup", got(backup)));
        let letters = |text: &str| -> Outcome<Vec<String>> {
            let line = side.wait_lines(text, 1)?.remove(0);
            let words: Vec<&str> = line.split(' ').collect();
            Ok(words
                .iter()
                .skip(3)
                .filter(|word| word.contains("--") || word.contains("/s") || **word == "DD")
                .map(|word| (*word).to_owned())
                .collect())
        };
        for text in ["/waiting ", "/begun ", "/waiting/backup ", "t/s1"] {
            of_side.push(("log", (letters(text)?.join(" "), start.is_empty())));
        }
        seen.push(of_side);
    }
    let mut differences = Differences::default();
    for (theirs, ours) in seen[0].iter().zip(&seen[1]) {
        differences.compare(theirs.0, theirs.1.clone(), ours.1.clone());
    }
    differences.none()
}

/// A new worker shows what the agent said last, until it says something else: here it never does.
#[test]
fn a_reload_keeps_what_agents_said() -> Outcome {
    require!("tandemd");
    let agent = scripted(|mut stream, number| {
        if number == 0 {
            let _ = stream.write_all(b"down #no disk\n");
        } else {
            read_all(&mut stream);
        }
    })?;
    let text = format!(
        " timeout check 10s\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s 127.0.0.1:9 agent-check agent-inter 600s agent-port {agent}\n"
    );
    let side = Side::start(Which::Tandem, &text)?;
    side.wait_stat("b", "s", "agent_status", "L7STS")?;
    let names = [
        "status",
        "agent_status",
        "agent_desc",
        "last_agt",
        "agent_health",
    ];
    let before = columns_now(&side, "b", "s", &names)?;
    let answer = side.command("reload")?;
    tandem_tests::ensure!(answer.contains("Success=1"), "reload says {answer}");
    let after = columns_now(&side, "b", "s", &names)?;
    tandem_tests::ensure!(before == after, "{before:?} became {after:?}");
    tandem_tests::ensure!(before[0] == "DOWN (agent)", "{before:?}");
    Ok(())
}
