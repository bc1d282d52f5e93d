//! What groups are told of the broker's configuration. Pure.

use thalweg_coordinator::configs::effective::BrokerConfigs;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::metadata::image::Image;

const MINUTE_MS: i64 = 60_000;

/// The keys that groups obey, as they count now.
#[must_use]
pub fn group_config(broker: &BrokerConfigs, image: &Image) -> GroupConfig {
    let base = GroupConfig::default();
    let number = |name: &str, base: i64| broker.number(image, name).unwrap_or(base);
    let small =
        |name: &str, base: i32| i32::try_from(number(name, i64::from(base))).unwrap_or(base);
    let size = |name: &str, base: usize| {
        let value = number(name, i64::try_from(base).unwrap_or(i64::MAX));
        usize::try_from(value).unwrap_or(base)
    };
    GroupConfig {
        session_timeout_ms_min: small("group.min.session.timeout.ms", base.session_timeout_ms_min),
        session_timeout_ms_max: small("group.max.session.timeout.ms", base.session_timeout_ms_max),
        members_max: size("group.max.size", base.members_max),
        initial_rebalance_delay_ms: number(
            "group.initial.rebalance.delay.ms",
            base.initial_rebalance_delay_ms,
        ),
        offset_metadata_max: size("offset.metadata.max.bytes", base.offset_metadata_max),
        offsets_retention_ms: number(
            "offsets.retention.minutes",
            base.offsets_retention_ms / MINUTE_MS,
        )
        .saturating_mul(MINUTE_MS),
        expiry_interval_ms: number(
            "offsets.retention.check.interval.ms",
            base.expiry_interval_ms,
        ),
        ..base
    }
}
