//! A decoded record as JSON, by way of its debug text. Pure.
//!
//! Generated messages have no serializer, and need none but here. What `derive(Debug)` writes is
//! regular: structures with named fields, lists, texts in quotes, options, numbers, and ids that
//! write themselves without quotes (those become texts). Names of fields and values are kept as they
//! are. Deliberately absent: maps and tuples of several values, which no message has.

use serde_json::{Map, Number, Value};

/// The JSON of a debug text. A text that is none of the above comes back as one text.
pub(super) fn json_of(debug: &str) -> Value {
    let mut reader = Reader { rest: debug };
    match reader.value() {
        Some(value) if reader.rest.is_empty() => value,
        _ => Value::from(debug),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        if self.take("[") {
            return self.list();
        }
        if self.take("\"") {
            return self.text().map(Value::from);
        }
        let end = self
            .rest
            .find([',', ' ', '}', ']', ')', '('])
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        if self.take("(") {
            let value = self.value()?;
            return self.take(")").then_some(value);
        }
        if self.take(" { ") {
            return self.fields();
        }
        Some(match word {
            "None" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "" => return None,
            word => number(word).unwrap_or_else(|| Value::from(word)),
        })
    }

    fn list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        while !self.take("]") {
            if !items.is_empty() && !self.take(", ") {
                return None;
            }
            items.push(self.value()?);
        }
        Some(Value::Array(items))
    }

    fn fields(&mut self) -> Option<Value> {
        let mut object = Map::new();
        loop {
            let (name, rest) = self.rest.split_once(": ")?;
            self.rest = rest;
            let value = self.value()?;
            object.insert(name.trim_end_matches('_').to_owned(), value);
            if self.take(" }") {
                return Some(Value::Object(object));
            }
            if !self.take(", ") {
                return None;
            }
        }
    }

    /// The text up to its closing quote, which was opened already.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => match letters.next()?.1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    '0' => text.push('\0'),
                    'u' => {
                        let digits: String = letters
                            .by_ref()
                            .map(|(_, digit)| digit)
                            .skip(1)
                            .take_while(|digit| *digit != '}')
                            .collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        None
    }
}

fn number(word: &str) -> Option<Value> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | 'e');
    if !word.chars().all(plain) {
        return None;
    }
    if let Ok(whole) = word.parse::<i64>() {
        return Some(whole.into());
    }
    // An id may look like a number; only what is written as a fraction is one.
    let fraction = word.contains('.').then(|| word.parse().ok())??;
    Number::from_f64(fraction).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use thalweg_wire::ids::Uuid;
    use thalweg_wire::messages::metadata::MetadataRecord;
    use thalweg_wire::messages::partition_record::PartitionRecord;
    use thalweg_wire::messages::register_broker_record::{BrokerEndpoint, RegisterBrokerRecord};

    use super::*;

    #[test]
    fn records_keep_their_fields() {
        let record = MetadataRecord::from(RegisterBrokerRecord {
            broker_id: 3,
            end_points: vec![BrokerEndpoint {
                name: "A \"quoted\"\n{name}, \u{7f}".into(),
                port: 9092,
                ..BrokerEndpoint::default()
            }],
            rack: Some("r".into()),
            fenced: true,
            ..RegisterBrokerRecord::default()
        });
        let json = json_of(&format!("{record:?}"));
        assert_eq!(json["broker_id"], 3, "{json}");
        assert_eq!(
            json["end_points"][0]["name"],
            "A \"quoted\"\n{name}, \u{7f}"
        );
        assert_eq!(json["end_points"][0]["port"], 9092);
        assert_eq!(json["rack"], "r");
        assert_eq!(json["fenced"], true);
        assert_eq!(json["incarnation_id"], "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn lists_and_nothing() {
        let record = PartitionRecord {
            replicas: vec![1, 2],
            directories: vec![Uuid::METADATA_TOPIC],
            eligible_leader_replicas: None,
            ..PartitionRecord::default()
        };
        let json = json_of(&format!("{record:?}"));
        assert_eq!(json["replicas"], serde_json::json!([1, 2]));
        assert_eq!(json["directories"][0], "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(json["eligible_leader_replicas"], Value::Null);
        assert_eq!(json_of("{ odd"), Value::from("{ odd"));
        assert_eq!(json_of("[1.5, -2]"), serde_json::json!([1.5, -2]));
    }
}
