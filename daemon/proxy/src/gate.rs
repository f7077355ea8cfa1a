//! Whether another connection may be accepted: limits of connections and of rates, and what happens when descriptors run out.
//! Who may not be accepted yet waits in the listening socket's queue; nobody is dropped.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::app::{App, FrontendRuntime, ListenerRuntime, Shared};
use crate::state::RateMeter;

/// Pause after a failed accept (no descriptors left, for instance), and between looks at a closed frontend.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// Shortest and longest pause while a rate is at its limit.
const RATE_PAUSE_MS: std::ops::RangeInclusive<u64> = 1..=100;
/// Time between two log lines about failing accepts.
const COMPLAINT_US: u64 = 10_000_000;

/// What keeps a connection out.
enum Closed {
    /// A place must become free, or an operator must open.
    Full,
    /// A rate is at its limit; it is looked at again after this.
    Rate(Duration),
}

/// Returns once another connection is within all limits.
pub(crate) async fn room(app: &App, front: &FrontendRuntime, listener: &ListenerRuntime) {
    loop {
        let freed = app.room.notified();
        tokio::pin!(freed);
        match closed(app, front, listener) {
            None => return,
            // A place that becomes free wakes us; an operator's change is seen within the pause.
            Some(Closed::Full) => {
                freed.as_mut().enable();
                if closed(app, front, listener).is_some() {
                    let _ = tokio::time::timeout(PAUSE, freed).await;
                }
            }
            Some(Closed::Rate(pause)) => tokio::time::sleep(pause).await,
        }
    }
}

/// Whether another connection is within all limits now.
pub(crate) fn has_room(app: &App, front: &FrontendRuntime, listener: &ListenerRuntime) -> bool {
    closed(app, front, listener).is_none()
}

fn closed(app: &App, front: &FrontendRuntime, listener: &ListenerRuntime) -> Option<Closed> {
    let below = |current: u64, limit: u64| limit == 0 || current < limit;
    let process = &app.shared.process;
    let frontend = &front.frontend;
    let tls_limit = u64::from(process.tls_limit.load(Relaxed));
    let has_place = below(process.connections.current(), process.maxconn.load(Relaxed))
        && below(
            frontend.counters.sessions.current(),
            u64::from(frontend.maxconn.load(Relaxed)),
        )
        && below(listener.connections.current(), listener.maxconn)
        && (listener.tls.is_none() || below(process.tls_connections.current(), tls_limit))
        && frontend.enabled.load(Relaxed);
    if !has_place {
        return Some(Closed::Full);
    }
    let rates = [
        (&process.connection_rate, &process.connection_rate_limit),
        (&process.session_rate, &process.session_rate_limit),
    ];
    let rates = rates
        .into_iter()
        .map(|(meter, limit)| (meter, limit.load(Relaxed)));
    let tls = (&process.tls_rate, process.tls_rate_limit.load(Relaxed));
    let own = (&frontend.counters.session_rate, frontend.session_rate_limit);
    rates
        .chain([own])
        .chain(listener.tls.is_some().then_some(tls))
        .find_map(|(meter, limit)| rate_pause(&app.shared, meter, limit))
        .map(Closed::Rate)
}

/// How long a rate that is at its limit wants to be left alone.
fn rate_pause(shared: &Shared, meter: &RateMeter, limit: u32) -> Option<Duration> {
    if limit == 0 || meter.rate(shared.clock.now_ms()) < u64::from(limit) {
        return None;
    }
    let pause_ms = 1_000 / u64::from(limit);
    Some(Duration::from_millis(
        pause_ms.clamp(*RATE_PAUSE_MS.start(), *RATE_PAUSE_MS.end()),
    ))
}

/// After an accept that failed: counts it, tells it now and then, and waits. The connection stays in the socket's queue.
pub(crate) async fn accept_failed(shared: &Shared, frontend: &str, error: &io::Error) {
    static TOLD_US: AtomicU64 = AtomicU64::new(0);
    shared.process.failed_accepts.increment();
    // A client that gave up while it waited in the queue is no trouble of ours.
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    let now_us = shared.clock.now_us().max(1);
    let told_us = TOLD_US.load(Relaxed);
    let due = told_us == 0 || now_us.saturating_sub(told_us) >= COMPLAINT_US;
    if due
        && TOLD_US
            .compare_exchange(told_us, now_us, Relaxed, Relaxed)
            .is_ok()
    {
        tracing::error!(
            "frontend {frontend} cannot accept: {error}; {} connections, {} descriptors allowed; clients wait \
             ({} accepts have failed)",
            shared.process.connections.current(),
            sys::privileges::descriptor_limit(),
            shared.process.failed_accepts.value()
        );
    }
    tokio::time::sleep(PAUSE).await;
}
