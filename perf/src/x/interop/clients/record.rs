//! What the clients write: each record is a function of its partition and index.
//!
//! So a reader in another process, after a restart or on another server can be held to every byte:
//! null, empty and binary keys, values and headers, names of headers that come twice, timestamps.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::x::{Failure, Outcome};

/// Timestamps within a partition are this far apart.
pub(super) const STEP_MS: u64 = 10;

/// What a client's records can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) base_ms: u64,
    /// Whether the client can send a header without a value; if not, it sends an empty one.
    pub(super) null_headers: bool,
}

impl Shape {
    /// One record as it travels on a client's input and output.
    pub(super) fn record(self, partition: usize, index: usize) -> Value {
        let (null_value, empty_value) = (index % 50 == 49, index % 50 == 48);
        // Compressible also when it travels alone: some clients keep a batch plain that does not
        // shrink.
        let filler = b"as the river runs-".repeat(20);
        let null_key = index.is_multiple_of(7) && !null_value && !empty_value;
        let key = [format!("key-{partition}-{index}-").as_bytes(), &filler].concat();
        let mut value = format!("value-{partition}-{index}-").into_bytes();
        value.extend(filler);
        if index.is_multiple_of(5) {
            value.extend(0..=u8::MAX);
        }
        let headers = [
            json!(["index", hex(index.to_string().as_bytes())]),
            json!(["index", ""]),
            json!(["null", (!self.null_headers).then_some("")]),
            json!(["bytes", hex(b"\x00\xff\r\n")]),
        ];
        json!({
            "partition": partition,
            "offset": index,
            "timestamp": self.base_ms + STEP_MS * index as u64,
            "key": (!null_key).then(|| hex(&key)),
            "value": (!null_value).then(|| if empty_value { String::new() } else { hex(&value) }),
            "headers": headers.get(..index % 5).unwrap_or_default(),
        })
    }

    /// Records of the first partitions, in order.
    pub(super) fn records(self, partitions: usize, indexes: Range<usize>) -> Vec<Value> {
        (0..partitions)
            .flat_map(|partition| {
                let indexes = indexes.clone();
                indexes.map(move |index| self.record(partition, index))
            })
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Records read so far, by partition and offset.
#[derive(Debug, Default)]
pub(super) struct Read {
    records: BTreeMap<(u64, u64), Value>,
}

impl Read {
    /// One line of a client. A record that comes twice has to be the same.
    pub(super) fn take(&mut self, line: Value) -> Outcome<()> {
        let place = |name: &str| line.get(name).and_then(Value::as_u64);
        let (Some(partition), Some(offset)) = (place("partition"), place("offset")) else {
            return Err(Failure::new(format!("no record: {line}")));
        };
        match self.records.get(&(partition, offset)) {
            Some(before) if *before != line => {
                Err(Failure::new(format!("first {before}, then {line}")))
            }
            _ => {
                self.records.insert((partition, offset), line);
                Ok(())
            }
        }
    }

    /// What another one had read before it was killed.
    pub(super) fn absorb(&mut self, other: Self) -> Outcome<()> {
        other
            .records
            .into_values()
            .try_for_each(|line| self.take(line))
    }

    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// Exactly these, byte for byte.
    pub(super) fn expect(&self, wanted: &[Value]) -> Outcome<()> {
        let mut wanted: Vec<&Value> = wanted.iter().collect();
        let place = |line: &Value, name: &str| line.get(name).and_then(Value::as_u64);
        wanted.sort_by_key(|line| (place(line, "partition"), place(line, "offset")));
        for (got, wanted) in self.records.values().zip(&wanted) {
            if got != *wanted {
                return Err(Failure::new(format!("read {got}\ninstead of {wanted}")));
            }
        }
        super::super::expect_equal("records read", &self.records.len(), &wanted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_is_seen() {
        let shape = |base_ms| Shape {
            base_ms,
            null_headers: true,
        };
        let record = |partition, index, base_ms| shape(base_ms).record(partition, index);
        let mut read = Read::default();
        let mut line = record(0, 1, 5);
        read.take(line.clone()).unwrap();
        read.expect(&[record(0, 1, 5)]).unwrap();
        line["key"] = json!("00");
        read.take(line).unwrap_err();
        read.expect(&[record(0, 1, 6)]).unwrap_err();
        read.expect(&[record(0, 1, 5), record(0, 2, 5)])
            .unwrap_err();
    }
}
