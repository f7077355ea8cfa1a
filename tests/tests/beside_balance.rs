//! Which server is chosen: the same sequence as haproxy's, for the same servers and the same requests.

use tandem_tests::beside::{BOTH, Differences, Side};
use tandem_tests::{Origin, Outcome, ensure, require};

/// Numbers that look random and are the same in each run (xorshift).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The algorithms, with `hash-type` where it matters.
const ALGORITHMS: [&str; 36] = [
    "roundrobin",
    "static-rr",
    "leastconn",
    "first",
    "source",
    "source\n hash-type map-based djb2 avalanche",
    "source\n hash-type consistent",
    "source\n hash-type consistent crc32",
    "uri",
    "uri whole",
    "uri len 6",
    "uri depth 2",
    "uri len 9 depth 1",
    "uri path-only",
    "uri whole path-only depth 2",
    "uri\n hash-type map-based djb2",
    "uri\n hash-type map-based crc32",
    "uri\n hash-type map-based sdbm avalanche",
    "uri\n hash-type map-based crc32 avalanche",
    "uri\n hash-type consistent",
    "uri\n hash-type consistent sdbm",
    "uri\n hash-type consistent djb2",
    "uri\n hash-type consistent djb2 avalanche",
    "uri\n hash-type consistent crc32",
    "url_param user",
    "url_param user\n hash-type consistent",
    "url_param user check_post",
    "hdr(X-Who)",
    "hdr(X-Who)\n hash-type consistent crc32 avalanche",
    "hdr(Host) use_domain_only",
    "hash path",
    "hash req.hdr(x-who),upper\n hash-type consistent djb2 avalanche",
    "hash req.hdr(x-number),add(7)",
    "hash req.hdr(x-number),add(7)\n hash-type consistent",
    "hash req.hdr_ip(x-address)",
    "hash src\n hash-type consistent",
];
/// How many backends for each algorithm.
const BACKENDS: usize = 4;
/// How many requests for each backend.
const REQUESTS: usize = 24;

/// A backend's servers, with weights, and some of them out of the ordinary.
fn servers(random: &mut Seeded, origins: &[Origin]) -> String {
    let count = 2 + random.below(origins.len() as u64 - 1) as usize;
    let mut text = String::new();
    for (number, origin) in origins.iter().take(count).enumerate() {
        let port = origin.port();
        text.push_str(&format!(" server s{number} 127.0.0.1:{port}"));
        if number > 0 && random.below(6) == 0 {
            text.push_str(&format!(" id {}", 10 * number + random.below(9) as usize));
        }
        let weight = [1, 1, 1, 2, 3, 7, 20, 100, 256, 0][random.below(10) as usize];
        // One server always remains: a backend without any is another test's matter.
        match random.below(8) {
            0 if number > 0 => text.push_str(" backup"),
            1 if number > 0 => text.push_str(" disabled"),
            2 => {}
            _ => text.push_str(&format!(
                " weight {}",
                if number == 0 { weight.max(1) } else { weight }
            )),
        }
        text.push('\n');
    }
    text
}

/// A request that exercises what the algorithms look at.
fn request(random: &mut Seeded) -> (String, Vec<String>) {
    const WORDS: [&str; 8] = [
        "a",
        "static",
        "images/x",
        "api/v1/users",
        "q",
        "deep/er/still/more",
        "A%20b",
        "",
    ];
    let mut path = format!("/{}", WORDS[random.below(8) as usize]);
    match random.below(5) {
        0 => path.push_str(&format!("?user={}", random.below(50))),
        1 => path.push_str(&format!("?x=1&user=u{}&y", random.below(50))),
        2 => path.push_str("?user=&z=1"),
        3 => path.push_str(&format!("/{}", random.below(100))),
        _ => {}
    }
    if random.below(8) == 0 {
        path = format!("http://example.org{path}");
    }
    let mut headers = Vec::new();
    if random.below(4) > 0 {
        headers.push(format!("X-Who: w{}", random.below(30)));
        headers.push(format!("X-Number: {}", random.below(1_000_000)));
        headers.push(format!(
            "X-Address: 10.1.{}.{}",
            random.below(3),
            random.below(250)
        ));
    }
    (path, headers)
}

#[test]
fn the_same_servers_are_chosen() -> Outcome {
    require!("haproxy", "tandemd");
    let origins = (0..6)
        .map(|number| Origin::on_loopback(&format!("o{number}")))
        .collect::<Outcome<Vec<_>>>()?;
    let mut random = Seeded(0x7a4d_e0c1_5eed_0001);
    let mut text = String::from("frontend f\n bind {in}\n");
    let mut backends = String::new();
    let mut cases = Vec::new();
    for (kind, algorithm) in ALGORITHMS.iter().enumerate() {
        for number in 0..BACKENDS {
            let name = format!("b{kind}_{number}");
            text.push_str(&format!(
                " use_backend {name} if {{ hdr(x-case) {name} }}\n"
            ));
            let servers = servers(&mut random, &origins);
            backends.push_str(&format!("backend {name}\n balance {algorithm}\n{servers}"));
            let requests: Vec<_> = (0..REQUESTS).map(|_| request(&mut random)).collect();
            cases.push((name, *algorithm, servers, requests));
        }
    }
    text.push_str(&backends);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    for (name, algorithm, servers, requests) in &cases {
        let chosen = sides
            .iter()
            .map(|side| {
                requests
                    .iter()
                    .map(|(path, headers)| {
                        let mut headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                        let case = format!("X-Case: {name}");
                        headers.push(&case);
                        let answer = side.get(path, &headers)?;
                        Ok(answer.server().to_owned())
                    })
                    .collect::<Outcome<Vec<String>>>()
            })
            .collect::<Outcome<Vec<_>>>()?;
        let [theirs, ours] = &chosen[..] else {
            unreachable!("two sides")
        };
        // In a table for the reader of a failure: request by request.
        let table: Vec<_> = requests
            .iter()
            .map(|(path, headers)| format!("{path} {headers:?}"))
            .collect();
        let differing: Vec<_> = (0..REQUESTS)
            .filter(|&at| theirs[at] != ours[at])
            .map(|at| &table[at])
            .collect();
        differences.compare(
            &format!("balance {algorithm}\n{servers}  at {differing:?}"),
            theirs,
            ours,
        );
    }
    differences.none()
}

/// Those whose weights may be changed while they run, and those whose servers only come and go.
const CHANGING: [(&str, bool); 8] = [
    ("static-rr", false),
    ("leastconn", true),
    ("first", true),
    ("uri", false),
    ("uri\n hash-type map-based crc32 avalanche", false),
    ("uri\n hash-type consistent", true),
    ("hash path,length\n hash-type consistent djb2", true),
    ("hash path", false),
];
/// How many requests and changes for each backend whose servers change.
const STEPS: usize = 60;

/// What is done to a backend: a request, or a command.
enum Step {
    Request(String, Vec<String>),
    Command(String),
}

fn steps(random: &mut Seeded, backend: &str, servers: u64, weights: bool) -> Vec<Step> {
    let mut states = vec![true; servers as usize];
    let mut step = || {
        if random.below(5) > 0 {
            let (path, headers) = request(random);
            return Step::Request(path, headers);
        }
        let server = random.below(servers);
        // The first server stays up: a backend without any is another test's matter.
        Step::Command(if server > 0 && (!weights || random.below(2) == 0) {
            let state = &mut states[server as usize];
            *state = !*state;
            let word = match (*state, random.below(3)) {
                (true, _) => "ready",
                (false, 0) => "drain",
                (false, _) => "maint",
            };
            format!("set server {backend}/s{server} state {word}")
        } else if weights {
            let weight = [1, 2, 3, 4, 7, 20, 100, 256][random.below(8) as usize];
            format!("set weight {backend}/s{server} {weight}")
        } else {
            format!("get weight {backend}/s{server}")
        })
    };
    (0..STEPS).map(|_| step()).collect()
}

#[test]
fn the_same_servers_are_chosen_while_servers_change() -> Outcome {
    require!("haproxy", "tandemd");
    let origins = (0..5)
        .map(|number| Origin::on_loopback(&format!("o{number}")))
        .collect::<Outcome<Vec<_>>>()?;
    let mut random = Seeded(0x7a4d_e0c1_5eed_0002);
    let mut text = String::from("frontend f\n bind {in}\n");
    let mut backends = String::new();
    let mut cases = Vec::new();
    for (kind, (algorithm, weights)) in CHANGING.iter().enumerate() {
        for number in 0..BACKENDS {
            let name = format!("b{kind}_{number}");
            text.push_str(&format!(
                " use_backend {name} if {{ hdr(x-case) {name} }}\n"
            ));
            let count = 2 + random.below(4);
            let mut servers = String::new();
            for (number, origin) in origins.iter().take(count as usize).enumerate() {
                let weight = [1, 2, 3, 5, 7, 20][random.below(6) as usize];
                servers.push_str(&format!(
                    " server s{number} 127.0.0.1:{} weight {weight}\n",
                    origin.port()
                ));
            }
            backends.push_str(&format!("backend {name}\n balance {algorithm}\n{servers}"));
            let steps = steps(&mut random, &name, count, *weights);
            cases.push((name, *algorithm, servers, steps));
        }
    }
    text.push_str(&backends);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    for (name, algorithm, servers, steps) in &cases {
        let seen = sides
            .iter()
            .map(|side| {
                steps
                    .iter()
                    .map(|step| match step {
                        Step::Command(command) => {
                            side.command(command)?;
                            Ok(command.clone())
                        }
                        Step::Request(path, headers) => {
                            let mut headers: Vec<&str> =
                                headers.iter().map(String::as_str).collect();
                            let case = format!("X-Case: {name}");
                            headers.push(&case);
                            Ok(side.get(path, &headers)?.server().to_owned())
                        }
                    })
                    .collect::<Outcome<Vec<String>>>()
            })
            .collect::<Outcome<Vec<_>>>()?;
        differences.compare(
            &format!("balance {algorithm}\n{servers}"),
            &seen[0],
            &seen[1],
        );
    }
    differences.none()
}

/// Backends of round robin with a change under way.
const TURNING: usize = 40;
/// How many orders at least are haproxy's to the last turn.
const MOSTLY: usize = 33;
/// How many rounds (of as many requests as all weights together) are looked at after a change.
const ROUNDS: usize = 4;

/// The order of round robin after a weight was changed or a server went and came back. Haproxy's place in the round then
/// depends on all that was before (of two equal servers it was seen to take one six times in a row after the other had been
/// away twice), so what is compared is each server's share of every round, how evenly its turns are spread, and, where the
/// change comes before the first request, the order itself.
#[test]
fn round_robin_goes_on_evenly_after_changes() -> Outcome {
    require!("haproxy", "tandemd");
    let origins = (0..4)
        .map(|number| Origin::on_loopback(&format!("o{number}")))
        .collect::<Outcome<Vec<_>>>()?;
    let mut random = Seeded(0x7a4d_e0c1_5eed_0003);
    let mut text = String::from("frontend f\n bind {in}\n");
    let mut backends = String::new();
    let mut cases = Vec::new();
    for number in 0..TURNING {
        let name = format!("b{number}");
        text.push_str(&format!(
            " use_backend {name} if {{ hdr(x-case) {name} }}\n"
        ));
        let count = 2 + random.below(3) as usize;
        let mut weights: Vec<usize> = (0..count).map(|_| 1 + random.below(5) as usize).collect();
        backends.push_str(&format!("backend {name}\n balance roundrobin\n"));
        for (origin, weight) in origins.iter().zip(&weights) {
            backends.push_str(&format!(
                " server s{0} 127.0.0.1:{0} weight {weight}\n",
                origin.port()
            ));
        }
        let before = weights.clone();
        let at = random.below(count as u64) as usize;
        let server = format!("{name}/s{}", origins[at].port());
        let sum = weights.iter().sum::<usize>() as u64;
        let (first, away) = match number % 2 {
            0 => (0, 0),
            _ => (random.below(2 * sum) as usize, random.below(sum) as usize),
        };
        // Between the two commands are `away` requests.
        let commands = if random.below(2) == 0 {
            [
                format!("set server {server} state maint"),
                format!("set server {server} state ready"),
            ]
        } else {
            weights[at] = 1 + random.below(5) as usize;
            [
                format!("get weight {server}"),
                format!("set weight {server} {}", weights[at]),
            ]
        };
        cases.push((name, before, weights, first, away, commands));
    }
    text.push_str(&backends);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    let mut exact = 0;
    for (name, before, weights, first, away, commands) in &cases {
        let case = format!("X-Case: {name}");
        let mut seen = Vec::new();
        for side in &sides {
            let ask = |count: usize| -> Outcome<Vec<usize>> {
                (0..count)
                    .map(|_| {
                        let answer = side.get("/", &[&case])?;
                        Ok(answer.server()[1..].parse().unwrap_or(usize::MAX))
                    })
                    .collect()
            };
            ask(*first)?;
            side.command(&commands[0])?;
            ask(*away)?;
            side.command(&commands[1])?;
            seen.push(ask(ROUNDS * weights.iter().sum::<usize>())?);
        }
        let what = format!("{before:?} -> {weights:?} after {first} + {away}: {commands:?}");
        let is_same = seen[0] == seen[1];
        exact += usize::from(is_same);
        if *first == 0 && *away == 0 && !is_same {
            differences.compare(&what, &seen[0], &seen[1]);
        }
        let sum: usize = weights.iter().sum();
        for (round, turns) in seen[1].chunks(sum).enumerate() {
            for (server, weight) in weights.iter().enumerate() {
                let turns = turns.iter().filter(|turn| **turn == server).count();
                // One that comes in waits its distance, and others may be behind by a turn.
                if turns.abs_diff(*weight) > 1 + usize::from(round == 0) {
                    differences.note(&format!(
                        "{what}: round {round} gives server {server} {turns} turns: {:?}\n  haproxy {:?}",
                        seen[1], seen[0]
                    ));
                }
            }
        }
    }
    println!("{exact} of {TURNING} orders are haproxy's to the last turn");
    if exact < MOSTLY {
        differences.note(&format!("only {exact} of {TURNING} orders are haproxy's"));
    }
    differences.none()
}

#[test]
fn random_reaches_every_server_by_its_weight() -> Outcome {
    require!("tandemd");
    let origins = [
        Origin::on_loopback("o0")?,
        Origin::on_loopback("o1")?,
        Origin::on_loopback("o2")?,
    ];
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance random\n server s0 127.0.0.1:{} weight 1\n server s1 127.0.0.1:{} weight 3\n server s2 127.0.0.1:{} weight 0\n",
        origins[0].port(),
        origins[1].port(),
        origins[2].port()
    );
    let side = Side::start(BOTH[1], &text)?;
    for _ in 0..400 {
        side.get("/", &[])?;
    }
    let counts: Vec<usize> = origins
        .iter()
        .map(|origin| origin.requests().len())
        .collect();
    ensure!(counts[2] == 0, "weight 0 was chosen: {counts:?}");
    // 100 expected; the chance of less than 50 or more than 160 is below one in a million.
    ensure!((50..=200).contains(&counts[0]), "not by weight: {counts:?}");
    Ok(())
}
