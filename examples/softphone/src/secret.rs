//! Passwords: in the file, in a file of their own, in the environment, or asked for.

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Where a password comes from. What it is, is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It is this.
    Text(String),
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// Whoever sits there is asked.
    Prompt,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(file) => write!(f, "File({})", file.display()),
            Self::Environment(name) => write!(f, "Environment({name})"),
            Self::Prompt => f.write_str("Prompt"),
        }
    }
}

impl Secret {
    /// Fetches it; `whose` says for whom when somebody is asked.
    ///
    /// # Errors
    /// One sentence that says why it cannot be had.
    pub fn fetch(&self, whose: &str) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(file) => {
                let place = file.display();
                let text = std::fs::read_to_string(file).map_err(|error| {
                    format!("the password of {whose} cannot be read from {place}: {error}")
                })?;
                match text.lines().next() {
                    Some(line) if !line.is_empty() => Ok(line.to_owned()),
                    _ => Err(format!("the password of {whose} is not in {place}: its first line is empty")),
                }
            }
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                format!("the password of {whose} should be in the variable {name}, which is not set")
            }),
            Self::Prompt => prompt(&format!("Password of {whose}: ")),
        }
    }
}

/// Asks for a line that is not shown.
///
/// # Errors
/// There is nobody to ask, or the question was broken off.
pub fn prompt(question: &str) -> Result<String, String> {
    if !io::stdin().is_terminal() {
        return Err(format!("{question}there is no terminal to ask at: give it by file or environment"));
    }
    let failed = |error: io::Error| format!("the terminal fails: {error}");
    // Where the answer is typed is where the question is seen; another program may read the standard output.
    let mut screen: Box<dyn Write> =
        if io::stdout().is_terminal() { Box::new(io::stdout()) } else { Box::new(io::stderr()) };
    // Nothing is shown from before the question on: an answer may come early.
    crossterm::terminal::enable_raw_mode().map_err(failed)?;
    if let Err(error) = write!(screen, "{question}").and_then(|()| screen.flush()) {
        let _ = crossterm::terminal::disable_raw_mode();
        return Err(failed(error));
    }
    let answer = unseen_line();
    let restored = crossterm::terminal::disable_raw_mode();
    writeln!(screen).map_err(failed)?;
    restored.map_err(failed)?;
    answer.map_err(failed)?.ok_or_else(|| "no password was given".to_owned())
}

fn unseen_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    loop {
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(Some(line)),
            // A line that was ended before the terminal was asked for keys.
            KeyCode::Char('j' | 'm') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Ok(Some(line));
            }
            KeyCode::Esc => return Ok(None),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(None),
            KeyCode::Char(letter) => line.push(letter),
            KeyCode::Backspace => drop(line.pop()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_come_from_where_they_are_said_to_be() {
        let file = std::env::temp_dir().join(format!("softphone-secret-{}", std::process::id()));
        std::fs::write(&file, "hush\nmore\n").unwrap();
        assert_eq!(Secret::File(file.clone()).fetch("a@b"), Ok("hush".into()));
        std::fs::write(&file, "\n").unwrap();
        assert!(Secret::File(file.clone()).fetch("a@b").unwrap_err().contains("first line is empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(
            Secret::File(file).fetch("a@b").unwrap_err().starts_with("the password of a@b cannot be read")
        );
        let missing = Secret::Environment("SOFTPHONE_NO_SUCH_VARIABLE".into());
        assert!(missing.fetch("a@b").unwrap_err().contains("SOFTPHONE_NO_SUCH_VARIABLE, which is not set"));
        assert_eq!(Secret::Text("x".into()).fetch("a@b"), Ok("x".into()));
        assert_eq!(format!("{:?}", Secret::Text("x".into())), "Text(..)");
    }
}
