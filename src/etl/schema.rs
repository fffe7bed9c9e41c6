//! Validation by JSON Schema.

use jsonschema::Validator;
use serde_json::Value;

/// A compiled JSON Schema (draft 4 to 2020-12, by its `$schema`).
pub struct SchemaCheck {
    validator: Validator,
}

/// A schema that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The file is not JSON.
    #[error("the schema is not JSON: {0}")]
    NotJson(String),
    /// The document is not a JSON Schema.
    #[error("not a usable JSON Schema: {0}")]
    Invalid(String),
}

impl SchemaCheck {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When the text is not JSON or not a schema. Remote references are not fetched.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let schema: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::NotJson(error.to_string()))?;
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| SchemaError::Invalid(error.to_string()))?;
        Ok(Self { validator })
    }

    /// Checks a message, which must be a JSON document.
    ///
    /// # Errors
    /// The first failing path and why, for the dead letter.
    pub fn check(&self, message: &str) -> Result<(), String> {
        let document: Value = serde_json::from_str(message)
            .map_err(|error| format!("the message is not JSON: {error}"))?;
        match self.validator.validate(&document) {
            Ok(()) => Ok(()),
            Err(error) => {
                let path = error.instance_path().to_string();
                let at = if path.is_empty() { "/".to_owned() } else { path };
                // The masked form names no values: a reason goes into logs, payloads must not.
                Err(format!("{at}: {}", error.masked()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"type": "object", "properties": {"total": {"type": "number", "minimum": 0}}}}
    }"#;

    fn check(message: &str) -> Result<(), String> {
        SchemaCheck::compile(ORDER).unwrap().check(message)
    }

    #[test]
    fn the_reason_names_the_failing_path_but_no_values() {
        assert_eq!(check(r#"{"order":{"total":12.5}}"#), Ok(()));
        let reason = check(r#"{"order":{"total":"secret"}}"#).unwrap_err();
        assert!(reason.starts_with("/order/total: "), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
        assert!(check("{}").unwrap_err().contains("order"));
    }

    #[test]
    fn text_is_not_json() {
        assert!(check("START RequestId").unwrap_err().starts_with("the message is not JSON"));
    }

    #[test]
    fn bad_schemas_are_refused_at_the_start() {
        assert!(matches!(SchemaCheck::compile("{"), Err(SchemaError::NotJson(_))));
        assert!(matches!(
            SchemaCheck::compile(r#"{"type": "no such type"}"#),
            Err(SchemaError::Invalid(_))
        ));
    }
}
