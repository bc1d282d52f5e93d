//! After every shard has stopped cleanly: the directory is Kafka's again.
//!
//! Kafka's own files say so to Kafka: up to where each partition is flushed, its high watermark,
//! and its log start where that lies in the middle of a segment, which no segment tells. The clean
//! mark comes last, so that none of them is believed before all are there. This engine needs none
//! of its own: what it needs is in the journal's last round. What Kafka wrote since is told by `returned.rs`.
//! The next start removes the mark before it serves anything; the checkpoints stay as they are, as
//! they do while Kafka runs.
//! `cleaner-offset-checkpoint` is the exception: how far each log was compacted is nowhere else. One that
//! says too little costs a cleaning, never a record.

use std::path::Path;

use thalweg_wire::ids::{Offset, PartitionIndex};

use super::{METADATA_DIR, NOTICE};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::files::checkpoint::{
    CLEANER, LOG_START, OffsetLine, RECOVERY_POINT, REPLICATION, encode,
};
use crate::files::meta::{CLEAN_SHUTDOWN, encode_clean_shutdown};
use crate::store::StoppedLog;
use crate::store::lifecycle::LOG_DIR;

/// A partition's line; `None` for the metadata log, which is in none of Kafka's checkpoints.
fn line(log: &StoppedLog, offset: Offset) -> Option<OffsetLine> {
    let (topic, index) = log.dir_name.rsplit_once('-')?;
    let partition = PartitionIndex(index.parse().ok()?);
    (log.dir_name != METADATA_DIR).then(|| OffsetLine {
        topic: topic.to_owned(),
        partition,
        offset,
    })
}

/// Name and content of each checkpoint file.
fn checkpoints(stopped: &[StoppedLog]) -> [(&'static str, Vec<u8>); 4] {
    let mut sorted: Vec<&StoppedLog> = stopped.iter().collect();
    sorted.sort_by(|a, b| a.dir_name.cmp(&b.dir_name));
    let of = |offset: fn(&StoppedLog) -> Option<Offset>| {
        let lines = sorted.iter().filter_map(|log| line(log, offset(log)?));
        encode(&lines.collect::<Vec<_>>())
    };
    [
        (RECOVERY_POINT, of(|log| Some(log.log_end))),
        (REPLICATION, of(|log| Some(log.high_watermark))),
        (
            LOG_START,
            of(|log| Some(log.log_start).filter(|start| *start > log.first_segment)),
        ),
        (
            CLEANER,
            of(|log| Some(log.cleaned_to).filter(|cleaned| cleaned.0 > 0)),
        ),
    ]
}

/// Writes what Kafka expects of a directory that was left in order. `stopped` are the partitions of
/// all shards, and `broker_epoch` is this registration's.
pub async fn mark_clean<D: Disk>(
    disk: &D,
    stopped: &[StoppedLog],
    broker_epoch: i64,
) -> Result<(), StoreError> {
    let dir = Path::new(LOG_DIR);
    for (name, content) in checkpoints(stopped) {
        // Kafka has none until something was compacted.
        if name == CLEANER && content == encode(&[]) {
            match disk.remove(&dir.join(name)).await {
                Err(error) if !error.is_missing() => return Err(error.into()),
                _ => continue,
            }
        }
        disk.replace_file(&dir.join(name), &content).await?;
    }
    match disk.remove(Path::new(NOTICE)).await {
        Err(error) if !error.is_missing() => return Err(error.into()),
        _ => {}
    }
    disk.sync_dir(dir).await?;
    let mark = encode_clean_shutdown(broker_epoch);
    disk.replace_file(&dir.join(CLEAN_SHUTDOWN), &mark).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_start_is_told_only_where_no_segment_begins_with_it() {
        let log = |name: &str, log_start, first_segment| StoppedLog {
            dir_name: name.to_owned(),
            log_start: Offset(log_start),
            first_segment: Offset(first_segment),
            log_end: Offset(90),
            high_watermark: Offset(80),
            cleaned_to: Offset(first_segment),
        };
        let stopped = [
            log("b-c-10", 7, 0),
            log("a-0", 5, 5),
            log(METADATA_DIR, 3, 0),
        ];
        let found = checkpoints(&stopped).map(|(name, text)| (name, String::from_utf8(text)));
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(
            found,
            [
                (RECOVERY_POINT, text("0\n2\na 0 90\nb-c 10 90\n")),
                (REPLICATION, text("0\n2\na 0 80\nb-c 10 80\n")),
                (LOG_START, text("0\n1\nb-c 10 7\n")),
                (CLEANER, text("0\n1\na 0 5\n")),
            ]
        );
    }
}
