//! Changes of what has few configs here: loggers, groups, client metrics subscriptions.
//!
//! They are refused as Kafka refuses them, and otherwise taken as far as there is something to change.
//! Deliberately absent: topics and brokers (`controller/configs.rs`).

use super::configs::{Asked, Op, Work, check_lists, config, request};
use crate::configs::groups::{check_client_metrics, check_group};
use crate::error::Refusal;
use crate::metadata::image::Resource;
use crate::metadata::record::Proposed;

impl Work<'_> {
    /// There are no loggers to change: each named one does not exist.
    pub(super) fn logger(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        self.check_node(asked.name, |ours, id| {
            format!("Unexpected node id. Expected {ours}, but received {id}")
        })?;
        match asked.changes.first() {
            None => Ok(()),
            Some((_, op @ (Op::Append | Op::Subtract), _)) => {
                let word = if *op == Op::Append {
                    "APPEND"
                } else {
                    "SUBTRACT"
                };
                Err(request(format!(
                    "{word} operation is not allowed for the BROKER_LOGGER resource"
                )))
            }
            Some((_, Op::Unknown(code), _)) => {
                Err(request(format!("Unknown operations type {code}")))
            }
            Some((name, ..)) => Err(config(format!("Logger {name} does not exist!"))),
        }
    }

    pub(super) fn client_metrics(&self, asked: &Asked<'_>) -> Result<Vec<Proposed>, Refusal> {
        check_lists(asked, |_| false)?;
        if asked.name.is_empty() {
            return Err(request("Subscription name can't be empty"));
        }
        let resource = Resource {
            kind: Resource::CLIENT_METRICS,
            name: asked.name.to_owned(),
        };
        let becomes = self.becomes(&resource, asked, |_| None)?;
        check_client_metrics(&becomes.set, &becomes.news)?;
        Ok(self.proposed(&resource, becomes))
    }

    pub(super) fn group(&self, asked: &Asked<'_>) -> Result<Vec<Proposed>, Refusal> {
        check_lists(asked, |_| false)?;
        if asked.name.is_empty() {
            return Err(request("Default group resources are not allowed."));
        }
        let resource = Resource {
            kind: Resource::GROUP,
            name: asked.name.to_owned(),
        };
        let becomes = self.becomes(&resource, asked, |_| None)?;
        check_group((self.image, self.broker), &becomes.set, &becomes.news)?;
        Ok(self.proposed(&resource, becomes))
    }
}
