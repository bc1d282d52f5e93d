//! How a record is written: percent templates, as kcat and rpk have them. Pure.
//!
//! `%k` key, `%v` value, `%h` headers, `%t` topic, `%p` partition, `%o` offset, `%d` timestamp in
//! milliseconds, `%K` and `%V` bytes of key and value (-1 if there is none), `%%` a percent sign.
//! `%k`, `%v` take a form: `%v{hex}`, `%v{base64}`, `%v{json}`; `%d{text}` is a date. `\n`, `\t`,
//! `\r`, `\0`, `\\` and `\xNN` are bytes. What is not there is printed as nothing.

use super::encoding;
use super::records::Record;
use super::time::{self, TimeMs};

/// What `%k` and `%v` are printed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Hex,
    Base64,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Key(Form),
    Value(Form),
    KeyBytes,
    ValueBytes,
    Headers,
    Topic,
    Partition,
    Offset,
    Millis,
    Date,
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Reads a template, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            push_text(&mut parts, before)?;
            let mut letters = after.chars().skip(1);
            let letter = letters.next().ok_or("it ends with a single %")?;
            rest = after.get(1 + letter.len_utf8()..).unwrap_or("");
            let form = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                Some((form, behind)) if "kvd".contains(letter) => {
                    rest = behind;
                    form
                }
                _ => "",
            };
            match part_of(letter, form)? {
                Part::Text(bytes) => parts.push(Part::Text(bytes)),
                part => parts.push(part),
            }
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// Writes a record.
    pub(crate) fn write(&self, record: &Record, out: &mut Vec<u8>) {
        let length = |field: &Option<Vec<u8>>| match field {
            Some(bytes) => bytes.len().to_string(),
            None => "-1".to_owned(),
        };
        for part in &self.0 {
            match part {
                Part::Text(bytes) => out.extend_from_slice(bytes),
                Part::Key(form) => write_form(record.key.as_deref(), *form, out),
                Part::Value(form) => write_form(record.value.as_deref(), *form, out),
                Part::KeyBytes => out.extend_from_slice(length(&record.key).as_bytes()),
                Part::ValueBytes => out.extend_from_slice(length(&record.value).as_bytes()),
                Part::Headers => write_headers(&record.headers, out),
                Part::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Part::Partition => out.extend_from_slice(record.partition.to_string().as_bytes()),
                Part::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
                Part::Millis => out.extend_from_slice(record.timestamp.to_string().as_bytes()),
                Part::Date => {
                    let date = time::show(TimeMs(record.timestamp));
                    out.extend_from_slice(date.as_bytes());
                }
            }
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    if !text.is_empty() {
        parts.push(Part::Text(unescape(text)?));
    }
    Ok(())
}

fn part_of(letter: char, form: &str) -> Result<Part, String> {
    let bytes = match form {
        "" => Form::Raw,
        "hex" => Form::Hex,
        "base64" => Form::Base64,
        "json" => Form::Json,
        "text" if letter == 'd' => return Ok(Part::Date),
        other => return Err(format!("`%{letter}{{{other}}}` is no form of %{letter}")),
    };
    Ok(match letter {
        'k' => Part::Key(bytes),
        'v' | 's' => Part::Value(bytes),
        'K' => Part::KeyBytes,
        'V' | 'S' => Part::ValueBytes,
        'h' => Part::Headers,
        't' => Part::Topic,
        'p' => Part::Partition,
        'o' => Part::Offset,
        'd' | 'T' if bytes == Form::Raw => Part::Millis,
        '%' => Part::Text(b"%".to_vec()),
        other => {
            return Err(format!(
                "`%{other}` is unknown; there are %k %v %h %t %p %o %d %K %V %%"
            ));
        }
    })
}

fn write_form(field: Option<&[u8]>, form: Form, out: &mut Vec<u8>) {
    match (field, form) {
        (None, Form::Json) => out.extend_from_slice(b"null"),
        (None, _) => {}
        (Some(bytes), Form::Raw) => out.extend_from_slice(bytes),
        (Some(bytes), Form::Hex) => out.extend_from_slice(encoding::hex(bytes).as_bytes()),
        (Some(bytes), Form::Base64) => out.extend_from_slice(encoding::base64(bytes).as_bytes()),
        (Some(bytes), Form::Json) => {
            let text = String::from_utf8_lossy(bytes);
            out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        }
    }
}

/// `key=value` with commas between, as kcat writes them.
pub(crate) fn write_headers(headers: &[(Vec<u8>, Option<Vec<u8>>)], out: &mut Vec<u8>) {
    for (at, (key, value)) in headers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        out.push(b'=');
        out.extend_from_slice(value.as_deref().unwrap_or(b"NULL"));
    }
}

/// The bytes of a text with backslashes.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match letters.next() {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                let whole = digits.len() == 2;
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| whole);
                bytes.push(byte.ok_or_else(|| format!("`\\x{digits}` is no byte"))?);
            }
            Some(other) => {
                return Err(format!(
                    "`\\{other}` is unknown; there are \\n \\t \\r \\0 \\\\ \\xNN"
                ));
            }
            None => return Err("it ends with a single backslash".to_owned()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            topic: "t".to_owned(),
            partition: 3,
            offset: 42,
            timestamp: 1_763_899_200_000,
            append_time: false,
            key: Some(b"k\xff".to_vec()),
            value: None,
            headers: vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)],
        }
    }

    #[test]
    fn templates_write_what_they_say() {
        for (template, expected) in [
            ("%t/%p@%o %d\\n", &b"t/3@42 1763899200000\n"[..]),
            ("%k|%v|%K|%V", b"k\xff||2|-1"),
            ("%k{hex} %k{base64} %v{json}", b"6bff a/8= null"),
            ("%h %d{text}", b"a=1,b=NULL 2025-11-23T12:00:00.000Z"),
            ("100%%\\x00\\t\\\\", b"100%\0\t\\"),
            ("", b""),
        ] {
            let mut out = Vec::new();
            Template::parse(template)
                .unwrap()
                .write(&record(), &mut out);
            assert_eq!(out, expected, "{template}");
        }
        for bad in [
            "%",
            "%q",
            "%k{rot13}",
            "\\q",
            "\\x1",
            "\\xzz",
            "a\\",
            "%d{hex}",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
