//! Functions for programs that VRL's own library lacks. What they are for stands in the
//! documentation of [`super::program`].

mod cut_marker;
mod format_millis;
mod parse_python_literal;
mod python;

use vrl::compiler::Function;

/// All of them.
pub(super) fn all() -> [Box<dyn Function>; 3] {
    [
        Box::new(cut_marker::CutMarker),
        Box::new(format_millis::FormatMillis),
        Box::new(parse_python_literal::ParsePythonLiteral),
    ]
}
