//! The statistics page, in a real browser and as scripts read it.

use std::time::Duration;

use tandem_tests::scenario::{NODE, Single};
use tandem_tests::wait::wait_for;
use tandem_tests::{NodeFiles, NodeKind, Outcome, article, browser, ensure, require};

fn files() -> NodeFiles {
    let page = "listen stats\nbind :8080\nstats uri /haproxy?stats\nstats realm Statistics\nstats auth admin:secret\nstats refresh 5s\nstats admin if TRUE\n";
    NodeFiles::proxy(format!("{}{page}", article::haproxy()))
}

const URL: &str = "http://10.230.137.1:8080/haproxy?stats";

fn as_admin(setup: &Single, arguments: &[&str]) -> Outcome<tandem_tests::http::Answer> {
    setup.ask(1, &[&["--user", "admin:secret"], arguments].concat())
}

fn the_page_is_protected_read_and_used(kind: NodeKind) -> Outcome {
    let setup = Single::start(kind, files())?;
    setup.get("/")?;
    let stranger = setup.ask(1, &[URL])?;
    ensure!(
        stranger.status == 401,
        "a stranger gets {}",
        stranger.status
    );
    ensure!(
        stranger
            .header("www-authenticate")
            .is_some_and(|value| value.contains("Statistics")),
        "{stranger:?}"
    );
    let page = as_admin(&setup, &[URL])?;
    ensure!(page.status == 200, "status {}", page.status);
    ensure!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        page.headers
    );
    ensure!(
        page.header("refresh") == Some("5"),
        "the refresh is {:?}",
        page.header("refresh")
    );
    ensure!(
        page.body.contains("<b>uptime = </b>"),
        "Zabbix's mark is missing"
    );
    let csv = as_admin(&setup, &[&format!("{URL};csv")])?;
    ensure!(csv.body.starts_with("# pxname,svname,"), "{}", csv.body);
    ensure!(csv.body.contains("nginx,web2,"), "{}", csv.body);
    // The form of the page: take web1 out.
    let backend = csv
        .body
        .lines()
        .find(|line| line.starts_with("nginx,BACKEND,"))
        .and_then(|line| line.split(',').nth(27));
    let form = format!("s=web1&action=maint&b=%23{}", backend.unwrap_or_default());
    let posted = as_admin(&setup, &["--data", &form, URL])?;
    ensure!(posted.status == 303, "the form gives {}", posted.status);
    ensure!(
        posted
            .header("location")
            .is_some_and(|to| to.contains(";st=DONE")),
        "{:?}",
        posted.headers
    );
    wait_for("MAINT on the page", Duration::from_secs(5), || {
        let csv = as_admin(&setup, &[&format!("{URL};csv")]).map_err(|error| error.to_string())?;
        let line = csv
            .body
            .lines()
            .find(|line| line.starts_with("nginx,web1,"))
            .unwrap_or_default()
            .to_owned();
        if line.contains(",MAINT,") {
            Ok(())
        } else {
            Err(line)
        }
    })?;
    // In the address's user part, as a person would type it.
    let url = format!("http://admin:secret@{NODE}:8080/haproxy?stats");
    let dom = browser::dump_dom(setup.lab.host("client"), setup.lab.folder(), &url)?;
    for text in ["nginx", "web1", "web2", "Statistics Report", "MAINT"] {
        ensure!(
            dom.contains(text),
            "the browser's page lacks {text:?}:\n{dom}"
        );
    }
    let picture = browser::screenshot(setup.lab.host("client"), setup.lab.folder(), &url)?;
    let bytes = std::fs::metadata(&picture)?.len();
    ensure!(
        bytes > 20_000,
        "the picture has {bytes} bytes: a blank page?"
    );
    if let Some(folder) = std::env::var_os("TANDEM_PICTURES") {
        std::fs::copy(
            picture,
            std::path::Path::new(&folder).join(format!("stats-{kind:?}.png")),
        )?;
    }
    Ok(())
}

#[test]
fn tandem() -> Outcome {
    require!("root", "users", "tandemd", "nginx", "curl", "chromium");
    the_page_is_protected_read_and_used(NodeKind::Tandem)
}

#[test]
fn peer() -> Outcome {
    require!("root", "users", "haproxy", "nginx", "curl", "chromium");
    the_page_is_protected_read_and_used(NodeKind::Peer)
}
