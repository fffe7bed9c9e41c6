//! Text in which `*` stands for any run of characters.

/// A compared text. Only `*` is special, `?` is itself; without a `*` it is plain equality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard {
    pub(super) text: String,
}

impl Wildcard {
    /// Whether the whole of `text` is covered. Linear in practice: a `*` never has to give back
    /// what it took, since the leftmost place of each part leaves the most for the others.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.text.split_once('*') else {
            return self.text == text;
        };
        let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
        let inner = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
        let Some(mut left) = inner else { return false };
        for part in middle.split('*') {
            let Some((_, after)) = left.split_once(part) else {
                return false;
            };
            left = after;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_anywhere() {
        let check = |pattern: &str, text: &str, expect: bool| {
            let wildcard = Wildcard { text: pattern.to_owned() };
            assert_eq!(wildcard.matches(text), expect, "{pattern} on {text}");
        };
        check("", "", true);
        check("", "x", false);
        check("abc", "abc", true);
        check("abc", "abcd", false);
        check("*", "", true);
        check("**", "any", true);
        check("a*", "a", true);
        check("a*", "ba", false);
        check("*a", "cba", true);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("*b*", "abc", true);
        check("a*b*c", "a1b2c", true);
        check("a*b*c", "acb", false);
        check("a*b*c", "abc", true);
        check("*ab*ab*", "xabx", false);
        check("é*é", "éé", true);
        check("a?c", "abc", false);
    }
}
