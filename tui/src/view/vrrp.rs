//! The VRRP screen: each virtual router with its nodes side by side.

use protocol::explain::ago;
use protocol::vrrp::{Effect, InstanceSnapshot, VrrpState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use crate::app::App;
use crate::node::NodeView;
use crate::routers::{self, RouterState};
use crate::words::{self, clock, printable, span};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let routers = routers::virtual_routers(&app.nodes);
    let Some(router) = routers.get(app.router.min(routers.len().saturating_sub(1))) else {
        let text = " no VRRP instance is known";
        frame.render_widget(
            Paragraph::new(Line::styled(text, theme.dim()))
                .block(Block::bordered().title(" VRRP ")),
            area,
        );
        return;
    };
    let list_rows = if routers.len() > 1 {
        (routers.len() as u16).min(area.height / 4)
    } else {
        0
    };
    let [list, head, body] = Layout::vertical([
        Constraint::Length(list_rows),
        Constraint::Length(1),
        Constraint::Min(3),
    ])
    .areas(area);
    let skip = app
        .router
        .saturating_sub(usize::from(list_rows).saturating_sub(1));
    let lines: Vec<Line<'_>> = routers
        .iter()
        .enumerate()
        .skip(skip)
        .map(|(number, router)| {
            let text = format!(
                "{}{} vrid {}  {}",
                if number == app.router { ">" } else { " " },
                router.name,
                router.vrid,
                holder(app, router.state(&app.nodes)).0
            );
            if number == app.router {
                Line::styled(text, theme.selected())
            } else {
                Line::raw(text)
            }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), list);
    let (text, alarm) = holder(app, router.state(&app.nodes));
    let style = if alarm { theme.alarm() } else { theme.good() };
    frame.render_widget(
        Paragraph::new(Line::from(vec![
            Span::styled(
                format!(" {} vrid {} ", printable(router.name), router.vrid),
                theme.strong(),
            ),
            Span::raw(format!("{}  ", printable(&router.addresses.join(" ")))),
            Span::styled(text, style.patch(theme.strong())),
        ])),
        head,
    );
    // A third node would be too narrow at 80 columns: two are shown, the chosen one first.
    let mut members = router.members.clone();
    members.sort_by_key(|(index, _)| app.chosen != Some(*index));
    let most = (usize::from(area.width) / 38).max(1);
    members.truncate(most);
    let columns = Layout::horizontal(vec![Constraint::Fill(1); members.len()]).split(body);
    for ((index, instance), column) in members.iter().zip(columns.iter()) {
        let node = &app.nodes[*index];
        let title = Span::styled(format!(" {} ", words::cut(&node.label, 30)), theme.strong());
        let lines = instance_lines(
            app,
            instance,
            theme,
            usize::from(column.width).saturating_sub(2),
        );
        let lines = [lines, untracked_lines(app, node, theme, column)].concat();
        frame.render_widget(
            Paragraph::new(lines).block(Block::bordered().title(title)),
            *column,
        );
    }
}

fn holder(app: &App, state: RouterState) -> (String, bool) {
    match state {
        RouterState::HeldBy(index) => (format!("on {}", app.nodes[index].label), false),
        RouterState::HeldElsewhere(address) => (format!("on {address}"), false),
        RouterState::SplitBrain(_) => ("SPLIT BRAIN: on several nodes".to_owned(), true),
        RouterState::Nobody => ("NOBODY is MASTER".to_owned(), true),
    }
}

/// BFD sessions of a node that none of its instances tracks.
fn untracked_lines<'a>(app: &App, node: &NodeView, theme: &Theme, column: &Rect) -> Vec<Line<'a>> {
    let Some(snapshot) = node.live() else {
        return Vec::new();
    };
    let width = usize::from(column.width).saturating_sub(2);
    let is_tracked = |name: &str| {
        let mut tracked = snapshot.vrrp.iter().flat_map(|instance| &instance.bfd);
        tracked.any(|one| one.name == name)
    };
    let mut lines = Vec::new();
    for session in snapshot.bfd.iter().filter(|one| !is_tracked(&one.name)) {
        let text = format!(" bfd {} (tracked by nobody)", session.text(app.now_ms));
        let style = match session.up {
            true => theme.dim(),
            false => theme.uneasy(),
        };
        let wrapped = words::wrap(&printable(&text), width, 4).into_iter();
        lines.extend(wrapped.map(|text| Line::styled(text, style)));
    }
    lines
}

fn instance_lines<'a>(
    app: &App,
    instance: &InstanceSnapshot,
    theme: &Theme,
    width: usize,
) -> Vec<Line<'a>> {
    let style = match instance.state {
        VrrpState::Master => theme.good(),
        VrrpState::Fault => theme.bad(),
        VrrpState::Init | VrrpState::Backup => ratatui::style::Style::new(),
    };
    let cut = |text: String| words::cut(&printable(&text), width);
    let mut lines = vec![
        Line::from(vec![
            Span::styled(format!(" {}", instance.state), style.patch(theme.strong())),
            Span::raw(format!(
                " for {} on {}",
                span(app.now_ms.saturating_sub(instance.since_ms)),
                printable(&instance.interface)
            )),
        ]),
        Line::raw(cut(format!(
            " priority {} (base {}, tracking {:+})",
            instance.effective_priority,
            instance.base_priority,
            i16::from(instance.effective_priority) - i16::from(instance.base_priority)
        ))),
    ];
    // The banner has no room for the whole of it.
    if let Some(conflict) = instance.conflict_text() {
        for text in words::wrap(&printable(&format!(" TWO MASTERS: {conflict}")), width, 6) {
            lines.push(Line::styled(format!("{text:<width$}"), theme.alarm()));
        }
    }
    if !instance.why().is_empty() {
        let why = printable(&format!(" why: {}", instance.why()));
        lines.extend(words::wrap(&why, width, 3).into_iter().map(Line::raw));
    }
    for share in &instance.shares {
        let effect = match share.effect {
            Effect::Priority(number) => format!("{number:+}"),
            Effect::Fault => "FAULT".to_owned(),
        };
        let mark = if share.healthy { "ok " } else { "BAD" };
        let style = if share.healthy {
            theme.good()
        } else {
            theme.bad()
        };
        let text = printable(&format!("{effect} {}: {}", share.item, share.detail));
        let mut wrapped = words::wrap(&text, width.saturating_sub(6), 2).into_iter();
        lines.push(Line::from(vec![
            Span::styled(format!("  {mark} "), style),
            Span::raw(wrapped.next().unwrap_or_default()),
        ]));
        lines.extend(wrapped.map(|text| Line::raw(format!("      {text}"))));
    }
    for session in &instance.bfd {
        let style = match session.up {
            true => theme.good(),
            false => theme.bad(),
        };
        let text = printable(&format!(" bfd {}", session.text(app.now_ms)));
        let wrapped = words::wrap(&text, width, 5).into_iter();
        lines.extend(wrapped.map(|text| Line::styled(text, style)));
    }
    if let Some(master) = &instance.master {
        let text = printable(&format!(
            " master {} priority {}, heard {}",
            master.address,
            master.priority,
            ago(master.age_ms)
        ));
        lines.extend(words::wrap(&text, width, 2).into_iter().map(Line::raw));
    }
    let known = instance.master.as_ref().map(|master| &master.address);
    for (peer, text) in instance.peers.iter().zip(instance.peers_text()) {
        // The master has its line already.
        if Some(&peer.address) != known {
            let text = printable(&format!(" peer {text}"));
            lines.extend(words::wrap(&text, width, 2).into_iter().map(Line::raw));
        }
    }
    if instance.peers.is_empty() {
        for text in instance.peers_text() {
            let text = printable(&format!(" peer {text}"));
            lines.extend(words::wrap(&text, width, 2).into_iter().map(Line::raw));
        }
    }
    let present = if instance.addresses_present {
        "on the interface"
    } else {
        "not here"
    };
    lines.push(Line::raw(cut(format!(
        " {} {present}",
        instance.addresses.join(" ")
    ))));
    if !instance.decided.is_empty() {
        let text = printable(&format!(" {}", instance.decided));
        lines.extend(words::wrap(&text, width, 2).into_iter().map(Line::raw));
    }
    if instance.held {
        lines.push(Line::styled(
            cut(" gave the addresses away; b takes them back".to_owned()),
            theme.uneasy(),
        ));
    }
    let counters = &instance.counters;
    let preempt = if instance.nopreempt {
        ", nopreempt"
    } else {
        ""
    };
    let master = match instance.master_interval_ms {
        Some(interval) => format!(" (master {interval} ms)"),
        None => String::new(),
    };
    lines.push(Line::raw(cut(format!(
        " adverts out {} in {}, every {} ms{master}{preempt}",
        counters.adverts_sent, counters.adverts_received, instance.advert_interval_ms
    ))));
    lines.push(Line::raw(cut(format!(
        " master {}x, ARPs {}, resigned {} heard {}",
        counters.became_master,
        counters.gratuitous_arps_sent,
        counters.resignations_sent,
        counters.resignations_received
    ))));
    if !counters.refused.is_empty() {
        let refused = counters
            .refused
            .iter()
            .map(|(reason, number)| format!("{reason} {number}"))
            .collect::<Vec<_>>()
            .join(", ");
        lines.push(Line::styled(
            cut(format!(" refused: {refused}")),
            theme.uneasy(),
        ));
    }
    lines.push(Line::styled(" transitions", theme.dim()));
    for transition in instance.transitions.iter().rev() {
        lines.push(Line::raw(cut(format!(
            " {} {} -> {}",
            clock(transition.at_ms),
            transition.from,
            transition.to
        ))));
        for text in words::wrap(&printable(&format!("   {}", transition.reason)), width, 3) {
            lines.push(Line::styled(text, theme.dim()));
        }
    }
    lines
}
