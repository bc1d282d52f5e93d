//! Emits the borrowed view of a structure: its type, its default, its reader, its copy.

use std::fmt::Write as _;

use crate::facts::{Field, Kind, Message, Range, Structure};
use crate::names::{self, When};

/// The whole view of one structure.
pub(crate) fn view(message: &Message, record: &Structure) -> String {
    let name = &record.name;
    let life = names::lifetime(message, record, true, "'a");
    let mut code = format!(
        "    /// [`{name}`], borrowed from received bytes.\n    #[derive(Clone, Copy, Debug)]\n    pub struct {name}View{life} {{\n"
    );
    for field in &record.fields {
        let _ = writeln!(code, "        /// {}", names::describe(field));
        let kind = names::type_view(message, field);
        let _ = writeln!(code, "        pub {}: {kind},", names::field(&field.name));
    }
    code += "    }\n\n";
    code += &default(message, record);
    code += &decode(message, record);
    code += &to_owned(message, record);
    code
}

fn default(message: &Message, record: &Structure) -> String {
    let life = names::lifetime(message, record, true, "'_");
    let mut code = format!(
        "    impl Default for {}View{life} {{\n        #[inline]\n        fn default() -> Self {{\n            Self {{\n",
        record.name
    );
    for field in &record.fields {
        let value = names::default_view(field);
        let _ = writeln!(
            code,
            "                {}: {value},",
            names::field(&field.name)
        );
    }
    code + "            }\n        }\n    }\n\n"
}

fn decode(message: &Message, record: &Structure) -> String {
    let name = &record.name;
    let life = names::lifetime(message, record, true, "'a");
    let mut code = format!(
        "    impl<'a> w::Decode<'a> for {name}View{life} {{\n        #[inline]\n        fn size_min(v: w::Version) -> usize {{\n{}        }}\n\n        #[inline]\n        fn read(r: &mut w::Reader<'a>, v: w::Version) -> Result<Self, w::DecodeError> {{\n",
        size_min_body(message, record)
    );
    let tagged: Vec<&Field> = record.fields.iter().filter(|f| f.tag.is_some()).collect();
    let flexible = names::when(message.flexible, record.versions);
    let mutable = if tagged.is_empty() { "" } else { "mut " };
    let _ = writeln!(code, "            let {mutable}view = Self {{");
    for field in &record.fields {
        let value = if field.tag.is_some() {
            names::default_view(field)
        } else {
            read(field, record.versions, "r")
        };
        let _ = writeln!(
            code,
            "                {}: {value},",
            names::field(&field.name)
        );
    }
    code += "            };\n";
    if flexible != When::Never {
        code += "            if v.flexible {\n                let mut tags = w::Tags::read(r)?;\n";
        if tagged.is_empty() {
            code += "                while tags.next(r)?.is_some() {}\n            }\n";
        } else {
            code += &tags(&tagged, record.versions);
        }
    }
    code + "            Ok(view)\n        }\n    }\n\n"
}

fn tags(tagged: &[&Field], within: Range) -> String {
    let mut code = "                while let Some((tag, mut f)) = tags.next(r)? {\n                    match tag {\n".to_owned();
    for field in tagged {
        let guard = match names::when(field.versions, within) {
            When::Always => String::new(),
            When::Never => continue,
            When::If(condition) => format!(" if {condition}"),
        };
        let tag = field.tag.unwrap_or_default();
        let name = names::field(&field.name);
        let value = read_present(field, within, "f");
        let _ = writeln!(
            code,
            "                        {tag}{guard} => {{ view.{name} = {value}; w::Tags::finish(tag, &f)?; }}"
        );
    }
    code + "                        _ => {}\n                    }\n                }\n            }\n"
}

/// Reads a field, or takes its default in versions that lack it.
fn read(field: &Field, within: Range, from: &str) -> String {
    match names::when(field.versions, within) {
        When::Always => read_present(field, within, from),
        When::Never => names::default_view(field),
        When::If(condition) => {
            let present = read_present(field, field.versions.and(within), from);
            format!(
                "if {condition} {{ {present} }} else {{ {} }}",
                names::default_view(field)
            )
        }
    }
}

fn read_present(field: &Field, within: Range, from: &str) -> String {
    let v = if field.rigid { "v.rigid()" } else { "v" };
    let (plain, null) = match &field.kind {
        Kind::Text => (
            format!("{from}.text({v})?"),
            format!("{from}.text_or_null({v})?"),
        ),
        Kind::Bytes | Kind::Records => (
            format!("{from}.bytes({v})?"),
            format!("{from}.bytes_or_null({v})?"),
        ),
        Kind::Array(_) => (
            format!("{from}.array({v})?"),
            format!("{from}.array_or_null({v})?"),
        ),
        Kind::Struct(name) => {
            // Structures in tagged fields say null otherwise than structures in line.
            let (reader, present) = match from {
                "r" => ("r", "present"),
                _ => ("&mut f", "present_tagged"),
            };
            let plain = format!("<{name}View as w::Decode>::read({reader}, {v})?");
            let null = format!("if {from}.{present}()? {{ Some({plain}) }} else {{ None }}");
            (plain, null)
        }
        kind => {
            let method = names::scalar_method(kind).unwrap_or_default();
            (format!("{from}.{method}()?"), String::new())
        }
    };
    if field.nullable.is_empty() {
        return plain;
    }
    match names::when(field.nullable, within) {
        When::Always => null,
        When::Never => format!("Some({plain})"),
        When::If(condition) => format!("if {condition} {{ {null} }} else {{ Some({plain}) }}"),
    }
}

/// Fewest bytes of a value of this type in one version.
pub(crate) fn size_min(message: &Message, kind: &Kind, version: i16) -> usize {
    let flexible = message.flexible.contains(version);
    match kind {
        Kind::Bool | Kind::Int8 => 1,
        Kind::Int16 | Kind::Uint16 => 2,
        Kind::Int32 | Kind::Uint32 => 4,
        Kind::Int64 | Kind::Float64 => 8,
        Kind::Uuid => 16,
        Kind::Text | Kind::Bytes | Kind::Records | Kind::Array(_) if flexible => 1,
        Kind::Text => 2,
        Kind::Bytes | Kind::Records | Kind::Array(_) => 4,
        Kind::Struct(name) => message
            .structure(name)
            .map_or(0, |s| structure_size_min(message, s, version)),
    }
}

fn structure_size_min(message: &Message, record: &Structure, version: i16) -> usize {
    let there = |f: &&Field| f.tag.is_none() && f.versions.contains(version);
    let fields: usize = record
        .fields
        .iter()
        .filter(there)
        .map(|f| match f.kind {
            // The presence byte alone, when it says null.
            Kind::Struct(_) if f.nullable.contains(version) => 1,
            // In the header of flexible versions the client id keeps its 16-bit prefix.
            Kind::Text if f.rigid => 2,
            _ => size_min(message, &f.kind, version),
        })
        .sum();
    fields + usize::from(message.flexible.contains(version))
}

fn size_min_body(message: &Message, record: &Structure) -> String {
    let mut arms: Vec<(i16, usize)> = Vec::new();
    for version in record.versions.iter() {
        let size = structure_size_min(message, record, version);
        if arms.last().is_none_or(|(_, last)| *last != size) {
            arms.push((version, size));
        }
    }
    if let [(_, size)] = arms.as_slice() {
        return format!("            let _ = v;\n            {size}\n");
    }
    let mut code = "            match v.number {\n".to_owned();
    for (at, (_, size)) in arms.iter().enumerate() {
        let pattern = match arms.get(at + 1) {
            Some((next, _)) => format!("..={}", next - 1),
            None => "_".to_owned(),
        };
        let _ = writeln!(code, "                {pattern} => {size},");
    }
    code + "            }\n"
}

fn to_owned(message: &Message, record: &Structure) -> String {
    let name = &record.name;
    let life = names::lifetime(message, record, true, "'_");
    let owned = names::lifetime(message, record, false, "'static");
    let mut code = format!(
        "    impl {name}View{life} {{\n        /// A copy that borrows nothing.\n        #[inline]\n        pub fn to_owned(&self) -> {name}{owned} {{\n            {name} {{\n"
    );
    for field in &record.fields {
        let name = names::field(&field.name);
        let value = copy(field, &name);
        let _ = writeln!(code, "                {name}: {value},");
    }
    code + "            }\n        }\n    }\n\n"
}

fn copy(field: &Field, name: &str) -> String {
    let nullable = !field.nullable.is_empty();
    if field.kind == Kind::Records {
        return if nullable {
            format!(
                "self.{name}.map_or(w::Records::Null, |x| w::Records::Bytes(Cow::Owned(x.to_vec())))"
            )
        } else {
            format!("w::Records::Bytes(Cow::Owned(self.{name}.to_vec()))")
        };
    }
    match copy_value(&field.kind, "x") {
        None => format!("self.{name}"),
        Some(value) if nullable => format!("self.{name}.map(|x| {value})"),
        Some(_) => copy_value(&field.kind, &format!("self.{name}")).unwrap_or_default(),
    }
}

/// How a value is copied; None when it is copied by itself.
fn copy_value(kind: &Kind, from: &str) -> Option<String> {
    match kind {
        Kind::Text => Some(format!("Cow::Owned({from}.to_owned())")),
        Kind::Bytes | Kind::Records => Some(format!("Cow::Owned({from}.to_vec())")),
        Kind::Struct(_) => Some(format!("{from}.to_owned()")),
        Kind::Array(element) => Some(match copy_value(element, "y") {
            None => format!("{from}.iter().collect()"),
            Some(value) => format!("{from}.iter().map(|y| {value}).collect()"),
        }),
        _ => None,
    }
}
