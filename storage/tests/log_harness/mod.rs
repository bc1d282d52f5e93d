//! One log on a seeded disk, with the store's part played in the simplest way: a list of journal
//! entries, moves on demand, clean and unclean restarts.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thalweg_storage::disk::{BLOCK_BYTES, Disk, File, OpenMode};
use thalweg_storage::journal::entry::{Entry, EntrySink, Place};
use thalweg_storage::log::{
    AppendContext, AppendError, Appended, Fed, FileImage, Found, Loaded, Log, LogConfig, LogSpec,
    Need, Origin, Piece, ReadError, ReadSpec, Step, TimestampQuery, Verification,
};
use thalweg_wire::batch::{
    BatchSummary, CheckLimits, CompressedCheck, Origin as CheckOrigin, Scratch, check_produce,
};
use thalweg_wire::ids::{Epoch, Offset, PartitionId, PartitionIndex, TimestampMs, Uuid};

pub(crate) fn partition() -> PartitionId {
    PartitionId {
        topic: Uuid([7; 16]),
        index: PartitionIndex(0),
    }
}

/// What is kept of a journal entry.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Bytes(Place, Vec<u8>),
    LogStart(Offset),
    Epoch(Epoch, Offset),
    State(Vec<u8>),
    Truncate(Offset, Place),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Kept>,
    /// What the oldest entries build on: the file holds everything below.
    pub(crate) moved: Option<Place>,
}

impl EntrySink for Journal {
    fn push(&mut self, entry: Entry<'_>) {
        self.entries.push(match entry {
            Entry::Append { place, bytes, .. } | Entry::Carried { place, bytes, .. } => {
                Kept::Bytes(place, bytes.to_vec())
            }
            Entry::LogStart { offset, .. } => Kept::LogStart(offset),
            Entry::EpochStart {
                epoch,
                start_offset,
                ..
            } => Kept::Epoch(epoch, start_offset),
            Entry::ProducerState { bytes, .. } => Kept::State(bytes.to_vec()),
            Entry::TruncateTo { offset, place, .. } => Kept::Truncate(offset, place),
            other => panic!("no log causes {other:?}"),
        });
    }
}

pub(crate) fn summary_of(batch: &[u8]) -> BatchSummary {
    let limits = CheckLimits {
        origin: CheckOrigin::Client,
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 24,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: None,
    };
    check_produce(batch, &limits, &mut Scratch::default()).expect("a sound batch")
}

pub(crate) struct Harness<D: Disk> {
    pub(crate) disk: D,
    pub(crate) log: Log,
    pub(crate) journal: Journal,
    pub(crate) config: LogConfig,
    pub(crate) now: TimestampMs,
}

impl<D: Disk> Harness<D> {
    pub(crate) async fn create(disk: D, dir: &str, config: LogConfig) -> Self {
        disk.create_dir(Path::new(dir)).await.unwrap();
        let now = TimestampMs(1_700_000_000_000);
        let spec = LogSpec {
            id: partition(),
            dir: PathBuf::from(dir),
            config,
            now,
        };
        let log = Log::create(spec);
        let harness = Self {
            disk,
            log,
            journal: Journal::default(),
            config,
            now,
        };
        harness.write(harness.log.birth_images()).await;
        harness
    }

    pub(crate) async fn write(&self, images: Vec<FileImage>) {
        for image in images {
            self.disk
                .replace_file(&image.path, &image.bytes)
                .await
                .unwrap();
        }
    }

    pub(crate) async fn prepare(&mut self) {
        if let Some(tail) = self.log.tail_needed() {
            let file = self.disk.open(&tail.path, OpenMode::Read).await.unwrap();
            let block = file
                .read_at(tail.place.position, BLOCK_BYTES)
                .await
                .unwrap();
            self.log.supply_tail(&block[..tail.bytes]);
        }
        if self.journal.moved.is_none() {
            // Exactly the end, not the block's begin: an append may yet be refused, and then
            // nothing is carried.
            self.journal.moved = Some(self.log.place_end());
        }
    }

    pub(crate) async fn append(&mut self, batch: &[u8]) -> Result<Appended, AppendError> {
        self.prepare().await;
        let context = AppendContext {
            leader_epoch: Epoch(3),
            now: self.now,
            origin: Origin::Client,
            verification: Verification::Waived,
        };
        let summary = summary_of(batch);
        self.log
            .append(batch, &summary, &context, &mut self.journal)
    }

    pub(crate) async fn feed(&self, need: &Need) -> Fetched {
        match need {
            Need::Bytes {
                path,
                position,
                bytes,
                ..
            } => {
                assert_eq!(position % BLOCK_BYTES as u64, 0);
                assert_eq!(bytes % BLOCK_BYTES, 0);
                match self.disk.open(path, OpenMode::Read).await {
                    Ok(file) => {
                        let read = file.read_at(*position, *bytes).await.unwrap();
                        Fetched::Bytes(read.to_vec())
                    }
                    Err(_) => Fetched::Bytes(Vec::new()),
                }
            }
            Need::Indexes {
                index, time_index, ..
            } => Fetched::Indexes(
                self.disk.read_file(index).await.unwrap(),
                self.disk.read_file(time_index).await.unwrap(),
            ),
        }
    }

    /// The bytes that a read gives, and how many reads of headers or indexes it took.
    pub(crate) async fn read(&mut self, spec: ReadSpec) -> Result<(Vec<u8>, usize), ReadError> {
        let mut step = self.log.read(spec)?;
        let mut needs = 0;
        let plan = loop {
            match step {
                Step::Done(plan) => break plan,
                Step::Need(need, query) => {
                    needs += 1;
                    assert!(needs < 100, "a read ends");
                    let fetched = self.feed(&need).await;
                    step = self.log.resume_read(query, fetched.fed())?;
                }
            }
        };
        let mut bytes = Vec::new();
        for piece in &plan.pieces {
            match piece {
                Piece::Memory(slice) => bytes.extend_from_slice(slice),
                Piece::File {
                    path,
                    position,
                    bytes: count,
                    ..
                } => bytes.extend(self.file_bytes(path, *position, *count).await),
            }
        }
        assert_eq!(bytes.len(), plan.bytes);
        Ok((bytes, needs))
    }

    async fn file_bytes(&self, path: &Path, position: u64, count: usize) -> Vec<u8> {
        let all = self.disk.read_file(path).await.unwrap();
        let from = usize::try_from(position).unwrap();
        all[from..from + count].to_vec()
    }

    pub(crate) async fn search(&mut self, query: TimestampQuery) -> Option<(i64, i64)> {
        let upper = self.log.view().high_watermark;
        let mut step = self.log.offset_for_timestamp(query, upper).unwrap();
        for _ in 0..10_000 {
            match step {
                Step::Done(found) => return found.map(|f| (f.offset.0, f.timestamp.0)),
                Step::Need(need, search) => {
                    let fetched = self.feed(&need).await;
                    step = self.log.resume_search(search, fetched.fed()).unwrap();
                }
            }
        }
        panic!("a search ends");
    }

    pub(crate) async fn retain(&mut self) {
        let mut step = self.log.retention(self.now);
        let plan = loop {
            match step {
                Step::Done(plan) => break plan,
                Step::Need(need, query) => {
                    let fetched = self.feed(&need).await;
                    step = self.log.resume_retention(query, fetched.fed());
                }
            }
        };
        self.log.retain(plan, self.now, &mut self.journal);
        self.start_durable();
        self.unlink().await;
    }

    /// Every log start in the journal is durable now.
    pub(crate) fn start_durable(&mut self) {
        for entry in &self.journal.entries {
            if let Kept::LogStart(start) = entry {
                self.log.on_start_durable(*start);
            }
        }
    }

    pub(crate) async fn truncate(&mut self, offset: Offset) -> Offset {
        if self.journal.moved.is_none() {
            self.journal.moved = Some(self.log.place_end());
        }
        let mut step = self.log.truncate_to(offset, &mut self.journal).unwrap();
        let end = loop {
            match step {
                Step::Done(end) => break end,
                Step::Need(need, query) => {
                    let fetched = self.feed(&need).await;
                    let fed = fetched.fed();
                    step = self
                        .log
                        .resume_truncate(query, fed, &mut self.journal)
                        .unwrap();
                }
            }
        };
        self.unlink().await;
        self.write(self.log.index_images()).await;
        end
    }

    pub(crate) async fn unlink(&mut self) {
        for path in self.log.take_removed() {
            match self.disk.remove(&path).await {
                Ok(()) => {}
                Err(error) => assert_eq!(error.cause.kind(), std::io::ErrorKind::NotFound),
            }
        }
    }

    /// Moves what is durable: up to `blocks_max` blocks a segment; all of it with `whole`.
    pub(crate) async fn move_some(&mut self, blocks_max: u64, whole: bool) {
        for pending in self.log.pending() {
            let block = BLOCK_BYTES as u64;
            let all = (pending.sealed || whole) && pending.durable == pending.end;
            let target = (pending.moved - pending.moved % block) + blocks_max * block;
            let to = match all && target >= pending.end {
                true => pending.end,
                false => target.min(pending.durable - pending.durable % block),
            };
            let from = Place {
                segment: pending.segment,
                position: pending.moved,
            };
            if to < pending.moved || (to == pending.moved && !(all && to == pending.end)) {
                continue;
            }
            if to > pending.moved {
                self.write_log(&pending.path, from, to).await;
            }
            if pending.sealed && to == pending.end {
                let file = self
                    .disk
                    .open(&pending.path, OpenMode::Write)
                    .await
                    .unwrap();
                file.truncate(to).await.unwrap();
                self.write(self.log.seal_images(pending.segment)).await;
            }
            self.log.moved(Place {
                position: to,
                ..from
            });
        }
        if !whole {
            // Whole blocks of the indexes, as a move round writes them.
            let images = self.log.index_images().into_iter();
            let cut = images.map(|mut image| {
                let whole = image.bytes.len() - image.bytes.len() % BLOCK_BYTES;
                image.bytes.truncate(whole);
                image
            });
            let cut: Vec<_> = cut.filter(|image| !image.bytes.is_empty()).collect();
            self.write(cut).await;
        }
    }

    async fn write_log(&self, path: &Path, from: Place, to: u64) {
        let file = match self.disk.open(path, OpenMode::Write).await {
            Ok(file) => file,
            Err(_) => self.disk.open(path, OpenMode::Create).await.unwrap(),
        };
        let parts = self.log.move_parts(from, to);
        file.write_at(from.position, parts, true).await.unwrap();
        if !to.is_multiple_of(BLOCK_BYTES as u64) {
            file.truncate(to).await.unwrap();
        }
    }

    /// Forgets the journal, after carrying what segments lack.
    pub(crate) fn recycle(&mut self) {
        let mut fresh = Journal::default();
        self.log.state_entries(&mut fresh);
        let pending = self.log.pending();
        for pending in &pending {
            let from = Place {
                segment: pending.segment,
                position: pending.moved,
            };
            let mut position = from.position;
            if pending.moved < pending.end {
                for slice in self.log.tail_parts(from, pending.end) {
                    let place = Place { position, ..from };
                    fresh.entries.push(Kept::Bytes(place, slice.to_vec()));
                    position += slice.len() as u64;
                }
            }
        }
        let end = self.log.place_end();
        fresh.moved = Some(pending.first().map_or(end, |first| Place {
            segment: first.segment,
            position: first.moved,
        }));
        self.journal = fresh;
    }

    pub(crate) async fn stop_clean(&mut self) {
        let end = self.log.view().log_end;
        self.log.on_durable(end);
        self.start_durable();
        self.move_some(u64::from(u32::MAX), true).await;
        assert_eq!(self.log.pending(), [], "all is moved");
        let end = self.log.place_end();
        let path = self.log.dir().join(format!("{:020}.log", end.segment.0));
        if let Ok(file) = self.disk.open(&path, OpenMode::Write).await {
            file.truncate(end.position).await.unwrap();
        }
        self.write(self.log.stop_images()).await;
        self.unlink().await;
    }

    pub(crate) async fn start_clean(&mut self) {
        let found = Found {
            log_start: Some(self.log.view().log_start),
            ..Found::default()
        };
        self.journal = Journal::default();
        self.start(found).await;
    }

    /// A start after a kill: the journal's bytes are laid over the segments first.
    pub(crate) async fn start_after_kill(&mut self) {
        let mut found = Found::default();
        let mut end = self.journal.moved;
        let mut images: BTreeMap<Offset, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
        found.unsure_from = end.map(|place| place.segment);
        for entry in &self.journal.entries {
            match entry {
                Kept::Bytes(place, bytes) => {
                    let position = place.position + bytes.len() as u64;
                    let to = Place { position, ..*place };
                    end = Some(end.map_or(to, |end| end.max(to)));
                    let ranges = images.entry(place.segment).or_default();
                    ranges.push((place.position, bytes.clone()));
                }
                Kept::LogStart(start) => {
                    found.log_start = Some(found.log_start.map_or(*start, |old| old.max(*start)));
                }
                Kept::Epoch(epoch, start) => found.epochs.push((*epoch, *start)),
                Kept::State(state) => found.state = Some(state.clone()),
                Kept::Truncate(next, place) => {
                    end = Some(*place);
                    found.unsure_from = found.unsure_from.map(|from| from.min(place.segment));
                    found.epochs.retain(|(_, start)| start < next);
                    found.state = None;
                    let lowest = found.cut.map_or(*place, |(old, _)| old.min(*place));
                    let least = found.cut.map_or(*next, |(_, old)| old.min(*next));
                    found.cut = Some((lowest, least));
                    found.log_start = found.log_start.map(|start| start.min(*next));
                    images.retain(|segment, _| *segment <= place.segment);
                    if let Some(ranges) = images.get_mut(&place.segment) {
                        cut_ranges(ranges, place.position);
                    }
                }
            }
        }
        let start = found.log_start.unwrap_or(Offset(0));
        found.end = end;
        images.retain(|segment, ranges| {
            !ranges.is_empty() || Some(*segment) == end.map(|e| e.segment)
        });
        for (segment, ranges) in images {
            let tail = self.lay(segment, ranges, end.unwrap()).await;
            found.tail = tail;
        }
        // The log start comes from the checkpoint where no entry says more.
        found.log_start = Some(start.max(self.log.view().log_start));
        self.start(found).await;
    }

    /// Lays ranges over a segment's file: whole blocks of the last segment, all of the others.
    async fn lay(&self, segment: Offset, ranges: Vec<(u64, Vec<u8>)>, end: Place) -> Vec<u8> {
        let name = format!("{:020}.log", segment.0);
        let path = self.log.dir().join(name);
        let mut image = self.disk.read_file(&path).await.unwrap_or_default();
        let mut to = match segment == end.segment {
            true => usize::try_from(end.position).unwrap(),
            false => 0,
        };
        for (position, bytes) in ranges {
            let from = usize::try_from(position).unwrap();
            to = to.max(from + bytes.len());
            image.resize(image.len().max(to), 0);
            image[from..from + bytes.len()].copy_from_slice(&bytes);
        }
        image.truncate(to);
        let mut tail = Vec::new();
        if segment == end.segment {
            tail = image.split_off(to - to % BLOCK_BYTES);
        }
        self.disk.replace_file(&path, &image).await.unwrap();
        tail
    }

    async fn start(&mut self, found: Found) {
        let spec = LogSpec {
            id: partition(),
            dir: self.log.dir().to_path_buf(),
            config: self.config,
            now: self.now,
        };
        let tail = found.tail.clone();
        let Loaded {
            log,
            repairs,
            strays,
        } = Log::load(&self.disk, spec, found).await.unwrap();
        self.write(repairs).await;
        for path in strays {
            let _ = self.disk.remove(&path).await;
        }
        let before = std::mem::replace(&mut self.log, log);
        assert_eq!(self.log.view().log_end, before.view().log_end);
        if !self.journal.entries.is_empty() || self.journal.moved.is_some() {
            self.recycle();
            let carried: usize = self.journal.entries.iter().map(bytes_of).sum();
            assert_eq!(carried, tail.len());
        }
    }
}

fn cut_ranges(ranges: &mut Vec<(u64, Vec<u8>)>, end: u64) {
    ranges.retain(|(position, _)| *position < end);
    for (position, bytes) in ranges {
        bytes.truncate(usize::try_from(end - *position).unwrap());
    }
}

fn bytes_of(entry: &Kept) -> usize {
    match entry {
        Kept::Bytes(_, bytes) => bytes.len(),
        _ => 0,
    }
}

pub(crate) enum Fetched {
    Bytes(Vec<u8>),
    Indexes(Vec<u8>, Vec<u8>),
}

impl Fetched {
    fn fed(&self) -> Fed<'_> {
        match self {
            Self::Bytes(bytes) => Fed::Bytes(bytes),
            Self::Indexes(index, time_index) => Fed::Indexes {
                index: index.clone(),
                time_index: time_index.clone(),
            },
        }
    }
}
