//! Walks a segment batch by batch, and tells a torn end from rot.
//!
//! A batch that cannot be read is rot if a sound batch with later offsets follows it, or if a later
//! segment exists: both were written after it. Otherwise the file ends there: the last write was
//! torn, or the space was only set aside (zeros). Memory is one batch at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;
use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, BatchRef, LOG_OVERHEAD};

/// Larger than any broker takes: a length above it is rot, not a batch.
const BATCH_BYTES_MAX: u64 = 256 << 20;
/// What is looked through at a time for the next sound batch.
const SEARCH_BYTES: usize = 1 << 20;
/// Where the magic lies in a batch.
const MAGIC_AT: usize = 16;

/// What a segment comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// whole, torn, rot, or partly if it was not read to its end.
    pub(super) state: &'static str,
    pub(super) batches: u64,
    pub(super) records: u64,
    /// Bytes of sound batches.
    pub(super) bytes: u64,
    /// Zeros behind the last batch: set aside, not written yet.
    pub(super) zeros: u64,
    /// Bytes behind the last batch that are no batch.
    pub(super) torn_bytes: u64,
    /// Ranges that were batches once.
    pub(super) rot: Vec<Range>,
}

/// Bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Range {
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) what: String,
}

/// A file that is walked.
pub(super) struct Segment {
    file: File,
    length: u64,
    /// Where the walk is.
    at: u64,
    /// The offset that the next batch has at least.
    next: i64,
}

impl Segment {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            length: file.metadata()?.len(),
            file,
            at: 0,
            next: i64::MIN,
        })
    }

    /// Walks to the end; `each` sees every sound batch and its position, and says whether to go on.
    pub(super) fn walk(
        mut self,
        is_last: bool,
        mut each: impl FnMut(u64, &BatchRef<'_>) -> io::Result<bool>,
    ) -> io::Result<Verdict> {
        let mut verdict = Verdict::default();
        while self.at < self.length {
            match self.batch_at(self.at)? {
                Ok(bytes) => {
                    // It was one a moment ago.
                    let Ok(batch) = BatchRef::first(&bytes) else {
                        break;
                    };
                    if !each(self.at, &batch)? {
                        verdict.state = "partly";
                        return Ok(verdict);
                    }
                    let header = batch.header();
                    verdict.batches += 1;
                    verdict.records += u64::try_from(header.record_count()).unwrap_or(0);
                    verdict.bytes += bytes.len() as u64;
                    self.next = header.next_offset().0;
                    self.at += bytes.len() as u64;
                }
                Err(what) => {
                    let bad = self.at;
                    let Some(found) = self.search(bad + 1)? else {
                        self.end(&mut verdict, is_last, what)?;
                        break;
                    };
                    verdict.rot.push(Range {
                        position: bad,
                        bytes: found - bad,
                        what,
                    });
                    self.at = found;
                }
            }
        }
        verdict.state = match (verdict.rot.is_empty(), verdict.torn_bytes) {
            (false, _) => "rot",
            (true, 0) => "whole",
            (true, _) => "torn",
        };
        Ok(verdict)
    }

    /// Judges the bytes behind the last sound batch.
    fn end(&self, verdict: &mut Verdict, is_last: bool, what: String) -> io::Result<()> {
        let bytes = self.length - self.at;
        if self.is_zero_from(self.at)? {
            verdict.zeros = bytes;
        } else if is_last {
            verdict.torn_bytes = bytes;
        } else {
            verdict.rot.push(Range {
                position: self.at,
                bytes,
                what: format!("{what}, and a later segment exists"),
            });
        }
        Ok(())
    }

    fn read(&self, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; bytes.min(left)];
        self.file.read_exact_at(&mut buffer, at)?;
        Ok(buffer)
    }

    /// The sound batch at a position, or what is wrong there.
    fn batch_at(&self, at: u64) -> io::Result<Result<Vec<u8>, String>> {
        let head = self.read(at, BATCH_HEADER_BYTES)?;
        let Some(header) = BatchHeader::of(&head) else {
            return Ok(Err(format!("only {} bytes are left", head.len())));
        };
        let length = u64::try_from(header.length()).unwrap_or(0) + LOG_OVERHEAD as u64;
        if length < BATCH_HEADER_BYTES as u64 || length > BATCH_BYTES_MAX || header.magic() != 2 {
            return Ok(Err("no batch header".to_owned()));
        }
        if length > self.length - at {
            return Ok(Err("the batch goes beyond the file's end".to_owned()));
        }
        let bytes = self.read(at, usize::try_from(length).unwrap_or(usize::MAX))?;
        let wrong = match BatchRef::first(&bytes) {
            Err(error) => Some(error.to_string()),
            Ok(batch) if !batch.crc_matches() => Some("its checksum differs".to_owned()),
            Ok(batch) if batch.header().base_offset().0 < self.next => {
                Some("its offsets go back".to_owned())
            }
            Ok(_) => None,
        };
        Ok(match wrong {
            Some(what) => Err(what),
            None => Ok(bytes),
        })
    }

    /// The position of the next sound batch.
    fn search(&self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at < self.length {
            let window = self.read(at, SEARCH_BYTES + BATCH_HEADER_BYTES)?;
            let candidates = window.windows(BATCH_HEADER_BYTES).enumerate();
            for (index, head) in candidates.take(SEARCH_BYTES) {
                let likely = head.get(MAGIC_AT) == Some(&2)
                    && BatchHeader::of(head).is_some_and(|header| {
                        header.length() > 0 && header.base_offset().0 >= self.next.max(0)
                    });
                if likely && self.batch_at(at + index as u64)?.is_ok() {
                    return Ok(Some(at + index as u64));
                }
            }
            at += SEARCH_BYTES as u64;
        }
        Ok(None)
    }

    fn is_zero_from(&self, from: u64) -> io::Result<bool> {
        let mut at = from;
        while at < self.length {
            let window = self.read(at, SEARCH_BYTES)?;
            if window.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += window.len() as u64;
        }
        Ok(true)
    }
}

/// The last offset of the batch at a position, for those who check an index against its log.
pub(super) fn last_offset_at(path: &Path, position: u64) -> io::Result<Option<i64>> {
    let segment = Segment::open(path)?;
    let head = segment.read(position, BATCH_HEADER_BYTES)?;
    let header = BatchHeader::of(&head).filter(|header| header.magic() == 2);
    Ok(header.map(|header| header.last_offset().0))
}

#[cfg(test)]
mod tests {
    use thalweg_storage::testing::TempDir;
    use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
    use thalweg_wire::ids::Offset;

    use super::*;

    fn batch(base: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchSpec {
            base_offset: Offset(base),
            ..BatchSpec::default()
        });
        builder.push(&Record {
            value: Some(b"some value"),
            ..Record::default()
        });
        builder.finish_plain()
    }

    fn walk(bytes: &[u8], is_last: bool) -> Verdict {
        let dir = TempDir::new("segment");
        let path = dir.path().join("0.log");
        std::fs::write(&path, bytes).unwrap();
        let segment = Segment::open(&path).unwrap();
        segment.walk(is_last, |_, _| Ok(true)).unwrap()
    }

    #[test]
    fn torn_ends_are_told_from_rot() {
        let (one, two, three) = (batch(0), batch(1), batch(2));
        let all = [one.clone(), two.clone(), three.clone()].concat();
        let whole = walk(&all, true);
        assert_eq!((whole.state, whole.batches, whole.records), ("whole", 3, 3));

        let cut = &all[..all.len() - 5];
        let torn = walk(cut, true);
        assert_eq!(torn.state, "torn");
        assert_eq!(torn.torn_bytes as usize, three.len() - 5);
        let rot = walk(cut, false);
        assert_eq!(rot.state, "rot");
        assert!(rot.rot[0].what.contains("later segment"), "{rot:?}");

        let mut flipped = all.clone();
        flipped[one.len() + 30] ^= 1;
        let rot = walk(&flipped, true);
        assert_eq!((rot.state, rot.batches), ("rot", 2));
        assert_eq!(rot.rot[0].position as usize, one.len());
        assert_eq!(rot.rot[0].bytes as usize, two.len());

        let aside = walk(&[all.clone(), vec![0; 8192]].concat(), true);
        assert_eq!((aside.state, aside.zeros), ("whole", 8192));
        assert_eq!(walk(&[], true).state, "whole");
    }

    #[test]
    fn a_batch_whose_offsets_go_back_is_rot() {
        let all = [batch(5), batch(3), batch(6)].concat();
        let rot = walk(&all, true);
        assert_eq!((rot.state, rot.batches), ("rot", 2));
        assert!(rot.rot[0].what.contains("go back"), "{rot:?}");
    }
}
