//! Whether what was read is what was sent: each producer's records of a partition in order, each
//! once, none left out.
//!
//! A record that came twice or too late is wrong data at once. One that did not come is only
//! counted, since a producer whose batch was refused leaves such a gap; the end of the run compares.

use std::collections::HashMap;

use thalweg_wire::batch::header::{BatchRef, Codec};
use thalweg_wire::batch::inflate::{Scratch, inflate};
use thalweg_wire::batch::records::Records;

use super::stamp::Stamp;
use crate::BenchError;

/// More than any batch holds that a server takes at its defaults.
const INFLATED_BYTES_MAX: usize = 256 << 20;

/// Who wrote a record, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stream {
    partition: i32,
    run: u16,
    producer: u16,
}

/// What one consumer has seen.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// By stream: the sequence that has to come next.
    next: HashMap<Stream, u32>,
    /// Numbers that never came, between others that did.
    pub(super) missing: u64,
    /// Records without a stamp.
    pub(super) foreign: u64,
    scratch: Scratch,
}

impl Order {
    /// Looks at a whole batch; each stamped record is also handed to `take`.
    pub(super) fn see(
        &mut self,
        partition: i32,
        batch: &BatchRef<'_>,
        mut take: impl FnMut(Stamp),
    ) -> Result<(), BenchError> {
        let header = batch.header();
        if header.attributes().is_control() {
            return Ok(());
        }
        let wrong = |what: String| {
            let offset = header.base_offset().0;
            Err(BenchError::Wrong(format!("{partition}:{offset}: {what}")))
        };
        let inflated;
        let payload = match header.attributes().codec() {
            Ok(Codec::None) => batch.payload(),
            Ok(codec) => {
                match inflate(
                    codec,
                    batch.payload(),
                    INFLATED_BYTES_MAX,
                    &mut self.scratch,
                ) {
                    Ok(bytes) => inflated = bytes,
                    Err(error) => return wrong(format!("{error:?}")),
                }
                &inflated
            }
            Err(number) => return wrong(format!("codec {number}")),
        };
        let mut under_way: Option<(Stream, u32)> = None;
        for record in Records::new(payload, header.record_count()) {
            let stamp = match record {
                Ok(record) => record.value.and_then(Stamp::of),
                Err(error) => return wrong(format!("{error:?}")),
            };
            let Some(stamp) = stamp else {
                self.foreign += 1;
                continue;
            };
            let stream = Stream {
                partition,
                run: stamp.run,
                producer: stamp.producer,
            };
            let expected = match under_way {
                Some((same, next)) if same == stream => Some(next),
                other => {
                    self.next.extend(other);
                    self.next.get(&stream).copied()
                }
            };
            match expected.map(|next| stamp.sequence.wrapping_sub(next)) {
                // The sequence wraps: far ahead is behind.
                Some(ahead) if ahead > u32::MAX / 2 => {
                    let next = expected.unwrap_or_default();
                    return wrong(format!("{stamp:?} came again or late; {next} was next"));
                }
                ahead => self.missing += u64::from(ahead.unwrap_or(0)),
            }
            under_way = Some((stream, stamp.sequence.wrapping_add(1)));
            take(stamp);
        }
        self.next.extend(under_way);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::batch::build::{BatchBuilder, BatchSpec, Record};

    fn see(order: &mut Order, sequences: &[u32]) -> Result<usize, BenchError> {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        for sequence in sequences {
            let stamp = Stamp {
                intended_ns: 5,
                run: 1,
                producer: 2,
                sequence: *sequence,
            };
            builder.push(&Record {
                value: Some(&stamp.to_bytes()),
                ..Record::default()
            });
        }
        let bytes = builder.finish_plain();
        let mut seen = 0;
        order.see(4, &BatchRef::first(&bytes).unwrap(), |_| seen += 1)?;
        Ok(seen)
    }

    #[test]
    fn in_order_is_fine_and_gaps_are_counted() {
        let mut order = Order::default();
        assert_eq!(see(&mut order, &[0, 1, 2]).unwrap(), 3);
        assert_eq!(see(&mut order, &[5, 6]).unwrap(), 2);
        assert_eq!(order.missing, 2);
        assert_eq!(see(&mut order, &[7]).unwrap(), 1);
        assert_eq!(order.missing, 2);
    }

    #[test]
    fn repeats_and_late_records_are_wrong_data() {
        for bad in [&[2][..], &[0], &[3, 3], &[4, 3]] {
            let mut order = Order::default();
            see(&mut order, &[0, 1, 2]).unwrap();
            let told = see(&mut order, bad).unwrap_err().to_string();
            assert!(told.starts_with("WRONG DATA: 4:0"), "{bad:?}: {told}");
        }
    }

    #[test]
    fn sequences_wrap() {
        let mut order = Order::default();
        see(&mut order, &[u32::MAX - 1, u32::MAX]).unwrap();
        see(&mut order, &[0, 1]).unwrap();
        assert_eq!(order.missing, 0);
    }

    #[test]
    fn other_peoples_records_are_counted_apart() {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&Record {
            value: Some(b"somebody else's record"),
            ..Record::default()
        });
        let bytes = builder.finish_plain();
        let mut order = Order::default();
        let batch = BatchRef::first(&bytes).unwrap();
        order.see(0, &batch, |_| panic!("not ours")).unwrap();
        assert_eq!(order.foreign, 1);
    }
}
