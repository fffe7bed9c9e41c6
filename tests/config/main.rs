//! The configuration as its users meet it: files and variables in, settings or problems out.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod case;

mod refused;
mod routes;
mod sinks;

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use case::Case;
use shardwright::config::{Layers, RetrySettings, compile};

#[test]
fn a_small_configuration_is_enough() {
    let compiled = Case::around("", "").compile().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(compiled.settings.application, "orders");
    assert_eq!(compiled.routes.len(), 1);
}

#[test]
fn the_environment_sets_every_kind_of_key() {
    let case = Case::around("", "")
        .variable("SHARDWRIGHT__LEASE__FAILOVER_TIME", "20s")
        .variable("SHARDWRIGHT__LEASE__CREATE_TABLE", "false")
        .variable("SHARDWRIGHT__LEASE__MAX_LEASES_TO_STEAL", "3")
        .variable("SHARDWRIGHT__APPLICATION", "12345")
        .variable("SHARDWRIGHT__STREAMS__0__NAME", "other")
        .variable("SHARDWRIGHT__ROUTES__0__LOG_GROUPS", "/a/*,/b")
        .variable("SHARDWRIGHT__SINKS__OUT__BATCH_SIZE", "7")
        .variable("SHARDWRIGHT_CONFIG", "/etc/shardwright.toml")
        .variable("PATH", "/bin");
    for (key, shown) in [
        ("lease.failover_time", "\"20s\" # SHARDWRIGHT__LEASE__FAILOVER_TIME"),
        ("lease.create_table", "false # SHARDWRIGHT__LEASE__CREATE_TABLE"),
        ("lease.max_leases_to_steal", "3 # SHARDWRIGHT__LEASE__MAX_LEASES_TO_STEAL"),
        ("application", "\"12345\" # SHARDWRIGHT__APPLICATION"),
        ("streams[0].name", "\"other\" # SHARDWRIGHT__STREAMS__0__NAME"),
        ("routes[0].log_groups", "[\"/a/*\", \"/b\"] # SHARDWRIGHT__ROUTES__0__LOG_GROUPS"),
        ("routes[0].name", "\"all\" # 0.toml:8"),
        ("sinks.out.batch_size", "7 # SHARDWRIGHT__SINKS__OUT__BATCH_SIZE"),
    ] {
        assert_eq!(case.shown(key), shown);
    }
    let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!compiled.settings.lease.create_table);
    assert_eq!(compiled.settings.streams.len(), 1);
}

#[test]
fn limits_of_retries_are_absent_unless_they_are_set() {
    let sink = "[sinks.b]\ntype = \"file\"\npath = \"b\"\n";
    let limits = |case: Case| {
        let compiled = case.compile().unwrap_or_else(|problems| panic!("{problems}"));
        let RetrySettings { maximum_retry_attempts, maximum_record_age, bisect_batch_on_error } =
            compiled.settings.sinks["b"].retry;
        (maximum_retry_attempts, maximum_record_age, bisect_batch_on_error)
    };
    assert_eq!(limits(Case::around("", sink)), (None, None, true));
    let set =
        "maximum_retry_attempts = 5\nmaximum_record_age = \"6h\"\nbisect_batch_on_error = false";
    let set = || Case::around("", &format!("{sink}{set}"));
    assert_eq!(limits(set()), (Some(5), Some(Duration::from_hours(6)), false));
    let unset = set()
        .variable("SHARDWRIGHT__SINKS__B__MAXIMUM_RETRY_ATTEMPTS", "-1")
        .variable("SHARDWRIGHT__SINKS__B__MAXIMUM_RECORD_AGE", "-1");
    assert_eq!(limits(unset), (None, None, false));
}

#[test]
fn a_whole_configuration_may_come_from_the_environment() {
    let case = Case::new(&[])
        .variable("SHARDWRIGHT__APPLICATION", "orders")
        .variable("SHARDWRIGHT__STREAMS__0__NAME", "app-logs")
        .variable("SHARDWRIGHT__ROUTES__0__NAME", "all")
        .variable("SHARDWRIGHT__ROUTES__0__SINK", "out")
        .variable("SHARDWRIGHT__SINKS__OUT__TYPE", "stdout")
        .variable("SHARDWRIGHT__DEAD_LETTER__SINK", "out");
    assert_eq!(case.problems(), [""; 0]);
}

#[test]
fn the_listing_shows_defaults_lines_and_no_secrets() {
    let case = Case::around(
        "[aws]\nendpoint_url = \"https://user:pa%2Fss@host/?X-Amz-Security-Token=abc\"\nkinesis_endpoint_url = \"https://u:1/x@host\"\n[lease]\nscan_interval = \"0.5s\"",
        "[sinks.next]\ntype = \"kinesis\"\nstream = \"next\"",
    );
    for (key, shown) in [
        ("application", "\"orders\" # 0.toml:1"),
        ("aws.endpoint_url", "\"https://(redacted)@host/?(redacted)\" # 0.toml:3"),
        ("aws.kinesis_endpoint_url", "\"(redacted)\" # 0.toml:4"),
        ("lease.scan_interval", "\"500ms\" # 0.toml:6"),
        ("lease.failover_time", "\"10s\" # default"),
        ("lease.create_table", "true # default"),
        ("streams[0].initial_position", "\"TRIM_HORIZON\" # default"),
        ("routes[0].also", "false # default"),
        ("routes[0].log_groups", "[] # default"),
        ("sinks.out.batch_size", "500 # default"),
        ("sinks.out.batch_bytes", "\"4MiB\" # default"),
        ("sinks.out.rotate_age", "\"1h\" # default"),
        ("sinks.next.partition_key", "\"record\" # default"),
        ("sinks.next.stream", "\"next\" # 0.toml:24"),
    ] {
        assert_eq!(case.shown(key), shown, "{key}");
    }
    let keys: Vec<String> = case.list().into_iter().map(|setting| setting.key).collect();
    assert!(keys.is_sorted());
}

#[test]
fn the_hash_is_of_what_becomes_of_an_event() {
    let plain = Case::around("", "");
    let hash = plain.hash();
    assert_eq!(hash.len(), 12);
    let env = |name, value| Case::around("", "").variable(name, value).hash();
    let same = [
        Case::around("# a comment", "\n\n").hash(),
        env("SHARDWRIGHT__ROUTES__0__ALSO", "false"),
        env("SHARDWRIGHT__CONSUMER__MAX_DECOMPRESSED", "65536KiB"),
        env("SHARDWRIGHT__SINKS__OUT__ROTATE_AGE", "60m"),
        env("SHARDWRIGHT__LOG__LEVEL", "debug"),
        env("SHARDWRIGHT__WORKER_ID", "one"),
        Case::around("[consumer]\nmax_decompressed = 67108864", "").hash(),
    ];
    for other in same {
        assert_eq!(other, hash);
    }
    let different = [
        env("SHARDWRIGHT__ROUTES__0__ALSO", "true"),
        env("SHARDWRIGHT__ROUTES__0__FILTER", "ERROR"),
        env("SHARDWRIGHT__ROUTES__0__LOG_GROUPS", "http://host/?a"),
        env("SHARDWRIGHT__ROUTES__0__LOG_GROUPS", "http://host/?b"),
        env("SHARDWRIGHT__STREAMS__0__FORMAT", "text"),
        env("SHARDWRIGHT__SINKS__OUT__PATH", "elsewhere"),
        env("SHARDWRIGHT__CONSUMER__MAX_DECOMPRESSED", "1MiB"),
    ];
    let mut seen = vec![hash];
    for other in different {
        assert!(!seen.contains(&other), "{other}");
        seen.push(other);
    }
}

#[test]
fn the_hash_covers_programs() {
    let with = |program: &str| {
        let route = "[[routes]]\nname = \"b\"\ntransform = \"b.vrl\"\nsink = \"out\"";
        Case::around("", route).file("b.vrl", program).hash()
    };
    assert_eq!(with(".a = 1"), with(".a = 1"));
    assert_ne!(with(".a = 1"), with(".a = 2"));
}

#[test]
fn the_files_in_the_repository_pass() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let layers = Layers { files: vec![path.clone()], environment: Some(HashMap::new()) };
        match compile(&layers) {
            Ok(compiled) => assert!(!compiled.routes.is_empty(), "{}", path.display()),
            // The defaults alone lack what only a user can know.
            Err(problems) => {
                let missing = problems.iter().all(|problem| problem.message.starts_with("missing"));
                assert!(path.ends_with("default.toml") && missing, "{problems}");
            }
        }
    }
    assert!(seen >= 3);
}
