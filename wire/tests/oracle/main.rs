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

mod golden;
mod java;
mod tree;

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
