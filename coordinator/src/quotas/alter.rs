//! AlterClientQuotas: each entity stands or falls for itself, and only what differs becomes a record.
//!
//! Addresses are taken as addresses; Kafka takes host names too and looks them up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use thalweg_wire::messages::alter_client_quotas_request::{
    AlterClientQuotasRequestView, EntryDataView,
};
use thalweg_wire::messages::alter_client_quotas_response::{
    AlterClientQuotasResponse, EntityData, EntryData,
};
use thalweg_wire::messages::client_quota_record::{ClientQuotaRecord, EntityData as RecordEntity};

use super::{CLIENT_ID, CONNECTION_RATE, Entity, IP, Kind, USER};
use crate::controller::Outcome;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Works an AlterClientQuotas request.
#[must_use]
pub fn alter(
    image: &Image,
    request: &AlterClientQuotasRequestView<'_>,
) -> Outcome<AlterClientQuotasResponse<'static>> {
    let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for entry in request.entries.iter() {
        let entity = entity(&entry);
        if !seen.insert(entity.clone()) {
            repeated.insert(entity);
        }
    }
    let (mut entries, mut records) = (Vec::new(), Vec::new());
    for entry in request.entries.iter() {
        let entity = entity(&entry);
        // Kafka answers once for an entity, and does what was asked for it first.
        if !seen.remove(&entity) {
            continue;
        }
        let changed = changes(image, &entity, &entry);
        let refusal = match changed {
            Err(refusal) => Some(refusal),
            Ok(changed) if records.len() + changed.len() > PROPOSAL_RECORDS_MAX => {
                let message = "More quotas than one request may change.";
                Some(Refusal::new(ErrorCode::PolicyViolation, message))
            }
            Ok(changed) => {
                records.extend(changed);
                repeated.contains(&entity).then(|| {
                    let message = "Ignoring duplicate entity.";
                    Refusal::new(ErrorCode::InvalidRequest, message)
                })
            }
        };
        let named = |(kind, name): (&String, &Option<String>)| EntityData {
            entity_type: kind.clone().into(),
            entity_name: name.clone().map(Into::into),
        };
        entries.push(EntryData {
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
            error_message: refusal.as_ref().and_then(Refusal::text),
            entity: entity.iter().map(named).collect(),
        });
    }
    if request.validate_only {
        records.clear();
    }
    Outcome {
        response: AlterClientQuotasResponse {
            throttle_time_ms: 0,
            entries,
        },
        records,
    }
}

fn entity(entry: &EntryDataView<'_>) -> Entity {
    let named = entry.entity.iter().map(|part| {
        let name = part.entity_name.map(str::to_owned);
        (part.entity_type.to_owned(), name)
    });
    named.collect()
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn changes(
    image: &Image,
    entity: &Entity,
    entry: &EntryDataView<'_>,
) -> Result<Vec<Proposed>, Refusal> {
    let mut wanted: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for op in entry.ops.iter() {
        let value = (!op.remove).then_some(op.value);
        if wanted.insert(op.key, value).is_some() {
            return Err(invalid(format!("Duplicate quota key {}", op.key)));
        }
    }
    check_entity(entity)?;
    let now = image.quotas.get(entity);
    let mut records = Vec::new();
    for (key, value) in wanted {
        let have = now.and_then(|values| values.get(key));
        match value {
            None if have.is_some() => records.push(record(entity, key, None)),
            None => {}
            Some(value) => {
                check_value(entity, key, value)?;
                if have != Some(&value) {
                    records.push(record(entity, key, Some(value)));
                }
            }
        }
    }
    Ok(records)
}

fn check_entity(entity: &Entity) -> Result<(), Refusal> {
    if entity.is_empty() {
        return Err(invalid("Invalid empty client quota entity"));
    }
    for (kind, name) in entity {
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return Err(invalid(format!(
                "Unhandled client quota entity type: {kind}"
            )));
        }
        if name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {kind} not supported")));
        }
    }
    match entity.get(IP) {
        Some(_) if entity.len() > 1 => Err(invalid(
            "Invalid quota entity combination, IP entity should not be combined with User or ClientId",
        )),
        Some(Some(name)) if name.parse::<IpAddr>().is_err() => Err(invalid(format!(
            "{name} is not a valid IP or resolvable host."
        ))),
        _ => Ok(()),
    }
}

fn check_value(entity: &Entity, key: &str, value: f64) -> Result<(), Refusal> {
    // The largest value of the key's type, and whether it is a whole number.
    let (max, whole) = match (entity.contains_key(IP), key) {
        (true, CONNECTION_RATE) => (f64::from(i32::MAX), true),
        (false, key) if key == Kind::Produce.key() || key == Kind::Fetch.key() => {
            (9_223_372_036_854_775_807.0, true)
        }
        (false, key) if key == Kind::Request.key() || key == Kind::Mutation.key() => {
            (f64::INFINITY, false)
        }
        _ => return Err(invalid(format!("Invalid configuration key {key}"))),
    };
    if value <= 0.0 {
        return Err(invalid(format!("Quota {key} must be greater than 0")));
    }
    if value > max {
        return Err(invalid(format!("Proposed value for {key} is too large.")));
    }
    if whole && (value % 1.0).abs() > 1e-6 {
        return Err(invalid(format!("{key} cannot be a fractional value.")));
    }
    Ok(())
}

fn record(entity: &Entity, key: &str, value: Option<f64>) -> Proposed {
    let named = |(kind, name): (&String, &Option<String>)| RecordEntity {
        entity_type: kind.clone().into(),
        entity_name: name.clone().map(Into::into),
    };
    let record = ClientQuotaRecord {
        entity: entity.iter().map(named).collect(),
        key: key.to_owned().into(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    };
    Proposed::new(record, 0)
}
