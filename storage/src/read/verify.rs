//! Walks consecutive batches, in parts of any size, and checks each one's checksum. Pure.
//!
//! Only the frame that every batch has is looked at: length, magic, crc32c. What the records say
//! was checked when they were appended.

use thalweg_wire::batch::{BATCH_HEADER_BYTES, LOG_OVERHEAD};

/// Bytes before the part that the checksum covers: base offset, length, epoch, magic, crc.
const PREFIX_BYTES: usize = 21;
const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// The only batch format that is served.
const MAGIC: u8 = 2;

/// Something that is no whole and sound batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// File position of the batch's first byte.
    pub position: u64,
}

/// A walk under way.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Where the current batch begins.
    position: u64,
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of `prefix` that are there.
    have: usize,
    /// Bytes of the current batch after its prefix that are still to come.
    rest: usize,
    size: u64,
    crc: u32,
    failed: Option<Corrupt>,
}

impl Verifier {
    /// A walk that begins at a batch's first byte, at file position `position`.
    #[must_use]
    pub fn new(position: u64) -> Self {
        Self {
            position,
            prefix: [0; PREFIX_BYTES],
            have: 0,
            rest: 0,
            size: 0,
            crc: 0,
            failed: None,
        }
    }

    /// The next bytes of the range.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if let Some(corrupt) = self.failed {
                return Err(corrupt);
            }
            bytes = if self.have < PREFIX_BYTES {
                self.take_prefix(bytes)
            } else {
                self.take_rest(bytes)
            };
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The range is over; it must have ended with a batch.
    pub fn finish(self) -> Result<(), Corrupt> {
        match self.failed {
            Some(corrupt) => Err(corrupt),
            None if self.have == 0 => Ok(()),
            None => Err(Corrupt {
                position: self.position,
            }),
        }
    }

    /// The range is over; its last batch may end within `rest`, of which no more is looked at.
    pub fn finish_with<P: AsRef<[u8]>>(mut self, rest: &[P]) -> Result<(), Corrupt> {
        for part in rest {
            let mut part = part.as_ref();
            while self.failed.is_none() && self.have > 0 && !part.is_empty() {
                let wanted = if self.have < PREFIX_BYTES {
                    PREFIX_BYTES - self.have
                } else {
                    self.rest
                };
                let (taken, left) = part.split_at(part.len().min(wanted));
                self.feed(taken)?;
                part = left;
            }
        }
        self.finish()
    }

    fn take_prefix<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = bytes.len().min(PREFIX_BYTES - self.have);
        let (taken, left) = bytes.split_at(count);
        self.prefix[self.have..self.have + count].copy_from_slice(taken);
        self.have += count;
        if self.have == PREFIX_BYTES {
            self.begin_batch();
        }
        left
    }

    fn begin_batch(&mut self) {
        let field = |at: usize| -> [u8; 4] {
            self.prefix[at..at + 4]
                .try_into()
                .expect("four bytes of the prefix")
        };
        let size = usize::try_from(i32::from_be_bytes(field(LENGTH_AT)))
            .map_or(0, |length| length.saturating_add(LOG_OVERHEAD));
        if size < BATCH_HEADER_BYTES || self.prefix[MAGIC_AT] != MAGIC {
            self.failed = Some(Corrupt {
                position: self.position,
            });
            return;
        }
        self.size = size as u64;
        self.rest = size - PREFIX_BYTES;
        self.crc = 0;
    }

    fn take_rest<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, left) = bytes.split_at(bytes.len().min(self.rest));
        self.crc = crc32c::crc32c_append(self.crc, taken);
        self.rest -= taken.len();
        if self.rest == 0 {
            if self.crc.to_be_bytes() == self.prefix[CRC_AT..CRC_AT + 4] {
                self.position += self.size;
                self.have = 0;
            } else {
                self.failed = Some(Corrupt {
                    position: self.position,
                });
            }
        }
        left
    }
}

/// Checks batches that begin at file position `position`; the last may end within `rest`.
pub fn verify<P: AsRef<[u8]>>(position: u64, parts: &[P], rest: &[P]) -> Result<(), Corrupt> {
    let mut verifier = Verifier::new(position);
    for part in parts {
        verifier.feed(part.as_ref())?;
    }
    verifier.finish_with(rest)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A batch of `size` bytes with noise for records and a right checksum.
    pub(in crate::read) fn batch(size: usize, seed: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size).map(|at| (at % 253) as u8 ^ seed).collect();
        let length = i32::try_from(size - LOG_OVERHEAD).unwrap();
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        bytes[MAGIC_AT] = MAGIC;
        let crc = crc32c::crc32c(&bytes[PREFIX_BYTES..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn whole_batches_pass_however_they_are_cut() {
        let bytes = [batch(61, 1), batch(5000, 2), batch(70, 3)].concat();
        for cut in [1, 2, 20, 21, 22, 61, 500, bytes.len()] {
            let parts: Vec<&[u8]> = bytes.chunks(cut).collect();
            assert_eq!(verify(100, &parts, &[]), Ok(()), "parts of {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found_where_its_batch_begins() {
        let bytes = [batch(61, 1), batch(80, 2)].concat();
        for at in 61 + LENGTH_AT..bytes.len() {
            // The leader epoch lies outside of the checksum.
            if (61 + 12..61 + MAGIC_AT).contains(&at) {
                continue;
            }
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert_eq!(
                verify(1000, &[bad], &[]),
                Err(Corrupt { position: 1061 }),
                "byte {at}"
            );
        }
    }

    #[test]
    fn zeros_and_half_batches_fail() {
        let bytes = batch(100, 1);
        assert_eq!(verify(0, &[[0; 64]], &[]), Err(Corrupt { position: 0 }));
        assert_eq!(
            verify(7, &[&bytes[..99]], &[]),
            Err(Corrupt { position: 7 })
        );
        assert_eq!(verify(7, &[&bytes[..5]], &[]), Err(Corrupt { position: 7 }));
        assert_eq!(verify::<&[u8]>(7, &[], &[]), Ok(()));
    }

    #[test]
    fn the_last_batch_may_end_in_memory() {
        let bytes = [batch(61, 1), batch(300, 2), batch(90, 3)].concat();
        for cut in [62, 70, 81, 82, 83, 200, 360] {
            let (file, rest) = bytes.split_at(cut);
            let parts: Vec<&[u8]> = rest.chunks(7).collect();
            assert_eq!(verify(0, &[file], &[rest]), Ok(()), "cut at {cut}");
            let mut walk = Verifier::new(0);
            walk.feed(file).unwrap();
            assert_eq!(walk.finish_with(&parts), Ok(()), "cut at {cut}, in parts");
            let short = &rest[..361 - cut - 1];
            assert_eq!(
                verify(0, &[file], &[short]),
                Err(Corrupt { position: 61 }),
                "cut at {cut}"
            );
            let mut bad = rest.to_vec();
            bad[361 - cut - 1] ^= 1;
            assert!(verify(0, &[file], &[bad.as_slice()]).is_err(), "{cut}");
        }
    }
}
