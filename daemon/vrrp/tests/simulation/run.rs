//! A run: trouble, then quiet in which all must be well, then one mishap after the other with its own promise.

use std::time::Duration;

use crate::network::{MAX_NODES, Weather};
use crate::node::Life;
use crate::world::{World, calm, drifted};

/// Rounds of trouble and quiet in a run.
const ROUNDS: usize = 2;
/// Mishaps in the quiet of a round.
const MISHAPS: usize = 3;
/// Longest that a failover waits for a successor, apart from its skew.
pub(crate) const HANDOVER: Duration = Duration::from_millis(1_300);

/// What a run found wrong.
pub(crate) struct Failure {
    /// What.
    pub(crate) what: String,
    /// What happened before.
    pub(crate) trace: Vec<String>,
}

/// Runs the group of a seed; how many facts were checked.
pub(crate) fn run(seed: u64, traced: bool) -> Result<u64, Failure> {
    let mut world = World::new(seed, traced);
    match live(&mut world) {
        Ok(()) => Ok(world.watch.checked),
        Err(what) => {
            let what = format!(
                "{}at {:.6} s: {what}",
                world.described(),
                world.now.as_secs_f64()
            );
            Err(Failure {
                what,
                trace: world.trace(),
            })
        }
    }
}

fn live(world: &mut World) -> Result<(), String> {
    for at in 0..world.nodes.len() {
        if world.random.chance(80) {
            world.start(at)?;
        }
    }
    for _ in 0..ROUNDS {
        trouble(world)?;
        calm_down(world)?;
        settle(world, "after the trouble")?;
        for _ in 0..MISHAPS {
            let name = mishap(world)?;
            settle(world, name)?;
        }
    }
    Ok(())
}

/// Some time in which packets are lost, nodes die and nothing is promised but what always holds.
fn trouble(world: &mut World) -> Result<(), String> {
    let interval = world.limits.intervals.0;
    world.watch.quiet(None);
    world.network.weather = Weather {
        loss: world.random.pick(&[0, 10, 40, 80]),
        twice: world.random.pick(&[0, 10, 50]),
        least_delay: Duration::ZERO,
        most_delay: world
            .random
            .pick(&[interval / 100, interval / 2, interval * 2]),
        in_order: false,
    };
    for _ in 0..world.random.between(0, 8) {
        let pause = world.random.time(Duration::ZERO, interval * 4);
        world.run_until(world.now + pause)?;
        let at = world.random.below(world.nodes.len());
        match world.random.below(13) {
            0 => world.crash(at),
            1 | 2 => world.start(at)?,
            3 => world.pause(at),
            4 => world.resume(at)?,
            5 => {
                let sides = world.sides();
                world.network.split(&sides);
            }
            6 => {
                let to = world.random.below(world.nodes.len());
                world.network.deafen(at, to);
            }
            7 => world.network.heal(),
            8 => {
                let fault = world.random.chance(50);
                world.set_fault(at, fault)?;
            }
            9 => {
                let weight = world.random.pick(&[-50, -2, 0, 2, 50]);
                world.set_weight(at, weight)?;
            }
            10 => world.reload(at)?,
            11 => {
                let force = world.random.chance(50);
                world.failover(at, force)?;
            }
            _ => {
                if world.random.chance(50) {
                    world.failback(at)?;
                } else {
                    world.stop(at)?;
                }
            }
        }
    }
    let pause = world.random.time(Duration::ZERO, interval * 8);
    world.run_until(world.now + pause)
}

/// The network heals, who was paused wakes, and at least one node can be master.
fn calm_down(world: &mut World) -> Result<(), String> {
    world.note(|| "quiet".to_owned());
    world.network.heal();
    world.network.weather = calm(world.limits.intervals.0);
    for at in 0..world.nodes.len() {
        world.resume(at)?;
        if world.nodes[at].fault && world.random.chance(70) {
            world.set_fault(at, false)?;
        }
        if world.nodes[at].life == Life::Down && world.random.chance(70) {
            world.start(at)?;
        }
    }
    if world.able().is_empty() {
        let at = world.random.below(world.nodes.len());
        world.start(at)?;
        world.set_fault(at, false)?;
    }
    // What was sent in the trouble arrives in it.
    world.run_until(world.now + drifted(world.limits.intervals.1) * 3)?;
    world.watch.quiet(Some(world.now));
    Ok(())
}

/// Waits for as long as the protocol may need; then one node is master, the right one, and remains it.
fn settle(world: &mut World, after: &str) -> Result<(), String> {
    let limits = world.limits;
    let time =
        limits.down * 2 + limits.preempt * 2 + limits.intervals.1 * 2 + HANDOVER + limits.slop;
    world.run_until(world.now + time)?;
    let able = world.able();
    let Some(master) = world.master() else {
        let masters = able.iter().filter(|at| world.nodes[**at].core.is_active());
        let count = masters.count();
        return if able.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "{after}: {count} masters of {} able nodes",
                able.len()
            ))
        };
    };
    let priority = world.nodes[master].core.effective_priority();
    let better = able.iter().find(|at| {
        let node = &world.nodes[**at];
        let waits = node.rules.nopreempt || node.core.is_held();
        !waits && node.core.effective_priority() > priority
    });
    if let Some(better) = better {
        let theirs = world.nodes[*better].core.effective_priority();
        return Err(format!(
            "{after}: node {master} (priority {priority}) is master, and not node {better} (priority {theirs})"
        ));
    }
    let before = world.watch.transitions();
    world.run_until(world.now + limits.intervals.1 * 6 + limits.preempt)?;
    world.watch.checked += 2;
    if world.watch.transitions() != before {
        return Err(format!("{after}: states change although all was settled"));
    }
    Ok(())
}

/// Something happens to a settled group, and what the protocol promises for it is checked.
fn mishap(world: &mut World) -> Result<&'static str, String> {
    let Some(master) = world.master() else {
        return Ok("without a master");
    };
    // Anywhere between two advertisements.
    let pause = world.random.time(Duration::ZERO, world.limits.intervals.1);
    world.run_until(world.now + pause)?;
    match world.random.below(12) {
        0 => {
            world.watch.forget_gap(world.now);
            world.stop(master)?;
            succession(world, master, "a clean stop", false)
        }
        1 => {
            world.watch.forget_gap(world.now);
            world.set_fault(master, true)?;
            succession(world, master, "a fault of the master", false)
        }
        2 | 3 => {
            world.watch.forget_gap(world.now);
            world.crash(master);
            succession(world, master, "the master's death", true)
        }
        4 => {
            world.watch.forget_gap(world.now);
            world.pause(master);
            succession(world, master, "the master's freezing", true)?;
            let pause = world.random.time(Duration::ZERO, world.limits.down * 3);
            world.run_until(world.now + pause)?;
            world.resume(master)?;
            a_master_wakes(world, master)
        }
        5 => a_backup_sleeps(world, master),
        6 => a_node_returns(world, master),
        7 => operator(world, master),
        8 => split(world),
        9 | 10 => a_reload(world),
        _ => {
            let weight = world.random.pick(&[-60, -1, 1, 60]);
            let at = world.random.below(world.nodes.len());
            world.set_weight(at, weight)?;
            Ok("a change of priority")
        }
    }
}

/// The master went: the best of the others follows it in the protocol's time.
fn succession(
    world: &mut World,
    gone: usize,
    name: &'static str,
    silently: bool,
) -> Result<&'static str, String> {
    let interval = world.nodes[gone].rules.advert_interval;
    let others = world.able();
    let heirs = others.iter().filter(|at| **at != gone);
    let Some(skew) = heirs.map(|at| world.skew(*at, interval)).min() else {
        return Ok(name);
    };
    let down = if silently {
        interval * world.nodes[gone].rules.down_timer_adverts
    } else {
        Duration::ZERO
    };
    let limit = drifted(down + skew) + world.limits.slop;
    world.run_until(world.now + limit)?;
    world.watch.checked += 1;
    let gap = world.watch.gap(world.now);
    let has_master = others
        .iter()
        .any(|at| *at != gone && world.nodes[*at].core.is_active());
    if !has_master {
        return Err(format!("{name}: no master after {gap:?} (limit {limit:?})"));
    }
    Ok(name)
}

/// A master that others followed: with `timer_expired_backup` it leaves them the addresses.
fn a_master_wakes(world: &mut World, woken: usize) -> Result<&'static str, String> {
    let name = "the master's waking";
    let yields = world.nodes[woken].rules.timer_expired_backup.is_some();
    let is_heir = |world: &World, at: &usize| *at != woken && world.nodes[*at].core.is_active();
    let was_followed = world.able().iter().any(|at| is_heir(world, at));
    // What an owner follows is its right to speak at once, and a fault's end is no waking.
    if !yields || !was_followed || !world.nodes[woken].is_able() {
        return Ok(name);
    }
    let before = world.watch.sent(woken);
    world.run_until(world.now + world.limits.intervals.1 * 2)?;
    world.watch.checked += 1;
    // Its last word is priority 0, which makes the other one announce the addresses again.
    if world.nodes[woken].core.is_active() || world.watch.sent(woken) > before + 1 {
        return Err(format!(
            "{name}: node {woken} speaks although another one followed it"
        ));
    }
    Ok(name)
}

/// Another priority comes by a reload: whoever is master then, there is never none.
fn a_reload(world: &mut World) -> Result<&'static str, String> {
    let name = "a reload of a priority";
    let at = world.random.below(world.nodes.len());
    world.watch.forget_gap(world.now);
    world.reload(at)?;
    let limits = world.limits;
    let time = limits.down + limits.preempt + limits.intervals.1 * 2 + limits.slop;
    world.run_until(world.now + time)?;
    world.watch.checked += 1;
    let gap = world.watch.gap(world.now);
    match gap.is_zero() {
        true => Ok(name),
        false => Err(format!("{name}: no master for {gap:?}")),
    }
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
    let before = world.watch.transitions();
    world.pause(at);
    let pause = world.random.time(Duration::ZERO, world.limits.down * 3);
    world.run_until(world.now + pause)?;
    world.resume(at)?;
    world.run_until(world.now + world.limits.down)?;
    world.watch.checked += 1;
    if world.watch.transitions() != before {
        return Err(format!("{name} (node {at}) changed states"));
    }
    Ok(name)
}

/// A node starts, or what failed is well again: it takes the addresses only if it outranks and may.
fn a_node_returns(world: &mut World, master: usize) -> Result<&'static str, String> {
    let name = "a node's return";
    let at = world.random.below(world.nodes.len());
    if at == master {
        return Ok(name);
    }
    let before = world.watch.transitions();
    if world.nodes[at].fault {
        world.set_fault(at, false)?;
        if world.nodes[at].life == Life::Down {
            world.start(at)?;
        }
    } else {
        world.start(at)?;
    }
    let limits = world.limits;
    let time = limits.down + limits.preempt + limits.intervals.1 * 2 + limits.slop;
    world.run_until(world.now + time)?;
    let rules = &world.nodes[at].rules;
    let is_owner = rules.base_priority == u8::MAX;
    let outranks = world.nodes[at].priority() > world.nodes[master].priority();
    // What an operator gave away remains so through a fault.
    let waits = rules.nopreempt || world.nodes[at].core.is_held();
    let takes = is_owner || (outranks && !waits);
    world.watch.checked += 1;
    let after = world.watch.transitions();
    if takes && !world.nodes[at].core.is_active() {
        return Err(format!(
            "{name}: node {at} outranks the master and is not it"
        ));
    }
    if !takes && (0..MAX_NODES).any(|one| one != at && before[one] != after[one]) {
        return Err(format!(
            "{name}: node {at} may not be master, and others changed"
        ));
    }
    Ok(name)
}

/// An operator gives the addresses away, and perhaps takes them back.
fn operator(world: &mut World, master: usize) -> Result<&'static str, String> {
    let name = "an operator's failover";
    let others = world.able().len() - 1;
    let force = world.random.chance(30);
    world.watch.forget_gap(world.now);
    if !world.failover(master, force)? {
        return Err(format!("{name} was refused on the master"));
    }
    if others == 0 {
        return Ok(name);
    }
    let succeeded = succession(world, master, name, false);
    // A successor with less than its best priority is not well: it is told to yield.
    let is_refusal = |why: &String| why.contains("something that it tracks fails");
    if let Some(Err(why)) = &world.watch.failover
        && is_refusal(why)
        && !force
    {
        world.watch.checked += 1;
        return match world.nodes[master].core.is_active() {
            true => Ok(name),
            false => Err(format!("{name}: refused, and the master is none")),
        };
    }
    succeeded?;
    world.run_until(world.now + HANDOVER)?;
    world.watch.checked += 1;
    if world.nodes[master].core.is_active() {
        return Err(format!("{name}: the addresses came back"));
    }
    match &world.watch.failover {
        Some(Ok(_)) => {}
        other => return Err(format!("{name}: its outcome is {other:?}")),
    }
    if world.random.chance(50) {
        world.failback(master)?;
    }
    Ok(name)
}

/// The network falls in two, each half has a master, and it heals.
fn split(world: &mut World) -> Result<&'static str, String> {
    let sides = world.sides();
    world.network.split(&sides);
    world.note(|| format!("split: {sides:?}"));
    world.watch.quiet(None);
    let limits = world.limits;
    world.run_until(world.now + limits.down + limits.intervals.1 + limits.slop)?;
    for side in [false, true] {
        let able = world.able();
        let mut here = able.iter().filter(|at| sides[**at] == side).peekable();
        let has_any = here.peek().is_some();
        world.watch.checked += 1;
        if has_any && !here.any(|at| world.nodes[*at].core.is_active()) {
            return Err("a half of the network has no master".to_owned());
        }
    }
    world.network.heal();
    world.note(|| "healed".to_owned());
    world.run_until(world.now + limits.intervals.1)?;
    world.watch.quiet(Some(world.now));
    Ok("a split that healed")
}
