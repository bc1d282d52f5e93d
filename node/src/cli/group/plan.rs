//! Which offset a partition gets in a reset. Pure.
//!
//! As Kafka's tool: what lies outside of the log is moved to its nearer end; a time that no record
//! is as young as is the end; shifting needs something to shift.

use super::super::routing::TopicPartition;

/// What a reset aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Earliest,
    Latest,
    /// Stay where the group is; the end where it has committed nothing.
    Current,
    /// An offset named for all, or for this partition.
    Offset(i64),
    Shift(i64),
    /// The offset of a time, as far as there is one.
    Found(Option<i64>),
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) first: i64,
    pub(super) end: i64,
    pub(super) committed: Option<i64>,
}

/// The offset the partition gets, or why it gets none.
pub(super) fn target(partition: &TopicPartition, bounds: Bounds, aim: Aim) -> Result<i64, String> {
    let wanted = match aim {
        Aim::Earliest => bounds.first,
        Aim::Latest | Aim::Found(None) => bounds.end,
        Aim::Current => return Ok(bounds.committed.unwrap_or(bounds.end)),
        Aim::Offset(offset) | Aim::Found(Some(offset)) => offset,
        Aim::Shift(by) => match bounds.committed {
            Some(offset) => offset.saturating_add(by),
            None => {
                return Err(format!(
                    "{partition} cannot be shifted: nothing is committed for it"
                ));
            }
        },
    };
    Ok(wanted.clamp(bounds.first, bounds.end.max(bounds.first)))
}

/// One line of a file of offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
}

/// Reads the lines of Kafka's tool: `topic,partition,offset`, or `group,topic,partition,offset`,
/// of which only those of this group count. Texts may stand in double quotes.
pub(super) fn rows(text: &str, group: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let cells: Vec<&str> = line
            .split(',')
            .map(|cell| cell.trim().trim_matches('"'))
            .collect();
        let (topic, partition, offset) = match cells.as_slice() {
            [topic, partition, offset] => (topic, partition, offset),
            [of, topic, partition, offset] if *of == group => (topic, partition, offset),
            [_, _, _, _] => continue,
            _ => return Err(format!("line {}: `{line}`", index + 1)),
        };
        match (partition.parse::<i32>(), offset.parse::<i64>()) {
            (Ok(partition), Ok(offset)) if partition >= 0 && offset >= 0 => rows.push(Row {
                partition: TopicPartition::new(topic, partition),
                offset,
            }),
            _ => return Err(format!("line {}: `{line}`", index + 1)),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aim_has_its_offset() {
        let partition = TopicPartition::new("t", 0);
        let at = |committed| Bounds {
            first: 10,
            end: 50,
            committed,
        };
        for (aim, committed, expected) in [
            (Aim::Earliest, Some(30), 10),
            (Aim::Latest, None, 50),
            (Aim::Current, Some(30), 30),
            (Aim::Current, None, 50),
            (Aim::Offset(20), Some(30), 20),
            (Aim::Offset(5), None, 10),
            (Aim::Offset(99), None, 50),
            (Aim::Shift(-5), Some(30), 25),
            (Aim::Shift(i64::MAX), Some(30), 50),
            (Aim::Shift(i64::MIN), Some(30), 10),
            (Aim::Found(Some(40)), None, 40),
            (Aim::Found(None), Some(30), 50),
        ] {
            let found = target(&partition, at(committed), aim);
            assert_eq!(found, Ok(expected), "{aim:?} of {committed:?}");
        }
        let refused = target(&partition, at(None), Aim::Shift(1)).unwrap_err();
        assert!(refused.starts_with("t-0 cannot be shifted"), "{refused}");
    }

    #[test]
    fn files_of_kafkas_tool_are_read() {
        let row = |topic: &str, partition, offset| Row {
            partition: TopicPartition::new(topic, partition),
            offset,
        };
        let three = "a,0,5\n\"b.c\",1,0\r\n\n";
        assert_eq!(rows(three, "g"), Ok(vec![row("a", 0, 5), row("b.c", 1, 0)]));
        let four = "\"g\",\"a\",0,5\n\"h\",\"a\",0,6\n";
        assert_eq!(rows(four, "g"), Ok(vec![row("a", 0, 5)]));
        for bad in ["a,0", "a,x,5", "a,0,-1", "a,0,1\na,-1,1"] {
            let said = rows(bad, "g").unwrap_err();
            assert!(said.starts_with("line "), "{said}");
        }
    }
}
