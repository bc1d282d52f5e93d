//! Offsets by partition: `recovery-point-offset-checkpoint`, `replication-offset-checkpoint`,
//! `log-start-offset-checkpoint` and `cleaner-offset-checkpoint`. Pure.

use thalweg_wire::ids::{Offset, PartitionIndex};

use super::{FormatError, checkpoint_file, checkpoint_lines};

/// Up to which offset a partition is flushed.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
/// High watermarks.
pub const REPLICATION: &str = "replication-offset-checkpoint";
/// Log starts above the first segment's base.
pub const LOG_START: &str = "log-start-offset-checkpoint";
/// Up to which offset compaction came.
pub const CLEANER: &str = "cleaner-offset-checkpoint";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetLine {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its offset.
    pub offset: Offset,
}

/// The file's content.
#[must_use]
pub fn encode(lines: &[OffsetLine]) -> Vec<u8> {
    checkpoint_file(
        lines
            .iter()
            .map(|line| format!("{} {} {}", line.topic, line.partition, line.offset)),
    )
}

/// The lines of a file.
pub fn decode(bytes: &[u8]) -> Result<Vec<OffsetLine>, FormatError> {
    let file = "offset checkpoint";
    let bad = FormatError {
        file,
        fault: "a line is not topic, partition and offset",
    };
    let lines = checkpoint_lines(bytes, file)?;
    let lines = lines.into_iter().map(|line| parse(line).ok_or(bad));
    lines.collect()
}

fn parse(line: &str) -> Option<OffsetLine> {
    let mut words = line.split_ascii_whitespace();
    let line = OffsetLine {
        topic: words.next()?.to_owned(),
        partition: PartitionIndex(words.next()?.parse().ok()?),
        offset: Offset(words.next()?.parse().ok()?),
    };
    words.next().is_none().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kafkas() {
        let lines =
            [("orders", 3, 17), ("__consumer_offsets", 49, 0)].map(|(topic, p, o)| OffsetLine {
                topic: topic.to_owned(),
                partition: PartitionIndex(p),
                offset: Offset(o),
            });
        let text = "0\n2\norders 3 17\n__consumer_offsets 49 0\n";
        assert_eq!(encode(&lines), text.as_bytes());
        assert_eq!(decode(text.as_bytes()).unwrap(), lines);
        assert_eq!(encode(&[]), b"0\n0\n");
    }

    #[test]
    fn other_files_are_refused() {
        for text in [
            "",
            "1\n0\n",
            "0\n2\na 0 1\n",
            "0\n1\na 0\n",
            "0\n1\na 0 1 2\n",
            "0\nx\n",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(decode(&[0xff, 0xfe]).is_err());
    }
}
