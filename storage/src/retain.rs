//! Which segments may go, by time, by size and by the log's start. Pure.
//!
//! Only from the oldest on, only below the high watermark, and never from a topic whose only
//! policy is compaction. The active segment may go by time if it holds records: the log begins a
//! new one then.

use thalweg_wire::ids::{Offset, TimestampMs};

use crate::log::LogConfig;

/// What the decision needs of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) bytes: u64,
    /// The offset after its last record.
    pub(crate) next: Offset,
    /// Its largest timestamp (or when it was made, if its records have none); `None`: not known.
    pub(crate) timestamp: Option<TimestampMs>,
}

/// What is known of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
    pub(crate) now: TimestampMs,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many of the oldest segments may go.
    Take(usize),
    /// The timestamp of this segment must be found out first.
    NeedTimestamp(usize),
}

/// Decides over all segments, oldest first; the last is the active one.
pub(crate) fn judge(segments: &[SegmentFacts], config: &LogConfig, bounds: Bounds) -> Verdict {
    let shown = |segment: &&SegmentFacts| segment.next <= bounds.high_watermark;
    let deletable = segments.iter().take_while(shown).count();
    let sealed = segments.len().saturating_sub(1);
    let below_start = segments
        .iter()
        .take(sealed)
        .take_while(|s| s.next <= bounds.log_start)
        .count();
    if !config.cleanup.delete {
        return Verdict::Take(below_start);
    }
    let by_size = by_size(&segments[..deletable.min(sealed)], segments, config);
    let by_time = match by_time(&segments[..deletable], config, bounds.now) {
        Verdict::Take(count) => count,
        need @ Verdict::NeedTimestamp(_) => return need,
    };
    Verdict::Take(below_start.max(by_size).max(by_time))
}

fn by_size(deletable: &[SegmentFacts], all: &[SegmentFacts], config: &LogConfig) -> usize {
    let Some(limit) = config.retention_bytes else {
        return 0;
    };
    let total: u64 = all.iter().map(|s| s.bytes).sum();
    let mut excess = total.saturating_sub(limit);
    let fits = |segment: &&SegmentFacts| match excess.checked_sub(segment.bytes) {
        Some(rest) => {
            excess = rest;
            segment.bytes > 0
        }
        None => false,
    };
    deletable.iter().take_while(fits).count()
}

fn by_time(deletable: &[SegmentFacts], config: &LogConfig, now: TimestampMs) -> Verdict {
    let Some(limit) = config.retention_ms else {
        return Verdict::Take(0);
    };
    for (at, segment) in deletable.iter().enumerate() {
        let Some(timestamp) = segment.timestamp else {
            return Verdict::NeedTimestamp(at);
        };
        if segment.bytes == 0 || now.0.saturating_sub(timestamp.0) <= limit {
            return Verdict::Take(at);
        }
    }
    Verdict::Take(deletable.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::CleanupPolicy;

    /// Three segments of 100 bytes and 10 records; timestamps 10, 20, 30.
    fn segments() -> Vec<SegmentFacts> {
        (1..=3)
            .map(|at| SegmentFacts {
                bytes: 100,
                next: Offset(at * 10),
                timestamp: Some(TimestampMs(at * 10)),
            })
            .collect()
    }

    fn judged(config: LogConfig, high_watermark: i64, log_start: i64, now: i64) -> Verdict {
        let bounds = Bounds {
            high_watermark: Offset(high_watermark),
            log_start: Offset(log_start),
            now: TimestampMs(now),
        };
        judge(&segments(), &config, bounds)
    }

    fn keep_all() -> LogConfig {
        LogConfig {
            retention_ms: None,
            ..LogConfig::default()
        }
    }

    #[test]
    fn by_size_down_to_the_limit_but_not_the_active_one() {
        for (limit, taken) in [(300, 0), (299, 0), (200, 1), (199, 1), (100, 2), (0, 2)] {
            let config = LogConfig {
                retention_bytes: Some(limit),
                ..keep_all()
            };
            assert_eq!(judged(config, 30, 0, 0), Verdict::Take(taken), "{limit}");
            assert_eq!(
                judged(config, 19, 0, 0),
                Verdict::Take(taken.min(1)),
                "{limit}"
            );
        }
    }

    #[test]
    fn by_time_from_the_oldest_on_below_the_high_watermark() {
        let config = LogConfig {
            retention_ms: Some(100),
            ..keep_all()
        };
        for (now, high_watermark, taken) in [
            (110, 30, 0),
            (111, 30, 1),
            (125, 30, 2),
            (999, 30, 3),
            (999, 29, 2),
            (999, 0, 0),
        ] {
            let verdict = judged(config, high_watermark, 0, now);
            assert_eq!(verdict, Verdict::Take(taken), "{now} {high_watermark}");
        }
        let mut unknown = segments();
        unknown[1].timestamp = None;
        let bounds = Bounds {
            high_watermark: Offset(30),
            log_start: Offset(0),
            now: TimestampMs(999),
        };
        assert_eq!(judge(&unknown, &config, bounds), Verdict::NeedTimestamp(1));
    }

    #[test]
    fn below_the_log_start_goes_always_and_compaction_alone_keeps_the_rest() {
        assert_eq!(judged(keep_all(), 30, 20, 0), Verdict::Take(2));
        assert_eq!(judged(keep_all(), 30, 30, 0), Verdict::Take(2));
        assert_eq!(judged(keep_all(), 30, 19, 0), Verdict::Take(1));
        let compacted = LogConfig {
            retention_ms: Some(1),
            retention_bytes: Some(0),
            cleanup: CleanupPolicy {
                delete: false,
                compact: true,
            },
            ..LogConfig::default()
        };
        assert_eq!(judged(compacted, 30, 0, 999), Verdict::Take(0));
        assert_eq!(judged(compacted, 30, 10, 999), Verdict::Take(1));
    }
}
