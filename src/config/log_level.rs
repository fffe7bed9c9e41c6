//! What `log.level` may be.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why a level cannot be used, if so. `EnvFilter` alone takes any word for the name of a module and
/// would silence everything else.
pub(super) fn problem(level: &str) -> Option<String> {
    let bad = level.split(',').find(|directive| !is_directive(directive));
    if bad.is_none() && EnvFilter::try_new(level).is_ok() {
        return None;
    }
    let found = bad.unwrap_or(level);
    Some(format!(
        "expected {} or directives without spaces, such as \"info,shardwright::leasing=debug\"; found {found:?}",
        LEVELS.join(", ")
    ))
}

fn is_directive(directive: &str) -> bool {
    // Behind the fields, which may hold a `=` of their own: `[span{field=1}]=debug`.
    let from = directive.rfind(']').unwrap_or(0);
    let level = match directive.get(from..).and_then(|rest| rest.rsplit_once('=')) {
        Some((_, level)) => level,
        None => directive,
    };
    LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_must_be_one() {
        for (level, fine) in [
            ("info", true),
            ("WARN", true),
            ("off", true),
            ("info,shardwright::leasing=debug", true),
            ("info,shardwright=trace", true),
            ("info, shardwright=trace", false),
            ("info,[shard{id=1}]=debug", true),
            ("verbose", false),
            ("shardwright", false),
            ("info,verbose", false),
            ("shardwright=verbose", false),
            ("shardwright=", false),
            ("[shard{id=debug}]", false),
            ("info,", false),
            ("", false),
        ] {
            assert_eq!(problem(level).is_none(), fine, "{level:?}: {:?}", problem(level));
        }
    }
}
