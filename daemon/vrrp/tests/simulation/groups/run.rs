//! A run: trouble, then quiet in which all must be well, then one mishap after the other with its own promise.

use std::time::Duration;

use tandem_vrrp::core::tracking::Standing;

use super::node::Member;
use super::world::{End, Order, World};
use crate::network::{MAX_NODES, Weather};
use crate::node::Life;
use crate::run::{Failure, HANDOVER};
use crate::world::{calm, drifted};

/// Mishaps in the quiet of a run.
const MISHAPS: usize = 4;

/// Further elections that links may need that contradict each other: who loses on the first one lets the other come.
const CONTRADICTIONS: u32 = 1;

/// Runs the group of a seed; how many facts were checked.
pub(crate) fn run(seed: u64, traced: bool) -> Result<u64, Failure> {
    let mut world = World::new(seed, traced);
    match live(&mut world) {
        Ok(()) => Ok(world.checked()),
        Err(what) => {
            let now = world.now.as_secs_f64();
            let what = format!("{}at {now:.6} s: {what}", world.described());
            let trace = world.trace();
            Err(Failure { what, trace })
        }
    }
}

fn live(world: &mut World) -> Result<(), String> {
    for at in 0..world.nodes.len() {
        if world.random.chance(80) {
            world.start(at)?;
        }
    }
    trouble(world)?;
    calm_down(world)?;
    settle(world, "after the trouble")?;
    for _ in 0..MISHAPS {
        let name = mishap(world)?;
        settle(world, name)?;
    }
    Ok(())
}

fn fault() -> Standing {
    Standing::Fault("simulated".to_owned())
}

/// Some time in which packets are lost, nodes die and nothing is promised but what always holds.
fn trouble(world: &mut World) -> Result<(), String> {
    let interval = world.limits.intervals.0;
    world.quiet(false);
    for link in &mut world.links {
        link.network.weather = Weather {
            loss: world.random.pick(&[0, 0, 10, 40, 80]),
            twice: world.random.pick(&[0, 10, 50]),
            least_delay: Duration::ZERO,
            most_delay: world
                .random
                .pick(&[interval / 100, interval / 2, interval * 2]),
            in_order: false,
        };
    }
    for _ in 0..world.random.between(0, 10) {
        let pause = world.random.time(Duration::ZERO, interval * 4);
        world.run_until(world.now + pause)?;
        let at = world.random.below(world.nodes.len());
        let link = world.random.below(world.links.len());
        match world.random.below(16) {
            0 => world.crash(at),
            1 | 2 => world.start(at)?,
            3 => world.pause(at),
            4 => world.resume(at)?,
            5 => {
                let sides: Vec<_> = (0..MAX_NODES).map(|_| world.random.chance(50)).collect();
                world.links[link].network.split(&sides);
            }
            6 => {
                let to = world.random.below(world.nodes.len());
                world.links[link].network.deafen(at, to);
            }
            7 => world.links[link].network.heal(),
            8 => world.cut(link, at),
            9 => world.set_standing(at, link, fault())?,
            10 => world.set_standing(at, link, Standing::Well)?,
            11 => world.set_standing(at, link, Standing::Waiting("simulated".to_owned()))?,
            12 => {
                let weight = world.random.pick(&[-50, -2, 0, 2, 50]);
                world.set_weight(at, link, weight)?;
            }
            13 => world.reload(at, link)?,
            14 => {
                let force = world.random.chance(50);
                let order = match world.random.chance(50) {
                    true => Order::Failover { force },
                    false => Order::Failback,
                };
                world.operator(at, order)?;
            }
            _ => world.stop(at)?,
        }
    }
    let pause = world.random.time(Duration::ZERO, interval * 8);
    world.run_until(world.now + pause)
}

/// The networks heal, who was paused wakes, and at least one node can be master.
fn calm_down(world: &mut World) -> Result<(), String> {
    world.note(|| "quiet".to_owned());
    let calm = calm(world.limits.intervals.0);
    for link in &mut world.links {
        link.network.heal();
        link.network.weather = calm;
    }
    for at in 0..world.nodes.len() {
        world.resume(at)?;
        // What is not known yet becomes known.
        let members = &world.nodes[at].members;
        let waits = |one: &Member| matches!(one.own, Standing::Waiting(_));
        if members.iter().any(waits) || world.random.chance(70) {
            world.heal(at)?;
        }
        if world.nodes[at].life == Life::Down && world.random.chance(70) {
            world.start(at)?;
        }
    }
    if world.able().is_empty() {
        let at = world.random.below(world.nodes.len());
        world.start(at)?;
        world.heal(at)?;
    }
    // What was sent in the trouble arrives in it.
    world.run_until(world.now + world.limits.intervals.1 * 3)?;
    world.quiet(true);
    Ok(())
}

/// Waits for as long as the protocol may need; then one node is master of all, the right one, and remains it.
fn settle(world: &mut World, after: &str) -> Result<(), String> {
    let limits = world.limits;
    let time =
        limits.down * 3 + limits.preempt * 2 + limits.intervals.1 * 2 + HANDOVER + limits.slop;
    world.run_until(world.now + time)?;
    let able = world.able();
    if able.is_empty() {
        return Ok(());
    }
    let Some(master) = world.master() else {
        let masters = able.iter().filter(|at| world.nodes[**at].is_active());
        let count = masters.count();
        let able = able.len();
        return Err(format!("{after}: {count} masters of {able} able nodes"));
    };
    let better = able.iter().find(|at| {
        let node = &world.nodes[**at];
        !node.yields() && node.outranks(&world.nodes[master])
    });
    if let Some(better) = better {
        return Err(format!(
            "{after}: node {master} is master, and node {better} outranks it on every link"
        ));
    }
    let before = world.transitions();
    world.run_until(world.now + limits.intervals.1 * 6 + limits.preempt)?;
    unchanged(world, &before, after)
}

/// No state has changed since.
fn unchanged(world: &mut World, before: &[[u32; MAX_NODES]], what: &str) -> Result<(), String> {
    world.links[0].watch.checked += 1;
    match world.transitions() == before {
        true => Ok(()),
        false => Err(format!(
            "{what}: states change although nothing asks for it"
        )),
    }
}

/// Something happens to a settled group, and what is promised for it is checked.
fn mishap(world: &mut World) -> Result<&'static str, String> {
    let Some(master) = world.master() else {
        return Ok("without a master");
    };
    // Anywhere between two advertisements.
    let pause = world.random.time(Duration::ZERO, world.limits.intervals.1);
    world.run_until(world.now + pause)?;
    world.forget_gap();
    let link = world.random.below(world.links.len());
    match world.random.below(12) {
        0 => {
            world.stop(master)?;
            succession(world, master, "a clean stop", End::Told)
        }
        1 => {
            world.set_standing(master, link, fault())?;
            succession(
                world,
                master,
                "a fault of one member of the master",
                End::Told,
            )
        }
        2 => {
            // The carrier is lost: its last word leaves on the other links alone.
            world.cut(link, master);
            world.set_standing(master, link, fault())?;
            let name = succession(
                world,
                master,
                "a link that the master lost",
                End::ToldBut(link),
            )?;
            world.links[link].network.heal();
            if world.random.chance(70) {
                world.heal(master)?;
            }
            Ok(name)
        }
        3 | 4 => {
            let at = match world.random.chance(50) {
                true => master,
                false => world.random.below(world.nodes.len()),
            };
            one_link_breaks(world, master, at, link)
        }
        5 => {
            world.crash(master);
            succession(world, master, "the master's death", End::Silent)
        }
        6 => {
            world.pause(master);
            succession(world, master, "the master's freezing", End::Silent)?;
            let pause = world.random.time(Duration::ZERO, world.limits.down * 3);
            world.run_until(world.now + pause)?;
            world.resume(master)?;
            Ok("the master's waking")
        }
        7 => a_backup_sleeps(world, master),
        8 => a_node_returns(world, master),
        9 => operator(world, master),
        10 => {
            let at = world.random.below(world.nodes.len());
            world.reload(at, link)?;
            Ok("a reload of a priority")
        }
        _ => {
            let weight = world.random.pick(&[-60, -1, 1, 60]);
            let at = world.random.below(world.nodes.len());
            world.set_weight(at, link, weight)?;
            Ok("a change of priority")
        }
    }
}

/// The master went: another one follows it in the protocol's time, on all links.
fn succession(
    world: &mut World,
    gone: usize,
    name: &'static str,
    end: End,
) -> Result<&'static str, String> {
    let others = world.able();
    let heirs: Vec<_> = others.iter().copied().filter(|at| *at != gone).collect();
    let patience = heirs.iter().map(|at| world.patience(*at, end)).min();
    let Some(mut limit) = patience else {
        return Ok(name);
    };
    let with_gone: Vec<_> = heirs.iter().copied().chain([gone]).collect();
    if !world.agree(&with_gone) {
        // An advertisement that left on one link just before the end may be heard after the word on another one. And who comes at the same moment and wins on one link each gives all up, and tries once more.
        limit += world.limits.down * CONTRADICTIONS;
    }
    world.run_until(world.now + limit)?;
    world.links[0].watch.checked += 1;
    let gap = world.links[0].watch.gap(world.now);
    let is_heir = |at: &usize| *at != gone && world.nodes[*at].is_active();
    if !others.iter().any(is_heir) {
        return Err(format!("{name}: no master after {gap:?} (limit {limit:?})"));
    }
    Ok(name)
}

/// A link breaks for one node and nobody is told: while the master is heard on another link that it rightly holds, nothing
/// moves, neither then nor when the link is whole again.
fn one_link_breaks(
    world: &mut World,
    master: usize,
    at: usize,
    link: usize,
) -> Result<&'static str, String> {
    let name = "a link that breaks for one node";
    let obeys = |other: usize| {
        (0..world.links.len()).any(|any| {
            let (own, theirs) = (
                &world.nodes[other].members[any],
                &world.nodes[master].members[any],
            );
            any != link
                && (own.priority() <= theirs.priority()
                    || own.rules.nopreempt
                    || own.core.is_held())
        })
    };
    let is_moot = !world
        .able()
        .into_iter()
        .all(|other| other == master || obeys(other));
    let before = world.transitions();
    world.cut(link, at);
    if is_moot {
        world.quiet(false);
    }
    world.run_until(world.now + world.limits.down * 2 + world.limits.preempt)?;
    if !is_moot {
        unchanged(world, &before, name)?;
    }
    world.note(|| format!("link {link} is whole again"));
    world.links[link].network.heal();
    world.run_until(world.now + world.limits.intervals.1)?;
    world.quiet(true);
    if !is_moot {
        unchanged(world, &before, name)?;
    }
    Ok(name)
}

/// A backup that slept must not take the silence of its sleep for the master's.
fn a_backup_sleeps(world: &mut World, master: usize) -> Result<&'static str, String> {
    let name = "the sleep of a backup";
    let able = world.able();
    let backups: Vec<usize> = able.into_iter().filter(|at| *at != master).collect();
    if backups.is_empty() {
        return Ok(name);
    }
    let at = world.random.pick(&backups);
    let before = world.transitions();
    world.pause(at);
    let pause = world.random.time(Duration::ZERO, world.limits.down * 3);
    world.run_until(world.now + pause)?;
    world.resume(at)?;
    world.run_until(world.now + world.limits.down)?;
    unchanged(world, &before, name)?;
    Ok(name)
}

/// A node starts, or what failed is well again: it takes the addresses only if it outranks everywhere and may.
fn a_node_returns(world: &mut World, master: usize) -> Result<&'static str, String> {
    let name = "a node's return";
    let at = world.random.below(world.nodes.len());
    if at == master {
        return Ok(name);
    }
    let before = world.transitions();
    if world.nodes[at].life == Life::Up && !world.nodes[at].is_able() {
        world.heal(at)?;
    } else {
        world.heal(at)?;
        world.start(at)?;
    }
    let limits = world.limits;
    let time = limits.down * 2 + limits.preempt + limits.intervals.1 * 2 + limits.slop;
    world.run_until(world.now + time)?;
    world.links[0].watch.checked += 1;
    let node = &world.nodes[at];
    // An owner speaks before it listens.
    if node.members.iter().any(|one| one.priority() == u8::MAX) {
        return Ok(name);
    }
    let takes = node.outranks(&world.nodes[master]) && !node.yields();
    if takes && !node.is_active() {
        return Err(format!(
            "{name}: node {at} outranks the master and is not it"
        ));
    }
    let after = world.transitions();
    let changed = |one: &usize| {
        before
            .iter()
            .zip(&after)
            .any(|(old, new)| old[*one] != new[*one])
    };
    if !takes && (0..MAX_NODES).any(|one| one != at && changed(&one)) {
        return Err(format!(
            "{name}: node {at} may not be master, and others changed"
        ));
    }
    Ok(name)
}

/// An operator gives the addresses away, and perhaps takes them back.
fn operator(world: &mut World, master: usize) -> Result<&'static str, String> {
    let name = "an operator's failover";
    let force = world.random.chance(30);
    if !world.operator(master, Order::Failover { force })? {
        return Err(format!("{name} was refused on the master"));
    }
    let time = drifted(HANDOVER + world.limits.intervals.1 * 2);
    world.run_until(world.now + time)?;
    world.links[0].watch.checked += 1;
    let able = world.able();
    let left = !world.nodes[master].is_active();
    // Heirs whose links contradict each other may all give up, and then it is the best again.
    if able.len() > 1 && world.agree(&able) && force && !left {
        return Err(format!("{name}: the addresses are still there"));
    }
    if left && world.random.chance(50) {
        world.operator(master, Order::Failback)?;
    }
    Ok(name)
}
