//! A group as it will be: changes are gathered as records, and seen by what follows in the same request.

use std::borrow::Cow;

use crate::groups::step::Record;

use super::change::Change;
use super::state::ConsumerGroup;

/// One group, one request.
pub(super) struct Draft<'a> {
    id: &'a str,
    group: Cow<'a, ConsumerGroup>,
    pub(super) records: Vec<Record>,
}

impl<'a> Draft<'a> {
    /// Of the group as it is, or of a new one.
    pub(super) fn new(id: &'a str, group: Option<&'a ConsumerGroup>) -> Self {
        Self {
            id,
            group: group.map_or_else(|| Cow::Owned(ConsumerGroup::default()), Cow::Borrowed),
            records: Vec::new(),
        }
    }

    /// The group with all changes so far.
    pub(super) fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Adds a change.
    pub(super) fn put(&mut self, change: Change) {
        self.put_last(&change);
        self.group.to_mut().apply(change);
    }

    /// Adds a change after which nobody looks at the draft: the group need not be copied for it.
    pub(super) fn put_last(&mut self, change: &Change) {
        let record = change.record(self.id);
        self.records
            .push(record.expect("texts of requests fit into records"));
    }
}
