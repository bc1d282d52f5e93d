//! What groups are told of the broker's configuration. Pure.

use thalweg_coordinator::configs::effective::BrokerConfigs;
use thalweg_coordinator::controller::features::GROUP_VERSION;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::consumer::Assignor;
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
        consumer_session_timeout_ms: number(
            "group.consumer.session.timeout.ms",
            base.consumer_session_timeout_ms,
        ),
        consumer_heartbeat_interval_ms: number(
            "group.consumer.heartbeat.interval.ms",
            base.consumer_heartbeat_interval_ms,
        ),
        consumer_assignment_interval_ms: number(
            "group.consumer.assignment.interval.ms",
            base.consumer_assignment_interval_ms,
        ),
        consumer_members_max: size("group.consumer.max.size", base.consumer_members_max),
        consumer_assignors: assignors(broker, image)
            .unwrap_or_else(|| base.consumer_assignors.clone()),
        ..base
    }
}

fn assignors(broker: &BrokerConfigs, image: &Image) -> Option<Vec<Assignor>> {
    let text = broker.text(image, "group.consumer.assignors")?;
    let named: Vec<Assignor> = text.split(',').filter_map(Assignor::named).collect();
    Some(named).filter(|named| !named.is_empty())
}

/// Whether consumer groups of KIP-848 are switched on: by the cluster's level and by this broker.
#[must_use]
pub fn serves_consumers(broker: &BrokerConfigs, image: &Image) -> bool {
    let protocols = broker.text(image, "group.coordinator.rebalance.protocols");
    let is_named = |text: &String| {
        text.split(',')
            .any(|one| one.trim().eq_ignore_ascii_case("consumer"))
    };
    image.feature(GROUP_VERSION) > 0 && protocols.as_ref().is_some_and(is_named)
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
            "group.consumer.session.timeout.ms",
            "group.consumer.heartbeat.interval.ms",
            "group.consumer.assignment.interval.ms",
            "group.consumer.max.size",
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
