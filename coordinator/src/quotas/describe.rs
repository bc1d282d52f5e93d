//! DescribeClientQuotas: the quotas of the entities that a filter lets through.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::messages::describe_client_quotas_request::DescribeClientQuotasRequestView;
use thalweg_wire::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use super::{CLIENT_ID, Entity, IP, USER, Values};
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;

/// Kafka's numbers of the ways to match.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// Answers a DescribeClientQuotas request.
#[must_use]
pub fn describe(
    image: &Image,
    request: &DescribeClientQuotasRequestView<'_>,
) -> DescribeClientQuotasResponse<'static> {
    let filter = match Filter::read(request) {
        Ok(filter) => filter,
        Err(refusal) => {
            return DescribeClientQuotasResponse {
                error_code: refusal.code.code(),
                error_message: refusal.text(),
                entries: None,
                ..DescribeClientQuotasResponse::default()
            };
        }
    };
    let found = image.quotas.iter();
    let found = found.filter(|(entity, _)| filter.matches(entity));
    DescribeClientQuotasResponse {
        entries: Some(
            found
                .map(|(entity, values)| entry(entity, values))
                .collect(),
        ),
        error_message: None,
        ..DescribeClientQuotasResponse::default()
    }
}

fn entry(entity: &Entity, values: &Values) -> EntryData<'static> {
    let named = entity.iter().map(|(kind, name)| EntityData {
        entity_type: kind.clone().into(),
        entity_name: name.clone().map(Into::into),
    });
    let values = values.iter().map(|(key, value)| ValueData {
        key: key.clone().into(),
        value: *value,
    });
    EntryData {
        entity: named.collect(),
        values: values.collect(),
    }
}

struct Filter<'a> {
    exact: BTreeMap<&'a str, Option<&'a str>>,
    specified: BTreeSet<&'a str>,
    strict: bool,
}

impl<'a> Filter<'a> {
    fn read(request: &DescribeClientQuotasRequestView<'a>) -> Result<Self, Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let mut filter = Self {
            exact: BTreeMap::new(),
            specified: BTreeSet::new(),
            strict: request.strict,
        };
        for part in request.components.iter() {
            let kind = part.entity_type;
            if kind.is_empty() {
                return invalid("Invalid empty entity type.".to_owned());
            }
            if filter.names(kind) {
                return invalid(format!(
                    "Entity type {kind} cannot appear more than once in the filter."
                ));
            }
            if ![USER, CLIENT_ID, IP].contains(&kind) {
                let message = format!("Unsupported entity type {kind}");
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
            }
            match (part.match_type, part.match_) {
                (EXACT, Some(name)) => {
                    filter.exact.insert(kind, Some(name));
                }
                (DEFAULT, None) => {
                    filter.exact.insert(kind, None);
                }
                (SPECIFIED, None) => {
                    filter.specified.insert(kind);
                }
                (EXACT, None) => {
                    return invalid(
                        "Request specified MATCH_TYPE_EXACT, but set match string to null."
                            .to_owned(),
                    );
                }
                (DEFAULT | SPECIFIED, Some(_)) => {
                    return invalid(
                        "The match type takes no match string, but there is one.".to_owned(),
                    );
                }
                (other, _) => return invalid(format!("Unknown match type {other}")),
            }
        }
        if filter.names(IP) && (filter.names(USER) || filter.names(CLIENT_ID)) {
            return invalid(
                "Invalid entity filter component combination. IP filter component should not be \
                 used with user or clientId filter component."
                    .to_owned(),
            );
        }
        Ok(filter)
    }

    fn names(&self, kind: &str) -> bool {
        self.exact.contains_key(kind) || self.specified.contains(kind)
    }

    fn matches(&self, entity: &Entity) -> bool {
        if self.strict && entity.len() != self.exact.len() + self.specified.len() {
            return false;
        }
        let same = |(kind, name): (&&str, &Option<&str>)| {
            entity
                .get(*kind)
                .is_some_and(|have| have.as_deref() == *name)
        };
        self.exact.iter().all(same) && self.specified.iter().all(|kind| entity.contains_key(*kind))
    }
}
