use super::{check, extracted, rejected};

#[test]
fn the_last_entry_takes_the_rest_of_the_line() {
    check("[a]", &["x", "x y", "\tx"], &["", "  \n"]);
    check("[a, b]", &["x y", "x y z"], &["x", ""]);
    check("[a, b = \"y z \"]", &["x y z ", "x  y z "], &["x y z", "x y  z ", "x y"]);
    check("[a, b = y]", &["x y", "x y  "], &["x y z"]);
    check("[a, b = \"y z\"]", &["x \"y z\"", "x [y z]", "x y z"], &["x \"y z\" w"]);
    check("[a, b = \"[y z] w\"]", &["x [y z] w"], &[]);
    check("[a = \"x y \"]", &["x y ", " x y "], &["x y"]);
}

#[test]
fn marks_make_one_field() {
    check("[a, b = \"two words\", c]", &["x \"two words\" y", "x [two words] y"], &["x two words"]);
    check("[a, b = \"\\\"two\", c]", &["x \"two words"], &["x \"two words\" y"]);
    check("[a = x, b = y]", &["\"x\"y", "[x][y]"], &["xy"]);
    check("[a, b, c]", &["x\ty\tz", "x\ny\nz"], &["x \"y z\""]);
}

#[test]
fn an_ellipsis_absorbs_any_number_of_fields() {
    for pattern in ["[]", "[ ]", "[...]"] {
        check(pattern, &["", "x", "x y"], &[]);
    }
    check("[a = x, ...]", &["x", "x y", "x y z"], &["y x", ""]);
    check("[..., a = x]", &["x", "y x", "z y x "], &["x y", ""]);
    check("[a = 1, ..., b = 9]", &["1 9", "1 2 3 9"], &["1", "9", "1 9 2"]);
    check("[a, b, ..., c]", &["1 2 3"], &["1 2"]);
    check("[..., s = 4*, ]", &["a 404 b", "404 b"], &["404", "404 b c"]);
}

#[test]
fn empty_entries_are_unnamed_fields() {
    check("[, b = y]", &["x y"], &["y", "y x"]);
    check("[,]", &["x y", "x y z"], &["x"]);
    check("[a = x,,]", &["x y z"], &["x y"]);
}

#[test]
fn conditions_compare_numbers_words_and_text() {
    check("[a = 1, ...]", &["1", "1.0", "01", "1e0"], &["1x", "10", "x"]);
    check("[a = \"1\", ...]", &["1", "\"1\""], &["1.0", "01"]);
    check("[a != 1, ...]", &["2", "x"], &["1", "1.0"]);
    check("[a > 1, ...]", &["2", "1.5"], &["1", "x", "2x", "NaN"]);
    check("[a >= -1, ...]", &["-1"], &["-2", "-"]);
    check("[a <= 1e3, ...]", &["1000"], &["1001"]);
    check("[a < 9007199254740993, ...]", &["9007199254740992"], &["9007199254740993"]);
    check("[a = 4*, ...]", &["404", "4"], &["504"]);
    check("[a = *.html*, ...]", &["/x.html?y"], &["/x.htm"]);
    check("[a = ERROR, ...]", &["ERROR"], &["error", "ERRORS"]);
    check("[a != ERROR, ...]", &["error", "ERRORS"], &["ERROR"]);
    check("[a = -, b]", &["- x"], &["x -"]);
    check("[a = null, ...]", &["null"], &["x"]);
    check("[a = %^E%, b != %x%]", &["ERR y z"], &["ERR x", "xE y"]);
}

#[test]
fn several_conditions_on_one_field() {
    check("[a = x || a = y, ...]", &["x", "y"], &["z"]);
    check("[a >= 400 && a < 500, ...]", &["404"], &["500", "399"]);
    check("[a = 1 || a > 5 && a < 9, ...]", &["1", "6"], &["5", "9"]);
    check("[(a = 1 || a > 5) && a < 9, ...]", &["1", "6"], &["5", "9"]);
    check("[( a = 1 ), ...]", &["1"], &["2"]);
    check("[a=x||A=y, ...]", &["x", "y"], &["z"]);
}

#[test]
fn fields_of_a_match_are_extracted() {
    let check = |pattern: &str, message: &str, expect: &[(&str, &str)]| {
        let owned = expect.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(extracted(pattern, message), Some(owned), "{pattern} {message}");
    };
    check("[]", "x [y z]", &[("$1", "x"), ("$2", "y z")]);
    check("[...]", "", &[]);
    check("[a, b]", "x y  z ", &[("$a", "x"), ("$b", "y  z ")]);
    check("[a, , c]", "x y z", &[("$a", "x"), ("$2", "y"), ("$c", "z")]);
    check("[..., s, b]", "w x 404 1", &[("$1", "w"), ("$2", "x"), ("$s", "404"), ("$b", "1")]);
    check("[ip, ..., b]", "w x 1", &[("$ip", "w"), ("$2", "x"), ("$b", "1")]);
    check("[a = \"x y\", ...]", "\"x y\"", &[("$a", "x y")]);
    assert_eq!(extracted("[a = 1, b]", "2 3"), None);
    assert_eq!(extracted("[a, b]", "2"), None);
}

#[test]
fn what_aws_rejects_is_rejected() {
    for (pattern, column) in [
        ("[", 2),
        ("[a, b", 6),
        ("[a] x", 5),
        ("[a b]", 4),
        ("[a, ..., b, ...]", 13),
        ("[a, b, a]", 8),
        ("[=500]", 2),
        ("[\"GET\", b]", 2),
        ("[1a]", 2),
        ("[a = 1 || b = 2, c]", 11),
        ("[s = 4* && b > 1]", 12),
        ("[a = 1 && ]", 11),
        ("[a > \"1\", b]", 6),
        ("[a > x]", 6),
        ("[a == 1]", 4),
        ("[a = ]", 6),
        ("[a = x:y]", 7),
        ("[a IS NULL]", 4),
        ("[a = %x%, b = %y%, c = %z%]", 24),
        ("[....]", 5),
    ] {
        rejected(pattern, column);
    }
}
