//! The sinks, and what stands behind them.

use super::finding::Finding;
use crate::{
    app::{SinkCheck, check_sinks},
    config::Settings,
};

/// Asks all sinks whether they could take events now. Nothing is delivered.
pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = check_sinks(settings).await.into_iter().map(sink).collect();
    findings.push(dead_letters(settings));
    findings
}

fn sink(SinkCheck { name, kind, problem }: SinkCheck) -> Finding {
    let about = format!("sinks.{name}");
    match problem {
        None => Finding::ok(&about, format!("could take events now ({kind})")),
        Some(problem) => Finding::problem(&about, format!("{problem} ({kind})"))
            .advise("its shards wait, and nothing is lost, until it takes events again"),
    }
}

fn dead_letters(settings: &Settings) -> Finding {
    let letters = &settings.dead_letter;
    let fallback = letters.fallback.as_ref();
    let fallback = fallback
        .map_or(String::new(), |fallback| format!(", and what it refuses to sinks.{fallback}"));
    let found = format!("go to sinks.{}{fallback}", letters.sink);
    Finding::ok("dead letters", found)
}
