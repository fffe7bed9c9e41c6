use super::{check, rejected};

#[test]
fn a_regex_is_searched_for_anywhere() {
    check("%ab%", &["ab", "xaby"], &["AB", "a b", ""]);
    check("%^ab$%", &["ab"], &["xab", "ab\n", "x\nab"]);
    check("%a b%", &["xa by"], &["ab"]);
    check("%a|b c%", &["a", "b c"], &["b", "c"]);
}

#[test]
fn operators_and_repetitions() {
    check("%a.b%", &["a-b", "a b", "aéb"], &["a\nb", "ab"]);
    check("%^colou?r$%", &["color", "colour"], &["colouur"]);
    check("%^ab*$%", &["a", "abb"], &["b"]);
    check("%^ab+?$%", &["ab", "abb"], &["a"]);
    check("%^a{2}$%", &["aa"], &["a", "aaa"]);
    check("%^a{2,}$%", &["aaa"], &["a"]);
    check("%^a{1,2}?$%", &["a", "aa"], &["aaa"]);
    check("%^a{,2}$%", &["", "aa"], &["aaa"]);
    check("%a{b%", &["a{b"], &["ab"]);
    check("%a{1,b}%", &["a{1,b}"], &["a"]);
    check("%a]}%", &["a]}"], &["a"]);
}

#[test]
fn classes() {
    check("%^[a-cx]$%", &["b", "x"], &["d", "-"]);
    check("%^[^a-c]$%", &["d", "é", "\n"], &["b"]);
    check("%^[]x]$%", &["]", "x"], &["["]);
    check("%^[^]x]$%", &["a"], &["]", "x"]);
    check("%^[[x]$%", &["[", "x"], &["]"]);
    check("%^[a-]$%", &["a", "-"], &["b"]);
    check("%^[-a]$%", &["a", "-"], &["b"]);
    check("%^[+--]$%", &["+", ",", "-"], &["."]);
    check("%^[.*+?{}|$^]$%", &[".", "*", "?", "|", "$", "^"], &["a"]);
    check(r"%^[\d\]_]$%", &["5", "]", "_"], &["a", "\\"]);
    check(r"%^[\D]$%", &["a", "é"], &["5"]);
    check(r"%^[\x41-C]$%", &["A", "B"], &["D"]);
    check("%^[[:digit:]x]$%", &["5", "x"], &["a"]);
    check("%^[:a]$%", &[":", "a"], &["b"]);
    check("%^[#=@]$%", &["="], &["b"]);
}

#[test]
fn escapes_are_ascii() {
    check(r"%^\d$%", &["5"], &["٣", "a"]);
    check(r"%^\D$%", &["٣", "a"], &["5"]);
    check(r"%^\w$%", &["a", "_", "9"], &["é", "-"]);
    check(r"%^\W$%", &["é", "-"], &["a"]);
    check(r"%^\s$%", &[" ", "\t", "\n", "\r"], &["\u{a0}", "a"]);
    check(r"%^\S$%", &["\u{a0}", "a"], &[" "]);
    check(r"%\x28x\x29%", &["(x)"], &["x"]);
    check(r"%100\x25%", &["100%"], &["100"]);
    check(r"%\^\$\?\[\]\{\}\|\\\*\+\.%", &[r"^$?[]{}|\*+."], &[r"^$?[]{}|\*+x"]);
    check(r"%a\/b\-c%", &["a/b-c"], &["ab"]);
}

#[test]
fn all_listed_characters_are_themselves() {
    check("%aZ0: _#=@/;,-%", &["aZ0: _#=@/;,-"], &["aZ0:_#=@/;,-"]);
    check("%#=@x%", &["#=@x"], &["x"]);
}

#[test]
fn what_aws_rejects_is_rejected() {
    for (pattern, column) in [
        ("%%", 1),
        ("%", 1),
        ("%abc", 1),
        ("%a% %b%", 5),
        ("%a% b", 5),
        ("%a%b", 4),
        ("%(a|b)%", 2),
        (r"%\(a\)%", 2),
        ("%a!%", 3),
        (r"%\!%", 2),
        ("%a&b%", 3),
        ("%caf\u{e9}%", 5),
        (r"%\p%", 2),
        (r"%\b%", 2),
        (r"%\1%", 2),
        (r"%\x2%", 2),
        (r"%\xzz%", 2),
        (r"%a\%", 3),
        ("%a\"%", 3),
        ("%a\tb%", 3),
        ("%a++%", 4),
        ("%a**%", 4),
        ("%a{2}{3}%", 6),
        ("%a+??%", 5),
        ("%*a%", 2),
        ("%a|+%", 4),
        ("%[z-a]%", 1),
        ("%a{3,2}%", 1),
        ("%[ab%", 2),
        ("%[]%", 2),
        (r"%[a-\d]%", 7),
        ("%[é]%", 3),
        ("%[(]%", 3),
        ("%[[:nope:]]%", 3),
    ] {
        rejected(pattern, column);
    }
}

#[test]
fn a_regex_that_would_need_too_much_memory_is_rejected() {
    rejected(&format!("%{}%", r"\W{1000}".repeat(100)), 1);
}
