//! The transaction index: aborted transactions that ended in a segment. Kafka's `.txnindex`. Pure.
//!
//! Entries are in the order of their markers. `last_stable` is the last stable offset right after
//! the marker: a reader that has seen an entry with one at or above its upper bound needs no later
//! segment.

use thalweg_wire::ids::{Offset, ProducerId};

/// Bytes of an entry: version, producer, first, last, last stable.
pub const ENTRY_BYTES: usize = 34;
/// The only version.
const VERSION: i16 = 0;

/// One aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer.
    pub producer: ProducerId,
    /// Its first record's offset.
    pub first: Offset,
    /// Its marker's offset.
    pub last: Offset,
    /// The last stable offset after the marker.
    pub last_stable: Offset,
}

impl AbortedTxn {
    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [
            self.producer.0,
            self.first.0,
            self.last.0,
            self.last_stable.0,
        ] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn decode(entry: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (version, rest) = entry.split_first_chunk::<2>()?;
        let [producer, first, last, last_stable] = rest.as_chunks::<8>().0 else {
            return None;
        };
        (i16::from_be_bytes(*version) == VERSION).then_some(Self {
            producer: ProducerId(i64::from_be_bytes(*producer)),
            first: Offset(i64::from_be_bytes(*first)),
            last: Offset(i64::from_be_bytes(*last)),
            last_stable: Offset(i64::from_be_bytes(*last_stable)),
        })
    }
}

/// The transaction index of one segment. Most segments have none, and no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnIndex {
    entries: Vec<AbortedTxn>,
}

impl TxnIndex {
    /// Takes the valid front of a file: known version, ascending markers.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut index = Self::default();
        for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
            match AbortedTxn::decode(entry) {
                Some(entry) if index.entries.last().is_none_or(|e| entry.last > e.last) => {
                    index.entries.push(entry);
                }
                _ => break,
            }
        }
        index
    }

    /// Adds a transaction; its marker must lie after all others. One that is held already (seen
    /// again by a scan) is left out.
    pub fn push(&mut self, entry: AbortedTxn) {
        if self.entries.last().is_none_or(|e| entry.last > e.last) {
            self.entries.push(entry);
        }
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[AbortedTxn] {
        &self.entries
    }

    /// Drops transactions whose marker lies at `offset` or later.
    pub fn cut(&mut self, offset: Offset) {
        self.entries.retain(|entry| entry.last < offset);
    }

    /// The file's content.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            entry.encode(&mut bytes);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(first: i64, last: i64) -> AbortedTxn {
        AbortedTxn {
            producer: ProducerId(7),
            first: Offset(first),
            last: Offset(last),
            last_stable: Offset(last + 1),
        }
    }

    #[test]
    fn entries_survive_the_file_and_rot_ends_it() {
        let mut index = TxnIndex::default();
        index.push(aborted(3, 9));
        index.push(aborted(12, 15));
        index.push(aborted(12, 15));
        let image = index.image();
        assert_eq!(image.len(), 2 * ENTRY_BYTES);
        assert_eq!(TxnIndex::from_bytes(&image), index);
        let mut rotten = image.clone();
        rotten[ENTRY_BYTES + 1] = 9;
        assert_eq!(TxnIndex::from_bytes(&rotten).entries(), [aborted(3, 9)]);
        assert_eq!(TxnIndex::from_bytes(&image[..60]).entries().len(), 1);
        index.cut(Offset(15));
        assert_eq!(index.entries(), [aborted(3, 9)]);
    }
}
