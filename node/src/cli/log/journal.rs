//! The journal: rounds, their entries, and what each shard's journal comes to.
//!
//! A shard's journal is read twice: once for what it comes to, once to print its rounds, which is done in
//! the order of their numbers and not of the files. One round is in memory at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use thalweg_storage::files::meta::decode_partition_metadata;
use thalweg_storage::journal::entry::{Entry, Place};
use thalweg_storage::journal::inspect::{
    JournalFacts, JournalFiles, Round, RoundPlace, Survey, Verdict, file_index,
};
use thalweg_wire::batch::BatchRef;
use thalweg_wire::ids::{PartitionId, ShardId, Uuid};

use super::segments::batch_text;
use super::sink::Sink;
use super::{Seen, Wish, partition_of};

/// Prints one file of a journal; what it comes to is told of the whole journal.
pub(super) fn dump_file(path: &Path, wish: &Wish, sink: &mut Sink) -> io::Result<Seen> {
    let shard_dir = path.parent().unwrap_or(Path::new(""));
    let root = shard_dir.parent().unwrap_or(Path::new(""));
    let name = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned)
    };
    let only = name(path).as_deref().and_then(file_index);
    let shard = name(shard_dir)
        .and_then(|name| name.parse().ok())
        .map(ShardId);
    match shard {
        Some(shard) => {
            let page = Page::new(root, wish, only)?;
            page.shard(shard, sink)
        }
        None => Err(io::Error::other(
            "a journal file lies in data/journal/<shard>/",
        )),
    }
}

/// Prints the journals of all shards: `root` is `data/journal`.
pub(super) fn dump_all(root: &Path, wish: &Wish, sink: &mut Sink) -> io::Result<Seen> {
    let page = Page::new(root, wish, None)?;
    let mut seen = Seen::Sound;
    for shard in 0..page.facts.shards {
        if page.shard(ShardId(shard), sink)? == Seen::Rot {
            seen = Seen::Rot;
        }
    }
    Ok(seen)
}

struct Page<'a> {
    root: &'a Path,
    wish: &'a Wish,
    facts: JournalFacts,
    /// Only rounds of this file are shown.
    only: Option<u32>,
    names: BTreeMap<Uuid, String>,
}

impl<'a> Page<'a> {
    fn new(root: &'a Path, wish: &'a Wish, only: Option<u32>) -> io::Result<Self> {
        let manifest = std::fs::read(root.join("manifest"))?;
        let facts = JournalFacts::decode(&manifest)
            .ok_or_else(|| io::Error::other("the journal's manifest is damaged"))?;
        Ok(Self {
            facts,
            wish,
            only,
            names: names_beside(root),
            root,
        })
    }

    fn shard(&self, shard: ShardId, sink: &mut Sink) -> io::Result<Seen> {
        let dir = self.root.join(shard.to_string());
        let files = &mut Files {
            dir: &dir,
            open: None,
        };
        let survey = Survey::new(&self.facts, shard, &indexes_of(&dir)?, files)?;
        if !self.wish.brief {
            self.rounds(shard, &survey, files, sink)?;
        }
        let rounds = survey.places().len();
        let live = survey.places().iter().filter(|at| survey.is_live(at));
        let live = live.count();
        let (state, newest, problem) = judged(survey.verdict());
        let newest_text = newest.map_or("-".to_owned(), |newest| newest.to_string());
        sink.put(
            || {
                let mut text = format!(
                    "{}: {state}, {rounds} sound rounds, {live} of them would be replayed, newest {newest_text}",
                    dir.display()
                );
                if let Some(problem) = &problem {
                    text += &format!("\n  {problem}");
                }
                text
            },
            || {
                json!({
                    "kind": "journal",
                    "file": dir.display().to_string(),
                    "shard": shard.0,
                    "id": self.facts.id.to_string(),
                    "rounds": rounds,
                    "live": live,
                    "newest": newest,
                    "state": state,
                    "problem": problem,
                })
            },
        )?;
        Ok(match state {
            "rot" | "malformed" => Seen::Rot,
            _ => Seen::Sound,
        })
    }

    fn rounds(
        &self,
        shard: ShardId,
        survey: &Survey,
        files: &mut Files<'_>,
        sink: &mut Sink,
    ) -> io::Result<()> {
        let shown = |place: &&RoundPlace| self.only.is_none_or(|only| only == place.file);
        let mut left = self.wish.count.unwrap_or(u64::MAX);
        for place in survey.places().iter().filter(shown) {
            if left == 0 || sink.is_closed() {
                break;
            }
            // A running node writes over what it has trimmed.
            if let Some(round) = survey.round(place, files)? {
                self.round(shard, &round, sink)?;
                left -= 1;
            }
        }
        Ok(())
    }

    fn round(&self, shard: ShardId, round: &Round, sink: &mut Sink) -> io::Result<()> {
        let file = self
            .root
            .join(shard.to_string())
            .join(format!("{:04}.journal", round.file()));
        let text = || {
            let mut text = format!(
                "round {} in {} at {}: {} bytes, durable through {}{}",
                round.number(),
                file.display(),
                round.position(),
                round.payload_bytes(),
                round.durable_through(),
                if round.is_live { "" } else { ", void" }
            );
            for (entry, more) in round.entries() {
                text += &format!("\n  {}", self.entry_text(&entry, more));
                if self.wish.records
                    && let Entry::Append { bytes, .. } = entry
                    && let Ok(batch) = BatchRef::first(bytes)
                {
                    text += &format!("\n  {}", batch_text(0, &batch));
                }
            }
            text
        };
        sink.put(text, || {
            let entries = round.entries();
            let entries: Vec<Value> = entries
                .map(|(entry, more)| self.entry_json(&entry, more))
                .collect();
            json!({
                "kind": "round",
                "file": file.display().to_string(),
                "shard": shard.0,
                "position": round.position(),
                "round": round.number(),
                "live": round.is_live,
                "durable_through": round.durable_through(),
                "bytes": round.payload_bytes(),
                "entries": entries,
            })
        })
    }

    fn partition(&self, id: PartitionId) -> String {
        match self.names.get(&id.topic) {
            Some(name) => format!("{name}-{}", id.index),
            None => id.to_string(),
        }
    }

    fn entry_text(&self, entry: &Entry<'_>, more: bool) -> String {
        let json = self.entry_json(entry, more);
        let fields = json.as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let words = fields
            .iter()
            .filter(|(name, _)| *name != "topic_id")
            .map(|(name, value)| match name.as_str() {
                "entry" => text(value),
                name => format!("{name} {}", text(value)),
            });
        words.collect::<Vec<_>>().join(", ")
    }

    fn entry_json(&self, entry: &Entry<'_>, more: bool) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("entry", name_of(entry).into());
        if let Some(id) = entry.partition() {
            put("partition", self.partition(id).into());
            put("topic_id", id.topic.to_string().into());
        }
        if let Some(Place { segment, position }) = place_of(entry) {
            put("segment", segment.0.into());
            put("position", position.into());
        }
        match *entry {
            Entry::Append { bytes, .. } | Entry::Carried { bytes, .. } => {
                put("bytes", bytes.len().into());
                // A batch that is cut in parts begins with its header.
                if let Ok(batch) = BatchRef::first(bytes) {
                    put("first", batch.header().base_offset().0.into());
                    put("last", batch.header().last_offset().0.into());
                }
            }
            Entry::ProducerState { bytes, .. } => {
                put("bytes", bytes.len().into());
            }
            Entry::TruncateTo { offset, .. } | Entry::LogStart { offset, .. } => {
                put("offset", offset.0.into());
            }
            Entry::MovedTo { next_offset, .. } => {
                put("next", next_offset.0.into());
            }
            Entry::EpochStart {
                epoch,
                start_offset,
                ..
            } => {
                put("epoch", epoch.0.into());
                put("offset", start_offset.0.into());
            }
            Entry::Trim { rounds_below } => {
                put("below", rounds_below.into());
            }
            Entry::PartitionDeleted { .. } | Entry::CleanStop => {}
        }
        if more {
            put("more", true.into());
        }
        Value::Object(object)
    }
}

fn name_of(entry: &Entry<'_>) -> &'static str {
    match entry {
        Entry::Append { .. } => "append",
        Entry::Carried { .. } => "carried",
        Entry::TruncateTo { .. } => "truncate-to",
        Entry::LogStart { .. } => "log-start",
        Entry::PartitionDeleted { .. } => "partition-deleted",
        Entry::MovedTo { .. } => "moved-to",
        Entry::ProducerState { .. } => "producer-state",
        Entry::EpochStart { .. } => "epoch-start",
        Entry::Trim { .. } => "trim",
        Entry::CleanStop => "clean-stop",
    }
}

fn place_of(entry: &Entry<'_>) -> Option<Place> {
    match *entry {
        Entry::Append { place, .. }
        | Entry::Carried { place, .. }
        | Entry::TruncateTo { place, .. }
        | Entry::MovedTo { place, .. } => Some(place),
        _ => None,
    }
}

/// State, newest round, and what is wrong.
fn judged(verdict: Verdict) -> (&'static str, Option<u64>, Option<String>) {
    match verdict {
        Verdict::Whole { newest } => ("whole", Some(newest), None),
        Verdict::Torn { newest } => {
            let words = format!("what follows round {newest} was torn: it was never acknowledged");
            ("torn", Some(newest), Some(words))
        }
        Verdict::Rot { round, vouched_by } => {
            let words = format!(
                "ROT: round {round} cannot be read, and round {vouched_by} says that it was durable"
            );
            ("rot", None, Some(words))
        }
        Verdict::Malformed { round, cause } => {
            let words = format!("round {round}: {cause}; a newer version may have written it");
            ("malformed", None, Some(words))
        }
    }
}

/// The journal files of a shard, the one that was read last kept open.
struct Files<'a> {
    dir: &'a Path,
    open: Option<(u32, File)>,
}

impl JournalFiles for Files<'_> {
    fn read(&mut self, index: u32, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match self.open.take() {
            Some((open, file)) if open == index => file,
            _ => File::open(self.dir.join(format!("{index:04}.journal")))?,
        };
        let (_, file) = self.open.insert((index, file));
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            match file.read_at(rest, position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Indexes of the journal files of a shard.
fn indexes_of(dir: &Path) -> io::Result<Vec<u32>> {
    let mut indexes = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        indexes.extend(entry?.file_name().to_str().and_then(file_index));
    }
    indexes.sort_unstable();
    Ok(indexes)
}

/// Names of topics by their ids, as the directories beside the journal tell them.
fn names_beside(root: &Path) -> BTreeMap<Uuid, String> {
    let log: PathBuf = root.parent().unwrap_or(Path::new("")).join("log");
    let mut names = BTreeMap::from([(Uuid::METADATA_TOPIC, "__cluster_metadata".to_owned())]);
    let Ok(entries) = std::fs::read_dir(log) else {
        return names;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let id = std::fs::read(path.join("partition.metadata"));
        let id = id
            .ok()
            .and_then(|bytes| decode_partition_metadata(&bytes).ok());
        if let Some((id, (topic, _))) = id.zip(partition_of(&path)) {
            names.insert(id, topic);
        }
    }
    names
}
