//! What transactions are told of the broker's configuration and the cluster's features. Pure.

use thalweg_coordinator::configs::effective::BrokerConfigs;
use thalweg_coordinator::controller::features::TRANSACTION_VERSION;
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::transactions::config::TxnConfig;

/// The keys that transactions obey, as they count now.
#[must_use]
pub fn txn_config(broker: &BrokerConfigs, image: &Image) -> TxnConfig {
    let base = TxnConfig::default();
    let number = |name: &str, base: i64| broker.number(image, name).unwrap_or(base);
    let timeout_ms_max = number("transaction.max.timeout.ms", i64::from(base.timeout_ms_max));
    TxnConfig {
        timeout_ms_max: i32::try_from(timeout_ms_max).unwrap_or(base.timeout_ms_max),
        id_expiration_ms: number("transactional.id.expiration.ms", base.id_expiration_ms),
        level: image
            .features
            .get(TRANSACTION_VERSION)
            .copied()
            .unwrap_or(0),
        ..base
    }
}
