//! Appending: check, assign, place, remember.

use thalweg_wire::batch::build::marker_batch;
use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, BatchSummary, Stamp};
use thalweg_wire::ids::{Epoch, Offset, TimestampMs};

use super::state::{Event, event_of};
use super::{AppendContext, AppendError, Appended, EndTxn, Log, Origin, TailRead, TimestampType};
use crate::append::assign::Assigned;
use crate::append::check::{MarkerVerdict, Verdict, check_batch, check_marker};
use crate::chunks::Chain;
use crate::journal::entry::{Entry, EntrySink, Place};
use crate::producers::BatchMemo;
use crate::segment::BatchFacts;
use crate::segment::segment::{Segment, facts};
use crate::segment::txn_index::AbortedTxn;

impl Log {
    /// The partial last block that must be read and supplied before the next append.
    #[must_use]
    pub fn tail_needed(&self) -> Option<TailRead> {
        let active = self.segments.active();
        let from = active.whole_end();
        if active.chain.is_some() || from == active.bytes {
            return None;
        }
        Some(TailRead {
            path: active.path.clone(),
            place: Place {
                segment: active.base,
                position: from,
            },
            bytes: usize::try_from(active.bytes - from).expect("less than a block"),
        })
    }

    /// Takes it: the used bytes of the block. They go to the sink as carried with the next append.
    pub fn supply_tail(&mut self, bytes: &[u8]) {
        let Some(needed) = self.tail_needed() else {
            return;
        };
        assert_eq!(bytes.len(), needed.bytes, "the tail is what was asked for");
        let mut chain = Chain::new(needed.place.position);
        chain.append(bytes);
        self.segments.active_mut().chain = Some(chain);
        self.carry_due = true;
    }

    /// This node leads from here on, in this epoch.
    pub fn start_epoch(&mut self, epoch: Epoch, sink: &mut impl EntrySink) {
        self.note_epoch(epoch, self.next, sink);
    }

    /// Appends one batch that `check_produce` passed (`Origin::Replica`: as the leader sent it).
    pub fn append(
        &mut self,
        batch: &[u8],
        summary: &BatchSummary,
        context: &AppendContext,
        sink: &mut impl EntrySink,
    ) -> Result<Appended, AppendError> {
        if summary.is_idempotent() && !summary.is_control() {
            let entry = self.producers.get(summary.producer_id);
            let verdict = check_batch(entry, summary, context.origin);
            // As in Kafka: a duplicate is known before anybody is asked, all else is judged after.
            if !matches!(verdict, Ok(Verdict::Duplicate(_))) {
                self.check_verified(summary, context)?;
                self.check_first(summary, context.origin)?;
            }
            match verdict? {
                Verdict::New => {}
                Verdict::Duplicate(memo) => return Ok(self.duplicate(&memo)),
            }
        }
        let base = self.check_place(batch, summary.last_offset_delta, context.origin)?;
        let log_append_time = self.log_append_time(context);
        let (epoch, stamp) = match context.origin {
            Origin::Replica => (header_of(batch)?.leader_epoch(), Stamp::Keep),
            Origin::Client | Origin::Coordinator => {
                (context.leader_epoch, summary.stamp(log_append_time))
            }
        };
        let assigned = Assigned::new(batch, base, epoch, stamp);
        self.place(&assigned, context.now, sink);
        Ok(Appended {
            base_offset: base,
            last_offset: self.next.plus(-1),
            log_append_time,
            duplicate: false,
            end: self.next,
            log_start: self.start_shown,
        })
    }

    /// Ends a transaction: writes its marker.
    pub fn append_end_txn(
        &mut self,
        end: &EndTxn,
        context: &AppendContext,
        sink: &mut impl EntrySink,
    ) -> Result<Appended, AppendError> {
        match check_marker(self.producers.get(end.producer), end)? {
            MarkerVerdict::New => {}
            MarkerVerdict::Written => {
                self.verifications.end(end.producer);
                return Ok(self.written());
            }
        }
        let producer = (end.producer, end.epoch);
        let epoch = Epoch(end.coordinator_epoch);
        let batch = marker_batch(producer, epoch, end.commit, context.now);
        let base = self.check_place(&batch, 0, Origin::Coordinator)?;
        let assigned = Assigned::new(&batch, base, context.leader_epoch, Stamp::Keep);
        self.place(&assigned, context.now, sink);
        Ok(Appended {
            base_offset: base,
            last_offset: base,
            log_append_time: None,
            duplicate: false,
            end: self.next,
            log_start: self.start_shown,
        })
    }

    /// Whether there is a place for the batch, and the offset it gets.
    fn check_place(&self, batch: &[u8], delta: i32, origin: Origin) -> Result<Offset, AppendError> {
        if self.tail_needed().is_some() {
            return Err(AppendError::TailMissing);
        }
        let limit = self.spec.config.segment_bytes;
        if batch.len() > limit as usize {
            return Err(AppendError::LargerThanSegment {
                bytes: batch.len(),
                limit,
            });
        }
        let base = match origin {
            Origin::Replica => header_of(batch)?.base_offset(),
            Origin::Client | Origin::Coordinator => self.next,
        };
        if base != self.next {
            return Err(AppendError::NotNext {
                expected: self.next,
                got: base,
            });
        }
        // The offset after the last record must be a number too.
        let records = i64::from(delta) + 1;
        base.0.checked_add(records).ok_or(AppendError::Exhausted)?;
        Ok(base)
    }

    fn log_append_time(&self, context: &AppendContext) -> Option<TimestampMs> {
        let is_ours = context.origin != Origin::Replica
            && self.spec.config.timestamp_type == TimestampType::LogAppendTime;
        is_ours.then_some(context.now)
    }

    fn duplicate(&self, memo: &BatchMemo) -> Appended {
        let append_time = self.spec.config.timestamp_type == TimestampType::LogAppendTime;
        Appended {
            base_offset: memo.base_offset(),
            last_offset: memo.last_offset,
            log_append_time: append_time.then_some(memo.timestamp),
            duplicate: true,
            end: memo.last_offset.plus(1),
            log_start: self.start_shown,
        }
    }

    /// What the retry of a marker is told: everything so far is to be durable, the marker included.
    fn written(&self) -> Appended {
        let last = self.next.plus(-1);
        Appended {
            base_offset: last,
            last_offset: last,
            log_append_time: None,
            duplicate: true,
            end: self.next,
            log_start: self.start_shown,
        }
    }

    /// Puts a batch at the end: chunk, sink, indexes, producers. Everything was checked before.
    fn place(&mut self, batch: &Assigned<'_>, now: TimestampMs, sink: &mut impl EntrySink) {
        let [header, rest] = batch.parts();
        let facts = facts(header).expect("an assigned batch has a sound header");
        debug_assert_eq!(facts.bytes as usize, header.len() + rest.len());
        self.note_epoch(batch.header().leader_epoch(), facts.base, sink);
        if self
            .segments
            .active()
            .must_roll(&facts, &self.spec.config, now)
        {
            self.roll(now);
        }
        self.carry_tail(sink);
        let id = self.spec.id;
        let active = self.segments.active_mut();
        let segment = active.base;
        let chain = active.chain.get_or_insert_with(|| Chain::new(active.bytes));
        let mut position = chain.append(header);
        debug_assert_eq!(position, active.bytes);
        chain.append(rest);
        for slice in chain.slices(position..chain.end()) {
            let place = Place { segment, position };
            sink.push(Entry::Append {
                partition: id,
                place,
                bytes: &slice,
            });
            position += slice.len() as u64;
        }
        active.note(&facts, self.spec.config.index_interval_bytes);
        self.next = active.next;
        self.waiting
            .push_back((self.next, Place { segment, position }));
        self.note_producer(batch.header(), rest, &facts);
    }

    /// Bytes of a block that is about to be written again go into the journal first.
    fn carry_tail(&mut self, sink: &mut impl EntrySink) {
        if !std::mem::take(&mut self.carry_due) {
            return;
        }
        let id = self.spec.id;
        let active = self.segments.active_mut();
        let Some(chain) = &active.chain else {
            return;
        };
        let mut position = chain.start();
        for slice in chain.slices(position..chain.end()) {
            sink.push(Entry::Carried {
                partition: id,
                place: Place {
                    segment: active.base,
                    position,
                },
                bytes: &slice,
            });
            position += slice.len() as u64;
        }
        active.moved = active.moved.min(chain.start());
    }

    pub(super) fn note_epoch(&mut self, epoch: Epoch, start: Offset, sink: &mut impl EntrySink) {
        if epoch > self.epochs.latest() && self.epochs.assign(epoch, start) {
            sink.push(Entry::EpochStart {
                partition: self.spec.id,
                epoch,
                start_offset: start,
            });
        }
    }

    /// What a batch with a producer id changes in producers and transaction index.
    pub(super) fn note_producer(
        &mut self,
        header: &BatchHeader,
        payload: &[u8],
        facts: &BatchFacts,
    ) {
        match event_of(header, payload) {
            None => {}
            Some(Event::Data(batch)) => {
                self.producers.on_batch(&batch);
                if batch.transactional {
                    self.verifications.end(batch.producer);
                }
            }
            Some(Event::Marker { marker, commit }) => {
                self.verifications.end(marker.producer);
                let Some(ended) = self.producers.on_marker(&marker) else {
                    return;
                };
                if commit {
                    return;
                }
                let txn = AbortedTxn {
                    producer: marker.producer,
                    first: ended.first,
                    last: marker.offset,
                    last_stable: ended.last_stable,
                };
                if let Some(segment) = self.segments.holding_mut(facts.base) {
                    segment.txn.push(txn);
                }
            }
        }
    }

    /// Ends the active segment and begins the next one.
    pub(super) fn roll(&mut self, now: TimestampMs) {
        let snapshot = self.snapshot();
        let segment = Segment::new(self.next, self.birth(now));
        let active = self.segments.active_mut();
        active.seal();
        active.snapshot = Some(snapshot);
        // A tail that was supplied for nothing stays in its file, which is complete.
        if std::mem::take(&mut self.carry_due) {
            active.chain = None;
        }
        self.segments.push(segment);
    }
}

fn header_of(batch: &[u8]) -> Result<&BatchHeader, AppendError> {
    debug_assert!(
        batch.len() >= BATCH_HEADER_BYTES,
        "only whole batches are appended"
    );
    BatchHeader::of(batch).ok_or(AppendError::Exhausted)
}
