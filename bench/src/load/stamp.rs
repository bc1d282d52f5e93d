//! What a record's value says about itself, in its first 16 bytes.

/// Bytes of a stamp.
pub(super) const STAMP_BYTES: usize = 16;
/// Tells a stamp from other people's records; no text begins with it.
const MARK: u64 = 0xb7e1;
const TIME_BITS: u32 = 48;

/// Who sent a record, when it was meant to be sent, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Since the start of its run, up to three days.
    pub(super) intended_ns: u64,
    pub(super) run: u16,
    pub(super) producer: u16,
    /// Counts a producer's records of one partition, without gaps; wraps.
    pub(super) sequence: u32,
}

impl Stamp {
    pub(super) fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let time = self.intended_ns & ((1 << TIME_BITS) - 1);
        let head = u128::from(MARK << TIME_BITS | time);
        let who = u128::from(self.run) << 48 | u128::from(self.producer) << 32;
        (head << 64 | who | u128::from(self.sequence)).to_be_bytes()
    }

    /// The stamp of a value; none if it is nobody's of ours.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        let (bytes, _) = value.split_first_chunk::<STAMP_BYTES>()?;
        let whole = u128::from_be_bytes(*bytes);
        let head = (whole >> 64) as u64;
        (head >> TIME_BITS == MARK).then_some(Self {
            intended_ns: head & ((1 << TIME_BITS) - 1),
            run: (whole >> 48) as u16,
            producer: (whole >> 32) as u16,
            sequence: whole as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp {
            intended_ns: (1 << 48) - 1,
            run: 65_000,
            producer: 40_000,
            sequence: u32::MAX,
        };
        assert_eq!(Stamp::of(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::of(b"somebody else's record"), None);
        assert_eq!(Stamp::of(b"short"), None);
    }
}
