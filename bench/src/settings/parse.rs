//! Words of the command line into settings: what a value may look like, and what is said when it
//! does not.

use std::str::FromStr;
use std::time::Duration;

use super::{Format, Keys, Partitioner, Settings, Sweep, Verify};
use crate::BenchError;

impl Settings {
    pub(super) fn set(&mut self, option: &str, value: &str) -> Result<(), BenchError> {
        match option {
            "-b" | "--brokers" => value.clone_into(&mut self.brokers),
            "--topic" => value.clone_into(&mut self.topic),
            "--topic-config" => match value.split_once('=') {
                Some((key, value)) => self.topic_configs.push((key.to_owned(), value.to_owned())),
                None => return usage(format!("`{value}` is not KEY=VALUE")),
            },
            "--codec" => value.clone_into(&mut self.codec),
            "--durability" => value.clone_into(&mut self.durability),
            "--group" => self.group = Some(value.to_owned()),
            "--partitions" => self.partitions = number(option, value)?,
            "--replication" => self.replication = number(option, value)?,
            "--producers" => self.producers = number(option, value)?,
            "--consumers" => self.consumers = number(option, value)?,
            "--threads" => self.threads = number(option, value)?,
            "--size" => self.record_bytes = number(option, value)?,
            "--batch-bytes" => self.batch_bytes = number(option, value)?,
            "--in-flight" => self.in_flight = number(option, value)?,
            "--fetch-bytes" => self.fetch_bytes = number(option, value)?,
            "--fetch-wait-ms" => self.fetch_wait_ms = number(option, value)?,
            "--fetch-session" => self.fetch_session = number(option, value)?,
            "--records" => self.records = Some(number(option, value)?),
            "--backlog" => self.backlog = number(option, value)?,
            "--idempotent" => self.idempotent = number(option, value)?,
            "--linger-ms" => self.linger = milliseconds(option, value)?,
            "--warm-up" => self.warm_up = time(option, value)?,
            "--duration" => self.duration = time(option, value)?,
            "--keys" => self.keys = keys(value)?,
            _ => return self.set_word(option, value),
        }
        Ok(())
    }

    /// Options whose values are words of their own, and where the report goes.
    fn set_word(&mut self, option: &str, value: &str) -> Result<(), BenchError> {
        match (option, value) {
            ("--rate", "max") => self.rate = None,
            ("--rate", _) => self.rate = Some(number(option, value)?),
            ("--rate-sweep", _) => self.sweep = Some(sweep(value)?),
            ("--acks", "all" | "-1") => self.acks = -1,
            ("--acks", "1") => self.acks = 1,
            ("--acks", "0") => self.acks = 0,
            ("--partitioner", "sticky") => self.partitioner = Partitioner::Sticky,
            ("--partitioner", "round-robin") => self.partitioner = Partitioner::RoundRobin,
            ("--verify", "full") => self.verify = Verify::Full,
            ("--verify", "checksum") => self.verify = Verify::Checksum,
            ("--format", "text") => self.output.format = Format::Text,
            ("--format", "json") => self.output.format = Format::Json,
            ("--progress", "on") => self.output.progress = Some(true),
            ("--progress", "off") => self.output.progress = Some(false),
            ("--json", _) => self.output.json = Some(value.into()),
            ("--hgrm", _) => self.output.hgrm = Some(value.into()),
            ("--html", _) => self.output.html = Some(value.into()),
            ("--acks" | "--partitioner" | "--verify" | "--format" | "--progress", _) => {
                return usage(format!("`{value}` is no value of {option}"));
            }
            _ => return usage(format!("`{option}` is no option")),
        }
        Ok(())
    }
}

pub(crate) fn number<T: FromStr>(option: &str, value: &str) -> Result<T, BenchError> {
    let wrong = BenchError::Usage(format!("`{value}` is no value of {option}"));
    value.parse().ok().ok_or(wrong)
}

fn milliseconds(option: &str, value: &str) -> Result<Duration, BenchError> {
    let count: f64 = number(option, value)?;
    match Duration::try_from_secs_f64(count / 1000.0) {
        Ok(time) => Ok(time),
        Err(_) => usage(format!("`{value}` is no value of {option}")),
    }
}

/// A time with its unit; without one, seconds.
pub(crate) fn time(option: &str, value: &str) -> Result<Duration, BenchError> {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count: u64 = number(option, digits)?;
    match value.get(digits.len()..) {
        Some("us") => Ok(Duration::from_micros(count)),
        Some("ms") => Ok(Duration::from_millis(count)),
        Some("" | "s") => Ok(Duration::from_secs(count)),
        Some("m") => Ok(Duration::from_secs(count.saturating_mul(60))),
        _ => usage(format!("`{value}` is no time for {option}: 500ms, 10s, 2m")),
    }
}

fn keys(value: &str) -> Result<Keys, BenchError> {
    let words: Vec<&str> = value.split(':').collect();
    let count = |word: &str| number("--keys", word);
    Ok(match words.as_slice() {
        ["none"] => Keys::None,
        ["round-robin", keys] => Keys::RoundRobin(count(keys)?),
        ["uniform", keys] => Keys::Uniform(count(keys)?),
        ["zipf", keys] => Keys::Zipf(count(keys)?, 1.0),
        ["zipf", keys, exponent] => Keys::Zipf(count(keys)?, number("--keys", exponent)?),
        _ => return usage(format!("`{value}` is no value of --keys")),
    })
}

fn sweep(value: &str) -> Result<Sweep, BenchError> {
    if value == "auto" {
        return Ok(Sweep::Auto);
    }
    let words: Vec<&str> = value.split(':').collect();
    let [low, high, steps] = words.as_slice() else {
        return usage(format!("`{value}` is not LOW:HIGH:N or auto"));
    };
    Ok(Sweep::Between {
        low: number("--rate-sweep", low)?,
        high: number("--rate-sweep", high)?,
        steps: number("--rate-sweep", steps)?,
    })
}

pub(crate) fn usage<T>(what: String) -> Result<T, BenchError> {
    Err(BenchError::Usage(what))
}
