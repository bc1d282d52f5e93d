//! `cargo x instructions [--record]`: how many instructions the hot functions take, as a gate.
//!
//! Callgrind counts what the program executes, not how long it takes: a busy machine changes
//! nothing. Each case is run twice, the second time with more calls; the difference is the calls
//! alone, without start and input. More than a tenth over what is recorded in
//! `perf/instructions.toml` fails; less is told, so that the gain is recorded and kept.
//!
//! The counts depend on the compiler (pinned by `rust-toolchain.toml`), the build profile and, by
//! way of libc's and the checksum's choice of instructions, a little on the processor: hence the
//! tolerance.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::Program;
use super::server;
use super::{Context, Failure, Outcome, Tally, packages};
use crate::hot::CASES;

const FILE: &str = "perf/instructions.toml";
const HEAD: &str = "\
# Instructions a call of the hot functions (perf/src/hot.rs), counted by callgrind in the release
# build. Written by `cargo x instructions --record`; `cargo x instructions` fails when one has grown.
";
const TOLERANCE_PERCENT: u64 = 10;
/// Calls of the first run, and how many more the second makes.
const CALLS: u64 = 512;
const LIMIT: Duration = Duration::from_secs(300);

type Counts = BTreeMap<String, u64>;

pub fn instructions(arguments: &[&str]) -> Outcome<Tally> {
    let is_recording = match arguments {
        [] => false,
        ["--record"] => true,
        _ => return Err(Failure::new("cargo x instructions [--record]")),
    };
    let valgrind = packages::tool("valgrind", "valgrind")?;
    let program = server::hot()?;
    let mut counted = Counts::new();
    for (name, _) in CASES {
        let few = count(&valgrind, &program, name, CALLS)?;
        let many = count(&valgrind, &program, name, 2 * CALLS)?;
        counted.insert(name.to_owned(), many.saturating_sub(few) / CALLS);
    }
    let file = packages::root().join(FILE);
    if is_recording {
        fs::write(&file, rendered(&counted)).context(|| format!("writing {FILE}"))?;
        eprint!("{}", rendered(&counted));
        return Ok(Tally {
            passed: counted.len() as u64,
            ..Tally::default()
        });
    }
    let text = fs::read_to_string(&file).context(|| format!("reading {FILE}"))?;
    let recorded: Counts = toml::from_str(&text).context(|| format!("reading {FILE}"))?;
    let mut tally = Tally::default();
    for line in compare(&recorded, &counted) {
        eprintln!("{}", line.text);
        match line.is_passed {
            true => tally.passed += 1,
            false => tally.failed += 1,
        }
    }
    Ok(tally)
}

/// All the instructions of one run.
fn count(valgrind: &Path, program: &PathBuf, name: &str, calls: u64) -> Outcome<u64> {
    let output = Program::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &calls.to_string()])
        .limit(LIMIT)
        .run()?;
    let total = |line: &str| line.split("Collected : ").nth(1)?.trim().parse().ok();
    output
        .stderr
        .lines()
        .find_map(total)
        .context(|| format!("callgrind told no count for {name}:\n{}", output.stderr))
}

fn rendered(counts: &Counts) -> String {
    let lines = counts
        .iter()
        .map(|(name, count)| format!("{name} = {count}\n"));
    HEAD.to_owned() + &lines.collect::<String>()
}

struct Line {
    text: String,
    is_passed: bool,
}

/// A line for each case and for each record without a case.
fn compare(recorded: &Counts, counted: &Counts) -> Vec<Line> {
    let gone = recorded.keys().filter(|name| !counted.contains_key(*name));
    let gone = gone.map(|name| Line {
        text: format!("{name}: recorded, but no case any more; run it with --record"),
        is_passed: false,
    });
    let there = counted.iter().map(|(name, count)| {
        let Some(before) = recorded.get(name) else {
            return Line {
                text: format!("{name}: {count}, not recorded; run it with --record"),
                is_passed: false,
            };
        };
        let percent = (*count as f64 / *before as f64 - 1.0) * 100.0;
        let is_passed = count * 100 <= before * (100 + TOLERANCE_PERCENT);
        let advice = if !is_passed {
            "; too many: find out why, or run it with --record and say why in the commit"
        } else if count * 100 < before * (100 - TOLERANCE_PERCENT) {
            "; keep the gain: run it with --record"
        } else {
            ""
        };
        Line {
            text: format!("{name}: {count}, recorded {before} ({percent:+.1}%){advice}"),
            is_passed,
        }
    });
    gone.chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    fn passed(recorded: u64, counted: u64) -> bool {
        let lines = compare(&counts(&[("a", recorded)]), &counts(&[("a", counted)]));
        lines.iter().all(|line| line.is_passed)
    }

    #[test]
    fn only_more_than_the_tolerance_fails() {
        assert!(passed(1000, 1100));
        assert!(!passed(1000, 1101));
        assert!(passed(1000, 10));
    }

    #[test]
    fn cases_and_records_have_to_match() {
        let lines = compare(&counts(&[("gone", 1)]), &counts(&[("new", 1)]));
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| !line.is_passed));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let counts = counts(&[("a-1", 7), ("b", 0)]);
        assert_eq!(toml::from_str::<Counts>(&rendered(&counts)), Ok(counts));
    }
}
