//! From what members ask for to topics: names, patterns, and a hash of what they come to.
//!
//! Patterns are those of the crate `regex`, which are matched in linear time; a whole name must match. Kafka's are
//! RE2/J, which differ in small things: character classes by Unicode's properties (`\p{..}`) are refused here.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::RegexBuilder;
use thalweg_wire::ids::Uuid;

use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Topic};

use super::change::Change;
use super::draft::Draft;
use super::state::{ConsumerGroup, Regex, Subscription};

/// Bytes that a compiled pattern may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// FNV-1a. Kafka's hash is another one, which matters only to who takes over a directory: the group's epoch goes up
/// once.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0100_0000_01b3;

/// The ids of the topics that a member wants and that exist.
pub(super) fn topics_of(
    group: &ConsumerGroup,
    subscription: &Subscription,
    image: &Image,
) -> BTreeSet<Uuid> {
    let regex = subscription
        .regex
        .as_ref()
        .and_then(|text| group.regexes.get(text));
    let names = regex.into_iter().flat_map(|regex| &regex.topics);
    let names = names.chain(&subscription.topics);
    names
        .filter_map(|name| Some(image.topics.named(name)?.id))
        .collect()
}

/// A hash of all topics that members want, as they are now; 0 if there are none.
pub(super) fn metadata_hash(group: &ConsumerGroup, image: &Image) -> i64 {
    let mut names: BTreeSet<&Arc<str>> = BTreeSet::new();
    for member in group.members.values() {
        names.extend(&member.subscription.topics);
        let regex = member.subscription.regex.as_ref();
        let regex = regex.and_then(|text| group.regexes.get(text));
        names.extend(regex.into_iter().flat_map(|regex| &regex.topics));
    }
    let topics: Vec<&Arc<Topic>> = names
        .into_iter()
        .filter_map(|name| image.topics.named(name))
        .collect();
    if topics.is_empty() {
        return 0;
    }
    let mut hash = HASH_START;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(HASH_PRIME);
        }
    };
    for topic in topics {
        add(topic.id.to_string().as_bytes());
        add(&topic.partitions.len().to_be_bytes());
    }
    hash.cast_signed()
}

fn compile(text: &str) -> Result<regex::Regex, Refusal> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
    };
    // By itself first: it might close the brackets that are put around it.
    let whole = build(text).and_then(|_| build(&format!(r"\A(?:{text})\z")));
    whole.map_err(|cause| {
        let words =
            format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {cause}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, words)
    })
}

/// Refuses a pattern that is none.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    compile(text).map(|_| ())
}

/// Looks up what the group's patterns match now, and drops those that nobody asks for any more.
pub(super) fn resolve(draft: &mut Draft<'_>, image: &Image, now: i64) {
    let members = draft.group().members.values();
    let wanted: BTreeSet<Arc<str>> = members
        .filter_map(|member| member.subscription.regex.clone())
        .collect();
    let known = draft.group().regexes.keys();
    let unused: Vec<Arc<str>> = known
        .filter(|text| !wanted.contains(*text))
        .cloned()
        .collect();
    for text in unused {
        draft.put(Change::Regex(text, None));
    }
    for text in wanted {
        // What was logged before may be no pattern to this version: it matches nothing.
        let topics = compile(&text)
            .map(|pattern| matches(&pattern, image))
            .unwrap_or_default();
        if draft
            .group()
            .regexes
            .get(&text)
            .is_none_or(|old| old.topics != topics)
        {
            let regex = Regex {
                topics,
                version: image.offset.0,
                timestamp: now,
            };
            draft.put(Change::Regex(text, Some(Arc::new(regex))));
        }
    }
}

fn matches(pattern: &regex::Regex, image: &Image) -> BTreeSet<Arc<str>> {
    let topics = image
        .topics
        .iter()
        .filter(|topic| pattern.is_match(&topic.name));
    topics.map(|topic| Arc::from(&*topic.name)).collect()
}
