//! `thalweg produce`: lines, JSON lines or whole files to records of a topic.
//!
//! A thread reads, so that lines typed one by one go out at once and lines that come fast go out in
//! batches. Deliberately absent: transactions, schemas.

mod input;
mod partitioner;
mod sender;

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use thalweg_wire::batch;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish, show};
use super::output::{Align, Table, cell};
use super::progress::Progress;
use super::routing::Cluster;
use super::template::unescape;
use super::time;
use input::{Rules, Shape};
use partitioner::{Choice, Partitioner};
use sender::{Manner, Sender};

/// Lines read ahead of the sender.
const LINES_AHEAD_MAX: usize = 1_024;
/// A line longer than any broker takes is no record.
const LINE_BYTES_MAX: usize = 100 << 20;
/// How long a record waits for others to share its batch.
const LINGER: Duration = Duration::from_millis(5);

/// The shape, for the help of the command.
const SHAPES: &str = "\
JSON shape of the result:
  {\"topic\", \"records\", \"refused\", \"partitions\": [{\"partition\", \"records\", \"first\", \"last\"}]}
JSON lines as input (all fields may be missing; *_base64 for bytes that are no text):
  {\"key\", \"value\", \"headers\": [{\"key\", \"value\"}], \"partition\", \"timestamp\"}
`first` and `last` are offsets, null with --acks 0. Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 6 some records were refused.";

/// Write records to a topic.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct ProduceArgs {
    /// The topic
    topic: String,
    /// Files to read; standard input if none is named
    files: Vec<PathBuf>,
    /// What a record is
    #[arg(long, value_enum, default_value_t)]
    input: Shape,
    /// What stands between key and value; \t and \xNN are understood
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<Bytes>,
    /// The key of all records that have none
    #[arg(short, long, value_name = "TEXT")]
    key: Option<String>,
    /// A header of all records; may be repeated
    #[arg(short = 'H', long, value_name = "KEY=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A key or value that reads so is not there (a tombstone, for a value)
    #[arg(short = 'Z', long, value_name = "TEXT")]
    null: Option<String>,
    /// The partition of all records, also of those that name another
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// How partitions are chosen
    #[arg(long, value_enum, default_value_t)]
    partitioner: Partitioner,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t)]
    codec: Codec,
    /// Who has to have a record before it counts as sent
    #[arg(long, value_enum, default_value_t)]
    acks: Acks,
    /// Do without a producer id: a record that is sent again may be there twice
    #[arg(long)]
    no_idempotence: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes(Vec<u8>);

fn separator(text: &str) -> Result<Bytes, String> {
    match unescape(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(Bytes(bytes)),
        Ok(_) => Err("at least one character".to_owned()),
        Err(error) => Err(error),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=');
    let (key, value) = split.ok_or_else(|| "KEY=VALUE, such as origin=test".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    fn wire(self) -> batch::Codec {
        match self {
            Self::None => batch::Codec::None,
            Self::Gzip => batch::Codec::Gzip,
            Self::Snappy => batch::Codec::Snappy,
            Self::Lz4 => batch::Codec::Lz4,
            Self::Zstd => batch::Codec::Zstd,
        }
    }
}

/// Who has to have a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Acks {
    /// All copies that are in sync
    #[default]
    #[value(alias = "-1")]
    All,
    /// The leader
    #[value(name = "1", alias = "leader")]
    Leader,
    /// Nobody: there is no answer
    #[value(name = "0", alias = "none")]
    Nobody,
}

impl Acks {
    fn wire(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::Nobody => 0,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    records: u64,
    refused: u64,
    partitions: Vec<PartitionReport>,
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    partition: i32,
    records: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl ProduceArgs {
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        for path in &self.files {
            std::fs::metadata(path).map_err(|error| Failure::file(path, &error))?;
        }
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        cluster.refresh_or_create(&self.topic)?;
        let partitions = cluster.partitions(&self.topic)?.len();
        let manner = Manner {
            codec: self.codec.wire(),
            acks: self.acks.wire(),
            idempotent: !self.no_idempotence && self.acks == Acks::All,
        };
        let mut sender = Sender::new(cluster, &self.topic, manner)?;
        let start = u32::try_from(time::now().0 & 0xffff).unwrap_or(0);
        let count = u32::try_from(partitions).unwrap_or(u32::MAX);
        let mut choice = Choice::new(self.partitioner, count, start);
        let sent = self.send(cluster, &mut sender, &mut choice);
        Ok(self.report(sender, sent.err()))
    }

    fn send(
        &self,
        cluster: &mut Cluster,
        sender: &mut Sender,
        choice: &mut Choice,
    ) -> Result<(), Failure> {
        let lines = self.lines();
        let rules = self.rules();
        let typed = self.files.is_empty() && io::stdin().is_terminal();
        let mut progress = Progress::new("produced", typed);
        for number in 1_u64.. {
            let next = match lines.try_recv() {
                Err(mpsc::TryRecvError::Empty) if sender.is_idle() => {
                    lines.recv().or(Err(RecvTimeoutError::Disconnected))
                }
                Err(mpsc::TryRecvError::Empty) => self.wait(cluster, sender, choice, &lines)?,
                Err(mpsc::TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Ok(line) => Ok(line),
            };
            let Ok(line) = next else { break };
            let draft =
                line.and_then(|line| rules.record(line).map_err(|why| bad_line(number, &why)));
            let mut draft = match draft {
                Ok(draft) => draft,
                Err(failure) => {
                    sender.flush(cluster)?;
                    return Err(failure);
                }
            };
            draft.timestamp.get_or_insert(time::now().0);
            if sender.is_full_with(&draft) {
                sender.flush(cluster)?;
                choice.batch_sent();
            }
            let fixed = self.partition.or(draft.partition);
            if let Some(fixed) = fixed
                && !choice.has(fixed)
            {
                sender.flush(cluster)?;
                return Err(no_partition(&self.topic, fixed));
            }
            let partition = fixed.unwrap_or_else(|| choice.of(draft.key.as_deref()));
            sender.push(partition, draft);
            progress.tell(sender.records(), sender.bytes);
        }
        sender.flush(cluster)
    }

    /// The next line, or what was gathered goes out without it.
    fn wait(
        &self,
        cluster: &mut Cluster,
        sender: &mut Sender,
        choice: &mut Choice,
        lines: &Receiver<Line>,
    ) -> Result<Result<Line, RecvTimeoutError>, Failure> {
        match lines.recv_timeout(LINGER) {
            Err(RecvTimeoutError::Timeout) => {
                sender.flush(cluster)?;
                choice.batch_sent();
                Ok(lines.recv().or(Err(RecvTimeoutError::Disconnected)))
            }
            line => Ok(line),
        }
    }

    fn rules(&self) -> Rules {
        let bytes = |text: &String| text.clone().into_bytes();
        Rules {
            shape: self.input,
            key_separator: self.key_separator.as_ref().map(|bytes| bytes.0.clone()),
            null: self.null.as_ref().map(bytes),
            key: self.key.as_ref().map(bytes),
            headers: self
                .header
                .iter()
                .map(|(key, value)| (key.clone(), bytes(value)))
                .collect(),
        }
    }

    /// Lines as they come, from a thread of their own.
    fn lines(&self) -> Receiver<Line> {
        let (sink, lines) = mpsc::sync_channel(LINES_AHEAD_MAX);
        let files = self.files.clone();
        let whole = self.input == Shape::Whole;
        // It ends with its input, or when nobody listens any more.
        thread::spawn(move || {
            if files.is_empty() {
                read_all(io::stdin().lock(), whole, &sink);
            }
            for path in files {
                let open = std::fs::File::open(&path);
                match open.map_err(|error| Failure::file(&path, &error)) {
                    Ok(file) => read_all(BufReader::new(file), whole, &sink),
                    Err(failure) => drop(sink.send(Err(failure))),
                }
            }
        });
        lines
    }

    fn report(&self, sender: Sender, stopped: Option<Failure>) -> Outcome {
        let records = sender.records();
        let mut failures = sender.failures;
        failures.extend(stopped);
        let report = Report {
            topic: self.topic.clone(),
            records,
            refused: sender.refused,
            partitions: sender
                .tallies
                .iter()
                .map(|(partition, tally)| PartitionReport {
                    partition: *partition,
                    records: tally.records,
                    first: tally.first,
                    last: tally.last,
                })
                .collect(),
        };
        let exit = match (failures.as_slice(), records) {
            ([], _) => Exit::Done,
            ([first, ..], 0) => first.exit,
            _ => Exit::Partly,
        };
        Outcome {
            text: show(&report, self.asking.format, text_of),
            exit,
            failures,
        }
    }
}

/// A line without its end, or why there is none.
type Line = Result<Vec<u8>, Failure>;

fn read_all(mut input: impl BufRead, whole: bool, sink: &SyncSender<Line>) {
    let failed = |error: &io::Error| {
        Failure::input(
            format!("cannot read the input: {error}"),
            "the file or the pipe broke off",
            "look at where the input comes from",
        )
    };
    loop {
        let mut line = Vec::new();
        let mut part = input.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        let read = match whole {
            true => part.read_to_end(&mut line),
            false => part.read_until(b'\n', &mut line),
        };
        let line = match read {
            Ok(0) if !whole => return,
            Ok(_) if line.len() > LINE_BYTES_MAX => Err(Failure::input(
                format!("a record has more than {LINE_BYTES_MAX} bytes"),
                "no broker takes records of this size",
                "cut the input into smaller records",
            )),
            Ok(_) => {
                if !whole && line.last() == Some(&b'\n') {
                    line.pop();
                }
                Ok(line)
            }
            Err(error) => Err(failed(&error)),
        };
        let last = whole || line.is_err();
        if sink.send(line).is_err() || last {
            return;
        }
    }
}

fn no_partition(topic: &str, partition: i32) -> Failure {
    Failure::input(
        format!("there is no partition {topic}-{partition}"),
        "the topic has fewer partitions; they count from 0",
        "`thalweg topic describe` shows them",
    )
}

fn bad_line(number: u64, why: &str) -> Failure {
    Failure::input(
        format!("record {number} of the input cannot be read: {why}"),
        "the line has another form than `--input` and `--key-separator` say",
        "correct the line; those before it were sent",
    )
}

fn text_of(report: &Report, wide: bool) -> String {
    let mut text = match report.records {
        1 => format!("produced 1 record to {}\n", report.topic),
        count => format!("produced {count} records to {}\n", report.topic),
    };
    if wide {
        let mut table = Table::new(&[
            ("PARTITION", Align::Right),
            ("RECORDS", Align::Right),
            ("FIRST", Align::Right),
            ("LAST", Align::Right),
        ])
        .indented(2);
        for part in &report.partitions {
            table.row(vec![
                part.partition.to_string(),
                part.records.to_string(),
                cell(part.first),
                cell(part.last),
            ]);
        }
        text.push_str(&table.text());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], whole: bool) -> Vec<Line> {
        let (sink, lines) = mpsc::sync_channel(10);
        read_all(input, whole, &sink);
        drop(sink);
        lines.iter().collect()
    }

    #[test]
    fn lines_end_with_a_line_feed_or_the_input() {
        let lines = |input: &[u8]| -> Vec<Vec<u8>> {
            read(input, false).into_iter().map(Result::unwrap).collect()
        };
        assert_eq!(lines(b"a\n\nb\r\n\xff"), [&b"a"[..], b"", b"b\r", b"\xff"]);
        assert!(lines(b"").is_empty());
        assert_eq!(read(b"a\nb\n", true), [Ok(b"a\nb\n".to_vec())]);
        assert_eq!(read(b"", true), [Ok(Vec::new())]);
    }

    #[test]
    fn a_line_of_more_than_the_limit_is_refused() {
        let long = vec![b'x'; LINE_BYTES_MAX + 2];
        let lines = read(&long, false);
        assert_eq!(lines.len(), 1);
        let failure = lines[0].as_ref().unwrap_err();
        assert!(
            failure.what.contains("more than 104857600 bytes"),
            "{failure}"
        );
    }
}
