//! Which topics are meant: by name, or by a pattern that topics to come may match too.
//!
//! A pattern has to match a name whole, as in Kafka's clients, and never means Kafka's own topics. Which
//! topics there are, and how many partitions they have, is asked again from time to time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};

use super::super::failure::Failure;
use super::super::routing::Cluster;

/// How often a group's member looks for topics and partitions that are new.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What a pattern may take when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What is read.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// These topics.
    Names(Vec<String>),
    /// All that match one of these.
    Patterns(Vec<Regex>),
}

impl Wanted {
    pub(crate) fn patterns(texts: &[String]) -> Result<Self, Failure> {
        let patterns = texts.iter().map(|text| {
            RegexBuilder::new(&format!("^(?:{text})$"))
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| {
                    Failure::input(
                        format!("cannot read the pattern `{text}`: {error}"),
                        "`--regex` makes patterns of all topics named",
                        "write a regular expression such as 'orders-.*', or leave out `--regex`",
                    )
                })
        });
        patterns.collect::<Result<_, _>>().map(Self::Patterns)
    }

    /// The topics that there are now, with the number of their partitions. Names that are not there are a
    /// failure, a pattern that matches nothing is not.
    pub(crate) fn now(&self, cluster: &mut Cluster) -> Result<BTreeMap<String, i32>, Failure> {
        let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
        match self {
            Self::Names(names) => {
                let mut topics = BTreeMap::new();
                for name in names {
                    topics.insert(name.clone(), count(cluster.partitions(name)?.len()));
                }
                Ok(topics)
            }
            Self::Patterns(patterns) => {
                cluster.refresh(None)?;
                let sound = cluster
                    .topics()
                    .iter()
                    .filter(|(_, facts)| facts.error == 0);
                let matching = sound.filter(|(name, _)| {
                    !is_internal(name) && patterns.iter().any(|pattern| pattern.is_match(name))
                });
                Ok(matching
                    .map(|(name, facts)| (name.clone(), count(facts.leaders.len())))
                    .collect())
            }
        }
    }
}

fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

/// Topics that are looked at again and again.
#[derive(Debug)]
pub(crate) struct Watch {
    wanted: Wanted,
    seen: BTreeMap<String, i32>,
    last_look: Instant,
}

impl Watch {
    pub(crate) fn new(wanted: Wanted, cluster: &mut Cluster) -> Result<Self, Failure> {
        Ok(Self {
            seen: wanted.now(cluster)?,
            wanted,
            last_look: Instant::now(),
        })
    }

    /// The topics as they were seen last.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }

    /// Looks, if it is time to: true if there is more or less to read than before.
    pub(crate) fn has_changed(&mut self, cluster: &mut Cluster) -> Result<bool, Failure> {
        if self.last_look.elapsed() < LOOK_EVERY {
            return Ok(false);
        }
        self.last_look = Instant::now();
        let seen = self.wanted.now(cluster)?;
        let changed = seen != self.seen;
        self.seen = seen;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names_only() {
        let matches = |pattern: &str, name: &str| {
            let Ok(Wanted::Patterns(patterns)) = Wanted::patterns(&[pattern.to_owned()]) else {
                panic!("{pattern}");
            };
            patterns.iter().any(|pattern| pattern.is_match(name))
        };
        assert!(matches("orders-.*", "orders-eu"));
        assert!(!matches("orders", "orders-eu"));
        assert!(!matches("eu", "orders-eu"));
        assert!(matches("a|orders-eu", "orders-eu"));
        assert!(matches(r"t\d+", "t12"));
        assert!(is_internal("__consumer_offsets"));
        assert!(Wanted::patterns(&["(".to_owned()]).is_err());
        assert!(Wanted::patterns(&["(a{1000}){1000}".to_owned()]).is_err());
    }
}
