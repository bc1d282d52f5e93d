//! Emits the owned structure: its type, Kafka's defaults, its writer, and the message's constants.

use std::fmt::Write as _;

use crate::facts::{Field, Kind, Message, Structure};
use crate::names::{self, When};

/// The owned form of one structure.
pub(crate) fn owned(message: &Message, record: &Structure) -> String {
    let name = &record.name;
    let life = names::lifetime(message, record, false, "'a");
    let mut code = format!(
        "    /// Versions {}.\n    #[derive(Clone, Debug, PartialEq)]\n    pub struct {name}{life} {{\n",
        record.versions
    );
    for field in &record.fields {
        let _ = writeln!(code, "        /// {}", names::describe(field));
        let kind = names::type_owned(message, field);
        let _ = writeln!(code, "        pub {}: {kind},", names::field(&field.name));
    }
    code += "    }\n\n";
    code += &default(message, record);
    code += &encode(message, record);
    code
}

fn default(message: &Message, record: &Structure) -> String {
    let life = names::lifetime(message, record, false, "'_");
    let mut code = format!(
        "    impl Default for {}{life} {{\n        #[inline]\n        fn default() -> Self {{\n            Self {{\n",
        record.name
    );
    for field in &record.fields {
        let value = names::default_owned(field).unwrap_or_default();
        let _ = writeln!(
            code,
            "                {}: {value},",
            names::field(&field.name)
        );
    }
    code + "            }\n        }\n    }\n\n"
}

fn encode(message: &Message, record: &Structure) -> String {
    let life = names::lifetime(message, record, false, "'_");
    let mut code = format!(
        "    impl w::Encode for {}{life} {{\n        #[inline]\n        fn write(&self, out: &mut w::Writer, v: w::Version) -> Result<(), w::EncodeError> {{\n            let _ = (&out, v);\n",
        record.name
    );
    for field in &record.fields {
        let write = (field.tag.is_none()).then(|| write(record, field));
        let absent = (!field.ignorable).then(|| {
            format!(
                "w::absent({}, \"{}.{}\", v)?;",
                says_nothing(field),
                record.name,
                field.name
            )
        });
        let line = match (names::when(field.versions, record.versions), write, absent) {
            (When::Always, Some(write), _) => write,
            (When::If(condition), Some(write), Some(absent)) => {
                format!("if {condition} {{ {write} }} else {{ {absent} }}")
            }
            (When::If(condition), Some(write), None) => format!("if {condition} {{ {write} }}"),
            (When::If(condition), None, Some(absent)) => {
                format!("if !({condition}) {{ {absent} }}")
            }
            (When::Never, _, Some(absent)) => absent,
            _ => continue,
        };
        let _ = writeln!(code, "            {line}");
    }
    code += &tags(message, record);
    code + "            Ok(())\n        }\n    }\n\n"
}

fn tags(message: &Message, record: &Structure) -> String {
    if names::when(message.flexible, record.versions) == When::Never {
        return String::new();
    }
    let mut tagged: Vec<&Field> = record.fields.iter().filter(|f| f.tag.is_some()).collect();
    tagged.sort_by_key(|f| f.tag);
    if tagged.is_empty() {
        return "            if v.flexible { out.uvarint(0); }\n".to_owned();
    }
    let mut count = String::new();
    let mut fields = String::new();
    for field in tagged {
        let there = match names::when(field.versions, record.versions) {
            When::Always => String::new(),
            When::Never => continue,
            When::If(condition) => format!("({condition}) && "),
        };
        let tag = field.tag.unwrap_or_default();
        let flag = format!("tag_{tag}");
        let _ = writeln!(
            count,
            "                let {flag} = {there}!({});",
            says_nothing(field)
        );
        let write = write(record, field);
        let _ = writeln!(
            fields,
            "                if {flag} {{ out.tagged({tag}, &|out| {{ {write} Ok(()) }})?; }}"
        );
        let _ = writeln!(fields, "                let _ = {flag};");
    }
    let sum: Vec<String> = record
        .fields
        .iter()
        .filter(|f| f.tag.is_some() && names::when(f.versions, record.versions) != When::Never)
        .map(|f| format!("u32::from(tag_{})", f.tag.unwrap_or_default()))
        .collect();
    let sum = if sum.is_empty() {
        "0".to_owned()
    } else {
        sum.join(" + ")
    };
    format!(
        "            if v.flexible {{\n{count}                out.uvarint({sum});\n{fields}            }}\n"
    )
}

/// Whether the field has its default, so that leaving it out loses nothing.
fn says_nothing(field: &Field) -> String {
    let name = names::field(&field.name);
    let null_by_default = field.default.as_deref() == Some("null");
    match (&field.kind, field.default.as_deref()) {
        (Kind::Records, _) => format!("self.{name} == w::Records::Null"),
        _ if null_by_default => format!("self.{name}.is_none()"),
        (Kind::Text | Kind::Bytes | Kind::Array(_), None) if field.nullable.is_empty() => {
            format!("self.{name}.is_empty()")
        }
        (Kind::Text | Kind::Bytes | Kind::Array(_), None) => {
            format!("self.{name}.as_ref().is_some_and(|x| x.is_empty())")
        }
        (Kind::Bool, None | Some("false")) => format!("!self.{name}"),
        _ => {
            let default = names::default_owned(field).unwrap_or_default();
            format!("self.{name} == {default}")
        }
    }
}

/// Writes a field that the version has.
fn write(record: &Structure, field: &Field) -> String {
    let name = names::field(&field.name);
    let v = if field.rigid { "v.rigid()" } else { "v" };
    let label = format!("\"{}.{}\"", record.name, field.name);
    let (method, borrow) = match &field.kind {
        Kind::Text => ("text", "as_deref()"),
        Kind::Bytes => ("bytes", "as_deref()"),
        Kind::Array(_) => ("array", "as_deref()"),
        Kind::Struct(_) => ("struct", "as_ref()"),
        Kind::Records => return write_records(record, field),
        kind => {
            let method = names::scalar_method(kind).unwrap_or_default();
            return format!("out.{method}(self.{name});");
        }
    };
    let is_struct = method == "struct";
    if field.nullable.is_empty() {
        return if is_struct {
            format!("w::Encode::write(&self.{name}, out, {v})?;")
        } else {
            format!("out.{method}(&self.{name}, {v})?;")
        };
    }
    // Structures in tagged fields say null otherwise than structures in line.
    let tagged = if is_struct && field.tag.is_some() {
        "_tagged"
    } else {
        ""
    };
    let null = format!("out.{method}_or_null{tagged}(self.{name}.{borrow}, {v})?;");
    let value = format!("w::not_null(self.{name}.{borrow}, {label}, v)?");
    let plain = if is_struct {
        format!("w::Encode::write({value}, out, {v})?;")
    } else {
        format!("out.{method}({value}, {v})?;")
    };
    choose(record, field, null, plain)
}

fn write_records(record: &Structure, field: &Field) -> String {
    let name = names::field(&field.name);
    let write = format!("out.records(&self.{name}, v)?;");
    let check = format!(
        "w::not_null((self.{name} != w::Records::Null).then_some(()), \"{}.{}\", v)?; {write}",
        record.name, field.name
    );
    choose(record, field, write, check)
}

fn choose(record: &Structure, field: &Field, null: String, plain: String) -> String {
    match names::when(field.nullable, field.versions.and(record.versions)) {
        When::Always => null,
        When::Never => plain,
        When::If(condition) => format!("if {condition} {{ {null} }} else {{ {plain} }}"),
    }
}

/// The constants of the message, and the link between its two forms.
pub(crate) fn message(message: &Message) -> String {
    let Some(top) = message.structs.first() else {
        return String::new();
    };
    let name = &message.name;
    let owned = names::lifetime(message, top, false, "'_");
    let owned_static = names::lifetime(message, top, false, "'static");
    let view = names::lifetime(message, top, true, "'a");
    let first = (!message.flexible.is_empty()).then_some(message.flexible.min);
    let impl_life = if view.is_empty() { "" } else { "<'a>" };
    let body_life = if view.is_empty() { "'_" } else { "'a" };
    format!(
        "    impl w::Message for {name}{owned} {{
        const NAME: &'static str = \"{name}\";
        const API_KEY: Option<i16> = {:?};
        const VERSIONS: (i16, i16) = ({}, {});
        const FIRST_FLEXIBLE: Option<i16> = {first:?};
    }}

    impl<'a> w::View<'a> for {name}View{view} {{
        type Owned = {name}{owned_static};
    }}

    impl{impl_life} {name}View{view} {{
        /// Checks and views the message at the start of `body`; what follows is left alone.
        #[inline]
        pub fn decode(body: &{body_life} [u8], version: i16) -> Result<Self, w::DecodeError> {{
            <Self as w::View>::decode(body, version)
        }}
    }}
",
        message.key, message.versions.min, message.versions.max
    )
}
