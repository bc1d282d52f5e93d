//! Emits what spans messages: the enum of metadata records, and the tables for tests and checks.

use std::fmt::Write as _;

use crate::facts::{Kind, Message, Role};
use crate::names;

fn present(messages: &[Message]) -> impl Iterator<Item = &Message> {
    messages.iter().filter(|m| !m.versions.is_empty())
}

/// The enum over all metadata records, with what differs from record to record.
pub(crate) fn metadata(messages: &[Message]) -> String {
    let records: Vec<&Message> = present(messages)
        .filter(|m| m.role == Role::Record)
        .collect();
    let mut variants = String::new();
    let mut keys = String::new();
    let mut writes = String::new();
    let mut reads = String::new();
    let mut froms = String::new();
    for message in records {
        let Some(top) = message.structs.first() else {
            continue;
        };
        let name = &message.name;
        let variant = name.trim_end_matches("Record");
        let module = names::snake(name);
        let life = names::lifetime(message, top, false, "'a");
        let key = message.key.unwrap_or_default();
        let path = format!("super::{module}::{name}");
        let _ = writeln!(
            variants,
            "        /// Type {key}, versions {}.",
            message.versions
        );
        let _ = writeln!(variants, "        {variant}({path}{life}),");
        let _ = writeln!(keys, "                Self::{variant}(_) => {key},");
        let _ = writeln!(
            writes,
            "                Self::{variant}(x) => w::Message::encode(x, version, out),"
        );
        let _ = writeln!(
            reads,
            "                {key} => Self::{variant}(<{path}View as w::View>::decode_exact(body, version)?.to_owned()),"
        );
        let _ = writeln!(
            froms,
            "    impl<'a> From<{path}{life}> for MetadataRecord<'a> {{ fn from(x: {path}{life}) -> Self {{ Self::{variant}(x) }} }}"
        );
    }
    format!(
        "/// The enum over all metadata records.
pub mod metadata_record {{
    use crate::bytes as w;

    /// Any record of the metadata log.
    #[derive(Clone, Debug, PartialEq)]
    pub enum MetadataRecord<'a> {{
{variants}    }}

    impl MetadataRecord<'_> {{
        /// The record's type as its frame says it.
        pub fn key(&self) -> i16 {{
            match self {{
{keys}            }}
        }}

        /// Appends the record's body.
        pub(crate) fn encode_body(&self, version: i16, out: &mut w::Writer) -> Result<(), w::EncodeError> {{
            match self {{
{writes}            }}
        }}
    }}

    impl MetadataRecord<'static> {{
        /// Reads a body of the type.
        pub(crate) fn decode_body(key: i64, version: i16, body: &[u8]) -> Result<Self, w::DecodeError> {{
            Ok(match key {{
{reads}                key => return Err(w::DecodeError::UnknownKey {{ key }}),
            }})
        }}
    }}

{froms}}}
"
    )
}

/// A list over all messages, included by the tests, which say what `entry!` makes of it: family,
/// name, module, view, lowest and highest version.
pub(crate) fn catalogue(messages: &[Message]) -> String {
    let mut code = "&[\n".to_owned();
    for message in present(messages) {
        let Message {
            family,
            name,
            versions,
            ..
        } = message;
        let module = names::snake(name);
        let (min, max) = (versions.min, versions.max);
        let _ = writeln!(
            code,
            "    entry!({family:?}, {name:?}, {module}, {name}View, {min}, {max}),"
        );
    }
    code + "]\n"
}

/// Versions by API key (lowest, highest, first flexible), against which `api.rs` is checked.
pub(crate) fn ranges(messages: &[Message]) -> String {
    let mut code = "&[\n".to_owned();
    for message in present(messages).filter(|m| m.role == Role::Request) {
        let key = message.key.unwrap_or_default();
        let (min, max) = (message.versions.min, message.versions.max);
        let first = match message.flexible {
            flexible if flexible.is_empty() => i16::MAX,
            flexible => flexible.min,
        };
        let _ = writeln!(code, "    ({key}, {min}, {max}, {first}),");
    }
    code + "]\n"
}

/// Where responses say how long a client is throttled: API key, version, bytes of the body before it. Only those in
/// which nothing of varying size comes before.
pub(crate) fn throttles(messages: &[Message]) -> String {
    let mut code = "&[\n".to_owned();
    for message in present(messages).filter(|m| m.role == Role::Response) {
        for version in message.versions.iter() {
            if let Some(before) = throttle(message, version) {
                let key = message.key.unwrap_or_default();
                let _ = writeln!(code, "    ({key}, {version}, {before}),");
            }
        }
    }
    code + "]\n"
}

fn throttle(message: &Message, version: i16) -> Option<usize> {
    let fields = message.structs.first()?.fields.iter();
    let mut before = 0;
    for field in fields.filter(|field| field.versions.contains(version)) {
        if field.name == "ThrottleTimeMs" {
            return Some(before);
        }
        before += match field.kind {
            Kind::Bool | Kind::Int8 => 1,
            Kind::Int16 | Kind::Uint16 => 2,
            Kind::Int32 | Kind::Uint32 => 4,
            Kind::Int64 | Kind::Float64 => 8,
            _ => return None,
        };
    }
    None
}
