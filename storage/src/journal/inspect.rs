//! A look at journals from outside, for tools: read-only, judged by the code that recovery uses.
//!
//! The caller reads the files; nothing here touches a disk. Everything is looked at, also files that
//! recovery would leave out because a trim says that they hold nothing that counts.

use thalweg_wire::ids::{ShardId, Uuid};

use super::entry::{Entry, EntryError};
use super::pool::FileIndex;
use super::replay::{FoundRound, ReplayError, Wanted, entries, replay, sound_rounds};
use crate::disk::Slice;
use crate::recover::manifest::{MANIFEST, Manifest};
use crate::store::Mutation;

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

    /// Recovery tells of an entry that cannot be read when it comes to apply it.
    fn fault(&self) -> Option<Verdict> {
        entries(&self.found).find_map(|entry| match entry {
            Err(ReplayError::Entry { round, cause }) => Some(Verdict::Malformed { round, cause }),
            _ => None,
        })
    }
}

/// The index in a journal file's name; none for other files.
#[must_use]
pub fn file_index(name: &str) -> Option<u32> {
    FileIndex::parse(name).map(|index| index.0)
}

/// All sound rounds of a shard's journal in the order of their numbers, and what they come to.
#[must_use]
pub fn inspect(
    facts: &JournalFacts,
    shard: ShardId,
    files: Vec<(u32, Vec<u8>)>,
) -> (Vec<Round>, Verdict) {
    let wanted = Wanted {
        journal: facts.id,
        shard,
        first: facts.first_round,
        mutation: Mutation::None,
    };
    let mut found: Vec<FoundRound> = Vec::new();
    for (index, content) in files {
        let content = Slice::from_vec(content);
        found.extend(sound_rounds(FileIndex(index), &content, &wanted));
    }
    found.sort_by_key(|round| round.header.round);
    let (live, verdict) = match replay(found.clone(), &wanted) {
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
    };
    let rounds: Vec<Round> = found
        .into_iter()
        .map(|found| Round {
            is_live: live
                .as_ref()
                .is_some_and(|live| live.contains(&found.header.round)),
            found,
        })
        .collect();
    let malformed = rounds
        .iter()
        .filter(|round| round.is_live)
        .find_map(Round::fault);
    (rounds, malformed.unwrap_or(verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::BLOCK_BYTES;
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

    fn seen(file: Vec<u8>) -> (Vec<(u64, bool)>, Verdict) {
        let (rounds, verdict) = inspect(&FACTS, ShardId(0), vec![(0, file)]);
        let rounds = rounds.iter().map(|round| (round.number(), round.is_live));
        (rounds.collect(), verdict)
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
        let (rounds, _) = inspect(&FACTS, ShardId(0), vec![(3, file())]);
        let trim = (Entry::Trim { rounds_below: 6 }, false);
        assert_eq!(rounds[0].entries().collect::<Vec<_>>(), [trim]);
        assert_eq!(file_index("0003.journal"), Some(3));
    }
}
