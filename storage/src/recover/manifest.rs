//! `journal/manifest`: which journals count. The one file whose replacement makes a recovery true.
//!
//! A journal's rounds count only if they bear the id that stands here. Recovery writes the new
//! journals first, under a new id, and then replaces this file: before that the old journals count
//! whole, after it the new ones, and never a mixture.
//!
//! Layout, little-endian: magic (8), version (u32), shards (u32), journal id (16), first round
//! (u64), crc32c of all that (u32). A file that is damaged is a reason to refuse, not to guess.

use std::path::PathBuf;

use thalweg_wire::ids::Uuid;

/// Its path within the data directory.
pub(crate) const MANIFEST: &str = "journal/manifest";
const MAGIC: [u8; 8] = *b"THALWEGM";
const VERSION: u32 = 1;
const BYTES: usize = 8 + 4 + 4 + 16 + 8 + 4;

/// See the module's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    /// Shards that have a journal.
    pub(crate) shards: u16,
    /// Id of all their journals.
    pub(crate) journal: Uuid,
    /// Number of the first round in each.
    pub(crate) first: u64,
}

impl Manifest {
    pub(crate) fn path() -> PathBuf {
        PathBuf::from(MANIFEST)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.shards).to_le_bytes());
        bytes.extend_from_slice(&self.journal.0);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (shards, rest) = rest.split_first_chunk::<4>()?;
        let (journal, first) = rest.split_first_chunk::<16>()?;
        let sound = *magic == MAGIC
            && u32::from_le_bytes(*version) == VERSION
            && crc32c::crc32c(body) == u32::from_le_bytes(*crc);
        if !sound {
            return None;
        }
        Some(Self {
            shards: u16::try_from(u32::from_le_bytes(*shards)).ok()?,
            journal: Uuid(*journal),
            first: u64::from_le_bytes(first.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_cut_is_seen() {
        let manifest = Manifest {
            shards: 3,
            journal: Uuid([4; 16]),
            first: 1 << 40,
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Some(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&flipped), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..length]), None);
        }
    }
}
