//! The rows of the comparison: what each loads the servers with, and which figure it is about.
//!
//! Numbers are those of the benchmark matrix (1 to 16); a letter tells variants of a row apart. The
//! rows `p1`, `p100` and `p1000` are the first comparison: the same modest load over ever more
//! partitions. `c` rows repeat a load with other people's generators, so that nobody has to trust
//! ours. Rows are played in the order of this table; those that read cold data come last, after the
//! server was started anew.
//!
//! A row that needs what does not exist yet is listed with the reason, never left out.

use super::metric::Metric;
use super::subject::Durability::{self, Flush, Write};

/// One load, or one state of rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) durabilities: &'static [Durability],
    /// Under which of them the quick form measures it too.
    pub(super) quick: &'static [Durability],
    pub(super) plan: Plan,
    pub(super) headline: Metric,
    pub(super) bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Words for the generator; `LONG` has the long form where they differ.
    Load(&'static str),
    /// Reads what row 8p wrote, from the page cache.
    Warm,
    /// The same by so many consumers after a restart, with nothing in memory.
    Cold(u32),
    /// Producers at a rate, first alone, then beside a reader of old data.
    Disturbed,
    /// Segments roll and old ones are deleted under a steady load.
    Soak,
    /// Many partitions and many waiting consumers, and nothing happens.
    Idle,
    Foreign(Tool),
    Absent(&'static str),
}

/// Somebody else's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    JavaProduce,
    JavaConsume,
    FranzProduce,
    FranzConsume,
}

/// What the machine itself allows a row, measured in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// A message there and back, and a block written as the promise demands.
    EchoAndWrite,
    Loopback,
    DeviceWrite,
    DeviceRead,
    None,
}

const F: &[Durability] = &[Flush];
const W: &[Durability] = &[Write];
const FW: &[Durability] = &[Flush, Write];
const NO: &[Durability] = &[];

/// Where the cold and the warm rows read: what row 8p writes.
pub(super) const BIG_TOPIC: &str = "max8";
pub(super) const BIG_PARTITIONS: i32 = 8;
/// Stands for half of what Kafka does in row 8p.
pub(super) const HALF: &str = "HALF";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row { id: "1", title: "1 producer, 1 in flight, 1 KiB, 1 partition", durabilities: F, quick: F,
        plan: Plan::Load("produce --topic one --in-flight 1 --batch-bytes 1024"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "2", title: "1 producer, 1 in flight, 1 KiB, 1 partition", durabilities: W, quick: W,
        plan: Plan::Load("produce --topic one --in-flight 1 --batch-bytes 1024"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "3", title: "end to end, 1 partition, 50,000/s, linger 1 ms", durabilities: FW, quick: W,
        plan: Plan::Load("e2e --topic e2e1 --rate 50000 --linger-ms 1"),
        headline: Metric::P999Us, bound: Bound::EchoAndWrite },
    Row { id: "4", title: "end to end, 100 partitions, 4 producers, 4 consumers, 100,000/s, linger 1 ms", durabilities: FW, quick: W,
        plan: Plan::Load("e2e --topic e2e100 --partitions 100 --producers 4 --consumers 4 --rate 100000 --linger-ms 1 --batch-bytes 131072"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "4e", title: "end to end, 100 partitions, 5,000/s", durabilities: FW, quick: W,
        plan: Plan::Load("e2e --topic e2e100s --partitions 100 --producers 2 --consumers 2 --rate 5000 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "5", title: "one-record batches over 100 partitions, 50 connections, 30,000/s", durabilities: F, quick: F,
        plan: Plan::Load("produce --topic hundred --partitions 100 --producers 50 --rate 30000 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "5m", title: "the same as fast as it goes", durabilities: F, quick: F,
        plan: Plan::Load("produce --topic hundred --partitions 100 --producers 50 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::RecordsPerSecond, bound: Bound::DeviceWrite },
    Row { id: "6", title: "one-record batches over 1,000 partitions, 30,000/s", durabilities: F, quick: F,
        plan: Plan::Load("produce --topic thousand --partitions 1000 --producers 4 --in-flight 2 --rate 30000 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "p1", title: "one-record batches over 1 partition, 2,000/s", durabilities: FW, quick: FW,
        plan: Plan::Load("produce --topic p1 --producers 4 --rate 2000 --batch-bytes 1024"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "p100", title: "one-record batches over 100 partitions, 2,000/s", durabilities: FW, quick: FW,
        plan: Plan::Load("produce --topic hundred --partitions 100 --producers 4 --rate 2000 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "p1000", title: "one-record batches over 1,000 partitions, 2,000/s", durabilities: FW, quick: FW,
        plan: Plan::Load("produce --topic thousand --partitions 1000 --producers 4 --in-flight 2 --rate 2000 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "8", title: "max, 1 partition, 1 KiB, 1 MiB batches", durabilities: W, quick: W,
        plan: Plan::Load("produce --topic max1 --batch-bytes 1000000"),
        headline: Metric::CpuSecondsPerGb, bound: Bound::DeviceWrite },
    Row { id: "8p", title: "max, 8 partitions, 1 KiB, 16 KiB batches", durabilities: W, quick: W,
        plan: Plan::Load("produce --topic max8 --partitions 8 --producers 2"),
        headline: Metric::MbPerSecond, bound: Bound::DeviceWrite },
    Row { id: "8h", title: "8 partitions at half of Kafka's most", durabilities: W, quick: W,
        plan: Plan::Load("produce --topic half8 --partitions 8 --producers 2 --rate HALF"),
        headline: Metric::P999Us, bound: Bound::EchoAndWrite },
    Row { id: "9", title: "max, 16 partitions, 100 B", durabilities: W, quick: W,
        plan: Plan::Load("produce --topic small16 --partitions 16 --producers 2 --size 100 --batch-bytes 65536"),
        headline: Metric::CpuNsPerRecord, bound: Bound::DeviceWrite },
    Row { id: "10", title: "max, 16 partitions, 1 KiB, 64 KiB batches", durabilities: F, quick: F,
        plan: Plan::Load("produce --topic max16 --partitions 16 --producers 2 --batch-bytes 65536"),
        headline: Metric::MbPerSecond, bound: Bound::DeviceWrite },
    Row { id: "11a", title: "tail fan-out, 50 MB/s, 1 consumer", durabilities: W, quick: W,
        plan: Plan::Load("fan-out --topic fan1 --partitions 4 --consumers 1 --rate 50000"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "11b", title: "tail fan-out, 50 MB/s, 4 consumers each reading all", durabilities: W, quick: NO,
        plan: Plan::Load("fan-out --topic fan4 --partitions 4 --consumers 4 --rate 50000"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "11c", title: "tail fan-out, 50 MB/s, 16 consumers each reading all", durabilities: W, quick: W,
        plan: Plan::Load("fan-out --topic fan16 --partitions 4 --consumers 16 --rate 50000"),
        headline: Metric::P99Us, bound: Bound::Loopback },
    Row { id: "12", title: "warm consume, 8 partitions", durabilities: W, quick: W,
        plan: Plan::Warm, headline: Metric::CpuSecondsPerGb, bound: Bound::Loopback },
    Row { id: "c1", title: "row 8p by Kafka's own producer-performance tool", durabilities: W, quick: W,
        plan: Plan::Foreign(Tool::JavaProduce), headline: Metric::MbPerSecond, bound: Bound::DeviceWrite },
    Row { id: "c2", title: "row 12 by Kafka's own consumer-performance tool", durabilities: W, quick: W,
        plan: Plan::Foreign(Tool::JavaConsume), headline: Metric::CpuSecondsPerGb, bound: Bound::Loopback },
    Row { id: "c3", title: "row 8p by franz-go", durabilities: W, quick: W,
        plan: Plan::Foreign(Tool::FranzProduce), headline: Metric::MbPerSecond, bound: Bound::DeviceWrite },
    Row { id: "c4", title: "row 12 by franz-go", durabilities: W, quick: W,
        plan: Plan::Foreign(Tool::FranzConsume), headline: Metric::CpuSecondsPerGb, bound: Bound::Loopback },
    Row { id: "15", title: "soak with segment rolls and retention", durabilities: W, quick: W,
        plan: Plan::Soak, headline: Metric::P999Us, bound: Bound::EchoAndWrite },
    Row { id: "7", title: "one-record batches over very many partitions", durabilities: F, quick: NO,
        plan: Plan::Load("produce --topic many --partitions 2000 --producers 4 --in-flight 2 --rate 20000 --batch-bytes 1024 --partitioner round-robin"),
        headline: Metric::P99Us, bound: Bound::EchoAndWrite },
    Row { id: "16", title: "1,000 idle partitions, 500 waiting consumers", durabilities: W, quick: W,
        plan: Plan::Idle, headline: Metric::IdleCpuPercent, bound: Bound::None },
    Row { id: "16r", title: "3 replicas, kill -9 of the leader", durabilities: W, quick: W,
        plan: Plan::Absent("needs replication"), headline: Metric::P99Us, bound: Bound::None },
    Row { id: "13", title: "cold consume, 1 consumer", durabilities: W, quick: W,
        plan: Plan::Cold(1), headline: Metric::MbPerSecond, bound: Bound::DeviceRead },
    Row { id: "13b", title: "cold consume, 4 consumers", durabilities: W, quick: NO,
        plan: Plan::Cold(4), headline: Metric::MbPerSecond, bound: Bound::DeviceRead },
    Row { id: "14", title: "100 partitions, 50,000/s, while old data is drained", durabilities: W, quick: W,
        plan: Plan::Disturbed, headline: Metric::P99Us, bound: Bound::EchoAndWrite },
];

/// The long form of a load: what needs minutes to set up or hours to show itself.
const LONG: &[(&str, &str)] = &[(
    "7",
    "produce --topic many --partitions 10000 --producers 4 --in-flight 2 --rate 20000 --batch-bytes 1024 --partitioner round-robin",
)];

impl Row {
    pub(super) fn words(&self, long: bool) -> &'static str {
        let own = match self.plan {
            Plan::Load(words) => words,
            _ => "",
        };
        let other = LONG.iter().find(|(id, _)| long && *id == self.id);
        other.map_or(own, |(_, words)| *words)
    }

    /// Read after a restart, with nothing in memory.
    pub(super) fn is_cold(&self) -> bool {
        matches!(self.plan, Plan::Cold(_) | Plan::Disturbed)
    }

    /// How much longer than a plain load it takes; the budget of the quick form counts with it.
    pub(super) fn weight(&self) -> f64 {
        match self.plan {
            Plan::Disturbed => 2.0,
            Plan::Absent(_) => 0.0,
            _ => 1.0,
        }
    }
}

pub(super) fn find(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use thalweg_bench::Settings;

    use super::*;

    #[test]
    fn every_load_is_understood_by_the_generator() {
        for row in ROWS {
            for long in [false, true] {
                let words: Vec<String> = row
                    .words(long)
                    .replace(HALF, "1000")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                if !words.is_empty() {
                    let settings = Settings::parse(&words);
                    assert!(settings.is_ok(), "row {}: {settings:?}", row.id);
                }
            }
        }
    }

    #[test]
    fn ids_are_unique_and_the_matrix_is_whole() {
        let ids: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for number in 1..=16 {
            let known = ids.iter().any(|id| {
                id.trim_end_matches(|letter: char| letter.is_ascii_lowercase())
                    == number.to_string()
            });
            assert!(known, "row {number} is missing");
        }
    }

    #[test]
    fn the_quick_form_is_a_part_of_the_whole() {
        for row in ROWS {
            let inside = row.quick.iter().all(|one| row.durabilities.contains(one));
            assert!(inside, "row {}", row.id);
        }
    }

    #[test]
    fn cold_rows_come_last() {
        let first = ROWS.iter().position(Row::is_cold).unwrap();
        assert!(ROWS.iter().skip(first).all(Row::is_cold));
    }
}
