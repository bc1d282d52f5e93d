//! Features: which levels this build supports, and which a new cluster finalizes.
//!
//! A feature is finalized only while all its APIs are served: clients change their behaviour by what is
//! announced. group.version, transaction.version, share.version and streams.version come with their
//! APIs and are absent until then.

use thalweg_wire::ids::Epoch;
use thalweg_wire::messages::api_versions_response::{
    ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::metadata::image::Image;
use crate::metadata::log::Quorum;

/// The feature that fixes which record versions the metadata log holds.
pub const METADATA_VERSION: &str = "metadata.version";
/// Levels of it that replay understands: 4.0 to 4.3.
pub const METADATA_VERSIONS: (i16, i16) = (22, 30);
/// The level that a new cluster gets: 4.3-IV0.
pub const METADATA_VERSION_NEW: i16 = 30;
/// The feature that keeps eligible leader replicas.
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
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

/// The quorum epoch that follows.
#[must_use]
pub fn next_epoch(quorum: &Quorum) -> Epoch {
    Epoch(quorum.epoch.0.saturating_add(1))
}
