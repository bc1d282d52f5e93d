//! The rows of the quick comparison: generator options, nothing else.
//!
//! Each row has a topic of its own, so that rows do not disturb each other's logs; `consume` reads
//! what `max produce` wrote.

/// One load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) words: &'static [&'static str],
}

#[rustfmt::skip]
pub(super) const QUICK: &[Row] = &[
    Row { name: "1 producer, 1 in flight, 1 partition", words: &[
        "produce", "--topic", "single", "--in-flight", "1", "--batch-bytes", "1024"] },
    Row { name: "1 partition, 2,000/s, one-record batches", words: &[
        "produce", "--topic", "steady", "--rate", "2000", "--batch-bytes", "1024"] },
    Row { name: "100 partitions, 2,000/s, one-record batches", words: &[
        "produce", "--topic", "hundred", "--partitions", "100", "--producers", "4",
        "--rate", "2000", "--batch-bytes", "1024", "--partitioner", "round-robin"] },
    Row { name: "1,000 partitions, 2,000/s, one-record batches", words: &[
        "produce", "--topic", "thousand", "--partitions", "1000", "--producers", "4",
        "--rate", "2000", "--batch-bytes", "1024", "--partitioner", "round-robin"] },
    Row { name: "100 partitions, one-record batches, max", words: &[
        "produce", "--topic", "hundred-max", "--partitions", "100", "--producers", "4",
        "--batch-bytes", "1024", "--partitioner", "round-robin"] },
    Row { name: "end to end, 100 partitions, 2,000/s", words: &[
        "e2e", "--topic", "e2e", "--partitions", "100", "--producers", "2", "--consumers", "2",
        "--rate", "2000", "--partitioner", "round-robin"] },
    Row { name: "8 partitions, max, 16 KiB batches", words: &[
        "produce", "--topic", "max", "--partitions", "8"] },
    Row { name: "consume what max wrote, warm", words: &[
        "consume", "--topic", "max", "--partitions", "8"] },
];
