//! `parse_python_literal(value)`.

use vrl::compiler::prelude::*;

use super::python;

#[derive(Clone, Copy, Debug)]
pub(super) struct ParsePythonLiteral;

impl Function for ParsePythonLiteral {
    fn identifier(&self) -> &'static str {
        "parse_python_literal"
    }

    fn summary(&self) -> &'static str {
        "parse what Python prints of a dict, list, tuple, set, string or number"
    }

    fn usage(&self) -> &'static str {
        "Parses a Python literal as `ast.literal_eval` does. Tuples and sets become arrays, dict keys \
         strings. `true`, `false` and `null` are accepted beside `True`, `False` and `None`. A whole \
         number beyond 64 bits becomes a string with all its digits."
    }

    fn category(&self) -> &'static str {
        Category::Parse.as_ref()
    }

    fn internal_failure_reasons(&self) -> &'static [&'static str] {
        &["`value` is not a Python literal."]
    }

    fn return_kind(&self) -> u16 {
        kind::BOOLEAN
            | kind::INTEGER
            | kind::FLOAT
            | kind::BYTES
            | kind::OBJECT
            | kind::ARRAY
            | kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] =
            &[Parameter::required("value", kind::BYTES, "The literal, perhaps in white space.")];
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        const EXAMPLES: &[Example] = &[
            example! {
                title: "A printed dict",
                source: r#"parse_python_literal!("{'paid': True, 'items': (1, 2), 'note': None}")"#,
                result: Ok(r#"{"paid":true,"items":[1,2],"note":null}"#),
            },
            example! {
                title: "A call is no literal",
                source: r#"parse_python_literal!("{'price': Decimal('1.5')}")"#,
                result: Err(
                    "function call error for \"parse_python_literal\" at (0:50): not a Python \
                     literal at character 11: a name is no literal, except True, False and None",
                ),
            },
        ];
        EXAMPLES
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(Call { value: arguments.required("value") }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct Call {
    value: Box<dyn Expression>,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?;
        let text = value.try_bytes_utf8_lossy()?;
        Ok(python::parse(&text).map_err(|error| error.to_string())?)
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::from(Kind::json()).fallible()
    }
}
