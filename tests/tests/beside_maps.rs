//! Maps and pattern files beside haproxy: what requests find, what the socket answers, and what changes at run time.
#![allow(missing_docs)]

use std::io::{Read, Write};

use tandem_tests::beside::{BOTH, Differences, Side};
use tandem_tests::{Failure, Outcome};

/// Files that both sides read.
const FILES: &[(&str, &str)] = &[
    (
        "m.map",
        "# comment\n/a one\n  /b   two words  \n\n/c\n/A three # not comment\n/a dup\n/ab two\n/abc three\n",
    ),
    ("a.lst", "/x\n/y z\n#c\n  /w  \n"),
    ("ip.lst", "10.0.0.0/8\n127.0.0.1\n2001:db8::/32\n"),
    (
        "ip.map",
        "10.0.0.0/8 ten\n192.168.0.0/255.255.0.0 mask\n10.1.0.0/16 sixteen\n10.0.0.0/8 dup\n::1 six\n\
         12.0.0.0/255.0.255.0 odd\n::ffff:11.0.0.0/104 mapped\n2001:db8::/32 doc\n",
    ),
    ("int.map", "1:5 low\n6 six\n100: high\n3:4 never\n"),
    ("reg.map", "^/r(.*)$ /new/\\1\n^/rx second\n(?i)/CASE ci\n"),
    // haproxy 2.6 takes `map_sub` for `map_end` where both look into one file; the manual does not know of it.
    ("sub.map", "b x\nab y\n/ab z\n"),
    ("end.map", "b x\nab y\n/ab z\n"),
    ("dom.map", "example.com ec\ncom c\nwww w\n"),
    ("dir.map", "/img/ i\na/b ab\n"),
    ("str_int.map", "k1 12\nk2 -3\n"),
    ("str_ip.map", "k1 1.2.3.4\nk2 ::1\n"),
];

const TEXT: &str = r#"frontend f
 bind {in}
 acl A path -f {dir}/a.lst
 acl B path_beg -i /foo /bar
 acl U path -u 77 -f {dir}/a.lst /extra
 acl M path -i -M -f {dir}/m.map
 acl IP src -f {dir}/ip.lst
 acl N hdr(n) -m int gt 5
 acl E path -i -m end Png
 acl R path -i -m reg ^/rE
 acl L path_len 3:9
 http-request set-map({dir}/m.map) %[path] %[req.hdr(x-v)] if { req.hdr(x-set) -m found }
 http-request del-map({dir}/m.map) %[path] if { req.hdr(x-del) -m found }
 http-request add-acl({dir}/a.lst) %[path] if { req.hdr(x-add) -m found }
 http-request del-acl({dir}/a.lst) %[path] if { req.hdr(x-rm) -m found }
 http-request set-var(txn.a) str(A) if A
 http-request set-var(txn.b) str(B) if B
 http-request set-var(txn.u) str(U) if U
 http-request set-var(txn.m) str(M) if M
 http-request set-var(txn.n) str(N) if N
 http-request set-var(txn.e) str(E) if E or R or L or IP
 http-request return status 200 content-type text/plain lf-string "%[path,map({dir}/m.map,def)] %[path,map_beg({dir}/m.map,def)] %[path,map_end({dir}/end.map,-)] %[path,map_sub({dir}/sub.map,-)] %[path,map_reg({dir}/reg.map,-)] %[path,map_regm({dir}/reg.map,-)] %[path,map_dir({dir}/dir.map,-)] %[req.hdr(h),map_dom({dir}/dom.map,-)] %[req.hdr(ip),map_ip({dir}/ip.map,-)] %[req.hdr(n),map_int({dir}/int.map,-)] %[req.hdr(k),map_str_int({dir}/str_int.map,99)] %[req.hdr(k),map_str_ip({dir}/str_ip.map,9.9.9.9)] %[req.hdr(k),map_str_int({dir}/str_int.map),add(1)] %[var(txn.a)]%[var(txn.b)]%[var(txn.u)]%[var(txn.m)]%[var(txn.n)]%[var(txn.e)]"
"#;

/// Runs the same on both, each with its own files, and compares what it says, line by line.
fn on_both(run: impl Fn(&Side, &str, &mut Vec<String>) -> Outcome) -> Outcome {
    let mut found = Vec::new();
    for which in BOTH {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        for (name, text) in FILES {
            std::fs::write(folder.path().join(name), text)?;
        }
        let dir = folder.path().to_string_lossy().into_owned();
        let side = Side::start_in(which, TEXT, folder)?;
        wait_until_lists_are_known(|| side.command("show map"))?;
        let mut said = Vec::new();
        run(&side, &dir, &mut said)?;
        found.push(
            said.iter()
                .map(|text| plain(text, &dir))
                .collect::<Vec<_>>(),
        );
    }
    let mut differences = Differences::default();
    differences.compare("how many", found[0].len(), found[1].len());
    for (theirs, ours) in found[0].iter().zip(&found[1]) {
        differences.compare("said", theirs, ours);
    }
    differences.none()
}

/// The socket may answer before the worker is there.
fn wait_until_lists_are_known(ask: impl Fn() -> Outcome<String>) -> Outcome {
    tandem_tests::wait::wait_for(
        "the lists",
        std::time::Duration::from_secs(10),
        || match ask() {
            Ok(answer) if answer.starts_with("# id") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
}

/// Without what differs from side to side: references, folders, lists of haproxy's own.
fn plain(text: &str, dir: &str) -> String {
    let mut lines = Vec::new();
    for line in text.replace(dir, "DIR").lines() {
        if line.contains("httpclient") {
            continue;
        }
        match line
            .strip_prefix("0x")
            .and_then(|rest| rest.split_once(' '))
        {
            Some((_, rest)) => lines.push(format!("0x {rest}")),
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

fn ask(side: &Side, said: &mut Vec<String>, command: &str) -> Outcome {
    let answer = side.command(command)?;
    said.push(format!("{command}\n{answer}"));
    Ok(())
}

fn get(side: &Side, said: &mut Vec<String>, path: &str, headers: &[&str]) -> Outcome {
    let answer = side.get(path, headers)?;
    let body = answer.body.clone();
    said.push(format!("{path} {headers:?}: {body}"));
    Ok(())
}

#[test]
fn requests_find_what_haproxy_finds() -> Outcome {
    on_both(|side, _, said| {
        for path in [
            "/a",
            "/A",
            "/ab",
            "/abc",
            "/abd",
            "/abcd",
            "/zab",
            "/b",
            "/bcd",
            "/c",
            "/zz",
            "/x",
            "/y",
            "/w",
            "/FOO",
            "/extra",
            "/rest",
            "/rx",
            "/case",
            "/CASE",
            "/img/a/b",
            "/x/img/z",
            "/a/b/",
            "/q.pNG",
            "/RExx",
            "/12",
            "/1234567890",
            "/B",
            "/AB",
        ] {
            get(side, said, path, &[])?;
        }
        for ip in [
            "10.1.2.3",
            "10.9.0.4",
            "192.168.4.5",
            "::ffff:10.2.3.4",
            "::1",
            "11.1.1.1",
            "::ffff:11.1.1.1",
            "12.9.0.1",
            "12.9.1.1",
            "2001:db8::5",
            "2001:db9::5",
            "nothing",
        ] {
            get(side, said, "/", &[&format!("ip: {ip}")])?;
        }
        for number in ["3", "6", "6x", "99", "100", "-5", "0", "x"] {
            get(side, said, "/", &[&format!("n: {number}")])?;
        }
        for host in [
            "www.example.com",
            "example.org",
            "a.com",
            "example.com:80",
            "xexample.com",
        ] {
            get(side, said, "/", &[&format!("h: {host}")])?;
        }
        for key in ["k1", "k2", "k3"] {
            get(side, said, "/", &[&format!("k: {key}")])?;
        }
        Ok(())
    })
}

#[test]
fn the_socket_tells_of_lists_as_haproxy_does() -> Outcome {
    on_both(|side, dir, said| {
        let mut ask = |command: &str| ask(side, said, &command.replace("DIR", dir));
        for command in [
            "show map",
            "show acl",
            "show map DIR/m.map",
            "show map DIR/int.map",
            "show map DIR/reg.map",
            "show map #0",
            "show map #99",
            "show map nope",
            "show map @1",
            "show map @7 DIR/m.map",
            "show acl nope",
            "show acl DIR/a.lst",
            "show acl DIR/m.map",
            "show acl #0",
            "show acl #1",
            "show acl #2",
            "show acl #7",
            "show acl #77",
            "show acl DIR/ip.map",
            "clear map #77",
            "show acl #77",
            "get map DIR/m.map /a",
            "get map DIR/m.map /bcd",
            "get map DIR/m.map",
            "get map",
            "get map nope x",
            "get acl nope x",
            "get acl",
            "get map DIR/ip.map 10.1.2.3",
            "get map DIR/ip.map xx",
            "get map DIR/int.map 3",
            "get map DIR/reg.map /rx",
            "get map DIR/str_int.map k1",
            "get map DIR/str_ip.map k1",
            "get map DIR/str_ip.map k2",
            "get map DIR/sub.map /ab",
            "get map DIR/dom.map www.example.com",
            "get map DIR/dir.map /img/a/b",
            "get acl DIR/a.lst /x",
            "get acl #77 /extra",
            "get acl #1 /FOOx",
            "get acl DIR/m.map /a",
        ] {
            ask(command)?;
        }
        Ok(())
    })
}

#[test]
fn lists_change_as_haproxy_changes_them() -> Outcome {
    on_both(|side, dir, said| {
        for command in [
            "add map DIR/m.map /new value",
            "add map DIR/m.map /new",
            "add map",
            "add map DIR/m.map",
            "add map nope /a b",
            "add map DIR/m.map /sp a b c",
            "add acl DIR/a.lst /q",
            "add acl DIR/a.lst",
            "add acl",
            "add acl DIR/m.map /z",
            "add acl nope /x",
            "add acl DIR/a.lst /q r",
            "show map DIR/m.map",
            "show acl DIR/a.lst",
            "add map DIR/ip.map xx v",
            "add map DIR/int.map zz v",
            "add acl DIR/ip.lst zz",
            "add map DIR/str_int.map kk zz",
            "add map DIR/str_ip.map kk zz",
            "show map DIR/ip.map",
            "del map DIR/m.map /a",
            "del map DIR/m.map /nokey",
            "del map DIR/m.map",
            "del map",
            "del map nope /a",
            "del map DIR/m.map #0x1234",
            "del map DIR/m.map #zz",
            "del acl DIR/a.lst /q",
            "del acl DIR/a.lst /q",
            "del acl nope x",
            "del acl DIR/m.map /c",
            "show map DIR/m.map",
            "set map DIR/m.map /b new value",
            "set map DIR/m.map /nokey v",
            "set map DIR/m.map /b",
            "set map DIR/m.map",
            "set map",
            "set map nope /b v",
            "show map DIR/m.map",
            "prepare map DIR/m.map",
            "prepare map",
            "prepare map nope",
            "prepare acl DIR/a.lst",
            "add map @1 DIR/m.map /v1 one",
            "show map @1 DIR/m.map",
            "show map DIR/m.map",
            "commit map @9 DIR/m.map",
            "commit map DIR/m.map",
            "commit map @1 nope",
            "commit map @1",
            "commit map",
            "commit map @1 DIR/m.map",
            "commit map @1 DIR/m.map",
            "show map DIR/m.map",
            "get map DIR/m.map /v1",
            "prepare map DIR/m.map",
            "prepare map DIR/m.map",
            "add map @2 DIR/m.map /two 2",
            "add map @3 DIR/m.map /three 3",
            "commit map @3 DIR/m.map",
            "show map @2 DIR/m.map",
            "commit map @2 DIR/m.map",
            "show map DIR/m.map",
            "commit acl @1 DIR/a.lst",
            "show acl DIR/a.lst",
            "clear map",
            "clear map nope",
            "clear map DIR/m.map",
            "show map DIR/m.map",
            "clear acl",
            "clear acl nope",
            "clear acl DIR/ip.lst",
            "show acl DIR/ip.lst",
            "add map DIR/m.map <<\n/p1 v1 x y\n/p2   v2  \n",
            "show map DIR/m.map",
            "add map DIR/m.map <<\n/p3 v\n/p4\n",
            "show map DIR/m.map",
            "add map DIR/ip.map <<\n1.2.3.4 a\nxx b\n1.2.3.5 c\n",
            "show map DIR/ip.map",
            "add acl DIR/a.lst <<\n/p1\n",
            "add map DIR/int.map 45 a\\ b",
            "show map DIR/int.map; show map DIR/sub.map",
        ] {
            ask(side, said, &command.replace("DIR", dir))?;
        }
        get(side, said, "/p1", &[])?;
        get(side, said, "/v1", &[])
    })
}

#[test]
fn requests_change_lists_as_haproxy_does() -> Outcome {
    on_both(|side, dir, said| {
        get(side, said, "/setme", &["x-set: 1", "x-v: hello"])?;
        get(side, said, "/setme", &[])?;
        get(side, said, "/a", &["x-set: 1", "x-v: hello2"])?;
        get(side, said, "/a", &[])?;
        get(side, said, "/a", &["x-del: 1"])?;
        get(side, said, "/a", &[])?;
        get(side, said, "/added", &["x-add: 1"])?;
        get(side, said, "/added", &["x-add: 1"])?;
        get(side, said, "/added2", &["x-add: 1"])?;
        get(side, said, "/added", &["x-rm: 1"])?;
        ask(side, said, &format!("show acl {dir}/a.lst"))?;
        ask(side, said, &format!("show map {dir}/m.map"))
    })
}

/// The manual says that at the level `user` no change is allowed; haproxy 2.6 lets such a socket change maps, we do not.
#[test]
fn a_user_may_look_but_not_change() -> Outcome {
    let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
    std::fs::write(folder.path().join("m.map"), "/a one\n")?;
    let path = folder.path().join("m.map").to_string_lossy().into_owned();
    let text = "global: stats socket {dir}/user level user\nfrontend f\n bind {in}\n \
        http-request return status 200 content-type text/plain lf-string %[path,map({dir}/m.map,-)]\n";
    let socket = folder.path().join("user");
    let _side = Side::start_in(tandem_tests::beside::Which::Tandem, text, folder)?;
    let ask = |command: &str| -> Outcome<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    wait_until_lists_are_known(|| ask("show map"))?;
    let shown = ask(&format!("show map {path}"))?;
    if !shown.contains(" /a one\n") {
        return Err(Failure::new(format!("a user sees {shown}")));
    }
    for command in [
        "add map PATH /b two",
        "set map PATH /a two",
        "del map PATH /a",
        "clear map PATH",
        "prepare map PATH",
    ] {
        let answer = ask(&command.replace("PATH", &path))?;
        if answer != "Permission denied\n\n" {
            return Err(Failure::new(format!("{command}: {answer}")));
        }
    }
    match ask(&format!("show map {path}"))? == shown {
        true => Ok(()),
        false => Err(Failure::new("a user changed the map")),
    }
}
