//! Likely cause and fix of an error code, for the calls that commands make. Pure.

use thalweg_wire::error_code::ErrorCode;

/// Cause and fix.
type Advice = (&'static str, &'static str);

/// What to say of a code where the broker says nothing itself.
pub(super) fn advice(error: ErrorCode) -> Advice {
    of_topics(error)
        .or_else(|| of_groups(error))
        .or_else(|| of_records(error))
        .unwrap_or((
            "see the broker's log",
            "try again; if it stays, look into the broker's log",
        ))
}

/// Topics, configs, and the cluster as a whole.
fn of_topics(error: ErrorCode) -> Option<Advice> {
    use ErrorCode as E;
    Some(match error {
        E::TopicAlreadyExists => (
            "a topic of this name is there already",
            "`--if-not-exists` leaves it as it is; `thalweg topic describe` shows it",
        ),
        E::UnknownTopicOrPartition | E::UnknownTopicId => (
            "there is no topic of this name",
            "`thalweg topic list` shows what there is",
        ),
        E::InvalidTopicException => (
            "names have 1 to 249 characters of a-z A-Z 0-9 . _ -, and are not `.` or `..`",
            "choose another name",
        ),
        E::InvalidPartitions => (
            "a topic has at least one partition",
            "give `--partitions 1` or more",
        ),
        E::InvalidReplicationFactor => (
            "there are fewer brokers than copies asked for",
            "leave out `--replication-factor`, or start more nodes",
        ),
        E::InvalidConfig => (
            "a key is unknown, or its value is not allowed",
            "correct the key or the value named above",
        ),
        E::PolicyViolation | E::InvalidRequest => (
            "the broker does not allow it",
            "ask for less, or look into the broker's log",
        ),
        E::RequestTimedOut | E::NotController => (
            "the controller did not finish in time; it may still do it",
            "look with `thalweg topic list`, then try again with a longer `--timeout`",
        ),
        _ => return None,
    })
}

/// Groups and their calls.
fn of_groups(error: ErrorCode) -> Option<Advice> {
    use ErrorCode as E;
    Some(match error {
        E::GroupIdNotFound => (
            "there is no group of this name, or all its offsets are gone",
            "`thalweg group list` shows what there is",
        ),
        E::NonEmptyGroup | E::UnknownMemberId => (
            "the group has members that are at work",
            "stop its consumers, wait for their session to end, and try again",
        ),
        E::GroupSubscribedToTopic => (
            "members of the group are subscribed to the topic",
            "stop its consumers, and try again",
        ),
        E::InconsistentGroupProtocol => (
            "the group's members share partitions in another way, or the group is of another kind",
            "give the `--assignor` that `thalweg group describe` shows, or choose another `--group`",
        ),
        E::FencedInstanceId => (
            "another member has come to the group under the same `--group-instance-id`",
            "give each member a name of its own",
        ),
        E::InvalidSessionTimeout => (
            "the session timeout is not between the broker's bounds for it",
            "`thalweg config describe broker ID --all` shows group.min.session.timeout.ms and its sister",
        ),
        E::InvalidGroupId => ("the group's name is empty or not allowed", "choose another"),
        E::UnsupportedVersion => (
            "the broker does not serve this call in a version that is understood here",
            "`thalweg cluster api-versions` shows what it serves",
        ),
        _ => return None,
    })
}

/// Records on their way.
fn of_records(error: ErrorCode) -> Option<Advice> {
    use ErrorCode as E;
    Some(match error {
        E::OffsetOutOfRange => (
            "there are no records at this offset: they were deleted, or not written yet",
            "`thalweg topic offsets` shows where partitions begin and end",
        ),
        E::MessageTooLarge | E::RecordListTooLarge => (
            "the record is larger than the topic's max.message.bytes",
            "raise it with `thalweg config set topic NAME max.message.bytes=N`, or send less",
        ),
        E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend => (
            "fewer copies are in sync than min.insync.replicas asks for",
            "`thalweg topic describe` shows which; start the missing nodes",
        ),
        E::KafkaStorageError => (
            "the broker's disk is full or failed",
            "look into the broker's log and `thalweg doctor`",
        ),
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed => (
            "the broker does not allow this to whoever is connected",
            "ask for the right, or connect as someone who has it",
        ),
        E::InvalidRecord => (
            "the topic takes no such record: a compacted topic needs keys",
            "give every record a key (`--key-separator`)",
        ),
        _ => return None,
    })
}
