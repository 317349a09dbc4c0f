//! The file that farewells are kept in.
//!
//! What has changed is appended: a call costs a line or two, however many others are up. When most of the file is about calls
//! that are over it is written anew, beside its place, and put there in one step.
//! A thread does so, for everything that has changed meanwhile at once, so that signalling never waits for a disk; what has
//! to be written is one state, which a disk that hangs does not let grow. Nobody but its owner may read the file: it tells
//! who speaks with whom.

use super::{LIMIT, Left, Note};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The first line of the file.
const HEAD: &str = "Calls that are up, for the next start to end; written by Denwa, version 2.";
/// It is written so often at most; and no more than a tenth of the time.
const PAUSE: Duration = Duration::from_millis(20);
/// It grows to this, or to twice what it was when it was last written anew.
const FEW_BYTES: usize = 64 << 10;
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
        let left = Self::read(&path)?;
        let beside = beside(&path);
        create(&beside)?;
        std::fs::remove_file(&beside)?;
        let mut file = Growing { path, beside, written: Kept::new(), file: None };
        let put = move |kept: &Kept| {
            file.put(kept).map_err(|error| format!("{} cannot be written: {error}", file.path.display()))
        };
        Ok((Self::start(&left, put, on_failure)?, left))
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

/// The file, as far as it is written.
struct Growing {
    path: PathBuf,
    beside: PathBuf,
    /// What it says.
    written: Kept,
    /// What is appended to, how many bytes it has, and with how many it is written anew. `None`: it is to be written anew now.
    file: Option<(File, usize, usize)>,
}

impl Growing {
    fn put(&mut self, kept: &Kept) -> io::Result<()> {
        let mut text = String::new();
        for number in self.written.keys().filter(|number| !kept.contains_key(number)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\nover {number}");
        }
        for (number, left) in kept.iter().filter(|(number, _)| !self.written.contains_key(number)) {
            add(&mut text, *number, left);
        }
        // After a failure nobody knows how much of it is there: it is written anew then.
        self.file = match self.file.take() {
            Some((mut file, bytes, most)) if bytes.saturating_add(text.len()) <= most => {
                file.write_all(text.as_bytes())?;
                Some((file, bytes.saturating_add(text.len()), most))
            }
            _ => Some(self.put_anew(kept)?),
        };
        self.written.clone_from(kept);
        Ok(())
    }

    fn put_anew(&self, kept: &Kept) -> io::Result<(File, usize, usize)> {
        let mut text = format!("{HEAD}\n");
        kept.iter().for_each(|(number, left)| add(&mut text, *number, left));
        let mut file = create(&self.beside)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&self.beside, &self.path)?;
        Ok((file, text.len(), text.len().saturating_mul(2).max(FEW_BYTES)))
    }
}

fn add(text: &mut String, number: u64, Left { label, farewell }: &Left) {
    let farewell = farewell.to_string();
    let label: String = label.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    if farewell.len().saturating_add(label.len()) < ENTRY_BYTES {
        let _ = write!(text, "\ncall {number} {label}\n{farewell}");
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
    #[test]
    fn it_grows_by_what_changes_and_not_for_ever() {
        let folder = std::env::temp_dir().join(format!("denwa-journal-grows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("calls");
        let mut file =
            Growing { beside: beside(&path), path: path.clone(), written: Kept::new(), file: None };
        let (mut kept, mut before, mut anew) = (Kept::new(), 0, 0);
        // Ten calls are up at any time, of two thousand.
        for number in 0..2_000_u64 {
            kept.insert(number, Arc::new(left(&number.to_string())));
            if let Some(over) = number.checked_sub(10) {
                kept.remove(&over);
            }
            file.put(&kept).unwrap();
            let bytes = path.metadata().unwrap().len();
            assert!(bytes <= FEW_BYTES as u64);
            anew += u32::from(bytes < before);
            before = bytes;
        }
        assert!((1..10).contains(&anew), "all of it was written anew {anew} times");
        let expected: Vec<Left> = (1_990..2_000).map(|number: u64| left(&number.to_string())).collect();
        assert_eq!(Journal::read(&path).unwrap(), expected);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
