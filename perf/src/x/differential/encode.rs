//! A request as a JSON tree -> bytes, by the facts of its schema.
//!
//! Names that begin with `@` stand for what each server calls its own (topic ids, member ids,
//! producer ids) and are looked up per server. A null where the schema has none is written all the
//! same: that is one of the things a server must refuse.

use serde_json::Value;

use super::names::Names;
use super::records;
use super::schema::{Field, Kind, Message, Structure, inner};
use crate::x::{Context, Failure, Outcome};

/// The body of a request.
pub(super) fn body(
    message: &Message,
    version: i16,
    tree: &Value,
    names: &Names,
) -> Outcome<Vec<u8>> {
    let mut encoder = Encoder {
        message,
        version,
        flexible: message.flexible.contains(version),
        names,
        out: Vec::new(),
    };
    let top = message
        .structs
        .first()
        .context(|| "a message without a structure")?;
    encoder.structure(top, tree)?;
    Ok(encoder.out)
}

pub(super) fn uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Encoder<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    names: &'a Names,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn structure(&mut self, structure: &Structure, tree: &Value) -> Outcome<()> {
        let version = self.version;
        let present = structure
            .fields
            .iter()
            .filter(|field| field.versions.contains(version));
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) =
            present.partition(|field| field.tagged.contains(version));
        for field in plain {
            let value = tree
                .get(&field.name)
                .context(|| format!("{} is missing in {}", field.name, self.message.name))?;
            self.field(field, value)
                .map_err(|why| Failure::new(format!("{}: {why}", field.name)))?;
        }
        if !self.flexible {
            return Ok(());
        }
        let mut written: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in tagged {
            let (Some(tag), Some(value)) = (field.tag, tree.get(&field.name)) else {
                continue;
            };
            let before = std::mem::take(&mut self.out);
            self.field(field, value)?;
            written.push((tag, std::mem::replace(&mut self.out, before)));
        }
        written.sort_by_key(|(tag, _)| *tag);
        uvarint(written.len() as u64, &mut self.out);
        for (tag, bytes) in written {
            uvarint(u64::from(tag), &mut self.out);
            uvarint(bytes.len() as u64, &mut self.out);
            self.out.extend(bytes);
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value) -> Outcome<()> {
        let is_nullable = field.nullable.contains(self.version);
        if let Kind::Struct(name) = &field.kind {
            if is_nullable {
                self.out.push(if value.is_null() { 0xff } else { 1 });
            }
            if value.is_null() {
                return Ok(());
            }
            return self.structure(inner(self.message, name)?, value);
        }
        self.value(&field.kind, value)
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Outcome<()> {
        let found = self.names.resolve(value);
        let value = found.as_ref().unwrap_or(value);
        match kind {
            Kind::Bool => self.out.push(u8::from(value.as_bool().unwrap_or(false))),
            Kind::Int8 => self.out.push(integer(value)? as u8),
            Kind::Int16 | Kind::Uint16 => {
                self.out.extend((integer(value)? as i16).to_be_bytes());
            }
            Kind::Int32 | Kind::Uint32 => {
                self.out.extend((integer(value)? as i32).to_be_bytes());
            }
            Kind::Int64 => self.out.extend(integer(value)?.to_be_bytes()),
            Kind::Float64 => {
                let number = value.as_f64().unwrap_or(0.0);
                self.out.extend(number.to_be_bytes());
            }
            Kind::Uuid => {
                let text = value.as_str().context(|| "an id is text")?;
                let bytes = records::unhex(text)?;
                if bytes.len() != 16 {
                    return Err(Failure::new(format!("{text} is no id")));
                }
                self.out.extend(bytes);
            }
            Kind::Text => match value {
                Value::Null => self.length(None, false),
                text => {
                    let text = text
                        .as_str()
                        .context(|| format!("{value} is not text"))?
                        .as_bytes();
                    self.length(Some(text.len()), false);
                    self.out.extend(text);
                }
            },
            Kind::Bytes | Kind::Records => {
                let bytes = match value {
                    Value::Null => None,
                    Value::String(hex) => Some(records::unhex(hex)?),
                    batches => Some(records::encode(batches, self.names)?),
                };
                self.length(bytes.as_ref().map(Vec::len), true);
                self.out.extend(bytes.unwrap_or_default());
            }
            Kind::Struct(name) => self.structure(inner(self.message, name)?, value)?,
            Kind::Array(element) => match value {
                Value::Null => self.length(None, true),
                list => {
                    let items = list.as_array().context(|| "an array is a list")?;
                    self.length(Some(items.len()), true);
                    for item in items {
                        self.value(element, item)?;
                    }
                }
            },
        }
        Ok(())
    }

    fn length(&mut self, length: Option<usize>, wide: bool) {
        if self.flexible {
            let shifted = length.map_or(0, |length| length as u64 + 1);
            uvarint(shifted, &mut self.out);
            return;
        }
        let length = length.map_or(-1, |length| length as i64);
        if wide {
            self.out.extend((length as i32).to_be_bytes());
        } else {
            self.out.extend((length as i16).to_be_bytes());
        }
    }
}

fn integer(value: &Value) -> Outcome<i64> {
    value
        .as_i64()
        .context(|| format!("{value} is not a whole number"))
}
