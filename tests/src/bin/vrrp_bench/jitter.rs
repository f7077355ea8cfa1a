//! How regular a master's advertisements are while the proxy beside it is saturated.

use std::time::Duration;

use tandem_tests::{Lab, Nginx, Node, NodeFiles, NodeKind, Outcome, article, wait_until};

use crate::figures::{Report, ms, quantile};
use crate::nodes::{Pace, VIP, file, wait_master};
use crate::wire::{What, Wire};

/// The bar, in milliseconds.
const LIMIT_MS: f64 = 10.0;
/// Connections of the load generator.
const CONNECTIONS: &str = "-c64";

/// Advertisements of an idle node, then of a saturated one.
pub(crate) fn all(report: &mut Report, pace: Pace, window: Duration) -> Outcome {
    println!("\nadvertisements beside a saturated proxy, {}", pace.name());
    let lab = Lab::start()?;
    let _webs = [Nginx::start(&lab, "web1")?, Nginx::start(&lab, "web2")?];
    let haproxy = article::haproxy().replace("option httplog\n", "");
    let files = NodeFiles::pair(haproxy, file(pace, 100, 1));
    let _node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    let wire = Wire::start(lab.host("client"), None)?;
    wait_master(&wire, 0, pace)?;
    wire.forget();
    std::thread::sleep(window / 4);
    let idle = deviations(&wire, pace);
    let seconds = format!("-d{}s", window.as_secs() + 2);
    let url = format!("http://{VIP}/");
    let load = lab
        .host("a")
        .spawn("wrk", &["-t2", CONNECTIONS, &seconds, &url])?;
    std::thread::sleep(Duration::from_secs(1));
    wire.forget();
    std::thread::sleep(window);
    let busy = deviations(&wire, pace);
    let mut load = load;
    wait_until("the end of the load", Duration::from_secs(10), || {
        !load.is_running()
    })?;
    let said = load.log();
    let rate = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"))
        .and_then(|rest| rest.trim().parse::<f64>().ok());
    for (name, all) in [("idle", &idle), ("saturated", &busy)] {
        report.row(
            format!("{} advertisements of a node that is {name}", pace.name()),
            vec![
                ("adverts", all.len() as f64),
                ("median off by ms", quantile(all, 0.5)),
                ("p99", quantile(all, 0.99)),
                ("max", quantile(all, 1.0)),
            ],
        );
    }
    report.row(
        "requests answered beside them",
        vec![("per second", rate.unwrap_or_default())],
    );
    report.bar(
        format!("{} jitter under load, ms", pace.name()),
        quantile(&busy, 1.0),
        LIMIT_MS,
    );
    Ok(())
}

/// By how much the times between advertisements differ from the interval.
fn deviations(wire: &Wire, pace: Pace) -> Vec<f64> {
    let seen = wire.seen();
    let times: Vec<Duration> = seen
        .iter()
        .filter(|one| matches!(one.1, What::Advert { .. }))
        .map(|one| one.0)
        .collect();
    times
        .windows(2)
        .map(|two| ms((two[1] - two[0]).abs_diff(pace.interval)))
        .collect()
}
