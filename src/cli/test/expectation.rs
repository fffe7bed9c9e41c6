//! Outcomes as a test expects them, and how they differ from what came.
//!
//! A file of expectations holds one outcome a line, as `test` prints them. A key that a line does
//! not name is not compared, and [`ANY`] stands for any value, so that an expectation says what
//! matters and no more. Blank lines and lines that begin with `#` are for people.

use serde_json::{Map, Value};
use similar::{
    ChangeTag, DiffOp, TextDiff,
    algorithms::{Capture, Replace, myers},
};

/// Stands for any value in an expectation: for programs that call `now()` or `uuid_v4()`.
const ANY: &str = "<any>";

/// Lines around a difference that are shown with it.
const CONTEXT: usize = 3;

/// The content of a file of expectations.
#[derive(Debug)]
pub(super) struct Expectation {
    expected: Vec<Expected>,
    /// What is behind the last outcome.
    rest: String,
}

/// One expected outcome.
#[derive(Debug)]
struct Expected {
    /// Comments and blank lines before it.
    above: String,
    line: String,
    fields: Map<String, Value>,
}

/// One outcome that came.
#[derive(Debug)]
pub(super) struct Came {
    line: String,
    fields: Map<String, Value>,
}

impl Came {
    /// An outcome from its printed line.
    pub(super) fn new(line: String) -> Self {
        let fields = serde_json::from_str(&line).unwrap_or_default();
        Self { line, fields }
    }
}

impl PartialEq<Expected> for Came {
    fn eq(&self, expected: &Expected) -> bool {
        let fits = |(key, value)| self.fields.get(key).is_some_and(|came| fits(value, came));
        expected.fields.iter().all(fits)
    }
}

fn fits(expected: &Value, came: &Value) -> bool {
    match (expected, came) {
        (Value::String(any), _) if any == ANY => true,
        (Value::Object(expected), Value::Object(came)) => {
            expected.len() == came.len()
                && expected
                    .iter()
                    .all(|(key, value)| came.get(key).is_some_and(|came| fits(value, came)))
        }
        (Value::Array(expected), Value::Array(came)) => {
            expected.len() == came.len()
                && expected.iter().zip(came).all(|(expected, came)| fits(expected, came))
        }
        _ => expected == came,
    }
}

/// `came`, with [`ANY`] where the expectation has it.
fn masked(expected: &Value, came: &Value) -> Value {
    match (expected, came) {
        (Value::String(any), _) if any == ANY => expected.clone(),
        (Value::Object(expected), Value::Object(came)) => {
            let mask = |(key, value): (&String, &Value)| {
                let shown =
                    expected.get(key).map_or_else(|| value.clone(), |old| masked(old, value));
                (key.clone(), shown)
            };
            Value::Object(came.iter().map(mask).collect())
        }
        (Value::Array(expected), Value::Array(came)) => {
            let mask = |(place, value): (usize, &Value)| {
                expected.get(place).map_or_else(|| value.clone(), |old| masked(old, value))
            };
            Value::Array(came.iter().enumerate().map(mask).collect())
        }
        _ => came.clone(),
    }
}

impl Expectation {
    /// Reads a file of expectations.
    ///
    /// # Errors
    /// Which line is no outcome.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self { expected: Vec::new(), rest: String::new() };
        for (number, line) in (1u64..).zip(text.lines()) {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                found.rest.push_str(line);
                found.rest.push('\n');
                continue;
            }
            let fields = serde_json::from_str(trimmed)
                .map_err(|_| format!("line {number}: expected a JSON object"))?;
            let above = std::mem::take(&mut found.rest);
            found.expected.push(Expected { above, line: line.to_owned(), fields });
        }
        Ok(found)
    }

    /// The number of outcomes expected.
    pub(super) fn len(&self) -> usize {
        self.expected.len()
    }

    fn compare(&self, came: &[Came]) -> Vec<DiffOp> {
        let mut hook = Replace::new(Capture::new());
        let (old, new) = (0..self.expected.len(), 0..came.len());
        // Infallible, as `Capture` is.
        let _ = myers::diff_deadline_raw(&mut hook, &*self.expected, old, came, new, None);
        hook.into_inner().into_ops()
    }

    /// How what came differs; empty when it does not. Lines that begin with `-` were expected and
    /// did not come, lines with `+` came instead.
    pub(super) fn diff(&self, came: &[Came]) -> String {
        let mut text = String::new();
        for op in self.compare(came) {
            if let DiffOp::Equal { .. } = op {
                continue;
            }
            let (old, new) = (op.old_range(), op.new_range());
            for place in 0..old.len().max(new.len()) {
                let expected = self.expected.get(old.clone()).and_then(|part| part.get(place));
                let came = came.get(new.clone()).and_then(|part| part.get(place));
                // A line of the expectation keeps its number, one too many has its place.
                let number = if expected.is_some() { old.start } else { new.start } + place + 1;
                text.push_str(&difference(number, expected, came));
            }
        }
        text
    }

    /// The file's text as it should be for what came. What fits stays as it stands, comments too.
    pub(super) fn update(&self, came: &[Came]) -> String {
        let mut text = String::new();
        for op in self.compare(came) {
            let expected = self.expected.get(op.old_range()).unwrap_or_default();
            let came = came.get(op.new_range()).unwrap_or_default();
            let same = matches!(op, DiffOp::Equal { .. });
            for (place, came) in came.iter().enumerate() {
                let line = match expected.get(place) {
                    Some(old) if same => format!("{}{}\n", old.above, old.line),
                    Some(old) => format!("{}{}\n", old.above, old.replaced(came)),
                    None => format!("{}\n", came.line),
                };
                text.push_str(&line);
            }
        }
        text + &self.rest
    }
}

impl Expected {
    /// The new line in the place of this one.
    fn replaced(&self, came: &Came) -> String {
        let old = Value::Object(self.fields.clone());
        let new = Value::Object(came.fields.clone());
        let masked = masked(&old, &new);
        // As printed, with its order of keys, unless something is masked.
        if masked == new { came.line.clone() } else { in_order(&masked, &came.line) }
    }
}

/// A JSON object in one line, its keys in the order in which another line names them.
fn in_order(value: &Value, line: &str) -> String {
    let Value::Object(fields) = value else { return value.to_string() };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| line.find(&format!("{}:", Value::from(key.as_str()))));
    let fields = fields.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// One outcome that differs, for people.
fn difference(number: usize, expected: Option<&Expected>, came: Option<&Came>) -> String {
    let pretty = |fields: &Map<String, Value>| {
        serde_json::to_string_pretty(fields).unwrap_or_default() + "\n"
    };
    let old = expected.map(|expected| pretty(&expected.fields)).unwrap_or_default();
    let new = came.map(|came| match expected {
        None => pretty(&came.fields),
        // Keys that the expectation does not name, and what it does not mind, are no difference.
        Some(expected) => {
            let named = |(key, value): (&String, &Value)| {
                let old = expected.fields.get(key)?;
                Some((key.clone(), masked(old, value)))
            };
            pretty(&came.fields.iter().filter_map(named).collect())
        }
    });
    let new = new.unwrap_or_default();
    let what = match (expected, came) {
        (Some(_), Some(_)) => "differs",
        (Some(_), None) => "did not come",
        (None, _) => "was not expected",
    };
    let about = came.map(|came| &came.fields).or(expected.map(|expected| &expected.fields));
    let about = about.and_then(|fields| fields.get("event").or(fields.get("record")));
    let about = about.map(|about| format!(": {about}")).unwrap_or_default();
    let mut text = format!("@@ outcome {number} {what}{about}\n");
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    for (place, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if place > 0 {
            text.push_str(" …\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            text.push(sign);
            text.push_str(change.value());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn came(lines: &[Value]) -> Vec<Came> {
        lines.iter().map(|line| Came::new(line.to_string())).collect()
    }

    fn expectation(text: &str) -> Expectation {
        Expectation::parse(text).unwrap()
    }

    #[test]
    fn keys_that_are_not_named_and_any_values_are_not_compared() {
        let came =
            came(&[json!({"event": "e", "outcome": "delivered", "output": {"a": [1, 2], "b": 3}})]);
        let check = |text: &str, fits: bool| {
            let diff = expectation(text).diff(&came);
            assert_eq!(diff.is_empty(), fits, "{text}: {diff}");
        };
        check(r#"{"outcome":"delivered"}"#, true);
        check("{}", true);
        check(r#"{"output":{"b":3,"a":[1,2]}}"#, true);
        check(r#"{"output":{"a":["<any>",2],"b":"<any>"}}"#, true);
        check(r#"{"output":"<any>"}"#, true);
        check(r#"{"output":{"a":[1,2]}}"#, false);
        check(r#"{"output":{"a":[1],"b":3}}"#, false);
        check(r#"{"outcome":"filtered"}"#, false);
        check(r#"{"sink":"<any>"}"#, false);
        check("# nothing", false);
    }

    #[test]
    fn the_difference_shows_what_matters() {
        let got = came(&[
            json!({"event": "one", "outcome": "filtered", "reason": "no route takes it"}),
            json!({"event": "two", "outcome": "delivered", "output": {"at": 17, "n": 3}}),
            json!({"event": "three", "outcome": "filtered"}),
        ]);
        let text =
            "{\"event\":\"one\"}\n{\"event\":\"two\",\"output\":{\"at\":\"<any>\",\"n\":2}}\n";
        assert_eq!(
            expectation(text).diff(&got),
            "@@ outcome 2 differs: \"two\"\n   \"event\": \"two\",\n   \"output\": {\n     \
             \"at\": \"<any>\",\n-    \"n\": 2\n+    \"n\": 3\n   }\n }\n\
             @@ outcome 3 was not expected: \"three\"\n+{\n+  \"event\": \"three\",\n+  \
             \"outcome\": \"filtered\"\n+}\n"
        );
        let gone = expectation(text).diff(&got[..1]);
        assert!(gone.starts_with("@@ outcome 2 did not come: \"two\"\n-{\n"), "{gone}");
    }

    #[test]
    fn an_update_keeps_what_fits_and_what_people_wrote() {
        let got = came(&[
            json!({"event": "one", "outcome": "filtered"}),
            json!({"event": "two", "output": {"at": 17, "n": 3}}),
            json!({"event": "three"}),
        ]);
        let old = expectation(
            "# first\n{\"event\": \"one\"}\n\n# second\n{\"event\":\"two\",\"output\":{\"n\":2,\"at\":\"<any>\"}}\n# end\n",
        );
        assert_eq!(
            old.update(&got),
            "# first\n{\"event\": \"one\"}\n\n# second\n\
             {\"event\":\"two\",\"output\":{\"at\":\"<any>\",\"n\":3}}\n{\"event\":\"three\"}\n# end\n"
        );
    }

    #[test]
    fn a_line_that_is_no_outcome_is_said() {
        let error = Expectation::parse("{}\n\n[1]\n").unwrap_err();
        assert_eq!(error, "line 3: expected a JSON object");
    }

    fn outcome() -> impl Strategy<Value = Value> {
        ("[ab]", 0..3).prop_map(|(event, n)| json!({"event": event, "output": {"n": n}}))
    }

    proptest! {
        #[test]
        fn what_was_updated_is_expected(
            old in prop::collection::vec(outcome(), 0..8),
            new in prop::collection::vec(outcome(), 0..8),
        ) {
            let lines: Vec<String> = old.iter().map(|line| format!("# c\n{line}\n")).collect();
            let text = lines.concat();
            let new = came(&new);
            let updated = expectation(&expectation(&text).update(&new));
            prop_assert_eq!(updated.diff(&new), "");
            prop_assert_eq!(updated.len(), new.len());
        }
    }
}
