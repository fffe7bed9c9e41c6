//! Sinks, and what the documentation shows of them.

use std::{fs, path::Path};

use crate::case::Case;

/// The blocks of TOML in a page.
fn examples(page: &str) -> Vec<String> {
    let blocks = page.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_example_of_a_sink_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sinks");
    let mut shown = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for example in examples(&fs::read_to_string(&path).unwrap()) {
            let problems = Case::around("", &example).problems();
            assert!(problems.is_empty(), "{}: {problems:#?}\n{example}", path.display());
            shown += 1;
        }
    }
    assert!(shown >= 4, "{shown} examples");
}

#[test]
fn dead_letters_without_a_second_home_are_warned_of() {
    let small = "[sinks.small]\ntype = \"kinesis\"\nstream = \"letters\"\n";
    let case = |fallback: &str| {
        let text = format!(
            "application = \"orders\"\n{}\n{fallback}\n{small}",
            crate::case::BASE
                .replace("[dead_letter]\nsink = \"out\"", "[dead_letter]\nsink = \"small\"")
        );
        Case::new(&[&text])
    };
    let warnings = |case: &Case| {
        let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
        compiled.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let [warning] = &warnings(&case(""))[..] else { panic!("one warning") };
    assert!(warning.contains("dead_letter.fallback") && warning.contains("1.0 MiB"), "{warning}");
    assert_eq!(warnings(&case("fallback = \"out\"")), Vec::<String>::new());
    case("fallback = \"small\"").refused(&["0.toml:17: dead_letter.fallback: is dead_letter.sink"]);
    case("fallback = \"none\"").refused(&["0.toml:17: dead_letter.fallback: there is no sink"]);
}

#[test]
fn what_prepares_its_batches_delivers_them_in_order_and_as_they_are() {
    let with = |key: &str| {
        let sink = format!("[sinks.lake]\ntype = \"s3\"\nbucket = \"orders\"\n{key}\n");
        Case::around("", &sink).problems()
    };
    assert_eq!(with("batch_size = 10"), [""; 0]);
    for (key, expect) in [
        ("parallelization_factor = 2", "sinks.lake.parallelization_factor: prepares its batches"),
        ("maximum_retry_attempts = 3", "sinks.lake.maximum_retry_attempts: batches are prepared"),
        ("maximum_record_age = \"1h\"", "sinks.lake.maximum_record_age: batches are prepared"),
        ("prefix = \"{now}\"", "sinks.lake.prefix: expected a template"),
        ("path = \"here\"", "sinks.lake.path: unknown key"),
    ] {
        let problems = with(key);
        assert!(matches!(&problems[..], [one] if one.contains(expect)), "{key}: {problems:?}");
    }
}

/// It has this one problem.
fn refused(case: &Case, part: &str) {
    let problems = case.problems();
    assert!(matches!(&problems[..], [one] if one.contains(part)), "{part}: {problems:#?}");
}

#[test]
fn columns_come_from_a_schema_and_from_the_configuration() {
    let sink = |rest: &str| {
        let sink = "[sinks.lake]\ntype = \"s3\"\nbucket = \"orders\"\nformat = \"parquet\"\n";
        Case::around("", &format!("{sink}{rest}\n"))
    };
    let schema = r#"{"required": ["id"], "properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}"#;
    let case = sink(
        "schema = \"order.json\"\ncolumns = { n = \"$.n int\", seen = \"%arrival timestamp\" }",
    );
    let write = |text: &str| fs::write(case.dir.path().join("order.json"), text).unwrap();
    write(schema);
    let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    let (lake, _) = compiled.settings.sinks["lake"].sink.objects().unwrap();
    let columns: Vec<_> =
        lake.columns.iter().map(|(name, column)| format!("{name} = {column}")).collect();
    let expect = ["id = $.id string not null", "n = $.n int", "seen = %arrival timestamp"];
    assert_eq!(columns, expect);
    write(&schema.replace("integer", "number"));
    let other = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    assert_ne!(compiled.hash, other.hash, "a schema decides what becomes of an event");

    write(r#"{"type": "object"}"#);
    refused(&case, "sinks.lake.schema: order.json: the schema has no properties at its top");
    refused(&sink("schema = \"none.json\""), "sinks.lake.schema: cannot read none.json");
    refused(&sink(""), "sinks.lake.columns: missing");
    let bad = "columns = { n = \"$.n number\" }";
    refused(&sink(bad), "sinks.lake.columns: expected a value for n: \"number\" is no type");
}

#[test]
fn letters_do_not_go_where_they_may_not_fit() {
    let lake = "[sinks.lake]\ntype = \"s3\"\nbucket = \"orders\"\nformat = \"parquet\"\n\
                columns = { id = \"$.id\" }\n";
    let case = |letters: &str| {
        let base = crate::case::BASE.replace("[dead_letter]\nsink = \"out\"", letters);
        Case::new(&[&format!("application = \"orders\"\n{base}\n{lake}")])
    };
    refused(&case("[dead_letter]\nsink = \"lake\""), "dead_letter.sink: writes columns");
    let fallback = case("[dead_letter]\nsink = \"out\"\nfallback = \"lake\"");
    refused(&fallback, "dead_letter.fallback: writes columns");
    assert_eq!(case("[dead_letter]\nsink = \"lake\"\nfallback = \"out\"").problems(), [""; 0]);
}

#[test]
fn what_may_leave_the_machine_in_the_clear_is_warned_of() {
    let warnings = |sink: &str| {
        let compiled = Case::around("", &format!("[sinks.far]\n{sink}\n")).compile();
        let compiled = compiled.unwrap_or_else(|problems| panic!("{problems}"));
        compiled.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let postgres = |rest: &str| {
        let columns = "table = 't'\ncolumns = { id = '$.id' }";
        warnings(&format!("type = 'postgres'\nurl = 'postgres://me@{rest}'\n{columns}"))
    };
    let http =
        |url: &str, secret: &str| warnings(&format!("type = 'http'\nurl = '{url}'\n{secret}"));
    for (found, advice) in [
        (postgres("db.example.com/orders"), "sslmode=require"),
        (postgres("db.example.com/orders?sslmode=prefer"), "sslmode=require"),
        (postgres("db.example.com/orders?sslmode=disable"), "sslmode=require"),
        (postgres("10.0.0.7/orders"), "sslmode=require"),
        (http("http://logs.example.com/in", "bearer_env = 'T'"), "https://"),
        (http("http://logs.example.com/in", "user = 'me'\npassword_env = 'T'"), "https://"),
        (http("http://logs.example.com/in", "headers_env = { x-api-key = 'T' }"), "https://"),
    ] {
        assert!(
            matches!(&found[..], [one] if one.contains("sinks.far.url") && one.contains(advice)),
            "{advice}: {found:?}"
        );
    }
    for fine in [
        postgres("db.example.com/orders?sslmode=require"),
        postgres("db.example.com/orders?sslmode=verify-full"),
        postgres("127.0.0.1:5432/orders"),
        postgres("localhost/orders"),
        postgres("[::1]:5432/orders"),
        http("https://logs.example.com/in", "bearer_env = 'T'"),
        http("http://127.0.0.1:8080/in", "bearer_env = 'T'"),
        http("http://logs.example.com/in", ""),
    ] {
        assert_eq!(fine, Vec::<String>::new());
    }
}
