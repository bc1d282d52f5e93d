//! Records on standard output, in the format asked for. Making the bytes is pure.

use std::io::{self, StdoutLock, Write};

use serde_json::{Map, Value};

use super::super::encoding;
use super::super::output::write_on;
use super::super::records::Record;
use super::super::template::{Template, write_headers};
use super::super::time::{self, TimeMs};

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// The value on a line; null if there is none
    #[default]
    Text,
    /// Time, topic, partition, offset, key, headers and value on a line, with tabs between
    Wide,
    /// A JSON object on a line, as `thalweg produce --input json` reads it
    Json,
    /// The value's bytes, one after the other
    Raw,
    /// Topic, partition, offset, then key and value in hex on a line
    Hex,
}

/// What is written for each record.
#[derive(Debug)]
pub(crate) enum Style {
    Form(Form),
    Template(Template),
}

impl Style {
    /// Appends a record.
    pub(crate) fn write(&self, record: &Record, out: &mut Vec<u8>) {
        match self {
            Self::Template(template) => template.write(record, out),
            Self::Form(Form::Raw) => {
                out.extend_from_slice(record.value.as_deref().unwrap_or_default());
            }
            Self::Form(Form::Text) => {
                out.extend_from_slice(record.value.as_deref().unwrap_or(b"null"));
                out.push(b'\n');
            }
            Self::Form(Form::Wide) => wide(record, out),
            Self::Form(Form::Json) => {
                out.extend_from_slice(json(record).to_string().as_bytes());
                out.push(b'\n');
            }
            Self::Form(Form::Hex) => {
                let field = |field: &Option<Vec<u8>>| {
                    field.as_deref().map_or("-".to_owned(), encoding::hex)
                };
                let line = format!(
                    "{}\t{}\t{}\t{}\t{}\n",
                    record.topic,
                    record.partition,
                    record.offset,
                    field(&record.key),
                    field(&record.value)
                );
                out.extend_from_slice(line.as_bytes());
            }
        }
    }
}

fn wide(record: &Record, out: &mut Vec<u8>) {
    let head = format!(
        "{}\t{}\t{}\t{}\t",
        time::show(TimeMs(record.timestamp)),
        record.topic,
        record.partition,
        record.offset
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(record.key.as_deref().unwrap_or(b"null"));
    out.push(b'\t');
    write_headers(&record.headers, out);
    out.push(b'\t');
    out.extend_from_slice(record.value.as_deref().unwrap_or(b"null"));
    out.push(b'\n');
}

/// A record as an object; bytes that are no text come as base64.
pub(crate) fn json(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), record.topic.as_str().into());
    object.insert("partition".to_owned(), record.partition.into());
    object.insert("offset".to_owned(), record.offset.into());
    object.insert("timestamp".to_owned(), record.timestamp.into());
    let kind = if record.append_time {
        "append"
    } else {
        "create"
    };
    object.insert("timestamp_type".to_owned(), kind.into());
    encoding::put(&mut object, "key", record.key.as_deref());
    encoding::put(&mut object, "value", record.value.as_deref());
    let headers = record.headers.iter().map(|(key, value)| {
        let mut header = Map::new();
        encoding::put(&mut header, "key", Some(key));
        encoding::put(&mut header, "value", value.as_deref());
        Value::Object(header)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

/// Standard output, as far as somebody reads it.
#[derive(Debug)]
pub(crate) struct Printer {
    style: Style,
    out: StdoutLock<'static>,
    buffer: Vec<u8>,
    /// Nobody reads any more.
    pub(crate) closed: bool,
}

impl Printer {
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            out: io::stdout().lock(),
            buffer: Vec::new(),
            closed: false,
        }
    }

    /// Takes a record; it is seen after the next flush.
    pub(crate) fn push(&mut self, record: &Record) {
        self.style.write(record, &mut self.buffer);
    }

    /// Writes what was taken.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let written = write_on(&mut self.out, &self.buffer)?;
        self.buffer.clear();
        match self.out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            flushed => {
                flushed?;
                self.closed |= !written;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form) -> Vec<u8> {
        let record = Record {
            topic: "t".to_owned(),
            partition: 1,
            offset: 7,
            timestamp: 0,
            append_time: true,
            key: None,
            value: Some(b"v\xff".to_vec()),
            headers: vec![(b"h".to_vec(), Some(b"1".to_vec()))],
        };
        let mut out = Vec::new();
        Style::Form(form).write(&record, &mut out);
        out
    }

    #[test]
    fn each_form_of_a_record() {
        assert_eq!(written(Form::Text), b"v\xff\n");
        assert_eq!(written(Form::Raw), b"v\xff");
        assert_eq!(written(Form::Hex), b"t\t1\t7\t-\t76ff\n");
        assert_eq!(
            written(Form::Wide),
            b"1970-01-01T00:00:00.000Z\tt\t1\t7\tnull\th=1\tv\xff\n"
        );
        let json = r#"{"topic":"t","partition":1,"offset":7,"timestamp":0,"timestamp_type":"append","key":null,"value_base64":"dv8=","headers":[{"key":"h","value":"1"}]}"#;
        assert_eq!(written(Form::Json), format!("{json}\n").as_bytes());
    }
}
