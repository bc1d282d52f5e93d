//! Reads a journal back: which rounds count, and whether what is missing was torn or has rotted.
//! Pure: the content of the files comes in, file by file.
//!
//! A block begins a round if its header is sound and names this journal and shard, and its payload
//! has the right checksum. Sound rounds with following numbers, each naming the checksum of the
//! one before, form a run. Let D be the highest `durable_through` of any sound round: everything
//! up to D was flushed once. The journal is the run that holds D (or begins with the journal's
//! first round, where nothing was vouched for), from the newest trim entry in it to its end.
//! - Nothing after that end was acknowledged (`Flush` durability): it is torn, and dropped.
//! - A round between trim and D that is missing from the run was durable and is unreadable now:
//!   rot. The journal is refused.
//!
//! Rot in the very last round cannot be told from a torn write, because nothing vouches for it:
//! with one round in flight that is the one round whose acknowledgement may be lost by rot.

use std::collections::BTreeMap;

use thalweg_wire::ids::{ShardId, Uuid};

use super::entry::{Entry, EntryError};
use super::pool::FileIndex;
use super::round::{ROUND_HEADER_BYTES, RoundHeader};
use crate::disk::{BLOCK_BYTES, Slice};
use crate::store::Mutation;

/// Which journal is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// Its id.
    pub(crate) journal: Uuid,
    /// Its shard.
    pub(crate) shard: ShardId,
    /// Number of its first round.
    pub(crate) first: u64,
    /// For tests of the tests.
    pub(crate) mutation: Mutation,
}

/// A sound round.
#[derive(Clone, Debug)]
pub(crate) struct FoundRound {
    pub(crate) header: RoundHeader,
    pub(crate) checksum: u32,
    pub(crate) file: FileIndex,
    pub(crate) position: u64,
    pub(crate) payload: Slice,
    /// The newest trim in it, 0 for none.
    pub(crate) trim: u64,
}

/// What counts of a journal.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Live rounds in order.
    pub(crate) rounds: Vec<FoundRound>,
    /// Newest round of the journal; the one before its first if it has none.
    pub(crate) newest: u64,
    /// That round's checksum, 0 for none.
    pub(crate) checksum: u32,
    /// True if something was written after the end that does not count.
    pub(crate) torn: bool,
}

/// Why a journal is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplayError {
    /// See the module's head.
    Rot { round: u64, vouched_by: u64 },
    /// A sound round holds something that is no entry.
    Entry { round: u64, cause: EntryError },
}

/// Finds what counts among the sound rounds of a journal's files.
pub(crate) fn replay(rounds: Vec<FoundRound>, wanted: &Wanted) -> Result<Replayed, ReplayError> {
    let numbered = rounds.into_iter().map(|round| (round.header.round, round));
    let found: BTreeMap<u64, FoundRound> = numbered.collect();
    let vouching = found
        .values()
        .max_by_key(|round| (round.header.durable_through, round.header.round))
        .map_or((0, 0), |round| {
            (round.header.durable_through, round.header.round)
        });
    let (durable, vouched_by) = vouching;
    let newest_found = found.keys().next_back().copied().unwrap_or(0);
    let anchor = durable.max(wanted.first);
    let Some(run) = run_around(&found, anchor) else {
        if durable >= wanted.first {
            return Err(ReplayError::Rot {
                round: durable,
                vouched_by,
            });
        }
        return Ok(Replayed {
            rounds: Vec::new(),
            newest: wanted.first - 1,
            checksum: 0,
            torn: newest_found >= wanted.first,
        });
    };
    let (begin, end) = run;
    let trims = found.range(begin..=end).map(|(_, round)| round.trim);
    let start = trims.max().unwrap_or(0).max(wanted.first);
    if begin > start && wanted.mutation != Mutation::UncheckedRounds {
        return Err(ReplayError::Rot {
            round: begin - 1,
            vouched_by,
        });
    }
    Ok(Replayed {
        newest: end,
        checksum: found.get(&end).map_or(0, |round| round.checksum),
        rounds: found
            .into_values()
            .filter(|round| (start..=end).contains(&round.header.round))
            .collect(),
        torn: newest_found > end,
    })
}

/// Sound rounds of one file, whether they count or not. This is where checksums are computed, once
/// for every byte of a journal.
pub(crate) fn sound_rounds(file: FileIndex, content: &Slice, wanted: &Wanted) -> Vec<FoundRound> {
    let mut found = Vec::new();
    let unchecked = wanted.mutation == Mutation::UncheckedRounds;
    let mut at = 0;
    while at + BLOCK_BYTES <= content.len() {
        let header = RoundHeader::decode(&content[at..]).filter(|(header, _)| {
            unchecked || (header.journal == wanted.journal && header.shard == wanted.shard)
        });
        let sound = header.and_then(|(header, checksum)| {
            let from = at + ROUND_HEADER_BYTES;
            let to = from + header.length as usize;
            let payload = content.get(from..to)?;
            let same = unchecked || crc32c::crc32c(payload) == header.payload_crc;
            same.then(|| FoundRound {
                header,
                checksum,
                file,
                position: at as u64,
                payload: content.sub(from..to),
                trim: 0,
            })
        });
        let Some(mut round) = sound else {
            at += BLOCK_BYTES;
            continue;
        };
        at += round.header.padded_bytes();
        round.trim = newest_trim(&round);
        found.push(round);
    }
    found
}

/// First and last number of the run that holds `anchor`.
fn run_around(found: &BTreeMap<u64, FoundRound>, anchor: u64) -> Option<(u64, u64)> {
    let linked = |older: &FoundRound, newer: &FoundRound| {
        newer.header.round == older.header.round + 1 && newer.header.previous == older.checksum
    };
    let middle = found.get(&anchor)?;
    let mut begin = middle;
    for (_, older) in found.range(..anchor).rev() {
        if !linked(older, begin) {
            break;
        }
        begin = older;
    }
    let mut end = middle;
    for (_, newer) in found.range(anchor + 1..) {
        if !linked(end, newer) {
            break;
        }
        end = newer;
    }
    Some((begin.header.round, end.header.round))
}

/// The newest trim of a round, 0 for none. What cannot be read is told of when it is applied.
pub(crate) fn newest_trim(round: &FoundRound) -> u64 {
    let trims = entries(round).filter_map(|entry| match entry {
        Ok((Entry::Trim { rounds_below }, _)) => Some(rounds_below),
        _ => None,
    });
    trims.max().unwrap_or(0)
}

/// The entries of a round, with their flags.
pub(crate) fn entries(
    round: &FoundRound,
) -> impl Iterator<Item = Result<(Entry<'_>, u8), ReplayError>> {
    let number = round.header.round;
    let mut rest: &[u8] = &round.payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match Entry::decode(rest) {
            Ok((entry, flags, after)) => {
                rest = after;
                Some(Ok((entry, flags)))
            }
            Err(cause) => {
                rest = &[];
                Some(Err(ReplayError::Entry {
                    round: number,
                    cause,
                }))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::round::{RoundBuilder, Seal};

    const WANTED: Wanted = Wanted {
        journal: Uuid([9; 16]),
        shard: ShardId(1),
        first: 5,
        mutation: Mutation::None,
    };

    /// A journal of rounds 5.. in files of `each` rounds; every round vouches for its elder.
    fn journal(count: u64, each: usize, trim: impl Fn(u64) -> Option<u64>) -> Vec<Vec<u8>> {
        let mut files: Vec<Vec<u8>> = Vec::new();
        let mut previous = 0;
        for number in WANTED.first..WANTED.first + count {
            let mut round = RoundBuilder::new(number);
            round.push(&Entry::CleanStop, 0);
            if let Some(rounds_below) = trim(number) {
                round.push(&Entry::Trim { rounds_below }, 0);
            }
            let sealed = round.seal(&Seal {
                journal: WANTED.journal,
                shard: WANTED.shard,
                previous,
                durable_through: number - 1,
            });
            previous = sealed.checksum;
            if files
                .last()
                .is_none_or(|file| file.len() == each * BLOCK_BYTES)
            {
                files.push(Vec::new());
            }
            let bytes = sealed.parts.iter().flat_map(|part| part.to_vec());
            files.last_mut().unwrap().extend(bytes);
        }
        files
    }

    fn run(files: Vec<Vec<u8>>) -> Result<(Vec<u64>, u64, bool), ReplayError> {
        let files = (0..).map(FileIndex).zip(files);
        let rounds = files
            .flat_map(|(file, content)| sound_rounds(file, &Slice::from_vec(content), &WANTED));
        let replayed = replay(rounds.collect(), &WANTED)?;
        let numbers = replayed.rounds.iter().map(|round| round.header.round);
        Ok((numbers.collect(), replayed.newest, replayed.torn))
    }

    #[test]
    fn an_empty_journal_and_one_of_another_id_have_no_rounds() {
        assert_eq!(run(vec![vec![0; 8192]]), Ok((vec![], 4, false)));
        let mut files = journal(3, 2, |_| None);
        for file in &mut files {
            // Another id, with checksums to match, as a former start left it.
            for block in file.chunks_mut(BLOCK_BYTES) {
                let (header, _) = RoundHeader::decode(block).unwrap();
                let other = RoundHeader {
                    journal: Uuid([8; 16]),
                    ..header
                };
                block[..ROUND_HEADER_BYTES].copy_from_slice(&other.encode());
            }
        }
        assert_eq!(run(files), Ok((vec![], 4, false)));
    }

    #[test]
    fn order_comes_from_the_rounds_and_trimmed_ones_are_void() {
        let mut files = journal(6, 2, |_| None);
        files.swap(0, 2);
        assert_eq!(run(files), Ok((vec![5, 6, 7, 8, 9, 10], 10, false)));
        let trimmed = journal(6, 2, |number| (number == 9).then_some(7));
        assert_eq!(run(trimmed), Ok((vec![7, 8, 9, 10], 10, false)));
    }

    #[test]
    fn a_torn_last_round_ends_the_journal() {
        let mut files = journal(6, 2, |_| None);
        files[2][BLOCK_BYTES + ROUND_HEADER_BYTES] ^= 1;
        assert_eq!(run(files), Ok((vec![5, 6, 7, 8, 9], 9, false)));
    }

    #[test]
    fn a_bad_round_that_a_later_one_vouches_for_is_rot() {
        for bad in 0..5 {
            let mut files = journal(6, 2, |_| None);
            files[bad / 2][(bad % 2) * BLOCK_BYTES + 66 * (bad % 2)] ^= 1;
            let bad = 5 + bad as u64;
            let expected = if bad == 9 { (9, 10) } else { (bad, 10) };
            assert_eq!(
                run(files).map_err(|error| match error {
                    ReplayError::Rot { round, vouched_by } => (round, vouched_by),
                    ReplayError::Entry { .. } => (0, 0),
                }),
                Err(expected)
            );
        }
    }

    #[test]
    fn a_missing_middle_file_is_rot_unless_it_was_trimmed() {
        let mut files = journal(6, 2, |_| None);
        files.remove(1);
        assert_eq!(
            run(files),
            Err(ReplayError::Rot {
                round: 8,
                vouched_by: 10
            })
        );
        let mut files = journal(6, 2, |number| (number == 10).then_some(9));
        files.remove(1);
        assert_eq!(run(files), Ok((vec![9, 10], 10, false)));
    }
}
