//! A pair of nodes to look at the dashboard with: `mock_node FOLDER [STORY]` serves `FOLDER/a.sock`
//! and `FOLDER/b.sock`. Each line on its standard input changes the world: `down web1`, `up web1`,
//! `split`, `nobody`, `heal`, `errors 5`, `queue 7`, `kill b`, `start b`.

#[path = "../tests/support/mock.rs"]
mod mock;

use std::path::PathBuf;

use mock::{Shared, World, lock};
use protocol::event::now_ms;
use protocol::vrrp::VrrpState;
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn apply(world: &Shared, words: &[&str]) {
    let mut world = lock(world);
    let at_ms = now_ms();
    match words {
        ["down", name] => world
            .nodes
            .iter_mut()
            .for_each(|node| node.server_down(name, at_ms)),
        ["up", name] => world
            .nodes
            .iter_mut()
            .for_each(|node| node.server_up(name, at_ms)),
        ["split"] => {
            for node in &mut world.nodes {
                node.instance().state = VrrpState::Master;
                node.instance().addresses_present = true;
                node.instance().conflict = true;
                node.instance().since_ms = at_ms - 5_000;
            }
        }
        ["nobody"] => {
            for node in &mut world.nodes {
                let instance = node.instance();
                instance.state = VrrpState::Fault;
                instance.addresses_present = false;
                instance.conflict = false;
                instance.master = None;
                instance.since_ms = at_ms;
                instance.shares[0].healthy = false;
                instance.shares[0].effect = protocol::vrrp::Effect::Fault;
                instance.shares[0].detail = "the worker does not answer".to_owned();
            }
        }
        ["heal"] => {
            for (place, state) in [VrrpState::Master, VrrpState::Backup]
                .into_iter()
                .enumerate()
            {
                let name = world.nodes[place].snapshot.node.clone();
                world.nodes[place].snapshot.vrrp = mock::node(&name, state, at_ms).snapshot.vrrp;
            }
        }
        ["errors", number] => world
            .nodes
            .iter_mut()
            .for_each(|node| node.errors_per_second = number.parse().unwrap_or(0)),
        ["queue", number] => {
            for node in &mut world.nodes {
                if let Some(stats) = &mut node.backend().backend {
                    stats.queue.current = number.parse().unwrap_or(0);
                }
            }
        }
        _ => eprintln!("unknown: {words:?}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let world = World::pair();
    tokio::spawn(mock::run_clock(world.clone()));
    let start = |place: usize| {
        let (world, path) = (world.clone(), folder.join(["a.sock", "b.sock"][place]));
        tokio::spawn(async move {
            if let Err(error) = mock::serve(world, place, &path).await {
                eprintln!("{}: {error}", path.display());
            }
        })
    };
    let mut tasks = [start(0), start(1)];
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["kill", name] => tasks[usize::from(name == "b")].abort(),
            ["start", name] => tasks[usize::from(name == "b")] = start(usize::from(name == "b")),
            ref words => apply(&world, words),
        }
    }
    std::future::pending().await
}
