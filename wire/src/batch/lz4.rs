//! The LZ4 frame format, as far as Kafka goes: one frame with independent blocks.
//!
//! As Kafka's reader: the header checksum and block checksums are verified, content checksum and
//! content size are left out, frames with linked blocks or a dictionary are refused (the Java
//! consumer could not read them), and so is everything behind the frame's end mark.

use std::fmt;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const FLAG_DICTIONARY: u8 = 1;
const FLAG_RESERVED: u8 = 1 << 1;
const FLAG_CONTENT_CHECKSUM: u8 = 1 << 2;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_BLOCK_CHECKSUM: u8 = 1 << 4;
const FLAG_INDEPENDENT: u8 = 1 << 5;
const VERSION: u8 = 1;
/// A block's length with this bit is stored as it is.
const STORED: u32 = 1 << 31;

/// Why bytes are not a frame that Kafka's clients can read.
#[derive(Debug)]
pub enum Lz4Error {
    /// No LZ4 frame, or one that ends early.
    Frame,
    /// The frame's header does not match its checksum.
    HeaderChecksum,
    /// Flags that Kafka's clients cannot read: another version, linked blocks, a dictionary.
    Flags(u8),
    /// No size of blocks that the format knows, or a block larger than it.
    BlockSize,
    /// A block does not match its checksum.
    BlockChecksum,
    /// Bytes follow the frame's end.
    Trailing,
    /// A block is broken.
    Block(lz4_flex::block::DecompressError),
    /// Compression failed.
    Compress(String),
}

impl fmt::Display for Lz4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame => write!(f, "not a whole LZ4 frame"),
            Self::HeaderChecksum => write!(f, "the frame's header does not match its checksum"),
            Self::Flags(flags) => write!(f, "frame flags {flags:#04x} are not served"),
            Self::BlockSize => write!(f, "a block's size is not possible"),
            Self::BlockChecksum => write!(f, "a block does not match its checksum"),
            Self::Trailing => write!(f, "bytes follow the frame's end"),
            Self::Block(cause) => cause.fmt(f),
            Self::Compress(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Lz4Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Block(cause) => Some(cause),
            _ => None,
        }
    }
}

/// The blocks of a frame.
#[derive(Clone, Debug)]
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    block_bytes_max: usize,
    block_checksums: bool,
    content_checksum: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Result<Self, Lz4Error> {
        let rest = payload.strip_prefix(&MAGIC).ok_or(Lz4Error::Frame)?;
        let (&[flags, block], _) = rest.split_first_chunk().ok_or(Lz4Error::Frame)?;
        let with_size = flags & FLAG_CONTENT_SIZE != 0;
        let head_bytes = if with_size { 10 } else { 2 };
        let (head, rest) = rest.split_at_checked(head_bytes).ok_or(Lz4Error::Frame)?;
        let (checksum, rest) = rest.split_first().ok_or(Lz4Error::Frame)?;
        if xxh32(head).to_le_bytes().get(1) != Some(checksum) {
            return Err(Lz4Error::HeaderChecksum);
        }
        let refused = FLAG_DICTIONARY | FLAG_RESERVED;
        if flags >> 6 != VERSION || flags & FLAG_INDEPENDENT == 0 || flags & refused != 0 {
            return Err(Lz4Error::Flags(flags));
        }
        let block_bytes_max = match block {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(Lz4Error::BlockSize),
        };
        Ok(Self {
            rest,
            block_bytes_max,
            block_checksums: flags & FLAG_BLOCK_CHECKSUM != 0,
            content_checksum: flags & FLAG_CONTENT_CHECKSUM != 0,
        })
    }

    /// Inflates the next block to the start of `out`, which grows to one block's size.
    /// `Ok(None)` is the end.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Lz4Error> {
        let word = u32::from_le_bytes(self.take_word()?);
        if word == 0 {
            if self.content_checksum {
                self.take_word()?;
            }
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(Lz4Error::Trailing)
            };
        }
        let length = usize::try_from(word & !STORED).or(Err(Lz4Error::BlockSize))?;
        if length > self.block_bytes_max {
            return Err(Lz4Error::BlockSize);
        }
        let (block, rest) = self.rest.split_at_checked(length).ok_or(Lz4Error::Frame)?;
        self.rest = rest;
        if self.block_checksums && u32::from_le_bytes(self.take_word()?) != xxh32(block) {
            return Err(Lz4Error::BlockChecksum);
        }
        if out.len() < self.block_bytes_max {
            out.resize(self.block_bytes_max, 0);
        }
        let target = out.get_mut(..self.block_bytes_max).unwrap_or_default();
        if word & STORED == 0 {
            return lz4_flex::block::decompress_into(block, target)
                .map(Some)
                .map_err(Lz4Error::Block);
        }
        let target = target.get_mut(..length).ok_or(Lz4Error::BlockSize)?;
        target.copy_from_slice(block);
        Ok(Some(length))
    }

    fn take_word(&mut self) -> Result<[u8; 4], Lz4Error> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(Lz4Error::Frame)?;
        self.rest = rest;
        Ok(*word)
    }
}

/// Compresses as the Java client does: independent blocks of 64 KiB, no checksums but the header's.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Lz4Error> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder
        .write_all(bytes)
        .map_err(|cause| Lz4Error::Compress(cause.to_string()))?;
    encoder
        .finish()
        .map_err(|cause| Lz4Error::Compress(cause.to_string()))
}

const PRIME_1: u32 = 0x9e37_79b1;
const PRIME_2: u32 = 0x85eb_ca77;
const PRIME_3: u32 = 0xc2b2_ae3d;
const PRIME_4: u32 = 0x27d4_eb2f;
const PRIME_5: u32 = 0x1656_67b1;

/// xxHash, 32 bits, seed 0: the checksum of the frame format.
fn xxh32(bytes: &[u8]) -> u32 {
    let mut lanes = [
        PRIME_1.wrapping_add(PRIME_2),
        PRIME_2,
        0,
        0_u32.wrapping_sub(PRIME_1),
    ];
    let (stripes, rest) = bytes.as_chunks::<16>();
    for stripe in stripes {
        let (words, _) = stripe.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = lane
                .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_2))
                .rotate_left(13)
                .wrapping_mul(PRIME_1);
        }
    }
    let [a, b, c, d] = lanes;
    let start = if stripes.is_empty() {
        PRIME_5
    } else {
        a.rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18))
    };
    // The format counts the length modulo 2^32.
    let [_, _, _, _, length @ ..] = (bytes.len() as u64).to_be_bytes();
    let mut hash = start.wrapping_add(u32::from_be_bytes(length));
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        hash = hash
            .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_3))
            .rotate_left(17)
            .wrapping_mul(PRIME_4);
    }
    for byte in rest {
        hash = hash
            .wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5))
            .rotate_left(11)
            .wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh32_has_its_known_values() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(
            xxh32(b"Nobody inspects the spammish repetition"),
            0xe229_3b2f
        );
    }
}
