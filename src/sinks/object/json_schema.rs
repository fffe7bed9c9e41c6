//! Columns from a JSON Schema: one for each property at its top.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Column,
    column::{ColumnType, ScalarType},
};
use crate::{etl::FieldPath, sinks::ValueSource};

/// How deep is looked: a schema may refer to itself.
const DEEPEST: usize = 16;

type Properties = Map<String, Value>;

/// The columns of documents that satisfy this schema. What has no type of its own among columns, such as
/// an object, is JSON as text. A property that is `required`, and never `null`, is `not null`.
///
/// # Errors
/// When the text is not JSON, or describes no properties.
pub fn columns_of_schema(text: &str) -> Result<BTreeMap<String, Column>, String> {
    let root: Value =
        serde_json::from_str(text).map_err(|error| format!("the schema is not JSON: {error}"))?;
    let schema = Schema { root: &root };
    let top = schema.followed(&root).as_object();
    let properties = top.and_then(|top| top.get("properties")?.as_object());
    let properties = properties.filter(|properties| !properties.is_empty());
    let properties = properties.ok_or("the schema has no properties at its top, so no columns")?;
    let required = top.and_then(|top| top.get("required")?.as_array());
    let is_required = |name: &str| {
        required.is_some_and(|names| names.iter().any(|other| other.as_str() == Some(name)))
    };
    let column = |(name, property): (&String, &Value)| {
        let Found { kind, null } = schema.found(property, 0);
        let source = ValueSource::Field(FieldPath::of_key(name));
        let nullable = null || !is_required(name);
        (name.clone(), Column { source, kind, nullable })
    };
    Ok(properties.iter().map(column).collect())
}

/// What is known of a property.
struct Found {
    kind: ColumnType,
    /// Whether it may be `null`.
    null: bool,
}

struct Schema<'s> {
    root: &'s Value,
}

impl<'s> Schema<'s> {
    fn found(&self, schema: &'s Value, depth: usize) -> Found {
        let keywords = self.followed(schema).as_object().filter(|_| depth < DEEPEST);
        let Some(keywords) = keywords else { return anything() };
        // `Optional[…]` in pydantic's words: a choice between null and something else.
        for choice in ["anyOf", "oneOf"] {
            let Some(Value::Array(choices)) = keywords.get(choice) else { continue };
            let (nulls, others): (Vec<_>, Vec<_>) =
                choices.iter().partition(|choice| choice.get("type") == Some(&"null".into()));
            return match &others[..] {
                [only] => {
                    let found = self.found(only, depth + 1);
                    Found { null: found.null || !nulls.is_empty(), ..found }
                }
                _ => anything(),
            };
        }
        let (names, null) = types(keywords);
        let kind = match &names[..] {
            ["array"] => keywords.get("items").and_then(|items| self.array(items, depth + 1)),
            names => scalar(names, keywords).map(ColumnType::One),
        };
        Found { kind: kind.unwrap_or(ColumnType::One(ScalarType::Json)), null }
    }

    /// A list of scalars.
    fn array(&self, items: &'s Value, depth: usize) -> Option<ColumnType> {
        match self.found(items, depth).kind {
            ColumnType::One(kind) if kind != ScalarType::Json => Some(ColumnType::Array(kind)),
            _ => None,
        }
    }

    /// What a reference within the schema leads to.
    fn followed(&self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..DEEPEST {
            let target = schema.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| self.root.pointer(target.strip_prefix('#')?));
            match target {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }
}

fn anything() -> Found {
    Found { kind: ColumnType::One(ScalarType::Json), null: true }
}

/// The names of `type` without `null`, and whether that is among them. Without `type` it is that of the
/// values in `const` or `enum`.
fn types(keywords: &Properties) -> (Vec<&str>, bool) {
    let mut names: Vec<&str> = match keywords.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => match (keywords.get("const"), keywords.get("enum")) {
            (Some(value), _) => vec![name(value)],
            (None, Some(Value::Array(values))) => values.iter().map(name).collect(),
            _ => return (Vec::new(), true),
        },
    };
    names.sort_unstable();
    names.dedup();
    let all = names.len();
    names.retain(|name| *name != "null");
    let null = names.len() < all;
    (names, null)
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn scalar(names: &[&str], keywords: &Properties) -> Option<ScalarType> {
    Some(match names {
        ["boolean"] => ScalarType::Boolean,
        ["integer"] => ScalarType::Bigint,
        ["number"] | ["integer", "number"] => ScalarType::Double,
        ["string"] => match keywords.get("format").and_then(Value::as_str) {
            Some("date-time") => ScalarType::Timestamp,
            Some("date") => ScalarType::Date,
            _ => ScalarType::String,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(schema: &str) -> Result<Vec<(String, String)>, String> {
        let columns = columns_of_schema(schema)?;
        Ok(columns.into_iter().map(|(name, column)| (name, column.to_string())).collect())
    }

    #[test]
    fn each_property_is_a_column() {
        let schema = r##"{
            "type": "object", "required": ["id", "maybe", "kind"],
            "properties": {
                "id": {"type": "string", "minLength": 1},
                "at": {"type": "string", "format": "date-time"},
                "day": {"type": "string", "format": "date"},
                "mail": {"type": "string", "format": "email"},
                "count": {"type": "integer"},
                "total": {"type": "number"},
                "both": {"type": ["integer", "number", "null"]},
                "paid": {"type": "boolean"},
                "maybe": {"type": ["string", "null"]},
                "choice": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "mixed": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
                "address": {"$ref": "#/$defs/address"},
                "postcode": {"$ref": "#/$defs/postcode"},
                "circle": {"$ref": "#/$defs/circle"},
                "deep": {"$ref": "#/$defs/deep"},
                "nested": {"$ref": "#/$defs/nested"},
                "remote": {"$ref": "https://example.com/other.json"},
                "any": true,
                "it's": {}
            },
            "$defs": {
                "line": {"type": "object"}, "address": {"type": "object"},
                "postcode": {"type": "string"}, "circle": {"$ref": "#/$defs/circle"},
                "deep": {"anyOf": [{"$ref": "#/$defs/deep"}]},
                "nested": {"type": "array", "items": {"$ref": "#/$defs/nested"}}
            }
        }"##;
        let expect = [
            ("address", "$.address json"),
            ("any", "$.any json"),
            ("at", "$.at timestamp"),
            ("both", "$.both double"),
            ("choice", "$.choice bigint"),
            ("circle", "$.circle json"),
            ("count", "$.count bigint"),
            ("day", "$.day date"),
            ("deep", "$.deep json"),
            ("id", "$.id string not null"),
            ("it's", r"$.['it\'s'] json"),
            ("kind", "$.kind string not null"),
            ("lines", "$.lines json"),
            ("mail", "$.mail string"),
            ("maybe", "$.maybe string"),
            ("mixed", "$.mixed json"),
            ("nested", "$.nested json"),
            ("paid", "$.paid boolean"),
            ("postcode", "$.postcode string"),
            ("remote", "$.remote json"),
            ("tags", "$.tags array<string>"),
            ("total", "$.total double"),
        ];
        let expect = expect.map(|(name, column)| (name.to_owned(), column.to_owned()));
        assert_eq!(columns(schema).unwrap(), expect);
    }

    #[test]
    fn a_schema_without_properties_is_an_error() {
        for (schema, part) in [
            ("{", "not JSON"),
            ("true", "no properties"),
            (r#"{"type": "string"}"#, "no properties"),
            (r#"{"properties": {}}"#, "no properties"),
        ] {
            let why = columns(schema).unwrap_err();
            assert!(why.contains(part), "{schema}: {why}");
        }
    }
}
