//! Whether a text is a value of a key: by type, then by bounds, in Kafka's words; and how Kafka writes it.
//!
//! Pure. Numbers are read as Java reads them, so that what one takes the other takes. Deliberately
//! absent: what a value means to the engine (`check.rs`, `broker.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{Bounds, ConfigType};

/// Bytes of the longest value: what the protocol can carry, and lists that grow must stay within.
pub const VALUE_BYTES_MAX: usize = 32_767;

/// Checks a value.
///
/// # Errors
/// What is wrong with it, as Kafka says it.
pub fn check(name: &str, kind: ConfigType, bounds: Bounds, value: &str) -> Result<(), String> {
    let bytes = value.len();
    if bytes > VALUE_BYTES_MAX {
        return Err(format!(
            "The value of configuration {name} has {bytes} bytes, more than {VALUE_BYTES_MAX}"
        ));
    }
    let text = trim(value);
    let wrong = match kind {
        ConfigType::Boolean if boolean(text).is_none() => Err((
            value.to_owned(),
            "Expected value to be either true or false".to_owned(),
        )),
        ConfigType::Int => number(
            value,
            kind,
            bounds,
            i64::from(i32::MIN),
            i64::from(i32::MAX),
        ),
        ConfigType::Short => number(
            value,
            kind,
            bounds,
            i64::from(i16::MIN),
            i64::from(i16::MAX),
        ),
        ConfigType::Long => number(value, kind, bounds, i64::MIN, i64::MAX),
        ConfigType::Double => fraction(value, bounds),
        ConfigType::String => word(text, bounds),
        ConfigType::List => return list(name, text, bounds),
        _ => Ok(()),
    };
    wrong.map_err(|(shown, wrong)| invalid(name, &shown, &wrong))
}

/// Kafka's sentence for a value that is refused.
#[must_use]
pub fn invalid(name: &str, value: &str, wrong: &str) -> String {
    format!("Invalid value {value} for configuration {name}: {wrong}")
}

/// The value as Kafka shows it once it has read it.
#[must_use]
pub fn canonical(kind: ConfigType, value: &str) -> String {
    let text = trim(value);
    let read = match kind {
        ConfigType::Boolean => boolean(text).map(|value| value.to_string()),
        ConfigType::Int | ConfigType::Short | ConfigType::Long => {
            text.parse::<i64>().ok().map(|number| number.to_string())
        }
        ConfigType::Double => double(text).map(|number| format!("{number:?}")),
        ConfigType::List => Some(entries(text).collect::<Vec<_>>().join(",")),
        ConfigType::String | ConfigType::Class => Some(text.to_owned()),
        ConfigType::Password | ConfigType::Unknown => None,
    };
    read.unwrap_or_else(|| value.to_owned())
}

/// The entries of a list, without the space around them.
pub fn entries(text: &str) -> impl Iterator<Item = &str> {
    let text = trim(text);
    let entries = text.split(',').map(trim);
    entries.take(if text.is_empty() { 0 } else { usize::MAX })
}

/// A list with entries added that it lacks, or taken away.
#[must_use]
pub(crate) fn edited(list: &str, append: bool, entries: &str) -> String {
    let mut all: Vec<&str> = list.split(',').filter(|entry| !entry.is_empty()).collect();
    if append {
        let mut seen: BTreeSet<&str> = all.iter().copied().collect();
        all.extend(entries.split(',').filter(|entry| seen.insert(entry)));
    } else {
        let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries.split(',') {
            *gone.entry(entry).or_default() += 1;
        }
        all.retain(|entry| match gone.get_mut(entry) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }
    all.join(",")
}

/// Java's idea of space at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match (is("true"), is("false")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A fraction as `Double.parseDouble` reads it, but for hexadecimal ones.
fn double(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let known = matches!(unsigned, "NaN" | "Infinity");
    if known {
        return text.parse().ok();
    }
    let bare = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let digits = bare
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    bare.parse().ok().filter(|_| digits)
}

type Wrong = (String, String);

fn not_a_number(value: &str, kind: ConfigType) -> Wrong {
    (
        value.to_owned(),
        format!("Not a number of type {}", kind.word()),
    )
}

fn number(value: &str, kind: ConfigType, bounds: Bounds, min: i64, max: i64) -> Result<(), Wrong> {
    let read = trim(value).parse::<i64>().ok();
    let Some(number) = read.filter(|number| (min..=max).contains(number)) else {
        return Err(not_a_number(value, kind));
    };
    let wrong = match bounds {
        Bounds::Range(_, _, Some(also)) if number == also => None,
        Bounds::Range(least, most, Some(also)) if !(least..=most).contains(&number) => Some(
            format!("Value must be between {least} and {most} or equal to {also}"),
        ),
        Bounds::Least(least) | Bounds::Range(least, ..) if number < least => {
            Some(format!("Value must be at least {least}"))
        }
        Bounds::Range(_, most, _) if number > most => {
            Some(format!("Value must be no more than {most}"))
        }
        _ => None,
    };
    wrong.map_or(Ok(()), |wrong| Err((number.to_string(), wrong)))
}

fn fraction(value: &str, bounds: Bounds) -> Result<(), Wrong> {
    let Some(number) = double(trim(value)) else {
        return Err(not_a_number(value, ConfigType::Double));
    };
    let beyond = |end: i64, side: &dyn Fn(f64, f64) -> bool| {
        // The ends are small whole numbers, which a fraction holds exactly.
        i32::try_from(end).is_ok_and(|end| side(number, f64::from(end)))
    };
    let wrong = match bounds {
        Bounds::Least(least) | Bounds::Range(least, ..) if beyond(least, &|a, b| a < b) => {
            Some(format!("Value must be at least {least}"))
        }
        Bounds::Range(_, most, _) if beyond(most, &|a, b| a > b) => {
            Some(format!("Value must be no more than {most}"))
        }
        _ => None,
    };
    wrong.map_or(Ok(()), |wrong| Err((format!("{number:?}"), wrong)))
}

fn word(text: &str, bounds: Bounds) -> Result<(), Wrong> {
    match bounds {
        Bounds::Words(known) if !known.split(", ").any(|word| word == text) => {
            Err((text.to_owned(), format!("String must be one of: {known}")))
        }
        _ => Ok(()),
    }
}

fn list(name: &str, text: &str, bounds: Bounds) -> Result<(), String> {
    match bounds {
        Bounds::Words(_) => {
            if entries(text).any(str::is_empty) {
                return Err(format!("Configuration '{name}' values must not be empty."));
            }
            let mut all = entries(text);
            all.try_for_each(|entry| word(entry, bounds))
                .map_err(|(shown, wrong)| invalid(name, &shown, &wrong))
        }
        Bounds::Throttled if text != "*" && !entries(text).all(is_replica) => {
            let all: Vec<&str> = entries(text).collect();
            let wrong = format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            );
            Err(invalid(name, &format!("[{}]", all.join(", ")), &wrong))
        }
        _ => Ok(()),
    }
}

/// `PARTITION:BROKER`
fn is_replica(entry: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    entry
        .split_once(':')
        .is_some_and(|(partition, broker)| number(partition) && number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(kind: ConfigType, bounds: &'static str, value: &str) -> String {
        match check("k", kind, Bounds::parse(bounds), value) {
            Ok(()) => canonical(kind, value),
            Err(words) => words.replace(" for configuration k", ""),
        }
    }

    #[test]
    fn numbers_are_javas() {
        let int = |value| words(ConfigType::Int, "[1,...,9] or -1", value);
        assert_eq!(int(" +5 "), "5");
        assert_eq!(int("-1"), "-1");
        assert_eq!(
            int("0"),
            "Invalid value 0: Value must be between 1 and 9 or equal to -1"
        );
        assert_eq!(int("0x3"), "Invalid value 0x3: Not a number of type INT");
        assert_eq!(
            int("2147483648"),
            "Invalid value 2147483648: Not a number of type INT"
        );
        assert_eq!(int(""), "Invalid value : Not a number of type INT");
        let long = |value| words(ConfigType::Long, "[-1,...]", value);
        assert_eq!(long("-2"), "Invalid value -2: Value must be at least -1");
        assert_eq!(long("9223372036854775807"), "9223372036854775807");
        assert_eq!(
            words(ConfigType::Long, "[2,...,5]", "6"),
            "Invalid value 6: Value must be no more than 5"
        );
    }

    #[test]
    fn fractions_are_javas() {
        let double = |value| words(ConfigType::Double, "[0,...,1]", value);
        assert_eq!(double("1"), "1.0");
        assert_eq!(double("0.5f"), "0.5");
        assert_eq!(
            double("-0.5"),
            "Invalid value -0.5: Value must be at least 0"
        );
        assert_eq!(
            double("1.5"),
            "Invalid value 1.5: Value must be no more than 1"
        );
        assert_eq!(double("NaN"), "NaN", "Kafka's comparison lets it through");
        for bad in ["nan", "inf", "0x1p3", "", "1_0"] {
            assert!(
                double(bad).ends_with("Not a number of type DOUBLE"),
                "{bad}"
            );
        }
    }

    #[test]
    fn words_and_lists() {
        assert_eq!(words(ConfigType::Boolean, "", " TRUE "), "true");
        let list = |value| words(ConfigType::List, "[compact, delete]", value);
        assert_eq!(list(" compact , delete "), "compact,delete");
        assert_eq!(list(""), "");
        assert_eq!(
            list("delete,,compact"),
            "Configuration 'k' values must not be empty."
        );
        assert_eq!(
            list("foo"),
            "Invalid value foo: String must be one of: compact, delete"
        );
        let throttled = |value| {
            words(
                ConfigType::List,
                "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                value,
            )
        };
        assert_eq!(throttled("0:1, 2:3"), "0:1,2:3");
        assert_eq!(throttled("*"), "*");
        assert!(throttled("*,0:1").starts_with("Invalid value [*, 0:1]: k must be the literal"));
    }

    #[test]
    fn lists_are_added_to_and_taken_from() {
        assert_eq!(edited("a,b", true, "b,c,c"), "a,b,c");
        assert_eq!(edited("", true, "a"), "a");
        assert_eq!(edited("a,b,a", false, "a,x"), "b,a");
        assert_eq!(edited("a", false, "a"), "");
    }

    #[test]
    fn a_value_has_its_limit() {
        let long = format!("{:>width$}", 5, width = VALUE_BYTES_MAX);
        assert_eq!(words(ConfigType::Int, "", &long), "5");
        let longer = format!(" {long}");
        assert!(words(ConfigType::Int, "", &longer).contains("more than 32767"));
    }
}
