//! Reads one journal's files: as few as its trim allows.
//!
//! Every journal begins each of its files at the file's first block, so that block tells whether a
//! file belongs to the journal and where it stands in it. From the youngest file backwards, files
//! are read whole until a trim entry says that older ones hold nothing that counts: after a clean
//! stop that is one file. A file whose first block is neither this journal's nor soundly another's
//! is read too: it may be rotten, and that must be seen.
//!
//! Memory: the files read whole stay in memory as they were read, once, until what their rounds
//! hold is in segments. That is at most the journal: what the window took while it was written.

use std::path::{Path, PathBuf};

use thalweg_wire::ids::ShardId;

use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, OpenMode, Slice};
use crate::error::{Refusal, StoreError};
use crate::journal::pool::FileIndex;
use crate::journal::replay::{FoundRound, ReplayError, Replayed, Wanted, replay, sound_rounds};
use crate::journal::round::RoundHeader;
use crate::journal::wait::{Ahead, concurrently};
use crate::journal::writer::{JournalStart, journal_dir};
use crate::store::Mutation;

/// First blocks read at once.
const READS_IN_FLIGHT: usize = 16;
/// Files being read at once, each in megabyte pieces side by side: one more than the one whose
/// checksums are computed, and one for the device to go on with.
const FILES_AHEAD: usize = 3;
/// Bytes of a file looked through at once for anything but zeros.
const ZERO_PIECE_BYTES: usize = 4 << 20;

static ZERO_BLOCK: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

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
    let mut bytes_read = few.bytes;
    let replayed = match replay(few.rounds, wanted) {
        Ok(replayed) => Ok(replayed),
        Err(_) => {
            // Before damage is reported, everything is looked at.
            let all = read_files(disk, &dir, &files, wanted, Extent::All).await?;
            bytes_read = all.bytes;
            replay(all.rounds, wanted)
        }
    };
    let replayed = replayed.map_err(|error| refusal(&dir, error))?;
    Ok(Scanned {
        bytes_read,
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

/// What was read of a journal.
#[derive(Default)]
struct Read {
    /// Sound rounds; their payloads are slices of what was read.
    rounds: Vec<FoundRound>,
    /// Newest trim in them.
    trim: u64,
    bytes: u64,
}

impl Read {
    fn add(&mut self, file: FileIndex, content: &Slice, wanted: &Wanted) {
        let rounds = sound_rounds(file, content, wanted);
        let trims = rounds.iter().map(|round| round.trim);
        self.trim = trims.max().unwrap_or(0).max(self.trim);
        self.rounds.extend(rounds);
        self.bytes += content.len() as u64;
    }
}

async fn read_files<D: Disk>(
    disk: &D,
    dir: &Path,
    files: &[FileIndex],
    wanted: &Wanted,
    extent: Extent,
) -> Result<Read, StoreError> {
    let all = extent == Extent::All || wanted.mutation == Mutation::UncheckedRounds;
    let mut ours = Vec::new();
    let mut doubtful = Vec::new();
    for (index, file, first) in open_all(disk, dir, files, extent).await? {
        match RoundHeader::decode(&first) {
            Some((header, _)) if is_ours(&header, wanted) && !all => {
                ours.push((header.round, index, file));
            }
            Some((header, _)) if !all && header.shard == wanted.shard => {}
            None if extent == Extent::Judged && is_zero(&first) => {}
            _ if is_zero(&first) && all_zero(&file).await? => {}
            _ => doubtful.push((index, file)),
        }
    }
    let mut read = Read::default();
    for (index, file) in doubtful {
        read.add(index, &read_whole(&file).await?, wanted);
    }
    ours.sort_by_key(|(round, ..)| std::cmp::Reverse(*round));
    let mut waiting = ours.into_iter();
    let mut under_way = Ahead::new();
    loop {
        while under_way.len() < FILES_AHEAD
            && let Some((first, index, file)) = waiting.next()
        {
            under_way.push(async move { (first, index, read_whole(&file).await) });
        }
        let Some((first, index, content)) = under_way.next().await else {
            return Ok(read);
        };
        // The device fills the files ahead while this one's checksums are computed.
        read.add(index, &content?, wanted);
        if first <= read.trim {
            return Ok(read);
        }
    }
}

/// Opens files and reads the first block of each, after a flush of them all: what is believed must
/// not be in the device's cache only.
async fn open_all<D: Disk>(
    disk: &D,
    dir: &Path,
    files: &[FileIndex],
    extent: Extent,
) -> DiskResult<Vec<(FileIndex, D::File, Slice)>> {
    let mut open = Vec::new();
    for index in files {
        let file = disk.open(&dir.join(index.name()), OpenMode::Read).await?;
        open.push((*index, file));
    }
    if extent != Extent::Judged && !open.is_empty() {
        let opened: Vec<D::File> = open.iter().map(|(_, file)| file.clone()).collect();
        disk.barrier(&opened).await?;
        if let Some(last) = opened.last() {
            // A file system with nothing to commit may have left the device's cache as it is.
            last.sync().await?;
        }
    }
    let reads = open.into_iter().map(|(index, file)| async move {
        let first = file.read_at(0, BLOCK_BYTES).await?;
        Ok((index, file, first))
    });
    let mut read = concurrently(READS_IN_FLIGHT, reads)
        .await
        .into_iter()
        .collect::<DiskResult<Vec<_>>>()?;
    read.sort_by_key(|(index, ..)| *index);
    Ok(read)
}

fn is_ours(header: &RoundHeader, wanted: &Wanted) -> bool {
    header.journal == wanted.journal && header.shard == wanted.shard
}

fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks(BLOCK_BYTES);
    blocks.all(|block| ZERO_BLOCK.starts_with(block))
}

/// True for a file that was never written. It is looked through piece by piece, so that a pool that
/// was never filled does not take its size in memory at every start.
async fn all_zero<F: File>(file: &F) -> DiskResult<bool> {
    let bytes = file.length().await?;
    let mut at = 0;
    while at < bytes {
        let part = file.read_long(at, ZERO_PIECE_BYTES).await?;
        if part.is_empty() || !is_zero(&part) {
            break;
        }
        at += part.len() as u64;
    }
    Ok(at >= bytes)
}

async fn read_whole<F: File>(file: &F) -> DiskResult<Slice> {
    let bytes = usize::try_from(file.length().await?).unwrap_or(usize::MAX);
    file.read_long(0, bytes.next_multiple_of(BLOCK_BYTES)).await
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
