//! A request's bytes, and where its batches lie in them, so that they can be patched in place.

use super::link::CORRELATION_AT;

/// A whole frame, size prefix included. Empty until it was laid out.
#[derive(Debug, Default)]
pub struct Request {
    pub bytes: Vec<u8>,
    pub places: Vec<Place>,
}

/// One partition of a produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the partition's index lies, four bytes.
    pub partition_at: usize,
    /// Where its batch lies.
    pub batch_at: usize,
    pub batch_bytes: usize,
    pub records: usize,
}

impl Request {
    /// A frame without batches.
    #[must_use]
    pub const fn plain(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            places: Vec::new(),
        }
    }

    /// True if it holds batches of so many records each, in this order.
    pub fn fits(&self, records: impl ExactSizeIterator<Item = usize>) -> bool {
        !self.bytes.is_empty()
            && self.places.len() == records.len()
            && self
                .places
                .iter()
                .zip(records)
                .all(|(place, records)| place.records == records)
    }

    /// The batch at `index`, which from now on goes to `partition`.
    pub fn batch(&mut self, index: usize, partition: i32) -> Option<&mut [u8]> {
        let place = *self.places.get(index)?;
        let index = self
            .bytes
            .get_mut(place.partition_at..place.partition_at + 4)?;
        index.copy_from_slice(&partition.to_be_bytes());
        self.bytes
            .get_mut(place.batch_at..place.batch_at + place.batch_bytes)
    }

    pub(super) fn number(&mut self, id: i32) {
        if let Some(place) = self.bytes.get_mut(CORRELATION_AT..CORRELATION_AT + 4) {
            place.copy_from_slice(&id.to_be_bytes());
        }
    }
}
