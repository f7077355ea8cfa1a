//! The dashboard's model and screens, without a terminal and without nodes.

#[path = "support/mock.rs"]
mod mock;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use mock::MockNode;
use protocol::operation::{Level, Operation, ServerAdmin, WeightChange};
use protocol::vrrp::{Effect as Share, VrrpState};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tandem_client::app::{App, Effect, Event, Screen, update};
use tandem_client::link::LinkEvent;
use tandem_client::node::NodeAddress;
use tandem_client::problems::{self, ProblemKind, Severity};
use tandem_client::routers;
use tandem_client::view::{self, theme::Theme};

/// The moment at which all of this happens.
const NOW_MS: u64 = 1_795_399_389_000;

struct Pair {
    app: App,
    nodes: [MockNode; 2],
    now_ms: u64,
}

impl Pair {
    fn new() -> Self {
        let addresses = ["a=unix:/run/a.sock", "b=unix:/run/b.sock"]
            .map(|text| NodeAddress::parse(text).expect("an address"));
        let nodes = [
            mock::node("a", VrrpState::Master, NOW_MS),
            mock::node("b", VrrpState::Backup, NOW_MS),
        ];
        let mut pair = Self {
            app: App::new(&addresses, false),
            nodes,
            now_ms: NOW_MS,
        };
        pair.look();
        for place in 0..2 {
            pair.link(place, LinkEvent::Events(pair.nodes[place].events.clone()));
        }
        pair
    }

    fn link(&mut self, node: usize, event: LinkEvent) {
        assert_eq!(update(&mut self.app, Event::Link { node, event }), []);
    }

    /// Both nodes push a picture of now.
    fn look(&mut self) {
        update(
            &mut self.app,
            Event::Tick {
                now_ms: self.now_ms,
            },
        );
        for place in 0..2 {
            self.nodes[place].snapshot.at_ms = self.now_ms;
            self.link(
                place,
                LinkEvent::Connected {
                    level: Level::Admin,
                },
            );
            self.link(
                place,
                LinkEvent::Snapshot(Box::new(self.nodes[place].snapshot.clone())),
            );
        }
    }

    fn later(&mut self, milliseconds: u64) {
        self.now_ms += milliseconds;
    }

    fn press(&mut self, code: KeyCode) -> Vec<Effect> {
        update(
            &mut self.app,
            Event::Key(KeyEvent::new(code, KeyModifiers::NONE)),
        )
    }

    fn types(&mut self, text: &str) -> Vec<Effect> {
        text.chars()
            .flat_map(|letter| self.press(KeyCode::Char(letter)))
            .collect()
    }

    fn screen(&self, width: u16, height: u16) -> String {
        self.screen_with(width, height, true)
    }

    fn screen_with(&self, width: u16, height: u16, colours: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("no I/O");
        terminal
            .draw(|frame| view::draw(frame, &self.app, &Theme::new(colours)))
            .expect("no I/O");
        let buffer = terminal.backend().buffer();
        if !colours {
            let plain = ratatui::style::Color::Reset;
            assert!(
                buffer
                    .content()
                    .iter()
                    .all(|cell| cell.fg == plain && cell.bg == plain),
                "a colour in spite of NO_COLOR"
            );
        }
        (0..height)
            .map(|row| {
                (0..width)
                    .map(|column| buffer[(column, row)].symbol())
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
                    + "\n"
            })
            .collect()
    }

    fn shows(&self, texts: &[&str]) {
        for (width, height) in [(80, 24), (120, 40)] {
            let screen = self.screen(width, height);
            // What is broken between two lines is still shown.
            let flat = screen
                .replace(['│', '\n'], " ")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            for text in texts {
                assert!(
                    flat.contains(text),
                    "'{text}' is not on this {width}x{height} screen:\n{screen}"
                );
            }
        }
    }

    fn kinds(&self) -> Vec<ProblemKind> {
        problems::problems(&self.app.nodes)
            .iter()
            .map(|problem| problem.kind)
            .collect()
    }
}

#[test]
fn a_healthy_pair_is_all_clear_and_shows_who_holds_the_address() {
    let pair = Pair::new();
    assert_eq!(pair.kinds(), []);
    pair.shows(&[
        "All clear",
        "10.230.137.100/32 is on a",
        "a MASTER for 3m10s priority 100",
        "b BACKUP for 3m10s priority 98",
        "a up",
        "b up",
    ]);
}

#[test]
fn a_dead_server_is_told_with_its_reason_and_since_when() {
    let mut pair = Pair::new();
    pair.nodes
        .iter_mut()
        .for_each(|node| node.server_down("web2", NOW_MS));
    pair.look();
    let problems = problems::problems(&pair.app.nodes);
    assert_eq!(problems.len(), 1, "both nodes see the same: {problems:?}");
    assert_eq!(
        (problems[0].node().as_str(), problems[0].severity),
        ("a+b", Severity::Warning)
    );
    assert_eq!(problems[0].since_ms, Some(NOW_MS));
    pair.shows(&[
        "1 problem",
        "WARN",
        "a+b nginx/web2 DOWN",
        "Layer4 connection problem, Connection refused",
    ]);
}

#[test]
fn the_last_server_gone_is_critical() {
    let mut pair = Pair::new();
    pair.nodes[0].server_down("web1", NOW_MS);
    pair.nodes[0].server_down("web2", NOW_MS);
    pair.look();
    assert_eq!(
        pair.kinds(),
        [
            ProblemKind::BackendUnusable,
            ProblemKind::ServerDown,
            ProblemKind::ServerDown
        ]
    );
    pair.shows(&["CRIT", "nginx no usable server: every request gets 503"]);
}

#[test]
fn an_operators_drain_is_a_notice_not_a_problem() {
    let mut pair = Pair::new();
    let web1 = pair.nodes[0].server("web1");
    web1.admin = ServerAdmin::Drain;
    web1.admin_cause = protocol::snapshot::AdminCause::Operator;
    web1.status = "DRAIN".to_owned();
    web1.sessions.current = 7;
    pair.look();
    let problems = problems::problems(&pair.app.nodes);
    assert!(!problems::anything_wrong(&problems));
    pair.shows(&[
        "All clear, 1 notice",
        "nginx/web1 in drain, 7 sessions left: by an operator",
    ]);
}

#[test]
fn a_split_brain_is_shouted_on_every_screen_also_without_colours() {
    let mut pair = Pair::new();
    pair.nodes[1].instance().state = VrrpState::Master;
    pair.look();
    for screen in Screen::ALL {
        pair.app.screen = screen;
        pair.shows(&["!! R1: SPLIT BRAIN: 10.230.137.100/32 is on several nodes"]);
        assert!(pair.screen_with(80, 24, false).contains("SPLIT BRAIN"));
    }
}

#[test]
fn a_takeover_seen_between_two_pictures_is_no_split_brain() {
    let mut pair = Pair::new();
    let instance = pair.nodes[1].instance();
    instance.state = VrrpState::Master;
    instance.since_ms = NOW_MS - 100;
    instance.addresses_present = true;
    pair.look();
    assert_eq!(pair.kinds(), []);
    pair.shows(&["10.230.137.100/32 is on b"]);
    // The old one's word stays: then it is one.
    pair.later(routers::SETTLE_MS);
    pair.look();
    assert_eq!(pair.kinds(), [ProblemKind::VrrpSplitBrain]);
}

#[test]
fn an_address_that_nobody_holds_is_shouted_with_each_nodes_reason() {
    let mut pair = Pair::new();
    for node in &mut pair.nodes {
        let instance = node.instance();
        instance.state = VrrpState::Fault;
        instance.master = None;
        instance.shares[0].effect = Share::Fault;
        instance.shares[0].healthy = false;
        instance.shares[0].detail = "the worker is dead".to_owned();
    }
    pair.look();
    assert_eq!(
        pair.kinds(),
        [ProblemKind::VrrpNobodyMaster, ProblemKind::VrrpFault]
    );
    pair.shows(&[
        "!! R1: NOBODY holds 10.230.137.100/32",
        "is on NO node",
        "FAULT: script chk_haproxy: the worker is dead",
    ]);
}

#[test]
fn a_lost_node_says_since_when_and_why_and_the_other_goes_on() {
    let mut pair = Pair::new();
    pair.link(
        0,
        LinkEvent::Lost {
            why: "Connection refused".to_owned(),
        },
    );
    pair.later(65_000);
    update(
        &mut pair.app,
        Event::Tick {
            now_ms: pair.now_ms,
        },
    );
    pair.shows(&[
        "node a: not reachable since 02:03:09 (1m05s), Connection refused",
        "a LOST",
        "b up",
    ]);
    // b still hears it: the address is not gone, its node just does not answer us.
    assert_eq!(pair.kinds(), [ProblemKind::NodeUnreachable]);
    pair.shows(&["is on a (10.230.137.1; no answer here)"]);
    pair.look();
    assert_eq!(pair.kinds(), []);
}

#[test]
fn the_reason_of_a_loss_may_change_but_not_its_beginning() {
    let mut pair = Pair::new();
    pair.link(
        0,
        LinkEvent::Lost {
            why: "the node closed the connection".to_owned(),
        },
    );
    pair.later(9_000);
    update(
        &mut pair.app,
        Event::Tick {
            now_ms: pair.now_ms,
        },
    );
    pair.link(
        0,
        LinkEvent::Lost {
            why: "Connection refused".to_owned(),
        },
    );
    pair.shows(&["node a: not reachable since 02:03:09 (9s), Connection refused"]);
}

#[test]
fn a_drain_says_what_it_costs_and_asks_both_nodes_once_confirmed() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('2'));
    pair.press(KeyCode::Char('d'));
    pair.shows(&[
        "Drain nginx/web1 on a, b",
        "a: web1 serves 12 sessions and 17 req/s (50 % of backend nginx).",
        "a: 1 of 2 servers stays usable.",
        "New requests go to other servers, except clients that persistence holds here",
    ]);
    let effects = pair.press(KeyCode::Char('y'));
    let server = protocol::ServerName::parse("nginx/web1").expect("a name");
    let operation = Operation::ServerState {
        server,
        state: ServerAdmin::Drain,
    };
    assert_eq!(
        effects,
        [0, 1].map(|node| Effect::Ask {
            node,
            token: node as u64 + 1,
            operation: operation.clone()
        })
    );
    pair.link(
        0,
        LinkEvent::Answer {
            token: 1,
            result: Ok(String::new()),
        },
    );
    pair.link(
        1,
        LinkEvent::Answer {
            token: 2,
            result: Err("Permission denied".to_owned()),
        },
    );
    assert!(
        pair.screen(120, 40)
            .contains("Drain nginx/web1 on a, b: a done; b NOT DONE: Permission denied")
    );
}

#[test]
fn a_dialog_that_is_left_changes_nothing() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('2'));
    for leave in [KeyCode::Esc, KeyCode::Char('n')] {
        pair.press(KeyCode::Char('m'));
        assert!(pair.app.dialog.is_some());
        pair.shows(&["Sessions in progress are not cut"]);
        assert_eq!(pair.press(leave), []);
        assert!(pair.app.dialog.is_none());
    }
}

#[test]
fn the_last_usable_server_is_not_taken_out_without_typing_its_name() {
    let mut pair = Pair::new();
    pair.nodes[0].server_down("web2", NOW_MS);
    pair.look();
    pair.press(KeyCode::Char('2'));
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('m'));
    pair.shows(&[
        "!! a: LAST usable server: all requests of nginx will get 503!",
        "type web1 to confirm:",
    ]);
    assert_eq!(pair.press(KeyCode::Enter), []);
    assert_eq!(pair.types("yes"), []);
    assert_eq!(pair.press(KeyCode::Enter), []);
    (0..3).for_each(|_| drop(pair.press(KeyCode::Backspace)));
    pair.types("web1");
    assert!(matches!(
        pair.press(KeyCode::Enter)[..],
        [Effect::Ask {
            node: 0,
            operation: Operation::ServerState { .. },
            ..
        }]
    ));
}

#[test]
fn a_weight_is_asked_for_with_its_effect_on_the_share() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('2'));
    pair.press(KeyCode::Down);
    pair.press(KeyCode::Char('w'));
    pair.types("x");
    assert_eq!(pair.press(KeyCode::Enter), [], "no weight, no change");
    pair.press(KeyCode::Backspace);
    pair.types("3");
    pair.shows(&["a: weight 1 -> 3, its share of nginx from about 50 % to 75 %."]);
    let effects = pair.press(KeyCode::Enter);
    assert!(matches!(
        &effects[0],
        Effect::Ask { operation: Operation::ServerWeight { server, weight: WeightChange::Absolute(3) }, .. } if server.server == "web2"
    ));
}

#[test]
fn a_failover_names_where_the_address_goes_and_what_breaks() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('3'));
    pair.press(KeyCode::Char('f'));
    pair.shows(&[
        "10.230.137.100/32 moves from a to b",
        "Current connections to the address break (24 connections on a).",
    ]);
    let effects = pair.press(KeyCode::Enter);
    let operation = Operation::VrrpFailover {
        instance: "R1".to_owned(),
        force: false,
    };
    assert_eq!(
        effects,
        [Effect::Ask {
            node: 0,
            token: 1,
            operation
        }]
    );
}

#[test]
fn a_failover_into_nothing_warns_and_is_never_forced() {
    let mut pair = Pair::new();
    pair.link(
        1,
        LinkEvent::Lost {
            why: "Connection refused".to_owned(),
        },
    );
    pair.press(KeyCode::Char('f'));
    pair.shows(&[
        "!! Nobody is known to take 10.230.137.100/32! a asks and goes on",
        "nothing moves.",
    ]);
    let effects = pair.press(KeyCode::Enter);
    assert!(matches!(
        &effects[..],
        [Effect::Ask {
            node: 0,
            operation: Operation::VrrpFailover { force: false, .. },
            ..
        }]
    ));
}

#[test]
fn a_node_that_holds_nothing_is_not_asked_to_give_it_away() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('f'));
    pair.shows(&["b is BACKUP, not MASTER: it has nothing to give away."]);
    assert_eq!(pair.press(KeyCode::Enter), []);
}

#[test]
fn a_failback_asks_the_node_that_gave_the_address_away() {
    let mut pair = Pair::new();
    assert_eq!(pair.press(KeyCode::Char('b')), []);
    assert!(pair.app.dialog.is_none(), "nothing to fail back");
    pair.nodes[1].instance().held = true;
    pair.look();
    pair.press(KeyCode::Char('b'));
    pair.shows(&[
        "Failback of R1 on b",
        "b has priority 98 against 100: it would lose, and will refuse.",
    ]);
    assert!(matches!(
        &pair.press(KeyCode::Char('y'))[..],
        [Effect::Ask {
            node: 1,
            operation: Operation::VrrpFailback { .. },
            ..
        }]
    ));
}

#[test]
fn a_backup_that_outranks_its_master_can_be_failed_back() {
    let mut pair = Pair::new();
    // What nopreempt leaves behind: the better node came back and b kept the address.
    let masters = pair.nodes[1].snapshot.vrrp.clone();
    let mut better = pair.nodes[0].snapshot.vrrp.clone();
    better[0].state = VrrpState::Backup;
    better[0].nopreempt = true;
    better[0].master = masters[0]
        .master
        .clone()
        .map(|master| protocol::vrrp::PeerSeen {
            priority: 98,
            ..master
        });
    pair.nodes[0].snapshot.vrrp = better;
    pair.nodes[1].instance().state = VrrpState::Master;
    pair.nodes[1].instance().addresses_present = true;
    pair.look();
    pair.press(KeyCode::Char('b'));
    pair.shows(&[
        "a has priority 100 against 98: 10.230.137.100/32 moves back to a at once,",
        "in spite of nopreempt",
    ]);
}

#[test]
fn a_drain_is_followed_until_nobody_is_left() {
    let mut pair = Pair::new();
    pair.press(KeyCode::Char('2'));
    let web1 = pair.nodes[0].server("web1");
    web1.admin = ServerAdmin::Drain;
    pair.look();
    pair.later(5_000);
    pair.nodes[0].server("web1").sessions.current = 3;
    pair.look();
    pair.shows(&["draining nginx/web1 on a [", "3 of 12 sessions left, 5s"]);
    pair.later(4_000);
    pair.nodes[0].server("web1").sessions.current = 0;
    pair.look();
    pair.shows(&["empty after 9s"]);
    pair.later(tandem_client::app::DRAIN_SHOWN_MS + 1);
    pair.look();
    assert!(!pair.screen(80, 24).contains("empty after"));
}

#[test]
fn servers_are_filtered_sorted_and_shown_in_detail() {
    let mut pair = Pair::new();
    pair.nodes
        .iter_mut()
        .for_each(|node| node.server_down("web2", NOW_MS));
    pair.look();
    pair.press(KeyCode::Char('2'));
    pair.shows(&["nginx UP 1 of 2 usable, roundrobin", "web1 UP", "web2 DOWN"]);
    pair.press(KeyCode::Char('s'));
    pair.press(KeyCode::Char('s'));
    let screen = pair.screen(80, 24);
    assert!(
        screen.find("nginx/web2") < screen.find("nginx/web1"),
        "down first:\n{screen}"
    );
    pair.press(KeyCode::Char('/'));
    pair.types("q1");
    assert!(
        pair.screen(80, 24).contains("no server matches"),
        "q is text here"
    );
    pair.press(KeyCode::Esc);
    pair.press(KeyCode::Char('/'));
    pair.types("web2");
    pair.press(KeyCode::Enter);
    assert!(!pair.screen(80, 24).contains("nginx/web1"));
    pair.press(KeyCode::Enter);
    pair.shows(&[
        "checks [+++++++++XXX]",
        "L4CON 2ms Connection refused",
        "a DOWN for 0s 10.230.150.69:80",
        "configured 1",
    ]);
    pair.press(KeyCode::Esc);
    assert!(!pair.app.detail);
}

#[test]
fn both_nodes_of_a_virtual_router_stand_side_by_side() {
    let mut pair = Pair::new();
    let instance = pair.nodes[0].instance();
    instance.shares[0].effect = Share::Priority(-2);
    instance.shares[0].healthy = false;
    instance.shares[0].detail = "exit status 1".to_owned();
    instance.effective_priority = 98;
    pair.look();
    pair.press(KeyCode::Tab);
    pair.press(KeyCode::Tab);
    pair.shows(&[
        "R1 vrid 50 10.230.137.100/32 on a",
        "MASTER for 3m10s on eth0",
        "BACKUP for 3m10s on eth0",
        "priority 98 (base 100, tracking -2)",
        "BAD -2 script chk_haproxy: exit",
        "master 10.230.137.1 priority 100,",
        "no master was heard for 3.6 s",
    ]);
}

#[test]
fn bfd_sessions_are_shown_with_who_tracks_them() {
    let mut pair = Pair::new();
    let tracked = mock::bfd_session("gateway", true, NOW_MS);
    let lost = mock::bfd_session("spare", false, NOW_MS);
    pair.nodes[0].instance().bfd = vec![tracked.clone()];
    pair.nodes[0].snapshot.bfd = vec![tracked, lost];
    pair.look();
    pair.press(KeyCode::Tab);
    pair.press(KeyCode::Tab);
    let screen = pair.screen(120, 40);
    assert!(
        screen.contains("bfd gateway: Up: 10.230.137.254"),
        "{screen}"
    );
    assert!(
        screen.contains("bfd spare: Down: nothing heard"),
        "{screen}"
    );
    assert_eq!(screen.matches("(tracked by").count(), 1, "{screen}");
}

#[test]
fn events_of_both_nodes_are_merged_and_filtered() {
    let mut pair = Pair::new();
    pair.nodes[1].server_down("web2", NOW_MS);
    let event = pair.nodes[1].events.last().cloned().expect("told");
    pair.link(1, LinkEvent::Events(vec![event.clone(), event]));
    pair.press(KeyCode::Char('4'));
    pair.shows(&[
        "Events of all nodes: 5",
        "02:03:09 b ALERT nginx/web2 UP -> DOWN: Layer4",
    ]);
    pair.press(KeyCode::Char('/'));
    pair.types("alert");
    pair.shows(&["Events of all nodes: 1"]);
}

#[test]
fn figures_are_rates_of_the_totals() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        pair.later(1_000);
        let worker = pair.nodes[0].snapshot.worker.as_mut().expect("runs");
        let frontend = worker.proxies[0].frontend.as_mut().expect("a frontend");
        frontend.requests_total += 340;
        frontend.responses.class_5xx += 34;
        pair.nodes[0]
            .backend()
            .backend
            .as_mut()
            .expect("a backend")
            .responses
            .class_5xx += 34;
        pair.look();
    }
    assert_eq!(pair.app.nodes[0].history.requests.tail(3), [340, 340, 340]);
    pair.shows(&["34 answers 5xx/s, 10 % of requests: nginx 34/s"]);
}

#[test]
fn the_demos_keys_work_in_the_demo_alone() {
    let mut pair = Pair::new();
    assert_eq!(pair.press(KeyCode::F(9)), []);
    pair.app.demo = true;
    pair.shows(&["F9 kill the master F10 kill a web server"]);
    for (code, line) in [
        (KeyCode::F(9), "kill-master"),
        (KeyCode::F(10), "kill-web"),
        (KeyCode::Char('K'), "kill-master"),
        (KeyCode::Char('W'), "kill-web"),
    ] {
        assert_eq!(pair.press(code), [Effect::Demo(line)]);
    }
}

#[test]
fn leaving_works_from_everywhere() {
    let mut pair = Pair::new();
    assert_eq!(pair.press(KeyCode::Char('q')), [Effect::Quit]);
    pair.press(KeyCode::Char('2'));
    pair.press(KeyCode::Char('w'));
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(update(&mut pair.app, Event::Key(key)), [Effect::Quit]);
}

#[test]
fn every_size_draws_and_a_small_terminal_says_what_it_needs() {
    let mut pair = Pair::new();
    for width in [1, 20, 59, 60, 80, 300] {
        for height in [1, 5, 15, 16, 24, 90] {
            for screen in Screen::ALL {
                pair.app.screen = screen;
                let text = pair.screen(width, height);
                if width == 59 && height == 15 {
                    assert!(text.contains("tandem needs 60x16"), "{text}");
                }
            }
        }
    }
    pair.app.screen = Screen::Servers;
    pair.app.detail = true;
    pair.press(KeyCode::Char('w'));
    pair.types("0");
    pair.app.help = true;
    pair.screen(60, 16);
}

#[test]
fn what_a_peer_says_cannot_steer_the_terminal() {
    let mut pair = Pair::new();
    pair.nodes[0].server_down("web2", NOW_MS);
    let check = pair.nodes[0]
        .server("web2")
        .check
        .as_mut()
        .expect("a check");
    check.detail = "\u{1b}[2J\u{7}gone".to_owned();
    pair.look();
    for screen in Screen::ALL {
        pair.app.screen = screen;
        assert!(
            !pair
                .screen(120, 40)
                .chars()
                .any(|letter| letter != '\n' && letter.is_control())
        );
    }
}

/// The pair in the middle of a bad day, for the manual's pictures.
fn bad_day() -> Pair {
    let mut pair = Pair::new();
    for second in 0..40_u64 {
        pair.later(1_000);
        let worker = pair.nodes[0].snapshot.worker.as_mut().expect("runs");
        let frontend = worker.proxies[0].frontend.as_mut().expect("a frontend");
        frontend.requests_total += 25 + second * 7 % 19;
        for server in worker.proxies[1]
            .servers
            .iter_mut()
            .filter(|server| server.status == "UP")
        {
            server.sessions_total += 12 + second * 5 % 9;
        }
        if second == 30 {
            let now_ms = pair.now_ms;
            for place in 0..2 {
                pair.nodes[place].server_down("web2", now_ms);
                let event = pair.nodes[place].events.last().cloned().expect("told");
                pair.link(place, LinkEvent::Events(vec![event]));
            }
        } else if second > 30 {
            pair.nodes
                .iter_mut()
                .for_each(|node| node.server("web2").last_change_ms += 1_000);
        }
        pair.look();
    }
    pair
}

#[test]
fn the_manual_shows_the_screens_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tandem.md");
    let manual = std::fs::read_to_string(path).expect("the manual");
    let mut pair = bad_day();
    let mut pictures = vec![("overview", pair.screen(80, 24))];
    pair.press(KeyCode::Char('2'));
    pictures.push(("servers", pair.screen(80, 24)));
    pair.press(KeyCode::Enter);
    pictures.push(("detail", pair.screen(80, 24)));
    pair.press(KeyCode::Esc);
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('d'));
    pictures.push(("confirmation", pair.screen(80, 24)));
    pair.press(KeyCode::Esc);
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('n'));
    pair.press(KeyCode::Char('3'));
    pictures.push(("vrrp", pair.screen(80, 24)));
    pair.press(KeyCode::Char('4'));
    pictures.push(("events", pair.screen(80, 24)));
    pair.press(KeyCode::Char('?'));
    pictures.push(("help", pair.screen(80, 24)));
    let mut current = manual.clone();
    for (name, picture) in &pictures {
        let mark = format!("<!-- screen: {name} -->\n```text\n");
        let start = current
            .find(&mark)
            .unwrap_or_else(|| panic!("the manual has no screen '{name}'"))
            + mark.len();
        let end = start + current[start..].find("```").expect("a block ends");
        current.replace_range(start..end, picture);
    }
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        std::fs::write(path, &current).expect("writable");
    } else {
        assert!(
            current == manual,
            "the screens changed; run this test with UPDATE_MANUAL=1 and look at the difference"
        );
    }
}

#[test]
fn a_lost_nodes_drains_are_not_told_further() {
    let mut pair = Pair::new();
    pair.nodes[0].server("web1").admin = ServerAdmin::Drain;
    pair.look();
    assert_eq!(pair.app.drains.len(), 1);
    pair.link(
        0,
        LinkEvent::Lost {
            why: "Connection refused".to_owned(),
        },
    );
    assert_eq!(pair.app.drains, []);
}

#[test]
fn what_the_processes_miss_is_critical() {
    let mut pair = Pair::new();
    pair.nodes[0].snapshot.worker = None;
    pair.nodes[0].snapshot.worker_detail = "killed by signal 9".to_owned();
    pair.nodes[1].snapshot.vrrp_running = false;
    pair.nodes[1].snapshot.vrrp.clear();
    pair.look();
    assert_eq!(
        pair.kinds(),
        [ProblemKind::NoWorker, ProblemKind::VrrpNotRunning]
    );
    pair.shows(&[
        "worker no worker runs: killed by signal 9",
        "the vrrp process does not answer",
    ]);
}

#[test]
fn a_growing_queue_is_a_warning_and_a_steady_one_a_notice() {
    let mut pair = Pair::new();
    for (waiting, kind) in [
        (4, ProblemKind::QueueGrowing),
        (4, ProblemKind::QueueGrowing),
        (4, ProblemKind::QueueGrowing),
        (4, ProblemKind::QueueWaiting),
        (9, ProblemKind::QueueGrowing),
    ] {
        pair.later(1_000);
        let backend = pair.nodes[0].backend().backend.as_mut();
        backend.expect("a backend").queue.current = waiting;
        pair.look();
        assert_eq!(pair.kinds(), [kind], "{waiting} wait");
    }
}
