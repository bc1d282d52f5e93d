//! A look at journals from outside, for tools: read-only, judged by the code that recovery uses.
//!
//! The caller reads the files; nothing here touches a disk. Everything is looked at, also files that
//! recovery would leave out because a trim says that they hold nothing that counts. Unlike recovery it
//! holds the bytes of one round at a time, and a few dozen for each round there is.

use std::io;
use std::ops::RangeInclusive;

use thalweg_wire::ids::{ShardId, Uuid};

use super::entry::{Entry, EntryError};
use super::pool::FileIndex;
use super::replay::{FoundRound, ReplayError, Wanted, entries, newest_trim, replay};
use super::round::{ROUND_HEADER_BYTES, RoundHeader};
use crate::disk::{BLOCK_BYTES, Slice};
use crate::recover::manifest::{MANIFEST, Manifest};
use crate::store::Mutation;

/// What is read of a round at a time: a length that lies reserves no more.
const READ_BYTES_MAX: usize = 1 << 20;

/// Path of the manifest within the data directory.
pub const MANIFEST_PATH: &str = MANIFEST;

/// What the manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalFacts {
    /// Shards that have a journal.
    pub shards: u16,
    /// Id of all their journals.
    pub id: Uuid,
    /// Number of the first round in each.
    pub first_round: u64,
}

impl JournalFacts {
    /// Reads a manifest; none if it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let manifest = Manifest::decode(bytes)?;
        Some(Self {
            shards: manifest.shards,
            id: manifest.journal,
            first_round: manifest.first,
        })
    }
}

/// What a journal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ends with this round, and nothing follows.
    Whole {
        /// Newest round; the one before the first if there is none.
        newest: u64,
    },
    /// Something behind this round was torn: it was never acknowledged.
    Torn {
        /// Newest round that counts.
        newest: u64,
    },
    /// A round that was durable cannot be read.
    Rot {
        /// The round.
        round: u64,
        /// The round that says that it was durable.
        vouched_by: u64,
    },
    /// A sound round holds something that is no entry.
    Malformed {
        /// The round.
        round: u64,
        /// What is wrong.
        cause: EntryError,
    },
}

/// One sound round of the journal.
#[derive(Clone, Debug)]
pub struct Round {
    found: FoundRound,
    /// Whether a start would replay it: not trimmed, and not behind the end.
    pub is_live: bool,
}

impl Round {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.found.header.round
    }

    /// Index of the file it is in.
    #[must_use]
    pub fn file(&self) -> u32 {
        self.found.file.0
    }

    /// Where it begins in that file.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.found.position
    }

    /// Bytes of its entries.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.found.payload.len()
    }

    /// Newest round known to be flushed when it was submitted.
    #[must_use]
    pub fn durable_through(&self) -> u64 {
        self.found.header.durable_through
    }

    /// Its entries, with whether more of each follows; none after one that cannot be read.
    pub fn entries(&self) -> impl Iterator<Item = (Entry<'_>, bool)> {
        entries(&self.found)
            .map_while(Result::ok)
            .map(|(entry, flags)| (entry, flags & super::entry::MORE != 0))
    }
}

/// The index in a journal file's name; none for other files.
#[must_use]
pub fn file_index(name: &str) -> Option<u32> {
    FileIndex::parse(name).map(|index| index.0)
}

/// The files of one shard's journal.
pub trait JournalFiles {
    /// Fills the buffer from `position` of the file with that index; fewer bytes are its end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&mut self, index: u32, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Where a sound round lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundPlace {
    /// Its number.
    pub round: u64,
    /// Index of the file.
    pub file: u32,
    /// Where in it.
    pub position: u64,
}

/// All sound rounds of a shard's journal, and what they come to.
#[derive(Debug)]
pub struct Survey {
    wanted: Wanted,
    places: Vec<RoundPlace>,
    live: Option<RangeInclusive<u64>>,
    verdict: Verdict,
}

impl Survey {
    /// Reads through the files with these indexes.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        facts: &JournalFacts,
        shard: ShardId,
        indexes: &[u32],
        files: &mut impl JournalFiles,
    ) -> io::Result<Self> {
        let wanted = Wanted {
            journal: facts.id,
            shard,
            first: facts.first_round,
            mutation: Mutation::None,
        };
        let mut found: Vec<FoundRound> = Vec::new();
        let mut faults = Vec::new();
        let nothing = Slice::from_vec(Vec::new());
        for index in indexes {
            let mut at = 0;
            while let Some(block) = block_at(files, *index, at)? {
                let round = round_at(files, (*index, at), &block, &wanted)?;
                let Some(mut round) = round else {
                    at += BLOCK_BYTES as u64;
                    continue;
                };
                at += round.header.padded_bytes() as u64;
                faults.extend(fault_of(&round));
                round.payload = nothing.clone();
                found.push(round);
            }
        }
        found.sort_by_key(|round| round.header.round);
        let place = |round: &FoundRound| RoundPlace {
            round: round.header.round,
            file: round.file.0,
            position: round.position,
        };
        let places = found.iter().map(place).collect();
        let (live, verdict) = judged(found, &wanted);
        let is_live = |round: u64| live.as_ref().is_some_and(|live| live.contains(&round));
        let malformed = faults
            .into_iter()
            .filter(|(round, _)| is_live(*round))
            .min_by_key(|(round, _)| *round)
            .map(|(round, cause)| Verdict::Malformed { round, cause });
        Ok(Self {
            verdict: malformed.unwrap_or(verdict),
            wanted,
            places,
            live,
        })
    }

    /// What the journal comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Its sound rounds in the order of their numbers.
    #[must_use]
    pub fn places(&self) -> &[RoundPlace] {
        &self.places
    }

    /// Whether a start would replay this round: not trimmed, and not behind the end.
    #[must_use]
    pub fn is_live(&self, place: &RoundPlace) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.contains(&place.round))
    }

    /// Reads a round again; none if a running node has written over it since.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn round(
        &self,
        place: &RoundPlace,
        files: &mut impl JournalFiles,
    ) -> io::Result<Option<Round>> {
        let Some(block) = block_at(files, place.file, place.position)? else {
            return Ok(None);
        };
        let at = (place.file, place.position);
        let found = round_at(files, at, &block, &self.wanted)?;
        let found = found.filter(|found| found.header.round == place.round);
        Ok(found.map(|found| Round {
            is_live: self.is_live(place),
            found,
        }))
    }
}

/// What recovery would make of these rounds: the numbers it would replay, and the verdict.
fn judged(found: Vec<FoundRound>, wanted: &Wanted) -> (Option<RangeInclusive<u64>>, Verdict) {
    match replay(found, wanted) {
        Ok(replayed) => {
            let newest = replayed.newest;
            let first = replayed.rounds.first().map(|round| round.header.round);
            let verdict = match replayed.torn {
                true => Verdict::Torn { newest },
                false => Verdict::Whole { newest },
            };
            (first.map(|first| first..=newest), verdict)
        }
        Err(ReplayError::Rot { round, vouched_by }) => (None, Verdict::Rot { round, vouched_by }),
        Err(ReplayError::Entry { round, cause }) => (None, Verdict::Malformed { round, cause }),
    }
}

fn block_at(
    files: &mut impl JournalFiles,
    index: u32,
    at: u64,
) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
    let mut block = [0; BLOCK_BYTES];
    let read = files.read(index, at, &mut block)?;
    Ok((read == BLOCK_BYTES).then_some(block))
}

/// The sound round that begins with this block, as `sound_rounds` of recovery finds it.
fn round_at(
    files: &mut impl JournalFiles,
    (index, at): (u32, u64),
    block: &[u8; BLOCK_BYTES],
    wanted: &Wanted,
) -> io::Result<Option<FoundRound>> {
    let header = RoundHeader::decode(block)
        .filter(|(header, _)| header.journal == wanted.journal && header.shard == wanted.shard);
    let Some((header, checksum)) = header else {
        return Ok(None);
    };
    let length = header.length as usize;
    let from = at + ROUND_HEADER_BYTES as u64;
    let mut payload = Vec::new();
    while payload.len() < length {
        let before = payload.len();
        payload.resize(length.min(before + READ_BYTES_MAX), 0);
        let part = payload.get_mut(before..).unwrap_or_default();
        if files.read(index, from + before as u64, part)? < part.len() {
            return Ok(None);
        }
    }
    if crc32c::crc32c(&payload) != header.payload_crc {
        return Ok(None);
    }
    let mut round = FoundRound {
        header,
        checksum,
        file: FileIndex(index),
        position: at,
        payload: Slice::from_vec(payload),
        trim: 0,
    };
    round.trim = newest_trim(&round);
    Ok(Some(round))
}

/// Recovery tells of an entry that cannot be read when it comes to apply it.
fn fault_of(found: &FoundRound) -> Option<(u64, EntryError)> {
    entries(found).find_map(|entry| match entry {
        Err(ReplayError::Entry { round, cause }) => Some((round, cause)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::round::{RoundBuilder, Seal};

    const FACTS: JournalFacts = JournalFacts {
        shards: 1,
        id: Uuid([9; 16]),
        first_round: 5,
    };

    fn file() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut previous = 0;
        for number in 5..8 {
            let mut round = RoundBuilder::new(number);
            round.push(&Entry::Trim { rounds_below: 6 }, 0);
            let sealed = round.seal(&Seal {
                journal: FACTS.id,
                shard: ShardId(0),
                previous,
                durable_through: number - 1,
            });
            previous = sealed.checksum;
            bytes.extend(sealed.parts.iter().flat_map(|part| part.to_vec()));
        }
        bytes
    }

    /// One file, and the largest piece of it that was asked for.
    struct InMemory(Vec<u8>, usize);

    impl JournalFiles for InMemory {
        fn read(&mut self, _index: u32, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(buffer.len());
            let rest = self.0.get(position as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }
    }

    fn seen(file: Vec<u8>) -> (Vec<(u64, bool)>, Verdict) {
        let mut files = InMemory(file, 0);
        let survey = Survey::new(&FACTS, ShardId(0), &[0], &mut files).unwrap();
        let rounds = survey.places().iter().map(|place| {
            let round = survey.round(place, &mut files).unwrap().unwrap();
            assert_eq!(round.number(), place.round);
            (round.number(), round.is_live)
        });
        (rounds.collect(), survey.verdict())
    }

    #[test]
    fn a_large_round_is_read_in_pieces_and_no_bytes_are_kept() {
        let mut round = RoundBuilder::new(5);
        let bytes = vec![7; READ_BYTES_MAX / 2];
        for _ in 0..5 {
            let append = Entry::ProducerState {
                partition: thalweg_wire::ids::PartitionId {
                    topic: Uuid([1; 16]),
                    index: thalweg_wire::ids::PartitionIndex(0),
                },
                bytes: &bytes,
            };
            round.push(&append, 0);
        }
        let sealed = round.seal(&Seal {
            journal: FACTS.id,
            shard: ShardId(0),
            previous: 0,
            durable_through: 4,
        });
        let parts = sealed.parts.iter().flat_map(|part| part.to_vec());
        let mut files = InMemory(parts.collect(), 0);
        let survey = Survey::new(&FACTS, ShardId(0), &[0], &mut files).unwrap();
        assert_eq!(survey.verdict(), Verdict::Whole { newest: 5 });
        assert_eq!(files.1, READ_BYTES_MAX);
        let place = survey.places()[0];
        let again = survey.round(&place, &mut files).unwrap().unwrap();
        assert_eq!(again.entries().count(), 5);
        // A running node writes over what was trimmed.
        files.0.fill(0);
        assert!(survey.round(&place, &mut files).unwrap().is_none());
    }

    #[test]
    fn trimmed_torn_and_rotten_rounds_are_told_apart() {
        let sound = vec![(5, false), (6, true), (7, true)];
        assert_eq!(seen(file()), (sound, Verdict::Whole { newest: 7 }));
        let mut torn = file();
        torn[2 * BLOCK_BYTES + 70] ^= 1;
        let left = vec![(5, false), (6, true)];
        assert_eq!(seen(torn), (left, Verdict::Whole { newest: 6 }));
        let mut rotten = file();
        rotten[BLOCK_BYTES + 70] ^= 1;
        let rot = Verdict::Rot {
            round: 6,
            vouched_by: 7,
        };
        assert_eq!(seen(rotten), (vec![(5, false), (7, false)], rot));
        let mut files = InMemory(file(), 0);
        let survey = Survey::new(&FACTS, ShardId(0), &[3], &mut files).unwrap();
        let first = survey.round(&survey.places()[0], &mut files);
        let trim = (Entry::Trim { rounds_below: 6 }, false);
        let first = first.unwrap().unwrap();
        assert_eq!(first.entries().collect::<Vec<_>>(), [trim]);
        assert_eq!(file_index("0003.journal"), Some(3));
    }
}
