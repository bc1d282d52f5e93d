//! Delays from known distributions, drawn from a seed.

use std::time::Duration;

use crate::BenchError;
use crate::settings::parse::{time, usage};

/// How long an acknowledgement is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    None,
    Fixed(Duration),
    Uniform(Duration, Duration),
    /// With this mean.
    Exponential(Duration),
}

/// The delays of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    delay: Delay,
    state: u64,
}

impl Delay {
    /// From `none`, `fixed:TIME`, `uniform:TIME:TIME` or `exponential:TIME`.
    pub fn parse(text: &str) -> Result<Self, BenchError> {
        let words: Vec<&str> = text.split(':').collect();
        let of = |word: &str| time("--delay", word);
        Ok(match words.as_slice() {
            ["none"] => Self::None,
            ["fixed", one] => Self::Fixed(of(one)?),
            ["uniform", low, high] => Self::Uniform(of(low)?, of(high)?),
            ["exponential", mean] => Self::Exponential(of(mean)?),
            _ => return usage(format!("`{text}` is no value of --delay")),
        })
    }

    pub(super) const fn seeded(self, seed: u64) -> Delays {
        Delays {
            delay: self,
            state: 0x2545_f491_4f6c_dd1d ^ (seed + 1),
        }
    }
}

impl Delays {
    pub(super) fn next_ns(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // The high bits are the good ones.
        let part = (self.state >> 11) as f64 / (1u64 << 53) as f64;
        let ns = |time: Duration| time.as_nanos() as f64;
        match self.delay {
            Delay::None => 0,
            Delay::Fixed(time) => time.as_nanos() as u64,
            Delay::Uniform(low, high) => (ns(low) + part * (ns(high) - ns(low))) as u64,
            Delay::Exponential(mean) => (-ns(mean) * (1.0 - part).ln()) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_as_they_are_called() {
        let mean = |text| {
            let mut delays = Delay::parse(text).unwrap().seeded(3);
            (0..20_000).map(|_| delays.next_ns()).sum::<u64>() / 20_000
        };
        assert_eq!(mean("none"), 0);
        assert_eq!(mean("fixed:2ms"), 2_000_000);
        assert!((2_950_000..3_050_000).contains(&mean("uniform:1ms:5ms")));
        assert!((980_000..1_020_000).contains(&mean("exponential:1ms")));
        assert!(Delay::parse("normal:1ms").is_err());
    }
}
