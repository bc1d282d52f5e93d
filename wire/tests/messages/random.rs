//! Random bytes of any message and version, written by walking the schema facts: a second encoder
//! that shares nothing with the generated one but the facts.

use crate::facts::{Field, Kind, Message, Structure};

/// Seeded generator (splitmix64): the same seed gives the same bytes on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// One random instance.
pub(crate) struct Instance<'m> {
    pub(crate) message: &'m Message,
    pub(crate) version: i16,
    /// Adds a tagged field that no schema knows to every structure.
    pub(crate) unknown_tags: bool,
    /// Many elements that take as few bytes as they can: the dearest to copy.
    pub(crate) lean: bool,
    /// Arrays around the current value.
    depth: usize,
    pub(crate) random: Random,
    out: Vec<u8>,
}

impl<'m> Instance<'m> {
    pub(crate) fn new(message: &'m Message, version: i16, seed: u64) -> Self {
        Self {
            message,
            version,
            unknown_tags: false,
            lean: false,
            depth: 0,
            random: Random(seed),
            out: Vec::new(),
        }
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let message = self.message;
        self.structure(&message.structs[0], false);
        self.out
    }

    fn flexible(&self) -> bool {
        self.message.flexible.contains(self.version)
    }

    /// `set` asks for values that differ from every default: a tagged field that has its default is
    /// left out, so that writing it would not be undone by reading it.
    fn structure(&mut self, structure: &Structure, set: bool) {
        let version = self.version;
        let there = |f: &&Field| f.versions.contains(version);
        for field in structure.fields.iter().filter(there) {
            if field.tag.is_none() {
                self.field(field, set);
            }
        }
        if !self.flexible() {
            return;
        }
        let mut tagged: Vec<&Field> = structure.fields.iter().filter(there).collect();
        tagged.retain(|f| f.tag.is_some() && (set || (!self.lean && self.random.chance(2))));
        tagged.sort_by_key(|f| f.tag);
        self.uvarint(tagged.len() + usize::from(self.unknown_tags));
        for field in tagged {
            let outer = std::mem::take(&mut self.out);
            self.field(field, true);
            let value = std::mem::replace(&mut self.out, outer);
            self.uvarint(field.tag.expect("tagged") as usize);
            self.uvarint(value.len());
            self.out.extend(value);
        }
        if self.unknown_tags {
            self.uvarint(4711);
            self.uvarint(3);
            self.out.extend(b"new");
        }
    }

    fn field(&mut self, field: &Field, set: bool) {
        let null = field.nullable.contains(self.version)
            && !set
            && (self.random.chance(4) || (self.lean && field.kind.structure().is_none()));
        match (&field.kind, null) {
            (Kind::Struct(_), true) => return self.out.push(0xff),
            (Kind::Struct(_), false) if field.nullable.contains(self.version) => self.out.push(1),
            (Kind::Text, true) => return self.length(None, true, field.rigid),
            (Kind::Bytes | Kind::Records | Kind::Array(_), true) => {
                return self.length(None, false, false);
            }
            _ => {}
        }
        if set && field.kind == Kind::Bool {
            return self
                .out
                .push(u8::from(field.default.as_deref() != Some("true")));
        }
        self.value(&field.kind, set, field.rigid);
    }

    fn value(&mut self, kind: &Kind, set: bool, rigid: bool) {
        let some = usize::from(set);
        match kind {
            Kind::Bool => {
                let value = self.random.below(2);
                self.out.push(value as u8);
            }
            Kind::Int8 => self.number(1, set),
            Kind::Int16 | Kind::Uint16 => self.number(2, set),
            Kind::Int32 | Kind::Uint32 => self.number(4, set),
            Kind::Int64 => self.number(8, set),
            // A finite number: NaN differs from itself.
            Kind::Float64 => {
                let value = self.random.below(1_000_000) as f64 / 7.0 + 1.0;
                self.out.extend(value.to_be_bytes());
            }
            Kind::Uuid => self.number(16, set),
            Kind::Text => {
                let symbols = ["a", "B", "-", "0", "é", "漢", "\u{1f600}", "\0"];
                let symbols_max = if self.lean { 1 } else { 9 };
                let text: String = (0..some + self.random.below(symbols_max))
                    .map(|_| symbols[self.random.below(symbols.len())])
                    .collect();
                self.length(Some(text.len()), true, rigid);
                self.out.extend(text.bytes());
            }
            Kind::Bytes | Kind::Records => {
                // Now and then longer than one byte of a variable-length integer can say.
                let max = match (self.lean, self.random.chance(8)) {
                    (true, _) => 1,
                    (false, true) => 300,
                    (false, false) => 20,
                };
                let length = some + self.random.below(max);
                self.length(Some(length), false, false);
                self.number(length, false);
            }
            Kind::Array(element) => {
                let count = match (self.lean, self.depth) {
                    (false, _) => some + self.random.below(3),
                    (true, 0) => 1000,
                    (true, _) => self.random.below(2),
                };
                self.length(Some(count), false, false);
                self.depth += 1;
                (0..count).for_each(|_| self.value(element, set, false));
                self.depth -= 1;
            }
            Kind::Struct(name) => {
                let message = self.message;
                let structure = message.structure(name).expect("checked by the build");
                self.structure(structure, set);
            }
        }
    }

    /// Random bytes; `set` avoids the small and the extreme numbers that are defaults.
    fn number(&mut self, bytes: usize, set: bool) {
        if set {
            self.out.push(0x41);
        }
        for _ in usize::from(set)..bytes {
            let byte = self.random.next() as u8;
            self.out.push(byte);
        }
    }

    fn length(&mut self, length: Option<usize>, short: bool, rigid: bool) {
        if self.flexible() && !rigid {
            self.uvarint(length.map_or(0, |l| l + 1));
        } else if short {
            let length = length.map_or(-1, |l| l as i16);
            self.out.extend(length.to_be_bytes());
        } else {
            let length = length.map_or(-1, |l| l as i32);
            self.out.extend(length.to_be_bytes());
        }
    }

    fn uvarint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
