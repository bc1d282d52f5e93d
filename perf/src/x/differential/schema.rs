//! What requests and answers look like: the facts of `wire/schema`, read when the runner starts.
//!
//! The parser is the build's own (`wire/build/facts.rs`); nothing generated is used. A mistake of
//! the generated codec therefore shows as a difference, and cannot hide on both sides.

use std::collections::BTreeMap;
use std::fs;

use thalweg_wire::api::ApiKey;

use crate::x::packages::root;
use crate::x::{Context, Failure, Outcome};

#[path = "../../../../wire/build/facts.rs"]
#[expect(
    dead_code,
    reason = "the generator of code asks for more of the facts than a runner does"
)]
mod facts;

pub(super) use facts::{Field, Kind, Message, Role, Structure};

/// The messages of all APIs.
pub(super) struct Schemas {
    apis: BTreeMap<ApiKey, Api>,
}

/// The two messages of an API.
pub(super) struct Api {
    pub(super) request: Message,
    pub(super) response: Message,
}

impl Schemas {
    pub(super) fn read() -> Outcome<Self> {
        let folder = root().join("wire/schema/client");
        let mut apis = BTreeMap::new();
        let entries = fs::read_dir(&folder).context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry.context(|| "listing the schemas")?.path();
            let text =
                fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
            let messages = facts::parse(&text, "client")
                .map_err(|problem| Failure::new(format!("{}: {problem}", path.display())))?;
            let mut request = None;
            let mut response = None;
            for message in messages {
                match message.role {
                    Role::Request => request = Some(message),
                    Role::Response => response = Some(message),
                    _ => {}
                }
            }
            let (Some(request), Some(response)) = (request, response) else {
                continue;
            };
            if let Some(key) = request.key.and_then(ApiKey::from_code) {
                apis.insert(key, Api { request, response });
            }
        }
        Ok(Self { apis })
    }

    pub(super) fn api(&self, key: ApiKey) -> Outcome<&Api> {
        self.apis
            .get(&key)
            .context(|| format!("{key} has no schema"))
    }
}

/// The structure that a field's value is made of.
pub(super) fn inner<'m>(message: &'m Message, name: &str) -> Outcome<&'m Structure> {
    message
        .structure(name)
        .context(|| format!("{} has no structure {name}", message.name))
}
