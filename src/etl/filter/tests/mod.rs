//! Every rule of the language by tables: pattern, messages that match, messages that do not.

mod delimited;
mod errors;
mod json;
mod properties;
mod regexes;
mod terms;

use super::FilterPattern;

fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let parsed = FilterPattern::parse(pattern).unwrap_or_else(|error| panic!("{error:#}"));
    for message in yes {
        assert!(parsed.matches(message), "{pattern} must match {message:?}");
    }
    for message in no {
        assert!(!parsed.matches(message), "{pattern} must not match {message:?}");
    }
    let canonical = parsed.to_string();
    assert_eq!(FilterPattern::parse(&canonical), Ok(parsed), "{pattern} printed as {canonical}");
}

/// Rejected, with the error at `column` (1-based, in characters).
fn rejected(pattern: &str, column: usize) {
    match FilterPattern::parse(pattern) {
        Ok(parsed) => panic!("{pattern} parses to {parsed}"),
        Err(error) => assert_eq!(error.column(), column, "{error:#}"),
    }
}

fn extracted(pattern: &str, message: &str) -> Option<Vec<(String, String)>> {
    FilterPattern::parse(pattern).unwrap().extract(message)
}

#[test]
fn an_empty_pattern_matches_everything() {
    for pattern in ["", " ", "\t\n "] {
        check(pattern, &["", "x", "{}", "two words"], &[]);
    }
}

#[test]
fn surrounding_white_space_is_no_part_of_a_pattern() {
    check("  ERROR\n", &["an ERROR"], &["error"]);
    check("\n{ $.a = 1 }\n", &[r#"{"a":1}"#], &["{}"]);
    check(" [a, b] ", &["1 2"], &["1"]);
    check(" %^a% ", &["ab"], &["ba"]);
}

#[test]
fn only_space_delimited_patterns_extract_values() {
    assert_eq!(extracted("ERROR", "ERROR"), Some(vec![]));
    assert_eq!(extracted("{ $.a = 1 }", r#"{"a":1}"#), Some(vec![]));
    assert_eq!(extracted("%a%", "a"), Some(vec![]));
    assert_eq!(extracted("", ""), Some(vec![]));
    assert_eq!(extracted("ERROR", "fine"), None);
}

#[test]
fn patterns_print_in_a_canonical_form() {
    let prints = |pattern: &str, expect: &str| {
        assert_eq!(FilterPattern::parse(pattern).unwrap().to_string(), expect);
    };
    prints("  ", "");
    prints(r#"a-b  "c""#, "a -b c");
    prints(r"?a ?b", "?a ?b");
    prints("a ?b", "a");
    prints("%a b%", "%a b%");
    prints("{$.a[*].['b.c'].['d']=foo}", "{ $.a[*].['b.c'].d = foo }");
    prints("{ $.*.a != 1 }", "{ $.*.a != 1 }");
    prints(
        "{(($.a=1||$.b=f*))&&(($.c is null&&$.d not exists))}",
        r#"{ ($.a = 1 || $.b = "f*") && $.c IS NULL && $.d NOT EXISTS }"#,
    );
    prints("[]", "[...]");
    prints("[ ,a=1||A=2 , ... ,]", "[, a = 1 || a = 2, ..., ]");
}
