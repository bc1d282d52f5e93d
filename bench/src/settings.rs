//! What a run is told: command line in, settings or the first mistake out.
//!
//! Every setting has a default that makes sense alone; all of them stand in the report.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_wire::batch::header::Codec;

use crate::BenchError;

pub const HELP: &str = "thalweg bench produce|consume|e2e [OPTION VALUE]...

  -b, --brokers HOST:PORT   127.0.0.1:9092
  --topic NAME              bench; created if it is not there
  --partitions N            1
  --topic-config KEY=VALUE  for a topic that is created; may be repeated
  --producers N             1: a connection each
  --consumers N             1: a connection each, partitions shared out
  --rate N|max              max: records per second, all producers together
  --size BYTES              1024: of a record's value, at least 16
  --batch-bytes N           16384
  --linger-ms N             0
  --partitioner NAME        sticky: fill a batch, then the next partition; or round-robin
  --acks 1|all              all
  --in-flight N             5: requests a connection
  --idempotent true|false   true
  --codec NAME              none, gzip, snappy, lz4, zstd
  --warm-up TIME            5s: not in the report; 500ms, 10s, 2m or bare seconds
  --duration TIME           15s
  --records N               consume: stop after so many; default: what is there at the start
  --fetch-bytes N           1048576: of a partition
  --durability WORD         unknown: what the server promises, as you know it; goes to the report
  --format text|json        text
";

/// Room for the send time and the sequence at the head of each value.
pub const RECORD_BYTES_MIN: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    Produce,
    Consume,
    E2e,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partitioner {
    Sticky,
    RoundRobin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub workload: Workload,
    pub brokers: String,
    pub topic: String,
    pub partitions: i32,
    pub topic_configs: Vec<(String, String)>,
    pub producers: usize,
    pub consumers: usize,
    /// Records per second; none means as fast as the server lets it.
    pub rate: Option<f64>,
    pub record_bytes: usize,
    pub batch_bytes: usize,
    pub linger: Duration,
    pub partitioner: Partitioner,
    pub acks: i16,
    pub in_flight: usize,
    pub idempotent: bool,
    pub codec: String,
    pub warm_up: Duration,
    pub duration: Duration,
    pub records: Option<u64>,
    pub fetch_bytes: i32,
    pub durability: String,
    #[serde(skip)]
    pub format: Format,
}

impl Settings {
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        Self {
            workload,
            brokers: "127.0.0.1:9092".to_owned(),
            topic: "bench".to_owned(),
            partitions: 1,
            topic_configs: Vec::new(),
            producers: 1,
            consumers: 1,
            rate: None,
            record_bytes: 1024,
            batch_bytes: 16384,
            linger: Duration::ZERO,
            partitioner: Partitioner::Sticky,
            acks: -1,
            in_flight: 5,
            idempotent: true,
            codec: "none".to_owned(),
            warm_up: Duration::from_secs(5),
            duration: Duration::from_secs(15),
            records: None,
            fetch_bytes: 1 << 20,
            durability: "unknown".to_owned(),
            format: Format::Text,
        }
    }

    /// The command line without the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self, BenchError> {
        let mut words = arguments.iter().map(String::as_str);
        let mut settings = Self::new(match words.next() {
            Some("produce") => Workload::Produce,
            Some("consume") => Workload::Consume,
            Some("e2e") => Workload::E2e,
            other => return usage(format!("`{}` is no workload", other.unwrap_or_default())),
        });
        while let Some(option) = words.next() {
            let Some(value) = words.next() else {
                return usage(format!("`{option}` needs a value"));
            };
            settings.set(option, value)?;
        }
        settings.checked()
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), BenchError> {
        match option {
            "-b" | "--brokers" => value.clone_into(&mut self.brokers),
            "--topic" => value.clone_into(&mut self.topic),
            "--topic-config" => match value.split_once('=') {
                Some((key, value)) => self.topic_configs.push((key.to_owned(), value.to_owned())),
                None => return usage(format!("`{value}` is not KEY=VALUE")),
            },
            "--codec" => value.clone_into(&mut self.codec),
            "--durability" => value.clone_into(&mut self.durability),
            "--partitions" => self.partitions = number(option, value)?,
            "--producers" => self.producers = number(option, value)?,
            "--consumers" => self.consumers = number(option, value)?,
            "--size" => self.record_bytes = number(option, value)?,
            "--batch-bytes" => self.batch_bytes = number(option, value)?,
            "--in-flight" => self.in_flight = number(option, value)?,
            "--fetch-bytes" => self.fetch_bytes = number(option, value)?,
            "--records" => self.records = Some(number(option, value)?),
            "--idempotent" => self.idempotent = number(option, value)?,
            "--linger-ms" => self.linger = Duration::from_millis(number(option, value)?),
            "--warm-up" => self.warm_up = time(option, value)?,
            "--duration" => self.duration = time(option, value)?,
            _ => return self.set_word(option, value),
        }
        Ok(())
    }

    /// Options whose values are words of their own.
    fn set_word(&mut self, option: &str, value: &str) -> Result<(), BenchError> {
        match (option, value) {
            ("--rate", "max") => self.rate = None,
            ("--rate", _) => self.rate = Some(number(option, value)?),
            ("--acks", "all" | "-1") => self.acks = -1,
            ("--acks", "1") => self.acks = 1,
            ("--partitioner", "sticky") => self.partitioner = Partitioner::Sticky,
            ("--partitioner", "round-robin") => self.partitioner = Partitioner::RoundRobin,
            ("--format", "text") => self.format = Format::Text,
            ("--format", "json") => self.format = Format::Json,
            ("--acks" | "--partitioner" | "--format", _) => {
                return usage(format!("`{value}` is no value of {option}"));
            }
            _ => return usage(format!("`{option}` is no option")),
        }
        Ok(())
    }

    fn checked(mut self) -> Result<Self, BenchError> {
        let some = self.partitions > 0 && self.producers > 0 && self.consumers > 0;
        if !some || self.in_flight == 0 || self.duration.is_zero() {
            return usage("counts and the duration start at 1".to_owned());
        }
        if self.record_bytes < RECORD_BYTES_MIN {
            return usage(format!("a record has at least {RECORD_BYTES_MIN} bytes"));
        }
        if self
            .rate
            .is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
        {
            return usage("a rate is above 0".to_owned());
        }
        if self.idempotent && (self.in_flight > 5 || self.acks != -1) {
            return usage("idempotence needs acks=all and at most 5 in flight".to_owned());
        }
        if self.workload == Workload::E2e && self.codec()? != Codec::None {
            return usage("e2e reads each record's send time: codec none only".to_owned());
        }
        self.consumers = self
            .consumers
            .min(usize::try_from(self.partitions).unwrap_or(1));
        Ok(self)
    }

    pub fn codec(&self) -> Result<Codec, BenchError> {
        Ok(match self.codec.as_str() {
            "none" => Codec::None,
            "gzip" => Codec::Gzip,
            "snappy" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            other => return usage(format!("`{other}` is no codec")),
        })
    }

    #[must_use]
    pub fn batch_records_max(&self) -> usize {
        (self.batch_bytes / self.record_bytes).max(1)
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, BenchError> {
    let wrong = BenchError::Usage(format!("`{value}` is no value of {option}"));
    value.parse().ok().ok_or(wrong)
}

/// A time with its unit; without one, seconds.
fn time(option: &str, value: &str) -> Result<Duration, BenchError> {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count: u64 = number(option, digits)?;
    match value.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(count)),
        Some("" | "s") => Ok(Duration::from_secs(count)),
        Some("m") => Ok(Duration::from_secs(count.saturating_mul(60))),
        _ => usage(format!("`{value}` is no time for {option}: 500ms, 10s, 2m")),
    }
}

fn usage<T>(what: String) -> Result<T, BenchError> {
    Err(BenchError::Usage(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, BenchError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Settings::parse(&words)
    }

    #[test]
    fn a_line_becomes_settings() {
        let settings = parse("e2e -b h:1 --rate 5000 --partitions 100 --linger-ms 1").unwrap();
        assert_eq!(settings.workload, Workload::E2e);
        assert_eq!(settings.rate, Some(5000.0));
        assert_eq!((settings.partitions, settings.linger.as_millis()), (100, 1));
    }

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("7", 7_000),
            ("2m", 120_000),
        ] {
            let settings = parse(&format!("produce --duration {text}")).unwrap();
            assert_eq!(settings.duration.as_millis(), milliseconds, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("fly", "`fly`"),
            ("produce --rate", "needs a value"),
            ("produce --rate -3", "above 0"),
            ("produce --size 8", "at least 16"),
            ("produce --duration 3h", "no time"),
            ("produce --in-flight 9", "at most 5"),
            ("produce --wings 2", "no option"),
            ("e2e --codec lz4", "codec none only"),
        ] {
            let told = parse(line).unwrap_err().to_string();
            assert!(told.contains(word), "{line}: {told}");
        }
    }
}
