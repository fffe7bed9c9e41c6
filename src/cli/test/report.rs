//! How cases ended, for people.

use std::fmt::Write;

use super::super::{
    check::counted,
    talk::{Data, Paint, Unwritten},
};

/// How a case ended.
pub(super) enum Verdict {
    /// With so many outcomes, all as expected.
    Ok(usize),
    /// Otherwise than expected; the file says now what came.
    Updated,
    /// Otherwise than expected.
    Differs(String),
    /// It could not be held against anything.
    Broken(String),
}

/// A line for each case, then what is wrong with those that failed, then the sum.
pub(super) fn report(out: &mut Data, verdicts: &[(String, Verdict)]) -> Result<bool, Unwritten> {
    let paint = Paint::of_stdout();
    let mut failed = 0usize;
    let mut updated = 0usize;
    for (name, verdict) in verdicts {
        let line = match verdict {
            Verdict::Ok(outcomes) => {
                format!("ok      {name} ({})\n", counted(*outcomes, "outcome"))
            }
            Verdict::Updated => format!("updated {name}\n"),
            Verdict::Differs(_) | Verdict::Broken(_) => {
                paint.red(&format!("FAILED  {name}")) + "\n"
            }
        };
        updated += usize::from(matches!(verdict, Verdict::Updated));
        failed += usize::from(matches!(verdict, Verdict::Differs(_) | Verdict::Broken(_)));
        out.write(line.as_bytes())?;
    }
    for (name, verdict) in verdicts {
        if let Verdict::Differs(problem) | Verdict::Broken(problem) = verdict {
            let problem = paint.diff(problem);
            out.write(format!("\n--- {name}\n{}\n", problem.trim_end()).as_bytes())?;
        }
    }
    let all = verdicts.len();
    let mut sum = format!("\n{}: {} ok", counted(all, "case"), all - failed - updated);
    if updated > 0 {
        let _ = write!(sum, ", {updated} updated");
    }
    if failed > 0 {
        let _ = write!(sum, ", {failed} failed");
    }
    out.write(format!("{sum}\n").as_bytes())?;
    out.flush()?;
    Ok(failed == 0)
}
