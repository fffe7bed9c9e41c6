//! JSON documents of producers other than CloudWatch Logs.

use serde_json::value::RawValue;

use super::DecodeError;

/// Splits a payload into its documents, back to back or separated by white space, each as its source
/// text without white space between the tokens: one line, with every number and escape as it was
/// written. Any JSON value is a document.
///
/// # Errors
/// [`DecodeError::Json`] when a document is not JSON, [`DecodeError::TooManyEvents`] when there are
/// more than `max_documents`.
pub fn split_documents(text: &str, max_documents: usize) -> Result<Vec<String>, DecodeError> {
    let mut documents = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|error| DecodeError::Json {
            document: documents.len() + 1,
            problem: error.to_string(),
        })?;
        if documents.len() == max_documents {
            return Err(DecodeError::TooManyEvents { limit: max_documents });
        }
        documents.push(compact(document.get()));
    }
    Ok(documents)
}

/// Writes a text as a JSON string, as `serde_json` does, in a quarter of its time.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    json_escape_simd::escape_into(text, out);
}

/// Drops the white space between the tokens of one valid document.
pub(super) fn compact(document: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let significant = |c: &char| {
        if in_string {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            return true;
        }
        in_string = *c == '"';
        !c.is_ascii_whitespace()
    };
    document.chars().filter(significant).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Result<Vec<String>, DecodeError> {
        split_documents(text, 3)
    }

    #[test]
    fn splits_and_compacts() {
        let check =
            |text: &str, expect: &[&str]| assert_eq!(split(text).unwrap(), expect, "{text}");
        check("", &[]);
        check(" \n", &[]);
        check(r#"{"a":1}{"b":2}"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("1\ntrue \"x\"\n", &["1", "true", "\"x\""]);
        check("{\r\n\t\"a b\" : [ 1.50, 1e400 ]\n}", &[r#"{"a b":[1.50,1e400]}"#]);
        check(
            r#"{"q" : "a \" b \\" , "é" : "\u0000 \ud83d\ude00"}"#,
            &[r#"{"q":"a \" b \\","é":"\u0000 \ud83d\ude00"}"#],
        );
        check(
            "12345678901234567890123456789012345678901234567890123456",
            &["12345678901234567890123456789012345678901234567890123456"],
        );
    }

    #[test]
    fn names_the_document_that_is_wrong() {
        let wrong = |text: &str| match split(text) {
            Err(DecodeError::Json { document, .. }) => document,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(wrong("hello"), 1);
        assert_eq!(wrong("{} {\"a\":"), 2);
        assert_eq!(wrong("{},{}"), 2);
        assert_eq!(split("1 2 3 4"), Err(DecodeError::TooManyEvents { limit: 3 }));
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_does(text: String, lead in 0usize..80, code in 0u8..0x80) {
            // Any length and alignment, and each control character.
            let text = format!("{}{}{text}", "x".repeat(lead), char::from(code));
            let mut ours = Vec::new();
            write_string(&text, &mut ours);
            prop_assert_eq!(ours, serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(split(&deep).unwrap().len(), 1);
    }
}
