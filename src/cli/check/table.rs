//! The lease table: its shape, its mode, and what may be done with it.

use super::{capacity, finding::Finding};
use crate::{
    aws::{DynamoLeases, FleetMode, RowContent, TableFacts, TableRow},
    config::LeaseSettings,
    ports::StoreError,
};

/// What is found, and the rows if the table can be used.
pub(super) async fn examine(
    table: &DynamoLeases,
    settings: &LeaseSettings,
) -> (Vec<Finding>, Option<Vec<TableRow>>) {
    let about = format!("lease table {}", table.table());
    let facts = match table.facts().await {
        Ok(Some(facts)) => facts,
        Ok(None) => return (vec![missing(&about, settings.create_table)], None),
        Err(problem) => return (vec![Finding::table_problem(&about, &problem)], None),
    };
    if let Err(problem) = &facts.schema {
        // The rows of another application are none of our business.
        return (vec![Finding::problem(&about, problem.clone())], None);
    }
    let coordinator = format!("{}-CoordinatorState", table.table());
    let (rows, writes, mode, restorable) = tokio::join!(
        table.rows(),
        table.try_writes(),
        table.fleet_mode(&coordinator),
        table.can_be_restored()
    );
    let mut findings = vec![shape(&about, &facts, restorable.ok())];
    findings.push(fleet_mode(&about, mode));
    findings.extend(rights(&about, rows.as_ref().err(), &writes));
    let Ok(rows) = rows else { return (findings, None) };
    findings.extend(malformed(&about, &rows));
    findings.extend(capacity::judge(&about, &facts, rows.len(), settings));
    (findings, Some(rows))
}

fn missing(about: &str, create: bool) -> Finding {
    if create {
        return Finding::note(
            about,
            "is not there yet: the first worker creates it, billed per request; whether it may \
             (dynamodb:CreateTable) cannot be tried without doing it",
        );
    }
    Finding::problem(about, "is not there, and lease.create_table is false").advise(
        "create it with the key leaseKey (String), or set lease.create_table = true; look at aws.region \
         if it should be there",
    )
}

fn shape(about: &str, facts: &TableFacts, restorable: Option<bool>) -> Finding {
    let billing = facts.provisioned.map_or("billed per request".to_owned(), |(read, write)| {
        format!("provisioned with {read} read and {write} write units")
    });
    let on = |on: bool| if on { "on" } else { "off" };
    let restorable = restorable
        .map_or(String::new(), |restorable| format!(", point-in-time recovery {}", on(restorable)));
    let indexes = match &facts.indexes[..] {
        [] => String::new(),
        indexes => format!(", indexes {} (of a KCL 3.x)", indexes.join(", ")),
    };
    let found = format!(
        "{}, key leaseKey, {billing}, deletion protection {}{restorable}{indexes}",
        facts.status.as_deref().unwrap_or("ACTIVE"),
        on(facts.deletion_protection)
    );
    match facts.status.as_deref() {
        None | Some("ACTIVE" | "UPDATING") if facts.deletion_protection => {
            Finding::ok(about, found)
        }
        None | Some("ACTIVE" | "UPDATING") => Finding::ok(about, found).advise(
            "the checkpoints of the whole fleet are in it: aws dynamodb update-table \
             --deletion-protection-enabled keeps it from being deleted by mistake",
        ),
        Some("CREATING") => Finding::warning(about, found).advise("wait until it is ACTIVE"),
        Some(_) => Finding::problem(about, found).advise("workers wait until it is ACTIVE"),
    }
}

fn fleet_mode(about: &str, mode: Result<FleetMode, StoreError>) -> Finding {
    match mode {
        Ok(FleetMode::Taker) => Finding::ok(about, "each worker takes leases for itself (KCL 1.x, 2.x)"),
        Ok(FleetMode::LeaderAssigned { client_version }) => Finding::problem(
            about,
            format!(
                "a leader assigns the leases (KCL 3.x, {client_version}): `run` refuses to work beside it"
            ),
        )
        .advise(
            "set lease.table to another table, or run the Java workers with \
             CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X",
        ),
        Err(problem) => Finding::table_problem(about, &problem),
    }
}

/// What may be done: all of it in one line, or each thing that may not.
fn rights(
    about: &str,
    scan: Option<&StoreError>,
    writes: &[Result<(), StoreError>; 3],
) -> Vec<Finding> {
    let refused: Vec<Finding> = scan
        .into_iter()
        .chain(writes.iter().filter_map(|write| write.as_ref().err()))
        .map(|problem| Finding::table_problem(about, problem))
        .collect();
    if !refused.is_empty() {
        return refused;
    }
    let writes = DynamoLeases::WRITES.join(", ");
    vec![Finding::ok(about, format!("may be read and written: Scan, GetItem, {writes}"))]
}

fn malformed(about: &str, rows: &[TableRow]) -> Vec<Finding> {
    let bad = rows.iter().filter_map(|row| match &row.content {
        RowContent::Malformed(why) => Some((&row.key, why)),
        RowContent::Lease(_) | RowContent::Foreign => None,
    });
    bad.map(|(key, why)| {
        Finding::problem(about, format!("no worker takes the lease {key}: {why}")).advise(
            "mend the attribute, or delete the item: shard sync creates it anew, at the initial position",
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    fn facts(status: &str) -> TableFacts {
        TableFacts {
            status: Some(status.to_owned()),
            schema: Ok(()),
            provisioned: None,
            indexes: Vec::new(),
            deletion_protection: true,
        }
    }

    #[test]
    fn a_table_that_nobody_creates_is_a_problem() {
        assert_eq!(missing("t", true).level, Level::Note);
        assert_eq!(missing("t", false).level, Level::Problem);
    }

    #[test]
    fn the_shape_says_what_an_operator_asks_for() {
        let fine = shape("t", &facts("ACTIVE"), Some(true));
        assert_eq!(fine.level, Level::Ok);
        let expect = "ACTIVE, key leaseKey, billed per request, deletion protection on, point-in-time recovery on";
        assert_eq!((fine.found.as_str(), fine.advice), (expect, None));
        assert_eq!(shape("t", &facts("DELETING"), None).level, Level::Problem);
        let index = TableFacts {
            indexes: vec!["LeaseOwnerToLeaseKeyIndex".to_owned()],
            provisioned: Some((5, 7)),
            deletion_protection: false,
            ..facts("ACTIVE")
        };
        let shown = shape("t", &index, None);
        for part in ["5 read and 7 write units", "protection off", "LeaseOwnerToLeaseKeyIndex"] {
            assert!(shown.found.contains(part), "{}", shown.found);
        }
        assert!(shown.advice.unwrap().contains("--deletion-protection-enabled"));
    }

    #[test]
    fn every_right_that_is_missing_has_its_line() {
        let denied = |action: &str| StoreError::Denied(format!("dynamodb:{action}: no"));
        let all = rights("t", None, &[Ok(()), Ok(()), Ok(())]);
        assert!(all.len() == 1 && all[0].level == Level::Ok, "{all:?}");
        let some = rights("t", Some(&denied("Scan")), &[Ok(()), Err(denied("UpdateItem")), Ok(())]);
        let found: Vec<&str> = some.iter().map(|finding| finding.found.as_str()).collect();
        assert_eq!(
            found,
            ["not allowed: dynamodb:Scan: no", "not allowed: dynamodb:UpdateItem: no"]
        );
        assert!(
            some.iter().all(|finding| finding.level == Level::Problem && finding.advice.is_some())
        );
    }

    #[test]
    fn a_fleet_with_a_leader_is_refused() {
        let led = FleetMode::LeaderAssigned { client_version: "CLIENT_VERSION_3X".to_owned() };
        assert_eq!(fleet_mode("t", Ok(led)).level, Level::Problem);
        assert_eq!(fleet_mode("t", Ok(FleetMode::Taker)).level, Level::Ok);
    }
}
