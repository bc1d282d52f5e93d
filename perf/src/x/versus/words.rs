//! The few options of a load that the driver itself has to know, read from the generator's words.

use super::rows::HALF;

/// Records of 1 KiB that each partition of a new topic gets, within a second.
const TOUCHING: i32 = 6;

/// A load as the generator is told it.
#[derive(Debug, Clone)]
pub(super) struct Words(String);

impl Words {
    /// With the rate that stands for half of what Kafka does.
    pub(super) fn new(words: &str, half: f64) -> Self {
        Self(words.replace(HALF, &format!("{half:.0}")))
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        self.0.split_whitespace()
    }

    /// Every value that an option was given.
    fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let options = self.each().skip(1).step_by(2);
        let values = self.each().skip(2).step_by(2);
        options
            .zip(values)
            .filter_map(move |(name, value)| (name == option).then_some(value))
    }

    pub(super) fn topic(&self) -> &str {
        self.values("--topic").next().unwrap_or("bench")
    }

    pub(super) fn partitions(&self) -> i32 {
        self.number("--partitions").unwrap_or(1)
    }

    pub(super) fn record_bytes(&self) -> u64 {
        self.number("--size").unwrap_or(1024)
    }

    /// None where it is as much as possible.
    pub(super) fn rate(&self) -> Option<f64> {
        self.number("--rate")
    }

    /// How often each record is delivered: what a row costs is told for what was delivered.
    pub(super) fn copies(&self) -> u64 {
        match self.each().next() {
            Some("fan-out") => self.number("--consumers").unwrap_or(1),
            _ => 1,
        }
    }

    pub(super) fn topic_configs(&self) -> Vec<(&str, &str)> {
        self.values("--topic-config")
            .filter_map(|value| value.split_once('='))
            .collect()
    }

    pub(super) fn consumes(&self) -> bool {
        self.each().next() == Some("consume")
    }

    /// A load that writes a few records, more than 4 KiB, to each partition of this one's topic.
    pub(super) fn touching(&self) -> Self {
        let (topic, partitions) = (self.topic(), self.partitions());
        let rate = TOUCHING * partitions;
        Self(format!(
            "produce --topic {topic} --partitions {partitions} --rate {rate} \
             --size 1024 --batch-bytes 1024 --partitioner round-robin"
        ))
    }

    fn number<T: std::str::FromStr>(&self, option: &str) -> Option<T> {
        self.values(option).next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_where_the_generator_finds_them() {
        let words = Words::new(
            "produce --topic t --partitions 8 --rate HALF --topic-config a=b --topic-config c=d",
            1234.4,
        );
        assert_eq!((words.topic(), words.partitions()), ("t", 8));
        assert_eq!((words.rate(), words.record_bytes()), (Some(1234.0), 1024));
        assert_eq!(words.topic_configs(), [("a", "b"), ("c", "d")]);
        assert!(!words.consumes());
        assert_eq!(words.copies(), 1);
        assert_eq!(Words::new("fan-out --consumers 16", 0.0).copies(), 16);
        assert_eq!(Words::new("consume --rate max", 0.0).rate(), None);
        let touching = Words::new("e2e --topic many --partitions 100 --rate max", 0.0).touching();
        assert_eq!((touching.topic(), touching.partitions()), ("many", 100));
        assert_eq!(touching.rate(), Some(600.0));
    }
}
