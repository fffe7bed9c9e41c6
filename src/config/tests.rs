//! The tables of keys, the settings' structs and `config/default.toml` say the same.

use std::collections::HashMap;

use config::Value;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};

use super::{
    kind::Kind,
    schema::{self, Absent, Key},
    *,
};
use crate::{
    aws::AwsSettings,
    model::{Aggregates, Format},
    sinks::{
        BodyFormat, BulkAction, Compression, FileConfig, FirehoseConfig, Fsync, HttpCompression,
        HttpConfig, KinesisSinkConfig, ObjectCompression, ObjectConfig, ObjectFormat,
        PostgresConfig, Preset, SinkConfig, SqsConfig,
    },
};

/// Learns the names of a struct's fields, or of an enum's variants.
struct Names<'n>(&'n mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("neither struct nor enum"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(Error::custom("names only"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(variants);
        Err(Error::custom("names only"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn names<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut names = Vec::new();
    assert!(T::deserialize(Names(&mut names)).is_err());
    names.sort_unstable();
    names
}

fn sorted(keys: &[Key]) -> Vec<&'static str> {
    let mut names: Vec<_> = keys.iter().map(|key| key.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_tables_of_keys_have_the_fields_of_the_structs() {
    assert_eq!(sorted(schema::AWS), names::<AwsSettings>());
    assert_eq!(sorted(schema::LEASE), names::<LeaseSettings>());
    assert_eq!(sorted(schema::CONSUMER), names::<ConsumerSettings>());
    assert_eq!(sorted(schema::SHUTDOWN), names::<ShutdownSettings>());
    assert_eq!(sorted(schema::ADMIN), names::<AdminSettings>());
    assert_eq!(sorted(schema::LOG), names::<LogSettings>());
    assert_eq!(sorted(schema::EMF), names::<EmfSettings>());
    assert_eq!(sorted(schema::OTLP), names::<OtlpSettings>());
    assert_eq!(sorted(schema::DEAD_LETTER), names::<DeadLetterSettings>());
    assert_eq!(sorted(schema::STREAM), names::<StreamSettings>());
    assert_eq!(sorted(schema::ROUTE), names::<RouteSettings>());
    assert_eq!(sorted(schema::BATCH), names::<BatchSettings>());
    assert_eq!(sorted(schema::RETRY), names::<RetrySettings>());
    assert_eq!(sorted(schema::FILE), names::<FileConfig>());
    assert_eq!(sorted(schema::HTTP), names::<HttpConfig>());
    let objects = [schema::S3, schema::AZURE, schema::GCS, schema::FOLDER];
    let mut objects = objects.map(sorted).concat();
    objects.sort_unstable();
    objects.dedup();
    assert_eq!(objects, names::<ObjectConfig>());
    assert_eq!(sorted(schema::batch_keys("s3")), names::<BatchSettings>());
    assert_eq!(sorted(schema::POSTGRES), names::<PostgresConfig>());
    assert_eq!(sorted(schema::SQS), names::<SqsConfig>());
    assert_eq!(sorted(schema::FIREHOSE), names::<FirehoseConfig>());
    assert_eq!(sorted(schema::KINESIS), names::<KinesisSinkConfig>());
}

#[test]
fn the_words_are_the_variants_of_the_enums() {
    for (keys, key, variants) in [
        (schema::LOG, "format", names::<LogFormat>()),
        (schema::STREAM, "retrieval", names::<Retrieval>()),
        (schema::STREAM, "format", names::<Format>()),
        (schema::STREAM, "aggregates", names::<Aggregates>()),
        (schema::ROUTE, "validate_on", names::<ValidateOn>()),
        (schema::FILE, "compression", names::<Compression>()),
        (schema::FILE, "fsync", names::<Fsync>()),
        (schema::S3, "format", names::<ObjectFormat>()),
        (schema::S3, "compression", names::<ObjectCompression>()),
        (schema::HTTP, "preset", names::<Preset>()),
        (schema::HTTP, "body", names::<BodyFormat>()),
        (schema::HTTP, "compression", names::<HttpCompression>()),
        (schema::HTTP, "action", names::<BulkAction>()),
    ] {
        let key = keys.iter().find(|known| known.name == key).unwrap();
        let Kind::Word(words) = key.kind else { panic!("{} takes no words", key.name) };
        let mut words = words.to_vec();
        words.sort_unstable();
        assert_eq!(words, variants, "{}", key.name);
    }
}

/// The table of some keys where only what must be there is set.
fn least(keys: &[Key], set: &str) -> toml::Table {
    let mut table: toml::Table = toml::from_str(set).unwrap();
    for key in keys {
        if let Absent::Default(text) = key.absent {
            table.insert(key.name.to_owned(), key.kind.parse(text).unwrap());
        }
    }
    table
}

#[test]
fn the_defaults_of_the_tables_are_those_of_the_types() {
    fn check<T: DeserializeOwned + PartialEq + std::fmt::Debug>(keys: &[Key], set: &str) {
        let expect: T = toml::from_str(set).unwrap();
        assert_eq!(least(keys, set).try_into::<T>().unwrap(), expect);
    }
    check::<StreamSettings>(schema::STREAM, "name = 'a'");
    check::<RouteSettings>(schema::ROUTE, "name = 'a'\nsink = 'b'");
    check::<BatchSettings>(schema::BATCH, "");
    check::<RetrySettings>(schema::RETRY, "");
    check::<SinkConfig>(schema::FILE, "type = 'file'\npath = 'a'");
    check::<SinkConfig>(schema::FOLDER, "type = 'folder'\npath = 'a'");
    check::<SinkConfig>(schema::S3, "type = 's3'\nbucket = 'abc'");
    check::<SinkConfig>(schema::AZURE, "type = 'azure'\naccount = 'abc'\ncontainer = 'abc'");
    check::<SinkConfig>(schema::GCS, "type = 'gcs'\nbucket = 'abc'");
    check::<SinkConfig>(schema::HTTP, "type = 'http'\nurl = 'a'");
    check::<SinkConfig>(
        schema::POSTGRES,
        "type = 'postgres'\nurl = 'a'\ntable = 'b'\ncolumns = {}",
    );
    check::<SinkConfig>(schema::SQS, "type = 'sqs'\nqueue_url = 'a'");
    check::<SinkConfig>(schema::FIREHOSE, "type = 'firehose'\nstream = 'a'");
    check::<SinkConfig>(schema::KINESIS, "type = 'kinesis'");
}

/// `default.toml` with the keys that are commented out.
fn documented() -> String {
    let line = |line: &str| {
        let Some(rest) = line.strip_prefix("# ") else { return line.to_owned() };
        let is_key = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let key = rest.split_once(" = ").is_some_and(|(name, _)| is_key(name));
        let table = rest.starts_with('[') && rest.ends_with(']');
        if key || table { rest.to_owned() } else { line.to_owned() }
    };
    DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_file_documents_every_key_with_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.toml");
    std::fs::write(&file, documented()).unwrap();
    let layers = Layers { files: vec![file], environment: Some(HashMap::new()) };
    let (_, listed) = load(&layers).unwrap_or_else(|problems| panic!("{problems}"));

    let prefixed = |prefix: &str, keys: &'static [Key]| {
        let path = |key: &Key| place::join(prefix, key.name);
        keys.iter().map(|key| (path(key), *key)).collect::<Vec<_>>()
    };
    let all = [
        prefixed("", schema::TOP),
        prefixed("aws", schema::AWS),
        prefixed("lease", schema::LEASE),
        prefixed("consumer", schema::CONSUMER),
        prefixed("shutdown", schema::SHUTDOWN),
        prefixed("admin", schema::ADMIN),
        prefixed("log", schema::LOG),
        prefixed("emf", schema::EMF),
        prefixed("otlp", schema::OTLP),
        prefixed("dead_letter", schema::DEAD_LETTER),
        prefixed("streams[0]", schema::STREAM),
        prefixed("routes[0]", schema::ROUTE),
        prefixed("sinks.terminal", schema::BATCH),
        prefixed("sinks.terminal", schema::RETRY),
        prefixed("sinks.archive", schema::FILE),
        prefixed("sinks.lake", schema::batch_keys("s3")),
        prefixed("sinks.lake", schema::S3),
        prefixed("sinks.blobs", schema::AZURE),
        prefixed("sinks.cloud", schema::GCS),
        prefixed("sinks.desk", schema::FOLDER),
        prefixed("sinks.search", schema::HTTP),
        prefixed("sinks.rows", schema::POSTGRES),
        prefixed("sinks.queue", schema::SQS),
        prefixed("sinks.hose", schema::FIREHOSE),
        prefixed("sinks.next", schema::KINESIS),
    ];
    let reference = reference();
    for (path, key) in all.into_iter().flatten() {
        let setting = listed.iter().find(|setting| setting.key == path);
        let setting = setting.unwrap_or_else(|| panic!("{path} is not documented"));
        assert_ne!(setting.origin, "default", "{path} is not documented");
        let row = format!("\n| `{}` | ", key.name);
        assert!(reference.contains(&row), "{path} is not in the reference");
        if let Absent::Default(text) = key.absent {
            let default = key.kind.parse(text).unwrap();
            assert_eq!(setting.value, default.to_string(), "{path}");
        }
    }
}

/// `Ok` with the value's one spelling, or a part of the message.
fn check(kind: Kind, value: impl Into<Value>, expect: Result<&str, &str>) {
    let value = value.into();
    match (kind.read(&value), expect) {
        (Ok(read), Ok(text)) => {
            assert_eq!(read.as_str().map_or_else(|| read.to_string(), str::to_owned), text);
        }
        (Err(message), Err(part)) => assert!(message.contains(part), "{message:?} / {part:?}"),
        (read, expect) => panic!("{value:?}: {read:?}, expected {expect:?}"),
    }
}

#[test]
fn durations() {
    for (text, expect) in [
        ("10s", Ok("10s")),
        ("250ms", Ok("250ms")),
        ("0s", Ok("0s")),
        ("90s", Ok("1m 30s")),
        ("1h 30m", Ok("1h 30m")),
        ("0.5h", Ok("30m")),
        ("365days", Ok("8760h")),
        ("365d 1s", Err("at most 365 days; found \"365d 1s\"")),
        ("10000y", Err("at most 365 days")),
        ("99999999999999999999s", Err("at most 365 days")),
        (
            "10 parsecs",
            Err("a duration such as \"10s\", \"250ms\" or \"5m\"; found \"10 parsecs\""),
        ),
        ("", Err("a duration such as")),
        ("-1s", Err("a duration such as")),
        ("10", Err("a duration such as")),
    ] {
        check(Kind::Duration, text, expect);
    }
    check(Kind::Duration, 5_i64, Err("a duration such as \"10s\", \"250ms\" or \"5m\"; found 5"));
}

#[test]
fn sizes() {
    for (text, expect) in [
        ("64KiB", Ok("64KiB")),
        ("1024 KiB", Ok("1MiB")),
        ("1.5MiB", Ok("1536KiB")),
        ("1GB", Ok("1GB")),
        ("1000001B", Ok("1000001B")),
        ("0", Ok("0B")),
        ("1PiB", Ok("1PiB")),
        ("1025TiB", Err("at most 1PiB; found \"1025TiB\"")),
        ("99999999999999999999GiB", Err("at most 1PiB")),
        ("-1KiB", Err("a size such as \"64KiB\", \"8MiB\" or \"1GB\"; found \"-1KiB\"")),
        ("8 parsecs", Err("a size such as")),
    ] {
        check(Kind::Size, text, expect);
    }
    check(Kind::Size, 8_388_608_i64, Ok("8MiB"));
    check(Kind::Size, -1_i64, Err("a size such as"));
}

#[test]
fn other_kinds() {
    check(Kind::Text, "a", Ok("a"));
    check(Kind::Text, 5_i64, Err("expected text in quotes; found 5"));
    check(Kind::Text, vec!["a"], Err("expected text in quotes; found a list"));
    check(Kind::Flag, true, Ok("true"));
    check(Kind::Flag, "true", Err("expected true or false; found \"true\""));
    check(Kind::Count, 500_i64, Ok("500"));
    check(Kind::Count, -1_i64, Err("a whole number such as 500; found -1"));
    check(Kind::Count, 1.5, Err("a whole number such as 500; found 1.5"));
    check(Kind::Attempts, 0_i64, Ok("0"));
    check(Kind::Attempts, -1_i64, Ok("-1"));
    check(Kind::Attempts, -2_i64, Err("from 0 to 10000, or -1 for no limit; found -2"));
    check(Kind::Attempts, 10_001_i64, Err("from 0 to 10000, or -1 for no limit; found 10001"));
    check(Kind::Attempts, "3", Err("from 0 to 10000"));
    check(Kind::Age, "1h", Ok("1h"));
    check(Kind::Age, -1_i64, Ok("-1"));
    check(Kind::Age, 3600_i64, Err("such as \"1h\", or -1 for no limit; found 3600"));
    check(Kind::Age, "-1", Err("such as \"1h\", or -1"));
    check(Kind::Word(&["auto", "text", "json"]), "json", Ok("json"));
    check(
        Kind::Word(&["auto", "text", "json"]),
        "xml",
        Err("expected \"auto\", \"text\" or \"json\"; found \"xml\""),
    );
    check(Kind::Address, "127.0.0.1:9464", Ok("127.0.0.1:9464"));
    check(Kind::Address, "localhost", Err("address and port such as \"127.0.0.1:9464\""));
    check(Kind::Position, "LATEST", Ok("LATEST"));
    check(Kind::Position, "2026-01-31T09:00:00+01:00", Ok("2026-01-31T08:00:00.000Z"));
    check(Kind::End, "LATEST", Ok("LATEST"));
    check(Kind::End, "TRIM_HORIZON", Err("\"LATEST\" or a time such as"));
    check(Kind::Position, "yesterday", Err("\"LATEST\" or a time such as"));
    check(Kind::Texts, vec!["a", "b"], Ok("[\"a\", \"b\"]"));
    check(Kind::Texts, "a", Err("a list of texts"));
    check(Kind::Text, "https://u:p@h/?t=1", Ok("https://u:p@h/?t=1"));
    check(Kind::Size, "https://u:p@h/?t=1", Err("https://(redacted)@h/?(redacted)"));
}

#[test]
fn the_environment_spells_every_kind_as_text() {
    for (kind, text, expect) in [
        (Kind::Flag, "false", Ok("false")),
        (Kind::Flag, "maybe", Err("expected true or false; found \"maybe\"")),
        (Kind::Count, "7", Ok("7")),
        (Kind::Count, "-7", Err("a whole number such as 500; found -7")),
        (Kind::Count, "99999999999999999999", Err("found \"99999999999999999999\"")),
        (Kind::Texts, "/aws/lambda/*, /ecs", Ok("[\"/aws/lambda/*\", \"/ecs\"]")),
        (Kind::Texts, "", Ok("[]")),
        (Kind::Attempts, "-1", Ok("-1")),
        (Kind::Attempts, "many", Err("from 0 to 10000")),
        (Kind::Age, "-1", Ok("-1")),
        (Kind::Age, "90m", Ok("\"1h 30m\"")),
        (Kind::Age, "-2", Err("such as \"1h\", or -1")),
        (Kind::Text, "5", Ok("\"5\"")),
    ] {
        match (kind.parse(text), expect) {
            (Ok(value), Ok(shown)) => assert_eq!(value.to_string(), shown),
            (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
            (read, expect) => panic!("{text:?}: {read:?}, expected {expect:?}"),
        }
    }
}
