//! Whatever the pattern and the message: no panic, and a pattern that is printed reads as itself.
//! The first line is the pattern, the rest the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardwright::etl::filter::FilterPattern;

fuzz_target!(|text: &str| {
    let (pattern, message) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = FilterPattern::parse(pattern) else { return };
    let printed = parsed.to_string();
    let again = FilterPattern::parse(&printed).expect("what it printed");
    assert_eq!(again, parsed, "{printed}");
    assert_eq!(parsed.matches(message), again.matches(message));
    let _ = parsed.extract(message);
});
