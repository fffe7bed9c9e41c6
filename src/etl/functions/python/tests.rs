//! Python literals. What is expected here is what `json.dumps(ast.literal_eval(…))` answers.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn read(text: &str) -> Json {
    serde_json::to_value(parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))).unwrap()
}

#[track_caller]
fn check(text: &str, expect: impl Into<Json>) {
    assert_eq!(read(text), expect.into(), "{text}");
}

#[track_caller]
fn refused(text: &str, character: usize, part: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.reason.contains(part), "{text}: {error}");
    assert_eq!(error.character, character, "{text}: {error}");
}

#[test]
fn a_printed_dict() {
    check(
        r#"{'dot_type': 'order', "it's": "it's", 'paid': True, 'n': None, 'items': [{'sku': 'a', 'qty': 2}, ('b', 1.5)]}"#,
        json!({"dot_type": "order", "it's": "it's", "paid": true, "n": null,
            "items": [{"sku": "a", "qty": 2}, ["b", 1.5]]}),
    );
    check(" {'a': true, 'b': false, 'c': null}\n", json!({"a": true, "b": false, "c": null}));
    check(r#"{"json": ["too", 1, -2.5e3]}"#, json!({"json": ["too", 1, -2500.0]}));
}

#[test]
fn containers() {
    check("[]", json!([]));
    check("{}", json!({}));
    check("()", json!([]));
    check("(1,)", json!([1]));
    check("(1)", json!(1));
    check("(1, 2,)", json!([1, 2]));
    check("[1, [2, [3]],]", json!([1, [2, [3]]]));
    check("{1, 2}", json!([1, 2]));
    check("{'a', }", json!(["a"]));
    check("set()", json!([]));
    check("{'a': 1, 'a': 2,}", json!({"a": 2}));
    check(
        "{1: 'i', 1.5: 'f', True: 't', None: 'n', b'b': 0}",
        json!({"1": "i", "1.5": "f", "true": "t", "null": "n", "b": 0}),
    );
    check("[\n  1,\t2\r\n]", json!([1, 2]));
}

#[test]
fn strings() {
    check(r#"'a\n\t\r\\\'\"b'"#, json!("a\n\t\r\\'\"b"));
    check(r"'\a\b\f\v\0\101\x41\u0041\U0001f600'", json!("\u{7}\u{8}\u{c}\u{b}\0AAA😀"));
    check(r"'\ud83d\ude00'", json!("😀"));
    check(r"'\d \( \8'", json!(r"\d \( \8"));
    check("'a\\\nb'", json!("ab"));
    check(r"r'\n\''", json!(r"\n\'"));
    check("u'é' 'ł'\n\"x\"", json!("éłx"));
    check(r#"('long ' "pprint")"#, json!("long pprint"));
    check("'''a\n'b''c'''", json!("a\n'b''c"));
    check(r#""""""""#, json!(""));
    check(r#"["", '']"#, json!(["", ""]));
    check(r#""""a"b""""#, json!("a\"b"));
    check(r"b'a\x00\n' rb'\x'", json!("a\0\n\\x"));
    assert_eq!(parse(r"b'\xff\377'").unwrap(), Value::Bytes(vec![0xff, 0xff].into()));
    check("'漢字 – ü'", json!("漢字 – ü"));
}

#[test]
fn numbers() {
    check("0", json!(0));
    check("-17", json!(-17));
    check("+1", json!(1));
    check("- 1", json!(-1));
    check("000", json!(0));
    check("1_000", json!(1000));
    check("0x_ff", json!(255));
    check("-0o17", json!(-15));
    check("0B101", json!(5));
    check("0x1e", json!(30));
    check("9223372036854775807", json!(i64::MAX));
    check("-9223372036854775808", json!(i64::MIN));
    check("9223372036854775808", json!("9223372036854775808"));
    check(
        "39914058680777218331172119955330896220232723406145781760",
        json!("39914058680777218331172119955330896220232723406145781760"),
    );
    check(
        "[1.5, .5, 5., 1e5, 1E-2, 1e+2, 1_0.2_5, 007.5, 1e-999]",
        json!([1.5, 0.5, 5.0, 1e5, 0.01, 100.0, 10.25, 7.5, 0.0]),
    );
}

#[test]
fn what_is_no_literal_is_told_with_its_place() {
    refused("", 1, "missing");
    refused("{'a': 1", 8, "comma or a closing");
    refused("{'a' 1}", 6, "comma or a closing");
    refused("{'a': 1, 'b' 2}", 14, "colon");
    refused("{'a': }", 7, "cannot begin");
    refused("[1 2]", 4, "comma");
    refused("[,]", 2, "cannot begin");
    refused("[1, ,]", 5, "cannot begin");
    refused("[1}", 3, "comma or a closing");
    refused("{'é': 'x} ", 7, "does not end");
    refused("'a\nb'", 3, "line ends");
    refused("{'a': nan}", 7, "name");
    refused("{'a': Decimal('1.5')}", 7, "name");
    refused("{'a': datetime.datetime(2026, 1, 31)}", 7, "name");
    refused("<Order 17>", 1, "cannot begin");
    refused("{'a': 1} trailing", 10, "follows");
    refused("1 + 2", 3, "follows");
    refused("1 # one", 3, "follows");
    refused("é'a'", 1, "string cannot begin");
    refused("['é' é'a']", 6, "comma");
    refused("f'{a}'", 1, "string cannot begin");
    refused("'a' b'b'", 5, "do not join");
    refused("b'é'", 3, "ASCII");
    refused(r"b'\777'", 3, "larger");
    refused(r"'\x4'", 2, "hexadecimal");
    refused(r"'\ud83d'", 2, "surrogate");
    refused(r"'\ud83d\u0041'", 2, "surrogate");
    refused(r"'\U00110000'", 2, "beyond Unicode");
    refused(r"'\N{BULLET}'", 2, "by their name");
    refused("{(1, 2): 'tuple'}", 17, "key");
    for bad in [
        "1j", "1__0", "1_e5", "_1", "1_", "1_.5", "0x", "0xg", "08", "1.2.3", "1e", "1e+", "--1",
        "1inf", "1e999", ".", "+", "- 'a'", "0x1e+1",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(DEEPEST)).is_ok());
    for open in ["[", "(", "{", "{'a':", "((1,"] {
        let error = parse(&open.repeat(1_000_000)).unwrap_err();
        assert_eq!(error.reason, "nested too deeply", "{open}");
    }
}

/// What Python prints of a value, in one of the ways that it has.
fn printed(value: &Json, style: u8) -> String {
    let inner = |value: &Json| printed(value, style.rotate_left(1) ^ 0x35);
    let comma = if style & 1 == 0 { "" } else { "," };
    match value {
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text, style),
        Json::Array(items) if items.is_empty() => {
            ["[]", "()", "set()"][usize::from(style % 3)].to_owned()
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(inner).collect();
            let items = items.join(", ");
            match style & 6 {
                0 => format!("[{items}{comma}]"),
                2 => format!("({items},)"),
                4 => format!("{{{items}{comma}}}"),
                _ => format!("[ {items} ]"),
            }
        }
        Json::Object(members) => {
            let member = |(key, value): (&String, &Json)| {
                format!("{}: {}", quoted(key, style), inner(value))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            let comma = if members.is_empty() { "" } else { comma };
            format!("{{{}{comma}}}", members.join(", "))
        }
    }
}

/// `repr` of a text; Python chooses the quotes so that fewest must be escaped.
fn quoted(text: &str, style: u8) -> String {
    let quote = if style & 8 == 0 { '\'' } else { '"' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)).unwrap(),
            c if style & 16 != 0 && !c.is_ascii() => {
                write!(out, "\\U{:08x}", u32::from(c)).unwrap();
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_python_prints_is_read(value in values(), style: u8) {
        let text = printed(&value, style);
        let read = parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(serde_json::to_value(read).unwrap(), value, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn any_tokens_are_read_or_refused(text in r#"([\[\](){},:'"\\\n .+_-]|b|r|u|x|'''|1|0x|e|True|set|é|\\u[0-9a-f]{2,4}){0,40}"#) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.character <= text.chars().count() + 1);
        }
    }
}
