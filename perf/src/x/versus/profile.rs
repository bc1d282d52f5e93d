//! `cargo x profile ROW`: where the node's CPU time goes under a row, as a flame graph.
//!
//! Linux's `perf` samples the node's process while the row is played; stacks are folded and drawn
//! here. The picture goes to `perf/results/profiles`, the functions that cost most themselves to the
//! screen. Samples say where time goes, not how fast anything is: the sampling itself costs a little.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;

use super::options::Options;
use super::programs::Programs;
use super::results;
use super::rows::{self, Plan, Row};
use super::scene::Scene;
use super::subject::{Durability, Subject};
use crate::x::process::Program;
use crate::x::server::{Server, Setup};
use crate::x::{Context, Failure, Outcome, Tally, packages};

const HELP: &str = "cargo x profile ROW [--shards 1|2] [--durability flush|write] [--seconds N]";
const PORT: u16 = 21310;
const SECONDS_DEFAULT: u64 = 8;
const SECONDS_MAX: u64 = 600;
/// Off the beat of timers that tick in round numbers.
const SAMPLES_PER_SECOND: &str = "499";
/// The row runs for this long before and after the samples are taken.
const MARGIN: Duration = Duration::from_secs(2);
const PERF_LIMIT: Duration = Duration::from_secs(900);
const TOP: usize = 25;

struct Wish {
    row: &'static Row,
    subject: Subject,
    durability: Durability,
    seconds: u64,
}

pub fn profile(arguments: &[&str]) -> Outcome<Tally> {
    let wish = Wish::parse(arguments)?;
    let perf = packages::tool("perf", "linux-perf")?;
    // Of what is read, the quick form writes least: samples begin when it is being read.
    let words = ["--quick", "--only", wish.row.id, "--side", "thalweg"];
    let mut options = Options::parse(&words)?;
    options.times.row = Duration::from_secs(wish.seconds) + MARGIN * 2;
    options.times.row_warm_up = Duration::from_secs(1);
    let programs = Programs::install(&options)?;
    let raw = packages::cache().join("perf.data");
    record(&wish, (&options, &programs), (&perf, &raw))?;
    let folded = fold(&perf, &raw);
    drop(fs::remove_file(&raw));
    let folded = folded?;
    let picture = draw(&wish, &folded)?;
    eprintln!("{}", top(&folded));
    eprintln!("the flame graph is {}", picture.display());
    Ok(Tally {
        passed: 1,
        ..Tally::default()
    })
}

impl Wish {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let usage = || Failure::new(format!("{HELP}\n`cargo x versus --list` tells the rows"));
        let (id, rest) = arguments.split_first().ok_or_else(usage)?;
        let row = rows::find(id).ok_or_else(usage)?;
        if matches!(row.plan, Plan::Absent(_)) {
            return Err(Failure::new(format!("row {id} cannot be played yet")));
        }
        let durability = row.durabilities.first().copied();
        let mut wish = Self {
            row,
            subject: Subject::Thalweg2,
            durability: durability.unwrap_or(Durability::Write),
            seconds: SECONDS_DEFAULT,
        };
        for pair in rest.chunks(2) {
            match pair {
                ["--shards", "1"] => wish.subject = Subject::Thalweg1,
                ["--shards", "2"] => wish.subject = Subject::Thalweg2,
                ["--durability", "flush"] => wish.durability = Durability::Flush,
                ["--durability", "write"] => wish.durability = Durability::Write,
                ["--seconds", number] => {
                    let seconds = number.parse().ok();
                    wish.seconds = seconds
                        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
                        .ok_or_else(usage)?;
                }
                _ => return Err(usage()),
            }
        }
        Ok(wish)
    }
}

/// Plays the row on a fresh node and samples the node meanwhile.
fn record(
    wish: &Wish,
    (options, programs): (&Options, &Programs),
    (perf, raw): (&Path, &Path),
) -> Outcome<()> {
    let kind = wish.subject.kind();
    let mut setup = Setup::fresh(kind, "profile", PORT, &programs.thalweg)?;
    setup.extra = wish.subject.extra(wish.durability);
    let mut server = Server::new(setup);
    server.start()?;
    let mut scene = Scene {
        server,
        subject: wish.subject,
        durability: wish.durability,
        options,
        times: options.times,
        programs,
        half_rate: None,
        restart_seconds: None,
    };
    scene.prepare(wish.row)?;
    let process = scene.process()?;
    let done = AtomicBool::new(false);
    let (sampled, played) = thread::scope(|scope| {
        let player = scope.spawn(|| {
            // A row that reads ends when everything is read; it is played again then.
            loop {
                scene.play(wish.row)?;
                if done.load(Ordering::Acquire) {
                    return scene.server.stop().map(drop);
                }
            }
        });
        thread::sleep(MARGIN);
        let sampled = sample(perf, raw, (process, wish.seconds));
        done.store(true, Ordering::Release);
        (sampled, player.join())
    });
    match played {
        Ok(result) => result.and(sampled),
        Err(_) => Err(Failure::new("the thread that plays the row panicked")),
    }
}

fn sample(perf: &Path, raw: &Path, (process, seconds): (u32, u64)) -> Outcome<()> {
    let output = Program::new(perf)
        .args(["record", "--quiet", "-F", SAMPLES_PER_SECOND])
        .args(["--call-graph", "dwarf,16384", "-p", &process.to_string()])
        .arg("-o")
        .arg(raw)
        .args(["--", "sleep", &seconds.to_string()])
        .limit(PERF_LIMIT)
        .run();
    output.map(drop)
}

/// One line a stack: its functions from the outermost, and how often it was seen.
fn fold(perf: &Path, raw: &Path) -> Outcome<String> {
    let script = Program::new(perf)
        .args(["script", "--no-inline", "-i"])
        .arg(raw)
        .limit(PERF_LIMIT)
        .run()?;
    let mut folded = Vec::new();
    Folder::default()
        .collapse(script.stdout.as_bytes(), &mut folded)
        .context(|| "folding the samples")?;
    let folded = String::from_utf8_lossy(&folded).into_owned();
    match folded.lines().count() {
        0 => Err(Failure::new("perf took no sample")),
        _ => Ok(folded),
    }
}

fn draw(wish: &Wish, folded: &str) -> Outcome<PathBuf> {
    let dir = results::folder().join("profiles");
    fs::create_dir_all(&dir).context(|| "creating the folder for profiles")?;
    let path = dir.join(format!(
        "row-{}-{}.svg",
        wish.row.id,
        wish.durability.name()
    ));
    let mut options = inferno::flamegraph::Options::default();
    options.title = format!(
        "{}: row {}, {} ({})",
        wish.subject.name(),
        wish.row.id,
        wish.row.title,
        wish.durability.name()
    );
    let mut picture = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut picture)
        .context(|| "drawing the flame graph")?;
    fs::write(&path, picture).context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// The functions that were running when samples were taken, most frequent first.
fn top(folded: &str) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut total = 0;
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else {
            continue;
        };
        let count: u64 = count.parse().unwrap_or(0);
        *counts
            .entry(stack.rsplit(';').next().unwrap_or(stack))
            .or_default() += count;
        total += count;
    }
    let mut sorted: Vec<(&str, u64)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines = sorted.iter().take(TOP).map(|(name, count)| {
        let share = *count as f64 * 100.0 / total as f64;
        format!("{share:5.1}%  {name}\n")
    });
    format!(
        "own time of {total} samples:\n{}",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_is_that_of_the_innermost() {
        let told = top("thalweg;main;serve;crc 30\nthalweg;main;serve 10\nthalweg;crc 60\n");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            ["own time of 100 samples:", " 90.0%  crc", " 10.0%  serve"]
        );
    }

    #[test]
    fn a_wish_names_a_row_that_can_be_played() {
        let wish = Wish::parse(&["8p", "--shards", "1", "--seconds", "3"]).unwrap();
        assert_eq!((wish.subject, wish.seconds), (Subject::Thalweg1, 3));
        assert_eq!(wish.durability, Durability::Write);
        for wrong in [
            &[][..],
            &["99"],
            &["16r"],
            &["8p", "--shards", "9"],
            &["8p", "--seconds", "0"],
        ] {
            assert!(Wish::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
