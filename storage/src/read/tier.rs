//! Which way a range of a segment takes to the socket. Pure.
//!
//! Measured for 2 GiB to one consumer (throughput, worst delay of the shard): sendfile of resident
//! pages 2.5-3.3 GB/s; of cold pages stalls of 10-200 ms; direct reads one ahead 0.9-1.6 GB/s and at
//! most 1.4 ms. So a cold range is never given to sendfile, and the page cache is filled only where
//! a second reader will profit from it. A range of which little is missing is mended: machines take
//! single pages back all the time (measured: 1 to 5% of a file within seconds of its being read), and
//! reading a whole range directly for one of them would lose sendfile for all of it.

/// How a range is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// It is in the page cache.
    SendFile,
    /// Little of it is missing: that is read through the page cache, off the shard; then sendfile.
    Mend,
    /// It is cold and others want it too: read through the page cache, off the shard.
    Fill,
    /// It is cold and one reader's business.
    Direct,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent facts, no state machine"
)]
pub struct Facts {
    /// The disk has descriptors for sendfile.
    pub has_descriptor: bool,
    /// The whole range is in the page cache, up to date.
    pub is_resident: bool,
    /// Less than half of the range is missing in the page cache.
    pub is_nearly_resident: bool,
    /// Another reader found part of the range cold before.
    pub is_shared: bool,
    /// A fill of its size is within what may be in flight.
    pub fits_budget: bool,
}

/// The way for a range of which `facts` hold.
#[must_use]
pub fn choose(facts: Facts) -> Tier {
    if !facts.has_descriptor {
        Tier::Direct
    } else if facts.is_resident {
        Tier::SendFile
    } else if facts.is_nearly_resident && facts.fits_budget {
        Tier::Mend
    } else if facts.is_shared && facts.fits_budget {
        Tier::Fill
    } else {
        Tier::Direct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        // descriptor, resident, nearly, shared, budget -> tier
        let table = [
            (false, false, false, false, true, Tier::Direct),
            (false, false, false, true, true, Tier::Direct),
            (false, false, true, true, true, Tier::Direct),
            (true, true, false, false, true, Tier::SendFile),
            (true, true, true, true, false, Tier::SendFile),
            (true, false, true, false, true, Tier::Mend),
            (true, false, true, true, true, Tier::Mend),
            (true, false, true, true, false, Tier::Direct),
            (true, false, false, false, true, Tier::Direct),
            (true, false, false, true, true, Tier::Fill),
            (true, false, false, true, false, Tier::Direct),
        ];
        for (has_descriptor, is_resident, is_nearly_resident, is_shared, fits_budget, tier) in table
        {
            let facts = Facts {
                has_descriptor,
                is_resident,
                is_nearly_resident,
                is_shared,
                fits_budget,
            };
            assert_eq!(choose(facts), tier, "{facts:?}");
        }
    }
}
