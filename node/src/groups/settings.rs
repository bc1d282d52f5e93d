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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use thalweg_config::kafka::{Treatment, treatment};
    use thalweg_config::{Sources, load};

    use crate::runtime::facts::broker_configs;

    use super::*;

    #[test]
    fn each_key_that_groups_obey_is_taken_without_a_warning_and_has_its_effect() {
        const KEYS: &[&str] = &[
            "group.min.session.timeout.ms",
            "group.max.session.timeout.ms",
            "group.max.size",
            "group.initial.rebalance.delay.ms",
            "offset.metadata.max.bytes",
            "offsets.retention.minutes",
            "offsets.retention.check.interval.ms",
        ];
        let config = |set: &[String]| {
            let sources = Sources {
                set,
                ..Sources::default()
            };
            let loaded = load(&sources).unwrap();
            assert_eq!(loaded.warnings.problems, []);
            group_config(
                &broker_configs(&loaded, &BTreeMap::new()),
                &Image::default(),
            )
        };
        let base = config(&[]);
        for key in KEYS {
            assert_eq!(treatment(key), Treatment::Honoured, "{key}");
            assert_ne!(config(&[format!("{key}=7001")]), base, "{key}");
        }
    }
}
