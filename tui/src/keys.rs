//! What each key does.

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use protocol::operation::ServerAdmin;
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler as _;

use crate::app::{Action, App, Dialog, Effect, Screen};
use crate::rows::Row;
use crate::{problems, routers};

/// Lines that page up and page down move.
const PAGE: usize = 10;

/// Keys and what they do, for the help screen and the manual.
pub const HELP: [(&str, &str); 20] = [
    ("1 2 3 4, Tab", "overview, servers, VRRP, events"),
    ("Up Down, k j", "select or scroll; also PgUp PgDn Home End"),
    ("n", "all nodes, or one after the other"),
    ("Enter", "detail of the selected server"),
    ("/", "filter servers or events; Esc clears it"),
    ("s S", "order of the servers: next, previous"),
    ("d", "drain: no new requests, what runs may finish"),
    ("r", "ready: in use again"),
    ("m", "maintenance: no requests, no checks"),
    ("w", "weight: 0 to 256, or 50% of the configured"),
    ("f", "failover: give the addresses to the peer"),
    ("b", "failback: take them back, if it outranks"),
    ("y Enter, n Esc", "in a dialog: do it, leave it"),
    ("Ctrl-L", "draw the screen anew"),
    ("?", "this help"),
    ("q, Ctrl-C", "leave"),
    ("", ""),
    (
        "req/s err/s",
        "requests and answers 5xx a second, measured here",
    ),
    ("errors", "failed connects, answers, transfers, and 5xx"),
    ("CRIT WARN note", "it fails; something is broken; as wanted"),
];

/// Takes a key into the model.
pub fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return vec![Effect::Quit],
            KeyCode::Char('l') => return vec![Effect::Redraw],
            _ => {}
        }
    }
    if app.dialog.is_some() {
        return in_dialog(app, key);
    }
    if app.editing.is_some() {
        in_filter(app, key);
        return Vec::new();
    }
    if app.help {
        app.help = false;
        return if key.code == KeyCode::Char('q') {
            vec![Effect::Quit]
        } else {
            Vec::new()
        };
    }
    if app.demo {
        match key.code {
            KeyCode::F(9) | KeyCode::Char('K') => {
                return demo(app, "kill-master", "the master is killed");
            }
            KeyCode::F(10) | KeyCode::Char('W') => {
                return demo(app, "kill-web", "a web server is killed");
            }
            _ => {}
        }
    }
    on_screen(app, key)
}

fn demo(app: &mut App, line: &'static str, said: &str) -> Vec<Effect> {
    app.say(format!("demo: {said} …"), false);
    vec![Effect::Demo(line)]
}

fn on_screen(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    match key.code {
        KeyCode::Char('q') => return vec![Effect::Quit],
        KeyCode::Char('?') | KeyCode::F(1) => app.help = true,
        KeyCode::Char(digit @ '1'..='4') => show(app, Screen::ALL[digit as usize - '1' as usize]),
        KeyCode::Tab | KeyCode::Right => step_screen(app, 1),
        KeyCode::BackTab | KeyCode::Left => step_screen(app, Screen::ALL.len() - 1),
        KeyCode::Char('n') => {
            app.chosen = match app.chosen {
                None => Some(0),
                Some(index) if index + 1 < app.nodes.len() => Some(index + 1),
                Some(_) => None,
            };
            app.scroll = 0;
            keep_selection(app);
        }
        KeyCode::Char('/') if matches!(app.screen, Screen::Servers | Screen::Events) => {
            app.detail = false;
            app.editing = Some(Input::new(filter(app).clone()));
        }
        KeyCode::Char('s') if app.screen == Screen::Servers => app.sort = app.sort.step(true),
        KeyCode::Char('S') if app.screen == Screen::Servers => app.sort = app.sort.step(false),
        KeyCode::Enter if app.screen == Screen::Servers => {
            app.detail = !app.detail && app.selected_row().is_some()
        }
        KeyCode::Esc => {
            if app.detail {
                app.detail = false;
            } else {
                filter(app).clear();
                keep_selection(app);
            }
        }
        KeyCode::Up | KeyCode::Char('k') => walk(app, Walk::Back(1)),
        KeyCode::Down | KeyCode::Char('j') => walk(app, Walk::On(1)),
        KeyCode::PageUp => walk(app, Walk::Back(PAGE)),
        KeyCode::PageDown => walk(app, Walk::On(PAGE)),
        KeyCode::Home | KeyCode::Char('g') => walk(app, Walk::Back(usize::MAX)),
        KeyCode::End | KeyCode::Char('G') => walk(app, Walk::On(usize::MAX)),
        KeyCode::Char('d') => state(app, ServerAdmin::Drain),
        KeyCode::Char('r') => state(app, ServerAdmin::Ready),
        KeyCode::Char('m') => state(app, ServerAdmin::Maint),
        KeyCode::Char('w') => weight(app),
        KeyCode::Char('f') => failover(app),
        KeyCode::Char('b') => failback(app),
        _ => {}
    }
    Vec::new()
}

fn show(app: &mut App, screen: Screen) {
    app.screen = screen;
    app.scroll = 0;
    app.detail = false;
}

fn step_screen(app: &mut App, step: usize) {
    let place = Screen::ALL
        .iter()
        .position(|screen| *screen == app.screen)
        .unwrap_or(0);
    show(app, Screen::ALL[(place + step) % Screen::ALL.len()]);
}

fn filter(app: &mut App) -> &mut String {
    if app.screen == Screen::Events {
        &mut app.event_filter
    } else {
        &mut app.server_filter
    }
}

fn in_filter(app: &mut App, key: KeyEvent) {
    let Some(mut input) = app.editing.take() else {
        return;
    };
    match key.code {
        KeyCode::Esc => filter(app).clear(),
        KeyCode::Enter => {}
        _ => {
            input.handle_event(&TerminalEvent::Key(key));
            *filter(app) = input.value().to_owned();
            app.editing = Some(input);
        }
    }
    app.scroll = 0;
    keep_selection(app);
}

/// How far to walk.
#[derive(Clone, Copy)]
enum Walk {
    Back(usize),
    On(usize),
}

impl Walk {
    fn to(self, place: usize, length: usize) -> usize {
        let last = length.saturating_sub(1);
        match self {
            Self::Back(steps) => place.saturating_sub(steps),
            Self::On(steps) => place.saturating_add(steps).min(last),
        }
    }
}

fn walk(app: &mut App, walk: Walk) {
    match app.screen {
        Screen::Overview => app.scroll = walk.to(app.scroll, problems::problems(&app.nodes).len()),
        Screen::Events => app.scroll = walk.to(app.scroll, app.shown_events().len()),
        Screen::Vrrp => {
            app.router = walk.to(app.router, routers::virtual_routers(&app.nodes).len())
        }
        Screen::Servers => {
            let names = server_names(app);
            let place = names
                .iter()
                .position(|name| Some(name) == app.selected.as_ref())
                .unwrap_or(0);
            app.selected = names.get(walk.to(place, names.len())).cloned();
        }
    }
}

fn server_names(app: &App) -> Vec<protocol::ServerName> {
    let rows = app.server_rows().into_iter();
    rows.filter_map(|row| {
        if let Row::Server(row) = row {
            Some(row.name)
        } else {
            None
        }
    })
    .collect()
}

/// Selects the first server.
pub fn select_first(app: &mut App) {
    app.selected = server_names(app).into_iter().next();
}

/// Selects another server if the selected one is not shown any more.
fn keep_selection(app: &mut App) {
    if app.selected_row().is_none() {
        select_first(app);
        app.detail = false;
    }
}

fn target(app: &mut App) -> Option<(Vec<usize>, protocol::ServerName)> {
    if app.screen != Screen::Servers {
        app.say("choose a server first: 2, then the arrows", true);
        return None;
    }
    let Some(row) = app.selected_row() else {
        app.say("no server is selected", true);
        return None;
    };
    // A pair stays the same: without a choice, all nodes are changed, and the plan names those that cannot be.
    let on = match app.chosen {
        Some(index) => vec![index],
        None => (0..app.nodes.len()).collect(),
    };
    Some((on, row.name))
}

fn open(app: &mut App, action: Action, weight_input: bool) {
    app.dialog = Some(Dialog {
        action,
        input: Input::default(),
        weight_input,
    });
}

fn state(app: &mut App, state: ServerAdmin) {
    if let Some((on, name)) = target(app) {
        open(app, Action::State { on, name, state }, false);
    }
}

fn weight(app: &mut App) {
    if let Some((on, name)) = target(app) {
        open(
            app,
            Action::Weight {
                on,
                name,
                weight: None,
            },
            true,
        );
    }
}

fn failover(app: &mut App) {
    if !matches!(app.screen, Screen::Vrrp | Screen::Overview) {
        return app.say("failover: on the VRRP screen, 3", true);
    }
    match app.failover_target() {
        Some((node, instance)) => open(app, Action::Failover { node, instance }, false),
        None => app.say("no VRRP instance is known", true),
    }
}

fn failback(app: &mut App) {
    if !matches!(app.screen, Screen::Vrrp | Screen::Overview) {
        return app.say("failback: on the VRRP screen, 3", true);
    }
    match app.failback_target() {
        Some((node, instance)) => open(app, Action::Failback { node, instance }, false),
        None => app.say(
            "no node gave these addresses away or outranks their master",
            true,
        ),
    }
}

fn in_dialog(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let plan = app.plan();
    let Some(dialog) = &mut app.dialog else {
        return Vec::new();
    };
    let typing = dialog.weight_input || matches!(&plan, Some(Ok(plan)) if plan.must_type.is_some());
    match key.code {
        KeyCode::Esc => app.dialog = None,
        KeyCode::Enter => return confirm(app, plan),
        KeyCode::Char('y' | 'Y') if !typing => return confirm(app, plan),
        KeyCode::Char('n' | 'N' | 'q') if !typing => app.dialog = None,
        _ if typing => {
            dialog.input.handle_event(&TerminalEvent::Key(key));
        }
        _ => {}
    }
    Vec::new()
}

fn confirm(app: &mut App, plan: Option<Result<crate::plan::Plan, String>>) -> Vec<Effect> {
    let (Some(dialog), Some(Ok(plan))) = (&mut app.dialog, plan) else {
        return Vec::new();
    };
    if dialog.weight_input && plan.must_type.is_some() {
        // The weight is given; now the word that confirms.
        if let Action::Weight { weight, .. } = &mut dialog.action {
            *weight = crate::plan::parse_weight(dialog.input.value()).ok();
        }
        dialog.weight_input = false;
        dialog.input = Input::default();
        return Vec::new();
    }
    if plan
        .must_type
        .as_ref()
        .is_some_and(|word| word != dialog.input.value())
    {
        return Vec::new();
    }
    app.dialog = None;
    if plan.asks.is_empty() {
        app.say(format!("nothing to do: {}", plan.title), true);
        return Vec::new();
    }
    app.carry_out(plan)
}
