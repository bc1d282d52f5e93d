//! What each server calls its own: topic ids, member ids, producer ids, fetch sessions.
//!
//! Both servers make these up, so a request says `@topic:rivers` and each server is sent its own
//! id; an answer's id is turned back into `topic id 1 of rivers`, so that answers stay comparable
//! without looking away from ids. Counting goes by the order of first sight, which is the same on
//! both servers as long as they behave the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thalweg_wire::api::ApiKey;

pub(super) const ZERO_ID: &str = "00000000000000000000000000000000";
/// An id that no topic has.
pub(super) const UNKNOWN_ID: &str = "0102030405060708090a0b0c0d0e0f10";
/// Fields that say which port a server listens on.
const PORT_FIELD: &str = "Port";

/// The names of one server.
#[derive(Debug, Default)]
pub(super) struct Names {
    port: u16,
    /// What `@...` stands for.
    current: BTreeMap<String, Value>,
    /// What an id of an answer is called: by kind of id, then by the id itself.
    told: BTreeMap<(&'static str, String), String>,
    counts: BTreeMap<String, u32>,
}

impl Names {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            ..Self::default()
        }
    }

    /// The value that a name in a request stands for; none if the value is no name.
    pub(super) fn resolve(&self, value: &Value) -> Option<Value> {
        let name = value.as_str()?;
        if !name.starts_with('@') {
            return None;
        }
        if let Some(found) = self.current.get(name) {
            return Some(found.clone());
        }
        // Nothing was learned yet: what a client without knowledge would send.
        let (kind, _) = name.split_once(':')?;
        Some(match kind {
            "@topic" | "@old-topic" => json!(UNKNOWN_ID),
            "@member" | "@first-member" => json!(""),
            "@session" => json!(0),
            _ => json!(-1),
        })
    }

    /// Takes in what an answer tells.
    pub(super) fn learn(&mut self, api: ApiKey, request: &Value, answer: &Value) {
        self.learn_topics(answer);
        match api {
            ApiKey::JoinGroup => self.learn_member(request, answer),
            ApiKey::InitProducerId if answer["ErrorCode"] == 0 => {
                let id = answer["ProducerId"].clone();
                self.tell("producer", &id.to_string(), "producer");
                self.current.insert("@producer:".to_owned(), id);
                let epoch = answer["ProducerEpoch"].clone();
                self.current.insert("@producer-epoch:".to_owned(), epoch);
            }
            ApiKey::Fetch => {
                let id = &answer["SessionId"];
                if id.as_i64().is_some_and(|id| id != 0) {
                    self.tell("session", &id.to_string(), "session");
                    self.current.insert("@session:".to_owned(), id.clone());
                }
            }
            _ => {}
        }
    }

    fn learn_topics(&mut self, tree: &Value) {
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.learn_topics(item)),
            Value::Object(fields) => {
                let id = fields.get("TopicId").and_then(Value::as_str);
                let name = ["Name", "Topic", "TopicName"]
                    .iter()
                    .find_map(|field| fields.get(*field)?.as_str());
                if let (Some(id), Some(name)) = (id, name) {
                    self.learn_topic(id, name);
                }
                fields.values().for_each(|value| self.learn_topics(value));
            }
            _ => {}
        }
    }

    fn learn_topic(&mut self, id: &str, name: &str) {
        if id == ZERO_ID || name.is_empty() || self.told.contains_key(&("topic", id.to_owned())) {
            return;
        }
        self.tell("topic", id, &format!("topic {name}"));
        let now = self.current.insert(format!("@topic:{name}"), json!(id));
        if let Some(before) = now {
            self.current.insert(format!("@old-topic:{name}"), before);
        }
    }

    fn learn_member(&mut self, request: &Value, answer: &Value) {
        let group = request["GroupId"].as_str().unwrap_or_default();
        if let Some(member) = answer["MemberId"].as_str().filter(|id| !id.is_empty())
            && answer["ErrorCode"] != 25
        {
            self.tell("member", member, "member");
            self.current
                .entry(format!("@first-member:{group}"))
                .or_insert_with(|| json!(member));
            self.current
                .insert(format!("@member:{group}"), json!(member));
        }
        if let Some(generation) = answer["GenerationId"].as_i64().filter(|&number| number > 0) {
            self.current
                .insert(format!("@generation:{group}"), json!(generation));
        }
    }

    fn tell(&mut self, kind: &'static str, id: &str, label: &str) {
        let key = (kind, id.to_owned());
        if self.told.contains_key(&key) {
            return;
        }
        let count = self.counts.entry(label.to_owned()).or_insert(0);
        *count += 1;
        self.told.insert(key, format!("<{label} {count}>"));
    }

    /// Replaces this server's own ids in an answer.
    pub(super) fn rename(&self, tree: &mut Value) {
        match tree {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::Object(fields) => {
                for (field, value) in fields {
                    match self.called(field, value) {
                        Some(name) => *value = json!(name),
                        None => self.rename(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn called(&self, field: &str, value: &Value) -> Option<String> {
        let kind = match field {
            "TopicId" => "topic",
            "MemberId" | "Leader" => "member",
            "ProducerId" => "producer",
            "SessionId" => "session",
            PORT_FIELD if value.as_u64() == Some(u64::from(self.port)) => {
                return Some("<port>".to_owned());
            }
            _ => return None,
        };
        let id = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.told.get(&(kind, id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_sent_its_own_id_and_told_alike() {
        let ids = ["01".repeat(16), "02".repeat(16)];
        let renamed = ids.clone().map(|id| {
            let mut names = Names::new(1);
            let mut answer = json!({"Topics": [{"Name": "rivers", "TopicId": id}]});
            names.learn(ApiKey::Metadata, &Value::Null, &answer);
            assert_eq!(names.resolve(&json!("@topic:rivers")), Some(json!(id)));
            names.rename(&mut answer);
            answer
        });
        assert_eq!(renamed[0], renamed[1]);
        assert_eq!(
            renamed[0]["Topics"][0]["TopicId"],
            json!("<topic rivers 1>")
        );
    }

    #[test]
    fn what_nobody_learned_is_what_a_new_client_sends() {
        let names = Names::new(1);
        assert_eq!(names.resolve(&json!("@member:g")), Some(json!("")));
        assert_eq!(names.resolve(&json!("@generation:g")), Some(json!(-1)));
        assert_eq!(names.resolve(&json!("plain")), None);
    }
}
