//! `thalweg log`: what is on disk, without a server: segments, indexes, snapshots, checkpoints, and
//! the journal. Read-only: nothing is written, locked or repaired, also not while a node runs.
//!
//! A directory means all that is in it. Text is for people; JSON is one object a line, since a log
//! may be long.

mod debug_json;
mod decode;
mod journal;
mod segment;
mod segments;
mod sink;
mod small;

use std::io;
use std::path::{Path, PathBuf};

use super::Exit;
use super::failure::Failure;
use super::output::Format;
use decode::Decoder;
use sink::Sink;

/// Directories within directories that are looked into: `data/journal/<shard>/` and no deeper.
const DEPTH_MAX: usize = 4;

/// The shapes, for the help of the command.
const SHAPES: &str = "\
JSON shapes, one object a line, each with its \"file\":
  {\"kind\": \"batch\", \"position\", \"bytes\", \"first\", \"last\", \"records\", \"codec\", \"timestamp_type\", \"timestamp\",
   \"max_timestamp\", \"leader_epoch\", \"producer\", \"producer_epoch\", \"sequence\", \"transactional\", \"control\", \"crc\"}
  {\"kind\": \"record\", ... as `thalweg consume --format json` prints it ..., \"decoded\"}
  {\"kind\": \"segment\", \"state\": \"whole\"|\"torn\"|\"rot\"|\"partly\" (read), \"batches\", \"records\", \"bytes\", \"zeros\",
   \"torn_bytes\",
   \"rot\": [{\"position\", \"bytes\", \"what\"}]}
  {\"kind\": \"entry\", ...}, {\"kind\": \"index\", \"state\", \"entries\", \"problems\"}   of indexes, snapshots and checkpoints
  {\"kind\": \"round\", \"shard\", \"position\", \"round\", \"live\", \"durable_through\", \"bytes\", \"entries\": [{\"entry\", ...}]}
  {\"kind\": \"journal\", \"shard\", \"id\", \"rounds\", \"live\", \"newest\", \"state\": \"whole\"|\"torn\"|\"rot\"|\"malformed\", \"problem\"}
A torn end is what a crash leaves: it was never acknowledged, and the next start drops it. Rot is a range that
was sound once. What the segments of a node that did not stop cleanly lack is in its journal.

Exit codes: 0 done, 1 failed, or rot was found, 2 usage, 6 some of the paths could not be read.";

/// Look at logs on disk.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum LogCommand {
    /// Print segments, indexes, snapshots, checkpoints and journals
    #[command(after_long_help = SHAPES)]
    Dump(DumpArgs),
    /// Read everything, print only what each file comes to
    #[command(after_long_help = SHAPES)]
    Check(CheckArgs),
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct DumpArgs {
    #[command(flatten)]
    paths: Paths,
    /// Also the records of each batch, and the records within the journal
    #[arg(short, long)]
    records: bool,
    /// What the records are; by the directory's name if left out
    #[arg(long, value_enum)]
    decode: Option<Decoder>,
    /// Begin with the batch that holds this offset
    #[arg(long, value_name = "N")]
    from: Option<i64>,
    /// Print so many batches of each segment, or rounds of each journal, at most
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    paths: Paths,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct Paths {
    /// Files, or directories: a partition, a log directory, a data directory
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is to be shown of each file.
#[derive(Clone, Debug)]
struct Wish {
    /// Only what each file comes to.
    brief: bool,
    records: bool,
    decode: Option<Decoder>,
    from: Option<i64>,
    count: Option<u64>,
}

impl LogArgs {
    pub(crate) fn run(&self) -> Exit {
        let (paths, wish) = match &self.command {
            LogCommand::Dump(dump) => {
                let wish = Wish {
                    brief: false,
                    records: dump.records,
                    decode: dump.decode,
                    from: dump.from,
                    count: dump.count,
                };
                (&dump.paths, wish)
            }
            LogCommand::Check(check) => {
                let wish = Wish {
                    brief: true,
                    records: false,
                    decode: None,
                    from: None,
                    count: None,
                };
                (&check.paths, wish)
            }
        };
        let mut sink = Sink::new(paths.format);
        let mut run = Run {
            wish,
            sink: &mut sink,
            shown: 0,
            rotten: false,
            failures: Vec::new(),
        };
        for path in &paths.paths {
            run.path(path);
        }
        run.end()
    }
}

/// One run over all paths.
struct Run<'a> {
    wish: Wish,
    sink: &'a mut Sink,
    /// Files that were shown.
    shown: usize,
    rotten: bool,
    failures: Vec<Failure>,
}

impl Run<'_> {
    /// A path of the command line: one that is no log is a failure.
    fn path(&mut self, path: &Path) {
        let before = self.shown + self.failures.len();
        self.visit(path, 0);
        if self.shown + self.failures.len() == before {
            self.failures.push(Failure::input(
                format!("there is nothing to show in {}", path.display()),
                "it is no segment, index, snapshot, checkpoint or journal, and holds none",
                "name a partition's directory, a log directory or a data directory",
            ));
        }
    }

    fn visit(&mut self, path: &Path, depth: usize) {
        if self.sink.is_closed() {
            return;
        }
        if path.is_dir() {
            return self.directory(path, depth);
        }
        let result = match kind_of(path) {
            Kind::Unknown if path.exists() => Ok(Seen::Nothing),
            Kind::Unknown => Err(io::ErrorKind::NotFound.into()),
            Kind::Segment => segments::dump(path, &self.wish, self.sink),
            Kind::Journal => journal::dump_file(path, &self.wish, self.sink),
            Kind::Small(small) => small::dump(path, small, &self.wish, self.sink),
        };
        self.saw(path, result);
    }

    fn directory(&mut self, path: &Path, depth: usize) {
        if path.join("manifest").is_file() {
            let result = journal::dump_all(path, &self.wish, self.sink);
            return self.saw(path, result);
        }
        if depth >= DEPTH_MAX {
            return;
        }
        let listed = std::fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(mut paths) => {
                paths.sort();
                for path in paths {
                    self.visit(&path, depth + 1);
                }
            }
            Err(error) => self.failures.push(Failure::file(path, &error)),
        }
    }

    fn saw(&mut self, path: &Path, result: io::Result<Seen>) {
        match result {
            Ok(Seen::Nothing) => {}
            Ok(seen) => {
                self.shown += 1;
                self.rotten |= seen == Seen::Rot;
            }
            Err(error) => self.failures.push(Failure::file(path, &error)),
        }
    }

    fn end(mut self) -> Exit {
        if let Err(error) = self.sink.flush() {
            self.failures.push(Failure::printing(&error));
        }
        for failure in &self.failures {
            eprintln!("{failure}");
        }
        match (self.failures.is_empty(), self.rotten) {
            (_, true) => Exit::Failed,
            (true, false) => Exit::Done,
            (false, false) => Exit::of(self.shown, self.shown + self.failures.len()),
        }
    }
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing that can be shown.
    Nothing,
    Sound,
    Rot,
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Segment,
    Journal,
    Small(small::Small),
    Unknown,
}

fn kind_of(path: &Path) -> Kind {
    use small::Small;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match (name, extension) {
        ("meta.properties" | "partition.metadata" | "quorum-state", _) => Kind::Small(Small::Text),
        ("leader-epoch-checkpoint", _) => Kind::Small(Small::Checkpoint),
        (name, _) if name.ends_with("-checkpoint") => Kind::Small(Small::Checkpoint),
        (_, "log" | "checkpoint") => Kind::Segment,
        (_, "index") => Kind::Small(Small::Index),
        (_, "timeindex") => Kind::Small(Small::TimeIndex),
        (_, "txnindex") => Kind::Small(Small::TxnIndex),
        (_, "snapshot") => Kind::Small(Small::Snapshot),
        (_, "journal") => Kind::Journal,
        _ => Kind::Unknown,
    }
}

/// Topic and partition of a directory: `orders-3`.
fn partition_of(dir: &Path) -> Option<(String, i32)> {
    let name = dir.file_name()?.to_str()?;
    let (topic, partition) = name.rsplit_once('-')?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let kind = |name: &str| kind_of(&Path::new("dir").join(name));
        assert_eq!(kind("00000000000000000000.log"), Kind::Segment);
        assert_eq!(
            kind("00000000000000000000-0000000000.checkpoint"),
            Kind::Segment
        );
        assert_eq!(kind("0001.journal"), Kind::Journal);
        let checkpoint = Kind::Small(small::Small::Checkpoint);
        assert_eq!(kind("leader-epoch-checkpoint"), checkpoint);
        assert_eq!(kind("recovery-point-offset-checkpoint"), checkpoint);
        assert_eq!(kind("lock"), Kind::Unknown);
        let of = |name: &str| partition_of(Path::new(name));
        assert_eq!(of("d/a-b-12"), Some(("a-b".to_owned(), 12)));
        assert_eq!(of("d/journal"), None);
    }
}
