//! Runs the dashboard: the terminal, the links, the clock. The model decides, this performs.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::{App, Effect, Event, update};
use crate::link::{self, LinkEvent, LinkRequest, MAX_WAITING_REQUESTS};
use crate::node::NodeAddress;
use crate::view::{self, theme::Theme};

/// Link events that may wait for the screen; a full channel makes the links wait, not grow.
const MAX_WAITING_EVENTS: usize = 256;
/// How often the clock moves when nothing else happens.
const TICK: Duration = Duration::from_millis(500);
/// How long the demo's fifo may take.
const FIFO_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs until the user leaves, or a signal ends it.
///
/// # Errors
/// A sentence when there is no terminal or it fails.
pub async fn run(addresses: &[NodeAddress], demo: Option<PathBuf>) -> Result<(), String> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(
            "the dashboard needs a terminal; for scripts there is 'tandem status'".to_owned(),
        );
    }
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // `try_init` also installs a panic hook that gives the terminal back first.
    let mut terminal =
        ratatui::try_init().map_err(|error| format!("the terminal cannot be used: {error}"))?;
    let result = drive(&mut terminal, addresses, demo, Theme::new(colours)).await;
    ratatui::restore();
    result.map_err(|error| format!("the terminal failed: {error}"))
}

async fn drive(
    terminal: &mut ratatui::DefaultTerminal,
    addresses: &[NodeAddress],
    demo: Option<PathBuf>,
    theme: Theme,
) -> std::io::Result<()> {
    let mut app = App::new(addresses, demo.is_some());
    let mut fifo = demo.as_deref().map(open_fifo);
    let (told, mut tell) = mpsc::channel::<(usize, LinkEvent)>(MAX_WAITING_EVENTS);
    let mut links = Vec::with_capacity(addresses.len());
    let mut tasks = tokio::task::JoinSet::new();
    for (index, address) in addresses.iter().enumerate() {
        let (ask, asked) = mpsc::channel(MAX_WAITING_REQUESTS);
        tasks.spawn(link::keep(index, address.clone(), told.clone(), asked));
        links.push(ask);
    }
    let mut keys = EventStream::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut pending: Vec<Event> = Vec::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = tick.tick() => {}
            key = keys.next() => match key {
                Some(Ok(TerminalEvent::Key(key))) => pending.push(Event::Key(key)),
                // Whatever else happens at the terminal (its size), the screen is drawn anew below.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            event = tell.recv() => {
                if let Some((node, event)) = event {
                    pending.push(Event::Link { node, event });
                }
                // All that waits makes one new screen.
                while let Ok((node, event)) = tell.try_recv() {
                    pending.push(Event::Link { node, event });
                }
            }
        }
        let mut effects = update(
            &mut app,
            Event::Tick {
                now_ms: protocol::event::now_ms(),
            },
        );
        for event in pending.drain(..) {
            effects.extend(update(&mut app, event));
        }
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Redraw => terminal.clear()?,
                Effect::Ask {
                    node,
                    token,
                    operation,
                } => {
                    let refused = links[node]
                        .try_send(LinkRequest { token, operation })
                        .is_err();
                    if refused {
                        let result = Err("too many requests wait for this node".to_owned());
                        update(
                            &mut app,
                            Event::Link {
                                node,
                                event: LinkEvent::Answer { token, result },
                            },
                        );
                    }
                }
                Effect::Demo(line) => {
                    if let Some(fifo) = &mut fifo
                        && let Err(why) = write_fifo(fifo, line).await
                    {
                        app.say(format!("demo: the fifo cannot be written: {why}"), true);
                    }
                }
            }
        }
        terminal.draw(|frame| view::draw(frame, &app, &theme))?;
    }
}

/// Opens the demo's fifo. Both ways, so that a line waits in it while its reader opens it anew.
fn open_fifo(path: &std::path::Path) -> std::io::Result<pipe::Sender> {
    pipe::OpenOptions::new().read_write(true).open_sender(path)
}

async fn write_fifo(fifo: &mut std::io::Result<pipe::Sender>, line: &str) -> Result<(), String> {
    let sender = fifo.as_mut().map_err(|error| error.to_string())?;
    let text = format!("{line}\n");
    match tokio::time::timeout(FIFO_TIMEOUT, sender.write_all(text.as_bytes())).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("nobody reads it".to_owned()),
    }
}
