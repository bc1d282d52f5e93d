//! What one log promises beyond the model: how often a reader waits for the disk, searches by time,
//! the leader's time, limits and their refusals.

#![expect(clippy::unwrap_used, reason = "a test")]

mod log_harness;

use log_harness::{Harness, summary_of};
use thalweg_storage::disk::memory::MemoryDisk;
use thalweg_storage::log::{
    AppendContext, AppendError, LogConfig, Origin, ReadError, ReadSpec, TimestampQuery,
    TimestampType, Verification,
};
use thalweg_storage::testing::executor::block_on;
use thalweg_wire::batch::{BatchBuilder, BatchRef, BatchSpec, Codec, Record, split};
use thalweg_wire::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

fn batch(timestamps: &[i64], value_bytes: usize, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        ..BatchSpec::default()
    });
    for timestamp in timestamps {
        builder.push(&Record {
            timestamp: TimestampMs(*timestamp),
            value: Some(&vec![b'x'; value_bytes]),
            ..Record::default()
        });
    }
    builder.finish().unwrap()
}

async fn harness(config: LogConfig) -> Harness<MemoryDisk> {
    Harness::create(MemoryDisk::new(1), "log/one-0", config).await
}

/// Reads all of the log, 20,000 bytes at a time; the number of reads and of waits for the disk.
async fn consume(harness: &mut Harness<MemoryDisk>) -> (usize, usize) {
    let end = harness.log.view().high_watermark;
    let (mut offset, mut reads, mut waits) = (harness.log.view().log_start, 0, 0);
    while offset < end {
        let spec = ReadSpec {
            offset,
            bytes_max: 20_000,
            min_one: true,
            upper: end,
        };
        let (bytes, needs) = harness.read(spec).await.unwrap();
        for batch in split(&bytes) {
            offset = batch.unwrap().header().next_offset();
        }
        reads += 1;
        waits += needs;
    }
    (reads, waits)
}

#[test]
fn a_sequential_reader_waits_for_no_header_of_what_this_run_wrote() {
    block_on(1, async {
        let mut harness = harness(LogConfig {
            segment_bytes: 256 * 1024,
            ..LogConfig::default()
        })
        .await;
        for _ in 0..3000 {
            harness
                .append(&batch(&[1], 200, Codec::None))
                .await
                .unwrap();
        }
        let end = harness.log.view().log_end;
        harness.log.on_durable(end);
        assert_eq!(consume(&mut harness).await.1, 0, "all of it in memory");
        harness.move_some(1000, false).await;
        let (reads, waits) = consume(&mut harness).await;
        assert!(reads > 30, "{reads}");
        assert_eq!(waits, 0, "the index knows where each read goes on");
        harness.stop_clean().await;
        harness.start_clean().await;
        let (reads, waits) = consume(&mut harness).await;
        // The indexes of each sealed segment, and one look at the header where each read begins.
        let sealed = harness.log.segment_count() - 1;
        assert!(
            waits <= reads + sealed + 1,
            "{waits} waits in {reads} reads"
        );
    });
}

#[test]
fn searches_by_time_find_the_record() {
    block_on(1, async {
        let mut harness = harness(LogConfig::default()).await;
        for (codec, timestamps) in [
            (Codec::None, [10, 30, 20]),
            (Codec::Gzip, [40, 90, 50]),
            (Codec::Zstd, [60, 90, 70]),
        ] {
            harness
                .append(&batch(&timestamps, 10, codec))
                .await
                .unwrap();
        }
        let query = |at| TimestampQuery::AtOrAfter(TimestampMs(at));
        assert_eq!(harness.search(query(10)).await, None, "not durable yet");
        assert_eq!(harness.search(TimestampQuery::Max).await, None);
        harness.log.on_durable(Offset(9));
        for (asked, found) in [
            (0, Some((0, 10))),
            (11, Some((1, 30))),
            (31, Some((3, 40))),
            (41, Some((4, 90))),
            (91, None),
        ] {
            assert_eq!(harness.search(query(asked)).await, found, "{asked}");
        }
        assert_eq!(harness.search(TimestampQuery::Max).await, Some((4, 90)));
        harness
            .log
            .delete_records(Offset(5), &mut harness.journal)
            .unwrap();
        assert_eq!(harness.search(query(0)).await, Some((0, 10)));
        harness.start_durable();
        assert_eq!(harness.search(query(0)).await, Some((5, 50)));
    });
}

#[test]
fn the_leaders_time_is_stamped_and_told() {
    block_on(1, async {
        let mut harness = harness(LogConfig {
            timestamp_type: TimestampType::LogAppendTime,
            ..LogConfig::default()
        })
        .await;
        let sent = batch(&[10, 30, 20], 10, Codec::Lz4);
        let appended = harness.append(&sent).await.unwrap();
        assert_eq!(appended.log_append_time, Some(harness.now));
        harness.log.on_durable(Offset(3));
        let spec = ReadSpec {
            offset: Offset(0),
            bytes_max: 1 << 20,
            min_one: true,
            upper: Offset(3),
        };
        let (bytes, _) = harness.read(spec).await.unwrap();
        let stored = BatchRef::first(&bytes).unwrap();
        assert!(stored.crc_matches());
        assert!(stored.header().attributes().is_log_append_time());
        assert_eq!(stored.header().max_timestamp(), harness.now);
        let found = harness.search(TimestampQuery::Max).await;
        assert_eq!(found, Some((0, harness.now.0)));
    });
}

#[test]
fn a_segment_ends_by_size_age_index_and_offset() {
    let append_all = |config: LogConfig, timestamps: [i64; 3]| {
        block_on(1, async {
            let mut harness = harness(config).await;
            for timestamp in timestamps {
                harness
                    .append(&batch(&[timestamp], 5000, Codec::None))
                    .await
                    .unwrap();
            }
            harness.log.segment_count()
        })
    };
    let base = LogConfig::default();
    assert_eq!(append_all(base, [1, 2, 3]), 1);
    let small = LogConfig {
        segment_bytes: 6000,
        ..base
    };
    assert_eq!(append_all(small, [1, 2, 3]), 3);
    let young = LogConfig {
        segment_ms: 100,
        ..base
    };
    assert_eq!(append_all(young, [1, 101, 102]), 2);
    // Of 100 ms at most 99 are taken off, and of the jitter no more than there is.
    let jittered = |segment_jitter_ms| LogConfig {
        segment_jitter_ms,
        ..young
    };
    assert_eq!(append_all(jittered(1), [1, 100, 101]), 1);
    assert_eq!(append_all(jittered(1_000_000), [1, 101, 102]), 2);
    let drawn: Vec<usize> = (1..100)
        .map(|later| append_all(jittered(100), [1, 1, 1 + later]))
        .collect();
    let rolled = drawn.iter().filter(|count| **count == 2).count();
    assert!(drawn.is_sorted() && rolled > 0, "{drawn:?}");
    let short_index = LogConfig {
        segment_index_bytes: 8,
        ..base
    };
    // The time index keeps a place for the seal, so one entry is too many at once.
    assert_eq!(append_all(short_index, [1, 2, 3]), 3);
}

#[test]
fn refusals() {
    block_on(1, async {
        let mut harness = harness(LogConfig {
            segment_bytes: 2000,
            ..LogConfig::default()
        })
        .await;
        let large = harness.append(&batch(&[1], 3000, Codec::None)).await;
        assert!(matches!(
            large,
            Err(AppendError::LargerThanSegment { limit: 2000, .. })
        ));
        let context = AppendContext {
            leader_epoch: Epoch(1),
            now: harness.now,
            origin: Origin::Replica,
            verification: Verification::Waived,
        };
        let mut ahead = batch(&[1], 10, Codec::None);
        ahead[..8].copy_from_slice(&5_i64.to_be_bytes());
        let summary = summary_of(&batch(&[1], 10, Codec::None));
        let refused = harness
            .log
            .append(&ahead, &summary, &context, &mut harness.journal);
        let gap = AppendError::NotNext {
            expected: Offset(0),
            got: Offset(5),
        };
        assert_eq!(refused, Err(gap));
        let beyond = harness.log.delete_records(Offset(1), &mut harness.journal);
        assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })));
        harness.append(&batch(&[1], 10, Codec::None)).await.unwrap();
        harness.stop_clean().await;
        harness.start_clean().await;
        let unprepared = batch(&[1], 10, Codec::None);
        let client = AppendContext {
            origin: Origin::Client,
            verification: Verification::Waived,
            ..context
        };
        let refused = harness
            .log
            .append(&unprepared, &summary, &client, &mut harness.journal);
        assert_eq!(refused, Err(AppendError::TailMissing));
    });
}

#[test]
fn producers_expire_and_any_sequence_is_taken_then() {
    block_on(1, async {
        let mut harness = harness(LogConfig::default()).await;
        let of = |sequence, timestamp| {
            let mut builder = BatchBuilder::new(BatchSpec {
                producer_id: ProducerId(5),
                producer_epoch: ProducerEpoch(0),
                base_sequence: Sequence(sequence),
                ..BatchSpec::default()
            });
            builder.push(&Record {
                timestamp: TimestampMs(timestamp),
                ..Record::default()
            });
            builder.finish_plain()
        };
        let now = harness.now.0;
        harness.append(&of(41, now)).await.unwrap();
        let day = 24 * 60 * 60 * 1000;
        harness.log.expire_producers(TimestampMs(now + day - 1));
        assert!(harness.append(&of(77, now)).await.is_err());
        harness.log.expire_producers(TimestampMs(now + day));
        assert_eq!(harness.log.producer_count(), 0);
        harness.append(&of(77, now)).await.unwrap();
    });
}
