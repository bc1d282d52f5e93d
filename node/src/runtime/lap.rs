//! Tells at debug level how long each part of a start took, for those who wait for it.

use std::rc::Rc;

use crate::shard::host::Host;
use crate::shard::shard::GlommioHost;

/// The time since the last part ended.
pub struct Lap {
    host: Rc<GlommioHost>,
    since: u64,
}

impl Lap {
    /// From now on.
    pub fn new(host: &Rc<GlommioHost>) -> Self {
        let host = Rc::clone(host);
        let since = host.now().mono;
        Self { host, since }
    }

    /// This part has ended.
    pub fn end(&mut self, part: &str) {
        let now = self.host.now().mono;
        let micros = (now - self.since) / 1000;
        tracing::debug!(part, micros, since_start = now / 1000, "start");
        self.since = now;
    }
}
