//! The file that farewells are kept in.
//!
//! It is written whole each time, beside its place, and put there in one step: whoever reads it finds one state or the other.
//! A thread does so, for everything that has changed meanwhile at once, so that signalling never waits for a disk; what has
//! to be written is one state, which a disk that hangs does not let grow. Nobody but its owner may read the file: it tells
//! who speaks with whom.

use super::{LIMIT, Left, Note};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The first line of the file.
const HEAD: &str = "Calls that are up, for the next start to end; written by Denwa, version 1.";
/// It is written so often at most; and, as many calls make a long file, no more than a tenth of the time.
const PAUSE: Duration = Duration::from_millis(20);
/// So long the end waits for what is not written yet: a disk that hangs keeps no program from ending.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// An entry is no longer than this; whoever sends such a Contact or route is not written down.
const ENTRY_BYTES: usize = 8 << 10;
/// No more of a file is read.
const FILE_BYTES: u64 = 64 << 20;

/// The file, and the thread that writes it. Dropping it writes what is not written yet, if the disk takes it within five
/// seconds.
#[derive(Debug)]
pub struct Journal {
    desk: Arc<Desk>,
}

/// What is to stand in the file.
type Kept = BTreeMap<u64, Arc<Left>>;

/// Where the notes lie for the thread that writes.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    /// It is not what the thread has seen.
    is_new: bool,
    /// No note will come any more.
    is_closed: bool,
    /// The thread has ended.
    is_done: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // A map is whole between any two operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let put = move |kept: &Kept| {
            write(kept, &path, &beside)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))
        };
        Ok((Self::start(&left, put, on_failure)?, left))
    }

    /// Begins with what was left; `put` writes a state.
    fn start(
        left: &[Left],
        put: impl FnMut(&Kept) -> Result<(), String> + Send + 'static,
        on_failure: impl FnMut(String) + Send + 'static,
    ) -> io::Result<Self> {
        let kept = (0..).zip(left.iter().cloned().map(Arc::new)).collect();
        let desk =
            Arc::new(Desk { state: Mutex::new(State { kept, ..State::default() }), ..Desk::default() });
        let writer = Writer { desk: desk.clone(), put, on_failure };
        thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        Ok(Self { desk })
    }

    /// Writes this down soon. Calls beyond ten thousand are not.
    pub fn note(&self, note: Note) {
        let mut state = self.desk.state();
        match note {
            Note::Keep { number, left } if state.kept.len() < LIMIT => {
                state.kept.insert(number, Arc::new(*left));
            }
            Note::Keep { .. } => return,
            Note::Forget { number } => drop(state.kept.remove(&number)),
        }
        state.is_new = true;
        drop(state);
        self.desk.changed.notify_all();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.is_closed = true;
        self.desk.changed.notify_all();
        let until_done = |state: &mut State| !state.is_done;
        drop(self.desk.changed.wait_timeout_while(state, LAST_WRITE, until_done));
    }
}

/// The thread's.
struct Writer<P, F> {
    desk: Arc<Desk>,
    put: P,
    on_failure: F,
}

impl<P: FnMut(&Kept) -> Result<(), String>, F: FnMut(String)> Writer<P, F> {
    fn run(mut self) {
        // It could not be written the last time, and that was told.
        let mut is_failing = false;
        while let Some(kept) = self.next() {
            let begun = Instant::now();
            let outcome = (self.put)(&kept);
            let pause = PAUSE.max(begun.elapsed().saturating_mul(9));
            let failed = outcome.is_err();
            if let (Err(sentence), false) = (outcome, is_failing) {
                (self.on_failure)(sentence);
            }
            is_failing = failed;
            let closed = |state: &mut State| !state.is_closed;
            drop(self.desk.changed.wait_timeout_while(self.desk.state(), pause, closed));
        }
    }

    /// The latest state, once it is another; `None` when that was the last.
    fn next(&self) -> Option<Kept> {
        let idle = |state: &mut State| !state.is_new && !state.is_closed;
        let state = self.desk.changed.wait_while(self.desk.state(), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.is_new).then(|| state.kept.clone())
    }
}

impl<P, F> Drop for Writer<P, F> {
    /// By a panic too, which must not keep the program from its end.
    fn drop(&mut self) {
        self.desk.state().is_done = true;
        self.desk.changed.notify_all();
    }
}

fn write(kept: &Kept, path: &Path, beside: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(create(beside)?);
    writeln!(file, "{HEAD}")?;
    for left in kept.values() {
        let text = left.farewell.to_string();
        let label: String = left.label.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        if text.len().saturating_add(label.len()) < ENTRY_BYTES {
            write!(file, "\ncall {label}\n{text}")?;
        }
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(beside, path)
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

    /// A disk that takes minutes for a write: what waits for it is what is up now, and nothing of what is over.
    #[test]
    fn a_disk_that_hangs_gathers_nothing() {
        use std::sync::mpsc::channel;
        let (begun, begins) = channel();
        let (goes_on, go_on) = channel::<()>();
        let put = move |kept: &Kept| {
            begun.send(kept.keys().copied().collect::<Vec<_>>()).unwrap();
            go_on.recv().map_err(|_| "the disk is gone".to_owned())
        };
        let journal = Journal::start(&[left("former")], put, |sentence| panic!("{sentence}")).unwrap();
        let keep = |number| journal.note(Note::Keep { number, left: Box::new(left("x")) });
        keep(1);
        assert_eq!(begins.recv(), Ok(vec![0, 1]));
        // The first write hangs, and a day of calls goes by, two of them at a time.
        for number in 2..20_000 {
            keep(number);
            journal.note(Note::Forget { number: number - 2 });
            assert_eq!(journal.desk.state().kept.len(), 2);
        }
        goes_on.send(()).unwrap();
        assert_eq!(begins.recv(), Ok(vec![19_998, 19_999]), "one write for all of it");
        // More calls than are written down.
        for number in 20_000..50_000 {
            keep(number);
        }
        assert_eq!(journal.desk.state().kept.len(), LIMIT);
        goes_on.send(()).unwrap();
        assert_eq!(begins.recv().map(|kept| kept.len()), Ok(LIMIT));
        goes_on.send(()).unwrap();
        drop(journal);
    }
}
