//! How long nobody took a partition's records, over all outages of a failover load.

use serde::{Deserialize, Serialize};

use crate::load::Outages;

/// Outages, each from sending what failed to the acknowledgement that ended it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Of all partitions; a broker's end is one for each that it led.
    pub outages: u64,
    pub longest_ms: f64,
    pub median_ms: f64,
    /// Attempts that failed, and connections that were made anew.
    pub retries: u64,
    pub reconnects: u64,
}

impl Unavailable {
    pub(super) fn of(outages: &Outages) -> Self {
        let mut ns = outages.ns.clone();
        ns.sort_unstable();
        let ms = |ns: Option<&u64>| ns.map_or(0.0, |ns| *ns as f64 / 1e6);
        Self {
            outages: ns.len() as u64,
            longest_ms: ms(ns.last()),
            median_ms: ms(ns.get(ns.len() / 2)),
            retries: outages.retries,
            reconnects: outages.reconnects,
        }
    }

    pub(super) fn told(&self) -> String {
        match self.outages {
            0 => "never unavailable; all that was acknowledged was read back".to_owned(),
            outages => format!(
                "unavailable {outages} times: median {:.0} ms, longest {:.0} ms; {} attempts failed, {} \
                 connections were made anew; all that was acknowledged was read back",
                self.median_ms, self.longest_ms, self.retries, self.reconnects
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_the_middle_one_are_told() {
        let outages = Outages {
            ns: vec![3_000_000, 900_000_000, 1_000_000],
            retries: 7,
            reconnects: 4,
        };
        let found = Unavailable::of(&outages);
        assert_eq!((found.outages, found.retries, found.reconnects), (3, 7, 4));
        assert_eq!((found.median_ms, found.longest_ms), (3.0, 900.0));
        assert!(found.told().contains("median 3 ms, longest 900 ms"));
        assert_eq!(Unavailable::of(&Outages::default()).outages, 0);
    }
}
