//! Reads one journal's files: as few as its trim allows.
//!
//! Every journal begins each of its files at the file's first block, so that block tells whether a
//! file belongs to the journal and where it stands in it. From the youngest file backwards, files
//! are read whole until a trim entry says that older ones hold nothing that counts: after a clean
//! stop that is one file. A file whose first block is neither this journal's nor soundly another's
//! is read too: it may be rotten, and that must be seen.

use std::path::{Path, PathBuf};

use thalweg_wire::ids::ShardId;

use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, IO_BYTES_MAX, Memory, OpenMode, Slice};
use crate::error::{Refusal, StoreError};
use crate::journal::entry::Entry;
use crate::journal::pool::FileIndex;
use crate::journal::replay::{ReplayError, Replayed, Wanted, entries, replay, sound_rounds};
use crate::journal::round::RoundHeader;
use crate::journal::wait::concurrently;
use crate::journal::writer::{JournalStart, journal_dir};
use crate::store::Mutation;

/// Reads of one file at once: what makes a device deliver what it can.
const READS_IN_FLIGHT: usize = 8;

/// A journal that was read.
pub(crate) struct Scanned {
    pub(crate) dir: PathBuf,
    /// All its files, live or not.
    pub(crate) files: Vec<FileIndex>,
    pub(crate) replayed: Replayed,
    /// Bytes of the files that were read whole.
    pub(crate) bytes_read: u64,
}

impl Scanned {
    /// Files with rounds that count: index, first live round in it, end of the last.
    pub(crate) fn live(&self) -> Vec<(FileIndex, u64, u64)> {
        let mut live: Vec<(FileIndex, u64, u64)> = Vec::new();
        for round in &self.replayed.rounds {
            let end = round.position + round.header.padded_bytes() as u64;
            match live.last_mut() {
                Some((file, _, position)) if *file == round.file => *position = end,
                _ => live.push((round.file, round.header.round, end)),
            }
        }
        live
    }

    /// What a journal that goes on here begins with.
    pub(crate) fn start(&self, wanted: &Wanted) -> JournalStart {
        JournalStart {
            dir: self.dir.clone(),
            id: wanted.journal,
            newest: self.replayed.newest,
            checksum: self.replayed.checksum,
            live: self.live(),
            files: self.files.clone(),
        }
    }
}

/// The journal files of a shard's directory; none if there is no such directory.
pub(crate) async fn journal_files<D: Disk>(disk: &D, dir: &Path) -> DiskResult<Vec<FileIndex>> {
    match disk.list(dir).await {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        listed => {
            let names = listed?;
            Ok(names
                .iter()
                .filter_map(|entry| FileIndex::parse(&entry.name))
                .collect())
        }
    }
}

/// Which files of a journal are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// Those that may hold rounds that count, or may be rotten.
    Careful,
    /// The same without those that begin with zeros: recovery has judged them in this start.
    Judged,
    /// All of them.
    All,
}

/// Reads a shard's journal.
pub(crate) async fn scan<D: Disk>(
    disk: &D,
    wanted: &Wanted,
    extent: Extent,
) -> Result<Scanned, StoreError> {
    let dir = journal_dir(wanted.shard);
    let files = journal_files(disk, &dir).await?;
    let few = read_files(disk, &dir, &files, wanted, extent).await?;
    let (contents, replayed) = match replay(&few, wanted) {
        Ok(replayed) => (few, Ok(replayed)),
        Err(_) => {
            // Before damage is reported, everything is looked at.
            let all = read_files(disk, &dir, &files, wanted, Extent::All).await?;
            let replayed = replay(&all, wanted);
            (all, replayed)
        }
    };
    let replayed = replayed.map_err(|error| refusal(&dir, error))?;
    Ok(Scanned {
        bytes_read: contents
            .iter()
            .map(|(_, content)| content.len() as u64)
            .sum(),
        dir,
        files,
        replayed,
    })
}

pub(crate) fn refusal(dir: &Path, error: ReplayError) -> Refusal {
    match error {
        ReplayError::Rot { round, vouched_by } => Refusal::Rot {
            journal: dir.to_path_buf(),
            round,
            vouched_by,
        },
        ReplayError::Entry { round, cause } => Refusal::Malformed {
            path: dir.to_path_buf(),
            reason: format!("round {round}: {cause}"),
        },
    }
}

async fn read_files<D: Disk>(
    disk: &D,
    dir: &Path,
    files: &[FileIndex],
    wanted: &Wanted,
    extent: Extent,
) -> Result<Vec<(FileIndex, Slice)>, StoreError> {
    let all = extent == Extent::All || wanted.mutation == Mutation::UncheckedRounds;
    let mut ours = Vec::new();
    let mut contents = Vec::new();
    for index in files {
        let file = disk.open(&dir.join(index.name()), OpenMode::Read).await?;
        let first = file.read_at(0, BLOCK_BYTES).await?;
        match RoundHeader::decode(&first) {
            Some((header, _)) if is_ours(&header, wanted) && !all => {
                ours.push((header.round, *index, file));
            }
            Some((header, _)) if !all && header.shard == wanted.shard => {}
            None if extent == Extent::Judged && first.iter().all(|byte| *byte == 0) => {}
            _ if is_zero(&first) && all_zero(&file).await? => {}
            _ => contents.push((*index, read_whole(&file).await?)),
        }
    }
    ours.sort_by_key(|(round, ..)| std::cmp::Reverse(*round));
    let mut younger_from = u64::MAX;
    for (first, index, file) in ours {
        if younger_from <= newest_trim(&contents, wanted) {
            break;
        }
        contents.push((index, read_whole(&file).await?));
        younger_from = first;
    }
    Ok(contents)
}

fn is_ours(header: &RoundHeader, wanted: &Wanted) -> bool {
    header.journal == wanted.journal && header.shard == wanted.shard
}

/// The newest trim in what was read so far.
fn newest_trim(contents: &[(FileIndex, Slice)], wanted: &Wanted) -> u64 {
    let rounds = sound_rounds(contents, wanted);
    let trims = rounds.values().flat_map(|round| {
        entries(round).filter_map(|entry| match entry {
            Ok((Entry::Trim { rounds_below }, _)) => Some(rounds_below),
            _ => None,
        })
    });
    trims.max().unwrap_or(0)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// True for a file that was never written. It is looked through piece by piece, so that a pool that
/// was never filled does not take its size in memory at every start.
async fn all_zero<F: File>(file: &F) -> DiskResult<bool> {
    let bytes = file.length().await?;
    let mut at = 0;
    while at < bytes {
        let part = file.read_at(at, IO_BYTES_MAX).await?;
        if part.is_empty() || !is_zero(&part) {
            break;
        }
        at += part.len() as u64;
    }
    Ok(at >= bytes)
}

/// Reads a file, after a flush of it: what is believed must not be in the device's cache only.
async fn read_whole<F: File>(file: &F) -> DiskResult<Slice> {
    file.sync().await?;
    let bytes = usize::try_from(file.length().await?).unwrap_or(usize::MAX);
    let reads = (0..bytes).step_by(IO_BYTES_MAX).map(|at| async move {
        let count = (bytes - at).min(IO_BYTES_MAX).next_multiple_of(BLOCK_BYTES);
        (at, file.read_at(at as u64, count).await)
    });
    let mut parts = concurrently(READS_IN_FLIGHT, reads).await;
    parts.sort_by_key(|(at, _)| *at);
    let mut memory = Memory::new(bytes);
    for (at, part) in parts {
        let part = part?;
        if memory.len() < at {
            // The file is shorter than it said: what follows is not where it belongs.
            break;
        }
        memory.append(&part);
    }
    Ok(memory.freeze())
}

/// Directories of journals within `journal/`.
pub(crate) async fn journal_shards<D: Disk>(disk: &D) -> DiskResult<Vec<ShardId>> {
    let entries = match disk.list(Path::new("journal")).await {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        entries => entries?,
    };
    let dirs = entries.iter().filter(|entry| entry.is_dir);
    Ok(dirs
        .filter_map(|entry| entry.name.parse().ok().map(ShardId))
        .collect())
}

/// True if any file of a shard's directory begins with a sound round, of whatever journal.
pub(crate) async fn holds_rounds<D: Disk>(disk: &D, shard: ShardId) -> DiskResult<bool> {
    let dir = journal_dir(shard);
    for index in journal_files(disk, &dir).await? {
        let file = disk.open(&dir.join(index.name()), OpenMode::Read).await?;
        if RoundHeader::decode(&file.read_at(0, BLOCK_BYTES).await?).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
