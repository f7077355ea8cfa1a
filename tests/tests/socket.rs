//! The control socket as third-party tools use it: hatop (a long conversation behind a prompt), Ansible's haproxy module
//! (one command a connection, then a look at the statistics), and shell scripts with socat.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tandem_tests::scenario::Single;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    ControlSocket, NodeFiles, NodeKind, Outcome, article, ensure, on_both, wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);
const SOCKET: &str = "/run/haproxy/admin.sock";

/// The first columns of `show stat`, which every release has had at the same places.
const FIRST_COLUMNS: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,\
status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,\
check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,\
req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,";

fn start(kind: NodeKind) -> Outcome<(Single, ControlSocket)> {
    let socket_line = format!("daemon\nstats socket {SOCKET} mode 600 level admin\n");
    let setup = Single::start(
        kind,
        NodeFiles::proxy(article::haproxy().replace("daemon\n", &socket_line)),
    )?;
    let socket = ControlSocket::at(setup.node.host().path(SOCKET));
    wait_until("both servers to be up", LIMIT, || {
        ["web1", "web2"].iter().all(|server| matches!(socket.stat("nginx", server, "status"), Ok(Some(status)) if status == "UP"))
    })?;
    Ok((setup, socket))
}

/// Waits until a server's status is as wanted.
fn wait_status(socket: &ControlSocket, server: &str, status: &str) -> Outcome {
    wait_for(&format!("{server} to be {status}"), LIMIT, || {
        let found = socket
            .stat("nginx", server, "status")
            .map_err(|error| error.to_string())?;
        if found.as_deref() == Some(status) {
            Ok(())
        } else {
            Err(format!("it is {found:?}"))
        }
    })
}

fn servers_asked(setup: &Single) -> Outcome<std::collections::BTreeSet<String>> {
    (0..6)
        .map(|_| Ok(setup.get("/")?.server().to_owned()))
        .collect()
}

fn statistics_have_the_columns_tools_know(kind: NodeKind) -> Outcome {
    let (setup, socket) = start(kind)?;
    setup.get("/")?;
    let text = socket.command("show stat")?;
    ensure!(
        text.starts_with(FIRST_COLUMNS),
        "the columns are {}",
        text.lines().next().unwrap_or_default()
    );
    ensure!(text.ends_with("\n\n"), "no empty line at the end");
    let header = text.lines().next().unwrap_or_default();
    if kind == NodeKind::Tandem {
        ensure!(
            header.split(',').count() >= 119 && header.contains(",resbin,resbout,"),
            "not the 118 columns: {header}"
        );
    }
    let columns = header.split(',').count();
    let odd = text
        .lines()
        .find(|line| !line.is_empty() && line.split(',').count() != columns);
    ensure!(
        odd.is_none(),
        "a line has another number of columns: {odd:?}"
    );
    let names: Vec<(String, String)> = socket
        .show_stat()?
        .iter()
        .map(|line| (line["pxname"].clone(), line["svname"].clone()))
        .collect();
    for (proxy, server) in [
        ("main", "FRONTEND"),
        ("nginx", "web1"),
        ("nginx", "web2"),
        ("nginx", "BACKEND"),
    ] {
        ensure!(
            names.contains(&(proxy.into(), server.into())),
            "{proxy}/{server} is missing: {names:?}"
        );
    }
    ensure!(
        socket.stat("main", "FRONTEND", "status")?.as_deref() == Some("OPEN"),
        "the frontend is not OPEN"
    );
    ensure!(
        socket.stat("main", "FRONTEND", "req_tot")?.as_deref() == Some("1"),
        "the request was not counted once"
    );
    for field in [
        "Name",
        "Version",
        "Release_date",
        "Nbproc",
        "Process_num",
        "Pid",
        "Uptime",
        "Uptime_sec",
        "Maxconn",
        "CurrConns",
        "Maxpipes",
        "PipesUsed",
        "Tasks",
        "Run_queue",
        "node",
    ] {
        ensure!(socket.info(field)?.is_some(), "`show info` lacks {field}");
    }
    ensure!(
        socket.info("Maxconn")?.as_deref() == Some("4000"),
        "Maxconn is {:?}",
        socket.info("Maxconn")?
    );
    Ok(())
}

/// As Ansible's module does it: disable with a wait for MAINT, weight, enable with a wait for UP.
fn ansible_takes_a_server_out_and_in(kind: NodeKind) -> Outcome {
    let (setup, socket) = start(kind)?;
    ensure!(
        socket
            .command("get weight nginx/web1")?
            .starts_with("1 (initial 1)\n"),
        "{}",
        socket.command("get weight nginx/web1")?
    );
    for command in [
        "disable server nginx/web1",
        "shutdown sessions server nginx/web1",
    ] {
        let answer = socket.command(command)?;
        ensure!(answer.trim().is_empty(), "{command}: {answer}");
    }
    wait_status(&socket, "web1", "MAINT")?;
    ensure!(
        servers_asked(&setup)?.iter().eq(["web2"]),
        "a server in maintenance is used"
    );
    ensure!(
        socket
            .command("set weight nginx/web2 42")?
            .trim()
            .is_empty(),
        "the weight was refused"
    );
    ensure!(
        socket
            .command("get weight nginx/web2")?
            .starts_with("42 (initial 1)"),
        "the weight did not change"
    );
    ensure!(
        socket
            .command("enable server nginx/web1")?
            .trim()
            .is_empty(),
        "it was not enabled"
    );
    wait_status(&socket, "web1", "UP")?;
    ensure!(
        socket
            .command("set server nginx/web2 state drain")?
            .trim()
            .is_empty(),
        "it was not drained"
    );
    wait_status(&socket, "web2", "DRAIN")?;
    ensure!(
        servers_asked(&setup)?.iter().eq(["web1"]),
        "a drained server is used"
    );
    ensure!(
        socket
            .command("set server nginx/web2 state ready")?
            .trim()
            .is_empty(),
        "it was not made ready"
    );
    wait_status(&socket, "web2", "UP")
}

/// Reads until the prompt of an interactive connection.
fn until_prompt(stream: &mut UnixStream) -> Outcome<String> {
    let mut text = String::new();
    let mut byte = [0_u8; 4096];
    while !text.ends_with("\n> ") {
        let count = stream.read(&mut byte)?;
        ensure!(count > 0, "the connection ended before a prompt: {text:?}");
        text.push_str(&String::from_utf8_lossy(&byte[..count]));
    }
    Ok(text)
}

/// As hatop does it: a prompt, a timeout, and then both screens again and again over one connection.
fn hatop_keeps_a_conversation(kind: NodeKind) -> Outcome {
    let (_setup, socket) = start(kind)?;
    let mut stream = socket.connect()?;
    stream.write_all(b"prompt\n")?;
    until_prompt(&mut stream)?;
    stream.write_all(b"set timeout cli 60\n")?;
    until_prompt(&mut stream)?;
    for _ in 0..3 {
        stream.write_all(b"show info\n")?;
        let info = until_prompt(&mut stream)?;
        ensure!(info.contains("Uptime_sec: "), "{info}");
        stream.write_all(b"show stat\n")?;
        let stat = until_prompt(&mut stream)?;
        ensure!(stat.contains("nginx,web1,"), "{stat}");
    }
    stream.write_all(b"quit\n")?;
    let mut rest = String::new();
    stream.read_to_string(&mut rest)?;
    Ok(())
}

fn answers_that_scripts_compare(kind: NodeKind) -> Outcome {
    let (setup, socket) = start(kind)?;
    for (command, begins) in [
        ("disable server nginx/nobody", "No such server."),
        ("disable server nobody/web1", "No such "),
        ("disable server nginx", "Require 'backend/server'."),
        // Newer releases name the word; Debian's does not yet.
        (
            "nonsense",
            if kind == NodeKind::Tandem {
                "Unknown command: 'nonsense'"
            } else {
                "Unknown command"
            },
        ),
    ] {
        let answer = socket.command(command)?;
        ensure!(
            answer.trim_start().starts_with(begins),
            "{command:?} gives {answer:?}, wanted {begins:?}"
        );
    }
    ensure!(
        socket.command("help")?.contains("show stat"),
        "help does not name `show stat`"
    );
    let both = socket.command("show info;show stat")?;
    ensure!(
        both.contains("Uptime_sec") && both.contains("# pxname"),
        "two commands in a line: {both}"
    );
    let state = socket.command("show servers state")?;
    ensure!(
        state.starts_with(
            "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state"
        ),
        "{state}"
    );
    ensure!(
        state.contains(" nginx 1 web1 10.230.150.68 2 0 "),
        "{state}"
    );
    ensure!(
        socket.command("clear counters all")?.trim().is_empty(),
        "counters were not cleared"
    );
    ensure!(
        socket.stat("nginx", "web1", "stot")?.as_deref() == Some("0"),
        "counters were not cleared"
    );
    setup.get("/")?;
    setup.node.host().exec(
        "sh",
        &[
            "-c",
            &format!("echo 'show stat' | socat stdio {SOCKET} | grep -q nginx,BACKEND"),
        ],
    )?;
    Ok(())
}

fn a_server_gets_another_address(kind: NodeKind) -> Outcome {
    let (setup, socket) = start(kind)?;
    let answer = socket.command("set server nginx/web2 addr 10.230.150.70 port 80")?;
    ensure!(!answer.contains("nvalid"), "{answer}");
    wait_for("web3 behind the name web2", LIMIT, || {
        let servers = servers_asked(&setup).map_err(|error| error.to_string())?;
        if servers.iter().eq(["web1", "web3"]) {
            Ok(())
        } else {
            Err(format!("{servers:?}"))
        }
    })
}

/// The columns that tools and state files read: operational and administrative state, check and its health.
fn the_state_file_tells_what_a_server_is(kind: NodeKind) -> Outcome {
    let (_setup, socket) = start(kind)?;
    let state = |server: &str| -> Outcome<String> {
        let text = socket.command("show servers state nginx")?;
        let line = text
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|words| words.get(3) == Some(&server))
            .ok_or_else(|| tandem_tests::Failure::new(format!("no {server} in {text}")))?;
        Ok([&line[5..7], &line[10..14]].concat().join(" "))
    };
    let wait_state = |server: &str, wanted: &str| {
        wait_for(&format!("{server} as {wanted}"), LIMIT, || {
            match state(server) {
                Ok(found) if found == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    };
    wait_state("web1", "2 0 6 3 2 6")?;
    socket.command("set server nginx/web1 state drain")?;
    wait_state("web1", "2 8 6 3 2 6")?;
    socket.command("set server nginx/web1 state maint")?;
    wait_state("web1", "0 1 6 3 0 14")?;
    socket.command("set server nginx/web1 state ready")?;
    wait_state("web1", "2 0 6 3 2 6")
}

on_both!(
    the_state_file_tells_what_a_server_is,
    statistics_have_the_columns_tools_know,
    ansible_takes_a_server_out_and_in,
    hatop_keeps_a_conversation,
    answers_that_scripts_compare,
    a_server_gets_another_address,
);
