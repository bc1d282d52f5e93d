//! Others' implementations as judges of ours: Kafka's own classes, the crate `kafka-protocol`, and
//! bytes that real clients and brokers sent.
//!
//! One binary, because compiling all generated messages is what takes the time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

#[expect(
    dead_code,
    reason = "the build uses all of the facts, the tests a part"
)]
#[path = "../../build/facts.rs"]
mod facts;
#[path = "../messages/random.rs"]
mod random;

mod batches;
mod crates;
mod golden;
mod java;
mod tree;

use std::path::Path;

use thalweg_wire::bytes::Message as _;

/// What the tests do with a message, whatever its type.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) versions: (i16, i16),
    pub(crate) see: fn(&[u8], i16) -> Result<Seen, String>,
}

/// What we make of received bytes.
pub(crate) struct Seen {
    /// How the view prints.
    pub(crate) view: String,
    /// How the owned form prints.
    pub(crate) owned: String,
    /// What the owned form writes.
    pub(crate) written: Vec<u8>,
}

macro_rules! entry {
    ($family:literal, $name:literal, $module:ident, $view:ident, $min:literal, $max:literal) => {
        Entry {
            name: $name,
            versions: ($min, $max),
            see: |bytes, version| {
                let view = thalweg_wire::messages::$module::$view::decode(bytes, version)
                    .map_err(|cause| format!("decode: {cause:?}"))?;
                let owned = view.to_owned();
                let written = owned
                    .to_bytes(version)
                    .map_err(|cause| format!("encode: {cause:?}"))?;
                Ok(Seen {
                    view: format!("{view:?}"),
                    owned: format!("{owned:?}"),
                    written,
                })
            },
        }
    };
}

/// All messages that have versions.
pub(crate) const ENTRIES: &[Entry] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The message of this name.
pub(crate) fn named(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The facts of all messages, with what the tests do with them, and each version.
pub(crate) fn for_each_version(mut test: impl FnMut(&Entry, &facts::Message, i16)) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for family in std::fs::read_dir(schema).unwrap() {
        let family = family.unwrap().path();
        for file in std::fs::read_dir(&family).into_iter().flatten() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for message in facts::parse(&text, "").unwrap() {
                if let Some(entry) = named(&message.name) {
                    (entry.versions.0..=entry.versions.1).for_each(|v| test(entry, &message, v));
                }
            }
        }
    }
}
