//! What the log cleaner asks of a log, and the swap of segments for a cleaned one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_wire::ids::{Offset, ProducerId, TimestampMs};

use super::search::need_max;
use super::{Fed, Log, Need};
use crate::clean::filter::LastOf;
use crate::clean::plan::{Dirt, Sealed, dirt};
use crate::segment::name::{CleanedName, Kind};
use crate::segment::segment::{Indexes, Segment};

/// A segment that was replaced, and from when on its files may go.
#[derive(Debug)]
pub(crate) struct Retired {
    segment: Segment,
    due: TimestampMs,
}

/// A sealed segment to be cleaned.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) facts: Sealed,
    pub(crate) path: Arc<Path>,
}

/// What a cleaning needs to know of a log.
#[derive(Debug)]
pub(crate) struct CleanFacts {
    pub(crate) dirt: Dirt,
    /// From the first segment on.
    pub(crate) sources: Vec<Source>,
    pub(crate) producers: BTreeMap<ProducerId, LastOf>,
    /// Of the next cleaned segments.
    pub(crate) generation: u64,
}

impl Log {
    /// How dirty the log is, if it is to be cleaned now.
    pub(crate) fn dirt(&self, now: TimestampMs) -> Option<Dirt> {
        if !self.spec.config.cleanup.compact {
            return None;
        }
        let sealed: Vec<Sealed> = self.cleanable().map(sealed_of).collect();
        dirt(&sealed, self.cleaned_to, &self.spec.config.cleaning, now)
    }

    /// The same with everything that a cleaning needs; only of segments that lie in their files whole.
    pub(crate) fn clean_facts(&mut self, now: TimestampMs) -> Option<CleanFacts> {
        let is_whole = |segment: &&Segment| {
            segment.moved == segment.bytes && segment.chain.is_none() && segment.snapshot.is_none()
        };
        let whole: Vec<&Segment> = self.cleanable().take_while(is_whole).collect();
        let sealed: Vec<Sealed> = whole.iter().map(|segment| sealed_of(segment)).collect();
        let dirt = dirt(&sealed, self.cleaned_to, &self.spec.config.cleaning, now)?;
        let sources = whole.iter().zip(sealed).map(|(segment, facts)| Source {
            facts,
            path: Arc::clone(&segment.path),
        });
        let producers = self.producers.iter().map(|(producer, entry)| {
            let offset = entry.last_batch().map(|batch| batch.last_offset);
            let last = LastOf {
                offset,
                epoch: entry.epoch,
            };
            (producer, last)
        });
        let (sources, producers) = (sources.collect(), producers.collect());
        // Also of a try that fails: no two files that were ever named compete.
        self.generation += 1;
        Some(CleanFacts {
            dirt,
            sources,
            producers,
            generation: self.generation,
        })
    }

    /// Sealed segments of which every record's fate is decided.
    fn cleanable(&self) -> impl Iterator<Item = &Segment> {
        let stable = self.last_stable();
        let start = self.start_shown;
        let decided = move |segment: &&Segment| segment.sealed && segment.next <= stable;
        self.segments
            .iter()
            .skip_while(move |segment| segment.next <= start)
            .take_while(decided)
    }

    /// A timestamp that a lag depends on and that is not known yet.
    pub(crate) fn unknown_time(&self) -> Option<Need> {
        let settings = &self.spec.config.cleaning;
        if settings.lag_min_ms == 0 && settings.lag_max_ms == i64::MAX {
            return None;
        }
        self.cleanable().find(|s| s.max.is_none()).map(need_max)
    }

    /// Takes what [`Log::unknown_time`] asked for.
    pub(crate) fn learn_time(&mut self, need: &Need, fed: Fed<'_>) {
        let window = self.feed(need, fed);
        if let Need::Bytes { segment, .. } = need {
            self.feed_max(*segment, window);
        }
    }

    /// Puts a cleaned segment in the place of those from `first` to `last`, whose files may go from
    /// `due` on. False if they are not what they were.
    pub(crate) fn swap(
        &mut self,
        (first, last): (Offset, Offset),
        cleaned: Segment,
        due: TimestampMs,
    ) -> bool {
        let base = cleaned.base;
        let Some(gone) = self.segments.replace((first, last), cleaned) else {
            return false;
        };
        self.swaps += 1;
        self.hints.clear();
        for segment in gone {
            self.indexes_held.retain(|held| *held != segment.base);
            self.retired.push(Retired { segment, due });
        }
        self.hold_indexes(base);
        true
    }

    /// Everything below was cleaned.
    pub(crate) fn set_cleaned_to(&mut self, offset: Offset) {
        self.cleaned_to = offset;
    }

    /// See [`Log::set_cleaned_to`].
    pub(crate) fn cleaned_to(&self) -> Offset {
        self.cleaned_to.min(self.next)
    }

    /// What a checkpoint says of an earlier run: believed if a segment begins there, for it may be of
    /// another topic that bore the name.
    pub(crate) fn restore_cleaned_to(&mut self, offset: Offset) {
        if self.segments.get(offset).is_some() {
            self.cleaned_to = offset;
        }
    }

    /// Whether the directory has files with names of cleaned segments.
    pub(crate) fn has_cleaned_names(&self) -> bool {
        !self.retired.is_empty() || self.segments.iter().any(|s| s.generation > 0)
    }

    pub(crate) fn retired(&self, base: Offset, generation: u64) -> Option<&Segment> {
        let mut retired = self.retired.iter().map(|retired| &retired.segment);
        retired.find(|one| one.base == base && one.generation == generation)
    }

    /// Files of replaced segments whose time has come.
    pub(crate) fn take_retired(&mut self, now: TimestampMs) -> Vec<PathBuf> {
        let gone = self.retired.extract_if(.., |retired| retired.due <= now);
        let gone: Vec<Retired> = gone.collect();
        let mut files = Vec::new();
        for Retired { segment, .. } in gone {
            for kind in [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::TxnIndex] {
                files.push(segment.file(kind));
            }
        }
        files
    }
}

impl Segment {
    /// An empty segment with the name of a cleaned one.
    pub(crate) fn cleaned(name: &CleanedName, birth: crate::segment::segment::Birth<'_>) -> Self {
        let mut segment = Self::new(name.base, birth);
        segment.path = birth.dir.join(name.file_name(Kind::Log)).into();
        segment.generation = name.generation;
        segment
    }

    /// All of it is in its file.
    pub(crate) fn complete(&mut self, next: Offset) {
        self.seal();
        self.next = next;
        self.moved = self.bytes;
        if let Indexes::Held(_, time_index) = &self.indexes {
            self.time_index_bytes = time_index.bytes().len() as u64;
        }
    }
}

fn sealed_of(segment: &Segment) -> Sealed {
    let timestamp = match segment.max {
        Some(max) if max.timestamp.0 >= 0 => max.timestamp,
        _ => segment.created,
    };
    Sealed {
        base: segment.base,
        next: segment.next,
        bytes: segment.bytes,
        timestamp,
    }
}
