//! How cases ended, for people.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use super::super::{
    check::counted,
    talk::{Data, Unwritten},
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

/// Colours, on a terminal only.
struct Paint(bool);

impl Paint {
    fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(io::stdout().is_terminal() && !unwanted)
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn red(&self, text: &str) -> String {
        self.paint(31, text)
    }

    /// What is missing in red, what is new in green.
    fn diff(&self, text: &str) -> String {
        let line = |line: &str| match line.as_bytes().first() {
            Some(b'-') => self.paint(31, line),
            Some(b'+') => self.paint(32, line),
            Some(b'@') => self.paint(36, line),
            _ => line.to_owned(),
        };
        text.lines().map(|text| line(text) + "\n").collect()
    }
}
