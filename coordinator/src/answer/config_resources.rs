//! ListConfigResources: everything that configs could be asked of.
//!
//! Topics and brokers are listed because they exist, groups and client metrics subscriptions because
//! something is set for them. Version 0 was about subscriptions alone. Deliberately absent: groups without
//! configs, which their coordinator lists.

use thalweg_wire::bytes::Array;
use thalweg_wire::messages::list_config_resources_request::ListConfigResourcesRequestView;
use thalweg_wire::messages::list_config_resources_response::{
    ConfigResource, ListConfigResourcesResponse,
};

use crate::error::ErrorCode;
use crate::metadata::image::{Image, Resource};

/// The kinds, in the order of the answer.
const KINDS: [i8; 5] = [
    Resource::TOPIC,
    Resource::BROKER,
    Resource::BROKER_LOGGER,
    Resource::CLIENT_METRICS,
    Resource::GROUP,
];

/// Answers a ListConfigResources request of that version.
#[must_use]
pub fn list(
    image: &Image,
    request: &ListConfigResourcesRequestView<'_>,
    version: i16,
) -> ListConfigResourcesResponse<'static> {
    let asked = |kinds: &Array<'_, i8>, kind: i8| kinds.iter().any(|other| other == kind);
    let kinds = &request.resource_types;
    if version > 0 && kinds.iter().any(|kind| !KINDS.contains(&kind)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let wanted = KINDS.into_iter().filter(|kind| match version {
        0 => *kind == Resource::CLIENT_METRICS,
        _ => kinds.is_empty() || asked(kinds, *kind),
    });
    let resources = wanted.flat_map(|kind| {
        named(image, kind)
            .into_iter()
            .map(move |name| ConfigResource {
                resource_name: name.into(),
                resource_type: kind,
            })
    });
    ListConfigResourcesResponse {
        config_resources: resources.collect(),
        ..ListConfigResourcesResponse::default()
    }
}

fn named(image: &Image, kind: i8) -> Vec<String> {
    match kind {
        Resource::TOPIC => image
            .topics
            .iter()
            .map(|topic| topic.name.to_string())
            .collect(),
        Resource::BROKER | Resource::BROKER_LOGGER => {
            let up = image.brokers.values().filter(|broker| !broker.fenced);
            up.map(|broker| broker.id.to_string()).collect()
        }
        kind => {
            let set = image
                .configs
                .keys()
                .filter(|resource| resource.kind == kind);
            set.map(|resource| resource.name.clone()).collect()
        }
    }
}
