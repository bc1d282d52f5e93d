//! What the log writes into a batch when it takes it: offset, leader epoch and, at times, time.
//!
//! Offset and epoch lie in front of what the CRC covers. The time does not: it is only touched
//! when it has to change, and then the CRC is computed again.

use zerocopy::FromBytes;

use super::header::{Attributes, BatchHeader, crc_of};
use crate::ids::{Epoch, Offset, TimestampMs};

/// What happens to a batch's time on append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    /// Nothing.
    Keep,
    /// The records keep their times; this is the largest of them, whatever the header claims.
    Create(TimestampMs),
    /// All records have the time of append.
    LogAppend(TimestampMs),
}

/// Writes the place in the log into a batch, in place.
///
/// `batch` must be one whole batch (see [`super::check_produce`]); shorter bytes are left alone.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: Epoch, stamp: Stamp) {
    let Ok((header, _)) = BatchHeader::mut_from_prefix(batch) else {
        debug_assert!(false, "only whole batches are assigned");
        return;
    };
    header.base_offset.set(base_offset.0);
    header.leader_epoch.set(leader_epoch.0);
    let was = (header.attributes(), header.max_timestamp());
    let attributes = was.0.0;
    let now = match stamp {
        Stamp::Keep => was,
        Stamp::Create(max) => (Attributes(attributes & !Attributes::LOG_APPEND_TIME), max),
        Stamp::LogAppend(time) => (Attributes(attributes | Attributes::LOG_APPEND_TIME), time),
    };
    if now == was {
        return;
    }
    header.attributes.set(now.0.0);
    header.max_timestamp.set(now.1.0);
    let crc = crc_of(batch);
    if let Ok((header, _)) = BatchHeader::mut_from_prefix(batch) {
        header.crc.set(crc);
    }
}
