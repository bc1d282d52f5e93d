//! What `{:?}` prints, read back as a tree: so that two implementations' views of one message can
//! be compared field by field, without a line of code per message.

use std::collections::BTreeMap;

use serde_json::Value;
use thalweg_wire::ids::Uuid;

/// A printed value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Tree {
    /// A number, a boolean, an id, a unit.
    Word(String),
    /// Text in quotes.
    Text(String),
    /// `[..]`, and `(..)` of anything but one value.
    List(Vec<Tree>),
    /// `Name { field: value }`.
    Fields(BTreeMap<String, Tree>),
    /// `None`.
    None,
}

/// Field names without what languages spell differently.
pub(crate) fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// Reads what `{:?}` printed.
pub(crate) fn parse(text: &str) -> Tree {
    let mut parser = Parser { text, at: 0 };
    let tree = parser.value();
    assert_eq!(parser.at, text.len(), "text left in {text}");
    tree
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> char {
        self.rest().chars().next().unwrap_or('\0')
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn word(&mut self) -> String {
        let end = self
            .rest()
            .find([',', ' ', ']', ')', '(', '}', ':', '"'])
            .unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    fn value(&mut self) -> Tree {
        match self.peek() {
            '[' => {
                self.at += 1;
                Tree::List(self.items("]"))
            }
            '"' => Tree::Text(self.quoted()),
            // A map without entries: unknown tagged fields, of which these tests have none.
            '{' if self.eat("{}") => Tree::List(Vec::new()),
            _ => self.named(),
        }
    }

    fn named(&mut self) -> Tree {
        let word = self.word();
        if word == "b" && self.peek() == '"' {
            return Tree::Text(self.quoted());
        }
        if self.eat(" {") {
            return Tree::Fields(self.fields());
        }
        if self.eat("(") {
            // A wrapper of one value is that value.
            let mut items = self.items(")");
            return match items.len() {
                1 => items.remove(0),
                _ => Tree::List(items),
            };
        }
        match word.as_str() {
            "None" | "Null" => Tree::None,
            _ => Tree::Word(word),
        }
    }

    fn items(&mut self, end: &str) -> Vec<Tree> {
        let mut items = Vec::new();
        while !self.eat(end) {
            let before = self.at;
            items.push(self.value());
            self.eat(", ");
            assert!(self.at > before, "{} in {}", self.rest(), self.text);
        }
        items
    }

    fn fields(&mut self) -> BTreeMap<String, Tree> {
        let mut fields = BTreeMap::new();
        while !self.eat("}") && !self.eat(" }") {
            self.eat(",");
            self.eat(" ");
            let name = self.word();
            assert!(self.eat(": "), "no value for {name} in {}", self.text);
            fields.insert(plain(&name), self.value());
        }
        fields
    }

    fn quoted(&mut self) -> String {
        self.at += 1;
        let mut text = String::new();
        loop {
            let symbol = self.peek();
            self.at += symbol.len_utf8();
            match symbol {
                '"' => return text,
                '\\' => text.push(self.escaped()),
                '\0' => panic!("text without an end in {}", self.text),
                _ => text.push(symbol),
            }
        }
    }

    fn escaped(&mut self) -> char {
        let symbol = self.peek();
        self.at += symbol.len_utf8();
        match symbol {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            'x' => {
                let code = u8::from_str_radix(&self.rest()[..2], 16).unwrap();
                self.at += 2;
                char::from(code)
            }
            'u' => {
                assert!(self.eat("{"), "an escape in {}", self.text);
                let code = self.word();
                self.at += 1;
                char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap()
            }
            other => other,
        }
    }
}

/// Where a tree and Kafka's JSON differ, if they do. Fields that the JSON lacks (those of other
/// versions) are left out.
pub(crate) fn differs(tree: &Tree, json: &Value) -> Option<String> {
    let other = || Some(format!("{tree:?} is not {json}"));
    let same = match (tree, json) {
        (Tree::None, Value::Null) => true,
        (Tree::Word(word), Value::Bool(value)) => *word == value.to_string(),
        (Tree::Word(word), Value::Number(value)) => {
            *word == value.to_string() || is_near(word, value.as_f64())
        }
        (Tree::Word(word), Value::String(id)) => word == id,
        (Tree::Text(text), Value::String(value)) => text == value,
        (Tree::List(bytes), Value::String(value)) => {
            let bytes: Option<Vec<u8>> = bytes
                .iter()
                .map(|byte| match byte {
                    Tree::Word(word) => word.parse().ok(),
                    _ => None,
                })
                .collect();
            bytes.is_some_and(|bytes| base64(&bytes) == *value)
        }
        // A structure without fields.
        (Tree::Word(_), Value::Object(values)) => values.is_empty(),
        (Tree::List(items), Value::Array(values)) => {
            if items.len() != values.len() {
                return other();
            }
            return items
                .iter()
                .zip(values)
                .find_map(|(item, value)| differs(item, value));
        }
        (Tree::Fields(fields), Value::Object(values)) => {
            return values
                .iter()
                .find_map(|(name, value)| match fields.get(&plain(name)) {
                    // Kafka writes record bytes as an empty text, whatever they hold.
                    Some(Tree::List(_)) if name.ends_with("ecords") && value == "" => None,
                    Some(field) => differs(field, value).map(|why| format!("{name}: {why}")),
                    None => Some(format!("there is no {name}")),
                });
        }
        _ => false,
    };
    if same { None } else { other() }
}

/// Where two trees differ, if they do. Fields that only one side has are left out.
pub(crate) fn same(ours: &Tree, theirs: &Tree) -> Option<String> {
    let other = || Some(format!("{ours:?} is not {theirs:?}"));
    let is_same = match (ours, theirs) {
        (Tree::Fields(ours), Tree::Fields(theirs)) => {
            return ours.iter().find_map(|(name, value)| {
                let why = same(value, theirs.get(name)?)?;
                Some(format!("{name}: {why}"))
            });
        }
        (Tree::List(ours), Tree::List(theirs)) if ours.len() == theirs.len() => {
            return ours.iter().zip(theirs).find_map(|(a, b)| same(a, b));
        }
        // Bytes as a list of numbers, and as text with one letter a byte.
        (Tree::List(bytes), Tree::Text(text)) => {
            let letters = text.chars().map(|c| Tree::Word(u32::from(c).to_string()));
            letters.eq(bytes.iter().cloned())
        }
        (Tree::Word(ours), Tree::Word(theirs)) if ours != theirs => {
            Uuid::parse(ours).is_some_and(|id| {
                format!("{:032x}", u128::from_be_bytes(id.0)) == theirs.replace('-', "")
            })
        }
        (Tree::Word(_), Tree::Fields(_)) => true,
        (ours, theirs) => ours == theirs,
    };
    if is_same { None } else { other() }
}

/// Numbers with a point, which the JSON reader does not take to the last bit; the bytes are compared
/// elsewhere.
fn is_near(word: &str, value: Option<f64>) -> bool {
    match (word.parse::<f64>(), value) {
        (Ok(word), Some(value)) => (word - value).abs() <= value.abs() * 1e-14,
        _ => false,
    }
}

fn base64(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let part = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at) & 63) as usize;
            text.push(if at <= chunk.len() {
                char::from(SYMBOLS[index])
            } else {
                '='
            });
        }
    }
    text
}

/// Reads hex; `.` is no byte at all.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.trim_end_matches('.')
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
