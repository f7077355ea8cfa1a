//! The command line: HAProxy's flags, and a few words of our own.
//!
//! HAProxy's flags have several letters after one dash (`-db`, `-sf`), which no common parser reads.

use config::keepalived::proof::Program;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the program was asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-f`: files and directories in order; empty means the default places.
    pub files: Vec<PathBuf>,
    /// `-c`: check and end.
    pub check: bool,
    /// `--peer`: the other node's VRRP configuration, proved together with this one by `-c`.
    pub peer: Option<PathBuf>,
    /// `--peer-id`: the configuration id of the other node (`@id` lines).
    pub peer_id: Option<String>,
    /// `--peer-is`: what runs on the other node.
    pub peer_is: Program,
    /// `-i ID` or `--config-id ID`: this node's id for `@id` lines, instead of the first part of its name.
    pub config_id: Option<String>,
    /// `-cc COND`: evaluate and end.
    pub condition: Option<String>,
    /// `-D`: go to the background.
    pub daemon: bool,
    /// `-d` or `-db`: stay in the foreground whatever the configuration says.
    pub foreground: bool,
    /// `-d`: log more.
    pub debug: bool,
    /// `-W`, `-Ws`: accepted; the daemon always is a master with workers.
    pub master_worker: bool,
    /// `-p`.
    pub pidfile: Option<PathBuf>,
    /// `-L`: name of this node towards peers.
    pub local_peer: Option<String>,
    /// `-C`: change to this directory before anything is read.
    pub directory: Option<PathBuf>,
    /// `-n`: `maxconn` of the process.
    pub maxconn: Option<u32>,
    /// `-N`: default `maxconn` of a frontend.
    pub frontend_maxconn: Option<u32>,
    /// `-q`.
    pub quiet: bool,
    /// `-V`.
    pub verbose: bool,
    /// `-v` or `--version`: 1, `-vv`: 2.
    pub version: u8,
    /// `--help` or `-h`.
    pub help: bool,
    /// `-dW`: a warning refuses the configuration.
    pub zero_warning: bool,
    /// `--socket PATH`: instead of `/run/tandem/tandem.sock`.
    pub socket: Option<PathBuf>,
    /// `-S`: one more control socket, for the master of HAProxy's `-W`.
    pub master_socket: Option<PathBuf>,
    /// `-sf`, `-st`: processes that leave when this daemon is ready.
    pub old_pids: Vec<u32>,
    /// `-st`: they end at once instead of finishing what they do.
    pub old_terminate: bool,
    /// `-x`: the stats socket of the daemon whose listening sockets are taken over.
    pub sockets_from: Option<PathBuf>,
    /// `--cleanup`: remove the configuration's virtual addresses if no daemon runs, and end.
    pub cleanup: bool,
    /// `--keep-addresses`: the end of this daemon leaves its virtual addresses for the next one.
    pub keep_addresses: bool,
    /// `--background FD`: this is the process that `-D` left behind; readiness is told on that descriptor.
    pub background: Option<i32>,
}

/// Text of `--help`.
pub const USAGE: &str = "\
Usage: tandemd [-f FILE|DIR]... [options]

  -f FILE|DIR     configuration of either language; repeatable. Without it: /etc/tandem/ if it
                  exists, else /etc/haproxy/haproxy.cfg and /etc/keepalived/keepalived.conf
  -c              check the configuration and exit (-V to hear that it is valid)
      --peer FILE     with -c: the other node's VRRP configuration: prove the pair, and tell for
                      every single failure who becomes master
      --peer-id ID    with --peer: the id for its @id lines
      --peer-is NAME  with --peer: what runs there: tandem (the default) or keepalived
  -i ID, --config-id ID   this node's id for @id lines of keepalived's file (default: its name)
  -cc COND        evaluate a condition: exit 0 true, 1 false, 2 error
  -D              run in the background         -d, -db         stay in the foreground (-d: log more)
  -W, -Ws         accepted (always on)          -p FILE         write the process id there
  -C DIR          change to DIR first           -L NAME         name of this node
  -n N            maxconn of the process        -N N            default maxconn of a frontend
  -sf PID..., -st PID...  take over from these processes: when ready, tell them to finish, or to end at once
  -x PATH         take over the listening sockets of the daemon behind this stats socket
  -S PATH         one more control socket, level admin
  -m N            accepted without effect       -q, -V          quiet, verbose
  -dW             treat warnings as errors      -dM -dI -dr ... accepted without effect
  -v, -vv         version, with build details
      --socket PATH   control socket where no `stats socket` is configured
                      (default /run/tandem/tandem.sock)
      --cleanup       remove the virtual addresses that a crash left behind, and exit
      --keep-addresses  at the end leave the virtual addresses for the next start; without one the kernel
                      removes them before others take over
      --help, --version
Signals: TERM, INT stop; USR1 stops gracefully; USR2, HUP reload.
";

fn number(flag: &str, text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{flag} wants a number, found '{text}'"))
}

/// The path of `-S [unix@]PATH[,OPTIONS]`; the options that HAProxy takes there are not needed: it is root's alone.
fn master_socket(text: &str) -> Result<PathBuf, String> {
    let address = text.split(',').next().unwrap_or_default();
    let path = address.strip_prefix("unix@").unwrap_or(address);
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    Err(format!(
        "-S {address}: anything but the path of a unix socket is not supported yet"
    ))
}

/// Takes the process ids behind `-sf` and `-st` out: the list ends at the next word with a dash, and may be empty.
fn without_pids(
    words: impl IntoIterator<Item = OsString>,
) -> Result<(Vec<OsString>, Vec<u32>), String> {
    let (mut rest, mut pids) = (Vec::new(), Vec::new());
    let (mut flag, mut only_files) = (None, false);
    for word in words {
        let text = word.to_string_lossy();
        if !text.starts_with('-')
            && let Some(flag) = flag
        {
            for pid in text.split_whitespace() {
                let pid = pid.parse().ok().filter(|pid| *pid > 0);
                pids.push(pid.ok_or_else(|| format!("{flag} wants process ids, found '{text}'"))?);
            }
            continue;
        }
        only_files |= text == "--";
        flag = match &*text {
            "-sf" if !only_files => Some("-sf"),
            "-st" if !only_files => Some("-st"),
            _ => None,
        };
        rest.push(word);
    }
    Ok((rest, pids))
}

/// Reads the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut parsed = Arguments::default();
    let (words, old_pids) = without_pids(words)?;
    let mut old_pids = Some(old_pids);
    let mut words = words.into_iter();
    let mut next = |flag: &str| words.next().ok_or_else(|| format!("{flag} wants a value"));
    // `words` is borrowed by `next`, so the loop asks it too.
    while let Ok(word) = next("") {
        let Some(text) = word.to_str() else {
            return Err(format!("unknown option '{}'", word.to_string_lossy()));
        };
        let mut value = || next(text);
        let mut string = || value().map(|found| found.to_string_lossy().into_owned());
        match text {
            "-f" => parsed.files.push(PathBuf::from(string()?)),
            "-c" => parsed.check = true,
            "-cc" => parsed.condition = Some(string()?),
            "-d" => (parsed.foreground, parsed.debug) = (true, true),
            "-db" => parsed.foreground = true,
            "-D" => parsed.daemon = true,
            "-W" | "-Ws" => parsed.master_worker = true,
            "-S" => parsed.master_socket = Some(master_socket(&string()?)?),
            "-sf" | "-st" => {
                parsed.old_terminate = text == "-st";
                parsed.old_pids = old_pids.take().unwrap_or_default();
            }
            "-x" => {
                // HAProxy's word for no socket.
                let path = string()?;
                parsed.sockets_from = (path != "/dev/null").then(|| PathBuf::from(path));
            }
            "-p" => parsed.pidfile = Some(PathBuf::from(string()?)),
            "-L" => parsed.local_peer = Some(string()?),
            "-C" => parsed.directory = Some(PathBuf::from(string()?)),
            "-n" => parsed.maxconn = Some(number(text, &string()?)?),
            "-N" => parsed.frontend_maxconn = Some(number(text, &string()?)?),
            "-m" => _ = number(text, &string()?)?,
            "-q" => parsed.quiet = true,
            "-V" => parsed.verbose = true,
            "-v" | "--version" => parsed.version = 1,
            "-vv" => parsed.version = 2,
            "-h" | "--help" => parsed.help = true,
            "-dW" => parsed.zero_warning = true,
            "-de" | "-dp" | "-dG" | "-dR" | "-dS" | "-dV" | "-dr" | "-dI" | "-dF" | "-dL"
            | "-dD" | "-dZ" | "-dC" | "-dK" | "-dv" => {}
            "-i" | "--config-id" => parsed.config_id = Some(string()?),
            "--peer" => parsed.peer = Some(PathBuf::from(string()?)),
            "--peer-id" => parsed.peer_id = Some(string()?),
            "--peer-is" => {
                parsed.peer_is = match string()?.as_str() {
                    "tandem" => Program::Tandem,
                    "keepalived" => Program::Keepalived,
                    other => {
                        return Err(format!(
                            "--peer-is wants 'tandem' or 'keepalived', found '{other}'"
                        ));
                    }
                }
            }
            "--socket" => parsed.socket = Some(PathBuf::from(string()?)),
            "--cleanup" => parsed.cleanup = true,
            "--keep-addresses" => parsed.keep_addresses = true,
            "--background" => {
                let descriptor = string()?;
                parsed.background = Some(
                    descriptor
                        .parse()
                        .map_err(|_| format!("no descriptor: '{descriptor}'"))?,
                );
            }
            "--" => {
                while let Ok(file) = value() {
                    parsed.files.push(PathBuf::from(file));
                }
            }
            _ if text.starts_with("-dM") || text.starts_with("-dt") => {}
            _ => return Err(format!("unknown option '{text}'")),
        }
    }
    if parsed.peer.is_some() && !parsed.check {
        return Err("--peer belongs to -c".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn flags_of_several_letters_are_read_as_haproxy_reads_them() {
        let parsed = read("-Ws -f a.cfg -f b.conf -p /run/x.pid -c -V -dM0x50 -n 5 -- c.cfg")
            .expect("valid");
        assert_eq!(
            parsed.files,
            [
                PathBuf::from("a.cfg"),
                PathBuf::from("b.conf"),
                PathBuf::from("c.cfg")
            ]
        );
        assert!(parsed.check && parsed.verbose && parsed.master_worker && !parsed.daemon);
        assert_eq!(parsed.maxconn, Some(5));
        let parsed = read("-db -dW -vv").expect("valid");
        assert!(parsed.foreground && !parsed.debug && parsed.zero_warning);
        assert_eq!(parsed.version, 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read("-zz").expect_err("unknown"), "unknown option '-zz'");
        assert_eq!(read("-f").expect_err("no value"), "-f wants a value");
        assert_eq!(
            read("-n many").expect_err("no number"),
            "-n wants a number, found 'many'"
        );
        assert!(
            read("-S 127.0.0.1:1")
                .expect_err("later")
                .contains("not supported yet")
        );
        assert_eq!(
            read("--peer b.conf").expect_err("only with -c"),
            "--peer belongs to -c"
        );
        let parsed = read("-c --peer b.conf --peer-id lb2").expect("valid");
        assert_eq!(parsed.peer, Some(PathBuf::from("b.conf")));
        assert_eq!(parsed.peer_id.as_deref(), Some("lb2"));
        let parsed = read("-i main -f a.conf").expect("valid");
        assert_eq!(parsed.config_id.as_deref(), Some("main"));
        let parsed = read("--config-id main").expect("valid");
        assert_eq!(parsed.config_id.as_deref(), Some("main"));
        let parsed = read("-Ws -S /run/m.sock,mode,600").expect("valid");
        assert_eq!(parsed.master_socket, Some(PathBuf::from("/run/m.sock")));
        assert_eq!(
            read("-sf 12 x").expect_err("no number"),
            "-sf wants process ids, found 'x'"
        );
    }

    #[test]
    fn old_processes_are_listed_up_to_the_next_flag() {
        let parsed = read("-D -p p.pid -x /s -sf 12 13 -f a.cfg").expect("valid");
        assert_eq!(
            (parsed.old_pids, parsed.old_terminate),
            (vec![12, 13], false)
        );
        assert_eq!(parsed.files, [PathBuf::from("a.cfg")]);
        assert_eq!(parsed.sockets_from, Some(PathBuf::from("/s")));
        let parsed = read("-f a.cfg -st").expect("an empty list");
        assert!(parsed.old_pids.is_empty() && parsed.old_terminate);
        let parsed = parse(["-sf", "12\n13\n"].map(OsString::from)).expect("quoted");
        assert_eq!(parsed.old_pids, [12, 13]);
    }
}
