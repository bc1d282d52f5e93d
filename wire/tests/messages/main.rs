//! Every message in every version: round trips of random instances, and bytes that lie.
//!
//! One binary, because compiling all generated messages is what takes the time.

#[expect(
    dead_code,
    reason = "the build uses all of the facts, the tests a part"
)]
#[path = "../../build/facts.rs"]
mod facts;

mod budget;
mod ignorable;
mod random;
mod round_trip;

use std::fmt;
use std::path::Path;

use thalweg_wire::bytes::{DecodeError, EncodeError};

/// What the tests do with a message, whatever its type.
pub(crate) struct Entry {
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    pub(crate) versions: (i16, i16),
    /// View, copy, write again; the copy viewed again must be equal.
    pub(crate) round_trip: fn(&[u8], i16) -> Result<Vec<u8>, Failure>,
    /// View, and walk everything in the view.
    pub(crate) decode: fn(&[u8], i16) -> Result<(), DecodeError>,
    /// View and copy.
    pub(crate) copy: fn(&[u8], i16) -> Result<(), DecodeError>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    Decode(DecodeError),
    Encode(EncodeError),
    Size { counted: usize, written: usize },
    Copy,
}

/// Takes text and drops it: formatting a view into it walks the view without allocating.
struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

macro_rules! entry {
    ($family:literal, $name:literal, $module:ident, $view:ident, $min:literal, $max:literal) => {
        Entry {
            family: $family,
            name: $name,
            versions: ($min, $max),
            round_trip: |bytes, version| {
                use thalweg_wire::bytes::Message as _;
                use thalweg_wire::messages::$module::$view as View;
                let owned = View::decode(bytes, version)
                    .map_err(Failure::Decode)?
                    .to_owned();
                let written = owned.to_bytes(version).map_err(Failure::Encode)?;
                let counted = owned.size(version).map_err(Failure::Encode)?;
                if counted != written.len() {
                    let written = written.len();
                    return Err(Failure::Size { counted, written });
                }
                let again = View::decode(&written, version).map_err(Failure::Decode)?;
                if again.to_owned() != owned {
                    return Err(Failure::Copy);
                }
                Ok(written)
            },
            decode: |bytes, version| {
                let view = thalweg_wire::messages::$module::$view::decode(bytes, version)?;
                let _ = fmt::Write::write_fmt(&mut Nowhere, format_args!("{view:?}"));
                Ok(())
            },
            copy: |bytes, version| {
                let view = thalweg_wire::messages::$module::$view::decode(bytes, version)?;
                std::hint::black_box(view.to_owned());
                Ok(())
            },
        }
    };
}

/// All messages that have versions.
pub(crate) const ENTRIES: &[Entry] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The facts of all messages, with what the tests do with them, and each version.
pub(crate) fn for_each_version(mut test: impl FnMut(&Entry, &facts::Message, i16)) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut seen = 0;
    for family in std::fs::read_dir(schema).expect("the schema folder") {
        let family = family.expect("the schema folder").path();
        if !family.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&family).expect("the schema folder") {
            let text = std::fs::read_to_string(file.expect("the schema folder").path())
                .expect("the schema folder");
            for message in facts::parse(&text, "").expect("the schema folder") {
                let Some(entry) = ENTRIES.iter().find(|e| e.name == message.name) else {
                    assert!(message.versions.is_empty(), "{} is missing", message.name);
                    continue;
                };
                seen += 1;
                (entry.versions.0..=entry.versions.1).for_each(|v| test(entry, &message, v));
            }
        }
    }
    assert_eq!(seen, ENTRIES.len());
    // 275 schemas, of which four pairs have no version left.
    assert_eq!(seen, 267);
}
