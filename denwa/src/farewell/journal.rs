//! The file that farewells are kept in.
//!
//! What changes is appended: a call costs a line or two, however many others are up. When most of the file is about calls that
//! are over, it is written anew, beside its place, and put there in one step. A thread does so, for everything that has changed
//! meanwhile at once, so that signalling never waits for a disk. Nobody but its owner may read it: it tells who speaks with whom.

use super::{LIMIT, Left, Note};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The first line of the file.
const HEAD: &str = "Calls that are up, for the next start to end; written by Denwa, version 2.";
/// It is written so often at most; and no more than a tenth of the time.
const PAUSE: Duration = Duration::from_millis(20);
/// It grows to this, or to twice what it was when it was last written anew.
const FEW_BYTES: usize = 64 << 10;
/// An entry is no longer than this; whoever sends such a Contact or route is not written down.
const ENTRY_BYTES: usize = 8 << 10;
/// No more of a file is read.
const FILE_BYTES: u64 = 64 << 20;

/// The file, and the thread that writes it. Dropping it writes what is not written yet.
#[derive(Debug)]
pub struct Journal {
    notes: Option<Sender<Note>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Reads what a former run left, and is ready to write; the file changes with the first note. Lines that no version has
    /// written are passed over. `on_failure` is told, in one sentence, that the file can no longer be written.
    ///
    /// # Errors
    /// When the file cannot be read, or no file can be written beside it.
    pub fn open(
        path: impl Into<PathBuf>,
        on_failure: impl FnMut(String) + Send + 'static,
    ) -> io::Result<(Self, Vec<Left>)> {
        let path = path.into();
        let left = Self::read(&path)?;
        let beside = beside(&path);
        create(&beside)?;
        std::fs::remove_file(&beside)?;
        let kept: BTreeMap<u64, Left> = (0..).zip(left.iter().cloned()).collect();
        let (notes, received) = channel();
        let writer = Writer { path, beside, kept, file: None, on_failure, is_failing: false };
        let thread =
            thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&received))?;
        Ok((Self { notes: Some(notes), thread: Some(thread) }, left))
    }

    /// What a file says now, which may be one that a running program writes; nothing where there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Vec<Left>> {
        match File::open(path) {
            Ok(file) => read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes this down soon.
    pub fn note(&self, note: Note) {
        if let Some(notes) = &self.notes {
            // The thread ends after this one has let go of it.
            let _ = notes.send(note);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.notes.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked writes no more.
            let _ = thread.join();
        }
    }
}

/// The thread's.
struct Writer<F> {
    path: PathBuf,
    beside: PathBuf,
    kept: BTreeMap<u64, Left>,
    /// What is appended to; `None`: the file is to be written anew.
    file: Option<Growing>,
    on_failure: F,
    /// It could not be written the last time, and that was told.
    is_failing: bool,
}

struct Growing {
    file: File,
    bytes: usize,
    /// When it has so many it is written anew.
    most: usize,
}

impl<F: FnMut(String)> Writer<F> {
    fn run(mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            let mut changed = BTreeSet::from([self.take(note)]);
            changed.extend(notes.try_iter().map(|note| self.take(note)));
            let begun = Instant::now();
            let outcome = self.write(&changed);
            let pause = PAUSE.max(begun.elapsed().saturating_mul(9));
            if let (Err(error), false) = (&outcome, self.is_failing) {
                (self.on_failure)(format!("{} cannot be written: {error}", self.path.display()));
            }
            self.is_failing = outcome.is_err();
            thread::sleep(pause);
        }
    }

    /// Which it was about.
    fn take(&mut self, note: Note) -> u64 {
        match note {
            Note::Keep { number, left } => {
                if self.kept.len() < LIMIT {
                    self.kept.insert(number, *left);
                }
                number
            }
            Note::Forget { number } => {
                self.kept.remove(&number);
                number
            }
        }
    }

    fn write(&mut self, changed: &BTreeSet<u64>) -> io::Result<()> {
        let text = self.text_of(changed.iter().copied());
        // After a failure nobody knows how much of it is there: it is written anew then.
        self.file = match self.file.take() {
            Some(mut growing) if growing.bytes.saturating_add(text.len()) <= growing.most => {
                growing.file.write_all(text.as_bytes())?;
                growing.bytes = growing.bytes.saturating_add(text.len());
                Some(growing)
            }
            _ => Some(self.write_anew()?),
        };
        Ok(())
    }

    fn write_anew(&self) -> io::Result<Growing> {
        let text = format!("{HEAD}\n{}", self.text_of(self.kept.keys().copied()));
        let mut file = create(&self.beside)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&self.beside, &self.path)?;
        Ok(Growing { file, bytes: text.len(), most: text.len().saturating_mul(2).max(FEW_BYTES) })
    }

    /// What the file says of these.
    fn text_of(&self, numbers: impl Iterator<Item = u64>) -> String {
        let mut text = String::new();
        for number in numbers {
            // Writing to a string cannot fail.
            let _ = match self.kept.get(&number) {
                Some(Left { label, farewell }) => {
                    let label: String =
                        label.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
                    let farewell = farewell.to_string();
                    if farewell.len().saturating_add(label.len()) >= ENTRY_BYTES {
                        continue;
                    }
                    write!(text, "\ncall {number} {label}\n{farewell}")
                }
                None => write!(text, "\nover {number}\n"),
            };
        }
        text
    }
}

fn read(file: File) -> io::Result<Vec<Left>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut left = BTreeMap::new();
    for entry in text.split("\n\n").map(|entry| entry.trim_matches('\n')) {
        if let Some(number) = entry.strip_prefix("over ").and_then(|number| number.parse::<u64>().ok()) {
            left.remove(&number);
        } else if let Some((number, call)) = call(entry)
            && left.len() < LIMIT
        {
            left.insert(number, call);
        }
    }
    Ok(left.into_values().collect())
}

fn call(entry: &str) -> Option<(u64, Left)> {
    let (first, farewell) = entry.strip_prefix("call ")?.split_once('\n')?;
    let (number, label) = first.split_once(' ')?;
    let left = Left { label: label.to_owned(), farewell: farewell.parse().ok()? };
    Some((number.parse().ok()?, left))
}

/// Where the file is written before it is put in its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "to UDP 192.0.2.1:5060 192.0.2.9:5060\nBYE sip:bob@192.0.2.1 SIP/2.0\nMax-Forwards: 70\n\
                        From: <sip:a@192.0.2.9>;tag=1\nTo: <sip:bob@192.0.2.1>;tag=2\nCall-ID: x\nCSeq: 2000 BYE\nContent-Length: 0\n";

    fn left(label: &str) -> Left {
        Left { label: label.to_owned(), farewell: TEXT.parse().unwrap() }
    }

    fn open(path: &Path) -> (Journal, Vec<Left>) {
        Journal::open(path, |sentence| panic!("{sentence}")).unwrap()
    }

    #[test]
    fn what_is_noted_is_read_at_the_next_start() {
        let folder = std::env::temp_dir().join(format!("denwa-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("calls");
        let (journal, before) = open(&path);
        assert!(before.is_empty() && !path.exists(), "nothing is written before there is something to write");
        for (number, label) in [(0, "inside"), (1, "out side"), (2, "forgotten")] {
            journal.note(Note::Keep { number, left: Box::new(left(label)) });
        }
        journal.note(Note::Forget { number: 2 });
        drop(journal);
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777,
            0o600
        );
        let (journal, read) = open(&path);
        assert_eq!(read, [left("inside"), left("out side")]);
        // What was left is named by its place.
        journal.note(Note::Forget { number: 0 });
        drop(journal);
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(open(&path).1, [left("out side")]);
        // A file cut off anywhere, or of somebody else, leaves what can be read.
        for end in 0..whole.len() {
            std::fs::write(&path, &whole.as_bytes()[..end]).unwrap();
            assert!(open(&path).1.len() <= 1, "{end}");
        }
        std::fs::write(&path, format!("\u{fffd}\n\ncall x\nto nobody\n\n{whole}")).unwrap();
        assert_eq!(open(&path).1, [left("out side")]);
        // Where nothing can be written is said at once.
        assert!(Journal::open(folder.join("nowhere").join("calls"), |_| {}).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn it_grows_by_what_changes_and_not_for_ever() {
        let folder = std::env::temp_dir().join(format!("denwa-journal-grows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("calls");
        let mut writer = Writer {
            beside: beside(&path),
            path: path.clone(),
            kept: BTreeMap::new(),
            file: None,
            on_failure: |sentence| panic!("{sentence}"),
            is_failing: false,
        };
        let mut anew = 0;
        let mut note = |writer: &mut Writer<_>, note| {
            let before = writer.file.as_ref().map_or(0, |file| file.bytes);
            let number = writer.take(note);
            writer.write(&BTreeSet::from([number])).unwrap();
            let bytes = writer.file.as_ref().unwrap().bytes;
            assert_eq!(path.metadata().unwrap().len(), bytes as u64);
            assert!(bytes <= FEW_BYTES);
            anew += u32::from(bytes < before);
        };
        // Ten calls are up at any time, of two thousand.
        for number in 0..2_000 {
            note(&mut writer, Note::Keep { number, left: Box::new(left(&number.to_string())) });
            if let Some(number) = number.checked_sub(10) {
                note(&mut writer, Note::Forget { number });
            }
        }
        let bytes = 2_000 * left("1000").farewell.to_string().len();
        assert!((1..10).contains(&anew), "{bytes} bytes were written, and all of it anew {anew} times");
        let expected: Vec<Left> = (1_990..2_000).map(|number: u64| left(&number.to_string())).collect();
        assert_eq!(open(&path).1, expected);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
