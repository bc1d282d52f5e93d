//! One round: everything that arrived while the last one was written, as one aligned write. Pure.
//!
//! A round begins on its own 4 KiB block, is padded with zeros to whole blocks, and shares no
//! block with another round, so a later write never touches bytes that are durable. Its header
//! says which journal it belongs to, its number, the checksum of the round before it, and
//! `durable_through`: the newest round known to be flushed when this one was submitted. That last
//! field tells a torn end from rot: an unreadable round that a later sound one vouches for was
//! durable once.
//!
//! Layout of the header, little-endian: magic (8), version (u16), shard (u16), zero (u32), journal
//! id (16), round (u64), previous checksum (u32), payload length (u32), `durable_through` (u64),
//! payload crc32c (u32), header crc32c over all of the above (u32). The header's crc is the
//! round's checksum. Payload follows at once.

use thalweg_wire::ids::{Offset, PartitionId, ShardId, Uuid};

use super::entry::{Entry, FLAGS_AT, MORE};
use crate::disk::{BLOCK_BYTES, Memory, Slice};

/// Bytes of a round's header.
pub(crate) const ROUND_HEADER_BYTES: usize = 64;
/// First bytes of every round.
pub(crate) const ROUND_MAGIC: [u8; 8] = *b"THALWEGR";
/// Layout of rounds and entries that this code writes, and the only one it reads.
pub(crate) const ROUND_VERSION: u16 = 1;
/// Memory of a round grows in pieces of at most this size: large enough for few iovecs a write,
/// small enough to come from the allocator's own lists.
const PIECE_BYTES_MAX: usize = 256 << 10;

const HEADER_CRC_AT: usize = ROUND_HEADER_BYTES - 4;
const _: () = assert!(HEADER_CRC_AT == 8 + 2 + 2 + 4 + 16 + 8 + 4 + 4 + 8 + 4);

/// Blocks that a round with so much payload takes, in bytes.
#[must_use]
pub(crate) const fn padded(payload: usize) -> usize {
    (ROUND_HEADER_BYTES + payload).next_multiple_of(BLOCK_BYTES)
}

/// A round's header, without its own checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RoundHeader {
    /// Which journal: new for every start of the node.
    pub(crate) journal: Uuid,
    /// Whose journal.
    pub(crate) shard: ShardId,
    /// Number of the round: grows by one, over all starts.
    pub(crate) round: u64,
    /// Checksum of the round before this one; 0 for a journal's first.
    pub(crate) previous: u32,
    /// Payload bytes.
    pub(crate) length: u32,
    /// Newest round known to be flushed when this one was submitted; 0 for none.
    pub(crate) durable_through: u64,
    /// crc32c of the payload.
    pub(crate) payload_crc: u32,
}

impl RoundHeader {
    /// The header's bytes; the last four are the round's checksum.
    #[must_use]
    pub(crate) fn encode(&self) -> [u8; ROUND_HEADER_BYTES] {
        let mut bytes = [0; ROUND_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&ROUND_MAGIC);
        bytes[8..10].copy_from_slice(&ROUND_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal.0);
        bytes[32..40].copy_from_slice(&self.round.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.previous.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.length.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.durable_through.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header and its checksum; `None` if these bytes are not a sound header.
    #[must_use]
    pub(crate) fn decode(block: &[u8]) -> Option<(Self, u32)> {
        let bytes = block.first_chunk::<ROUND_HEADER_BYTES>()?;
        let crc = le32(bytes, HEADER_CRC_AT);
        let sound = bytes[0..8] == ROUND_MAGIC
            && u16::from_le_bytes([bytes[8], bytes[9]]) == ROUND_VERSION
            && crc32c::crc32c(&bytes[..HEADER_CRC_AT]) == crc;
        if !sound {
            return None;
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&bytes[16..32]);
        let header = Self {
            journal: Uuid(journal),
            shard: ShardId(u16::from_le_bytes([bytes[10], bytes[11]])),
            round: le64(bytes, 32),
            previous: le32(bytes, 40),
            length: le32(bytes, 44),
            durable_through: le64(bytes, 48),
            payload_crc: le32(bytes, 56),
        };
        Some((header, crc))
    }

    /// Blocks that the round takes, in bytes.
    #[must_use]
    pub(crate) fn padded_bytes(&self) -> usize {
        padded(self.length as usize)
    }
}

fn le32(bytes: &[u8; ROUND_HEADER_BYTES], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |field| u32::from_le_bytes(*field))
}

fn le64(bytes: &[u8; ROUND_HEADER_BYTES], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |field| u64::from_le_bytes(*field))
}

/// What a header takes from the journal at the moment of writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    /// See [`RoundHeader::journal`].
    pub(crate) journal: Uuid,
    /// See [`RoundHeader::shard`].
    pub(crate) shard: ShardId,
    /// See [`RoundHeader::previous`].
    pub(crate) previous: u32,
    /// See [`RoundHeader::durable_through`].
    pub(crate) durable_through: u64,
}

/// What a round makes durable of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touched {
    /// Its records up to an offset.
    Records(PartitionId, Offset),
    /// Its log start.
    LogStart(PartitionId, Offset),
}

/// A round that still takes entries.
#[derive(Debug)]
pub(crate) struct RoundBuilder {
    number: u64,
    pieces: Vec<Memory>,
    /// Header and payload bytes so far.
    bytes: usize,
    touched: Vec<Touched>,
}

/// A round as it is written.
#[derive(Debug)]
pub(crate) struct SealedRound {
    /// Its number.
    pub(crate) number: u64,
    /// Whole blocks.
    pub(crate) parts: Vec<Slice>,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Its checksum, which the next round names.
    pub(crate) checksum: u32,
    /// What it makes durable, in order.
    pub(crate) touched: Vec<Touched>,
}

impl RoundBuilder {
    /// An empty round with this number.
    #[must_use]
    pub(crate) fn new(number: u64) -> Self {
        let mut first = Memory::new(BLOCK_BYTES);
        first.append_zeros(ROUND_HEADER_BYTES);
        Self {
            number,
            pieces: vec![first],
            bytes: ROUND_HEADER_BYTES,
            touched: Vec::new(),
        }
    }

    /// Its number.
    #[must_use]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Payload bytes so far.
    #[must_use]
    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes - ROUND_HEADER_BYTES
    }

    /// Blocks that it would take now, in bytes.
    #[must_use]
    pub(crate) fn padded_bytes(&self) -> usize {
        self.bytes.next_multiple_of(BLOCK_BYTES)
    }

    /// Adds an entry; returns where it begins, for [`RoundBuilder::clear_more`].
    pub(crate) fn push(&mut self, entry: &Entry<'_>, flags: u8) -> usize {
        let at = self.bytes;
        entry.encode(flags, |part| self.put(part));
        at
    }

    /// Takes the [`MORE`] flag from the entry that begins at `at`.
    pub(crate) fn clear_more(&mut self, at: usize) {
        let mut at = at + FLAGS_AT;
        for piece in &mut self.pieces {
            if at < piece.len() {
                let flags = piece.bytes()[at] & !MORE;
                piece.patch(at, &[flags]);
                return;
            }
            at -= piece.len();
        }
    }

    /// Notes what the round makes durable.
    pub(crate) fn touch(&mut self, touched: Touched) {
        self.touched.push(touched);
    }

    fn put(&mut self, mut part: &[u8]) {
        self.bytes += part.len();
        loop {
            if let Some(piece) = self.pieces.last_mut() {
                let count = piece.append(part);
                part = &part[count..];
            }
            if part.is_empty() {
                return;
            }
            // Four times what there is: a few pieces for any size, none much too large.
            let held: usize = self.pieces.iter().map(Memory::capacity).sum();
            self.pieces
                .push(Memory::new((3 * held).min(PIECE_BYTES_MAX)));
        }
    }

    /// Pads the round, computes its checksums and makes it ready to be written.
    #[must_use]
    pub(crate) fn seal(mut self, seal: &Seal) -> SealedRound {
        let length = u32::try_from(self.payload_bytes()).expect("a round is cut far below 4 GiB");
        let mut payload_crc = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let from = if index == 0 { ROUND_HEADER_BYTES } else { 0 };
            payload_crc = crc32c::crc32c_append(payload_crc, &piece.bytes()[from..]);
        }
        if let Some(last) = self.pieces.last_mut() {
            last.pad_to_block();
        }
        let header = RoundHeader {
            journal: seal.journal,
            shard: seal.shard,
            round: self.number,
            previous: seal.previous,
            length,
            durable_through: seal.durable_through,
            payload_crc,
        }
        .encode();
        self.pieces[0].patch(0, &header);
        let (_, checksum) = RoundHeader::decode(&header).expect("what was just encoded");
        SealedRound {
            number: self.number,
            bytes: self.pieces.iter().map(Memory::len).sum(),
            parts: self.pieces.into_iter().map(Memory::freeze).collect(),
            checksum,
            touched: self.touched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::entry::Place;
    use thalweg_wire::ids::PartitionIndex;

    const SEAL: Seal = Seal {
        journal: Uuid([3; 16]),
        shard: ShardId(2),
        previous: 77,
        durable_through: 8,
    };

    fn append(bytes: &[u8]) -> Entry<'_> {
        Entry::Append {
            partition: PartitionId {
                topic: Uuid([1; 16]),
                index: PartitionIndex(0),
            },
            place: Place {
                segment: Offset(0),
                position: 0,
            },
            bytes,
        }
    }

    fn written(round: &SealedRound) -> Vec<u8> {
        round.parts.iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn a_round_of_any_size_is_whole_blocks_with_its_checksums() {
        for size in [0, 1, 3_900, 4_096, 20_000, 1_000_000] {
            let bytes = vec![0xAB; size];
            let mut round = RoundBuilder::new(9);
            round.push(&append(&bytes), 0);
            let padded = round.padded_bytes();
            let sealed = round.seal(&SEAL);
            assert!(sealed.parts.iter().all(Slice::is_whole_blocks));
            let written = written(&sealed);
            assert_eq!((written.len(), sealed.bytes), (padded, padded));
            let (header, checksum) = RoundHeader::decode(&written).unwrap();
            assert_eq!(checksum, sealed.checksum);
            assert_eq!(header.padded_bytes(), padded);
            assert_eq!((header.round, header.previous), (9, 77));
            let payload = &written[ROUND_HEADER_BYTES..][..header.length as usize];
            assert_eq!(crc32c::crc32c(payload), header.payload_crc);
            let (entry, _, rest) = Entry::decode(payload).unwrap();
            assert_eq!((entry, rest.len()), (append(&bytes), 0));
            assert!(
                written[ROUND_HEADER_BYTES + payload.len()..]
                    .iter()
                    .all(|byte| *byte == 0)
            );
        }
    }

    #[test]
    fn a_flipped_bit_in_the_header_is_seen() {
        let sealed = RoundBuilder::new(1).seal(&SEAL);
        let bytes = written(&sealed);
        for bit in 0..ROUND_HEADER_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RoundHeader::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn the_more_flag_is_cleared_wherever_the_entry_begins() {
        for first in 3_950..4_100 {
            let bytes = vec![1; first];
            let mut round = RoundBuilder::new(1);
            round.push(&append(&bytes), MORE);
            let at = round.push(&append(b"end"), MORE);
            round.clear_more(at);
            let written = written(&round.seal(&SEAL));
            let (_, flags, rest) = Entry::decode(&written[ROUND_HEADER_BYTES..]).unwrap();
            assert_eq!(flags, MORE);
            assert_eq!(Entry::decode(rest).unwrap().1, 0, "after {first} bytes");
        }
    }
}
