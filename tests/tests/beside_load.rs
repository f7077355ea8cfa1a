//! Which server is chosen while others work: by load and weight, within a bound, again the last one. Beside haproxy.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, read_all, read_until, scripted};
use tandem_tests::{Outcome, ensure, require};

const LIMIT: Duration = Duration::from_secs(10);
/// Steps of each backend.
const STEPS: usize = 40;
/// Most requests that are held at a time.
const MOST_HELD: usize = 14;

/// Numbers that look random and are the same in each run (xorshift).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What servers have got, and what they may answer.
#[derive(Default)]
struct Desk {
    /// The request's number, and the server's.
    got: Vec<(usize, usize)>,
    /// Numbers of requests that are held no longer.
    released: Vec<usize>,
}

type Shared = Arc<(Mutex<Desk>, Condvar)>;

fn lock(shared: &Shared) -> MutexGuard<'_, Desk> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Servers that note a request (`/c/NUMBER`) and answer when it is released.
fn servers(count: usize) -> Outcome<(Vec<u16>, Shared)> {
    let shared = Shared::default();
    let ports = (0..count)
        .map(|server| {
            let shared = Arc::clone(&shared);
            scripted(move |mut stream, _| {
                loop {
                    let head = read_until(&mut stream, "\r\n\r\n");
                    let target = head
                        .split(' ')
                        .nth(1)
                        .and_then(|path| path.rsplit('/').next());
                    let Some(number) = target.and_then(|number| number.parse().ok()) else {
                        return;
                    };
                    let mut desk = lock(&shared);
                    desk.got.push((number, server));
                    shared.1.notify_all();
                    let is_held = |desk: &mut Desk| !desk.released.contains(&number);
                    let waited = shared.1.wait_timeout_while(desk, LIMIT, is_held);
                    drop(waited);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            })
        })
        .collect::<Outcome<Vec<u16>>>()?;
    Ok((ports, shared))
}

fn release(shared: &Shared, number: usize) {
    lock(shared).released.push(number);
    shared.1.notify_all();
}

#[derive(Debug, Clone)]
enum Step {
    /// A request that stays at its server.
    Hold,
    /// The client of one of those held leaves.
    Release(usize),
    /// A request that is answered.
    Ask,
    /// A command, with `{b}` for the backend.
    Command(String),
}

fn steps(random: &mut Seeded, servers: usize, changes: bool) -> Vec<Step> {
    let mut held = 0;
    (0..STEPS)
        .map(|_| match random.below(if changes { 11 } else { 9 }) {
            0..=4 if held < MOST_HELD => {
                held += 1;
                Step::Hold
            }
            5..=6 if held > 0 => {
                held -= 1;
                Step::Release(random.below(held + 1))
            }
            9 => Step::Command(format!(
                "set weight {{b}}/s{} {}",
                random.below(servers),
                1 + random.below(6)
            )),
            10 => Step::Command(format!(
                "set server {{b}}/s{} state {}",
                1 + random.below(servers - 1),
                ["maint", "ready"][random.below(2)]
            )),
            _ => Step::Ask,
        })
        .collect()
}

/// Algorithms that look at load, and whether weights and states change meanwhile.
const ALGORITHMS: [(&str, bool); 4] = [
    ("leastconn", false),
    ("leastconn", true),
    ("roundrobin", false),
    ("first", false),
];
const BACKENDS: usize = 4;

struct Case {
    name: String,
    algorithm: &'static str,
    weights: Vec<usize>,
    steps: Vec<Step>,
}

/// The servers of all requests of a case, in order. Numbers of requests begin at `base`.
fn play(side: &Side, case: &Case, shared: &Shared, base: usize) -> Outcome<Vec<String>> {
    let mut held: Vec<(TcpStream, usize)> = Vec::new();
    let mut seen = Vec::new();
    for (at, step) in case.steps.iter().enumerate() {
        let number = base + at;
        match step {
            Step::Hold | Step::Ask => {
                let mut stream = side.connect()?;
                let request = format!(
                    "GET /c/{number} HTTP/1.1\r\nhost: a\r\nx-case: {}\r\nconnection: close\r\n\r\n",
                    case.name
                );
                stream.write_all(request.as_bytes())?;
                let nobody = |desk: &mut Desk| desk.got.iter().all(|(got, _)| *got != number);
                let (desk, waited) = shared
                    .1
                    .wait_timeout_while(lock(shared), LIMIT, nobody)
                    .unwrap_or_else(PoisonError::into_inner);
                ensure!(
                    !waited.timed_out(),
                    "{:?} {} step {at}: no server gets the request",
                    side.which,
                    case.name
                );
                let server = desk.got.iter().find(|(got, _)| *got == number);
                seen.push(server.map_or(0, |(_, server)| *server).to_string());
                drop(desk);
                if matches!(step, Step::Ask) {
                    release(shared, number);
                    read_all(&mut stream);
                } else {
                    held.push((stream, number));
                }
            }
            Step::Release(at) => {
                let (mut stream, number) = held.swap_remove(*at);
                release(shared, number);
                read_all(&mut stream);
                seen.push("-".to_owned());
            }
            Step::Command(command) => {
                let command = command.replace("{b}", &case.name);
                side.command(&command)?;
                seen.push(command);
            }
        }
        side.wait_stat(&case.name, "BACKEND", "scur", &held.len().to_string())?;
    }
    for (mut stream, number) in held {
        release(shared, number);
        read_all(&mut stream);
    }
    Ok(seen)
}

#[test]
fn load_leads_to_the_same_servers() -> Outcome {
    require!("haproxy", "tandemd");
    let (ports, shared) = servers(4)?;
    let mut random = Seeded(0x7a4d_e0c1_5eed_0011);
    let mut text = String::from("frontend f\n bind {in}\n");
    let mut backends = String::new();
    let mut cases = Vec::new();
    for (kind, (algorithm, changes)) in ALGORITHMS.iter().enumerate() {
        for number in 0..BACKENDS {
            let name = format!("b{kind}_{number}");
            text.push_str(&format!(
                " use_backend {name} if {{ hdr(x-case) {name} }}\n"
            ));
            let weights: Vec<usize> = (0..2 + random.below(3))
                .map(|_| 1 + random.below(5))
                .collect();
            backends.push_str(&format!("backend {name}\n balance {algorithm}\n"));
            for (server, weight) in weights.iter().enumerate() {
                // `first` fills one server before the next has any.
                let limit = if *algorithm == "first" {
                    " maxconn 5"
                } else {
                    ""
                };
                backends.push_str(&format!(
                    " server s{server} 127.0.0.1:{} weight {weight}{limit}\n",
                    ports[server]
                ));
            }
            let mut steps = steps(&mut random, weights.len(), *changes);
            if *algorithm == "first" {
                // With more than all places taken it is the queue that decides.
                let mut held = 0;
                steps.retain(|step| match step {
                    Step::Hold => {
                        held += 1;
                        held < 5 * weights.len()
                    }
                    Step::Release(_) => false,
                    _ => held < 5 * weights.len(),
                });
            }
            cases.push(Case {
                name,
                algorithm,
                weights,
                steps,
            });
        }
    }
    text.push_str(&backends);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    let mut base = 0;
    for case in &cases {
        let mut seen = Vec::new();
        for side in &sides {
            seen.push(play(side, case, &shared, base)?);
            base += STEPS;
        }
        differences.compare(
            &format!("{} {:?} {:?}", case.algorithm, case.weights, case.steps),
            seen[0].join(" "),
            seen[1].join(" "),
        );
    }
    differences.none()
}

/// `hash-balance-factor`: requests of one key fill their own server first, then others, each as far as its share of all goes.
#[test]
fn a_popular_key_is_spread_within_the_bound() -> Outcome {
    require!("haproxy", "tandemd");
    const REQUESTS: usize = 24;
    const FACTORS: [usize; 4] = [101, 125, 150, 300];
    let weights = [3, 1, 4, 1];
    let (ports, shared) = servers(weights.len())?;
    let mut text = String::from("frontend f\n bind {in}\n");
    let mut backends = String::new();
    for factor in FACTORS {
        text.push_str(&format!(
            " use_backend b{factor} if {{ hdr(x-case) b{factor} }}\n"
        ));
        backends.push_str(&format!(
            "backend b{factor}\n balance uri depth 1\n hash-type consistent\n hash-balance-factor {factor}\n"
        ));
        for (server, weight) in weights.iter().enumerate() {
            let port = ports[server];
            backends.push_str(&format!(
                " server s{server} 127.0.0.1:{port} weight {weight}\n"
            ));
        }
    }
    text.push_str(&backends);
    let mut differences = Differences::default();
    let mut base = 0;
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    for factor in FACTORS {
        let mut orders = Vec::new();
        for side in &sides {
            let case = Case {
                name: format!("b{factor}"),
                algorithm: "uri",
                weights: weights.to_vec(),
                steps: vec![Step::Hold; REQUESTS],
            };
            orders.push(play(side, &case, &shared, base)?);
            base += REQUESTS;
        }
        differences.compare(
            &format!("{factor}: the order of servers"),
            orders[0].join(" "),
            orders[1].join(" "),
        );
    }
    differences.none()
}

/// `option prefer-last-server`: a client's further requests on one connection go where the one before went, if its connection
/// to the server is its own still (`http-reuse never`) and no key decides.
#[test]
fn the_last_server_is_preferred_as_long_as_it_is_there() -> Outcome {
    require!("haproxy", "tandemd");
    let (ports, shared) = servers(2)?;
    let lines = format!(
        " server s0 127.0.0.1:{}\n server s1 127.0.0.1:{}\n",
        ports[0], ports[1]
    );
    let text = format!(
        "frontend f\n bind {{in}}\n use_backend key if {{ hdr(x-case) key }}\n \
         use_backend own if {{ hdr(x-case) own }}\n \
         default_backend without\n\
         backend without\n{lines}\
         backend own\n option prefer-last-server\n http-reuse never\n{lines}\
         backend key\n http-reuse never\n option prefer-last-server\n balance hdr(x-number)\n{lines}"
    );
    let mut found = Vec::new();
    let mut number = 0;
    for which in BOTH {
        let side = Side::start(which, &text)?;
        let mut seen = Vec::new();
        for case in ["own", "without", "key"] {
            let mut stream = side.connect()?;
            for _ in 0..6 {
                number += 1;
                release(&shared, number);
                let request = format!(
                    "GET /c/{number} HTTP/1.1\r\nhost: a\r\nx-case: {case}\r\nx-number: {}\r\n\r\n",
                    number % 6
                );
                stream.write_all(request.as_bytes())?;
                let answer = read_until(&mut stream, "ok");
                ensure!(answer.contains(" 200 "), "{which:?} {case}: {answer}");
                let desk = lock(&shared);
                let server = desk.got.iter().find(|(got, _)| *got == number);
                seen.push((case, server.map(|(_, server)| *server)));
            }
        }
        found.push(seen);
    }
    let mut differences = Differences::default();
    for (theirs, ours) in found[0].iter().zip(&found[1]) {
        differences.compare("server", theirs, ours);
    }
    ensure!(
        found[0][..6]
            .iter()
            .all(|(_, server)| *server == found[0][0].1),
        "haproxy leaves the last server: {:?}",
        found[0]
    );
    differences.none()
}
