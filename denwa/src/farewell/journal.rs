//! The file that farewells are kept in.
//!
//! It is written whole each time, beside its place, and put there in one step: whoever reads it finds one state or the other.
//! A thread does so, for everything that has changed meanwhile at once, so that signalling never waits for a disk. Nobody but
//! its owner may read it: it tells who speaks with whom.

use super::{LIMIT, Left, Note};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The first line of the file.
const HEAD: &str = "Calls that are up, for the next start to end; written by Denwa, version 1.";
/// It is written so often at most; and, as many calls make a long file, no more than a tenth of the time.
const PAUSE: Duration = Duration::from_millis(20);
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
        let left = match File::open(&path) {
            Ok(file) => read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let beside = beside(&path);
        create(&beside)?;
        std::fs::remove_file(&beside)?;
        let kept: BTreeMap<u64, Left> = (0..).zip(left.iter().cloned()).collect();
        let (notes, received) = channel();
        let writer = Writer { path, beside, kept, on_failure, is_failing: false };
        let thread =
            thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&received))?;
        Ok((Self { notes: Some(notes), thread: Some(thread) }, left))
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
    on_failure: F,
    /// It could not be written the last time, and that was told.
    is_failing: bool,
}

impl<F: FnMut(String)> Writer<F> {
    fn run(mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            self.take(note);
            while let Ok(note) = notes.try_recv() {
                self.take(note);
            }
            let begun = Instant::now();
            let outcome = self.write();
            let pause = PAUSE.max(begun.elapsed().saturating_mul(9));
            if let (Err(error), false) = (&outcome, self.is_failing) {
                (self.on_failure)(format!("{} cannot be written: {error}", self.path.display()));
            }
            self.is_failing = outcome.is_err();
            thread::sleep(pause);
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Keep { number, left } if self.kept.len() < LIMIT => drop(self.kept.insert(number, *left)),
            Note::Keep { .. } => {}
            Note::Forget { number } => drop(self.kept.remove(&number)),
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut file = BufWriter::new(create(&self.beside)?);
        writeln!(file, "{HEAD}")?;
        for left in self.kept.values() {
            let text = left.farewell.to_string();
            let label: String = left.label.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
            if text.len().saturating_add(label.len()) < ENTRY_BYTES {
                write!(file, "\ncall {label}\n{text}")?;
            }
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(&self.beside, &self.path)
    }
}

fn read(file: File) -> io::Result<Vec<Left>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let entry = |entry: &str| {
        let (label, farewell) = entry.trim_start_matches('\n').strip_prefix("call ")?.split_once('\n')?;
        Some(Left { label: label.to_owned(), farewell: farewell.parse().ok()? })
    };
    Ok(text.split("\n\n").filter_map(entry).take(LIMIT).collect())
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
}
