//! Loading a log from its directory.
//!
//! ```text
//! names -> list -> segments -> epochs -> snapshot + state entry -> scan -> log
//! ```
//! Sealed segments that were complete before the last clean stop are taken as they are: their
//! indexes stay in their files. From the first segment that may have changed on, batches are
//! walked from the last index entry (or from where producer state must go on, if that is earlier):
//! lengths, checksums where the segment is unsure, index entries as they would have been made.
//!
//! The log ends with the last whole, sound batch, but never later than what the journals say. A
//! batch that is whole but unsound is rot if the journals vouch for it, or if a sound one follows
//! by the segments' order; else it is where a write was torn.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use thalweg_wire::batch::BATCH_HEADER_BYTES;
use thalweg_wire::ids::{Offset, TimestampMs};

use super::listing::Listing;
use super::moving::index_images;
use super::state::{self, StateEntry};
use super::walk::Walk;
use super::{Found, LoadError, Loaded, Log, LogSpec};
use crate::chunks::Chain;
use crate::disk::{BLOCK_BYTES, Disk, DiskError, File, OpenMode, Slice};
use crate::epochs::{EpochEntry, Epochs};
use crate::files;
use crate::files::producers::{decode_snapshot, entry_of};
use crate::journal::entry::Place;
use crate::segment::index::{IndexEntry, OffsetIndex};
use crate::segment::name::{self, Kind};
use crate::segment::segment::{Birth, Indexes, Segment, Window, facts};
use crate::segment::time_index::TimeIndex;
use crate::segment::txn_index::TxnIndex;

impl From<DiskError> for LoadError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl Log {
    /// Loads a log from its directory, over whose segments journaled ranges were laid before.
    pub async fn load<D: Disk>(disk: &D, spec: LogSpec, found: Found) -> Result<Loaded, LoadError> {
        let mut listing = Listing::settled(disk, &spec.dir).await?;
        let loaded = load_once(disk, &spec, &found, &listing).await?;
        let end = loaded.log.next;
        if loaded.log.snapshot_on_disk <= end {
            return Ok(loaded);
        }
        // The newest snapshot knows of records that are lost: once more with an older one.
        let (lost, kept) = listing
            .snapshots
            .into_iter()
            .partition(|offset| *offset > end);
        listing.snapshots = kept;
        let mut loaded = load_once(disk, &spec, &found, &listing).await?;
        let lost: Vec<Offset> = lost;
        for offset in lost {
            let name = name::file_name(offset, Kind::Snapshot);
            loaded.strays.push(spec.dir.join(name));
        }
        Ok(loaded)
    }
}

async fn load_once<D: Disk>(
    disk: &D,
    spec: &LogSpec,
    found: &Found,
    listing: &Listing,
) -> Result<Loaded, LoadError> {
    let mut loader = Loader {
        disk,
        unsure_from: found.unsure_from,
        cut: found.cut,
        end: found.end,
        tail: found.tail.clone(),
        held: &found.held,
        producers_from: Offset(0),
        log: Log::empty_at(spec.clone(), Offset(0)),
        rebuilt: Vec::new(),
        strays: listing.strays.clone(),
    };
    loader.epochs(listing, &found.epochs).await?;
    let log_start = found.log_start.unwrap_or(Offset(0));
    let segments = loader.segments(listing, log_start).await?;
    let state = found.state.as_deref().and_then(state::decode);
    loader.adopt(segments, log_start);
    loader.producers(listing, state).await?;
    loader.scan_all().await?;
    Ok(loader.finish(listing, log_start))
}

struct Loader<'a, D: Disk> {
    disk: &'a D,
    unsure_from: Option<Offset>,
    cut: Option<(Place, Offset)>,
    end: Option<Place>,
    tail: Vec<u8>,
    held: &'a [(Place, Slice)],
    /// Producer state is held as of this offset.
    producers_from: Offset,
    log: Log,
    /// Sealed segments whose indexes were made anew.
    rebuilt: Vec<Offset>,
    strays: Vec<PathBuf>,
}

impl<D: Disk> Loader<'_, D> {
    async fn epochs(
        &mut self,
        listing: &Listing,
        journaled: &[(thalweg_wire::ids::Epoch, Offset)],
    ) -> Result<(), LoadError> {
        if listing.has_epochs {
            let bytes = self
                .read(&self.log.spec.dir.join(files::epochs::NAME))
                .await?;
            // A checkpoint that cannot be read is made again by the batches that are scanned.
            self.log.epochs_on_disk = files::epochs::decode(&bytes).unwrap_or_default();
        }
        let on_disk = self.log.epochs_on_disk.entries().iter().copied();
        let journaled = journaled.iter().map(|(epoch, start)| EpochEntry {
            epoch: *epoch,
            start: *start,
        });
        self.log.epochs = Epochs::from_entries(on_disk.chain(journaled));
        Ok(())
    }

    /// The segments as the directory tells, not yet scanned.
    async fn segments(
        &mut self,
        listing: &Listing,
        log_start: Offset,
    ) -> Result<VecDeque<Segment>, LoadError> {
        let mut logs: Vec<(Offset, u64)> = listing.logs.iter().map(|(b, s)| (*b, *s)).collect();
        if let Some(end) = self.end {
            // What lies behind the journaled end was cut off.
            for (base, _) in logs.extract_if(.., |(base, _)| *base > end.segment) {
                self.stray_segment(base);
            }
            if logs.last().is_none_or(|(base, _)| *base != end.segment) {
                logs.push((end.segment, 0));
            }
        }
        let mut segments = VecDeque::new();
        for (at, (base, bytes)) in logs.iter().enumerate() {
            let next = logs.get(at + 1).map(|(next, _)| *next);
            if next.is_some_and(|next| next <= log_start) {
                self.stray_segment(*base);
                continue;
            }
            segments.push_back(self.segment(listing, (*base, *bytes), next).await?);
        }
        Ok(segments)
    }

    async fn segment(
        &self,
        listing: &Listing,
        (base, bytes): (Offset, u64),
        next: Option<Offset>,
    ) -> Result<Segment, LoadError> {
        let spec = &self.log.spec;
        let mut segment = Segment::new(
            base,
            Birth {
                dir: &spec.dir,
                now: spec.now,
            },
        );
        let time_index_bytes = listing.bytes(base, Kind::TimeIndex);
        segment.bytes = bytes;
        segment.moved = bytes;
        segment.sealed = next.is_some();
        segment.next = next.unwrap_or(base);
        segment.time_index_bytes = time_index_bytes.unwrap_or(0);
        if listing.bytes(base, Kind::TxnIndex).is_some() {
            let bytes = self.read(&segment.file(Kind::TxnIndex)).await?;
            segment.txn = TxnIndex::from_bytes(&bytes);
            if let Some((_, offset)) = self.cut {
                segment.txn.cut(offset);
            }
        }
        let has_index = listing.bytes(base, Kind::Index).is_some() && time_index_bytes.is_some();
        if segment.sealed && has_index && !self.is_unsure(base) {
            segment.indexes = Indexes::OnDisk;
            // An index without entries is of records without timestamps.
            if segment.time_index_bytes > 0 {
                segment.max = None;
            }
        }
        Ok(segment)
    }

    fn is_unsure(&self, base: Offset) -> bool {
        self.unsure_from.is_some_and(|from| base >= from) || self.is_cut(base)
    }

    fn is_cut(&self, base: Offset) -> bool {
        self.cut.is_some_and(|(place, _)| base >= place.segment)
    }

    fn stray_segment(&mut self, base: Offset) {
        for kind in [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::TxnIndex] {
            let path = self.log.spec.dir.join(name::file_name(base, kind));
            self.strays.push(path);
        }
    }

    /// Makes the log of the segments; the active one ends where the journals say.
    fn adopt(&mut self, mut segments: VecDeque<Segment>, log_start: Offset) {
        let spec = self.log.spec.clone();
        if segments.is_empty() {
            let birth = Birth {
                dir: &spec.dir,
                now: spec.now,
            };
            segments.push_back(Segment::new(log_start, birth));
        }
        if let (Some(end), Some(active)) = (self.end, segments.back_mut()) {
            active.bytes = end.position;
            active.moved = end.position;
            if !self.tail.is_empty() {
                let from = end.position - end.position % BLOCK_BYTES as u64;
                let mut chain = Chain::new(from);
                chain.append(&self.tail);
                active.moved = from;
                active.chain = Some(chain);
            }
        }
        let first = segments.front().map_or(log_start, |s| s.base);
        let mut log = Log::of_segments(spec, segments, log_start.max(first));
        std::mem::swap(&mut log.epochs, &mut self.log.epochs);
        std::mem::swap(&mut log.epochs_on_disk, &mut self.log.epochs_on_disk);
        self.log = log;
    }

    /// Producer state before the scan: the newest sound snapshot, then the state entry.
    async fn producers(
        &mut self,
        listing: &Listing,
        state: Option<StateEntry>,
    ) -> Result<(), LoadError> {
        // A snapshot above the end was taken before the end was cut off. Where the end is not yet
        // known, no snapshot can be above it but after a crash of Kafka's: the scan tells.
        for offset in listing.snapshots.iter().rev() {
            let path = self
                .log
                .spec
                .dir
                .join(name::file_name(*offset, Kind::Snapshot));
            let bytes = self.read(&path).await?;
            if let Ok(lines) = decode_snapshot(&bytes) {
                for line in &lines {
                    self.log.producers.restore(line.producer, entry_of(line));
                }
                self.producers_from = *offset;
                self.log.snapshot_on_disk = *offset;
                break;
            }
        }
        if let Some(state) = state.filter(|state| state.as_of >= self.producers_from) {
            let state = state.without_cleaned(&self.log, listing);
            self.producers_from = state.as_of;
            if let (Some(max), Some(segment)) =
                (state.max, self.log.segments.get_mut(state.segment))
            {
                segment.max = Some(max);
            }
            self.log.restore(state);
        }
        Ok(())
    }

    /// Walks what must be walked, oldest segment first.
    async fn scan_all(&mut self) -> Result<(), LoadError> {
        let bases: Vec<Offset> = self.log.segments.iter().map(|s| s.base).collect();
        for base in bases {
            let Some(segment) = self.log.segments.get(base) else {
                continue;
            };
            match segment.indexes {
                Indexes::Held(..) => self.scan(base).await?,
                Indexes::OnDisk if self.producers_from < segment.next => {
                    self.scan_producers(base).await?;
                }
                Indexes::OnDisk => {}
            }
        }
        Ok(())
    }

    /// Walks a complete segment for its producers only.
    async fn scan_producers(&mut self, base: Offset) -> Result<(), LoadError> {
        let Some(segment) = self.log.segments.get(base) else {
            return Ok(());
        };
        let index = self.read(&segment.file(Kind::Index)).await?;
        let index = OffsetIndex::from_bytes(base, index, segment.bytes);
        let from = index.floor(self.producers_from).position;
        let mut walk = Walk::begin(self.disk, segment, from, false, self.held).await?;
        while let Some((facts, batch)) = walk.next().await? {
            if facts.base >= self.producers_from {
                self.log
                    .note_producer(batch.header(), batch.payload(), &facts);
            }
        }
        Ok(())
    }

    /// Walks a segment from its last index entry on, or from where producer state must go on.
    async fn scan(&mut self, base: Offset) -> Result<(), LoadError> {
        let (indexed, start) = self.take_indexes(base).await?;
        let unsure = self.is_unsure(base);
        let Some(segment) = self.log.segments.get(base) else {
            return Ok(());
        };
        let limit = segment.bytes;
        let mut walk = Walk::begin(self.disk, segment, start.position, unsure, self.held).await?;
        let interval = self.log.spec.config.index_interval_bytes;
        if let Some(segment) = self.log.segments.get_mut(base) {
            segment.rewind(start.position, start.offset);
        }
        let after = self.log.segments.after(base).map(|after| after.base);
        let mut is_void = false;
        loop {
            let at = walk.position();
            let Some((facts, batch)) = walk.next().await? else {
                break;
            };
            let Some(segment) = self.log.segments.get_mut(base) else {
                break;
            };
            // Whole already: what was cut off lies in the file until the file is cut.
            is_void = after == Some(segment.next);
            if facts.base < segment.next || is_void {
                break;
            }
            segment.note(&facts, if at > indexed { interval } else { u32::MAX });
            if at == indexed {
                segment.entry_made(facts.bytes);
            }
            let epoch = batch.header().leader_epoch();
            if epoch > self.log.epochs.latest() {
                self.log.epochs.assign(epoch, facts.base);
            }
            if facts.base >= self.producers_from {
                self.log
                    .note_producer(batch.header(), batch.payload(), &facts);
            }
        }
        self.end_scan(base, if is_void { 0 } else { limit })
    }

    /// Whether a walk may end where it did.
    fn end_scan(&mut self, base: Offset, limit: u64) -> Result<(), LoadError> {
        let active = self.log.segments.active().base;
        let Some(segment) = self.log.segments.get_mut(base) else {
            return Ok(());
        };
        let place = Place {
            segment: base,
            position: segment.bytes,
        };
        if segment.bytes < limit && (base != active || self.end.is_some()) {
            return Err(LoadError::Corrupt(place));
        }
        segment.moved = segment.moved.min(segment.bytes);
        if base != active {
            segment.seal();
            self.rebuilt.push(base);
        }
        Ok(())
    }

    /// Loads what is good of a segment's indexes; the last indexed position, and where to start.
    async fn take_indexes(&mut self, base: Offset) -> Result<(u64, IndexEntry), LoadError> {
        let zero = IndexEntry {
            offset: base,
            position: 0,
        };
        let Some(segment) = self.log.segments.get(base) else {
            return Ok((0, zero));
        };
        let (path, time_path) = (segment.file(Kind::Index), segment.file(Kind::TimeIndex));
        let limit = segment.bytes;
        let (mut index, mut time_index) = (OffsetIndex::new(base), TimeIndex::new(base));
        if !self.is_cut(base) {
            index = OffsetIndex::from_bytes(base, self.read_if(&path).await?, limit);
            time_index = TimeIndex::from_bytes(base, self.read_if(&time_path).await?);
        }
        let last = index.last().unwrap_or(zero);
        let start = match index.floor(self.producers_from) {
            floor if floor.position < last.position => floor,
            _ => last,
        };
        let is_active = self.log.segments.active().base == base;
        let first = match is_active && start.position > 0 {
            true => self.first_timestamp(base).await?,
            false => None,
        };
        if let Some(segment) = self.log.segments.get_mut(base) {
            let known = segment.max.filter(|max| max.timestamp.0 >= 0);
            let listed = time_index.last();
            segment.max = known
                .filter(|known| known.timestamp >= listed.timestamp)
                .or(Some(listed));
            segment.first_timestamp = first;
            segment.indexes = Indexes::Held(index, time_index);
        }
        // The entry names the last offset of its batch: the walk begins at or before it.
        let floor = IndexEntry {
            offset: base,
            ..start
        };
        Ok((last.position, floor))
    }

    /// The first batch's time, from which the age of the active segment counts.
    async fn first_timestamp(&self, base: Offset) -> Result<Option<TimestampMs>, LoadError> {
        let Some(segment) = self.log.segments.get(base) else {
            return Ok(None);
        };
        let mut header = [0; BATCH_HEADER_BYTES];
        if segment.memory_start() == 0 {
            return Ok(segment
                .header(0, Window::NONE)
                .ok()
                .flatten()
                .map(|b| b.max_timestamp));
        }
        let file = self.disk.open(&segment.path, OpenMode::Read).await?;
        let block = file.read_at(0, BLOCK_BYTES).await?;
        let window = Window {
            segment: base,
            position: 0,
            bytes: &block,
        };
        let read = segment.peek(0, window, &mut header);
        Ok(read
            .ok()
            .and_then(|()| facts(&header))
            .map(|b| b.max_timestamp))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, LoadError> {
        Ok(self.disk.read_file(path).await?)
    }

    /// A file that may be missing.
    async fn read_if(&self, path: &Path) -> Result<Vec<u8>, LoadError> {
        match self.disk.read_file(path).await {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn finish(mut self, listing: &Listing, log_start: Offset) -> Loaded {
        let log = &mut self.log;
        if log.segments.active().next < log_start {
            // Everything was deleted, and the tail with it.
            let segment = Segment::new(log_start, log.birth(log.spec.now));
            for segment in log.segments.replace_all(segment) {
                log.remove(&segment);
            }
        }
        log.settle();
        log.epochs.cut_start(log.log_start);
        log.epochs.cut_end(log.next.plus(1));
        for offset in &listing.snapshots {
            if *offset != log.snapshot_on_disk && log.segments.get(*offset).is_none() {
                let name = name::file_name(*offset, Kind::Snapshot);
                self.strays.push(log.spec.dir.join(name));
            }
        }
        let rebuilt = self
            .rebuilt
            .iter()
            .filter_map(|base| log.segments.get(*base));
        let repairs = rebuilt.flat_map(index_images).collect();
        for base in std::mem::take(&mut self.rebuilt) {
            log.hold_indexes(base);
        }
        self.strays.append(&mut log.removed);
        Loaded {
            log: self.log,
            repairs,
            strays: self.strays,
        }
    }
}
