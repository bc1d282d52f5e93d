//! Where to begin and where to end, as people write it. Pure.

use super::super::time::{self, TimeMs};

/// Where consuming begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Start,
    End,
    /// An offset.
    At(i64),
    /// So many records before the end.
    Last(i64),
    /// The first record at or after a time.
    Time(TimeMs),
}

impl Begin {
    /// `start`, `end`, `42`, `-10`, `@TIME`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "start, end, an offset, -10 for the last ten, or @TIME".to_owned();
        Ok(match text {
            "start" | "beginning" | "earliest" => Self::Start,
            "end" | "latest" => Self::End,
            _ => match text.strip_prefix('@') {
                Some(time) => Self::Time(time::parse(time)?),
                None => match text.parse::<i64>().or(Err(wanted()))? {
                    offset @ 0.. => Self::At(offset),
                    back => Self::Last(back.checked_neg().ok_or_else(wanted)?),
                },
            },
        })
    }
}

/// Where consuming ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// With the records that were there at the start.
    Now,
    /// Before an offset.
    Before(i64),
    /// Before the first record at or after a time.
    Time(TimeMs),
}

impl Until {
    /// `now`, `end`, `42`, `@TIME`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "now, an offset, or @TIME".to_owned();
        Ok(match text {
            "now" | "end" => Self::Now,
            _ => match text.strip_prefix('@') {
                Some(time) => Self::Time(time::parse(time)?),
                None => match text.parse::<i64>().or(Err(wanted()))? {
                    offset @ 0.. => Self::Before(offset),
                    _ => return Err(wanted()),
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_people_write_them() {
        for (text, expected) in [
            ("start", Begin::Start),
            ("latest", Begin::End),
            ("0", Begin::At(0)),
            ("-10", Begin::Last(10)),
            ("@1763899200000", Begin::Time(TimeMs(1_763_899_200_000))),
        ] {
            assert_eq!(Begin::parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "soon", "@soon", "1.5", "-9223372036854775808"] {
            assert!(Begin::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Until::parse("now"), Ok(Until::Now));
        assert_eq!(Until::parse("7"), Ok(Until::Before(7)));
        assert!(Until::parse("-7").is_err());
    }
}
