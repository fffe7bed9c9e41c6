//! The files that a command reads.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::talk::{Unwritten, complain};

/// Why a file was left before its end.
pub(super) enum Stop {
    /// It cannot be read further.
    Input(io::Error),
    /// What came of it cannot be written.
    Output(Unwritten),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

impl From<Unwritten> for Stop {
    fn from(error: Unwritten) -> Self {
        Self::Output(error)
    }
}

/// Opens a file; `-` is standard input.
pub(super) fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    match file.as_os_str() == "-" {
        true => Ok(Box::new(io::stdin().lock())),
        false => Ok(Box::new(BufReader::new(File::open(file)?))),
    }
}

/// What messages call a file.
pub(super) fn name(file: &Path) -> String {
    match file.as_os_str() == "-" {
        true => "stdin".to_owned(),
        false => file.display().to_string(),
    }
}

/// Works through the files, or standard input if there are none. A file that cannot be read is
/// complained about and does not keep the others from being read; the answer says whether all were.
///
/// # Errors
/// When the work cannot write what it found.
pub(super) fn each(
    files: &[PathBuf],
    mut work: impl FnMut(&str, &mut dyn BufRead) -> Result<(), Stop>,
) -> Result<bool, Unwritten> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let mut all = true;
    for file in files {
        let name = name(file);
        let done = open(file).map_err(Stop::Input).and_then(|mut input| work(&name, &mut *input));
        match done {
            Ok(()) => {}
            Err(Stop::Output(error)) => return Err(error),
            Err(Stop::Input(error)) => {
                complain(format_args!("{name}: {error}"));
                all = false;
            }
        }
    }
    Ok(all)
}
