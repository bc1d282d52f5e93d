//! Text to values and back: sizes, durations, addresses, lists, choices. Pure.
//!
//! Every type a setting can have is here, with the words it accepts. A size or duration may be written
//! with a unit (`1GiB`, `7d`) or as Kafka's bare number. Deliberately absent: decimal fractions
//! (`1.5GiB`): two people read them differently, and `1536MiB` says the same.

use std::fmt;

/// A setting's type: reads itself from text, or says in words what it wants.
pub trait FromText: Sized {
    /// What such a text is, for "write ...".
    fn wanted() -> String;

    /// The value, or what was expected instead.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

/// A duration in milliseconds; Kafka gives `-1` a meaning of its own in some keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Millis(pub i64);

/// `auto`, or a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Auto<T> {
    /// The node decides from the machine it finds.
    Auto,
    /// The value given.
    Set(T),
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// Host name or IP address, without brackets; empty means every interface.
    pub host: String,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
}

impl Address {
    /// True when only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// True when it names every interface, which is no address a client could dial.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.is_empty()
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_unspecified())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `none`, or an address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    /// Not opened.
    None,
    /// Opened here.
    At(Address),
}

impl Listen {
    /// The address, if it is opened.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::None => None,
            Self::At(address) => Some(address),
        }
    }
}

/// Entries separated by commas, blanks around them dropped; empty text is the empty list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List(pub Vec<String>);

const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

const DURATIONS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Bytes as people read them: the largest unit that divides them.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A number with the unit it is read in, for a key whose name says what the number counts and whose
/// text is a bare one; nothing for other keys, and for numbers that are small enough to read.
#[must_use]
pub fn show_number(name: &str, text: &str) -> Option<String> {
    let number: u64 = text.parse().ok()?;
    let shown = match name.rsplit('.').next()? {
        "ms" | "millis" => show_millis(i64::try_from(number).ok()?),
        "seconds" | "secs" => show_millis(i64::try_from(number.checked_mul(1_000)?).ok()?),
        "minutes" => show_millis(i64::try_from(number.checked_mul(60_000)?).ok()?),
        "hours" => show_millis(i64::try_from(number.checked_mul(3_600_000)?).ok()?),
        "bytes" | "size" => show_bytes(number),
        _ => return None,
    };
    let bare = shown.trim_end_matches("ms");
    (bare != text).then_some(shown)
}

/// Milliseconds as people read them: the largest unit that divides them.
#[must_use]
pub fn show_millis(millis: i64) -> String {
    for (unit, factor) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= factor && millis % factor == 0 {
            return format!("{}{unit}", millis / factor);
        }
    }
    format!("{millis}ms")
}

/// The bare number Kafka wants for a key of that name, when `text` carries a unit. The unit of the
/// number is the last word of Kafka's name (`.ms`, `.hours`, `.bytes`).
#[must_use]
pub fn kafka_number(name: &str, text: &str) -> Option<String> {
    if text.is_empty() || text.parse::<f64>().is_ok() {
        return None;
    }
    let last = name.rsplit('.').next()?;
    let per = match last {
        "ms" | "millis" => 1,
        "seconds" | "secs" => 1_000,
        "minutes" => 60_000,
        "hours" => 3_600_000,
        "bytes" | "size" => return with_unit(text, SIZES).map(|bytes| bytes.to_string()),
        _ => return None,
    };
    let millis = with_unit(text, DURATIONS)?;
    (millis % per == 0).then(|| (millis / per).to_string())
}

impl FromText for Bytes {
    fn wanted() -> String {
        "a size such as 64MiB, 1GiB or a number of bytes".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        with_unit(text, SIZES).map(Self).ok_or_else(Self::wanted)
    }
}

impl FromText for Millis {
    fn wanted() -> String {
        "a duration such as 500ms, 30s, 7d or a number of milliseconds".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if let Ok(bare) = text.trim().parse::<i64>() {
            return Ok(Self(bare));
        }
        let millis = with_unit(text, DURATIONS).ok_or_else(Self::wanted)?;
        i64::try_from(millis)
            .ok()
            .map(Self)
            .ok_or_else(Self::wanted)
    }
}

impl<T: FromText> FromText for Auto<T> {
    fn wanted() -> String {
        format!("auto, or {}", T::wanted())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        T::from_text(text)
            .map(Self::Set)
            .map_err(|wanted| format!("auto, or {wanted}"))
    }
}

impl<T: FromText> FromText for Option<T> {
    fn wanted() -> String {
        format!("nothing, or {}", T::wanted())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::from_text(text).map(Some)
    }
}

impl FromText for Address {
    fn wanted() -> String {
        "HOST:PORT, such as 127.0.0.1:9092".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(Self::wanted)?;
        let port = port.parse().ok().ok_or_else(Self::wanted)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("an IPv6 address in brackets, such as [::1]:9092".to_owned());
        }
        let host = bare.unwrap_or(host);
        if host.contains(['/', ' ', ',']) {
            return Err(Self::wanted());
        }
        let host = if host == "*" { "" } else { host };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl FromText for Listen {
    fn wanted() -> String {
        format!("none, or {}", Address::wanted())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        Address::from_text(text)
            .map(Self::At)
            .map_err(|wanted| format!("none, or {wanted}"))
    }
}

impl FromText for List {
    fn wanted() -> String {
        "entries separated by commas".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let entries = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        Ok(Self(entries.map(str::to_owned).collect()))
    }
}

impl FromText for String {
    fn wanted() -> String {
        "text".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromText for bool {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Self::wanted()),
        }
    }
}

macro_rules! number {
    ($($int:ty),+) => { $(
        impl FromText for $int {
            fn wanted() -> String {
                format!("a whole number from {} to {}", <$int>::MIN, <$int>::MAX)
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().parse().ok().ok_or_else(Self::wanted)
            }
        }
    )+ };
}
number!(i16, u16, i32, u32, i64);

/// A closed set of words. The first of a setting's words is not its default: the table says that.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl FromText for $name {
            fn wanted() -> String {
                format!("one of {}", [$($word),+].join(", "))
            }

            fn from_text(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Self::wanted()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

choice!(
    /// When a produce request is acknowledged.
    Durability {
        /// After the device said that the records are flushed: survives a power cut.
        Flush = "flush",
        /// After the write completed: survives kill -9, not a power cut.
        Write = "write",
    }
);
choice!(
    /// Whether partitions share the shard of the coordinator, which is shard 0.
    CoordinatorShard {
        /// It owns the metadata log alone.
        Own = "own",
        /// It owns as many partitions as any other.
        Shared = "shared",
    }
);
choice!(
    /// How far compressed batches are checked on append.
    CompressedCheck {
        /// Inflate and walk every record.
        Full = "full",
        /// Only the batch header and its checksum.
        Header = "header",
    }
);
choice!(
    /// Layout of log lines.
    LogFormat {
        /// One readable line an event.
        Text = "text",
        /// One JSON object an event.
        Json = "json",
    }
);
choice!(
    /// The least severe log line that is written.
    LogLevel {
        /// Only failures.
        Error = "error",
        /// And what an operator should look at.
        Warn = "warn",
        /// And what happened.
        Info = "info",
        /// And why.
        Debug = "debug",
        /// And everything else.
        Trace = "trace",
    }
);
choice!(
    /// How finely metrics are broken down.
    MetricsDetail {
        /// Sums of the node.
        Node = "node",
        /// And of each topic.
        Topic = "topic",
        /// And of each partition.
        Partition = "partition",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_take_units_and_bare_numbers() {
        assert_eq!(Bytes::from_text("1GiB"), Ok(Bytes(1 << 30)));
        assert_eq!(Bytes::from_text("5 mb"), Ok(Bytes(5_000_000)));
        assert_eq!(Bytes::from_text("4096"), Ok(Bytes(4096)));
        assert_eq!(Millis::from_text("7d"), Ok(Millis(604_800_000)));
        assert_eq!(Millis::from_text("-1"), Ok(Millis(-1)));
        for bad in ["", "GiB", "1.5GiB", "-1GiB", "99999999999999TiB"] {
            assert!(Bytes::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_durations_print_in_the_largest_unit_that_divides() {
        assert_eq!(show_bytes(1 << 30), "1GiB");
        assert_eq!(show_bytes(1_048_588), "1048588");
        assert_eq!(show_bytes(0), "0");
        assert_eq!(show_millis(604_800_000), "7d");
        assert_eq!(show_millis(1_500), "1500ms");
    }

    #[test]
    fn kafka_numbers_take_the_unit_of_their_name() {
        assert_eq!(
            kafka_number("log.retention.hours", "7d").as_deref(),
            Some("168")
        );
        assert_eq!(
            kafka_number("log.segment.bytes", "1GiB").as_deref(),
            Some("1073741824")
        );
        assert_eq!(kafka_number("log.retention.hours", "90m"), None);
        assert_eq!(kafka_number("log.retention.ms", "1000"), None);
    }

    #[test]
    fn bare_numbers_are_read_by_the_key_they_belong_to() {
        let shown = |name, text| show_number(name, text);
        assert_eq!(shown("log.retention.hours", "168").as_deref(), Some("7d"));
        assert_eq!(
            shown("log.segment.bytes", "1073741824").as_deref(),
            Some("1GiB")
        );
        assert_eq!(shown("log.retention.bytes", "-1"), None);
        assert_eq!(shown("log.retention.ms", "1500"), None);
        assert_eq!(shown("num.partitions", "60000"), None);
    }

    #[test]
    fn addresses() {
        let parse = |text| Address::from_text(text).map(|a| a.to_string());
        assert_eq!(parse("localhost:9092").as_deref(), Ok("localhost:9092"));
        assert_eq!(parse("[::1]:9092").as_deref(), Ok("[::1]:9092"));
        assert!(parse("::1:9092").is_err());
        assert!(parse("localhost").is_err());
        assert!(parse("localhost:70000").is_err());
        assert!(Address::from_text("127.3.2.1:1").unwrap().is_loopback());
        assert!(!Address::from_text("0.0.0.0:1").unwrap().is_loopback());
        assert!(Address::from_text("0.0.0.0:1").unwrap().is_wildcard());
        assert!(Address::from_text("*:1").unwrap().is_wildcard());
    }
}
