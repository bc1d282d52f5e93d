//! `meta.properties`, `partition.metadata` and `.kafka_cleanshutdown`. Pure.

use std::fmt::Write as _;

use thalweg_wire::ids::{NodeId, Uuid};

use super::FormatError;

/// Says whose data directory this is.
pub const META_PROPERTIES: &str = "meta.properties";
/// Says which topic a partition's directory is of.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Tells Kafka that the directory was left in order, and us that the checkpoints beside it are not stale.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Content of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id, as text.
    pub cluster_id: String,
    /// This node.
    pub node_id: NodeId,
    /// This directory.
    pub directory_id: Uuid,
}

impl MetaProperties {
    /// The file's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let text = format!(
            "#\ncluster.id={}\ndirectory.id={}\nnode.id={}\nversion=1\n",
            escape(&self.cluster_id),
            self.directory_id,
            self.node_id,
        );
        text.into_bytes()
    }

    /// Reads a file in Java's properties format.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let fail = |fault| FormatError {
            file: META_PROPERTIES,
            fault,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(fail("not text"));
        };
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(property);
            lines.find(|(name, _)| name == key).map(|(_, value)| value)
        };
        if value("version").as_deref() != Some("1") {
            return Err(fail("unknown version"));
        }
        let node_id = value("node.id").and_then(|id| id.parse().ok());
        let directory_id = value("directory.id").and_then(|id| Uuid::parse(&id));
        Ok(Self {
            cluster_id: value("cluster.id").ok_or(fail("no cluster.id"))?,
            node_id: NodeId(node_id.ok_or(fail("no node.id"))?),
            directory_id: directory_id.ok_or(fail("no directory.id"))?,
        })
    }
}

/// Key and value of a line, without the escapes that Java writes.
fn property(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    if line.starts_with(['#', '!']) {
        return None;
    }
    let mut escaped = false;
    let end = line.find(|symbol| {
        let ends = !escaped && matches!(symbol, '=' | ':' | ' ' | '\t');
        escaped = !escaped && symbol == '\\';
        ends
    })?;
    let (key, rest) = line.split_at(end);
    let value = rest
        .trim_start()
        .trim_start_matches(['=', ':'])
        .trim_start();
    Some((unescape(key), unescape(value)))
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for symbol in text.chars() {
        if matches!(symbol, '=' | ':' | '#' | '!' | '\\') {
            escaped.push('\\');
        }
        escaped.push(symbol);
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut symbols = text.trim_end().chars();
    while let Some(symbol) = symbols.next() {
        plain.extend(if symbol == '\\' {
            symbols.next()
        } else {
            Some(symbol)
        });
    }
    plain
}

/// Content of `partition.metadata`.
#[must_use]
pub fn encode_partition_metadata(topic: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {topic}").into_bytes()
}

/// The topic id in a `partition.metadata`.
pub fn decode_partition_metadata(bytes: &[u8]) -> Result<Uuid, FormatError> {
    let fail = |fault| FormatError {
        file: PARTITION_METADATA,
        fault,
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(fail("not text"));
    };
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
    };
    if value("version") != Some("0") {
        return Err(fail("unknown version"));
    }
    value("topic_id")
        .and_then(Uuid::parse)
        .ok_or(fail("no topic_id"))
}

/// Content of `.kafka_cleanshutdown`.
#[must_use]
pub fn encode_clean_shutdown(broker_epoch: i64) -> Vec<u8> {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, r#"{{"version":0,"brokerEpoch":{broker_epoch}}}"#);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_properties_as_kafka_writes_them() {
        let text = "#\n#Mon Nov 23 12:00:00 UTC 2026\nnode.id=1\n\
                    directory.id=AAAAAAAAAAAAAAAAAAAAAQ\nversion=1\ncluster.id=a\\:b c\n";
        let meta = MetaProperties::decode(text.as_bytes()).unwrap();
        assert_eq!(meta.cluster_id, "a:b c");
        assert_eq!(meta.node_id, NodeId(1));
        assert_eq!(meta.directory_id, Uuid::METADATA_TOPIC);
        assert_eq!(MetaProperties::decode(&meta.encode()).unwrap(), meta);
        for text in ["", "version=0\n", "version=1\nnode.id=x\ncluster.id=a\n"] {
            assert!(MetaProperties::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn partition_metadata_and_clean_shutdown_are_kafkas() {
        let text = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";
        assert_eq!(encode_partition_metadata(Uuid::METADATA_TOPIC), text);
        assert_eq!(decode_partition_metadata(text), Ok(Uuid::METADATA_TOPIC));
        assert!(decode_partition_metadata(b"version: 1\ntopic_id: x").is_err());
        assert_eq!(
            encode_clean_shutdown(9),
            br#"{"version":0,"brokerEpoch":9}"#
        );
    }
}
