//! What the same work costs when nothing is kept, checked or counted: the best known gunzip, a
//! parser that borrows, and lines written from what was borrowed.

use std::borrow::Cow;

use libdeflater::Decompressor;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// How a message is written.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    /// As the text that it is: the line that the pipeline writes.
    Text,
    /// Parsed, if it is an object, and its members written again.
    Members,
}

/// Buffers that live as long as the run.
pub(crate) struct Floor {
    message: Message,
    inflate: Decompressor,
    plain: Vec<u8>,
    lines: Vec<u8>,
}

impl Floor {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, inflate: Decompressor::new(), plain: Vec::new(), lines: Vec::new() }
    }

    /// The lines of one record.
    pub(crate) fn process(&mut self, gzip: &[u8]) -> &[u8] {
        let isize = u32::from_le_bytes(*gzip.last_chunk::<4>().unwrap()) as usize;
        if self.plain.len() < isize {
            self.plain.resize(isize, 0);
        }
        let size = self.inflate.gzip_decompress(gzip, &mut self.plain).unwrap();
        let text = std::str::from_utf8(&self.plain[..size]).unwrap();
        self.lines.clear();
        let mut json = serde_json::Deserializer::from_str(text);
        let envelope = Envelope { message: self.message, out: &mut self.lines };
        envelope.deserialize(&mut json).unwrap();
        &self.lines
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Envelope<'o> {
    message: Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // What all lines begin with. CloudWatch Logs writes the header first.
        let mut head = vec![b'{'];
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "logEvents" => map.next_value_seed(Events {
                    head: &head,
                    message: self.message,
                    out: &mut *self.out,
                })?,
                "messageType" => drop(map.next_value::<IgnoredAny>()?),
                _ => field(&mut head, &key, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(())
    }
}

fn field(out: &mut Vec<u8>, key: &str, raw: &str) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(raw.as_bytes());
    out.push(b',');
}

struct Events<'o> {
    head: &'o [u8],
    message: Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Events<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        while let Some(event) = events.next_element::<Event<'de>>()? {
            self.out.extend_from_slice(self.head);
            field(self.out, "id", event.id.get());
            field(self.out, "timestamp", event.timestamp.get());
            self.out.extend_from_slice(b"\"message\":");
            match self.message {
                Message::Text => serde_json::to_writer(&mut *self.out, &event.message).unwrap(),
                Message::Members => members(self.out, &event.message),
            }
            self.out.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// The message's members one by one, without looking into them.
fn members(out: &mut Vec<u8>, message: &str) {
    struct Members<'o>(&'o mut Vec<u8>);
    impl<'de> Visitor<'de> for Members<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut before = b'{';
            while let Some(key) = map.next_key::<&RawValue>()? {
                self.0.push(before);
                before = b',';
                self.0.extend_from_slice(key.get().as_bytes());
                self.0.push(b':');
                self.0.extend_from_slice(map.next_value::<&RawValue>()?.get().as_bytes());
            }
            self.0.push(b'}');
            Ok(())
        }
    }
    let start = out.len();
    let parsed = message.starts_with('{')
        && serde_json::Deserializer::from_str(message).deserialize_map(Members(out)).is_ok();
    if !parsed {
        out.truncate(start);
        serde_json::to_writer(out, message).unwrap();
    }
}
