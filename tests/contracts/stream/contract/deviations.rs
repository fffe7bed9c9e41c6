//! Where the counterparts are known not to do what AWS does.

/// Who holds the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "a test program has some of them only")]
pub(crate) enum Name {
    Simulation,
    Embedded,
    KinesisLocal,
    Kinesalite,
}

/// What is not as on AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// The last page of a closed shard does not name the shards that go on.
    ChildrenUnnamed,
    /// The last page of a closed shard says that it is behind.
    BehindAtTheEnd,
    /// A page says that it is at the tip while records that came later are still to be read.
    NeverBehind,
    /// A page may be larger than 10 MiB.
    PagesBeyond10Mib,
    /// A text that is no iterator fails in another way than as an invalid argument.
    GarbledIterator,
    /// A sequence number that this stream never gave is taken as a place to start at.
    ForeignSequenceTaken,
    /// A listing has one page, whatever was asked for.
    ListingInOnePage,
}

/// The one table of known deviations. The contract asserts each of them, so that it is noticed when
/// one goes away.
const DEVIATIONS: [(Deviation, &[Name]); 7] = [
    (Deviation::ChildrenUnnamed, &[Name::Kinesalite]),
    (Deviation::BehindAtTheEnd, &[Name::Kinesalite]),
    (Deviation::NeverBehind, &[Name::Kinesalite]),
    (Deviation::PagesBeyond10Mib, &[Name::Kinesalite]),
    (Deviation::GarbledIterator, &[Name::KinesisLocal, Name::Simulation]),
    (Deviation::ForeignSequenceTaken, &[Name::KinesisLocal, Name::Simulation]),
    (Deviation::ListingInOnePage, &[Name::Kinesalite]),
];

/// Asserts that a counterpart does as AWS does, or that it does not where the table says so.
#[track_caller]
pub(crate) fn check(name: Name, deviation: Deviation, as_on_aws: bool) {
    let known = DEVIATIONS.iter().any(|(known, who)| *known == deviation && who.contains(&name));
    assert!(as_on_aws || known, "{name:?} does not do as AWS does: {deviation:?}");
    assert!(!as_on_aws || !known, "{name:?} does as AWS does, the table is wrong: {deviation:?}");
}
