//! What a run is told: command line in, settings or the first mistake out.
//!
//! Every setting has a default that makes sense alone; all of them stand in the report.

mod help;
pub(crate) mod parse;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_wire::batch::header::Codec;

use crate::BenchError;
use parse::usage;

pub use help::HELP;

/// Room for the send time and the sequence at the head of each value.
pub const RECORD_BYTES_MIN: usize = 16;
/// A producer's number has 16 bits in a record's stamp.
pub const PRODUCERS_MAX: usize = 1 << 16;
/// Keys are made before the run: so many fit in memory without a thought.
pub const KEYS_MAX: u32 = 4_000_000;
/// All partitions of a failover load together, unless told otherwise.
const FAILOVER_RATE: f64 = 1000.0;
/// A failover load has a thread for each.
pub const FAILOVER_PARTITIONS_MAX: i32 = 1000;
/// What an idempotent producer may have under way on a connection.
const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    Produce,
    Consume,
    E2e,
    Mixed,
    CatchUp,
    ManyPartitions,
    FanOut,
    Failover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partitioner {
    Sticky,
    RoundRobin,
}

/// Which of so many keys a record has; a key chooses the partition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    None,
    RoundRobin(u32),
    Uniform(u32),
    /// The number of keys, and the exponent: key n is n^exponent times rarer than the first.
    Zipf(u32, f64),
}

/// Which rates a sweep tries first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sweep {
    Auto,
    Between { low: f64, high: f64, steps: u32 },
}

/// How closely consumers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    Full,
    Checksum,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Where the report goes; no part of it.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub format: Format,
    pub json: Option<PathBuf>,
    pub hgrm: Option<PathBuf>,
    pub html: Option<PathBuf>,
    /// None: as standard error is a terminal or not.
    pub progress: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub workload: Workload,
    pub brokers: String,
    pub topic: String,
    pub partitions: i32,
    pub replication: i16,
    pub topic_configs: Vec<(String, String)>,
    pub producers: usize,
    pub consumers: usize,
    /// Event loops for each side.
    pub threads: usize,
    pub group: Option<String>,
    /// Records per second; none means as fast as the server lets it.
    pub rate: Option<f64>,
    pub sweep: Option<Sweep>,
    pub record_bytes: usize,
    pub keys: Keys,
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
    pub backlog: u64,
    pub fetch_bytes: i32,
    pub fetch_wait_ms: i32,
    pub fetch_session: bool,
    pub verify: Verify,
    pub durability: String,
    #[serde(skip)]
    pub output: Output,
}

impl Settings {
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        let settings = Self {
            workload,
            brokers: "127.0.0.1:9092".to_owned(),
            topic: "bench".to_owned(),
            partitions: 1,
            replication: -1,
            topic_configs: Vec::new(),
            producers: 1,
            consumers: 1,
            threads: 1,
            group: None,
            rate: None,
            sweep: None,
            record_bytes: 1024,
            keys: Keys::None,
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
            backlog: 1_000_000,
            fetch_bytes: 1 << 20,
            fetch_wait_ms: 500,
            fetch_session: true,
            verify: Verify::Full,
            durability: "unknown".to_owned(),
            output: Output::default(),
        };
        match workload {
            Workload::ManyPartitions => Self {
                partitions: 1000,
                partitioner: Partitioner::RoundRobin,
                batch_bytes: 1,
                ..settings
            },
            Workload::FanOut => Self {
                consumers: 4,
                ..settings
            },
            Workload::Failover => Self {
                rate: Some(FAILOVER_RATE),
                partitioner: Partitioner::RoundRobin,
                ..settings
            },
            _ => settings,
        }
    }

    /// The command line without the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self, BenchError> {
        let mut words = arguments.iter().map(String::as_str);
        let mut settings = Self::new(match words.next() {
            Some("produce") => Workload::Produce,
            Some("consume") => Workload::Consume,
            Some("e2e") => Workload::E2e,
            Some("mixed") => Workload::Mixed,
            Some("catch-up") => Workload::CatchUp,
            Some("many-partitions") => Workload::ManyPartitions,
            Some("fan-out") => Workload::FanOut,
            Some("failover") => Workload::Failover,
            other => return usage(format!("`{}` is no workload", other.unwrap_or_default())),
        });
        let mut told = Vec::new();
        while let Some(option) = words.next() {
            let Some(value) = words.next() else {
                return usage(format!("`{option}` needs a value"));
            };
            settings.set(option, value)?;
            told.push(option);
        }
        // Idempotence is a default that gives way; asked for, it is a demand that is checked.
        if !told.contains(&"--idempotent") && settings.acks != -1 {
            settings.idempotent = false;
        }
        settings.checked()
    }

    fn checked(mut self) -> Result<Self, BenchError> {
        let some = self.partitions > 0 && self.producers > 0 && self.consumers > 0;
        if !some || self.in_flight == 0 || self.threads == 0 || self.duration.is_zero() {
            return usage("counts and the duration start at 1".to_owned());
        }
        if self.record_bytes < RECORD_BYTES_MIN {
            return usage(format!("a record has at least {RECORD_BYTES_MIN} bytes"));
        }
        if self.producers > PRODUCERS_MAX {
            return usage(format!("at most {PRODUCERS_MAX} producers"));
        }
        if self
            .rate
            .is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
        {
            return usage("a rate is above 0".to_owned());
        }
        if self.idempotent && (self.in_flight > IDEMPOTENT_IN_FLIGHT_MAX || self.acks != -1) {
            let most = IDEMPOTENT_IN_FLIGHT_MAX;
            return usage(format!(
                "idempotence needs acks=all and at most {most} in flight"
            ));
        }
        let keys = match self.keys {
            Keys::None => 1,
            Keys::RoundRobin(keys) | Keys::Uniform(keys) | Keys::Zipf(keys, _) => keys,
        };
        if !(1..=KEYS_MAX).contains(&keys) {
            return usage(format!("1 to {KEYS_MAX} keys"));
        }
        if let Some(Sweep::Between { low, high, steps }) = self.sweep
            && !(low > 0.0 && high > low && steps >= 2)
        {
            return usage("a sweep goes from a low to a high rate in 2 steps or more".to_owned());
        }
        if self.acks == 0 && self.workload != Workload::Produce {
            return usage("acks=0 has no acknowledgements to build on: produce only".to_owned());
        }
        if self.workload == Workload::Failover {
            self.check_failover()?;
        }
        self.codec()?;
        if self.workload != Workload::FanOut {
            let partitions = usize::try_from(self.partitions).unwrap_or(1);
            self.consumers = self.consumers.min(partitions);
        }
        Ok(self)
    }

    /// What is sent again needs a time it was due, and a sequence that tells it from a new one.
    fn check_failover(&self) -> Result<(), BenchError> {
        if self.rate.is_none() || self.sweep.is_some() {
            return usage("failover has one rate: records due during an outage wait".to_owned());
        }
        if !self.idempotent {
            return usage("failover sends again until it is acknowledged: idempotent".to_owned());
        }
        if self.keys != Keys::None || self.producers > 1 {
            return usage("failover has a producer for each partition, without keys".to_owned());
        }
        if self.partitions > FAILOVER_PARTITIONS_MAX {
            let most = FAILOVER_PARTITIONS_MAX;
            return usage(format!("failover has a thread a partition: at most {most}"));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, BenchError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Settings::parse(&words)
    }

    #[test]
    fn a_line_becomes_settings() {
        let settings = parse("e2e -b h:1 --rate 5000 --partitions 100 --linger-ms 1.5").unwrap();
        assert_eq!(settings.workload, Workload::E2e);
        assert_eq!(settings.rate, Some(5000.0));
        assert_eq!(
            (settings.partitions, settings.linger.as_micros()),
            (100, 1500)
        );
        let settings = parse("produce --keys zipf:100:0.8 --rate-sweep 10:20:3").unwrap();
        assert_eq!(settings.keys, Keys::Zipf(100, 0.8));
        let (low, high, steps) = (10.0, 20.0, 3);
        assert_eq!(settings.sweep, Some(Sweep::Between { low, high, steps }));
    }

    #[test]
    fn named_loads_have_their_own_defaults() {
        let many = parse("many-partitions").unwrap();
        assert_eq!((many.partitions, many.batch_records_max()), (1000, 1));
        assert_eq!(parse("fan-out --consumers 9").unwrap().consumers, 9);
        assert_eq!(parse("e2e --consumers 9").unwrap().consumers, 1);
        assert!(!parse("produce --acks 1").unwrap().idempotent);
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
            ("failover --rate max", "one rate"),
            ("failover --rate-sweep auto", "one rate"),
            ("failover --idempotent false", "idempotent"),
            ("failover --acks 1", "idempotent"),
            ("failover --keys uniform:5", "without keys"),
            ("failover --producers 2", "each partition"),
            ("failover --partitions 1001", "at most 1000"),
            ("produce --rate", "needs a value"),
            ("produce --rate -3", "above 0"),
            ("produce --size 8", "at least 16"),
            ("produce --duration 3h", "no time"),
            ("produce --in-flight 9", "at most 5"),
            ("produce --acks 1 --idempotent true", "needs acks=all"),
            ("produce --wings 2", "no option"),
            ("produce --keys many", "--keys"),
            ("produce --keys uniform:4000001", "4000000 keys"),
            ("produce --producers 65537", "65536 producers"),
            ("produce --rate-sweep 5:3:9", "low to a high"),
            ("produce --linger-ms -1", "--linger-ms"),
            ("produce --codec brotli", "no codec"),
            ("e2e --acks 0", "produce only"),
        ] {
            let told = parse(line).unwrap_err().to_string();
            assert!(told.contains(word), "{line}: {told}");
        }
    }
}
