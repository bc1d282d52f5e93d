//! Common clients in many languages play one scenario side by side, while the node is stopped and killed.
//!
//! Each client has topics and a group of its own. An act is played by all of them at once, since
//! most of their time they wait (for a rebalance, for a session to run out); then the node goes
//! down for all. Who fails in one act is out of the next, which counts as failed too.

mod client;
mod record;
mod scenario;

use std::sync::{Arc, Mutex};
use std::thread;

pub(super) use client::{Client, install};
use scenario::Cast;

use super::{Promise, Scene, directory};
use crate::x::{Failure, Outcome};

type Act = fn(&mut Cast) -> Outcome<()>;

/// One client and what has become of it.
struct Player {
    cast: Cast,
    out: bool,
}

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    let logs = scene.server.setup().dir.clone();
    let mut players: Vec<Player> = scene
        .tools
        .clients
        .iter()
        .zip(scene.tools.clients.iter().cycle().skip(1))
        .map(|(client, reader)| {
            let address = scene.server.address();
            let cast = Cast::new(
                [Arc::clone(client), Arc::clone(reader)],
                address,
                scene.tools.base_ms,
                logs.clone(),
            );
            Player { cast, out: false }
        })
        .collect();
    act(
        scene,
        &mut players,
        "all codecs, by offset and by time",
        Cast::codecs,
    );
    act(
        scene,
        &mut players,
        "two members share, one is killed",
        Cast::share,
    );
    let (mut players, retired): (Vec<Player>, Vec<Player>) = players
        .into_iter()
        .partition(|player| player.cast.client.outlives_node);
    for mut player in retired.into_iter().filter(|player| !player.out) {
        player.cast.retire();
        promise(scene, player.cast, false);
    }
    scene.step("it stops cleanly among its clients", directory::stop);
    scene.server.start()?;
    act(
        scene,
        &mut players,
        "goes on after a clean stop",
        Cast::go_on,
    );
    scene.server.kill()?;
    scene.server.start()?;
    act(scene, &mut players, "goes on after kill -9", Cast::go_on);
    act(scene, &mut players, "a new member resumes", Cast::resume);
    for player in players.into_iter().filter(|player| !player.out) {
        promise(scene, player.cast, true);
    }
    Ok(())
}

/// What one of them wrote stays readable, and what it committed stays committed.
fn promise(scene: &mut Scene, cast: Cast, commits: bool) {
    let name = format!("{}: what it left", cast.client.name);
    // Conversations may not be shared between threads, though none is left open here.
    let cast = Mutex::new(cast);
    let verify = move |_: &super::Tools, _: &str| {
        let Ok(cast) = cast.lock() else {
            return Err(Failure::new("an earlier look at it has panicked"));
        };
        cast.verify_codecs()?;
        match commits {
            true => cast.verify_committed(),
            false => Ok(()),
        }
    };
    let verify = Box::new(verify);
    scene.promises.push(Promise { name, verify });
}

fn act(scene: &mut Scene, players: &mut [Player], name: &str, act: Act) {
    let verdicts: Vec<(String, Outcome<()>)> = thread::scope(|scope| {
        let running: Vec<_> = players
            .iter_mut()
            .map(|player| {
                let name = format!("{}: {name}", player.cast.client.name);
                (name, scope.spawn(move || perform(player, act)))
            })
            .collect();
        let verdict = |run: thread::ScopedJoinHandle<'_, Outcome<()>>| {
            run.join()
                .unwrap_or_else(|_| Err(Failure::new("the driver's own thread has panicked")))
        };
        running
            .into_iter()
            .map(|(name, run)| (name, verdict(run)))
            .collect()
    });
    for (name, verdict) in verdicts {
        scene.tell(&name, verdict);
    }
}

fn perform(player: &mut Player, act: Act) -> Outcome<()> {
    if player.out {
        return Err(Failure::new("out since an earlier act"));
    }
    let verdict = act(&mut player.cast);
    player.out = verdict.is_err();
    verdict
}
