//! Names, types and defaults as Rust writes them, and versions as conditions.

use crate::facts::{Field, Kind, Message, Range, Structure};

/// `TopicData` -> `topic_data`, `KRaftVersion` -> `k_raft_version`, `ISR` -> `isr`.
pub(crate) fn snake(name: &str) -> String {
    let symbols: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (at, symbol) in symbols.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|i| symbols.get(i));
        let after = symbols.get(at + 1);
        let word_starts =
            before.is_some_and(|b| !b.is_uppercase()) || after.is_some_and(|a| a.is_lowercase());
        if symbol.is_uppercase() && at > 0 && word_starts {
            text.push('_');
        }
        text.extend(symbol.to_lowercase());
    }
    text
}

/// The field's name; a keyword gets an underscore behind it.
pub(crate) fn field(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "type" | "match" | "ref" | "self" | "move" | "use" | "mod" | "loop" | "in" | "as" => {
            format!("{name}_")
        }
        _ => name,
    }
}

/// Whether values of this type borrow text or bytes when owned types are meant (`views` false), or
/// anything at all.
pub(crate) fn borrows(message: &Message, kind: &Kind, views: bool) -> bool {
    match kind {
        Kind::Text | Kind::Bytes | Kind::Records => true,
        Kind::Array(element) => views || borrows(message, element, views),
        Kind::Struct(name) => message
            .structure(name)
            .is_some_and(|s| structure_borrows(message, s, views)),
        _ => false,
    }
}

pub(crate) fn structure_borrows(message: &Message, record: &Structure, views: bool) -> bool {
    record
        .fields
        .iter()
        .any(|f| borrows(message, &f.kind, views))
}

/// `<'a>` when the structure borrows, else nothing.
pub(crate) fn lifetime(message: &Message, record: &Structure, views: bool, name: &str) -> String {
    if structure_borrows(message, record, views) {
        format!("<{name}>")
    } else {
        String::new()
    }
}

fn scalar(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Bool => "bool",
        Kind::Int8 => "i8",
        Kind::Int16 => "i16",
        Kind::Uint16 => "u16",
        Kind::Int32 => "i32",
        Kind::Uint32 => "u32",
        Kind::Int64 => "i64",
        Kind::Float64 => "f64",
        Kind::Uuid => "Uuid",
        _ => return None,
    })
}

/// The reader's and writer's method for a type of fixed size.
pub(crate) fn scalar_method(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Uuid => Some("uuid"),
        _ => scalar(kind),
    }
}

fn with_null(field: &Field, kind: String) -> String {
    if field.nullable.is_empty() {
        kind
    } else {
        format!("Option<{kind}>")
    }
}

/// Type of a field in the owned structure.
pub(crate) fn type_owned(message: &Message, field: &Field) -> String {
    if field.kind == Kind::Records {
        return "w::Records<'a>".to_owned();
    }
    with_null(field, kind_owned(message, &field.kind))
}

fn kind_owned(message: &Message, kind: &Kind) -> String {
    match kind {
        Kind::Text => "Cow<'a, str>".to_owned(),
        Kind::Bytes | Kind::Records => "Cow<'a, [u8]>".to_owned(),
        Kind::Array(element) => format!("Vec<{}>", kind_owned(message, element)),
        Kind::Struct(name) if borrows(message, kind, false) => format!("{name}<'a>"),
        Kind::Struct(name) => name.clone(),
        _ => scalar(kind).unwrap_or_default().to_owned(),
    }
}

/// Type of a field in the view.
pub(crate) fn type_view(message: &Message, field: &Field) -> String {
    with_null(field, kind_view(message, &field.kind))
}

fn kind_view(message: &Message, kind: &Kind) -> String {
    match kind {
        Kind::Text => "&'a str".to_owned(),
        Kind::Bytes | Kind::Records => "&'a [u8]".to_owned(),
        Kind::Array(element) => format!("w::Array<'a, {}>", kind_view(message, element)),
        Kind::Struct(name) if borrows(message, kind, true) => format!("{name}View<'a>"),
        Kind::Struct(name) => format!("{name}View"),
        _ => scalar(kind).unwrap_or_default().to_owned(),
    }
}

/// A number as the schemas write it: decimal, or hexadecimal with 0x.
fn number(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|e| format!("default {text}: {e}"))
}

/// Kafka's default as an expression; the two forms differ in owned and borrowed types only.
fn default(
    field: &Field,
    text: impl Fn(&str) -> String,
    empty: &[&str; 3],
) -> Result<String, String> {
    let [bytes, array, suffix] = *empty;
    let given = field.default.as_deref();
    if given == Some("null") {
        return Ok("None".to_owned());
    }
    let value = match (&field.kind, given) {
        (Kind::Bool, None | Some("false")) => "false".to_owned(),
        (Kind::Bool, Some("true")) => "true".to_owned(),
        (Kind::Float64, None) => "0.0".to_owned(),
        (Kind::Uuid, None) => "Uuid::ZERO".to_owned(),
        (Kind::Text, given) => text(given.unwrap_or_default()),
        (Kind::Bytes | Kind::Records, None) => bytes.to_owned(),
        (Kind::Array(_), None) => array.to_owned(),
        (Kind::Struct(name), None) => format!("{name}{suffix}::default()"),
        (kind, None) if scalar(kind).is_some() => "0".to_owned(),
        (Kind::Bool | Kind::Float64 | Kind::Uuid, Some(other)) => {
            return Err(format!("default {other}"));
        }
        (kind, Some(given)) if scalar(kind).is_some() => number(given)?.to_string(),
        (_, given) => return Err(format!("default {given:?} for this type")),
    };
    Ok(if field.nullable.is_empty() {
        value
    } else {
        format!("Some({value})")
    })
}

/// The default in the owned structure. Record sets start as null, as Kafka's do.
pub(crate) fn default_owned(field: &Field) -> Result<String, String> {
    if field.kind == Kind::Records {
        return Ok("w::Records::Null".to_owned());
    }
    let text = |t: &str| format!("Cow::Borrowed({t:?})");
    default(field, text, &["Cow::Borrowed(&[])", "Vec::new()", ""])
}

/// The default in the view.
pub(crate) fn default_view(field: &Field) -> String {
    if field.kind == Kind::Records && !field.nullable.is_empty() {
        return "None".to_owned();
    }
    default(
        field,
        |t| format!("{t:?}"),
        &["&[]", "w::Array::empty()", "View"],
    )
    .unwrap_or_default()
}

/// When a version lies in a range, given that it lies in `within`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum When {
    Always,
    Never,
    If(String),
}

pub(crate) fn when(range: Range, within: Range) -> When {
    let both = range.and(within);
    if both.is_empty() {
        return When::Never;
    }
    let mut parts = Vec::new();
    if both.min > within.min {
        parts.push(format!("v.number >= {}", both.min));
    }
    if both.max < within.max {
        parts.push(format!("v.number <= {}", both.max));
    }
    if parts.is_empty() {
        When::Always
    } else {
        When::If(parts.join(" && "))
    }
}

/// One line of documentation: what the facts say about a field.
pub(crate) fn describe(field: &Field) -> String {
    let mut text = format!("Versions {}", field.versions);
    if !field.nullable.is_empty() {
        text += &format!(", null {}", field.nullable);
    }
    if let Some(tag) = field.tag {
        text += &format!(", tag {tag}");
    }
    if let Some(default) = &field.default {
        text += &format!(", default {default}");
    }
    if field.ignorable {
        text += ", ignorable";
    }
    text + "."
}
