//! Two nodes and a client around a bridge, each in a network namespace of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The virtual address of all scenarios.
pub(crate) const VIP: &str = "10.230.137.100";
/// Between two looks at a condition, which start a process each: where that takes long there must be fewer.
const STEP: Duration = Duration::from_millis(5);
static LABS: AtomicU32 = AtomicU32::new(0);

/// Runs a command; its output, or a panic with what it complained about.
pub(crate) fn run(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect(line);
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// By how much all takes longer here than on a usual machine: a virtual machine without KVM says so.
fn slowness() -> u32 {
    static SLOWNESS: OnceLock<u32> = OnceLock::new();
    let told = || std::env::var("TANDEM_SLOWNESS").ok()?.parse().ok();
    *SLOWNESS.get_or_init(|| told().unwrap_or(1))
}

/// Waits for a condition; panics when it does not come true. Returns how long it took.
pub(crate) fn wait(what: &str, limit: Duration, condition: impl Fn() -> bool) -> Duration {
    let limit = limit * slowness();
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(STEP * slowness().pow(3));
    }
    start.elapsed()
}

/// Watches that a condition stays true.
pub(crate) fn stays(what: &str, time: Duration, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(condition(), "ended after {:?}: {what}", start.elapsed());
        std::thread::sleep(STEP * slowness().pow(3));
    }
}

/// A scenario with its name.
pub(crate) type Scenario = (&'static str, fn());

/// Runs scenarios, so many at once; those that failed.
pub(crate) fn perform(scenarios: &[Scenario], at_once: usize) -> Vec<Scenario> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(entry) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, scenario) = entry;
            let began = Instant::now();
            let outcome = std::panic::catch_unwind(scenario);
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            println!("{name} ... {word}, {:.1} s", began.elapsed().as_secs_f64());
            if outcome.is_err() {
                failed.lock().expect("nobody panics with it").push(*entry);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    failed.into_inner().expect("nobody panics with it")
}

/// Whether keepalived is installed; says so if it is not.
pub(crate) fn has_keepalived() -> bool {
    let found = Command::new("keepalived").arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED in part: keepalived is not installed");
    }
    found
}

/// The namespaces of one scenario.
pub(crate) struct Lab {
    prefix: String,
    /// Files of the scenario.
    pub(crate) folder: std::path::PathBuf,
}

impl Lab {
    /// Nodes `a` (10.230.137.1) and `b` (.2), client `c` (.9), and the bridge between them.
    pub(crate) fn new() -> Self {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("tv{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&prefix);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let lab = Self { prefix, folder };
        let switch = lab.space("sw");
        run(&format!("ip netns add {switch}"));
        run(&format!("ip -n {switch} link add br0 type bridge"));
        run(&format!("ip -n {switch} link set br0 up"));
        for (name, last) in [("a", 1), ("b", 2), ("c", 9)] {
            let space = lab.space(name);
            run(&format!("ip netns add {space}"));
            run(&format!("ip -n {space} link set lo up"));
            run(&format!(
                "ip -n {switch} link add v{name} type veth peer name eth0 netns {space}"
            ));
            run(&format!("ip -n {switch} link set v{name} master br0 up"));
            run(&format!(
                "ip -n {space} addr add 10.230.137.{last}/24 dev eth0"
            ));
            run(&format!("ip -n {space} link set eth0 up"));
        }
        lab
    }

    /// A second network, 10.230.138.0/24, on `eth1` of all; the ends at its bridge are `wa`, `wb` and `wc`.
    pub(crate) fn add_link(&self) {
        let switch = self.space("sw");
        run(&format!("ip -n {switch} link add br1 type bridge"));
        run(&format!("ip -n {switch} link set br1 up"));
        for (name, last) in [("a", 1), ("b", 2), ("c", 9)] {
            let space = self.space(name);
            run(&format!(
                "ip -n {switch} link add w{name} type veth peer name eth1 netns {space}"
            ));
            run(&format!("ip -n {switch} link set w{name} master br1 up"));
            run(&format!(
                "ip -n {space} addr add 10.230.138.{last}/24 dev eth1"
            ));
            run(&format!("ip -n {space} link set eth1 up"));
        }
    }

    /// Sends packets that must not count, from the client's namespace; see `forge`.
    pub(crate) fn forge(&self, words: &[&str]) {
        let own = std::env::current_exe().expect("this program");
        let forger = Command::new("ip")
            .args(["netns", "exec", &self.space("c")])
            .arg(own)
            .arg("forge")
            .args(words)
            .status();
        assert!(forger.is_ok_and(|status| status.success()), "{words:?}");
    }

    /// The namespace of a node.
    pub(crate) fn space(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs `ip` in a node's namespace.
    pub(crate) fn ip(&self, name: &str, rest: &str) -> String {
        run(&format!("ip -n {} {rest}", self.space(name)))
    }

    /// Whether the virtual address is on a node.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.ip(name, "-4 -o addr show")
            .contains(&format!("{VIP}/"))
    }

    /// The Ethernet address that a node has, or that the client has in mind for the virtual address.
    pub(crate) fn hardware(&self, name: &str) -> String {
        let text = self.ip(name, "-o link show eth0");
        text.split("link/ether ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .expect("an Ethernet address")
            .to_owned()
    }

    /// Whether the client reaches the virtual address at this node.
    pub(crate) fn client_goes_to(&self, name: &str) -> bool {
        self.ip("c", &format!("neigh show {VIP}"))
            .contains(&self.hardware(name))
    }

    /// Starts one of ours.
    pub(crate) fn ours(&self, name: &str, words: &str) -> Node {
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.space(name)])
            .arg(own)
            .arg("node")
            .args(words.split(' '));
        Node::start(command)
    }

    /// Starts keepalived with one instance; `more` goes into it.
    pub(crate) fn keepalived(&self, name: &str, state: &str, priority: u8, more: &str) -> Node {
        let text = format!(
            "vrrp_instance R1 {{\n state {state}\n interface eth0\n virtual_router_id 50\n priority {priority}\n advert_int 1\n \
             authentication {{\n auth_type PASS\n auth_pass passwd\n }}\n virtual_ipaddress {{\n {VIP}\n }}\n {more}\n}}\n"
        );
        let file = self.folder.join(format!("{name}.conf"));
        std::fs::write(&file, text).expect("a file");
        self.keepalived_with(name, &file)
    }

    /// Starts keepalived's VRRP with a configuration file.
    pub(crate) fn keepalived_with(&self, name: &str, configuration: &std::path::Path) -> Node {
        self.keepalived_of(name, configuration, &["-P"])
    }

    /// Starts keepalived's VRRP and BFD with a configuration file.
    pub(crate) fn keepalived_bfd(&self, name: &str, configuration: &std::path::Path) -> Node {
        let file = self.folder.join(format!("{name}.bfd.pid"));
        let _ = std::fs::remove_file(&file);
        self.keepalived_of(name, configuration, &["-b", &file.to_string_lossy()])
    }

    fn keepalived_of(&self, name: &str, configuration: &std::path::Path, words: &[&str]) -> Node {
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        // Of a killed one: it would be taken for alive until its parent has reaped it.
        for kind in ["pid", "vrrp.pid"] {
            let _ = std::fs::remove_file(file(kind));
        }
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(name)]);
        command.args(["keepalived", "-n", "-l", "-D", "-f"]);
        command
            .arg(configuration)
            .args(words)
            .arg("-p")
            .arg(file("pid"))
            .arg("-r")
            .arg(file("vrrp.pid"));
        Node::start(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in ["a", "b", "c", "sw"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.space(name)])
                .output();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A process under test.
pub(crate) struct Node {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// Starts it and reads what it prints.
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sink.lock().expect("no panic").push(line);
            }
        });
        Self { child, lines }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("it reads");
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, name: &str) {
        let id = self.child.id();
        // keepalived's parent would see its child's death, and the child the parent's: both at once.
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let all = if name == "KILL" {
            children.as_str()
        } else {
            ""
        };
        run(&format!("kill -{name} {id} {all}"));
        if name == "KILL" {
            let _ = self.child.wait();
        }
    }

    /// Sends SIGTERM and waits for the end; its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.end()
    }

    /// Waits for its end; its exit status.
    pub(crate) fn end(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            let limit = Duration::from_secs(5) * slowness();
            assert!(start.elapsed() < limit, "it does not stop");
            std::thread::sleep(STEP * slowness().pow(3));
        }
    }

    /// How many of its lines contain this.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines
            .lock()
            .expect("no panic")
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Its whole lines with this text.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("no panic");
        let found = lines.iter().filter(|line| line.contains(text));
        found.cloned().collect()
    }

    /// What follows this text in its lines.
    pub(crate) fn said(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("no panic");
        let rest = |line: &String| Some(line.split_once(text)?.1.to_owned());
        lines.iter().filter_map(rest).collect()
    }

    /// All that it printed.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("no panic").join("\n")
    }

    /// Waits for a line after those of before; returns how long it took.
    pub(crate) fn hears(&self, text: &str, limit: Duration) -> Duration {
        let limit = limit * slowness();
        let start = Instant::now();
        while self.count(text) == 0 {
            assert!(
                start.elapsed() < limit,
                "not within {limit:?}: {text}\n{}",
                self.text()
            );
            std::thread::sleep(STEP * slowness().pow(3));
        }
        start.elapsed()
    }

    /// Forgets its lines.
    pub(crate) fn forget(&self) {
        self.lines.lock().expect("no panic").clear();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
