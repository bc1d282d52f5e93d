//! A line of input to a record. Pure.
//!
//! Lines are bytes, not text: values need not be UTF-8. JSON lines have the shape that
//! `thalweg consume --format json` prints, so that records go from one topic to another as they are.

use serde_json::{Map, Value};

use super::super::encoding;

/// Keys and values; a value may be missing.
type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Headers,
    /// Now, if not given.
    pub(crate) timestamp: Option<i64>,
    /// Chosen, if not given.
    pub(crate) partition: Option<i32>,
}

impl Draft {
    /// What it takes in a batch, about.
    pub(crate) fn bytes(&self) -> usize {
        /// Lengths, deltas and attributes of a record at most.
        const OVERHEAD: usize = 40;
        let length = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(key, value)| key.len() + length(value) + 10)
            .sum();
        OVERHEAD + length(&self.key) + length(&self.value) + headers
    }
}

/// How input becomes records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// Each line is a value, or a key and a value
    #[default]
    Lines,
    /// Each line is a JSON object, as `thalweg consume --format json` prints it
    Json,
    /// Each file (or all of standard input) is one value
    Whole,
}

/// Rules for lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) shape: Shape,
    /// Between key and value.
    pub(crate) key_separator: Option<Vec<u8>>,
    /// What stands for a key or value that is not there.
    pub(crate) null: Option<Vec<u8>>,
    /// The key of all records.
    pub(crate) key: Option<Vec<u8>>,
    /// Headers of all records.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Rules {
    /// The record of a line, or why it is none.
    pub(crate) fn record(&self, line: Vec<u8>) -> Result<Draft, String> {
        let mut draft = match self.shape {
            Shape::Json => from_json(&line)?,
            Shape::Whole => Draft {
                value: Some(line),
                ..Draft::default()
            },
            Shape::Lines => self.split(line)?,
        };
        if draft.key.is_none() {
            draft.key.clone_from(&self.key);
        }
        let fixed = self.headers.iter();
        draft
            .headers
            .extend(fixed.map(|(key, value)| (key.clone(), Some(value.clone()))));
        Ok(draft)
    }

    fn split(&self, line: Vec<u8>) -> Result<Draft, String> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => {
                let found = line
                    .windows(separator.len())
                    .position(|window| window == separator);
                let at = found.ok_or("it has no key separator")?;
                let value = line
                    .get(at + separator.len()..)
                    .unwrap_or_default()
                    .to_vec();
                (line.get(..at).map(<[u8]>::to_vec), value)
            }
        };
        let there = |field: Vec<u8>| Some(field).filter(|field| Some(field) != self.null.as_ref());
        Ok(Draft {
            key: key.and_then(there),
            value: there(value),
            ..Draft::default()
        })
    }
}

fn from_json(line: &[u8]) -> Result<Draft, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(object) = value else {
        return Err("it is no JSON object".to_owned());
    };
    let number = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) if number >= 0 => Ok(Some(number)),
            _ => Err(format!("`{name}` is no number from 0 on")),
        },
    };
    let partition = number("partition")?.map(i32::try_from).transpose();
    Ok(Draft {
        key: encoding::take(&object, "key")?,
        value: encoding::take(&object, "value")?,
        headers: headers(&object)?,
        timestamp: number("timestamp")?,
        partition: partition.or(Err("`partition` is too large".to_owned()))?,
    })
}

/// Headers as a list of objects, or as one object of texts.
fn headers(object: &Map<String, Value>) -> Result<Headers, String> {
    let wrong = || "`headers` is no list of {\"key\", \"value\"}".to_owned();
    match object.get("headers") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|header| {
                let header = header.as_object().ok_or_else(wrong)?;
                let key = header
                    .get("key")
                    .and_then(Value::as_str)
                    .ok_or_else(wrong)?;
                Ok((key.to_owned(), encoding::take(header, "value")?))
            })
            .collect(),
        Some(Value::Object(map)) => map
            .keys()
            .map(|key| Ok((key.clone(), encoding::take(map, key)?)))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_have_keys_where_they_are_told_to() {
        let plain = Rules::default();
        assert_eq!(plain.record(b"a:b".to_vec()).unwrap().value, bytes("a:b"));
        let keyed = Rules {
            key_separator: bytes("::"),
            null: bytes("NULL"),
            headers: vec![("h".to_owned(), b"1".to_vec())],
            ..Rules::default()
        };
        let draft = keyed.record(b"k::v::w".to_vec()).unwrap();
        assert_eq!((draft.key, draft.value), (bytes("k"), bytes("v::w")));
        assert_eq!(draft.headers, [("h".to_owned(), bytes("1"))]);
        let tombstone = keyed.record(b"k::NULL".to_vec()).unwrap();
        assert_eq!((tombstone.key, tombstone.value), (bytes("k"), None));
        assert!(keyed.record(b"k".to_vec()).is_err());
        let binary = keyed.record(b"\xff::\xfe".to_vec()).unwrap();
        assert_eq!(binary.value, Some(vec![0xfe]));
    }

    #[test]
    fn json_lines_say_everything() {
        let rules = Rules {
            shape: Shape::Json,
            ..Rules::default()
        };
        let line = br#"{"key":"k","value_base64":"/w==","timestamp":5,"partition":2,
            "offset":9,"headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}"#;
        let draft = rules.record(line.to_vec()).unwrap();
        assert_eq!((draft.key, draft.value), (bytes("k"), Some(vec![0xff])));
        assert_eq!((draft.timestamp, draft.partition), (Some(5), Some(2)));
        let a = || "a".to_owned();
        assert_eq!(draft.headers, [(a(), bytes("1")), (a(), None)]);
        let map = rules.record(br#"{"value":1,"headers":{"x":"y"}}"#.to_vec());
        let map = map.unwrap();
        assert_eq!(map.value, bytes("1"));
        assert_eq!(map.headers, [("x".to_owned(), bytes("y"))]);
        for bad in ["", "1", "{", r#"{"partition":-1}"#, r#"{"headers":3}"#] {
            assert!(rules.record(bad.as_bytes().to_vec()).is_err(), "{bad}");
        }
    }
}
