use proptest::prelude::*;

use super::FilterPattern;

/// Text made of what the parsers look at, so that random input gets far into them.
fn noise() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "%",
            "\"",
            "'",
            "\\",
            "$",
            "$.",
            "$.a",
            ".*",
            "[*]",
            "[0]",
            ".['",
            "']",
            "=",
            "!=",
            "<",
            ">=",
            "&&",
            "||",
            "IS NULL",
            "is true",
            "NOT EXISTS",
            "...",
            ",",
            " ",
            "\t",
            "-",
            "?",
            "+",
            "*",
            "a",
            "b=1",
            "1e3",
            "1e309",
            "null",
            "\\d",
            "\\x4",
            "{2,}",
            "[a-",
            "[:",
            ":]",
            "^",
            ".",
            "é",
            "\u{feff}",
            "\n",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![noise(), any::<String>()]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[+-]?[0-9]{1,3}(\\.[0-9]{0,2})?(e[+-]?[0-9]{1,3})?",
        "[a-z*.+_-]{1,6}x",
        any::<String>().prop_map(|text| format!("\"{}\"", text.replace(['\\', '"'], "\\\\"))),
    ]
}

fn comparison() -> impl Strategy<Value = String> {
    prop_oneof![
        (prop::sample::select(vec!["=", "!="]), value()).prop_map(|(op, v)| format!("{op} {v}")),
        ("[<>]=?", -99..99).prop_map(|(op, v)| format!("{op}{v}")),
        "!?= %[a-z0-9]{1,4}%",
    ]
}

fn json_test() -> impl Strategy<Value = String> {
    let selector = "\\$(\\.[a-z_-]{1,3}|\\.\\['[^'\\\\]{0,3}'\\])(\\.[a-c]|\\[[0-9]\\]){0,2}";
    let wild = "\\$(\\.\\*|\\.a\\[\\*\\]|\\.a\\.\\*)(\\.[a-c]|\\[[0-9]\\]){0,2}";
    let keywords = prop::sample::select(vec!["IS NULL", "is true", "Is False", "not EXISTS"]);
    let predicate = prop_oneof![comparison(), keywords.prop_map(str::to_owned)];
    (prop_oneof![3 => selector, 1 => wild], predicate).prop_map(|(s, p)| format!("{s} {p}"))
}

/// An expression of tests, with parentheses where they change the meaning and where they do not.
fn expression(test: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    test.prop_recursive(3, 8, 3, |inner| {
        let operator = prop::sample::select(vec!["&&", " || "]);
        (inner.clone(), operator, inner, any::<bool>()).prop_map(|(left, op, right, group)| {
            if group { format!("({left}{op}{right})") } else { format!("{left}{op}{right}") }
        })
    })
}

fn delimited() -> impl Strategy<Value = String> {
    let conditions = expression(comparison().prop_map(|c| format!("NAME{c}")));
    let entry = prop_oneof![
        Just(String::new()),
        Just("NAME".to_owned()),
        conditions,
        Just("...".to_owned()),
    ];
    prop::collection::vec(entry, 0..5).prop_map(|entries| {
        let named = entries.into_iter().enumerate();
        let named: Vec<_> = named.map(|(i, e)| e.replace("NAME", &format!("f{i}"))).collect();
        format!("[{}]", named.join(" ,"))
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let term = prop_oneof!["[-?]?[a-zé0-9_.]{1,5}", "[-?]?\"([^\"\\\\]|\\\\\\\\|\\\\\"){1,6}\""];
    prop_oneof![
        1 => prop::collection::vec(term, 0..5).prop_map(|terms| terms.join(" ")),
        3 => expression(json_test()).prop_map(|e| format!("{{{e}}}")),
        2 => delimited(),
        1 => "%[a-z0-9: _#=@/;,.|^$-]{1,9}%",
    ]
}

fn message() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?[1-9][0-9]{0,2}(\\.[0-9]{1,2})?(e-?[0-9]{1,4})?",
        "\"([a-z]|\\\\n|\\\\ud800){0,4}\"",
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
    ];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        let object = prop::collection::vec(("[abc]", inner.clone()), 0..4).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            format!("{{{}}}", members.join(","))
        });
        let array = prop::collection::vec(inner, 0..3).prop_map(|e| format!("[{}]", e.join(",")));
        prop_oneof![3 => object, 1 => array]
    });
    prop_oneof![2 => tree, 1 => anything()]
}

proptest! {
    #[test]
    fn parsing_never_panics(pattern in anything()) {
        if let Err(error) = FilterPattern::parse(&pattern) {
            prop_assert!(error.offset() <= pattern.len());
            prop_assert!(!error.render().is_empty());
        }
    }

    #[test]
    fn matching_never_panics(pattern in prop_oneof![pattern(), anything()], message in message()) {
        if let Ok(pattern) = FilterPattern::parse(&pattern) {
            prop_assert_eq!(pattern.extract(&message).is_some(), pattern.matches(&message));
        }
    }

    #[test]
    fn a_printed_pattern_parses_to_itself(
        source in prop_oneof![3 => pattern(), 1 => anything()],
        message in message(),
    ) {
        if let Ok(pattern) = FilterPattern::parse(&source) {
            // Printing may add spaces and so exceed the limit of a pattern.
            let printed = pattern.to_string();
            let again = FilterPattern::parse_any_length(&printed);
            prop_assert_eq!(again.as_ref(), Ok(&pattern), "{} printed as {}", source, printed);
            let again = again.unwrap();
            prop_assert_eq!(again.to_string(), printed);
            prop_assert_eq!(again.matches(&message), pattern.matches(&message));
        }
    }
}
