//! The folder part of an object's key, from a template.

#[cfg(feature = "objects")]
use std::fmt::Write;
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[cfg(feature = "objects")]
use crate::model::{EpochMillis, OutputEvent, RowId, Share};
use crate::sinks::ValueSource;
#[cfg(feature = "objects")]
use crate::sinks::moment::moment;

#[cfg(feature = "objects")]
/// What stands for a value that an event does not have, as Hive and its readers know it.
pub(super) const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";
/// Most bytes of one value in a key: file systems take 255 for a name, `field=` included.
#[cfg(feature = "objects")]
const LONGEST_VALUE: usize = 180;

/// A template such as `{stream}/dt={date}/kind={$.kind}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Stream,
    Shard,
    Route,
    Time(TimePart),
    Value(ValueSource),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimePart {
    Date,
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

const NAMES: [(&str, Part); 9] = [
    ("stream", Part::Stream),
    ("shard", Part::Shard),
    ("route", Part::Route),
    ("date", Part::Time(TimePart::Date)),
    ("year", Part::Time(TimePart::Year)),
    ("month", Part::Time(TimePart::Month)),
    ("day", Part::Time(TimePart::Day)),
    ("hour", Part::Time(TimePart::Hour)),
    ("minute", Part::Time(TimePart::Minute)),
];

impl Default for KeyTemplate {
    fn default() -> Self {
        "{stream}/dt={date}/hour={hour}".parse().expect("the default is a template")
    }
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            parts.extend(literal(before)?);
            let (name, behind) =
                after.split_once('}').ok_or_else(|| format!("{text:?}: a {{ without its }}"))?;
            parts.push(placeholder(name)?);
            rest = behind;
        }
        parts.extend(literal(rest)?);
        let odd = text.starts_with('/') || text.ends_with('/') || text.contains("//");
        if odd {
            return Err(format!("{text:?}: expected parts with a single / between them"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn literal(text: &str) -> Result<Option<Part>, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/=_-.!".contains(c);
    if let Some(bad) = text.chars().find(|c| !fine(*c)) {
        return Err(format!("{bad:?} is no good in a key: a-z, A-Z, 0-9, / = _ - . ! are"));
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err("a part of a key must not be . or ..".to_owned());
    }
    Ok((!text.is_empty()).then(|| Part::Text(text.to_owned())))
}

fn placeholder(name: &str) -> Result<Part, String> {
    if let Some((_, part)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(part.clone());
    }
    if name.starts_with("$.") {
        return name.parse().map(Part::Value);
    }
    let names: Vec<String> = NAMES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    Err(format!("{{{name}}} is unknown: expected {}, or a field as {{$.kind}}", names.join(" ")))
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for KeyTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyTemplate> for String {
    fn from(template: KeyTemplate) -> Self {
        template.text
    }
}

#[cfg(feature = "objects")]
impl KeyTemplate {
    /// The folder of an event, whose time is taken from `time`.
    ///
    /// # Errors
    /// When a value of the event is too long for a key.
    pub(super) fn folder(&self, event: &OutputEvent, time: &ValueSource) -> Result<String, String> {
        let mut folder = String::with_capacity(self.text.len() + 32);
        let mut moment = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => folder.push_str(text),
                Part::Stream => escape(event.id.stream.as_str(), &mut folder),
                Part::Shard => escape(event.id.shard.as_str(), &mut folder),
                Part::Route => match &event.share {
                    Share::Document { name, .. }
                    | Share::Window(RowId { name, .. })
                    | Share::RowLetter(RowId { name, .. })
                    | Share::Letter { route: Some(name), .. } => escape(name, &mut folder),
                    Share::Letter { route: None, .. } => folder.push_str(MISSING),
                },
                Part::Time(part) => match moment.get_or_insert_with(|| time_of(event, time)) {
                    Some(moment) => part.write(*moment, &mut folder),
                    None => folder.push_str(MISSING),
                },
                Part::Value(source) => match source.text(event) {
                    Some(value) if !value.is_empty() => {
                        let begin = folder.len();
                        escape(&value, &mut folder);
                        if folder.len() - begin > LONGEST_VALUE {
                            return Err(format!(
                                "the value of {source} is too long for the key of an object: {} of at \
                                 most {LONGEST_VALUE} bytes",
                                folder.len() - begin
                            ));
                        }
                    }
                    _ => folder.push_str(MISSING),
                },
            }
        }
        Ok(folder)
    }
}

/// The arrival of the record, or a moment of the event.
#[cfg(feature = "objects")]
fn time_of(event: &OutputEvent, source: &ValueSource) -> Option<jiff::Timestamp> {
    if *source == ValueSource::Known(crate::sinks::Known::Arrival) {
        let EpochMillis(millis) = event.arrival;
        return jiff::Timestamp::from_millisecond(millis).ok();
    }
    moment(&source.text(event)?)
}

#[cfg(feature = "objects")]
impl TimePart {
    fn write(self, moment: jiff::Timestamp, out: &mut String) {
        let format = match self {
            Self::Date => "%Y-%m-%d",
            Self::Year => "%Y",
            Self::Month => "%m",
            Self::Day => "%d",
            Self::Hour => "%H",
            Self::Minute => "%M",
        };
        // Writing into a string cannot fail.
        let _ = write!(out, "{}", moment.strftime(format));
    }
}

/// Letters, digits, `_`, `-` and `.` as they are, all else as `%XX`: readers of Hive partitions undo
/// that. A value of dots alone would be a way up.
#[cfg(feature = "objects")]
pub(super) fn escape(value: &str, out: &mut String) {
    let dots = value.bytes().all(|byte| byte == b'.');
    for byte in value.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte == b'.' && !dots;
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_read_as_they_print_and_bad_ones_say_why() {
        for good in ["", "logs", "{stream}/dt={date}/hour={hour}", "a={$.a.b}/{route}-{shard}"] {
            assert_eq!(good.parse::<KeyTemplate>().unwrap().to_string(), good);
        }
        for (bad, part) in [
            ("{now}", "{now}"),
            ("{stream", "without"),
            ("a//b", "single /"),
            ("/a", "single /"),
            ("a/", "single /"),
            ("../a", ".."),
            ("a b", "' '"),
            ("{$.a[*]}", "$.a[*]"),
        ] {
            let error = bad.parse::<KeyTemplate>().unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[cfg(feature = "objects")]
    #[test]
    fn a_folder_holds_times_of_events_and_escaped_values() {
        let mut event = crate::sinks::testing::event(
            7,
            r#"{"kind":"a/b c","n":5,"at":"2026-01-31T23:59:59.999Z","ms":1767225600000,"e":"","up":"..","long":"LONG"}"#
                .replace("LONG", &"x".repeat(200))
                .as_str(),
        );
        event.arrival = EpochMillis(1_700_000_000_000);
        let folder = |template: &str, time: &str| {
            let template: KeyTemplate = template.parse().unwrap();
            template.folder(&event, &time.parse().unwrap())
        };
        let at = |template, time| folder(template, time).unwrap();
        assert_eq!(at("{stream}/{shard}", "%arrival"), "orders/shardId-000000000000");
        assert_eq!(at("dt={date}/hour={hour}", "%arrival"), "dt=2023-11-14/hour=22");
        assert_eq!(at("{year}{month}{day}{hour}{minute}", "$.at"), "202601312359");
        assert_eq!(at("{date}", "$.ms"), "2026-01-01");
        assert_eq!(at("kind={$.kind}/n={$.n}", "%arrival"), "kind=a%2Fb%20c/n=5");
        assert_eq!(at("{$.up}", "%arrival"), "%2E%2E");
        for missing in [at("{$.none}", "%arrival"), at("{$.e}", "%arrival"), at("{date}", "$.kind")]
        {
            assert_eq!(missing, MISSING);
        }
        assert!(folder("{$.long}", "%arrival").unwrap_err().contains("$.long"));
    }
}
