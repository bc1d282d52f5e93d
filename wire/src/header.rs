//! The heads of requests and responses.
//!
//! A request's head says which API and version its body is in, and by that whether the head itself
//! is of version 1 or 2 (with tagged fields). A response's head is version 0 or 1 likewise, except
//! that ApiVersions is always answered with version 0: the client does not know yet what we speak.

use crate::api::{self, ApiKey};
use crate::bytes::{DecodeError, EncodeError, Message, Reader, Tags, Version, Writer};

/// The head of a request, borrowed from its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeaderView<'a> {
    /// The API's key; one that Kafka 4.3 has, served by us or not.
    pub api_key: i16,
    /// The version of the body; not checked yet.
    pub version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// Who the client says it is.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeaderView<'a> {
    /// Splits a frame into head and body.
    pub fn decode(frame: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut r = Reader::new(frame);
        let api_key = r.i16()?;
        let version = r.i16()?;
        let correlation_id = r.i32()?;
        let key = i64::from(api_key);
        let flexible = api::flexible(api_key, version).ok_or(DecodeError::UnknownKey { key })?;
        let header = Version {
            number: if flexible { 2 } else { 1 },
            flexible,
        };
        // Also in version 2 the client id has the old length prefix.
        let client_id = r.text_or_null(header.rigid())?;
        if flexible {
            let mut tags = Tags::read(&mut r)?;
            while tags.next(&mut r)?.is_some() {}
        }
        let view = Self {
            api_key,
            version,
            correlation_id,
            client_id,
        };
        Ok((view, r.rest()))
    }
}

/// What a response's head is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// The API of the request.
    pub api_key: i16,
    /// The version of the body.
    pub version: i16,
    /// From the request.
    pub correlation_id: i32,
}

impl ResponseHead {
    fn has_tags(self) -> bool {
        self.api_key != ApiKey::ApiVersions.code()
            && api::flexible(self.api_key, self.version).unwrap_or(false)
    }

    /// Bytes of the head.
    #[must_use]
    pub fn size(self) -> usize {
        4 + usize::from(self.has_tags())
    }

    /// Appends the head.
    pub fn write(self, out: &mut Writer) {
        out.i32(self.correlation_id);
        if self.has_tags() {
            out.uvarint(0);
        }
    }

    /// Splits a response's frame into correlation id and body: for the side that sent the request.
    pub fn decode(self, frame: &[u8]) -> Result<(i32, &[u8]), DecodeError> {
        let mut r = Reader::new(frame);
        let correlation_id = r.i32()?;
        if self.has_tags() {
            let mut tags = Tags::read(&mut r)?;
            while tags.next(&mut r)?.is_some() {}
        }
        Ok((correlation_id, r.rest()))
    }
}

/// A request as a whole frame, size prefix included: for clients (the load generator, the CLI).
pub fn encode_request<M: Message>(
    body: &M,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<u8>, EncodeError> {
    let unsupported = EncodeError::UnsupportedVersion {
        message: M::NAME,
        version,
    };
    let Some((api_key, v)) = M::API_KEY.zip(M::version(version)) else {
        return Err(unsupported);
    };
    let write = |size: i32, out: &mut Writer| {
        out.i32(size);
        out.i16(api_key);
        out.i16(version);
        out.i32(correlation_id);
        out.text_or_null(client_id, v.rigid())?;
        if v.flexible {
            out.uvarint(0);
        }
        body.encode(version, out)
    };
    let mut count = Writer::counting();
    write(0, &mut count)?;
    let length = count.len();
    let size = i32::try_from(length - 4).or(Err(EncodeError::TooLong { length }))?;
    let mut out = Writer::with_capacity(length);
    write(size, &mut out)?;
    Ok(out.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_request::{ApiVersionsRequest, ApiVersionsRequestView};

    #[test]
    fn request_heads_of_both_versions() {
        let old = b"\0\x12\0\0\0\0\0\x07\xff\xff";
        let (head, body) = RequestHeaderView::decode(old).expect("whole");
        assert_eq!(
            (head.version, head.correlation_id, head.client_id),
            (0, 7, None)
        );
        assert!(body.is_empty());
        // ApiVersions 4: a 16-bit length before the client id, one unknown tag, the body behind it.
        let new = b"\0\x12\0\x04\0\0\0\x07\0\x01c\x01\x05\x02zzBODY";
        let (head, body) = RequestHeaderView::decode(new).expect("whole");
        assert_eq!(
            (head.version, head.client_id, body),
            (4, Some("c"), &b"BODY"[..])
        );
        let unknown = RequestHeaderView::decode(b"\x10\x92\0\0\0\0\0\x07\xff\xff");
        assert_eq!(unknown, Err(DecodeError::UnknownKey { key: 0x1092 }));
        for cut in 0..new.len() - 4 {
            let cut = new.get(..cut).expect("shorter");
            assert!(matches!(
                RequestHeaderView::decode(cut),
                Err(DecodeError::Truncated { .. } | DecodeError::CountTooLarge { .. })
            ));
        }
    }

    #[test]
    fn api_versions_is_answered_without_tags() {
        let head = |api_key, version| ResponseHead {
            api_key,
            version,
            correlation_id: 1,
        };
        assert_eq!(head(18, 4).size(), 4);
        assert_eq!(head(3, 8).size(), 4);
        assert_eq!(head(3, 9).size(), 5);
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = ApiVersionsRequest {
            client_software_name: "thalweg".into(),
            client_software_version: "0.1.0".into(),
        };
        let frame = encode_request(&request, 3, 42, Some("id")).expect("version 3 exists");
        let crate::frame::Frame::Whole { frame, rest: [] } = crate::frame::next(&frame, 1000)
        else {
            panic!("one frame");
        };
        let (head, body) = RequestHeaderView::decode(frame).expect("whole");
        assert_eq!(
            (head.api_key, head.version, head.correlation_id),
            (18, 3, 42)
        );
        let view = ApiVersionsRequestView::decode(body, 3).expect("whole");
        assert_eq!(view.to_owned(), request);
    }
}
