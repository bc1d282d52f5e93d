//! Names of a partition's files: the base offset in twenty digits, then the kind. Pure.

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

    const fn suffix(self) -> &'static str {
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
