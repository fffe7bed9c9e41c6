//! Checks the codec against the shared vectors of envelopes and KPL aggregates, where they are.
//!
//! They are looked for in `SHARDWRIGHT_VECTORS`, else in `../shared/vectors` beside the repository.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and a skipped check says so"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;
use shardwright::{
    codec::{DecodeError, DecodeLimits, Decoded, deaggregate, decode_user_record, render_event},
    model::{EpochMillis, Format, Position, RawRecord, UserRecord},
};

/// What is decided for files where to accept and to refuse are both right (`note`: "policy choice").
const DECIDED: [(&str, bool); 4] = [
    ("syn-id-number", true),
    ("syn-timestamp-string", true),
    ("syn-trailing-zero-padding", true),
    ("syn-unknown-message-type", false),
];

fn vectors(name: &str) -> Option<PathBuf> {
    let root = env::var_os("SHARDWRIGHT_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no vectors at {}", path.display());
    None
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn base64(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn decode(data: Vec<u8>) -> Result<Decoded, DecodeError> {
    let record = UserRecord {
        position: Position { sequence: "1".parse().unwrap(), sub_sequence: 0 },
        partition_key: Arc::from("key"),
        explicit_hash_key: None,
        aggregated: false,
        data: Bytes::from(data),
        arrival: EpochMillis(0),
    };
    decode_user_record(Format::CloudwatchLogs, &record, &DecodeLimits::default())
}

/// What the lines of the given envelopes must be, and how many of these are control messages.
fn expected_lines(documents: &[Value]) -> (Vec<Value>, u64) {
    let mut lines = Vec::new();
    let mut control = 0;
    for document in documents {
        if document["messageType"] == "CONTROL_MESSAGE" {
            control += 1;
            continue;
        }
        let mut header = document.as_object().unwrap().clone();
        header.remove("messageType");
        let events = header.remove("logEvents").unwrap();
        for event in events.as_array().unwrap() {
            let mut line = header.clone();
            line.insert("id".into(), "".into());
            line.insert("timestamp".into(), Value::Null);
            line.extend(event.as_object().unwrap().clone());
            lines.push(Value::Object(line));
        }
    }
    (lines, control)
}

/// Evens out what the codec accepts in two JSON types: times as text, and objects as messages.
fn even_out(line: &mut Value, expect: &mut Value) {
    if let Some(millis) = expect["timestamp"].as_str().and_then(|text| text.parse::<i64>().ok()) {
        expect["timestamp"] = millis.into();
    }
    if expect["message"].is_object() {
        line["message"] = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
    }
}

fn check_accepted(name: &str, file: &Value, decoded: &Decoded) {
    if let Some(summary) = file.get("expected_summary") {
        assert_eq!(Some(decoded.events.len() as u64), summary["events"].as_u64(), "{name}");
        if let Some(length) = summary["message_len"].as_u64() {
            assert_eq!(decoded.events[0].message.as_str().len() as u64, length, "{name}");
        }
        return;
    }
    let documents = match (file.get("expected_documents"), file.get("expected")) {
        (Some(documents), _) => documents.as_array().unwrap().clone(),
        (None, Some(document)) => vec![document.clone()],
        (None, None) => return,
    };
    let (mut expect, control) = expected_lines(&documents);
    let mut lines: Vec<Value> = decoded
        .events
        .iter()
        .map(|event| {
            let mut line = Vec::new();
            render_event(event, &mut line);
            serde_json::from_slice(&line).unwrap()
        })
        .collect();
    lines.iter_mut().zip(&mut expect).for_each(|(line, expect)| even_out(line, expect));
    assert_eq!(lines, expect, "{name}");
    assert_eq!(decoded.control, control, "{name}");
}

#[test]
fn envelopes_decode_as_recorded() {
    let Some(folder) = vectors("envelopes") else { return };
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for path in files {
        let file = read(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let recorded = file["expected_ok"].as_bool().unwrap();
        let policy_choice =
            file["note"].as_str().is_some_and(|note| note.contains("policy choice"));
        let expect = match DECIDED.iter().find(|(decided, _)| *decided == name) {
            Some((_, accepted)) => Some(*accepted),
            None if policy_choice => None,
            None => Some(recorded),
        };
        let mut forms = Vec::new();
        if file["base64_gzip"].is_string() {
            forms.push(base64(&file["base64_gzip"]));
        }
        if let Some(raw) = file["raw"].as_str() {
            forms.push(raw.as_bytes().to_vec());
        }
        assert!(!forms.is_empty(), "{name} has no payload");
        for form in forms {
            let result = decode(form);
            if let Some(expect) = expect {
                assert_eq!(result.is_ok(), expect, "{name}: {:?}", result.err());
            }
            if let Ok(decoded) = result {
                check_accepted(name, &file, &decoded);
            }
        }
    }
}

#[test]
fn aggregates_unpack_as_recorded() {
    let Some(path) = vectors("kpl.json") else { return };
    for vector in read(&path).as_array().unwrap() {
        let name = &vector["name"];
        let data = Bytes::from(base64(&vector["data_base64"]));
        let found = deaggregate(&RawRecord {
            sequence: "1".parse().unwrap(),
            partition_key: "outer".into(),
            data: data.clone(),
            arrival: EpochMillis(0),
        });
        if vector["aggregated"] == false {
            assert_eq!(found.records.len(), 1, "{name}");
            assert!(!found.records[0].aggregated, "{name}");
            assert_eq!(found.records[0].data, data, "{name}");
            continue;
        }
        assert!(found.records.iter().all(|record| record.aggregated), "{name}");
        let unreadable = vector["unreadable_user_records"].as_u64().unwrap_or(0);
        assert_eq!(found.unreadable, unreadable, "{name}");
        if let Some(readable) = vector["readable_user_records"].as_u64() {
            assert_eq!(found.records.len() as u64, readable, "{name}");
        }
        let Some(expect) = vector["user_records"].as_array() else { continue };
        assert_eq!(found.records.len(), expect.len(), "{name}");
        for (record, expect) in found.records.iter().zip(expect) {
            assert_eq!(Some(record.position.sub_sequence), expect["subsequence"].as_u64());
            assert_eq!(Some(&*record.partition_key), expect["partition_key"].as_str(), "{name}");
            let hash_key = expect["explicit_hash_key"].as_str();
            assert_eq!(record.explicit_hash_key.as_deref(), hash_key, "{name}");
            assert_eq!(record.data, base64(&expect["data_base64"]), "{name}");
        }
    }
}
