//! Refuses facts that contradict each other, before any code is made of them.

use std::collections::BTreeSet;

use crate::facts::{Field, Kind, Message, Structure};
use crate::names;
use crate::view;

/// Checks all messages; the first contradiction ends the build.
pub(crate) fn check(messages: &[Message]) -> Result<(), String> {
    let mut modules = BTreeSet::new();
    for message in messages {
        if !modules.insert(names::snake(&message.name)) {
            return Err(format!("{} occurs twice", message.name));
        }
        self::message(message).map_err(|problem| format!("{}: {problem}", message.name))?;
    }
    Ok(())
}

fn message(message: &Message) -> Result<(), String> {
    let mut known = BTreeSet::new();
    for record in &message.structs {
        if !known.insert(record.name.as_str()) {
            return Err(format!("structure {} occurs twice", record.name));
        }
        depth(message, record, 0)?;
        structure(message, record).map_err(|problem| format!("{}: {problem}", record.name))?;
    }
    Ok(())
}

/// Structures nest, they never recur: a recursive one could not be bounded by its bytes.
const DEPTH_MAX: usize = 8;

fn depth(message: &Message, record: &Structure, at: usize) -> Result<(), String> {
    if at > DEPTH_MAX {
        return Err(format!("{} nests deeper than {DEPTH_MAX}", record.name));
    }
    for name in record.fields.iter().filter_map(|f| f.kind.structure()) {
        let inner = message
            .structure(name)
            .ok_or(format!("{name} is not described"))?;
        depth(message, inner, at + 1)?;
    }
    Ok(())
}

fn structure(message: &Message, record: &Structure) -> Result<(), String> {
    let mut fields = BTreeSet::new();
    for field in &record.fields {
        if !fields.insert(names::field(&field.name)) {
            return Err(format!("{} occurs twice", field.name));
        }
        self::field(message, record, field).map_err(|e| format!("{}: {e}", field.name))?;
    }
    let tags: BTreeSet<u32> = record.fields.iter().filter_map(|f| f.tag).collect();
    let dense = (0_u32..).zip(&tags).all(|(at, tag)| at == *tag);
    let count = record.fields.iter().filter(|f| f.tag.is_some()).count();
    if !dense || tags.len() != count {
        return Err(format!("tags are not 0, 1, 2, ...: {tags:?}"));
    }
    Ok(())
}

fn field(message: &Message, record: &Structure, field: &Field) -> Result<(), String> {
    if field.tag.is_some() {
        if field.tagged != field.versions {
            return Err("tagged in some of its versions only".to_owned());
        }
        let all = field.versions.and(message.versions);
        if !all.iter().all(|v| message.flexible.contains(v)) {
            return Err("tagged in a version that is not flexible".to_owned());
        }
    }
    let can_be_null = matches!(
        field.kind,
        Kind::Text | Kind::Bytes | Kind::Records | Kind::Struct(_) | Kind::Array(_)
    );
    if !field.nullable.is_empty() && !can_be_null {
        return Err("this type has no null".to_owned());
    }
    if field.default.as_deref() == Some("null") && field.nullable.is_empty() {
        return Err("null by default, but not nullable".to_owned());
    }
    names::default_owned(field)?;
    if let Kind::Array(element) = &field.kind {
        let within = field.versions.and(record.versions);
        for version in within.iter() {
            if view::size_min(message, element, version) == 0 {
                return Err(format!("elements of no bytes in version {version}"));
            }
        }
    }
    Ok(())
}
