//! Words of routes and rules that few write: what the kernel has of them is what keepalived gives it.

use crate::lab::{Lab, wait};
use crate::{ELECTION, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 1] = [(
    "rare_words_of_routes_and_rules_are_as_keepalived_sets_them",
    like_keepalived,
)];

/// What the kernel was not built for is refused to both. Words that keepalived ignores, or whose lines it leaves out, are
/// here too.
const LINES: &str = "virtual_routes {
  10.8.1.0/24 via 10.230.137.9 dev eth0 realms 5
  10.8.2.0/24 via 10.230.137.9 dev eth0 realms 3/5
  10.8.3.0/24 via 10.230.137.9 dev eth0 congctl cubic
  10.8.4.0/24 via 10.230.137.9 dev eth0 congctl lock cubic mtu lock 1300
  10.8.5.0/24 via 10.230.137.9 dev eth0 ttl-propagate enabled
  10.8.6.0/24 via 10.230.137.9 dev eth0 features ecn add
  10.8.7.0/24 nexthop via 10.230.137.9 dev eth0 realms 5 nexthop via 10.230.137.8 dev eth0 weight 2
  10.8.9.0/24 encap mpls 100/200 via 10.230.137.9 dev eth0
  10.8.10.0/24 encap ip id 5 dst 10.9.0.9 ttl 5 tos 4 dev eth0
  10.8.11.0/24 encap ip6 id 5 dst 2001:db8::9 dev eth0
  10.8.12.0/24 encap ip id 9 src 10.9.0.1 dst 10.9.0.9 dev eth0 mtu 1400
  10.8.14.0/24 via 10.230.137.9 dev eth0 as to 100
  10.8.17.0/24 dev eth0 features foo mtu 900
  10.8.18.0/24 dev eth0 from 10.9.0.0/24
  10.8.19.0/24 dev eth0 expires 100
  10.8.20.0/24 dev eth0 pref high
  10.8.21.0/24 nhid 5
  10.8.22.0/24 dev eth0 realms no-such-realm
  multicast 224.5.0.0/24 dev eth0
  2001:db8:8::/64 dev eth0 expires 1000
  2001:db8:9::/64 dev eth0 pref high
  2001:db8:a::/64 dev eth0 pref low
  2001:db8:b::/64 from 2001:db8:c::/64 dev eth0
 }
 virtual_rules {
  from 10.8.0.0/24 table 100 realms 5 preference 5
  from 10.8.0.0/24 table 100 realms 3/0x14 preference 6
  from 10.8.0.0/24 nat 1.2.3.4 preference 7
  from 10.8.0.0/24 map-to 1.2.3.4 preference 8
  from 10.8.0.0/24 type blackhole preference 9
  from 2001:db8:4::/64 table 100 realms 7 preference 10
  from 10.8.0.0/24 realms no-such-realm table 100 preference 11
 }";

/// Routes and rules with all details; a lifetime that runs down is told by its hundreds alone.
fn picture(lab: &Lab, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for what in [
        "-d route show table all proto keepalived",
        "-d -6 route show table all proto keepalived",
        "-d rule show",
        "-d -6 rule show",
    ] {
        for line in lab.ip(name, what).lines() {
            let words = line.split_whitespace().map(|word| {
                let left = word
                    .strip_suffix("sec")
                    .and_then(|left| left.parse::<u32>().ok());
                left.map_or(word.to_owned(), |left| {
                    format!("{}00sec", (left + 50) / 100)
                })
            });
            lines.push(words.collect::<Vec<_>>().join(" "));
        }
    }
    lines.sort();
    lines
}

fn like_keepalived() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let start = |name: &str| {
        let path = lab.folder.join(format!("{name}.routing.conf"));
        let text = format!(
            "vrrp_instance R1 {{\n state MASTER\n interface eth0\n virtual_router_id 50\n priority 255\n \
             virtual_ipaddress {{\n 10.230.137.100\n }}\n {LINES}\n}}\n"
        );
        std::fs::write(&path, text).expect("a file");
        path
    };
    let _b = lab.keepalived_with("b", &start("b"));
    // The last line that it adds.
    let done = |name: &str| {
        lab.ip(name, "rule show")
            .contains("9:\tfrom 10.8.0.0/24 blackhole")
    };
    wait("keepalived is master", ELECTION, || done("b"));
    let expected = picture(&lab, "b");
    for seen in [
        "realm 5",
        "realms 3/5",
        "congctl lock cubic",
        "encap ip id 5",
        "pref low",
    ] {
        if !expected.iter().any(|line| line.contains(seen)) {
            println!("  not proven: this kernel has no '{seen}'");
        }
    }
    let a = lab.ours("a", &format!("file={}", start("a").display()));
    wait("ours is master", ELECTION, || done("a"));
    assert_eq!(picture(&lab, "a"), expected, "{}", a.text());
    assert_eq!(a.stop(), Some(0));
    let left = lab.ip("a", "-d route show table all proto keepalived");
    assert_eq!(left, "", "all are removed");
    assert!(!lab.ip("a", "rule show").contains("keepalived"));
}
