//! What was dialled before, latest last: gone through with the arrows, kept in a file between runs.

use std::io::{self, Write};
use std::path::Path;

/// Numbers kept.
const MOST: usize = 100;

/// The numbers dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    entries: Vec<String>,
    /// Which one is shown; `None` is what is being written.
    at: Option<usize>,
}

impl History {
    /// What a file says; none when there is no such file, or it cannot be read: a history is no reason not to telephone.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut history = Self::default();
        for line in text.lines() {
            history.add(line);
        }
        history
    }

    /// Writes the file, for its owner's eyes only.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        for entry in &self.entries {
            writeln!(file, "{entry}")?;
        }
        Ok(())
    }

    /// Adds a number; one that was there moves to the end.
    pub fn add(&mut self, number: &str) {
        self.at = None;
        let number = number.trim();
        if number.is_empty() || number.chars().any(char::is_control) {
            return;
        }
        self.entries.retain(|entry| entry != number);
        self.entries.push(number.to_owned());
        if self.entries.len() > MOST {
            self.entries.remove(0);
        }
    }

    /// The one before the one shown.
    pub fn earlier(&mut self) -> Option<&str> {
        let at = self.at.unwrap_or(self.entries.len()).checked_sub(1)?;
        self.at = Some(at);
        self.entries.get(at).map(String::as_str)
    }

    /// The one after the one shown; empty after the last.
    pub fn later(&mut self) -> Option<&str> {
        let at = self.at?.saturating_add(1);
        self.at = Some(at).filter(|at| *at < self.entries.len());
        Some(self.at.and_then(|at| self.entries.get(at)).map_or("", String::as_str))
    }

    /// Every number, the latest last.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_go_through_what_was_dialled() {
        let mut history = History::default();
        assert_eq!(history.earlier(), None);
        assert_eq!(history.later(), None);
        for number in ["200", "201", "200", " ", "117"] {
            history.add(number);
        }
        assert_eq!(history.entries(), ["201", "200", "117"]);
        assert_eq!(history.earlier(), Some("117"));
        assert_eq!(history.earlier(), Some("200"));
        assert_eq!(history.earlier(), Some("201"));
        assert_eq!(history.earlier(), None);
        assert_eq!(history.later(), Some("200"));
        assert_eq!(history.later(), Some("117"));
        assert_eq!(history.later(), Some(""));
        assert_eq!(history.earlier(), Some("117"));
        for number in 0..200 {
            history.add(&number.to_string());
        }
        assert_eq!(history.entries().len(), MOST);
    }

    #[test]
    fn it_is_kept_in_a_file() {
        let path =
            std::env::temp_dir().join(format!("softphone-history-{}", std::process::id())).join("dialled");
        let mut history = History::read(&path);
        history.add("sip:200@pbx.example");
        history.add("電話");
        history.write(&path).unwrap();
        assert_eq!(History::read(&path), history);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
