//! The time that a response says its client is throttled, read and set in the written bytes.
//!
//! It is known only when a request is done, and then the response is written already. Responses whose place of it
//! depends on what else they hold (Produce) have it set by their handler; versions that lack it are left alone.

use crate::api::ApiKey;
use crate::header::ResponseHead;

/// API key, version, bytes of the body before the field; sorted.
const PLACES: &[(i16, i16, usize)] = include!(concat!(env!("OUT_DIR"), "/throttles.rs"));
/// Bytes of a frame's size.
const SIZE: usize = 4;

/// Where the field lies in a whole response, size prefix included.
fn place(head: ResponseHead, response: &[u8]) -> Option<usize> {
    let body = SIZE + head.size();
    let fixed = PLACES
        .iter()
        .find(|(key, version, _)| (*key, *version) == (head.api_key, head.version));
    if let Some((_, _, before)) = fixed {
        return Some(body + before);
    }
    if head.api_key == ApiKey::ApiVersions.code() && head.version >= 1 {
        return behind_versions(head, response.get(body..)?).map(|before| body + before);
    }
    None
}

/// ApiVersions has it behind its rows, which are all of one size.
fn behind_versions(head: ResponseHead, body: &[u8]) -> Option<usize> {
    let error = 2;
    if head.version < 3 {
        let count = body.get(error..error + 4)?.try_into().ok()?;
        let count = usize::try_from(i32::from_be_bytes(count)).ok()?;
        return count.checked_mul(6)?.checked_add(error + 4);
    }
    let mut reader = crate::bytes::Reader::new(body.get(error..)?);
    let before = reader.left();
    let count = usize::try_from(reader.uvarint().ok()?)
        .ok()?
        .checked_sub(1)?;
    let taken = before - reader.left();
    count.checked_mul(7)?.checked_add(error + taken)
}

/// Milliseconds that a whole response says; none when it has no place for them.
#[must_use]
pub fn read(head: ResponseHead, response: &[u8]) -> Option<i32> {
    let at = place(head, response)?;
    let bytes = response.get(at..at + 4)?.try_into().ok()?;
    Some(i32::from_be_bytes(bytes))
}

/// Has a whole response say so many milliseconds; false when it has no place for them.
pub fn write(head: ResponseHead, response: &mut [u8], millis: i32) -> bool {
    let Some(at) = place(head, response) else {
        return false;
    };
    let Some(field) = response.get_mut(at..at + 4) else {
        return false;
    };
    field.copy_from_slice(&millis.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
    use crate::messages::metadata_response::MetadataResponse;
    use crate::messages::offset_delete_response::OffsetDeleteResponse;
    use crate::outgoing::Outgoing;

    fn check<M: crate::bytes::Message>(key: ApiKey, version: i16, body: &M, at: Option<i32>) {
        let head = ResponseHead {
            api_key: key.code(),
            version,
            correlation_id: 7,
        };
        let outgoing: Outgoing<()> = Outgoing::plain(head, body).unwrap();
        let mut bytes = outgoing.bytes().to_vec();
        assert_eq!(read(head, &bytes), at, "{key} {version}");
        assert_eq!(write(head, &mut bytes, 0x0102_0304), at.is_some());
        if at.is_some() {
            assert_eq!(read(head, &bytes), Some(0x0102_0304));
        }
    }

    #[test]
    fn the_field_is_found_where_a_version_has_it() {
        let metadata = MetadataResponse {
            throttle_time_ms: 99,
            ..MetadataResponse::default()
        };
        for version in 3..=13 {
            check(ApiKey::Metadata, version, &metadata, Some(99));
        }
        check(ApiKey::Metadata, 2, &MetadataResponse::default(), None);
        let versions = ApiVersionsResponse {
            api_keys: vec![ApiVersion::default(); 200],
            throttle_time_ms: 98,
            ..ApiVersionsResponse::default()
        };
        for version in 1..=4 {
            check(ApiKey::ApiVersions, version, &versions, Some(98));
        }
        let delete = OffsetDeleteResponse {
            throttle_time_ms: 97,
            ..OffsetDeleteResponse::default()
        };
        check(ApiKey::OffsetDelete, 0, &delete, Some(97));
    }
}
