//! What README and docs lead to is there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "pages/mod.rs"]
mod pages;

use std::{collections::BTreeSet, fs};

use pages::{pages, root};

/// The lines that are no code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    prose.collect()
}

/// The targets of the links within the repository.
fn links(text: &str) -> Vec<String> {
    let lines = prose(text);
    let targets = lines.iter().flat_map(|line| line.split("](").skip(1));
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let lines = prose(text);
    let headings = lines.iter().filter(|line| line.starts_with('#'));
    let anchor = |line: &&str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} is not there", page.display());
            if !anchor.is_empty() {
                let known = anchors(&fs::read_to_string(&target).unwrap());
                assert!(known.contains(anchor), "{}: {link} has no heading", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} links found");
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let mut reached = BTreeSet::new();
    let mut next = vec![root().join("README.md")];
    while let Some(page) = next.pop() {
        let page = page.canonicalize().unwrap();
        if page.extension().is_some_and(|extension| extension == "md")
            && reached.insert(page.clone())
        {
            let dir = page.parent().unwrap();
            let files = links(&fs::read_to_string(&page).unwrap());
            let files = files.iter().filter_map(|link| link.split('#').next());
            next.extend(files.filter(|file| !file.is_empty()).map(|file| dir.join(file)));
        }
    }
    for page in pages() {
        let known = reached.contains(&page.canonicalize().unwrap());
        assert!(known, "nothing leads to {}", page.display());
    }
}

#[test]
fn the_configuration_reference_is_up_to_date() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let again = "make it anew: shardwright config --reference > docs/configuration.md";
    assert!(page == shardwright::config::reference(), "{again}");
}
