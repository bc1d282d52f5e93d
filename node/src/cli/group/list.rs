//! `thalweg group list`: each broker knows the groups that it coordinates.

use std::borrow::Cow;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::list_groups_request::ListGroupsRequest;
use thalweg_wire::messages::list_groups_response::ListGroupsResponseView;

use super::super::failure::Failure;
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Cluster, is_retriable};
use super::report::{self, Listed, Lists};

const LIST_GROUPS: (i16, i16) = (0, 5);
/// The first versions that tell, and filter by, state and type.
const WITH_STATES: i16 = 4;
const WITH_TYPES: i16 = 5;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct ListArgs {
    /// Only groups in this state (empty, stable, ...); may be repeated
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only groups of this type (classic, consumer, share, streams); may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
}

impl ListArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let (mut groups, mut failures) = (Vec::new(), Vec::new());
        let brokers = cluster.node_ids()?;
        let mut answered = 0;
        for broker in brokers {
            match self.ask(cluster, broker) {
                Ok(some) => {
                    answered += 1;
                    groups.extend(some);
                }
                Err(failure) => failures.push(failure),
            }
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        let text = show(&Lists { groups }, format, |all, wide| {
            report::listed(&all.groups, wide)
        });
        Ok(Outcome::of(text, answered, failures))
    }

    fn ask(&self, cluster: &mut Cluster, broker: i32) -> Result<Vec<Listed>, Failure> {
        let patience = cluster.patience();
        let client = cluster.node(broker)?;
        let version = client.version(ApiKey::ListGroups, LIST_GROUPS)?;
        let request = self.request(version);
        loop {
            let reply = client.ask(&request, version)?;
            let answer: ListGroupsResponseView<'_> = reply.view()?;
            if is_retriable(answer.error_code) && patience.again() {
                continue;
            }
            if answer.error_code != 0 {
                let subject = client.address();
                let code = answer.error_code;
                return Err(Failure::refused("listing groups of", subject, code, None));
            }
            let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let groups = answer.groups.iter().map(|group| Listed {
                group: group.group_id.to_owned(),
                kind: known(group.group_type),
                state: known(group.group_state),
                protocol_type: group.protocol_type.to_owned(),
                coordinator: broker,
            });
            return Ok(groups.filter(|group| self.wants(group)).collect());
        }
    }

    fn request(&self, version: i16) -> ListGroupsRequest<'_> {
        let words = |words: &[String]| words.iter().map(|word| Cow::Owned(capital(word))).collect();
        ListGroupsRequest {
            states_filter: match version >= WITH_STATES {
                true => words(&self.state),
                false => Vec::new(),
            },
            types_filter: match version >= WITH_TYPES {
                true => words(&self.kind),
                false => Vec::new(),
            },
        }
    }

    /// Whether a group passes the filters; a broker too old to tell lets all pass.
    fn wants(&self, group: &Listed) -> bool {
        let passes = |wanted: &[String], found: &Option<String>| {
            wanted.is_empty()
                || found
                    .as_ref()
                    .is_none_or(|found| wanted.iter().any(|word| word.eq_ignore_ascii_case(found)))
        };
        passes(&self.state, &group.state) && passes(&self.kind, &group.kind)
    }
}

/// As Kafka writes states: `PreparingRebalance`.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}
