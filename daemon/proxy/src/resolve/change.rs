//! What answers change at a server: its address, its name and weight (SRV), and whether it is in maintenance for lack of
//! an address. Each change is logged in HAProxy's words and told as an event.

use std::net::SocketAddr;
use std::sync::Arc;

use config::haproxy::LogLevel;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational};

use crate::app::Shared;
use crate::health::admin::{Author, set_user_weight};
use crate::health::{announce_backend, lock_health, server_word, servers_left};
use crate::state::{Backend, Server};

/// Gives a server an address that `by` answered. Says whether it is another one than before.
pub(super) fn set_address(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    new: SocketAddr,
    by: &str,
) -> bool {
    let before = server.address.load().as_deref().copied();
    let is_new = before != Some(new);
    if is_new {
        server.address.store(Some(Arc::new(new)));
        let old = before.map_or_else(|| "(none)".to_owned(), |old| old.ip().to_string());
        if before.is_none_or(|old| old.ip() != new.ip()) {
            let text = format!("changed its IP from {old} to {} by {by}.", new.ip());
            tell(shared, backend, server, &text);
        }
        if let Some(old) = before
            && old.port() != new.port()
        {
            let text = format!(
                "changed its port from {} to {} by {by}.",
                old.port(),
                new.port()
            );
            tell(shared, backend, server, &text);
        }
        event(
            shared,
            backend,
            server,
            EventSeverity::Notice,
            format!("address {old} -> {new}"),
            format!("resolved by {by}"),
        );
    }
    let usable_before = backend.is_available();
    let resolves_again = {
        let mut health = lock_health(server);
        let waited =
            health.admin == ServerAdmin::Maint && health.admin_cause == AdminCause::Resolution;
        if waited {
            health.admin = ServerAdmin::Ready;
            health.admin_cause = AdminCause::None;
            let now_ms = shared.clock.now_ms();
            health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
            health.changed_at_ms = now_ms;
            // Out of maintenance: up, and one failed check away from going down.
            if let Some(check) = &server.config.check {
                health.health = check.rise.max(1);
                health.operational = Operational::Up;
            }
        }
        waited
    };
    if !is_new && !resolves_again {
        return false;
    }
    server.publish();
    backend.servers_changed();
    if resolves_again {
        let word = server_word(backend, server);
        let name = server.fqdn.load();
        let name = name.as_deref().map_or("", |name| name.as_str());
        for text in [
            format!("{word} ('{name}') is UP/READY (resolves again)."),
            format!("{word} administratively READY thanks to valid DNS answer."),
        ] {
            shared
                .reports
                .tell(backend.config_index, LogLevel::Notice, &text);
        }
        event(
            shared,
            backend,
            server,
            EventSeverity::Notice,
            "MAINT -> READY".to_owned(),
            "its name resolves again".to_owned(),
        );
        announce_backend(shared, backend, usable_before);
    }
    is_new
}

/// Takes a server's address away: it goes into maintenance until its name resolves again.
pub(super) fn lose_address(shared: &Shared, backend: &Backend, server: &Server, reason: &str) {
    let usable_before = backend.is_available();
    {
        let mut health = lock_health(server);
        if health.admin == ServerAdmin::Maint {
            // Already out; an operator's maintenance outlives ours, and an address that is wrong is not kept for later.
            if health.admin_cause == AdminCause::Resolution {
                server.address.store(None);
            }
            return;
        }
        let was_down = crate::health::is_stopped(&health);
        health.admin = ServerAdmin::Maint;
        health.admin_cause = AdminCause::Resolution;
        let now_ms = shared.clock.now_ms();
        if was_down {
            health.downtime_ms += now_ms.saturating_sub(health.changed_at_ms);
        } else {
            server.counters.down_transitions.increment();
        }
        health.changed_at_ms = now_ms;
    }
    server.address.store(None);
    server.publish();
    backend.servers_changed();
    let (active, backup) = backend.usable_by_kind();
    let text = format!(
        "{} is going DOWN for maintenance ({reason}). {}. {} sessions active, 0 requeued, {} remaining in queue.",
        server_word(backend, server),
        servers_left(active, backup),
        server.counters.sessions.current(),
        server.counters.queue.current()
    );
    shared
        .reports
        .tell(backend.config_index, LogLevel::Notice, &text);
    event(
        shared,
        backend,
        server,
        EventSeverity::Warning,
        "READY -> MAINT".to_owned(),
        reason.trim().to_owned(),
    );
    announce_backend(shared, backend, usable_before);
}

/// Gives a server of services the host of its record.
pub(super) fn set_name(shared: &Shared, backend: &Backend, server: &Server, name: Option<&str>) {
    let before = server.fqdn.load_full();
    server
        .fqdn
        .store(name.map(|name| Arc::new(name.to_owned())));
    if let Some(name) = name {
        let old = before.as_deref().map_or("(null)", |old| old.as_str());
        let text = format!("changed its FQDN from {old} to {name} by 'SRV record'");
        tell(shared, backend, server, &text);
    }
}

/// Gives a server the weight of its record: HAProxy's scale of 0 to 256.
pub(super) fn set_weight(shared: &Shared, backend: &Backend, server: &Server, record_weight: u16) {
    let weight = u32::from(record_weight).div_ceil(256);
    set_user_weight(shared, backend, server, weight, Author::SrvRecord);
}

fn tell(shared: &Shared, backend: &Backend, server: &Server, text: &str) {
    shared.reports.tell(
        backend.config_index,
        LogLevel::Notice,
        &format!("{}/{} {text}", backend.name, server.name),
    );
}

fn event(
    shared: &Shared,
    backend: &Backend,
    server: &Server,
    severity: EventSeverity,
    change: String,
    reason: String,
) {
    shared.events.push(Event::now(
        EventSource::Worker,
        severity,
        EventKind::ServerAdmin,
        format!("{}/{}", backend.name, server.name),
        change,
        reason,
    ));
}
