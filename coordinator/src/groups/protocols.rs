//! Which protocol a group uses, and which topics its members want.
//!
//! A consumer's topics are in its subscription, which is what a member of a "consumer" group says in its
//! protocol. Every version of it begins like version 0, and no more than that is read, as Kafka does: so
//! versions to come do no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_wire::bytes::{Reader, View};
use thalweg_wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscriptionView;

use super::live::{Live, Phase, Protocol};
use super::place::java_hash;

/// The kind of protocols whose subscriptions can be read.
const CONSUMER: &str = "consumer";

/// Protocols.
impl Live {
    /// Adds a member's protocols, or takes them away.
    pub(super) fn count(&mut self, protocols: &[Protocol], add: bool) {
        for (name, _) in protocols {
            let count = self.supported.entry(name.clone()).or_default();
            *count = if add { *count + 1 } else { *count - 1 };
        }
        self.supported.retain(|_, count| *count > 0);
    }

    /// Whether somebody with these protocols can be in the group.
    pub(super) fn supports(&self, kind: &str, protocols: &[Protocol]) -> bool {
        if self.phase == Phase::Empty {
            return !kind.is_empty() && !protocols.is_empty();
        }
        let by_all = |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.len();
        self.protocol_type.as_deref() == Some(kind)
            && protocols.iter().any(|(name, _)| by_all(name))
    }

    /// The protocol that most members prefer among those that all support.
    ///
    /// Votes that are equal are decided as by the order of a Java hash map of few entries, for that is what
    /// Kafka's choice comes to.
    pub(super) fn choose_protocol(&self) -> Option<Arc<str>> {
        let by_all = |name: &Arc<str>| self.supported.get(name) == Some(&self.len());
        let mut votes: BTreeMap<(u32, &Arc<str>), usize> = BTreeMap::new();
        for member in self.members() {
            let favourite = member
                .protocols
                .iter()
                .map(|(name, _)| name)
                .find(|name| by_all(name));
            if let Some(name) = favourite {
                *votes.entry((java_bucket(name), name)).or_default() += 1;
            }
        }
        let best = votes.values().copied().max()?;
        let chosen = votes.into_iter().find(|(_, count)| *count == best);
        chosen.map(|((_, name), _)| name.clone())
    }

    /// Whether members are of the kind whose subscriptions can be read.
    pub(super) fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether a member wants that topic, as far as that is known; if it is not, consumers may want any.
    pub(super) fn wants(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumers(),
        }
    }

    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.is_consumers() {
            return None;
        }
        if self.len() == 0 {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut wanted = BTreeSet::new();
        for member in self.members() {
            let metadata = member.metadata(protocol)?;
            wanted.extend(topics(metadata)?);
        }
        Some(wanted)
    }
}

/// The place of a text in a Java hash map of 16 buckets.
fn java_bucket(text: &str) -> u32 {
    let hash = java_hash(text).cast_unsigned();
    (hash ^ (hash >> 16)) & 15
}

/// The topics subscribed to; none if the bytes are no subscription.
fn topics(metadata: &[u8]) -> Option<Vec<Box<str>>> {
    let mut reader = Reader::new(metadata);
    reader.i16().ok()?;
    let view = <ConsumerProtocolSubscriptionView<'_> as View>::decode(reader.rest(), 0).ok()?;
    Some(view.topics.iter().map(Box::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_and_other_bytes() {
        let cases: [(&[u8], Option<&[&str]>); 5] = [
            (b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff", Some(&["t"])),
            (
                b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0",
                Some(&["t"]),
            ),
            (b"\0\x63\0\0\0\0\xff\xff\xff\xffanything", Some(&[])),
            (b"", None),
            (b"\0\0\x7f\xff\xff\xff", None),
        ];
        for (bytes, expected) in cases {
            let found = topics(bytes);
            let found = found.as_deref();
            let found = found.map(|topics| topics.iter().map(|topic| &**topic).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{bytes:?}");
        }
    }
}
