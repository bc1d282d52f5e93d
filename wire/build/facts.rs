//! Parses the notation of `schema/` (described in `schema/README.md`) into plain data.
//!
//! Nested structures are lifted out: a message has a flat list of structures, its own first, and
//! each knows in which of the message's versions it can occur.

use std::collections::BTreeSet;
use std::fmt;

/// Inclusive; empty when `min > max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Range {
    pub(crate) const NONE: Self = Self { min: 1, max: 0 };

    fn parse(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.parse::<i16>().map_err(|e| format!("version {text}: {e}"));
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(min) = text.strip_suffix('+') {
            return Ok(Self {
                min: number(min)?,
                max: i16::MAX,
            });
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            min: number(min)?,
            max: number(max)?,
        })
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.min > self.max
    }

    pub(crate) const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    pub(crate) fn iter(self) -> std::ops::RangeInclusive<i16> {
        self.min..=self.max
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_empty(), self.max) {
            (true, _) => f.write_str("none"),
            (_, i16::MAX) => write!(f, "{}+", self.min),
            (_, max) if max == self.min => write!(f, "{max}"),
            (_, max) => write!(f, "{}-{max}", self.min),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Request,
    Response,
    Header,
    Data,
    Record,
    Key,
    Value,
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Response,
        Self::Header,
        Self::Data,
        Self::Record,
        Self::Key,
        Self::Value,
    ];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Header => "header",
            Self::Data => "data",
            Self::Record => "record",
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    Text,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Self>),
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Self::Array(Box::new(Self::parse(element)?)));
        }
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::Text,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Self::Struct(name.to_owned())
            }
            _ => return Err(format!("unknown type {text}")),
        })
    }

    /// The structure that a value of this type is made of, if any.
    pub(crate) fn structure(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.structure(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) versions: Range,
    pub(crate) nullable: Range,
    pub(crate) tag: Option<u32>,
    pub(crate) tagged: Range,
    pub(crate) default: Option<String>,
    pub(crate) ignorable: bool,
    /// Keeps the old length prefix in flexible versions.
    pub(crate) rigid: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Structure {
    pub(crate) name: String,
    /// Versions of the message in which it can occur.
    pub(crate) versions: Range,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The folder it came from.
    pub(crate) family: String,
    pub(crate) role: Role,
    pub(crate) key: Option<i16>,
    pub(crate) name: String,
    pub(crate) versions: Range,
    pub(crate) flexible: Range,
    /// Its own structure first.
    pub(crate) structs: Vec<Structure>,
}

impl Message {
    pub(crate) fn structure(&self, name: &str) -> Option<&Structure> {
        self.structs.iter().find(|s| s.name == name)
    }
}

/// All messages of one file.
pub(crate) fn parse(text: &str, family: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    let mut shared = BTreeSet::new();
    // The structure that a line of this depth belongs to, as an index into the message's list.
    let mut open: Vec<usize> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let problem = |what: String| format!("line {}: {what}", at + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        let depth = line.chars().take_while(|c| *c == ' ').count() / 2;
        if depth == 0 {
            messages.push(message(&words, family).map_err(problem)?);
            open = vec![0];
            shared = shared_names(text.lines().skip(at + 1));
            continue;
        }
        let Some(current) = messages.last_mut() else {
            return Err(problem("a field before any message".to_owned()));
        };
        if depth > open.len() {
            return Err(problem("indented too far".to_owned()));
        }
        open.truncate(depth);
        let parent = open.last().copied().unwrap_or(0);
        if let ["struct", name, versions] = words.as_slice() {
            let versions = Range::parse(versions)
                .map_err(problem)?
                .and(current.versions);
            open.push(current.structs.len());
            current.structs.push(structure(name, versions));
            continue;
        }
        let field = field(&words).map_err(problem)?;
        let within = current
            .structs
            .get(parent)
            .map_or(Range::NONE, |s| s.versions);
        match field.kind.structure() {
            // The fields of a structure that is not shared follow where it is used.
            Some(name) if !shared.contains(name) => {
                let inner = structure(name, field.versions.and(within));
                open.push(current.structs.len());
                current.structs.push(inner);
            }
            _ => {}
        }
        if let Some(owner) = current.structs.get_mut(parent) {
            owner.fields.push(field);
        }
    }
    Ok(messages)
}

/// Names of the structures that a message shares between fields; they stand before its own fields.
fn shared_names<'t>(lines: impl Iterator<Item = &'t str>) -> BTreeSet<&'t str> {
    lines
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  struct "))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect()
}

fn structure(name: &str, versions: Range) -> Structure {
    Structure {
        name: name.to_owned(),
        versions,
        fields: Vec::new(),
    }
}

fn message(words: &[&str], family: &str) -> Result<Message, String> {
    let mut words = words.iter().copied().peekable();
    let mut next = |what: &str| words.next().ok_or(format!("{what} is missing"));
    let word = next("role")?;
    let role = Role::ALL
        .into_iter()
        .find(|role| role.word() == word)
        .ok_or(format!("unknown role {word}"))?;
    let mut name = next("name")?;
    let key = name.parse::<i16>().ok();
    if key.is_some() {
        name = next("name")?;
    }
    let versions = Range::parse(next("versions")?)?;
    let mut flexible = Range::NONE;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} lacks its value"));
        match word {
            "flexible" => flexible = Range::parse(value()?)?,
            // Which listeners serve it is stated in api.rs, with what is served at all.
            "listeners" => drop(value()?),
            "unstable" => {}
            _ => return Err(format!("unknown word {word}")),
        }
    }
    Ok(Message {
        family: family.to_owned(),
        role,
        key,
        name: name.to_owned(),
        versions,
        flexible,
        structs: vec![structure(name, versions)],
    })
}

fn field(words: &[&str]) -> Result<Field, String> {
    let [name, kind, versions, rest @ ..] = words else {
        return Err("a field has a name, a type and versions".to_owned());
    };
    let mut field = Field {
        name: (*name).to_owned(),
        kind: Kind::parse(kind)?,
        versions: Range::parse(versions)?,
        nullable: Range::NONE,
        tag: None,
        tagged: Range::NONE,
        default: None,
        ignorable: false,
        rigid: false,
    };
    let mut words = rest.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} lacks its value"));
        match word {
            "null" => field.nullable = Range::parse(value()?)?,
            "tag" => {
                field.tag = Some(value()?.parse().map_err(|e| format!("tag: {e}"))?);
                field.tagged = Range::parse(value()?)?;
            }
            "default" => field.default = Some(value()?.to_owned()),
            "ignorable" => field.ignorable = true,
            "flexible" if value()? == "none" => field.rigid = true,
            _ => return Err(format!("unknown word {word}")),
        }
    }
    Ok(field)
}
