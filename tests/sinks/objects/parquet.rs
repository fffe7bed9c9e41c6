//! Parquet as a reader finds it that is not of this crate.

use std::{fs, process::Command};

use shardwright::{
    aws::AwsSettings,
    ports::{Sink, Verdict},
    sinks::{ObjectPlace, ObjectSink, SinkSite},
};
use tempfile::TempDir;

use super::store::Store;
use crate::{events::event, harness::Installed};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/read_parquet.py");

const COLUMNS: &str = r#"
a_string = "$.s string not null"
b_bigint = "$.big bigint"
c_int = "$.i int"
d_double = "$.d double"
e_float = "$.d float"
f_boolean = "$.b boolean"
g_decimal = "$.money decimal(9,2)"
h_decimal = "$.money decimal(18,2)"
i_decimal = "$.money decimal(38,2)"
j_date = "$.at date"
k_timestamp = "$.at timestamp"
l_timestamp = "$.at timestamp(6)"
m_list = "$.list array<string>"
n_list = "$.numbers array<bigint> not null"
o_json = "$.o json"
p_arrival = "%arrival timestamp not null"
"#;

/// As pyarrow prints it.
const EXPECT: &str = r#"a_string: string not null
b_bigint: int64
c_int: int32
d_double: double
e_float: float
f_boolean: bool
g_decimal: decimal128(9, 2)
h_decimal: decimal128(18, 2)
i_decimal: decimal128(38, 2)
j_date: date32[day]
k_timestamp: timestamp[ms, tz=UTC]
l_timestamp: timestamp[us, tz=UTC]
m_list: list<element: string>
n_list: list<element: int64> not null
o_json: string
p_arrival: timestamp[ms, tz=UTC] not null
{"a_string": "\u00e9 \ud83e\udd80", "b_bigint": 9223372036854775807, "c_int": -7, "d_double": 0.25, "e_float": 0.25, "f_boolean": true, "g_decimal": "-12.50", "h_decimal": "-12.50", "i_decimal": "-12.50", "j_date": "2026-01-31", "k_timestamp": "2026-01-31 23:59:59.123000+00:00", "l_timestamp": "2026-01-31 23:59:59.123456+00:00", "m_list": ["a", null], "n_list": [1, 2], "o_json": "{\"x\": [1]}", "p_arrival": "2023-11-14 22:13:20+00:00"}
{"a_string": "", "b_bigint": null, "c_int": null, "d_double": null, "e_float": null, "f_boolean": null, "g_decimal": null, "h_decimal": null, "i_decimal": null, "j_date": null, "k_timestamp": null, "l_timestamp": null, "m_list": null, "n_list": [], "o_json": null, "p_arrival": "2023-11-14 22:13:20+00:00"}
{"a_string": "z", "b_bigint": 0, "c_int": 0, "d_double": null, "e_float": null, "f_boolean": false, "g_decimal": null, "h_decimal": null, "i_decimal": null, "j_date": null, "k_timestamp": null, "l_timestamp": null, "m_list": [], "n_list": [null], "o_json": "\"text\"", "p_arrival": "2023-11-14 22:13:20+00:00"}
"#;

#[tokio::test]
async fn another_reader_finds_the_types_and_the_values() {
    let Some(installed) = Installed::find_all(&["pyarrow"]) else { return };
    let batch = [
        event(
            1,
            r#"{"s":"é \ud83e\udd80","big":9223372036854775807,"i":-7,"d":0.25,"b":true,"money":-12.5,"at":"2026-01-31T23:59:59.123456Z","list":["a",null],"numbers":[1,2],"o":{"x": [1]}}"#,
        ),
        event(2, r#"{"s":"","numbers":[]}"#),
        event(3, r#"{"numbers":[]}"#),
        event(4, r#"{"s":"z","big":0,"i":0,"b":false,"list":[],"numbers":[null],"o":"text"}"#),
    ];
    for compression in ["none", "gzip", "snappy", "zstd"] {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "path = '{}'\nprefix = ''\nformat = 'parquet'\ncompression = '{compression}'\n\
             [columns]{COLUMNS}",
            dir.path().display()
        );
        let aws = AwsSettings::default();
        let site = SinkSite { application: "orders", name: "lake", aws: &aws, replay: false };
        let config = toml::from_str(&config).unwrap();
        let sink = ObjectSink::open(config, ObjectPlace::Folder, &site).await.unwrap();
        let verdicts = sink.deliver(&batch).await.unwrap();
        assert!(matches!(&verdicts[2], Verdict::Refused(why) if why.contains("a_string")));
        let store = Store::Folder(dir.path().to_owned());
        let [key] = &store.keys()[..] else { panic!("{:?}", store.keys()) };
        let read = Command::new(installed.pyarrow())
            .args([SCRIPT, dir.path().join(key).to_str().unwrap()])
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{compression}: {problem}");
        assert_eq!(String::from_utf8(read.stdout).unwrap(), EXPECT, "{compression}");
        let first = fs::read(dir.path().join(key)).unwrap();
        sink.deliver(&batch).await.unwrap();
        assert!(fs::read(dir.path().join(key)).unwrap() == first, "{compression}");
    }
}
