//! Bytes that are not text, as text: hex, base64 (RFC 4648, padded), and JSON fields.

use serde_json::{Map, Value};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Padded base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let byte = |at: usize| u32::from(part.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for symbol in 0..4 {
            let index = (bits >> (18 - 6 * symbol) & 0x3f) as usize;
            let letter = BASE64.get(index).copied().unwrap_or(b'A');
            text.push(if symbol > part.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}

/// The bytes of base64; padding may be missing.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for symbol in text.bytes() {
        let value = BASE64.iter().position(|letter| *letter == symbol)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    (count < 6).then_some(bytes)
}

/// Puts bytes into an object: as text under their name, or as base64 under `name_base64`.
pub(crate) fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => object.insert(name.to_owned(), Value::from(text)),
        Some((bytes, Err(_))) => object.insert(format!("{name}_base64"), base64(bytes).into()),
    };
}

/// Takes bytes from an object, as [`put`] puts them. Values that are neither text nor null count as
/// the JSON they are. What is missing is null.
pub(crate) fn take(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, String> {
    match object.get(&format!("{name}_base64")) {
        Some(Value::String(text)) => {
            return from_base64(text)
                .map(Some)
                .ok_or_else(|| format!("`{name}_base64` is no base64"));
        }
        Some(_) => return Err(format!("`{name}_base64` is no text")),
        None => {}
    }
    Ok(match object.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        Some(other) => Some(other.to_string().into_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_rfc_4648_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text), Some(bytes.as_bytes().to_vec()));
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
        assert_eq!(from_base64("//4"), Some(vec![0xff, 0xfe]));
        assert_eq!(from_base64("Z"), None);
        assert_eq!(from_base64("Z?=="), None);
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }

    #[test]
    fn what_is_put_is_taken() {
        for bytes in [None, Some(&b"text"[..]), Some(&[0xff][..]), Some(&[][..])] {
            let mut object = Map::new();
            put(&mut object, "value", bytes);
            assert_eq!(take(&object, "value"), Ok(bytes.map(<[u8]>::to_vec)));
        }
        let number = serde_json::json!({"value": {"a": 1}, "key_base64": 3});
        let number = number.as_object().unwrap();
        assert_eq!(take(number, "value"), Ok(Some(b"{\"a\":1}".to_vec())));
        assert!(take(number, "key").is_err());
        assert_eq!(take(number, "none"), Ok(None));
    }
}
