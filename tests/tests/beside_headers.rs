//! What the server gets: the head of each request, haproxy's and ours side by side, but for order and case.

use tandem_tests::beside::{BOTH, Differences, Side, Which};
use tandem_tests::{Origin, Outcome, ensure, http, require};

/// Lines of the frontend, of the backend (the server's line is the last), and requests on one connection each.
struct Case {
    front: &'static str,
    back: &'static str,
    server: &'static str,
    requests: Vec<&'static str>,
    /// The headers that the origin adds to its answer.
    answer: &'static str,
}

fn case(front: &'static str, back: &'static str, requests: &[&'static str]) -> Case {
    Case {
        front,
        back,
        server: "",
        requests: requests.to_vec(),
        answer: "",
    }
}

fn cookie(back: &'static str, answer: &'static str, requests: &[&'static str]) -> Case {
    Case {
        front: "",
        back,
        server: " cookie c1",
        requests: requests.to_vec(),
        answer,
    }
}

const PLAIN: &str =
    "GET /p?q=1 HTTP/1.1\r\nHost: example.org\r\nX-A: 1\r\nconnection: close\r\n\r\n";

fn cases() -> Vec<Case> {
    let forwarded =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nconnection: close\r\n\r\n";
    let mut list = vec![
        case("", "", &[PLAIN]),
        case(" option forwardfor\n", "", &[PLAIN, forwarded]),
        case(
            " option forwardfor except 127.0.0.0/8\n",
            "",
            &[PLAIN, forwarded],
        ),
        case(
            " option forwardfor except 10.0.0.0/8\n",
            "",
            &[PLAIN, forwarded],
        ),
        case(
            " option forwardfor header X-Client\n",
            "",
            &[PLAIN, forwarded],
        ),
        case(" option forwardfor if-none\n", "", &[PLAIN, forwarded]),
        case(
            " option forwardfor header X-Front\n",
            " option forwardfor header X-Back\n",
            &[PLAIN],
        ),
        case("", " option forwardfor if-none header X-Back\n", &[PLAIN]),
        case(
            " http-request set-header X-A 2\n http-request add-header X-A 3\n",
            "",
            &[PLAIN],
        ),
        case(" http-request del-header X-A\n", "", &[PLAIN]),
        case(" http-request set-header Host other.org\n", "", &[PLAIN]),
        case(
            " http-request set-header X-Src %[src]\n http-request set-header X-Path %[path]\n http-request set-header X-H %[req.hdr(host),lower]\n",
            "",
            &[PLAIN],
        ),
        case(
            " http-request set-header X-F %[ssl_fc]\n http-request add-header X-M %[method]\n http-request set-header X-D %[dst]\n",
            "",
            &[PLAIN],
        ),
        case(
            " http-request replace-header X-A (.*) <\\1>\n",
            "",
            &[PLAIN],
        ),
        case(
            " http-request replace-value X-A 1 one\n",
            "",
            &["GET / HTTP/1.1\r\nhost: a\r\nx-a: 1, 2, 1\r\nconnection: close\r\n\r\n"],
        ),
        case(" http-request set-path /new%[path]\n", "", &[PLAIN]),
        case(" http-request set-query a=b\n", "", &[PLAIN]),
        case(" http-request set-uri /whole?x\n", "", &[PLAIN]),
        case(" http-request set-method POST\n", "", &[PLAIN]),
        case(" http-request replace-path /p(.*) /r\\1\n", "", &[PLAIN]),
        case(
            " acl local src 127.0.0.1\n http-request set-header X-L yes if local\n http-request set-header X-N yes unless local\n",
            "",
            &[PLAIN],
        ),
        case(
            "",
            "",
            &[
                "GET / HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
            ],
        ),
        case(
            "",
            "",
            &["POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc"],
        ),
        case(
            "",
            "",
            &[
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ],
        ),
        case(
            "",
            "",
            &[
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
                "PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
                "DELETE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            ],
        ),
        case(
            "",
            "",
            &[
                "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
                "GET http://b.org/x HTTP/1.1\r\nhost: b.org\r\nconnection: close\r\n\r\n",
            ],
        ),
        case("", " option http-server-close\n", &[PLAIN]),
        case(
            "",
            "",
            &[
                "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\ncookie: b=2\r\naccept: x\r\naccept: y\r\nempty:\r\nspaced:    v   \r\nconnection: close\r\n\r\n",
            ],
        ),
    ];
    let get = |cookies: &'static [&'static str]| cookies.to_vec();
    let asks = get(&[
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: SRV=c1\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=b; SRV=c1; d=e\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: SRV=gone; d=e\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: SRV=c1~own; d=e\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: \r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: SRVX=1;SRV=c1\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\ncookie: SRV=c1\r\nconnection: close\r\n\r\n",
    ]);
    for back in [
        " cookie SRV insert\n",
        " cookie SRV insert indirect\n",
        " cookie SRV insert indirect nocache\n",
        " cookie SRV insert indirect nocache httponly secure\n",
        " cookie SRV insert indirect domain .a.org domain .b.org\n",
        " cookie SRV insert postonly\n",
        " cookie SRV insert indirect preserve\n",
        " cookie SRV insert nocache attr \"SameSite=None\"\n",
        " cookie SRV prefix\n",
        " cookie SRV prefix nocache\n",
        " cookie SRV rewrite\n",
        " cookie SRV\n",
    ] {
        for answer in [
            "",
            "Set-Cookie: SRV=app; path=/\r\n",
            "Set-Cookie: SRV=; path=/\r\nSet-Cookie: other=1\r\nCache-Control: private\r\n",
        ] {
            list.push(cookie(back, answer, &asks));
        }
    }
    list
}

/// A head in one order and one case, without what names a side's port.
fn plain(head: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let mut rest: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            format!("{}: {}", name.to_lowercase(), value.replace(' ', ""))
        })
        // Ours alone: a method that usually has a body says that it has none (RFC 9110 8.6).
        .filter(|line| line != "content-length: 0")
        .collect();
    rest.sort();
    format!("{first} {rest:?}")
}

/// What concerns one connection alone is not passed on (RFC 9110 7.6.1); haproxy passes all but `close` on.
#[test]
fn headers_of_one_connection_end_here() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let port = origin.port();
    let side = Side::start(
        Which::Tandem,
        &format!("listen l\n bind {{in}}\n server s1 127.0.0.1:{port}\n"),
    )?;
    side.exchange(
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers\r\n\r\n",
    )?;
    let heads: Vec<String> = origin
        .requests()
        .iter()
        .map(|one| plain(&one.text()))
        .collect();
    ensure!(
        heads == ["GET / HTTP/1.1 [\"host: a\", \"te: trailers\"]"],
        "{heads:?}"
    );
    Ok(())
}

#[test]
fn the_server_and_the_client_get_the_same_heads() -> Outcome {
    require!("haproxy", "tandemd");
    let cases = cases();
    let origin = Origin::on_loopback("o")?;
    let mut text = String::from(" timeout client 700ms\n");
    // One frontend for each case: what is in it must not meet another case's lines.
    let ports = (0..cases.len())
        .map(|_| tandem_tests::beside::free_port())
        .collect::<Outcome<Vec<_>>>()?;
    for (number, (case, port)) in cases.iter().zip(&ports).enumerate() {
        text.push_str(&format!(
            "frontend f{number}\n bind 127.0.0.1:{port}\n{} default_backend b{number}\nbackend b{number}\n{} server s1 127.0.0.1:{}{}\n",
            case.front,
            case.back,
            origin.port(),
            case.server
        ));
    }
    let mut seen = Vec::new();
    for which in BOTH {
        // One after the other, as both bind the same ports.
        let side = Side::start(which, &text)?;
        let mut of_side = Vec::new();
        for (case, port) in cases.iter().zip(&ports) {
            origin.set(tandem_tests::origin::Answer::Raw(
                format!(
                    "HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\nX-Server: o\r\n\r\nok",
                    case.answer
                )
                .into_bytes(),
            ));
            let mut of_case = Vec::new();
            for request in &case.requests {
                origin.forget();
                let mut stream = tandem_tests::beside::connect(([127, 0, 0, 1], *port).into())?;
                std::io::Write::write_all(&mut stream, request.as_bytes())?;
                let got = tandem_tests::beside::read_all(&mut stream);
                let answer = http::Answer::parse(&got);
                let mut headers = answer.map(|answer| answer.headers).unwrap_or_default();
                headers.sort();
                let heads: Vec<String> = origin
                    .requests()
                    .iter()
                    .map(|request| plain(&request.text()) + &String::from_utf8_lossy(&request.body))
                    .collect();
                of_case.push((heads, headers));
            }
            of_side.push(of_case);
        }
        drop(side);
        seen.push(of_side);
    }
    let mut differences = Differences::default();
    for (number, case) in cases.iter().enumerate() {
        for (at, request) in case.requests.iter().enumerate() {
            let (theirs, ours) = (&seen[0][number][at], &seen[1][number][at]);
            let what = format!("{}{}{} {request:?}", case.front, case.back, case.answer);
            differences.compare(&format!("{what}: to the server"), &theirs.0, &ours.0);
            differences.compare(&format!("{what}: to the client"), &theirs.1, &ours.1);
        }
    }
    differences.none()
}
