//! ApiVersions: what this listener serves, and the features of the cluster.
//!
//! A version above ours is answered in version 0 with UNSUPPORTED_VERSION and the one row of this
//! API, as Kafka does, so that the client can ask again. The response head never has tags.

use thalweg_coordinator::controller::features::announce;
use thalweg_storage::disk::Disk;
use thalweg_wire::api::{self, Api, ApiKey};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::api_versions_request::ApiVersionsRequestView;
use thalweg_wire::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let rows = || api::on(request.origin.listener.column());
    let own = rows().find(|api| api.key == ApiKey::ApiVersions);
    if own.is_none_or(|api| !api.served.contains(request.version)) {
        let body = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: own.map(row).into_iter().collect(),
            ..ApiVersionsResponse::default()
        };
        return request.in_version(0).respond(&body);
    }
    let asked: ApiVersionsRequestView<'_> = request.view()?;
    let named = [asked.client_software_name, asked.client_software_version];
    if request.version >= 3 && !named.iter().all(|name| is_software_name(name)) {
        let body = ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
        return request.respond(&body);
    }
    let mut body = ApiVersionsResponse {
        api_keys: rows().map(row).collect(),
        ..ApiVersionsResponse::default()
    };
    let published = core.published();
    if request.version >= 3 {
        announce(
            &published.image,
            &published.quorum,
            request.version,
            &mut body,
        );
    }
    request.respond(&body)
}

fn row(api: &Api) -> ApiVersion {
    ApiVersion {
        api_key: api.key.code(),
        min_version: api.advertised.min,
        max_version: api.advertised.max,
    }
}

/// Kafka's rule: begins and ends with a letter or digit, dots and dashes in between.
fn is_software_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|byte| inner(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_kafkas() {
        for (name, good) in [
            ("apache-kafka-java", true),
            ("4.3.0", true),
            ("", false),
            ("-x", false),
            ("x.", false),
            ("a b", false),
        ] {
            assert_eq!(is_software_name(name), good, "{name}");
        }
    }
}
