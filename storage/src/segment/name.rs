//! Names of a partition's files: the base offset in twenty digits, then the kind. Pure.
//!
//! A segment that the log cleaner made bears a [`CleanedName`] until the next start or clean stop.

use thalweg_wire::ids::Offset;

/// Digits of a base offset in a file name.
const DIGITS: usize = 20;

/// The files that belong to a base offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Record batches.
    Log,
    /// Offset to position.
    Index,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state before this offset.
    Snapshot,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Log,
        Self::Index,
        Self::TimeIndex,
        Self::TxnIndex,
        Self::Snapshot,
    ];

    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }
}

/// The name of a file.
#[must_use]
pub fn file_name(base: Offset, kind: Kind) -> String {
    format!("{:0DIGITS$}{}", base.0, kind.suffix())
}

/// Base offset and kind of a file, or `None` if it is none of ours.
#[must_use]
pub fn parse(name: &str) -> Option<(Offset, Kind)> {
    let (digits, suffix) = name.split_at_checked(DIGITS)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(|base| (Offset(base), kind))
}

/// What a cleaned segment's files are called: `base-next-generation.kind`. It takes the place of all
/// segments with a base offset from `base` to below `next` and a lower generation; those with Kafka's
/// names have 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanedName {
    /// Base offset of the first segment that it replaces.
    pub base: Offset,
    /// The offset after the last one.
    pub next: Offset,
    /// Grows with each cleaning of the log.
    pub generation: u64,
}

impl CleanedName {
    /// The name of a file.
    #[must_use]
    pub fn file_name(&self, kind: Kind) -> String {
        let (base, next, suffix) = (self.base.0, self.next.0, kind.suffix());
        format!(
            "{base:0DIGITS$}-{next:0DIGITS$}-{}{suffix}",
            self.generation
        )
    }

    /// The name and kind of a file, or `None` if it is of no cleaned segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<(Self, Kind)> {
        let kind = Kind::ALL.into_iter().find(|k| name.ends_with(k.suffix()))?;
        let stem = name.strip_suffix(kind.suffix())?;
        let mut numbers = stem.split('-');
        let base = Offset(numbers.next()?.parse().ok()?);
        let next = Offset(numbers.next()?.parse().ok()?);
        let generation = numbers.next()?.parse().ok()?;
        let cleaned = Self {
            base,
            next,
            generation,
        };
        (cleaned.file_name(kind) == name).then_some((cleaned, kind))
    }

    /// Whether it takes the place of a segment with this base offset.
    #[must_use]
    pub fn covers(&self, base: Offset) -> bool {
        self.base <= base && base < self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_parse_back() {
        for (base, kind, name) in [
            (0, Kind::Log, "00000000000000000000.log"),
            (368_769, Kind::TimeIndex, "00000000000000368769.timeindex"),
            (i64::MAX, Kind::Snapshot, "09223372036854775807.snapshot"),
        ] {
            assert_eq!(file_name(Offset(base), kind), name);
            assert_eq!(parse(name), Some((Offset(base), kind)));
        }
    }

    #[test]
    fn names_of_cleaned_segments_parse_back_and_are_no_segments_of_kafkas() {
        let cleaned = CleanedName {
            base: Offset(7),
            next: Offset(90),
            generation: 3,
        };
        let name = "00000000000000000007-00000000000000000090-3.timeindex";
        assert_eq!(cleaned.file_name(Kind::TimeIndex), name);
        assert_eq!(CleanedName::parse(name), Some((cleaned, Kind::TimeIndex)));
        assert_eq!(parse(name), None);
        assert!(cleaned.covers(Offset(7)) && !cleaned.covers(Offset(90)));
        for name in [
            "7-90-3.log",
            "00000000000000000007.log",
            "a-b-c.log",
            ".log",
            "",
        ] {
            assert_eq!(CleanedName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "partition.metadata",
            "leader-epoch-checkpoint",
            "0000000000000000000.log",
            "00000000000000000000.log.deleted",
            "-0000000000000000001.log",
            "99999999999999999999.log",
            "000000000000000000é0.log",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
