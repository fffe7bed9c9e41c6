use super::{check, rejected};

#[test]
fn a_term_is_a_case_sensitive_substring() {
    check("ERR", &["ERR", "ERROR", "xERRx", "[ERR]"], &["err", "ER R", ""]);
    check("a_b.c1", &["xa_b.c1x"], &["a_b_c1"]);
    check("größe", &["die größe"], &["Größe"]);
    check("...", &["and..."], &["and.."]);
}

#[test]
fn several_terms_must_all_be_there_in_any_order() {
    check("one two", &["two one", "one\ntwo", "onetwo"], &["one", "two", "ONE two"]);
    check("one\t two\n three", &["three two one"], &["one two"]);
}

#[test]
fn a_minus_excludes() {
    check("-bad", &["", "fine"], &["bad", "badly"]);
    check("-bad -worse", &["fine"], &["bad", "worse", "worse bad"]);
    check("ERROR -\"bad news\"", &["ERROR good news", "ERROR bad  news"], &["ERROR bad news", "x"]);
}

#[test]
fn question_marks_are_alternatives_only_among_themselves() {
    check("?a1 ?b2", &["a1", "b2", "a1 b2"], &["c3", ""]);
    check("?a1", &["a1"], &["b2"]);
    check("?\"two words\" ?x9", &["two words", "x9"], &["two  words"]);
    check("a1 ?b2 ?c3", &["a1", "a1 b2"], &["b2", "c3", "b2 c3"]);
    check("?b2 -a1", &["anything", "b2"], &["a1", "a1 b2"]);
}

#[test]
fn a_sign_inside_a_word_starts_a_new_item() {
    check("a1-b2", &["a1", "xa1x"], &["a1-b2", "b2", "b2 a1"]);
    check("a1?b2", &["a1", "a1 b2"], &["b2"]);
    check("?a1?b2", &["a1", "b2"], &["c3"]);
}

#[test]
fn quotes_hold_exact_text() {
    check("\"two words\"", &["-two words-"], &["two  words", "words two"]);
    check("\"*\"", &["a*b"], &["ab"]);
    check("\" \"", &["a b"], &["ab", "a\tb"]);
    check("\"[ERROR]\" \"x: y\"", &["x: y [ERROR]"], &["[ERROR]"]);
    check(r#""say \"hi\"""#, &[r#"say "hi""#], &["say hi"]);
    check(r#""a\\b""#, &[r"a\b"], &[r"a\\c"]);
    check(r#""a\b""#, &[r"a\b"], &["ab"]);
    check("\"%a%\"", &["%a%"], &["a"]);
}

#[test]
fn what_aws_rejects_is_rejected() {
    for (pattern, column) in [
        ("ERR*", 4),
        ("ERROR:", 6),
        ("a!", 2),
        ("a/b", 2),
        ("a@b", 2),
        ("a%b%", 2),
        ("ERROR %x%", 7),
        ("a(b", 2),
        ("é*", 2),
        ("\"\"", 1),
        ("a \"\"", 3),
        ("\"open", 1),
        ("x \"open", 3),
        (r#""open\""#, 1),
        ("\"A\"B", 4),
        ("\"A\"\"B\"", 4),
        ("\"A\"-B", 4),
        ("A\"B\"", 2),
        ("-", 2),
        ("?", 2),
        ("a -", 4),
        ("- a", 2),
        ("--a", 2),
        ("-?a", 2),
        ("?-a", 2),
        ("a, b", 2),
        (":a", 1),
    ] {
        rejected(pattern, column);
    }
}
