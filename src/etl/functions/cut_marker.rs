//! `cut_marker(value, marker, [end], [before])`.

use std::ops::Range;

use vrl::compiler::prelude::*;

#[derive(Clone, Copy, Debug)]
pub(super) struct CutMarker;

impl Function for CutMarker {
    fn identifier(&self) -> &'static str {
        "cut_marker"
    }

    fn summary(&self) -> &'static str {
        "the part of a text behind a marker, or in front of it"
    }

    fn usage(&self) -> &'static str {
        "Returns what follows the first `marker`, up to the next `end` if that is given. With \
         `before: true`, what stands in front of the first `marker`. White space is kept."
    }

    fn category(&self) -> &'static str {
        Category::String.as_ref()
    }

    fn internal_failure_reasons(&self) -> &'static [&'static str] {
        &["`marker` is not in `value`.", "`end` is not behind `marker`.", "A marker is empty."]
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("value", kind::BYTES, "The text."),
            Parameter::required("marker", kind::BYTES, "The marker."),
            Parameter::optional("end", kind::BYTES, "What ends the part behind the marker."),
            Parameter::optional("before", kind::BOOLEAN, "Whether the part in front is wanted.")
                .default(&BEFORE),
        ];
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        const EXAMPLES: &[Example] = &[
            example! {
                title: "What follows the marker",
                source: r#"cut_marker!("INFO |312F14DS|{'a': 1}", "|312F14DS|")"#,
                result: Ok("{'a': 1}"),
            },
            example! {
                title: "Between two markers",
                source: r#"cut_marker!("took <12 ms>", "<", end: ">")"#,
                result: Ok("12 ms"),
            },
            example! {
                title: "In front of the marker",
                source: r#"cut_marker!("order saved: 17", ":", before: true)"#,
                result: Ok("order saved"),
            },
            example! {
                title: "No marker",
                source: r#"cut_marker("plain", "|") ?? "none""#,
                result: Ok("none"),
            },
        ];
        EXAMPLES
    }

    fn compile(
        &self,
        state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let marker = arguments.required("marker");
        refuse_empty("marker", marker.as_ref(), state)?;
        let end = arguments.optional("end");
        if let Some(end) = &end {
            refuse_empty("end", end.as_ref(), state)?;
        }
        let before = match arguments.optional_literal("before", state)? {
            Some(before) => before.try_boolean().map_err(|error| Box::new(error) as Box<_>)?,
            None => false,
        };
        if let (true, Some(end)) = (before, &end) {
            return Err(function::Error::InvalidArgument {
                keyword: "end",
                value: end.resolve_constant(state).unwrap_or(Value::Null),
                error: "only what follows the marker has an end; `before` takes none",
            }
            .into());
        }
        Ok(Call { value: arguments.required("value"), marker, end, before }.as_expr())
    }
}

static BEFORE: Value = Value::Boolean(false);

fn refuse_empty(
    keyword: &'static str,
    marker: &dyn Expression,
    state: &TypeState,
) -> Result<(), function::Error> {
    match marker.resolve_constant(state) {
        Some(value) if value.as_bytes().is_some_and(Bytes::is_empty) => {
            let error = "an empty text marks nothing";
            Err(function::Error::InvalidArgument { keyword, value, error })
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Debug)]
struct Call {
    value: Box<dyn Expression>,
    marker: Box<dyn Expression>,
    end: Option<Box<dyn Expression>>,
    before: bool,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?.try_bytes()?;
        let marker = self.marker.resolve(context)?.try_bytes()?;
        let end = self.end.as_ref().map(|end| end.resolve(context)).transpose()?;
        let end = end.map(Value::try_bytes).transpose()?;
        let found = find("marker", &value, &marker)?;
        if self.before {
            return Ok(value.slice(..found.start).into());
        }
        let behind = value.slice(found.end..);
        match end {
            None => Ok(behind.into()),
            Some(end) => Ok(behind.slice(..find("end", &behind, &end)?.start).into()),
        }
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::bytes().fallible()
    }
}

/// Where `marker` stands in `text`.
fn find(name: &str, text: &[u8], marker: &[u8]) -> Result<Range<usize>, ExpressionError> {
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| "not UTF-8");
    let (text, marker) = (utf8(text)?, utf8(marker)?);
    if marker.is_empty() {
        return Err(format!("`{name}` is empty").into());
    }
    match text.find(marker) {
        Some(start) => Ok(start..start + marker.len()),
        None => Err(format!("`{name}` {marker:?} is not in the text").into()),
    }
}
