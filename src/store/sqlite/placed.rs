//! Whether a database that is open is still the one in its place. A file that was taken away or replaced lives on for
//! whoever has it open: what is written to it then is acknowledged and found nowhere after the next start.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::super::StoreError;

/// A file that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    path: PathBuf,
    device: u64,
    number: u64,
    had_bytes: bool,
}

impl Placed {
    /// The file that is there now.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let told = |error| StoreError::Unavailable(format!("cannot look at {}: {error}", path.display()));
        let about = fs::metadata(path).map_err(told)?;
        let (device, number, had_bytes) = (about.dev(), about.ino(), about.len() > 0);
        Ok(Self { path: path.to_owned(), device, number, had_bytes })
    }

    /// Refuses when another one is there now, or none, or it was emptied. It is one look at the directory.
    pub(super) fn must_hold(&self) -> Result<(), StoreError> {
        let is_it = |about: &Metadata| (about.dev(), about.ino()) == (self.device, self.number);
        let what = match fs::metadata(&self.path) {
            Ok(about) if !is_it(&about) => "was replaced",
            Ok(about) if self.had_bytes && about.len() == 0 => "was emptied",
            Ok(_) => return Ok(()),
            Err(_) => "was taken away",
        };
        Err(StoreError::Unavailable(format!(
            "{} {what} while the site runs, and nothing more is written: stop the site, put back the file that was there, \
             or its newest copy, and start again",
            self.path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_taken_away_replaced_or_emptied_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (file, aside) = (directory.path().join("log.db"), directory.path().join("aside"));
        fs::write(&file, "rows").unwrap();
        let placed = Placed::of(&file).unwrap();
        let told = || placed.must_hold().unwrap_err().to_string();
        placed.must_hold().unwrap();
        fs::rename(&file, &aside).unwrap();
        assert!(told().contains("log.db was taken away while the site runs"), "{}", told());
        fs::write(&file, "rows").unwrap();
        assert!(told().contains("was replaced"), "{}", told());
        fs::rename(&aside, &file).unwrap();
        placed.must_hold().unwrap();
        fs::write(&file, "").unwrap();
        assert!(told().contains("was emptied"), "{}", told());
    }
}
