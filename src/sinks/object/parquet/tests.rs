//! Files, read back by the crate that wrote them. `tests/sinks` reads them with another.

use bytes::Bytes;
use parquet::{
    file::{
        metadata::RowGroupMetaData,
        reader::{FileReader, SerializedFileReader},
    },
    record::{Field, RowAccessor},
};

use super::*;
use crate::sinks::testing::event;

const CODECS: [ObjectCompression; 4] = [
    ObjectCompression::None,
    ObjectCompression::Gzip,
    ObjectCompression::Snappy,
    ObjectCompression::Zstd,
];

fn columns(columns: &[(&str, &str)]) -> BTreeMap<String, Column> {
    columns.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect()
}

fn file(bytes: Vec<u8>) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(bytes)).unwrap()
}

/// The rows as JSON.
fn rows(bytes: Vec<u8>) -> Vec<String> {
    let file = file(bytes);
    let rows = file.get_row_iter(None).unwrap();
    let shown = |(name, field): (&String, &Field)| format!("{name}={field}");
    rows.map(|row| row.unwrap().get_column_iter().map(shown).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn rows_come_back_with_their_types_and_nulls() {
    let columns = columns(&[
        ("a", "$.a string not null"),
        ("b", "$.b bigint"),
        ("c", "$.c double"),
        ("d", "$.d decimal(10,2)"),
        ("e", "$.e timestamp"),
        ("f", "$.f date"),
        ("g", "$.g array<int>"),
        ("h", "$.g array<string> not null"),
        ("i", "$.i boolean"),
        ("j", "$.j float"),
        ("k", "$.k decimal(38,3)"),
        ("l", "$.l int"),
        ("m", "$ json"),
    ]);
    let events = [
        event(
            1,
            r#"{"a":"x","b":1,"c":0.5,"d":-1.5,"e":1700000000123,"f":"2026-01-31","g":[1,null,2],"i":true,"j":1.5,"k":-0.001,"l":7}"#,
        ),
        event(2, r#"{"a":"y","g":[]}"#),
        event(
            3,
            r#"{"a":"","b":-9223372036854775808,"g":[3],"k":99999999999999999999999999999999999.999}"#,
        ),
    ];
    let expect = [
        r#"a="x" b=1 c=0.5 d=-1.50 e=2023-11-14 22:13:20.123 +00:00 f=2026-01-31 g=[1, null, 2] h=["1", null, "2"] i=true j=1.5 k=-0.001 l=7"#,
        r#"a="y" b=null c=null d=null e=null f=null g=[] h=[] i=null j=null k=null l=null"#,
        r#"a="" b=-9223372036854775808 c=null d=null e=null f=null g=[3] h=["3"] i=null j=null k=99999999999999999999999999999999999.999 l=null"#,
    ];
    for codec in CODECS {
        let Encoded { bytes, refused } = encode(&events, &columns, codec).unwrap();
        assert_eq!(refused, []);
        let rows = rows(bytes);
        let rows: Vec<_> = rows.iter().map(|row| row.split_once(" m=").unwrap().0).collect();
        assert_eq!(rows, expect);
    }
}

#[test]
fn the_same_events_are_the_same_bytes() {
    let columns = columns(&[("a", "$.number bigint"), ("b", "%partition_key"), ("c", "$ json")]);
    let events = crate::sinks::testing::events(0..5000);
    for codec in CODECS {
        let [first, again] = [(); 2].map(|()| encode(&events, &columns, codec).unwrap().bytes);
        assert!(first == again, "{codec:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_alone() {
    let columns = columns(&[("a", "$.a bigint not null"), ("b", "$.b boolean"), ("c", "$.c")]);
    let events = [
        event(1, r#"{"a":1,"b":true,"c":"one"}"#),
        event(2, r#"{"a":2,"b":"maybe","c":"two"}"#),
        event(3, r#"{"b":true,"c":"three"}"#),
        event(4, r#"{"a":4,"c":"four"}"#),
    ];
    let Encoded { bytes, refused } = encode(&events, &columns, ObjectCompression::Zstd).unwrap();
    let refused: Vec<_> = refused.iter().map(|(index, why)| (*index, why.as_str())).collect();
    assert_eq!(
        refused,
        [
            (1, "column \"b\" (boolean): this text does not fit"),
            (2, "column \"a\" ($.a bigint not null): the event has no value for it"),
        ]
    );
    assert_eq!(rows(bytes), [r#"a=1 b=true c="one""#, r#"a=4 b=null c="four""#]);
}

#[test]
fn a_large_batch_has_several_row_groups() {
    let columns = columns(&[("number", "$.number bigint")]);
    let text = |number: u64| format!("{{\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(8 << 20));
    let events: Vec<_> = (0..17).map(|number| event(number, &text(number))).collect();
    let bytes = encode(&events, &columns, ObjectCompression::Zstd).unwrap().bytes;
    let file = file(bytes);
    let groups = file.metadata().row_groups().iter().map(RowGroupMetaData::num_rows);
    assert_eq!(groups.collect::<Vec<_>>(), [8, 8, 1]);
    let numbers = file.get_row_iter(None).unwrap().map(|row| row.unwrap().get_long(0).unwrap());
    assert!(numbers.eq(0..17));
    let keys = file.metadata().file_metadata().key_value_metadata();
    assert!(keys.is_none(), "nothing that could differ from run to run: {keys:?}");
}
