//! `iam-policy` names every action that the code calls, and no other.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// A configuration that uses all there is.
const ALL: &str = r#"
application = "orders"
[aws]
region = "eu-central-1"
[[streams]]
name = "app-logs"
retrieval = "fan-out"
deregister_on_exit = true
[[streams]]
arn = "arn:aws:kinesis:eu-west-1:222233334444:stream/other-logs"
[[routes]]
name = "all"
sink = "next"
[sinks.next]
type = "kinesis"
stream = "orders"
region = "us-east-1"
[sinks.queue]
type = "sqs"
queue_url = "https://sqs.eu-central-1.amazonaws.com/333344445555/orders"
[sinks.lake]
type = "firehose"
stream = "orders"
[sinks.objects]
type = "s3"
bucket = "orders"
[sinks.parked]
type = "file"
path = "parked"
[dead_letter]
sink = "parked"
"#;

fn policy(config: &str, arguments: &[&str]) -> Value {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("shardwright.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.env_remove("AWS_REGION").arg("iam-policy").arg("--config").arg(&file).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Pairs of action and resource.
fn allowed(policy: &Value) -> BTreeSet<(String, String)> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut pairs = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            for resource in texts(&statement["Resource"]) {
                pairs.insert((action.clone(), resource));
            }
        }
    }
    pairs
}

fn actions(policy: &Value) -> BTreeSet<String> {
    allowed(policy).into_iter().map(|(action, _)| action).collect()
}

fn sources(dir: &Path, found: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") && !name.contains("test") {
            let text = fs::read_to_string(&path).unwrap();
            found.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

/// `describe_stream_summary` as AWS calls it.
fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

/// The actions that adapters and sinks call: each call names its action for its errors.
fn called() -> BTreeSet<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut code = String::new();
    for dir in ["aws", "sinks"] {
        sources(&src.join(dir), &mut code);
    }
    let named = regex::Regex::new(
        r#""((?:kinesis|dynamodb|s3|firehose|sqs|sns|kms|sts|logs):[A-Z][A-Za-z]+)"#,
    );
    let named: BTreeSet<String> =
        named.unwrap().captures_iter(&code).map(|found| found[1].to_owned()).collect();
    // A call that forgets to say which it is would be missed above.
    let clients = r"\.(?:client|once|pushes|reads|writes)\s*\.([a-z][a-z_]+)\(\)\s*\.([a-z]+)";
    for found in regex::Regex::new(clients).unwrap().captures_iter(&code) {
        let action = pascal(&found[1]);
        // A batch is allowed by the action of its single call (SQS developer guide, API permissions).
        let action = action.replace("SendMessageBatch", "SendMessage");
        // What is awaited at once is no request of the SDK: those are built, then sent.
        let known = named.iter().any(|known| known.ends_with(&format!(":{action}")));
        assert!(known || &found[2] == "await", "{action} is called and not named");
    }
    named
}

#[test]
fn the_policy_names_every_action_that_the_code_calls_and_no_other() {
    let mut called = called();
    assert!(called.remove("sts:GetCallerIdentity"), "everybody may ask this (STS API reference)");
    assert_eq!(actions(&policy(ALL, &[])), called);
}

#[test]
fn a_smaller_configuration_needs_less() {
    let small = ALL
        .replace("retrieval = \"fan-out\"\nderegister_on_exit = true\n", "")
        .replace("[[streams]]\narn", "[lease]\ncreate_table = false\n[[streams]]\narn")
        .replace(
            "type = \"kinesis\"\nstream = \"orders\"\nregion = \"us-east-1\"",
            "type = \"stdout\"",
        );
    let actions = actions(&policy(&small, &[]));
    for action in ["CreateTable", "RegisterStreamConsumer", "SubscribeToShard", "PutRecords"] {
        assert!(actions.iter().all(|known| !known.ends_with(action)), "{action}: {actions:?}");
    }
    assert!(actions.contains("kinesis:GetRecords") && actions.contains("dynamodb:UpdateItem"));
}

#[test]
fn resources_are_those_of_the_configuration() {
    let allowed = allowed(&policy(ALL, &["--account", "111122223333"]));
    for (action, resource) in [
        ("kinesis:GetRecords", "arn:aws:kinesis:eu-central-1:111122223333:stream/app-logs"),
        ("kinesis:GetRecords", "arn:aws:kinesis:eu-west-1:222233334444:stream/other-logs"),
        (
            "kinesis:SubscribeToShard",
            "arn:aws:kinesis:eu-central-1:111122223333:stream/app-logs/consumer/orders:*",
        ),
        ("kinesis:PutRecords", "arn:aws:kinesis:us-east-1:111122223333:stream/orders"),
        ("sqs:SendMessage", "arn:aws:sqs:eu-central-1:333344445555:orders"),
        (
            "firehose:PutRecordBatch",
            "arn:aws:firehose:eu-central-1:111122223333:deliverystream/orders",
        ),
        ("s3:PutObject", "arn:aws:s3:::orders/*"),
        ("s3:ListBucket", "arn:aws:s3:::orders"),
        ("dynamodb:UpdateItem", "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"),
        (
            "dynamodb:GetItem",
            "arn:aws:dynamodb:eu-central-1:111122223333:table/orders-CoordinatorState",
        ),
    ] {
        assert!(allowed.contains(&(action.to_owned(), resource.to_owned())), "{action} {resource}");
    }
    let writes_reads = allowed.iter().filter(|(action, _)| action == "kinesis:PutRecords");
    assert_eq!(writes_reads.count(), 1, "it may not write into what it reads");
}

/// The environment of the container in `deploy/ecs`, with the names that `CloudFormation` would put in.
fn ecs_environment(template: &str) -> Vec<(String, String)> {
    let entries =
        template.lines().filter_map(|line| line.trim().strip_prefix("- {Name: SHARDWRIGHT"));
    let entries = entries.map(|entry| {
        let (name, value) = entry.trim_end_matches('}').split_once(", Value: ").unwrap();
        let value = match value.split_once(' ') {
            Some(("!GetAtt", stream)) => {
                let name = stream.trim_end_matches(".Arn");
                format!("arn:aws:kinesis:eu-central-1:111122223333:stream/{name}")
            }
            Some(("!Ref", _)) => "orders".to_owned(),
            _ => value.trim_matches('"').to_owned(),
        };
        (format!("SHARDWRIGHT{name}"), value)
    });
    entries.collect()
}

#[test]
fn the_task_of_ecs_is_configured_and_may_do_what_it_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = fs::read_to_string(root.join("deploy/ecs/shardwright.yaml")).unwrap();
    let run = |command: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_shardwright"));
        process.env_clear().arg(command).envs(ecs_environment(&template));
        process.output().unwrap()
    };
    let checked = run("check");
    assert!(checked.status.success(), "{checked:?}");
    assert!(!String::from_utf8_lossy(&checked.stderr).contains("warning"), "{checked:?}");
    let printed = run("iam-policy");
    let needed = actions(&serde_json::from_slice(&printed.stdout).unwrap());
    let (_, role) = template.split_once("  TaskRole:").unwrap();
    let (role, _) = role.split_once("  ExecutionRole:").unwrap();
    let words = role.split_whitespace();
    let services = ["kinesis:", "dynamodb:", "s3:"];
    let given = words.filter(|word| services.iter().any(|service| word.starts_with(service)));
    assert_eq!(given.map(str::to_owned).collect::<BTreeSet<_>>(), needed);
    let drain = template.split_once("DRAIN_TIMEOUT, Value: 30s").is_some();
    assert!(
        drain && template.contains("StopTimeout: 40"),
        "the drain ends before the task is killed"
    );
}

#[test]
fn the_role_of_a_subscription_trusts_this_account_s_log_groups_only() {
    let role = policy(ALL, &["--subscription", "--account", "111122223333"]);
    let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trust["Principal"]["Service"], "logs.amazonaws.com");
    let groups = &trust["Condition"]["StringLike"]["aws:SourceArn"];
    assert_eq!(groups, "arn:aws:logs:eu-central-1:111122223333:*");
    assert_eq!(actions(&role["PolicyDocument"]), BTreeSet::from(["kinesis:PutRecord".to_owned()]));
}
