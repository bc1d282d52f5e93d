//! The crate `kafka-protocol` as judge: random instances of every API and version that it has, read
//! by both, must print the same and be written as the same bytes.
//!
//! The crate is made from Kafka 4.1 and has only requests and responses; `java.rs` judges the rest.
//! One version of three requests it announces and does not read: `LACKING`.

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::facts::Role;
use crate::for_each_version;
use crate::random::Instance;
use crate::tree::{parse, same};

/// Instances of each message and version.
const SEEDS: u64 = 6;

/// Requests that the crate's table has and its types do not.
const LACKING: [(&str, i16); 3] = [
    ("InitProducerIdRequest", 6),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
];

/// What the other side makes of a message: how it prints, and what it writes.
fn theirs(
    key: ApiKey,
    role: Role,
    bytes: &[u8],
    version: i16,
) -> Result<(String, Vec<u8>), String> {
    let mut bytes = bytes.to_vec().into();
    let mut out = Default::default();
    let failed = |cause: &dyn std::fmt::Display| cause.to_string();
    let printed = if role == Role::Request {
        let kind = RequestKind::decode(key, &mut bytes, version).map_err(|e| failed(&e))?;
        kind.encode(&mut out, version).map_err(|e| failed(&e))?;
        format!("{kind:?}")
    } else {
        let kind = ResponseKind::decode(key, &mut bytes, version).map_err(|e| failed(&e))?;
        kind.encode(&mut out, version).map_err(|e| failed(&e))?;
        format!("{kind:?}")
    };
    Ok((printed, out.to_vec()))
}

#[test]
fn the_crate_kafka_protocol_agrees() {
    let mut compared = 0;
    let mut absent = 0;
    let mut problems = Vec::new();
    for_each_version(|entry, message, version| {
        let key = message.key.and_then(|key| ApiKey::try_from(key).ok());
        let client = matches!(message.role, Role::Request | Role::Response);
        let Some(key) = key.filter(|_| client) else {
            return;
        };
        let versions = key.valid_versions();
        let announced = (versions.min..=versions.max).contains(&version);
        if !announced || LACKING.contains(&(entry.name, version)) {
            absent += 1;
            return;
        }
        for seed in 0..SEEDS {
            let bytes = Instance::new(message, version, seed).bytes();
            let ours = (entry.see)(&bytes, version).unwrap();
            let name = format!("{} v{version}", entry.name);
            match theirs(key, message.role, &bytes, version) {
                Ok((printed, written)) => {
                    if let Some(why) = same(&parse(&ours.owned), &parse(&printed)) {
                        problems.push(format!("{name}: {why}"));
                    } else if written != ours.written {
                        problems.push(format!("{name}: {:?} / {written:?}", ours.written));
                    }
                }
                Err(cause) => problems.push(format!("{name}: {cause}")),
            }
            compared += 1;
        }
    });
    println!("{compared} instances compared, {absent} versions are not there");
    assert!(
        problems.is_empty(),
        "{}: {:#?}",
        problems.len(),
        &problems[..problems.len().min(30)]
    );
    assert!(compared > 3_000, "{compared}");
}
