use super::{super::MAX_CHARS, FilterPattern, check, rejected};

#[test]
fn an_error_shows_where_and_why() {
    let error = FilterPattern::parse("{ $.é = 1 }").unwrap_err();
    assert_eq!((error.offset(), error.column()), (4, 5));
    let error = FilterPattern::parse("  größe: x").unwrap_err();
    assert_eq!((error.offset(), error.column()), (9, 8));
    let why = "`:` cannot stand in a bare term; use double quotes";
    assert_eq!(error.reason(), why);
    assert_eq!(error.to_string(), format!("column 8: {why}"));
    assert_eq!(format!("{error:#}"), format!("  größe: x\n       ^ column 8: {why}"));
}

#[test]
fn the_caret_stays_in_place_under_white_space() {
    let error = FilterPattern::parse("a\n\tb:").unwrap_err();
    assert!(error.render().starts_with("a  b:\n    ^ column 5"), "{error:#}");
}

#[test]
fn a_pattern_holds_1024_characters() {
    check(&"é".repeat(MAX_CHARS), &[], &["é"]);
    rejected(&"é".repeat(MAX_CHARS + 1), MAX_CHARS + 1);
    rejected(&" ".repeat(MAX_CHARS + 1), MAX_CHARS + 1);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{{}$.a=1{}}}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(64), &[r#"{"a":1}"#], &["{}"]);
    rejected(&nested(65), 66);
    rejected(&format!("{{{}", "(".repeat(1000)), 66);
    rejected(&format!("[{}a=1", "(".repeat(1000)), 66);
}
