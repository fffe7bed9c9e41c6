//! `&&`, `||` and parentheses around the tests of one kind of pattern.

use std::fmt;

use super::{cursor::Cursor, error::PatternError};

/// Parentheses inside parentheses. AWS names no limit; this one keeps recursion shallow.
const MAX_NESTING: usize = 64;

/// A boolean expression. Nested operators of one sort are flattened, so equal meaning by
/// associativity is equal structure.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Logic<T> {
    Test(T),
    All(Vec<Logic<T>>),
    Any(Vec<Logic<T>>),
}

type Leaf<'l, T> = dyn FnMut(&mut Cursor<'_>) -> Result<T, PatternError> + 'l;

impl<T> Logic<T> {
    /// Parses an expression whose tests `leaf` reads; `&&` binds tighter than `||`.
    pub(super) fn parse(
        cursor: &mut Cursor<'_>,
        leaf: &mut Leaf<'_, T>,
    ) -> Result<Self, PatternError> {
        any(cursor, leaf, 0)
    }

    pub(super) fn holds(&self, test: &dyn Fn(&T) -> bool) -> bool {
        match self {
            Self::Test(leaf) => test(leaf),
            Self::All(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(test)),
        }
    }

    /// Writes the expression with the parentheses it needs; `leaf` writes a test.
    pub(super) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        leaf: &dyn Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
    ) -> fmt::Result {
        let (parts, operator) = match self {
            Self::Test(test) => return leaf(f, test),
            Self::All(parts) => (parts, " && "),
            Self::Any(parts) => (parts, " || "),
        };
        for (position, part) in parts.iter().enumerate() {
            if position > 0 {
                f.write_str(operator)?;
            }
            if matches!((self, part), (Self::All(_), Self::Any(_))) {
                f.write_str("(")?;
                part.write(f, leaf)?;
                f.write_str(")")?;
            } else {
                part.write(f, leaf)?;
            }
        }
        Ok(())
    }
}

fn any<T>(
    cursor: &mut Cursor<'_>,
    leaf: &mut Leaf<'_, T>,
    depth: usize,
) -> Result<Logic<T>, PatternError> {
    let first = all(cursor, leaf, depth)?;
    let mut parts = vec![first];
    while next_is(cursor, "||") {
        parts.push(all(cursor, leaf, depth)?);
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let flat = parts.into_iter().flat_map(|part| match part {
        Logic::Any(inner) => inner,
        other => vec![other],
    });
    Ok(Logic::Any(flat.collect()))
}

fn all<T>(
    cursor: &mut Cursor<'_>,
    leaf: &mut Leaf<'_, T>,
    depth: usize,
) -> Result<Logic<T>, PatternError> {
    let first = unary(cursor, leaf, depth)?;
    let mut parts = vec![first];
    while next_is(cursor, "&&") {
        parts.push(unary(cursor, leaf, depth)?);
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let flat = parts.into_iter().flat_map(|part| match part {
        Logic::All(inner) => inner,
        other => vec![other],
    });
    Ok(Logic::All(flat.collect()))
}

fn unary<T>(
    cursor: &mut Cursor<'_>,
    leaf: &mut Leaf<'_, T>,
    depth: usize,
) -> Result<Logic<T>, PatternError> {
    cursor.skip_space();
    let open = cursor.offset();
    if !cursor.eat("(") {
        return leaf(cursor).map(Logic::Test);
    }
    if depth == MAX_NESTING {
        return Err(cursor.error_at(open, "parentheses are nested too deeply"));
    }
    let inner = any(cursor, leaf, depth + 1)?;
    if !next_is(cursor, ")") {
        return Err(cursor.error("expected `&&`, `||` or `)`"));
    }
    Ok(inner)
}

fn next_is(cursor: &mut Cursor<'_>, token: &str) -> bool {
    cursor.skip_space();
    cursor.eat(token)
}
