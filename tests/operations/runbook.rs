//! Each alert has its section in the runbook, and each section its alert.

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_runbook_has_a_section_for_each_alert() {
    let (rules, book) = (read("deploy/prometheus/alerts.yaml"), read("docs/runbook.md"));
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: Vec<(&str, &str)> =
        book.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let names: BTreeSet<&str> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(alerts, names);
    assert!(alerts.len() > 10, "{alerts:?}");
    for (name, text) in sections {
        for part in ["**Meaning.**", "**Check.**", "**Fix.**"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        let link = format!("runbook: docs/runbook.md#{}", name.to_lowercase());
        assert!(rules.contains(&link), "{name} does not lead to its section");
    }
    let tested = read("deploy/prometheus/alerts.test.yaml");
    for alert in alerts {
        assert!(tested.contains(&format!("alertname=\"{alert}\"")), "nobody sees {alert} fire");
    }
}
