//! What is refused: each problem with its place, and all at once.

use crate::case::{BASE, Case};

#[test]
fn everything_that_is_wrong_is_reported_at_once_in_the_order_of_the_lines() {
    let text = r#"application = 5
colour = "red"

[lease]
scan_interval = 5
failover_time = "10 parsecs"
max_leases_to_steal = "many"
tabel = "x"

[log]
format = "xml"

[consumer]
retry_min = "1m"
queue_bytes = "8 bits"

[[streams]]
name = "app-logs"
format = "yaml"

[[routes]]
name = "broken"
filter = "{ $.a = "
also = "yes"
sink = "nowhere"

[[routes]]
name = "more"
validate = "absent.json"
transform = "bad.vrl"

[sinks.out]
type = "file"
path = "out"
batch_size = 0
fsync = 1

[sinks.bird]
type = "carrier-pigeon"

[dead_letter]
sink = "bird"
"#;
    Case::new(&[text]).file("bad.vrl", ".a = nothing(").refused(&[
        "0.toml:1: application: expected text in quotes; found 5",
        "0.toml:2: colour: unknown key; the top level has application,",
        "0.toml:5: lease.scan_interval: expected a duration such as \"10s\", \"250ms\" or \"5m\"; found 5",
        "0.toml:6: lease.failover_time: expected a duration such as \"10s\", \"250ms\" or \"5m\"; found \"10 parsecs\"",
        "0.toml:7: lease.max_leases_to_steal: expected a whole number such as 500; found \"many\"",
        "0.toml:8: lease.tabel: unknown key; [lease] has table,",
        "0.toml:11: log.format: expected \"auto\", \"text\" or \"json\"; found \"xml\"",
        "0.toml:14: consumer.retry_min: must be above 0s and at most consumer.retry_max",
        "0.toml:15: consumer.queue_bytes: expected a size such as \"64KiB\", \"8MiB\" or \"1GB\"; found \"8 bits\"",
        "0.toml:19: streams[0].format: expected \"cloudwatch-logs\", \"json\", \"text\" or \"bytes\"; found \"yaml\"",
        "0.toml:23: routes[0].filter: \n{ $.a = ",
        "0.toml:24: routes[0].also: expected true or false; found \"yes\"",
        "0.toml:25: routes[0].sink: there is no sink named \"nowhere\"; there are: bird, out",
        "0.toml:27: routes[1].sink: missing: name the sink, as in sink = \"out\"",
        "0.toml:29: routes[1].validate: cannot read absent.json",
        "0.toml:30: routes[1].transform: \nbad.vrl: ",
        "0.toml:35: sinks.out.batch_size: must be at least 1",
        "0.toml:36: sinks.out.fsync: expected \"batch\", \"rotate\" or \"never\"; found 1",
        "0.toml:39: sinks.bird.type: expected \"stdout\", \"azure\", \"file\", \"firehose\", \"folder\", \"gcs\", \"http\", \"kinesis\", \"postgres\", \"s3\" or \"sqs\"; found \"carrier-pigeon\"",
    ]);
}

#[test]
fn what_is_refused_at_the_top() {
    for (before, expect) in [
        ("lease = 5", "0.toml:2: lease: expected a table [lease]; found 5"),
        ("worker_id = \"shardId-1\"", "0.toml:2: worker_id: must not"),
        ("[lease]\ntable = \"a b\"", "0.toml:3: lease.table: DynamoDB takes no table of this name"),
        (
            "[lease]\nfailover_time = \"500ms\"\nscan_interval = \"100ms\"",
            "0.toml:3: lease.failover_time: must be at least 1s",
        ),
        (
            "[lease]\nscan_interval = \"20s\"",
            "0.toml:3: lease.scan_interval: must be above 0s and at most lease.failover_time",
        ),
        (
            "[lease]\nmax_leases_per_worker = 0",
            "0.toml:3: lease.max_leases_per_worker: must be at least 1",
        ),
        (
            "[lease]\nfailover_time = \"11y\"",
            "0.toml:3: lease.failover_time: expected a duration of at most 365 days; found \"11y\"",
        ),
        (
            "[lease]\nmax_leases_per_worker = 99999999999999999999",
            "0.toml:3: lease.max_leases_per_worker: expected a whole number",
        ),
        (
            "[aws]\nendpoint_url = \"localhost:4566\"",
            "0.toml:3: aws.endpoint_url: expected http:// or https:// and a host",
        ),
        (
            "[aws]\nkinesis_endpoint_url = \"http://u:p@\"",
            "0.toml:3: aws.kinesis_endpoint_url: expected http:// or https:// and a host, as in \"http://localhost:4566\", without user and password; found \"(redacted)\"",
        ),
        ("[aws]\nregion = \"\"", "0.toml:3: aws.region: must not be empty"),
        (
            "[consumer]\nmax_decompressed = 0",
            "0.toml:3: consumer.max_decompressed: must be at least 1B",
        ),
        (
            "[consumer]\nmax_decompressed = \"16EiB\"",
            "0.toml:3: consumer.max_decompressed: expected a size of at most 1PiB",
        ),
        (
            "[consumer]\nmax_events_per_record = 0",
            "0.toml:3: consumer.max_events_per_record: must be at least 1",
        ),
        (
            "[consumer]\nidle_poll_interval = \"100ms\"",
            "0.toml:3: consumer.idle_poll_interval: consumer.poll_interval must be above 0s and at most consumer.idle_poll_interval",
        ),
        (
            "[shutdown]\ndrain_timeout = \"0s\"",
            "0.toml:3: shutdown.drain_timeout: must be above 0s",
        ),
        (
            "[log]\nlevel = \"verbose\"",
            "0.toml:3: log.level: expected off, error, warn, info, debug, trace or directives",
        ),
        ("[admin]\nlisten = \"9464\"", "0.toml:3: admin.listen: expected an address and port"),
        ("\"lease.table\" = \"x\"", "0.toml:2: lease.table: unknown key"),
        ("\"streams[900000000]\" = 1", "0.toml:2: streams[900000000]: unknown key"),
    ] {
        let case = Case::around(before, "");
        println!("{before}");
        case.refused(&[expect]);
    }
}

#[test]
fn what_is_refused_in_streams_and_routes() {
    // The lines after it begin at 18.
    for (after, expect) in [
        (
            "[[streams]]\nname = \"app-logs\"",
            "0.toml:19: streams[1].name: there is a stream \"app-logs\" already",
        ),
        (
            "[[streams]]\narn = \"arn:aws:kinesis:eu-west-1:1:stream/app-logs\"",
            "0.toml:19: streams[1].arn: there is a stream \"app-logs\" already",
        ),
        (
            "[[streams]]\nname = \"a b\"",
            "0.toml:19: streams[1].name: Kinesis takes no stream of this name",
        ),
        (
            "[[streams]]\nname = \"\"",
            "0.toml:19: streams[1].name: Kinesis takes no stream of this name",
        ),
        ("[[streams]]\nformat = \"json\"", "0.toml:18: streams[1]: needs either name or arn"),
        ("[[streams]]", "0.toml:18: streams[1]: needs either name or arn"),
        (
            "[[streams]]\narn = \"next\"",
            "0.toml:19: streams[1].arn: \"next\" is not the ARN of a stream",
        ),
        (
            "[[streams]]\nname = \"b\"\ninitial_position = \"2999-01-01T00:00:00Z\"",
            "0.toml:20: streams[1].initial_position: is in the future",
        ),
        (
            "[[streams]]\nname = \"b\"\ninitial_position = 2999-01-01T00:00:00Z",
            "0.toml:20: streams[1].initial_position: is in the future",
        ),
        (
            "[[streams]]\nname = \"b\"\nuntil = \"TRIM_HORIZON\"",
            "0.toml:20: streams[1].until: expected \"LATEST\" or a time such as",
        ),
        (
            "[[streams]]\nname = \"b\"\nuntil = 2026-01-01T00:00:00Z\ninitial_position = 2026-01-01T00:00:00Z",
            "0.toml:20: streams[1].until: must be after initial_position",
        ),
        (
            "[[streams]]\nname = \"b\"\nuntil = \"LATEST\"\ninitial_position = \"LATEST\"",
            "0.toml:20: streams[1].until: must be after initial_position",
        ),
        (
            "[[streams]]\nname = \"b\"\naggregates = \"lax\"",
            "0.toml:20: streams[1].aggregates: expected \"tolerant\" or \"strict\"",
        ),
        (
            "[[routes]]\nname = \"all\"\nsink = \"out\"",
            "0.toml:19: routes[1].name: there is a route \"all\" already",
        ),
        ("[[routes]]\nname = \"\"\nsink = \"out\"", "0.toml:19: routes[1].name: must not be empty"),
        ("[[routes]]\nsink = \"out\"", "0.toml:18: routes[1].name: missing: name the route"),
    ] {
        println!("{after}");
        Case::around("", after).refused(&[expect]);
    }
}

#[test]
fn what_is_refused_in_sinks() {
    for (after, expect) in [
        ("[sinks.b]\ntype = \"file\"", "0.toml:18: sinks.b.path: missing: name the directory"),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nprefix = \"../x\"",
            "0.toml:21: sinks.b.prefix: must begin a file name",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nrotate_age = \"11y\"",
            "0.toml:21: sinks.b.rotate_age: expected a duration of at most 365 days",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nbatch_bytes = 0",
            "0.toml:21: sinks.b.batch_bytes: must be at least 1B",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nparallelization_factor = 0",
            "0.toml:21: sinks.b.parallelization_factor: must be from 1 to 10",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nparallelization_factor = 11",
            "0.toml:21: sinks.b.parallelization_factor: must be from 1 to 10",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nmaximum_retry_attempts = -2",
            "0.toml:21: sinks.b.maximum_retry_attempts: expected a whole number from 0 to 10000, or -1 for no limit; found -2",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nmaximum_record_age = \"0s\"",
            "0.toml:21: sinks.b.maximum_record_age: must be at least 1s, or -1 for no limit",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nmaximum_record_age = 3600",
            "0.toml:21: sinks.b.maximum_record_age: expected a duration such as \"1h\", or -1 for no limit; found 3600",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nbisect_batch_on_error = \"yes\"",
            "0.toml:21: sinks.b.bisect_batch_on_error: expected true or false",
        ),
        (
            "[sinks.b]\ntype = \"file\"\npath = \"b\"\nstream = \"c\"",
            "0.toml:21: sinks.b.stream: unknown key; [sinks.b] has type,",
        ),
        ("[sinks.b]\ntype = \"kinesis\"", "0.toml:18: sinks.b: needs either stream or arn"),
        (
            "[sinks.b]\ntype = \"kinesis\"\nstream = \"a/b\"",
            "0.toml:20: sinks.b.stream: Kinesis takes no stream of this name",
        ),
        (
            "[sinks.b]\ntype = \"kinesis\"\nstream = \"a\"\nregion = \" \"",
            "0.toml:21: sinks.b.region: must not be empty",
        ),
        (
            "[sinks.b]\ntype = \"kinesis\"\nstream = \"a\"\nendpoint_url = \"a\"",
            "0.toml:21: sinks.b.endpoint_url: expected http:// or https://",
        ),
        (
            "[sinks.b]\ntype = \"kinesis\"\nstream = \"a\"\nmaximum_record_size = \"11MiB\"\nmaximum_request_size = \"12MiB\"",
            "0.toml:21: sinks.b.maximum_record_size: must be above 0B and at most 10MiB",
        ),
        (
            "[sinks.b]\ntype = \"stdout\"\n[sinks.c]\ntype = \"stdout\"",
            "0.toml:21: sinks.c.type: only one sink may write to stdout",
        ),
        ("[sinks.b]\npath = \"a\"", "0.toml:18: sinks.b.type: missing: say what it is"),
        ("[sinks]\nb = 5", "0.toml:19: sinks.b: expected a table [sinks.b]; found 5"),
    ] {
        println!("{after}");
        Case::around("", after).refused(&[expect]);
    }
}

#[test]
fn the_dead_letter_sink_is_tried_for_ever() {
    for (name, value, key) in [
        ("SHARDWRIGHT__SINKS__OUT__MAXIMUM_RETRY_ATTEMPTS", "3", "maximum_retry_attempts"),
        ("SHARDWRIGHT__SINKS__OUT__MAXIMUM_RECORD_AGE", "1h", "maximum_record_age"),
    ] {
        let case = Case::around("", "").variable(name, value);
        let expect = format!("{name}: sinks.out.{key}: a dead letter has nowhere else to go");
        case.refused(&[&expect]);
        assert_eq!(Case::around("", "").variable(name, "-1").problems(), [""; 0]);
    }
}

#[test]
fn what_is_missing_altogether_is_missed_in_the_file() {
    Case::new(&["[log]\n"]).refused(&[
        "0.toml: application: missing: name the application",
        "0.toml: dead_letter.sink: missing: name the sink",
        "0.toml: routes: missing: say where events go",
        "0.toml: streams: missing: name a stream",
    ]);
    Case::new(&[]).refused(&["application:", "dead_letter.sink:", "routes:", "streams:"]);
    Case::around("", "").problems();
    let short = Case::new(&[&format!("application = \"ab\"\n{BASE}")]);
    short.refused(&["0.toml:1: application: DynamoDB takes no table of this name"]);
    let empty = Case::new(&[&format!("application = \"\"\n{BASE}")]);
    empty.refused(&["0.toml:1: application: must not be empty"]);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mut case = Case::new(&["a = \n", "application = \"x\"\n\n]\n"]);
    case.layers.files.push(case.dir.path().join("absent.toml"));
    case.refused(&[
        "0.toml:1: not TOML: ",
        "1.toml:3: not TOML: ",
        "absent.toml: cannot read the file: ",
    ]);
}

#[test]
fn a_problem_is_where_the_last_layer_sets_the_key() {
    let base = format!("application = \"orders\"\n[lease]\nscan_interval = \"2s\"\n{BASE}");
    let case = Case::new(&[&base, "\n\n[lease]\nscan_interval = \"1h\"\n"]);
    case.refused(&["1.toml:4: lease.scan_interval: must be above 0s"]);
    let case = case.variable("SHARDWRIGHT__LEASE__SCAN_INTERVAL", "2h");
    case.refused(&["SHARDWRIGHT__LEASE__SCAN_INTERVAL: lease.scan_interval: must be above 0s"]);
    let case = case.variable("SHARDWRIGHT__LEASE__SCAN_INTERVAL", "2s");
    assert_eq!(case.problems(), [""; 0]);
}

#[test]
fn bad_variables_are_named() {
    for (name, value, expect) in [
        ("SHARDWRIGHT__LEASE__FAILOVER", "20s", "lease.failover: unknown key; [lease] has table,"),
        (
            "SHARDWRIGHT__LEESE__FAILOVER_TIME",
            "20s",
            "leese.failover_time: unknown key; the top level has",
        ),
        ("SHARDWRIGHT__LEASE____TABLE", "x", "unknown key"),
        (
            "SHARDWRIGHT__SINKS__OUT__TYPE",
            "pigeon",
            "sinks.out.type: expected \"stdout\", \"azure\", \"file\", \"firehose\", \"folder\", \"gcs\", \"http\", \"kinesis\", \"postgres\", \"s3\" or \"sqs\"; found \"pigeon\"",
        ),
        (
            "SHARDWRIGHT__LEASE__CREATE_TABLE",
            "maybe",
            "lease.create_table: expected true or false; found \"maybe\"",
        ),
        (
            "SHARDWRIGHT__LEASE__MAX_LEASES_TO_STEAL",
            "-1",
            "lease.max_leases_to_steal: expected a whole number such as 500; found -1",
        ),
        ("SHARDWRIGHT__LEASE", "x", "lease: expected a table [lease]; found \"x\""),
        ("SHARDWRIGHT__STREAMS", "x", "streams: expected [[streams]] tables; found \"x\""),
        ("SHARDWRIGHT__ADMIN__LISTEN", "9464", "admin.listen: expected an address and port"),
    ] {
        let case = Case::around("", "").variable(name, value);
        let problems = case.problems();
        let expect = format!("{name}: {expect}");
        let found = problems.iter().any(|problem| problem.starts_with(&expect));
        assert!(found, "{expect}\n{problems:#?}");
    }
}

#[test]
fn consumers_of_fan_out_are_named_as_kinesis_takes_them() {
    let check = |keys: &str, expect: &str| {
        let base = BASE.replace("[[streams]]\n", &format!("[[streams]]\n{keys}\n"));
        Case::new(&[&format!("application = \"orders\"\n{base}")]).refused(&[expect]);
    };
    let arn = "arn:aws:kinesis:eu-west-1:111122223333:stream";
    check(
        "retrieval = \"push\"",
        "0.toml:4: streams[0].retrieval: expected \"polling\" or \"fan-out\"; found \"push\"",
    );
    check(
        "consumer_name = \"a b\"",
        "0.toml:4: streams[0].consumer_name: Kinesis takes no consumer of this name",
    );
    check(
        &format!("consumer_arn = \"{arn}/app-logs\""),
        "0.toml:4: streams[0].consumer_arn: is not the ARN of a consumer: expected arn:aws:kinesis:",
    );
    check(
        &format!("consumer_arn = \"{arn}/other/consumer/app:1\""),
        "0.toml:4: streams[0].consumer_arn: is the ARN of a consumer of another stream",
    );
    let own = format!("consumer_arn = \"{arn}/app-logs/consumer/app:1\"\n");
    check(
        &format!("{own}consumer_name = \"app\""),
        "0.toml:5: streams[0].consumer_name: needs either consumer_name or consumer_arn",
    );
    check(
        &format!("{own}deregister_on_exit = true"),
        "0.toml:5: streams[0].deregister_on_exit: would deregister a consumer that somebody else",
    );
    let long = "a".repeat(129);
    let base = BASE.replace("[[streams]]\n", "[[streams]]\nretrieval = \"fan-out\"\n");
    Case::new(&[&format!("application = \"{long}\"\n{base}")])
        .refused(&["0.toml:1: application: Kinesis takes no consumer of this name"]);
}

#[test]
fn what_is_refused_in_exporters() {
    for (after, expect) in [
        (
            "[sinks.b]\ntype = \"stdout\"\n[emf]\nenabled = true",
            "0.toml:21: emf.enabled: sinks.b writes to standard output too",
        ),
        ("[emf]\nnamespace = \"AWS/ours\"", "0.toml:19: emf.namespace: CloudWatch takes no"),
        ("[emf]\ninterval = \"100ms\"", "0.toml:19: emf.interval: must be at least 1s"),
        ("[otlp]\ninterval = \"100ms\"", "0.toml:19: otlp.interval: must be at least 1s"),
        #[cfg(not(feature = "otlp"))]
        (
            "[otlp]\nendpoint = \"http://localhost:4318\"",
            "0.toml:19: otlp.endpoint: this build cannot send by OTLP: build it with the cargo feature",
        ),
        #[cfg(feature = "otlp")]
        ("[otlp]\nendpoint = \"a\"", "0.toml:19: otlp.endpoint: expected http:// or https://"),
    ] {
        println!("{after}");
        Case::around("", after).refused(&[expect]);
    }
}
