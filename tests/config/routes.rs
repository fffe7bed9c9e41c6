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
