//! Times and durations as people and Kafka's tools write them.
//!
//! A time is milliseconds since 1970 (`1763900000000`), a date with or without time of day
//! (`2026-11-23T12:00:00.000+01:00`; UTC unless it says otherwise, as in Kafka's tools), `now`, or
//! so long ago (`-1h`). A duration is ours (`90m`) or ISO 8601 (`P1DT2H30M`). Days have 24 hours;
//! months and years have no length and are refused.

use std::time::{SystemTime, UNIX_EPOCH};

use thalweg_config::units::{FromText, Millis};

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimeMs(pub(crate) i64);

const DAY_MS: i64 = 86_400_000;

/// Now, by the clock of this machine.
pub(crate) fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    TimeMs(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

/// Reads a time; relative ones count from now.
pub(crate) fn parse(text: &str) -> Result<TimeMs, String> {
    parse_at(text, now())
}

fn parse_at(text: &str, now: TimeMs) -> Result<TimeMs, String> {
    let wanted = || {
        "a time such as 2026-11-23T12:00:00Z, 1763900000000, -1h (an hour ago) or now".to_owned()
    };
    if text == "now" {
        return Ok(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = duration_ms(ago).or(Err(wanted()))?;
        return Ok(TimeMs(now.0.saturating_sub(ago)));
    }
    if let Ok(millis) = text.parse() {
        return Ok(TimeMs(millis));
    }
    date_time(text).ok_or_else(wanted)
}

/// Reads a duration.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix(['P', 'p']) {
        return iso_duration(iso).ok_or_else(|| "a duration such as P1DT2H30M or 90m".to_owned());
    }
    let Millis(millis) = Millis::from_text(text)?;
    Ok(millis)
}

fn iso_duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut number = String::new();
    let mut is_time = false;
    let mut parts = 0;
    for letter in text.chars() {
        let letter = letter.to_ascii_uppercase();
        if letter.is_ascii_digit() || letter == '.' || (letter == '-' && number.is_empty()) {
            number.push(letter);
            continue;
        }
        if letter == 'T' && number.is_empty() && !is_time {
            is_time = true;
            continue;
        }
        let unit = match (letter, is_time) {
            ('D', false) => DAY_MS,
            ('H', true) => 3_600_000,
            ('M', true) => 60_000,
            ('S', true) => 1_000,
            _ => return None,
        };
        let value = match number.split_once('.') {
            Some((whole, fraction)) if letter == 'S' => {
                let whole: i64 = whole.parse().ok()?;
                whole.checked_mul(1_000)? + thousandths(fraction)?
            }
            Some(_) => return None,
            None => number.parse::<i64>().ok()?.checked_mul(unit)?,
        };
        total = total.checked_add(value)?;
        number.clear();
        parts += 1;
    }
    (parts > 0 && number.is_empty()).then_some(total)
}

fn thousandths(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<3}").get(..3)?.parse().ok()
}

fn date_time(text: &str) -> Option<TimeMs> {
    let (date, rest) = match text.split_once(['T', ' ']) {
        Some((date, rest)) => (date, rest),
        None => (text, ""),
    };
    let mut fields = date.splitn(3, '-');
    let mut field = |digits: usize| -> Option<i64> {
        let field = fields.next()?;
        (field.len() == digits && field.bytes().all(|b| b.is_ascii_digit()))
            .then(|| field.parse().ok())?
    };
    let (year, month, day) = (field(4)?, field(2)?, field(2)?);
    if !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    let (clock, zone_ms) = split_zone(rest)?;
    let ms = days_since_1970(year, month, day) * DAY_MS + clock_ms(clock)? - zone_ms;
    Some(TimeMs(ms))
}

/// The time of day, and what the zone is ahead of UTC.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, zone) = text.split_at_checked(at)?;
    let digits = zone.get(1..)?.replace(':', "");
    if ![2, 4].contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).unwrap_or("").parse().unwrap_or(0);
    let ahead = (hours * 60 + minutes) * 60_000;
    Some((clock, if zone.starts_with('-') { -ahead } else { ahead }))
}

fn clock_ms(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let mut part = |most: i64| -> Option<i64> {
        let part = parts.next()?;
        let value: i64 = (part.len() == 2).then(|| part.parse().ok())??;
        (0..=most).contains(&value).then_some(value)
    };
    let (hour, minute) = (part(23)?, part(59)?);
    let second = if clock.len() > 5 { part(59)? } else { 0 };
    if parts.next().is_some() {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + thousandths(fraction)?)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the
/// leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A time as text, in UTC.
pub(crate) fn show(time: TimeMs) -> String {
    let days = time.0.div_euclid(DAY_MS);
    let ms = time.0.rem_euclid(DAY_MS);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, milli) = (ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: TimeMs = TimeMs(1_763_899_200_000);

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in [
            ("1763899200000", NOON.0),
            ("2025-11-23T12:00:00.000Z", NOON.0),
            ("2025-11-23T12:00:00", NOON.0),
            ("2025-11-23 12:00", NOON.0),
            ("2025-11-23T13:00:00+01:00", NOON.0),
            ("2025-11-23T08:30:00.5-0330", NOON.0 + 500),
            ("2025-11-23", NOON.0 - 43_200_000),
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000),
            ("now", NOON.0),
            ("-1h", NOON.0 - 3_600_000),
            ("-PT1M", NOON.0 - 60_000),
        ] {
            assert_eq!(parse_at(text, NOON), Ok(TimeMs(expected)), "{text}");
        }
        for text in [
            "",
            "soon",
            "2025-13-01",
            "2025-02-29",
            "2025-1-1",
            "2025-01-01T24:00:00",
            "2025-01-01T10",
            "2025-01-01T10:00:00:00",
            "2025-01-01T10:00+1",
            "-",
            "-1y",
        ] {
            assert!(parse_at(text, NOON).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shown_time_is_read_again() {
        for ms in [0, -1, 951_782_400_000, NOON.0 + 7, 4_102_444_799_999] {
            assert_eq!(parse_at(&show(TimeMs(ms)), NOON), Ok(TimeMs(ms)));
        }
        assert_eq!(show(NOON), "2025-11-23T12:00:00.000Z");
    }

    #[test]
    fn durations_of_both_kinds() {
        for (text, ms) in [
            ("90m", 5_400_000),
            ("P1D", DAY_MS),
            ("PT2H30M", 9_000_000),
            ("P1DT1.5S", DAY_MS + 1_500),
            ("P0D", 0),
            ("250", 250),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["P", "PT", "P1Y", "P1M", "PT1D", "P1", "1.5h", ""] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
