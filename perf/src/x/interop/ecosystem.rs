//! Applications built on Kafka: Kafka Streams with exactly-once, killed in the middle, as is the node.
//!
//! A word count behind a repartition topic and a windowed join (`perf/interop/clients/java/Streams.java`) are
//! fed while first the application and then the node get kill -9. Readers of committed records must then find each
//! word counted to its number without a gap or a repeat, and each pair within the window once. The topics that
//! Streams makes for itself must be accepted with the configs it asks for, as they are on Apache Kafka.
//! Absent: Connect, MirrorMaker, a schema registry, Spark and Flink.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Scene, expect_lines};
use crate::x::packages;
use crate::x::process::{Daemon, Program};
use crate::x::{Context, Failure, Outcome};

/// The configs that Apache Kafka shows for the topics Streams makes.
const CONFIGS: &str = include_str!("../../../interop/clients/java/streams-configs.txt");
const PREFIX: &str = "streams";
/// Committed records that are waited for before each kill, so that it comes in the middle of work.
const STEP: usize = 1_000;
/// In each line.
const WORDS: usize = 3;
/// A restarted instance waits for the old one's session and restores its stores; readers wait 150 s by themselves.
const LIMIT: Duration = Duration::from_secs(240);

/// The application's classes and where they talk to.
struct Application {
    path: String,
    address: String,
    folder: PathBuf,
}

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    let mut fed = None;
    scene.step(
        "Kafka Streams counts exactly once; application and node get kill -9",
        |scene| streams(scene).map(|rounds| fed = Some(rounds)),
    );
    scene.step("Streams' own topics have the configs it asks for", configs);
    if let Some(rounds) = fed {
        scene.promise(
            "what Streams committed",
            |_| Ok(()),
            Box::new(move |tools, address| {
                let folder = packages::cache().join("run");
                Application::at(&tools.jars, address, folder)?.expect_exact(rounds)
            }),
        );
    }
    Ok(())
}

fn configs(scene: &mut Scene) -> Outcome<()> {
    let shown = Application::new(scene)?.ask(&["configs"])?;
    if scene.record {
        let file = packages::root().join("perf/interop/clients/java/streams-configs.txt");
        return fs::write(file, shown).context(|| "writing down the configs");
    }
    let wanted: Vec<String> = CONFIGS.lines().map(str::to_owned).collect();
    expect_lines("configs", &shown, &wanted)
}

/// Plays it; the rounds that were fed.
fn streams(scene: &mut Scene) -> Outcome<usize> {
    let application = Application::new(scene)?;
    application.ask(&["create"])?;
    let stop = application.folder.join("streams-feed.stop");
    let words = ["feed", text(&stop)?, &scene.tools.base_ms.to_string()];
    let feeder = application.program(&words);
    // It feeds through both kills; its producer tries again while the node is away.
    let feeder = thread::spawn(move || feeder.run());
    let first = application.start()?;
    let seen = application.wait_for(STEP)?;
    first.kill()?;
    let mut second = application.start()?;
    application.wait_for(seen + STEP)?;
    scene.server.kill()?;
    scene.server.start()?;
    application.wait_for(seen + 2 * STEP)?;
    fs::write(&stop, "").context(|| "telling the feeder to stop")?;
    let Ok(fed) = feeder.join() else {
        return Err(Failure::new("the feeder's thread panicked"));
    };
    let rounds = number(&fed?.stdout)?;
    application.expect_exact(rounds)?;
    if let Some(status) = second.ended() {
        return Err(Failure::new(format!("the application ended with {status}")));
    }
    second.stop(LIMIT)?;
    Ok(rounds)
}

fn number(shown: &str) -> Outcome<usize> {
    // A client may complain before it prints.
    let number = shown.lines().last().unwrap_or("").parse();
    number.context(|| format!("a number was expected: {shown}"))
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().context(|| "a path that is no text")
}

impl Application {
    fn new(scene: &Scene) -> Outcome<Self> {
        let folder = scene.server.setup().dir.clone();
        Self::at(&scene.tools.jars, &scene.server.address(), folder)
    }

    fn at(jars: &Path, address: &str, folder: PathBuf) -> Outcome<Self> {
        let sources = packages::root().join("perf/interop/clients/java");
        let classes = packages::java_classes(&sources, jars)?;
        Ok(Self {
            path: format!("{}:{}/*", classes.display(), jars.display()),
            address: address.to_owned(),
            folder,
        })
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let words = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        Program::new("java")
            .args(words)
            .args(["-cp", &self.path, "Streams", &self.address, PREFIX])
            .args(arguments)
            .limit(LIMIT)
    }

    /// What it printed.
    fn ask(&self, arguments: &[&str]) -> Outcome<String> {
        Ok(self.program(arguments).run()?.stdout)
    }

    /// One instance; a second one finds the state that the first has left.
    fn start(&self) -> Outcome<Daemon> {
        let state = self.folder.join("streams-state");
        let log = self.folder.join("streams.out");
        self.program(&["run", text(&state)?]).spawn(&log)
    }

    /// Until so many records are committed; how many there were.
    fn wait_for(&self, records: usize) -> Outcome<usize> {
        number(&self.ask(&["wait", &records.to_string()])?)
    }

    fn expect_exact(&self, rounds: usize) -> Outcome<()> {
        let pairs = (0..rounds).filter(|round| is_joined(*round)).count();
        let records = rounds * WORDS + pairs;
        let shown = self.ask(&["seen", &records.to_string()])?;
        expect_lines("committed records", &shown, &exact(rounds))
    }
}

fn is_joined(round: usize) -> bool {
    round % 3 != 2
}

/// Every word's count and every pair, by key.
fn exact(rounds: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..rounds {
        let words = [
            "all".to_owned(),
            format!("w{}", round % 7),
            format!("x{}", round % 3),
        ];
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
        if is_joined(round) {
            let key = format!("key-{round}");
            let line = format!("{key}: [l{round}+r{round}]");
            lines.insert(key, line);
        }
    }
    for (word, count) in counts {
        let line = format!("{word}: counts to {count}");
        lines.insert(word, line);
    }
    lines.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_counted_and_every_third_pair_is_outside_of_the_window() {
        let wanted = [
            "all: counts to 3",
            "key-0: [l0+r0]",
            "key-1: [l1+r1]",
            "w0: counts to 1",
            "w1: counts to 1",
            "w2: counts to 1",
            "x0: counts to 1",
            "x1: counts to 1",
            "x2: counts to 1",
        ];
        assert_eq!(exact(3), wanted);
    }
}
