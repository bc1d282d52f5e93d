//! What the log writes into its copies of a batch: offset, leader epoch, at times the time. Pure.
//!
//! The received frame stays as it is. In the usual case only the header is copied and changed, and
//! the records are taken from the frame; a batch whose time changes needs a new checksum, and is
//! copied whole for it.

use std::borrow::Cow;

use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, Stamp, assign};
use thalweg_wire::ids::{Epoch, Offset};

/// A batch as it enters the log: a new header and the rest.
#[derive(Debug)]
pub(crate) struct Assigned<'a> {
    header: [u8; BATCH_HEADER_BYTES],
    rest: Cow<'a, [u8]>,
}

impl<'a> Assigned<'a> {
    /// Assigns; `batch` is one whole batch.
    pub(crate) fn new(batch: &'a [u8], base: Offset, epoch: Epoch, stamp: Stamp) -> Self {
        let mut header = [0; BATCH_HEADER_BYTES];
        let (front, rest) = batch.split_at(BATCH_HEADER_BYTES);
        if changes_time(front, stamp) {
            let mut copy = batch.to_vec();
            assign(&mut copy, base, epoch, stamp);
            let rest = copy.split_off(BATCH_HEADER_BYTES);
            header.copy_from_slice(&copy);
            return Self {
                header,
                rest: Cow::Owned(rest),
            };
        }
        header.copy_from_slice(front);
        assign(&mut header, base, epoch, Stamp::Keep);
        Self {
            header,
            rest: Cow::Borrowed(rest),
        }
    }

    /// The bytes, in order.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.header, &self.rest]
    }

    /// The new header.
    pub(crate) fn header(&self) -> &BatchHeader {
        BatchHeader::of(&self.header).expect("a header has a header's size")
    }
}

fn changes_time(header: &[u8], stamp: Stamp) -> bool {
    let Some(header) = BatchHeader::of(header) else {
        return false;
    };
    let is_append_time = header.attributes().is_log_append_time();
    match stamp {
        Stamp::Keep => false,
        Stamp::Create(max) => is_append_time || header.max_timestamp() != max,
        Stamp::LogAppend(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use thalweg_wire::batch::{BatchBuilder, BatchRef, BatchSpec, Record};
    use thalweg_wire::ids::TimestampMs;

    use super::*;

    fn stored(stamp: Stamp) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        for timestamp in [50, 70, 60] {
            builder.push(&Record {
                timestamp: TimestampMs(timestamp),
                value: Some(b"value"),
                ..Record::default()
            });
        }
        let batch = builder.finish_plain();
        let assigned = Assigned::new(&batch, Offset(1000), Epoch(4), stamp);
        assigned.parts().concat()
    }

    #[test]
    fn the_stored_batch_is_sound_whatever_changed() {
        for (stamp, max, append_time) in [
            (Stamp::Keep, 70, false),
            (Stamp::Create(TimestampMs(70)), 70, false),
            (Stamp::Create(TimestampMs(65)), 65, false),
            (Stamp::LogAppend(TimestampMs(99)), 99, true),
        ] {
            let bytes = stored(stamp);
            let batch = BatchRef::first(&bytes).unwrap();
            assert!(batch.crc_matches(), "{stamp:?}");
            let header = batch.header();
            assert_eq!(header.base_offset(), Offset(1000));
            assert_eq!(header.next_offset(), Offset(1003));
            assert_eq!(header.leader_epoch(), Epoch(4));
            assert_eq!(header.max_timestamp(), TimestampMs(max));
            assert_eq!(header.attributes().is_log_append_time(), append_time);
        }
    }
}
