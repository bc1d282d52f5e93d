//! Which logs are dirty enough, how far they may be cleaned, and into which segments. Pure.

use thalweg_wire::ids::{Offset, TimestampMs};

/// When and how far a log is cleaned, from its topic's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub dirty_ratio_min: u32,
    /// `min.compaction.lag.ms`.
    pub lag_min_ms: i64,
    /// `max.compaction.lag.ms`.
    pub lag_max_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            dirty_ratio_min: 500_000,
            lag_min_ms: 0,
            lag_max_ms: i64::MAX,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            file_delete_delay_ms: 60_000,
        }
    }
}

/// What the plan needs of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) base: Offset,
    /// The offset after its last record.
    pub(crate) next: Offset,
    pub(crate) bytes: u64,
    /// Its largest timestamp; when it was made, if its records have none.
    pub(crate) timestamp: TimestampMs,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirt {
    /// Share of what may be cleaned that was not, in millionths.
    pub(crate) ratio: u32,
    /// The first offset that is dirty, and the first that must be left alone.
    pub(crate) first: Offset,
    pub(crate) upto: Offset,
}

/// Whether a log is to be cleaned now. `sealed` are its sealed segments below the last stable offset.
pub(crate) fn dirt(
    sealed: &[Sealed],
    cleaned_to: Offset,
    settings: &Cleaning,
    now: TimestampMs,
) -> Option<Dirt> {
    let young = |segment: &Sealed| {
        settings.lag_min_ms > 0
            && segment.next > cleaned_to
            && segment.timestamp.0 > now.0.saturating_sub(settings.lag_min_ms)
    };
    let count = sealed.iter().position(young).unwrap_or(sealed.len());
    let (mut clean, mut dirty) = (0_u64, 0_u64);
    let mut is_overdue = false;
    for segment in &sealed[..count] {
        if segment.next <= cleaned_to {
            clean += segment.bytes;
        } else {
            dirty += segment.bytes;
            let limit = now.0.saturating_sub(settings.lag_max_ms);
            is_overdue |= settings.lag_max_ms < i64::MAX && segment.timestamp.0 < limit;
        }
    }
    let upto = sealed[..count].last()?.next;
    let ratio = u128::from(dirty) * 1_000_000 / u128::from((clean + dirty).max(1));
    let ratio = u32::try_from(ratio).unwrap_or(1_000_000);
    let due = dirty > 0 && (is_overdue || ratio > settings.dirty_ratio_min);
    due.then_some(Dirt {
        ratio,
        first: cleaned_to.max(sealed[0].base),
        upto,
    })
}

/// Neighbours that fit one segment together: how many sealed segments go into each cleaned one.
pub(crate) fn groups(sealed: &[Sealed], segment_bytes_max: u64) -> Vec<usize> {
    let mut groups = Vec::new();
    let (mut count, mut bytes, mut base) = (0, 0, Offset(0));
    for segment in sealed {
        let fits = bytes + segment.bytes <= segment_bytes_max
            && segment.next.0 - base.0 <= i64::from(i32::MAX);
        if count > 0 && !fits {
            groups.push(std::mem::take(&mut count));
        }
        if count == 0 {
            (bytes, base) = (0, segment.base);
        }
        count += 1;
        bytes += segment.bytes;
    }
    groups.extend((count > 0).then_some(count));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 10 offsets and 100 bytes; timestamps 10, 20, 30.
    fn sealed() -> Vec<Sealed> {
        (0..3)
            .map(|at| Sealed {
                base: Offset(at * 10),
                next: Offset(at * 10 + 10),
                bytes: 100,
                timestamp: TimestampMs(at * 10 + 10),
            })
            .collect()
    }

    fn found(cleaned_to: i64, settings: &Cleaning, now: i64) -> Option<(u32, i64, i64)> {
        let dirt = dirt(&sealed(), Offset(cleaned_to), settings, TimestampMs(now))?;
        Some((dirt.ratio, dirt.first.0, dirt.upto.0))
    }

    #[test]
    fn a_log_is_cleaned_when_more_than_the_ratio_is_dirty() {
        let settings = Cleaning::default();
        assert_eq!(found(0, &settings, 99), Some((1_000_000, 0, 30)));
        assert_eq!(found(10, &settings, 99), Some((666_666, 10, 30)));
        assert_eq!(found(20, &settings, 99), None);
        assert_eq!(found(30, &settings, 99), None);
        assert_eq!(dirt(&[], Offset(0), &settings, TimestampMs(9)), None);
    }

    #[test]
    fn the_lags_bound_it_from_both_sides() {
        let settings = Cleaning {
            lag_min_ms: 75,
            ..Cleaning::default()
        };
        assert_eq!(found(0, &settings, 96), Some((1_000_000, 0, 20)));
        assert_eq!(found(0, &settings, 80), None, "all too young");
        let settings = Cleaning {
            lag_max_ms: 60,
            ..Cleaning::default()
        };
        assert_eq!(found(20, &settings, 90), None);
        assert_eq!(found(20, &settings, 91), Some((333_333, 20, 30)));
        assert_eq!(found(30, &settings, 999), None, "nothing is dirty");
    }

    #[test]
    fn neighbours_share_a_segment_as_far_as_they_fit() {
        let sealed = sealed();
        assert_eq!(groups(&sealed, 200), [2, 1]);
        assert_eq!(groups(&sealed, 300), [3]);
        assert_eq!(groups(&sealed, 50), [1, 1, 1]);
        assert_eq!(groups(&[], 50), [0; 0]);
        let far = Sealed {
            base: Offset(40),
            next: Offset(i64::from(i32::MAX) + 11),
            ..sealed[0]
        };
        assert_eq!(groups(&[sealed[0], sealed[1], far], 999), [2, 1]);
    }
}
