//! A virtual machine with Debian's kernel, which runs this very program, and of whose files nothing stays.
//!
//! It has no network, and of this system it sees what is copied into its archive. QEMU translates its instructions, unless
//! `TANDEM_TEST_ACCEL=kvm` says that the machine can do better.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::archive::Archive;

/// What scenarios need of the kernel; what these need in turn is found.
const MODULES: [&str; 14] = [
    "8021q",
    "bonding",
    "bridge",
    "dummy",
    "ipvlan",
    "macvlan",
    "nf_tables",
    "nft_chain_nat",
    "veth",
    "vrf",
    "nft_fib_inet",
    "nft_reject_inet",
    "ah4",
    "ah6",
];
/// Programs of this system.
const PROGRAMS: [&str; 6] = ["bridge", "busybox", "ip", "keepalived", "nft", "ping"];
/// Programs that busybox is, too.
const BUSYBOX: [&str; 10] = [
    "cat", "chmod", "kill", "ls", "mkdir", "rm", "sh", "sleep", "test", "touch",
];
/// How long all of it may take, so that it ends where the kernel hangs.
const LIMIT: Duration = Duration::from_secs(600);
/// What the machine says last, with the number of scenarios that failed.
const END: &str = "scenarios that failed: ";

/// A name, without which a scenario that needs it would not run.
pub(crate) struct Parts {
    kernel: PathBuf,
    modules: BTreeMap<String, PathBuf>,
}

impl Parts {
    /// Finds kernel and QEMU, or says what is missing.
    pub(crate) fn find() -> Result<Self, String> {
        if !cfg!(target_arch = "x86_64") {
            return Err("a machine of the kind x86-64".to_owned());
        }
        for program in ["qemu-system-x86_64", "busybox", "ldd"] {
            if Command::new(program).arg("--version").output().is_err() {
                return Err(format!("the program {program}"));
            }
        }
        let missing = || "a kernel (scripts/fetch-test-kernel.sh)".to_owned();
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        // The target folder is above target/debug/deps/kernel-….
        let folders = own
            .ancestors()
            .skip(1)
            .map(|folder| folder.join("test-kernel"));
        let given = std::env::var_os("TANDEM_TEST_KERNEL").map(PathBuf::from);
        let folder = given
            .into_iter()
            .chain(folders)
            .find(|folder| folder.join("boot").is_dir());
        let mut files = Vec::new();
        list(&folder.ok_or_else(missing)?, &mut files);
        let is_kernel = |path: &&PathBuf| name(path).starts_with("vmlinuz-");
        let kernel = files.iter().find(is_kernel).cloned().ok_or_else(missing)?;
        let modules = files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "ko"));
        // Modules call themselves with '_' where their files may have '-'.
        let named = |path: PathBuf| (name(&path).trim_end_matches(".ko").replace('-', "_"), path);
        Ok(Self {
            kernel,
            modules: modules.map(named).collect(),
        })
    }

    /// A module's bytes after those of the modules that it needs.
    fn load(&self, module: &str, loaded: &mut Vec<(String, Vec<u8>)>) {
        let module = module.replace('-', "_");
        // What the kernel has in itself is no file.
        let Some(path) = self
            .modules
            .get(&module)
            .filter(|_| loaded.iter().all(|(known, _)| *known != module))
        else {
            return;
        };
        let bytes = std::fs::read(path).expect("it was listed");
        const NEEDS: &[u8] = b"\0depends=";
        let needs = bytes
            .windows(NEEDS.len())
            .position(|window| window == NEEDS);
        let needs = needs.map(|at| {
            bytes[at + NEEDS.len()..]
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default()
        });
        let needs = String::from_utf8_lossy(needs.unwrap_or_default()).into_owned();
        for needed in needs.split(',').filter(|word| !word.is_empty()) {
            self.load(needed, loaded);
        }
        loaded.push((module, bytes));
    }

    /// Boots, runs the scenarios whose names contain one of the words, and shows what it says. False if one failed.
    pub(crate) fn run(&self, words: &[String]) -> bool {
        let folder = std::env::temp_dir().join(format!("tandem-kernel-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let archive = folder.join("initramfs");
        std::fs::write(&archive, self.archive(words, &folder)).expect("a file");
        let mut machine = Machine::start(&self.kernel, &archive);
        let passed = machine.watch();
        drop(machine);
        let _ = std::fs::remove_dir_all(&folder);
        passed
    }

    fn archive(&self, words: &[String], folder: &Path) -> Vec<u8> {
        let mut archive = Archive::new();
        let own = std::env::current_exe().expect("this program");
        // What a debugger needs is most of it.
        let small = folder.join("scenarios");
        let stripped = Command::new("strip")
            .arg("-o")
            .arg(&small)
            .arg(&own)
            .status();
        let program = if stripped.is_ok_and(|status| status.success()) {
            &small
        } else {
            &own
        };
        archive.file(
            "usr/bin/scenarios",
            &std::fs::read(program).expect("this program"),
        );
        archive.libraries(program);
        for program in PROGRAMS {
            if !archive.program(program) {
                println!("  without {program}: it is not installed");
            }
        }
        for name in BUSYBOX {
            archive.link(&format!("usr/bin/{name}"), "busybox");
        }
        let mut modules = Vec::new();
        for module in MODULES {
            self.load(module, &mut modules);
        }
        let mut inserts = String::new();
        for (name, bytes) in &modules {
            archive.file(&format!("modules/{name}.ko"), bytes);
            inserts.push_str(&format!("busybox insmod /modules/{name}.ko\n"));
        }
        archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n");
        archive.file("etc/group", b"root:x:0:\n");
        let words: Vec<_> = words
            .iter()
            .filter(|word| !word.starts_with('-'))
            .map(String::as_str)
            .collect();
        let script = format!(
            "#!/bin/sh
export PATH=/usr/sbin:/usr/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs run /run
busybox mount -t tmpfs tmp /tmp
{inserts}case \"$(cat /proc/cpuinfo)\" in *'QEMU TCG'*) export TANDEM_SLOWNESS=4;; esac
ip link set lo up
scenarios inside {}
echo \"{END}$?\"
busybox poweroff -f
",
            words.join(" ")
        );
        archive.file("init", script.as_bytes());
        archive.finish()
    }
}

struct Machine(Child);

impl Machine {
    fn start(kernel: &Path, archive: &Path) -> Self {
        // KVM is faster and not everywhere, and within a virtual machine it may be there and not work.
        let given = std::env::var("TANDEM_TEST_ACCEL");
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", given.as_deref().unwrap_or("tcg")]);
        command.args(["-cpu", "max", "-smp", "2", "-m", "1G"]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-nic",
            "none",
        ]);
        command
            .args(["-serial", "stdio", "-kernel"])
            .arg(kernel)
            .arg("-initrd")
            .arg(archive);
        command.args(["-append", "console=ttyS0 quiet panic=-1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("QEMU starts"))
    }

    /// Reads its console to the end; whether all scenarios passed.
    fn watch(&mut self) -> bool {
        let (sender, lines) = std::sync::mpsc::channel();
        let console = BufReader::new(self.0.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in console.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let ends = Instant::now() + LIMIT;
        let mut log = Vec::new();
        while let Ok(line) = lines.recv_timeout(ends.saturating_duration_since(Instant::now())) {
            if line.contains(" ... ") || line.starts_with("  ") || line.contains("SKIPPED") {
                println!("{line}");
            }
            log.push(line);
        }
        let last = log.iter().rev().find_map(|line| line.strip_prefix(END));
        let passed = last == Some("0");
        if !passed {
            println!(
                "---- all that the virtual machine said:\n{}\n----",
                log.join("\n")
            );
        }
        passed
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // A link in there may lead anywhere.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}
