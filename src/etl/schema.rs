//! Validation by JSON Schema.

use jsonschema::Validator;
use serde_json::Value;

/// A compiled JSON Schema: the draft that its `$schema` names, from 4 to 2020-12; 2020-12 without one.
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

    /// Checks a document.
    ///
    /// # Errors
    /// The first failing path and why, for the dead letter.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        match self.validator.validate(document) {
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
    use serde_json::json;

    use super::*;

    const ORDER: &str = r#"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"type": "object", "properties": {"total": {"type": "number", "minimum": 0}}}}
    }"#;

    fn check(schema: &str, document: &Value) -> Result<(), String> {
        SchemaCheck::compile(schema).unwrap().check(document)
    }

    #[test]
    fn the_reason_names_the_failing_path_but_no_values() {
        assert_eq!(check(ORDER, &json!({"order": {"total": 12.5}})), Ok(()));
        let reason = check(ORDER, &json!({"order": {"total": "secret"}})).unwrap_err();
        assert!(reason.starts_with("/order/total: "), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
        assert!(check(ORDER, &json!({})).unwrap_err().contains("order"));
    }

    #[test]
    fn the_schema_names_its_draft() {
        // Draft-07 has tuples in `items`; 2020-12 has them in `prefixItems`.
        let tuple = |draft: &str, keyword: &str| {
            format!(r#"{{"$schema":"{draft}","{keyword}":[{{"type":"string"}}]}}"#)
        };
        let (old, new) = (
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2020-12/schema",
        );
        let wrong = json!([1]);
        assert!(check(&tuple(old, "items"), &wrong).unwrap_err().starts_with("/0: "));
        assert!(check(&tuple(new, "prefixItems"), &wrong).unwrap_err().starts_with("/0: "));
        assert_eq!(check(&tuple(old, "prefixItems"), &wrong), Ok(()));
        assert!(SchemaCheck::compile(&tuple(new, "items")).is_err());
        let undated = r#"{"prefixItems":[{"type":"string"}]}"#;
        assert!(check(undated, &wrong).is_err());
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
