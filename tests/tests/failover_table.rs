//! The table of failures that `tandemd -c --peer` prints, against reality: each single failure is made, and who is master then
//! is who the table says, within its time.

use std::time::{Duration, Instant};

use tandem_tests::requirements::our_program;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Failure, Lab, Node, NodeFiles, NodeKind, Outcome, Part, ensure, lab::VIP, require,
};

/// What the machine, which is busy, and looking at the nodes take on top.
const MARGIN: Duration = Duration::from_millis(1_500);
const LIMIT: Duration = Duration::from_secs(10);
const LOAD: &str = "/etc/keepalived/load";

fn file(id: &str, priority: u8, more: &str) -> String {
    format!(
        "global_defs {{\nrouter_id {id}\n}}\ntrack_file load {{\nfile {LOAD}\nweight 2\ninit_file 0\n}}\n\
         vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\nversion 3\npriority {priority}\nadvert_int 0.1\n\
         virtual_ipaddress {{\n{VIP}\n}}\n{more}\n}}\n"
    )
}

/// A line of the table.
struct Row {
    what: String,
    /// The first node's priority.
    first: String,
    master: String,
    within: Option<Duration>,
}

fn rows(table: &str) -> Vec<Row> {
    let lines = table
        .lines()
        .skip_while(|line| !line.contains("what fails"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    let row = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let rest = words.split_off(words.len().checked_sub(5)?);
        let [first, _, master, within, _] = rest[..] else {
            return None;
        };
        let within = match within.strip_suffix("ms") {
            Some(number) => number.parse().ok().map(Duration::from_millis),
            None => within
                .strip_suffix('s')
                .and_then(|number| number.parse().ok())
                .map(Duration::from_secs_f64),
        };
        Some(Row {
            what: words.join(" "),
            first: first.to_owned(),
            master: master.to_owned(),
            within,
        })
    };
    lines.filter_map(row).collect()
}

fn wait_on(lab: &Lab, hosts: &[&str], why: &str) -> Outcome {
    wait_for(&format!("the address on {hosts:?} ({why})"), LIMIT, || {
        let found = lab.who_has(VIP).map_err(|error| error.to_string())?;
        // A machine that died may still hold it.
        let found: Vec<_> = found
            .into_iter()
            .filter(|host| hosts.contains(&host.as_str()) || !why.ends_with("dies"))
            .collect();
        match found == hosts {
            true => Ok(()),
            false => Err(format!("it is on {found:?}")),
        }
    })
}

/// Waits until everything is as before any failure: both hear each other, the first is master and the second its backup.
fn settle(lab: &Lab, a: &Node, b: &Node) -> Outcome {
    for name in ["a", "b"] {
        wait_for(&format!("the path to {name}"), LIMIT, || {
            let joined = lab.is_joined(name).map_err(|error| error.to_string())?;
            joined.then_some(()).ok_or("it is closed".to_owned())
        })?;
    }
    for (node, state) in [(a, "VI_1: MASTER"), (b, "VI_1: BACKUP")] {
        wait_for(&format!("{state} on {}", node.host().name()), LIMIT, || {
            let shown = node.command("show vrrp VI_1");
            let shown = shown.map_err(|error| error.to_string())?;
            let words: Vec<_> = shown.split_whitespace().collect();
            match words.join(" ").contains(state) {
                true => Ok(()),
                false => Err(shown),
            }
        })?;
    }
    wait_on(lab, &["a"], "all is well")
}

#[test]
fn each_failure_makes_who_the_table_says_master() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let (first, second) = (
        file("lb1", 150, "track_file {\nload\n}"),
        file("lb2", 100, ""),
    );
    let start = |host: &str, keepalived: &str| {
        let files = NodeFiles {
            keepalived: Some(keepalived.to_owned()),
            ..NodeFiles::default()
        };
        Node::start(&lab, host, NodeKind::Tandem, files)
    };
    let mut a = start("a", &first)?;
    let mut b = start("b", &second)?;
    settle(&lab, &a, &b)?;
    const PEER: &str = "/etc/keepalived/peer.conf";
    a.host().write(PEER, &second)?;
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let program = program.to_string_lossy();
    let own = tandem_tests::node::KEEPALIVED_FILE;
    let table = a
        .host()
        .exec(&program, &["-c", "-f", own, "--peer", PEER])?;
    let rows = rows(&table);
    let whats: Vec<_> = rows.iter().map(|row| row.what.as_str()).collect();
    let expected = [
        "lb1 dies",
        "lb1 loses its link",
        "file load -26 or less on lb1",
        "file load -127 or less on lb1",
        "lb2 dies",
        "lb2 loses its link",
        "the path between them",
    ];
    ensure!(whats == expected, "{table}");
    for row in &rows {
        let began = Instant::now();
        match row.what.as_str() {
            "lb1 dies" => {
                lab.isolate("a")?;
                a.kill(Part::Daemon)?;
            }
            "lb1 loses its link" => lab.cut_link("a")?,
            "lb2 dies" => {
                lab.isolate("b")?;
                b.kill(Part::Daemon)?;
            }
            "lb2 loses its link" => lab.cut_link("b")?,
            "the path between them" => lab.isolate("b")?,
            file => {
                let number = file.split(' ').nth(2).unwrap_or_default();
                a.host().write(LOAD, format!("{number}\n"))?;
            }
        }
        let holders: &[&str] = match (row.master.as_str(), row.what.as_str()) {
            ("BOTH", _) => &["a", "b"],
            ("lb1", _) => &["a"],
            ("lb2", _) => &["b"],
            (other, _) => return Err(Failure::new(format!("{other}?\n{table}"))),
        };
        wait_on(&lab, holders, &row.what)?;
        let took = began.elapsed();
        println!("{}: {took:?}, the table says {:?}", row.what, row.within);
        if let Some(within) = row.within {
            ensure!(
                took <= within + MARGIN,
                "{}: {took:?}, not {within:?}",
                row.what
            );
        } else {
            // Who stays master does so for longer than a takeover takes.
            std::thread::sleep(Duration::from_millis(600));
            wait_on(&lab, holders, &row.what)?;
        }
        if row.what.starts_with("file") {
            let shown = a.command("show vrrp VI_1")?;
            let words: Vec<_> = shown.split_whitespace().collect();
            let wanted = match row.first.as_str() {
                "FAULT" => "VI_1: FAULT".to_owned(),
                number => format!("priority {number} ="),
            };
            ensure!(words.join(" ").contains(&wanted), "{wanted}: {shown}");
        }
        match row.what.as_str() {
            "lb1 dies" => {
                lab.rejoin("a")?;
                a.up()?;
            }
            "lb1 loses its link" => lab.restore_link("a")?,
            "lb2 dies" => {
                lab.rejoin("b")?;
                b.up()?;
            }
            "lb2 loses its link" => lab.restore_link("b")?,
            "the path between them" => lab.rejoin("b")?,
            _ => a.host().write(LOAD, "0\n")?,
        }
        settle(&lab, &a, &b)?;
    }
    Ok(())
}
