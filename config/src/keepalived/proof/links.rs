//! Sync groups of both nodes whose links elect different nodes, while all is well.
//!
//! A group moves as a whole: who is master of it stays it. Where both nodes take over at once, the link with the lowest
//! virtual router id decides.

use std::net::IpAddr;

use super::super::model::{KeepalivedConfig, VrrpInstance};
use super::alone::{place, pointless};
use super::election::{Candidate, Standing, outranks};
use super::pair::{PairProof, Side};
use super::table::{Holder, Scenario};
use super::tracked::Program;

/// Two instances that hear each other.
pub(super) struct Link {
    /// Their positions: in the first configuration and in the second.
    pub(super) at: [usize; 2],
    /// How they take part.
    pub(super) candidates: [Candidate; 2],
}

/// Whom a link elects: the first node or the second.
struct Vote<'a> {
    members: [&'a VrrpInstance; 2],
    /// None: equal priorities, and the addresses are not known.
    winner: Option<usize>,
    priorities: [u8; 2],
    addresses: [Option<IpAddr>; 2],
}

impl Vote<'_> {
    /// `'VI_1' elects lb1 (priority 150 against 100)`.
    fn told(&self, labels: [&str; 2]) -> Option<String> {
        let winner = self.winner?;
        let loser = 1 - winner;
        let why = match (self.addresses[winner], self.addresses[loser]) {
            _ if !self.is_tied() => format!(
                "priority {} against {}",
                self.priorities[winner], self.priorities[loser]
            ),
            (Some(higher), Some(lower)) => format!(
                "priority {} on both, and {higher} is the higher address than {lower}",
                self.priorities[winner]
            ),
            _ => return None,
        };
        let name = self.members[0].name.as_str();
        Some(format!("'{name}' elects {} ({why})", labels[winner]))
    }

    fn is_tied(&self) -> bool {
        self.priorities[0] == self.priorities[1]
    }

    /// `'VI_1' a.conf:12 and b.conf:13`: where what elects is written.
    fn places(&self, sides: [Side<'_>; 2]) -> String {
        let [own, peer] = [0, 1].map(|side| {
            let instance = self.members[side];
            let source = ["unicast_src_ip", "mcast_src_ip"]
                .into_iter()
                .find(|keyword| instance.places.find(keyword).is_some());
            let span = match self.is_tied() {
                true => place(instance, source.unwrap_or("interface")),
                false => place(instance, "priority"),
            };
            format!("{}:{}", sides[side].sources.name(span.file), span.line)
        });
        format!("'{}' {own} and {peer}", self.members[0].name.as_str())
    }
}

/// Warns of groups that both nodes have and whose links elect different nodes.
pub(super) fn crossed(sides: [Side<'_>; 2], links: &[Link], proof: &mut PairProof) {
    let [own, peer] = sides;
    let labels = [own.label, peer.label];
    for group in &own.config.sync_groups {
        for other in &peer.config.sync_groups {
            let shared = links.iter().filter(|link| {
                group.members.contains(&link.at[0]) && other.members.contains(&link.at[1])
            });
            let votes: Vec<Vote<'_>> = shared.filter_map(|link| vote(sides, link)).collect();
            let elects = |node| votes.iter().any(|vote| vote.winner == Some(node));
            if !elects(0) || !elects(1) {
                continue;
            }
            let rank = |vote: &&Vote<'_>| {
                let member = vote.members[0];
                (member.virtual_router_id, member.is_ipv6())
            };
            let Some(decides) = votes.iter().min_by_key(rank) else {
                continue;
            };
            let told: Vec<String> = votes.iter().filter_map(|vote| vote.told(labels)).collect();
            let end = match (peer.program, decides.winner) {
                (Program::Keepalived, _) => format!(
                    "{} runs keepalived, which lets no link decide: either may become master of the whole group",
                    peer.label
                ),
                (Program::Tandem, winner) => format!(
                    "'{}' decides, which has the lowest virtual_router_id ({}), and {} becomes master of the whole group",
                    decides.members[0].name.as_str(),
                    decides.members[0].virtual_router_id,
                    winner.map_or("the node with the higher address", |node| labels[node])
                ),
            };
            let followers = votes
                .iter()
                .filter(|vote| vote.members[0].name != decides.members[0].name)
                .map(|vote| vote.members[0].name.as_str());
            let because = match peer.program {
                Program::Keepalived => format!(
                    "its sync group '{}' moves as a whole, and no link decides: see the warning",
                    group.name.as_str()
                ),
                Program::Tandem => format!(
                    "'{}' decides for sync group '{}': its table holds",
                    decides.members[0].name.as_str(),
                    group.name.as_str()
                ),
            };
            for name in followers {
                follow(
                    &mut proof.scenarios,
                    name,
                    peer.program,
                    decides.winner,
                    &because,
                );
            }
            let message = format!(
                "the links of vrrp_sync_group '{}' elect different nodes: {}. Whoever is master of the group stays it; \
                 when both take over at once, {end}",
                group.name.as_str(),
                told.join(", ")
            );
            let known = votes.iter().filter(|vote| vote.winner.is_some());
            let places: Vec<String> = known.map(|vote| vote.places(sides)).collect();
            let group_there = other.name.span;
            let help = format!(
                "let one node have the higher priority on all links: {}; the other side's group is {}:{}",
                places.join(", "),
                peer.sources.name(group_there.file),
                group_there.line
            );
            proof
                .own
                .push(pointless(group.name.span, message).with_help(help));
        }
    }
}

/// Has an instance's table say what the group does: what its own link alone would elect does not happen.
fn follow(
    scenarios: &mut Vec<Scenario>,
    name: &str,
    program: Program,
    winner: Option<usize>,
    because: &str,
) {
    let mut is_first = true;
    scenarios.retain_mut(|scenario| {
        if scenario.name != name {
            return true;
        }
        because.clone_into(&mut scenario.because);
        if program == Program::Tandem {
            scenario.rows.clear();
            if let Some(node) = winner {
                scenario.holder = Holder::Node(node);
            }
            return std::mem::take(&mut is_first);
        }
        true
    });
}

/// None if one of them takes no part.
fn vote<'a>(sides: [Side<'a>; 2], link: &Link) -> Option<Vote<'a>> {
    let [own, peer] = sides;
    let members = [
        own.config.instances.get(link.at[0])?,
        peer.config.instances.get(link.at[1])?,
    ];
    let (Standing::Runs(first), Standing::Runs(second)) =
        (link.candidates[0].well(), link.candidates[1].well())
    else {
        return None;
    };
    let addresses = [link.candidates[0].source, link.candidates[1].source];
    let wins = outranks((first, addresses[0]), (second, addresses[1]));
    Some(Vote {
        members,
        winner: wins.map(|first| usize::from(!first)),
        priorities: [first, second],
        addresses,
    })
}

/// The other members of an instance's sync group.
pub(super) fn companions(config: &KeepalivedConfig, at: usize) -> Vec<usize> {
    let mut groups = config.sync_groups.iter();
    let group = groups.find(|group| group.members.contains(&at));
    let members = group.map_or(&[][..], |group| &group.members);
    members
        .iter()
        .copied()
        .filter(|other| *other != at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::prove_pair;
    use super::*;
    use crate::{Input, Loaded, load_as};

    const GROUP: &str = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n";

    /// `a.conf` or `b.conf`: what each member says at lines 4 and 10.
    fn node(name: &str, members: [&str; 2], group: &str) -> Loaded {
        // The second member has the lower virtual router id.
        let instance = |member: &str, id: u8, lines: &str| {
            format!(
                "vrrp_instance {member} {{\ninterface eth0\nvirtual_router_id {id}\n{lines}\n\
                 virtual_ipaddress {{ 10.0.{id}.100/24 }}\n}}\n"
            )
        };
        let text = instance("A", 52, members[0]) + &instance("B", 51, members[1]) + group;
        let loaded = load_as(&[Input::text(name, text)], &|_| None, "node");
        let told = loaded.diagnostics.render(&loaded.sources);
        assert!(!loaded.diagnostics.has_errors(), "{told}");
        loaded
    }

    /// What is proved of both.
    fn proof(own: &Loaded, peer: &Loaded, program: Program) -> PairProof {
        let side = [("lb1", own, Program::Tandem), ("lb2", peer, program)];
        let [own, peer] = side.map(|(label, loaded, program)| Side {
            label,
            config: loaded.keepalived.as_ref().expect("its language"),
            sources: &loaded.sources,
            host: None,
            program,
        });
        let proof = prove_pair(own, peer);
        assert!(proof.works());
        proof
    }

    /// The warnings of links that elect different nodes: line, message, help.
    fn proved(own: &Loaded, peer: &Loaded, program: Program) -> Vec<(u32, String, String)> {
        let found = proof(own, peer, program).own.0.into_iter();
        let found = found.filter(|one| one.message.contains("elect different nodes"));
        found
            .map(|one| {
                let line = one.span.map_or(0, |span| span.line);
                (line, one.message, one.help.unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn crossed_priorities_are_told_with_the_lines_of_both() {
        let own = node("a.conf", ["priority 150", "priority 100"], GROUP);
        let peer = node("b.conf", ["priority 90", "\npriority 140"], GROUP);
        let found = proved(&own, &peer, Program::Tandem);
        let [(line, message, help)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(*line, 13);
        assert_eq!(
            message,
            "the links of vrrp_sync_group 'G' elect different nodes: 'A' elects lb1 (priority 150 against 90), \
             'B' elects lb2 (priority 140 against 100). Whoever is master of the group stays it; when both take over \
             at once, 'B' decides, which has the lowest virtual_router_id (51), and lb2 becomes master of the whole group"
        );
        assert_eq!(
            help,
            "let one node have the higher priority on all links: 'A' a.conf:4 and b.conf:4, 'B' a.conf:10 and \
             b.conf:11; the other side's group is b.conf:14"
        );
        let found = proved(&own, &peer, Program::Keepalived);
        assert!(found[0].1.ends_with(
            "lb2 runs keepalived, which lets no link decide: either may become master of the whole group"
        ));
    }

    #[test]
    fn the_table_of_a_member_that_does_not_decide_says_what_the_group_does() {
        let own = node("a.conf", ["priority 150", "priority 100"], GROUP);
        let peer = node("b.conf", ["priority 90", "priority 140"], GROUP);
        let proved = proof(&own, &peer, Program::Tandem);
        let [a, b] = &proved.scenarios[..] else {
            panic!("{:?}", proved.scenarios);
        };
        assert_eq!((a.holder, b.holder), (Holder::Node(1), Holder::Node(1)));
        assert_eq!(a.because, "'B' decides for sync group 'G': its table holds");
        assert_eq!(b.because, "");
        assert!(a.rows.is_empty() && !b.rows.is_empty());
        let beside_keepalived = proof(&own, &peer, Program::Keepalived);
        let [a, _] = &beside_keepalived.scenarios[..] else {
            panic!("{:?}", beside_keepalived.scenarios);
        };
        assert_eq!(
            a.because,
            "its sync group 'G' moves as a whole, and no link decides: see the warning"
        );
        assert!(!a.rows.is_empty());
    }

    #[test]
    fn crossed_addresses_count_where_the_priorities_are_equal() {
        let own = ["mcast_src_ip 10.0.0.2", "mcast_src_ip 10.0.0.2"];
        let peer = ["mcast_src_ip 10.0.0.1", "mcast_src_ip 10.0.0.3"];
        let (own, peer) = (node("a.conf", own, GROUP), node("b.conf", peer, GROUP));
        let found = proved(&own, &peer, Program::Tandem);
        let [(_, message, help)] = &found[..] else {
            panic!("{found:?}");
        };
        for expected in [
            "'A' elects lb1 (priority 100 on both, and 10.0.0.2 is the higher address than 10.0.0.1)",
            "'B' elects lb2 (priority 100 on both, and 10.0.0.3 is the higher address than 10.0.0.2)",
            "'B' decides, which has the lowest virtual_router_id (51), and lb2 becomes master of the whole group",
        ] {
            assert!(message.contains(expected), "{message}");
        }
        assert!(
            help.contains("'A' a.conf:4 and b.conf:4, 'B' a.conf:10 and b.conf:10"),
            "{help}"
        );
    }

    #[test]
    fn links_that_agree_are_not_told_nor_those_of_one_node_s_group() {
        let none = |own: [&str; 2], peer: [&str; 2], groups: [&str; 2]| {
            let (own, peer) = (node("a", own, groups[0]), node("b", peer, groups[1]));
            assert_eq!(proved(&own, &peer, Program::Tandem), []);
        };
        let both = [GROUP, GROUP];
        let equal = ["priority 100", "priority 100"];
        none(["priority 150", "priority 110"], equal, both);
        // Whose addresses are not known may agree.
        none(["priority 150", "priority 100"], equal, both);
        none(
            ["mcast_src_ip 10.0.0.2"; 2],
            ["mcast_src_ip 10.0.0.1"; 2],
            both,
        );
        let crossed = ["priority 150", "priority 50"];
        none(crossed, equal, [GROUP, ""]);
        none(crossed, equal, ["", GROUP]);
        none(crossed, equal, ["", ""]);
    }
}
