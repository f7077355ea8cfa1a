//! The harness against the programs that Tandem replaces: the article's files on haproxy and keepalived. What holds here is
//! what the other scenarios then ask of `tandemd`.

use std::time::Duration;

use tandem_tests::scenario::{Mishap, Pair, SETTLE, requests_alternate, survives};
use tandem_tests::{NodeKind, Outcome, ensure, require};

#[test]
fn the_articles_pair_fails_over_and_back() -> Outcome {
    require!("root", "users", "haproxy", "keepalived", "killall", "nginx");
    let pair = Pair::start(NodeKind::Peer, NodeKind::Peer)?;
    requests_alternate(&pair)?;

    let outage = survives(&pair, Mishap::CutLink, Some("b"))?;
    // The backup cannot know before its timer ends; at least two intervals pass.
    ensure!(
        outage >= Duration::from_secs(2),
        "an outage of {outage:?} is too short to be true"
    );

    pair.lab.restore_link("a")?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}
