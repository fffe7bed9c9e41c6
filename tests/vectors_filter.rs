//! Filter patterns against recorded answers of AWS, kept outside of the repository: a directory
//! with `filter_patterns.json`, named by `SHARDWRIGHT_VECTORS` or found beside the repository.

use std::{env, fs, path::PathBuf};

use shardwright::etl::filter::FilterPattern;

fn vectors_dir() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    env::var_os("SHARDWRIGHT_VECTORS").map_or_else(beside, PathBuf::from)
}

/// `None` stands for a pattern that AWS rejects.
fn answer(pattern: &str, message: &str) -> Option<bool> {
    FilterPattern::parse(pattern).ok().map(|pattern| pattern.matches(message))
}

#[test]
fn recorded_answers_agree() {
    let path = vectors_dir().join("filter_patterns.json");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let settled = vectors.iter().filter(|vector| vector["agrees_with_observed_semantics"] != false);
    let mut seen = 0;
    let mut wrong = Vec::new();
    for vector in settled {
        seen += 1;
        let pattern = vector["pattern"].as_str().unwrap();
        let message = vector["message"].as_str().unwrap_or_default();
        let (got, expect) = (answer(pattern, message), vector["matches"].as_bool());
        if got != expect {
            wrong.push(format!("{pattern}\n  on {message:?}: {got:?}, AWS {expect:?}"));
        }
    }
    println!("{} of {seen} agree", seen - wrong.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
