//! Features: which levels this build supports, which a new cluster finalizes, and how levels change.
//!
//! A feature is finalized only while all its APIs are served: clients change their behaviour by what is
//! announced. share.version and streams.version come with their APIs and are absent until then.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use thalweg_wire::ids::{Epoch, NodeId};
use thalweg_wire::messages::api_versions_response::{
    ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use thalweg_wire::messages::feature_level_record::FeatureLevelRecord;
use thalweg_wire::messages::update_features_request::UpdateFeaturesRequestView;
use thalweg_wire::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};

use super::Outcome;
use super::configs::config_record;
use crate::configs::effective::BrokerConfigs;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource};
use crate::metadata::log::Quorum;
use crate::metadata::record::Proposed;

/// The feature that fixes which record versions the metadata log holds.
pub const METADATA_VERSION: &str = "metadata.version";
/// Levels of it that replay understands: 4.0 to 4.3.
pub const METADATA_VERSIONS: (i16, i16) = (22, 30);
/// The level that a new cluster gets: 4.3-IV0.
pub const METADATA_VERSION_NEW: i16 = 30;
/// The feature that keeps eligible leader replicas.
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
/// The feature that serves consumer groups of KIP-848.
pub const GROUP_VERSION: &str = "group.version";
/// The feature that raises a producer's epoch with each transaction (KIP-890).
pub const TRANSACTION_VERSION: &str = "transaction.version";
/// The quorum's own feature: 1 means that voters can change.
pub const KRAFT_VERSION: &str = "kraft.version";

/// One feature of this build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest and highest level supported.
    pub supported: (i16, i16),
    /// What a new cluster's metadata log finalizes; 0 for nothing.
    pub finalized: i16,
}

/// Every feature supported, in the order that a new cluster finalizes them.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: METADATA_VERSION,
        supported: METADATA_VERSIONS,
        finalized: METADATA_VERSION_NEW,
    },
    Feature {
        name: ELIGIBLE_LEADER_REPLICAS,
        supported: (0, 1),
        finalized: 1,
    },
    Feature {
        name: GROUP_VERSION,
        supported: (0, 1),
        finalized: 1,
    },
    Feature {
        name: TRANSACTION_VERSION,
        supported: (0, 2),
        finalized: 2,
    },
    // Finalized by a control record of the quorum, not by a feature record.
    Feature {
        name: KRAFT_VERSION,
        supported: (0, 1),
        finalized: 0,
    },
];

/// Fills the feature fields of an ApiVersions answer of that version.
pub fn announce(
    image: &Image,
    quorum: &Quorum,
    version: i16,
    response: &mut ApiVersionsResponse<'static>,
) {
    // Java clients before 3.9 fail on a supported range that begins with 0; version 4 came with the cure.
    let shown = FEATURES
        .iter()
        .filter(|feature| version >= 4 || feature.supported.0 > 0);
    response.supported_features = shown
        .map(|feature| SupportedFeatureKey {
            name: feature.name.into(),
            min_version: feature.supported.0,
            max_version: feature.supported.1,
        })
        .collect();
    let kraft = (KRAFT_VERSION.to_owned(), quorum.kraft_version);
    let levels = image
        .features
        .iter()
        .map(|(name, level)| (name.clone(), *level));
    response.finalized_features = levels
        .chain(std::iter::once(kraft))
        .filter(|(_, level)| *level > 0)
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.into(),
            max_version_level: level,
            min_version_level: level,
        })
        .collect();
    response.finalized_features_epoch = image.offset.0;
}

/// Works an UpdateFeatures request of that version.
///
/// All levels are set, or none is. A level must be one that this build and every registered broker
/// supports. A lower level has to be asked for as a downgrade; metadata.version never goes down, since what
/// newer records say would be lost.
pub fn update(
    (image, quorum): (&Image, &Quorum),
    broker: &BrokerConfigs,
    request: &UpdateFeaturesRequestView<'_>,
    version: i16,
) -> Outcome<UpdateFeaturesResponse<'static>> {
    let mut updates: BTreeMap<&str, (i16, i8)> = BTreeMap::new();
    for update in request.feature_updates.iter().take(UPDATES_MAX) {
        // Version 0 could only say that a downgrade is allowed, which Kafka no longer listens to.
        let how = if version == 0 {
            UPGRADE
        } else {
            update.upgrade_type
        };
        updates.insert(update.feature, (update.max_version_level, how));
    }
    let levels = Levels {
        image,
        quorum,
        node: broker.node,
    };
    let mut records = Vec::new();
    let mut refused = None;
    for (name, (level, how)) in &updates {
        match levels.check(name, *level, *how) {
            Ok(true) => {
                if *name == ELIGIBLE_LEADER_REPLICAS && *level > 0 {
                    records.extend(cluster_wide_min_insync(image, broker));
                }
                records.push(feature_record(name, *level));
            }
            Ok(false) => {}
            Err(words) => {
                refused = Some(words);
                break;
            }
        }
    }
    let mut response = UpdateFeaturesResponse {
        error_message: None,
        ..UpdateFeaturesResponse::default()
    };
    if let Some(words) = refused {
        let words = format!(
            "The update failed for all features since the following feature had an error: {words}"
        );
        let refusal = Refusal::new(ErrorCode::InvalidUpdateVersion, words);
        response.error_code = refusal.code.code();
        response.error_message = refusal.text();
        records.clear();
    } else if version <= 1 {
        let result = |name: &&str| UpdatableFeatureResult {
            feature: (*name).to_owned().into(),
            error_message: Some("NONE".into()),
            ..UpdatableFeatureResult::default()
        };
        response.results = updates.keys().map(result).collect();
    }
    if version >= 1 && request.validate_only {
        records.clear();
    }
    Outcome { response, records }
}

/// The ways of setting a level, in the request's numbers.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// Features of one request that are looked at: there are fewer.
const UPDATES_MAX: usize = 100;

struct Levels<'a> {
    image: &'a Image,
    quorum: &'a Quorum,
    node: NodeId,
}

impl Levels<'_> {
    /// Whether a level may be set, and whether that takes a record.
    fn check(&self, name: &str, level: i16, how: i8) -> Result<bool, String> {
        let refused = |why: &str| {
            Err(format!(
                "Invalid update version {level} for feature {name}. {why}"
            ))
        };
        if !matches!(how, UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) {
            return refused("The controller does not support the given upgrade type.");
        }
        let now = match name {
            KRAFT_VERSION => self.quorum.kraft_version,
            _ => self.image.feature(name),
        };
        if level < 0 {
            return refused("A feature version cannot be less than 0.");
        }
        if let Some(why) = self.not_supported(name, level) {
            return refused(&why);
        }
        if name == KRAFT_VERSION {
            return match level.cmp(&now) {
                Ordering::Less => refused("Can't downgrade the version of this feature."),
                Ordering::Equal => Ok(false),
                // Voters are named by directory from the first record on, or never were.
                Ordering::Greater => refused("The quorum was formed without directory ids."),
            };
        }
        if level < now && how == UPGRADE {
            return refused(concat!(
                "Can't downgrade the version of this feature without setting the upgrade type ",
                "to either safe or unsafe downgrade.",
            ));
        }
        if level > now && how != UPGRADE {
            return refused("Can't downgrade to a newer version.");
        }
        if name == METADATA_VERSION && level < now {
            let why = match how {
                UNSAFE_DOWNGRADE => "Unsafe metadata downgrade is not supported in this version.",
                _ => {
                    "Refusing to perform the requested downgrade because it might delete metadata \
                     information."
                }
            };
            return Err(format!(
                "Unsupported metadata.version downgrade from {now} to {level}. {why}"
            ));
        }
        Ok(true)
    }

    fn not_supported(&self, name: &str, level: i16) -> Option<String> {
        let within = |(least, most): (i16, i16)| (least..=most).contains(&level);
        let only = |who: String, (least, most): (i16, i16)| {
            format!("{who} only supports versions {least}-{most}")
        };
        let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
            return Some(match level {
                0 => format!("Feature {name} not found."),
                _ => format!(
                    "Local controller {} does not support this feature.",
                    self.node
                ),
            });
        };
        if !within(feature.supported) {
            return Some(only(
                format!("Local controller {}", self.node),
                feature.supported,
            ));
        }
        self.image.brokers.values().find_map(|broker| {
            let supported = broker.features.get(name).copied().unwrap_or((0, 0));
            match within(supported) {
                true => None,
                false => Some(only(format!("Broker {}", broker.id), supported)),
            }
        })
    }
}

fn feature_record(name: &str, level: i16) -> Proposed {
    let record = FeatureLevelRecord {
        name: name.to_owned().into(),
        feature_level: level,
    };
    Proposed::new(record, 0)
}

/// With eligible leader replicas the least number in sync is the same on all brokers: set for the
/// cluster, and for none of them.
fn cluster_wide_min_insync(image: &Image, broker: &BrokerConfigs) -> Vec<Proposed> {
    const KEY: &str = "min.insync.replicas";
    let all = Resource::broker_default();
    let mut records = Vec::new();
    if image.config(&all, KEY).is_none() {
        let known = broker.values.get(KEY);
        let value = known.and_then(|known| known.set.clone().or_else(|| known.default.clone()));
        let value = value.unwrap_or_else(|| "1".to_owned());
        records.push(config_record(&all, KEY.to_owned(), Some(value)));
    }
    let own = image.configs.iter().filter(|(resource, set)| {
        resource.kind == Resource::BROKER && **resource != all && set.contains_key(KEY)
    });
    records.extend(own.map(|(resource, _)| config_record(resource, KEY.to_owned(), None)));
    records
}

/// The quorum epoch that follows.
#[must_use]
pub fn next_epoch(quorum: &Quorum) -> Epoch {
    Epoch(quorum.epoch.0.saturating_add(1))
}
