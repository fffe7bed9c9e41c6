//! What routes may say: conditions, checks, and what cannot be meant.

use shardwright::config::FieldSetting;

use crate::case::{BASE, Case};

/// A configuration with these lines in its first route.
fn route(lines: &str) -> Case {
    let base = BASE.replace("name = \"all\"\n", &format!("name = \"all\"\n{lines}\n"));
    Case::new(&[&format!("application = \"orders\"\n{base}")])
}

#[test]
fn fields_may_be_nested_and_have_one_value_or_several() {
    let expect = "{ code = [200, 1.5], \"header.source\" = [\"web\", \"app\"], ok = [true], type = [\"order\"] }";
    for lines in [
        "where = { type = \"order\", header.source = [\"web\", \"app\"], code = [200, 1.5], ok = true }",
        "where = { type = \"order\", \"header.source\" = [\"web\", \"app\"], code = [200, 1.5], ok = true }",
        "where.type = \"order\"\nwhere.header.source = [\"web\", \"app\"]\nwhere.code = [200, 1.5]\nwhere.ok = true",
    ] {
        let case = route(lines);
        assert_eq!(case.shown("routes[0].where"), format!("{expect} # 0.toml:8"), "{lines}");
        assert_eq!(case.problems(), [""; 0]);
    }
}

#[test]
fn fields_may_come_from_the_environment() {
    let case = route("where = { type = \"order\" }")
        .variable("SHARDWRIGHT__ROUTES__0__WHERE__TYPE", "click")
        .variable("SHARDWRIGHT__ROUTES__0__WHERE__CODE", "200");
    let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    let text = |text: &str| vec![FieldSetting::Text(text.to_owned())];
    let fields: Vec<_> = compiled.settings.routes[0].fields.clone().into_iter().collect();
    assert_eq!(fields, [("code".to_owned(), text("200")), ("type".to_owned(), text("click"))]);
}

#[test]
fn the_hash_minds_fields() {
    let hash = |lines: &str| route(lines).hash();
    assert_eq!(hash("where = { a = 1 }"), hash("where.a = [1]"));
    assert_ne!(hash("where = { a = 1 }"), hash("where = { a = \"1\" }"));
    assert_ne!(hash("where = { a = 1 }"), hash("where = { b = 1 }"));
}

#[test]
fn what_is_refused_in_a_route() {
    for (lines, expect) in [
        (
            "where = \"type\"",
            "routes[0].where: expected fields with what they may hold, such as { type = \"order\", version = [1, 2] }; found \"type\"",
        ),
        ("where = { a = [[1]] }", "routes[0].where: expected fields"),
        ("where = { a = [{ b = 1 }] }", "routes[0].where: expected fields"),
        ("where = { a = nan }", "routes[0].where: expected fields"),
        ("where = { a = [] }", "routes[0].where: a: the list is empty"),
        (
            "where = { \"a..b\" = 1 }",
            "routes[0].where: \"a..b\" is no path: expected a name of letters",
        ),
        ("where = { \"a b\" = 1 }", "routes[0].where: \"a b\" is no path: expected `.` or `[`"),
        ("default = 1", "routes[0].default: expected true or false; found 1"),
        ("required_keys = \"a\"", "routes[0].required_keys: expected a list of texts"),
        (
            "required_keys = [\"a\", \"\"]",
            "routes[0].required_keys: \"\" is no path: expected a name of letters",
        ),
        ("known_log_groups = [1]", "routes[0].known_log_groups: expected a list of texts"),
        ("max_event_size = 0", "routes[0].max_event_size: must be at least 1B"),
        ("max_event_size = \"1 lot\"", "routes[0].max_event_size: expected a size such as"),
        ("oldest_event = \"0s\"", "routes[0].oldest_event: must be above 0s"),
        ("oldest_event = 14", "routes[0].oldest_event: expected a duration such as"),
        ("newest_event = \"-1h\"", "routes[0].newest_event: expected a duration such as"),
        ("validate_on = \"event\"", "routes[0].validate_on: needs a schema: set validate too"),
        (
            "validate_on = \"all\"\nvalidate = \"a.json\"",
            "routes[0].validate_on: expected \"message\" or \"event\"; found \"all\"",
        ),
    ] {
        println!("{lines}");
        let case = route(lines).file("a.json", "{}");
        case.refused(&[&format!("0.toml:8: {expect}")]);
    }
}

#[test]
fn a_whole_route_is_accepted() {
    let lines = "log_groups = [\"/aws/*\"]\nfilter = \"saved\"\ndefault = true\nalso = true\nmax_event_size = \"1MiB\"\nknown_log_groups = [\"/aws/a\"]\noldest_event = \"14d\"\nnewest_event = \"0s\"\nrequired_keys = [\"order.id\", \"items[0]\", \"$.a\"]\nvalidate = \"a.json\"\nvalidate_on = \"event\"";
    let case = route(lines).file("a.json", "{}");
    assert_eq!(case.problems(), [""; 0]);
    assert_eq!(case.shown("routes[0].oldest_event"), "\"336h\" # 0.toml:14");
}

#[test]
fn routes_that_never_match_are_warned_of() {
    let warnings = |case: &Case| {
        let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
        let shown = compiled.warnings.iter().map(|warning| case.short(&warning.to_string()));
        shown.collect::<Vec<_>>()
    };
    let after = "[[routes]]\nname = \"late\"\nfilter = \"x\"\nsink = \"out\"";
    assert_eq!(
        warnings(&Case::around("", after)),
        [
            "0.toml:18: routes[1]: never takes an event: route \"all\" before it leaves nothing for it"
        ]
    );
    let also = Case::around("", after).variable("SHARDWRIGHT__ROUTES__0__ALSO", "true");
    assert_eq!(warnings(&also), [""; 0]);
}

#[test]
fn a_window_is_said_in_a_few_words() {
    let case = route("window = \"60s\"");
    let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    let window = compiled.routes[0].window.as_ref().unwrap();
    let seconds = [window.size, window.lateness, window.idle].map(|time| time.as_secs());
    assert_eq!(seconds, [60, 10, 70]);
    let case = route(
        "window = \"1m\"\ngroup_by = [\"log_group\", \"message.status\"]\n\
         aggregates = { n = \"count\", \"p99.9\" = \"p99.9 message.ms\" }\nwindow_late = \"out\"",
    )
    .variable("SHARDWRIGHT__ROUTES__0__WINDOW_LATENESS", "1s");
    let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    let window = compiled.routes[0].window.as_ref().unwrap();
    assert_eq!(
        window.group_by.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["log_group", "status"]
    );
    assert_eq!(window.aggregates.len(), 2);
    assert_eq!(window.lateness.as_secs(), 1);
    assert_ne!(case.hash(), route("window = \"1m\"").hash());
}

#[test]
fn windows_that_cannot_be() {
    for (lines, expect) in [
        ("window = \"16m\"", "window: must be from 1s to 15m"),
        ("window = \"500ms\"", "window: must be from 1s to 15m"),
        ("window = \"1s\"\nwindow_lateness = \"61s\"", "window_lateness: must be at most 15m"),
        ("window = \"1m\"\nwindow_ahead = \"1h\"", "window_ahead: must be at most 15m"),
        ("window = \"1m\"\nwindow_idle = \"0s\"", "window_idle: must be at least 1s"),
        ("window = \"1m\"\nwindow_time = \"a[*]\"", "window_time: \"a[*]\" is no path"),
        ("window = \"1m\"\nwindow_late = \"nowhere\"", "window_late: there is no sink named"),
        ("window = \"1m\"\nwindow_max_groups = 0", "window_max_groups: must be at least 1"),
        ("window = \"1m\"\nwindow_max_bytes = 1", "window_max_bytes: must be at least 1KiB"),
        (
            "window = \"1m\"\ngroup_by = [\"a.b\", \"c.b\"]",
            "group_by: the row has a field \"b\" already",
        ),
        (
            "window = \"1m\"\ngroup_by = [\"shard\"]",
            "group_by: the row has a field \"shard\" already",
        ),
        (
            "window = \"1m\"\naggregates = { a = \"median b\" }",
            "aggregates: a: \"median b\" is no aggregate",
        ),
        (
            "window = \"1m\"\naggregates = { route = \"count\" }",
            "aggregates: the row has a field \"route\"",
        ),
        ("group_by = [\"a\"]", "group_by: needs a window"),
        ("window_lateness = \"1s\"", "window_lateness: needs a window"),
    ] {
        let problems = route(lines).problems();
        let found =
            matches!(&problems[..], [problem] if problem.contains(&format!("routes[0].{expect}")));
        assert!(found, "{lines}: {problems:#?}");
    }
    let base = BASE.replace("name = \"all\"\n", "name = \"all\"\nwindow = \"1m\"\n");
    let base = base.replace("sink = \"out\"\n\n[sinks", "sink = \"rows\"\n\n[sinks");
    let rows = "[sinks.rows]\ntype = \"file\"\npath = \"rows\"\nmaximum_retry_attempts = 3\n";
    Case::new(&[&format!("application = \"orders\"\n{base}\n{rows}")])
        .refused(&["0.toml:9: routes[0].sink: names a sink that gives events up"]);
    let objects = "[sinks.rows]\ntype = \"folder\"\npath = \"rows\"\n";
    Case::new(&[&format!("application = \"orders\"\n{base}\n{objects}")])
        .refused(&["0.toml:9: routes[0].sink: names a sink that writes objects"]);
    let base = base.replace("sink = \"rows\"", "sink = \"out\"\nwindow_late = \"rows\"");
    Case::new(&[&format!("application = \"orders\"\n{base}\n{objects}")])
        .refused(&["0.toml:10: routes[0].window_late: names a sink that writes objects"]);
}
