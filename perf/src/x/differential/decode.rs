//! The bytes of an answer -> a JSON tree, by the facts of its schema.
//!
//! Strict: bytes left over, a length beyond the end or text that is not UTF-8 make the answer
//! malformed, and the runner says so. Tagged fields that no schema knows are kept under their
//! number; tagged fields that are absent show their default, as a client would see it.

use serde_json::{Map, Value, json};

use super::records;
use super::schema::{Field, Kind, Message, Structure};

/// The answer's fields; none if its bytes do not add up.
pub(super) fn body(message: &Message, version: i16, bytes: &[u8]) -> Option<Value> {
    let mut decoder = Decoder {
        message,
        version,
        flexible: message.flexible.contains(version),
        rest: bytes,
    };
    let tree = decoder.structure(message.structs.first()?)?;
    decoder.rest.is_empty().then_some(tree)
}

struct Decoder<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    rest: &'a [u8],
}

impl Decoder<'_> {
    fn structure(&mut self, structure: &Structure) -> Option<Value> {
        let version = self.version;
        let mut tree = Map::new();
        let present = structure
            .fields
            .iter()
            .filter(|field| field.versions.contains(version));
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) =
            present.partition(|field| field.tagged.contains(version));
        for field in plain {
            let value = self.field(field)?;
            tree.insert(field.name.clone(), value);
        }
        if !self.flexible {
            return Some(Value::Object(tree));
        }
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let length = usize::try_from(self.uvarint()?).ok()?;
            let (bytes, rest) = self.rest.split_at_checked(length)?;
            let known = tagged
                .iter()
                .find(|field| field.tag.map(u64::from) == Some(tag));
            if let Some(field) = known {
                self.rest = bytes;
                let value = self.field(field)?;
                if !self.rest.is_empty() {
                    return None;
                }
                tree.insert(field.name.clone(), value);
            } else {
                tree.insert(format!("tag {tag}"), json!(records::hex(bytes)));
            }
            self.rest = rest;
        }
        Some(Value::Object(tree))
    }

    fn field(&mut self, field: &Field) -> Option<Value> {
        if let Kind::Struct(name) = &field.kind {
            if field.nullable.contains(self.version) && self.take(1)? == [0xff] {
                return Some(Value::Null);
            }
            let message = self.message;
            return self.structure(message.structure(name)?);
        }
        self.value(&field.kind)
    }

    fn value(&mut self, kind: &Kind) -> Option<Value> {
        Some(match kind {
            Kind::Bool => json!(self.take(1)? != [0]),
            Kind::Int8 => json!(self.integer(1)? as i8),
            Kind::Int16 => json!(self.integer(2)? as i16),
            Kind::Uint16 => json!(self.integer(2)? as u16),
            Kind::Int32 => json!(self.integer(4)? as i32),
            Kind::Uint32 => json!(self.integer(4)? as u32),
            Kind::Int64 => json!(self.integer(8)? as i64),
            Kind::Float64 => json!(f64::from_bits(self.integer(8)?)),
            Kind::Uuid => json!(records::hex(self.take(16)?)),
            Kind::Text => match self.length(false)? {
                None => Value::Null,
                Some(length) => json!(std::str::from_utf8(self.take(length)?).ok()?),
            },
            Kind::Bytes => match self.length(true)? {
                None => Value::Null,
                Some(length) => json!(records::hex(self.take(length)?)),
            },
            Kind::Records => match self.length(true)? {
                None => Value::Null,
                Some(length) => records::decode(self.take(length)?),
            },
            Kind::Struct(name) => {
                let message = self.message;
                self.structure(message.structure(name)?)?
            }
            Kind::Array(element) => match self.length(true)? {
                None => Value::Null,
                Some(length) => {
                    let mut items = Vec::new();
                    for _ in 0..length {
                        items.push(self.value(element)?);
                    }
                    Value::Array(items)
                }
            },
        })
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Big-endian, without a sign.
    fn integer(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let &[byte] = self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// None: malformed. Some(None): null.
    fn length(&mut self, wide: bool) -> Option<Option<usize>> {
        if self.flexible {
            let shifted = usize::try_from(self.uvarint()?).ok()?;
            return Some(shifted.checked_sub(1));
        }
        let length = if wide {
            i64::from(self.integer(4)? as i32)
        } else {
            i64::from(self.integer(2)? as i16)
        };
        match length {
            -1 => Some(None),
            length => Some(Some(usize::try_from(length).ok()?)),
        }
    }
}
