//! `cargo x probes [--dir DIR] [--quick] [--record]`: what the file system and the device under a
//! directory do, in the few ways that the storage engine could use them.
//!
//! Each question prints one table; the constants that follow from them stand in
//! `docs/architecture.md` with their reasons. Run it in the directory that a node would use, on a
//! quiet machine: all of it is microseconds, and the neighbours' are as long.
//!
//! ```text
//! flush    one small durable write: into which extents, and flushed how
//! depth    small writes side by side, unflushed and flushed
//! barrier  many files made durable at once
//! reads    hot and cold ranges, by sendfile, by direct reads, through the page cache; and for how
//!          long each holds the calling thread
//! ```
//! Deliberately absent: a verdict. A table shows what a machine does; a constant is somebody's
//! decision.

mod barrier;
mod depth;
mod flush;
mod reads;
mod table;
mod times;

use std::fs;
use std::path::{Path, PathBuf};

use super::packages;
use super::{Context, Failure, Outcome, Tally};
use table::Table;

/// How much of each is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effort {
    /// Writes of a kind.
    writes: usize,
    /// Bytes of the file that is read.
    read_bytes: u64,
    /// Repeats of a barrier.
    barriers: usize,
}

const FULL: Effort = Effort {
    writes: 2_000,
    read_bytes: 1 << 30,
    barriers: 20,
};
const QUICK: Effort = Effort {
    writes: 100,
    read_bytes: 64 << 20,
    barriers: 3,
};

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    dir: PathBuf,
    effort: Effort,
    record: bool,
}

pub fn probes(arguments: &[&str]) -> Outcome<Tally> {
    let plan = Plan::parse(arguments)?;
    let dir = plan.dir.join("probes");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).context(|| format!("making {}", dir.display()))?;
    let tables = run(&dir, plan.effort);
    drop(fs::remove_dir_all(&dir));
    let tables = tables?;
    let text: String = tables.iter().map(Table::markdown).collect();
    eprint!("{text}");
    if plan.record {
        let path = packages::root().join("perf/results/probes.md");
        let head = format!("# Probes\n\n`cargo x probes --record` on {}\n\n", machine());
        fs::write(&path, format!("{head}{text}"))
            .context(|| format!("writing {}", path.display()))?;
    }
    Ok(Tally {
        passed: tables.len() as u64,
        failed: 0,
        skipped: 0,
    })
}

type Question = fn(&Path, Effort) -> Outcome<Table>;

fn run(dir: &Path, effort: Effort) -> Outcome<Vec<Table>> {
    let questions: [Question; 4] = [flush::ask, depth::ask, barrier::ask, reads::ask];
    let tables = questions.map(|ask| ask(dir, effort));
    tables.into_iter().collect()
}

/// What a thread of a probe gave.
fn joined<T>(ended: std::thread::Result<std::io::Result<T>>) -> Outcome<T> {
    match ended {
        Ok(given) => given.context(|| "a thread of a probe"),
        Err(_) => Err(Failure::new("a thread of a probe panicked")),
    }
}

fn machine() -> String {
    let here = thalweg_bench::report::Environment::here();
    serde_json::to_value(here).map_or_else(|_| "unknown".to_owned(), |value| value.to_string())
}

impl Plan {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut plan = Self {
            dir: packages::root().join(".x"),
            effort: FULL,
            record: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => plan.effort = QUICK,
                "--record" => plan.record = true,
                "--dir" => {
                    plan.dir = words.next().context(|| "--dir needs a directory")?.into();
                }
                _ => return Err(Failure::new(format!("`{word}` is no option of probes"))),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_or_refused() {
        let plan = Plan::parse(&["--dir", "/d", "--quick"]).unwrap();
        assert_eq!((plan.dir, plan.effort), ("/d".into(), QUICK));
        assert!(Plan::parse(&["--dir"]).is_err() && Plan::parse(&["--fast"]).is_err());
    }

    /// A small effort on whatever directory tests have: every table is made, with all of its rows.
    #[test]
    fn every_question_is_answered() {
        let dir = std::env::temp_dir().join(format!("thalweg-probes-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let effort = Effort {
            writes: 5,
            read_bytes: 4 << 20,
            barriers: 1,
        };
        let tables = run(&dir, effort);
        fs::remove_dir_all(&dir).unwrap();
        for table in tables.unwrap() {
            let text = table.markdown();
            assert!(text.lines().count() > 5 && !text.contains("NaN"), "{text}");
        }
    }
}
