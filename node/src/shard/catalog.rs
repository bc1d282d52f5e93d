//! What a shard knows of the cluster: the newest image, and what was computed from it once.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::configs::effective::BrokerConfigs;
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::quotas::table::QuotaTable;
use thalweg_wire::ids::Uuid;

use crate::runtime::effects::Published;
use crate::topics::TopicSettings;

/// The topic key, and the broker's default for it, that ask for batches in another codec.
const CODEC: &str = "compression.type";
/// Its value that asks for nothing.
const AS_SENT: &str = "producer";

/// See the module's head.
#[derive(Default)]
pub(super) struct Catalog {
    pub(super) published: Arc<Published>,
    /// None when no quota is set.
    pub(super) quotas: Option<Rc<QuotaTable>>,
    /// By topic id; of this image only.
    pub(super) settings: HashMap<Uuid, Rc<TopicSettings>>,
    /// Some topic may be stored in a codec of its own.
    pub(super) recompresses: bool,
}

impl Catalog {
    /// The catalog of a newer image: what did not change stays as it was computed.
    pub(super) fn next(&self, published: Arc<Published>, broker: &BrokerConfigs) -> Self {
        let (old, new) = (&self.published.image, &published.image);
        let quotas = match Arc::ptr_eq(&old.quotas, &new.quotas) {
            true => self.quotas.clone(),
            false => QuotaTable::of(new).map(Rc::new),
        };
        let recompresses = match Arc::ptr_eq(&old.configs, &new.configs) {
            true => self.recompresses,
            false => recompresses(new, broker),
        };
        Self {
            published,
            quotas,
            settings: HashMap::new(),
            recompresses,
        }
    }
}

fn recompresses(image: &Image, broker: &BrokerConfigs) -> bool {
    let asks = |value: &str| value.trim() != AS_SENT;
    let mut set = image.configs.values().filter_map(|set| set.get(CODEC));
    set.any(|value| asks(value)) || broker.text(image, CODEC).is_some_and(|value| asks(&value))
}
