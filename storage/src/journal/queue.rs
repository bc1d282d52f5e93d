//! Rounds that wait to be written: entries in, rounds of a bounded size out. Pure.
//!
//! Entries go into the youngest round; one that would grow beyond the limit ends it and begins the
//! next. Record bytes and producer states are cut to fit, so a round is never larger than the
//! limit, however large a batch is. Parts of one batch carry [`MORE`], all but the last.

use std::collections::VecDeque;

use thalweg_wire::ids::{Offset, PartitionId};

use super::entry::{APPEND_OVERHEAD_BYTES, Entry, EntrySink, MORE, Place};
use super::round::{RoundBuilder, Touched, padded};

/// A cut leaves at least this much on either side, so that no round ends with crumbs.
const CUT_BYTES_MIN: usize = 512;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct RoundQueue {
    rounds: VecDeque<RoundBuilder>,
    /// Number of the newest round that ever held an entry.
    newest: u64,
    /// The youngest round that may begin a journal file.
    file_first: u64,
    /// Where the last round that was taken ends in its file.
    taken_to: u64,
    file_bytes: u64,
    /// Payload bytes of a round at most.
    payload_max: usize,
    /// True between `begin_group` and `end_group`.
    grouped: bool,
    /// Round of the running group's last entry with bytes, and where it begins there.
    last_part: Option<(u64, usize)>,
}

impl RoundQueue {
    /// An empty queue for files of `file_bytes`; the first round will be the one after `newest`,
    /// and it begins a file unless [`RoundQueue::taken`] says otherwise.
    #[must_use]
    pub(crate) fn new(newest: u64, payload_max: usize, file_bytes: u64) -> Self {
        assert!(payload_max >= APPEND_OVERHEAD_BYTES + 2 * CUT_BYTES_MIN);
        Self {
            rounds: VecDeque::new(),
            newest,
            file_first: newest,
            taken_to: file_bytes,
            file_bytes,
            payload_max,
            grouped: false,
            last_part: None,
        }
    }

    /// Number of the newest round that holds an entry, written or waiting.
    #[must_use]
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The round that the next entry goes into, or an older one than that.
    #[must_use]
    pub(crate) fn next_round(&self) -> u64 {
        self.newest + u64::from(self.rounds.is_empty())
    }

    /// The youngest round so far that may begin a journal file: waiting rounds reach into files to
    /// come, and what is pushed now lies in the file that this round is in, or in a younger one.
    #[must_use]
    pub(crate) fn file_first(&self) -> u64 {
        self.file_first
    }

    /// The newest round that was taken ends at this position of its file.
    pub(crate) fn taken(&mut self, position: u64) {
        self.taken_to = position;
    }

    /// Sees that there is a round for the next entry, whose number is then [`RoundQueue::newest`].
    pub(crate) fn prepare(&mut self) {
        self.spare();
    }

    /// Blocks that all waiting rounds take, in bytes.
    #[must_use]
    pub(crate) fn padded_bytes(&self) -> usize {
        self.rounds.iter().map(RoundBuilder::padded_bytes).sum()
    }

    /// Blocks that the oldest waiting round takes now; `None` if nothing waits.
    #[must_use]
    pub(crate) fn front_bytes(&self) -> Option<usize> {
        self.rounds.front().map(RoundBuilder::padded_bytes)
    }

    /// The oldest waiting round.
    pub(crate) fn take(&mut self) -> Option<RoundBuilder> {
        debug_assert!(!self.grouped, "rounds go out between groups");
        self.rounds.pop_front()
    }

    /// From here on, entries with bytes belong together until [`RoundQueue::end_group`].
    pub(crate) fn begin_group(&mut self) {
        debug_assert!(!self.grouped, "groups do not nest");
        self.grouped = true;
        self.last_part = None;
    }

    /// Ends the group: its last part completes it.
    pub(crate) fn end_group(&mut self) {
        self.grouped = false;
        if let Some((number, at)) = self.last_part.take() {
            let mut rounds = self.rounds.iter_mut().rev();
            if let Some(round) = rounds.find(|round| round.number() == number) {
                round.clear_more(at);
            }
        }
    }

    /// The newest round makes a partition durable up to an offset.
    pub(crate) fn touch(&mut self, partition: PartitionId, next: Offset) {
        self.note(Touched::Records(partition, next));
    }

    fn note(&mut self, touched: Touched) {
        if let Some(round) = self.rounds.back_mut() {
            round.touch(touched);
        }
    }

    /// Payload bytes that still go into the youngest round, after making sure there is one.
    fn spare(&mut self) -> usize {
        let full = self
            .rounds
            .back()
            .is_none_or(|round| round.payload_bytes() >= self.payload_max);
        if full {
            self.begin_round();
        }
        self.rounds
            .back()
            .map_or(0, |round| self.payload_max - round.payload_bytes())
    }

    fn begin_round(&mut self) {
        self.newest += 1;
        // Those that wait grow no more, so it is known where they will lie.
        let position = self.rounds.iter().fold(self.taken_to, |position, round| {
            let bytes = round.padded_bytes() as u64;
            match position + bytes {
                end if end <= self.file_bytes => end,
                _ => bytes,
            }
        });
        let most = padded(self.payload_max) as u64;
        if position + most > self.file_bytes {
            self.file_first = self.newest;
        }
        self.rounds.push_back(RoundBuilder::new(self.newest));
    }

    fn put(&mut self, entry: &Entry<'_>, flags: u8) -> usize {
        if self.spare() < entry.size() {
            self.begin_round();
        }
        self.rounds
            .back_mut()
            .map_or(0, |round| round.push(entry, flags))
    }

    /// A producer state that does not fit goes in parts; readers put them together again.
    fn put_state(&mut self, partition: PartitionId, bytes: &[u8]) {
        let part_max = self.payload_max - APPEND_OVERHEAD_BYTES;
        let mut rest = bytes;
        loop {
            let (part, after) = rest.split_at(rest.len().min(part_max));
            let flags = if after.is_empty() { 0 } else { MORE };
            self.put(
                &Entry::ProducerState {
                    partition,
                    bytes: part,
                },
                flags,
            );
            if after.is_empty() {
                return;
            }
            rest = after;
        }
    }

    /// Puts bytes in as many parts as they need. `part` makes the entry of a range of them.
    fn put_parts<'a>(&mut self, length: usize, part: impl Fn(usize, usize) -> Entry<'a>) {
        let mut from = 0;
        loop {
            let spare = self.spare().saturating_sub(APPEND_OVERHEAD_BYTES);
            let left = length - from;
            let count = if left <= spare {
                left
            } else if spare >= CUT_BYTES_MIN {
                spare
            } else {
                self.begin_round();
                continue;
            };
            let last = from + count == length;
            let flags = if last && !self.grouped { 0 } else { MORE };
            let entry = part(from, from + count);
            let at = self.put(&entry, flags);
            self.last_part = Some((self.newest, at));
            from += count;
            if last {
                return;
            }
        }
    }
}

fn further(place: Place, bytes: usize) -> Place {
    Place {
        position: place.position + bytes as u64,
        ..place
    }
}

impl EntrySink for RoundQueue {
    fn push(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Append {
                partition,
                place,
                bytes,
            } => self.put_parts(bytes.len(), |from, to| Entry::Append {
                partition,
                place: further(place, from),
                bytes: &bytes[from..to],
            }),
            Entry::Carried {
                partition,
                place,
                bytes,
            } => self.put_parts(bytes.len(), |from, to| Entry::Carried {
                partition,
                place: further(place, from),
                bytes: &bytes[from..to],
            }),
            Entry::ProducerState { partition, bytes } => self.put_state(partition, bytes),
            Entry::LogStart { partition, offset } => {
                self.put(&entry, 0);
                self.note(Touched::LogStart(partition, offset));
            }
            _ => {
                self.put(&entry, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{BLOCK_BYTES, Slice};
    use crate::journal::round::{ROUND_HEADER_BYTES, RoundHeader, Seal};
    use thalweg_wire::ids::{PartitionIndex, ShardId, Uuid};

    const ID: PartitionId = PartitionId {
        topic: Uuid([5; 16]),
        index: PartitionIndex(0),
    };
    const MAX: usize = 4096;
    const FILE: u64 = 64 << 10;

    fn append(bytes: &[u8]) -> Entry<'_> {
        let segment = Offset(0);
        Entry::Append {
            partition: ID,
            place: Place {
                segment,
                position: 100,
            },
            bytes,
        }
    }

    /// Payload of each waiting round.
    fn rounds(queue: &mut RoundQueue) -> Vec<Vec<u8>> {
        let seal = Seal {
            journal: Uuid::ZERO,
            shard: ShardId(0),
            previous: 0,
            durable_through: 0,
        };
        std::iter::from_fn(|| queue.take())
            .map(|round| {
                let sealed = round.seal(&seal);
                let bytes: Vec<u8> = sealed
                    .parts
                    .iter()
                    .flat_map(|part: &Slice| part.to_vec())
                    .collect();
                let (header, _) = RoundHeader::decode(&bytes).unwrap();
                bytes[ROUND_HEADER_BYTES..][..header.length as usize].to_vec()
            })
            .collect()
    }

    #[test]
    fn a_batch_of_any_size_is_cut_and_complete_with_its_last_part() {
        for (before, size) in [(0, 10), (0, MAX), (3_900, 200), (4_040, 3), (1_000, 50_000)] {
            let mut queue = RoundQueue::new(7, MAX, FILE);
            if before > 0 {
                queue.push(append(&vec![1; before]));
            }
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            queue.begin_group();
            queue.push(append(&bytes));
            queue.end_group();
            let newest = queue.newest();
            let rounds = rounds(&mut queue);
            assert_eq!(newest, 7 + rounds.len() as u64);
            let mut found = Vec::new();
            let mut flags_seen = Vec::new();
            for payload in &rounds {
                assert!(payload.len() <= MAX);
                let mut rest = payload.as_slice();
                while !rest.is_empty() {
                    let (entry, flags, after) = Entry::decode(rest).unwrap();
                    rest = after;
                    let Entry::Append { place, bytes, .. } = entry else {
                        panic!("{entry:?}")
                    };
                    if before == 0 || !found.is_empty() || bytes[0] != 1 || bytes.len() != before {
                        assert_eq!(place.position, 100 + found.len() as u64);
                        found.extend_from_slice(bytes);
                        flags_seen.push(flags);
                    }
                }
            }
            assert!(found == bytes, "{before} {size}");
            let last = flags_seen.pop();
            assert_eq!(last, Some(0));
            assert!(flags_seen.iter().all(|flags| *flags == MORE));
        }
    }

    #[test]
    fn a_state_larger_than_a_round_goes_in_parts() {
        let mut queue = RoundQueue::new(0, MAX, FILE);
        let state: Vec<u8> = (0..10_000_u32).map(|n| (n % 249) as u8).collect();
        queue.push(Entry::ProducerState {
            partition: ID,
            bytes: &state,
        });
        let mut found = Vec::new();
        for payload in rounds(&mut queue) {
            let (entry, flags, rest) = Entry::decode(&payload).unwrap();
            let Entry::ProducerState { bytes, .. } = entry else {
                panic!("{entry:?}")
            };
            found.extend_from_slice(bytes);
            assert!(rest.is_empty());
            assert_eq!(flags == 0, found.len() == state.len());
        }
        assert!(found == state);
    }

    #[test]
    fn an_entry_that_does_not_fit_begins_the_next_round() {
        let mut queue = RoundQueue::new(0, MAX, FILE);
        queue.push(append(&[0; 4_030]));
        queue.begin_group();
        queue.push(append(&[1; 5]));
        queue.push(Entry::LogStart {
            partition: ID,
            offset: Offset(4),
        });
        queue.end_group();
        assert_eq!((queue.newest(), rounds(&mut queue).len()), (2, 2));
    }

    #[test]
    fn files_to_come_are_foreseen_while_rounds_wait() {
        let most = padded(MAX) as u64;
        let mut queue = RoundQueue::new(0, MAX, 3 * most);
        let mut firsts = Vec::new();
        for _ in 0..8 {
            queue.push(append(&[0; MAX - APPEND_OVERHEAD_BYTES]));
            firsts.push(queue.file_first());
        }
        assert_eq!(firsts, [1, 1, 1, 4, 4, 4, 7, 7]);
        // Small ones leave room, until one at its largest would not fit surely.
        let mut queue = RoundQueue::new(0, MAX, 3 * most);
        queue.taken(most);
        for round in 1..=4 {
            queue.push(append(&[0; 10]));
            assert_eq!(queue.file_first(), if round == 4 { 4 } else { 0 });
            queue.taken(most + round * BLOCK_BYTES as u64);
            queue.take();
        }
    }
}
