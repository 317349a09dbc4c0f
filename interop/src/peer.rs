//! Running programs: found, started in a process group of their own, waited on by their log, ended by id.

use std::{
    env, fs,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a test waits for anything before it gives up. A busy machine takes its time, and whoever does not come at all is not
/// waited for longer than this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether `program` is on the path. When it is not: prints so, and fails the test where `DENWA_REQUIRE_PEERS=1`.
///
/// # Panics
/// When the peer is absent and required.
#[must_use]
pub fn require(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).is_file());
    if !found {
        let required = env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "{program} is not installed and DENWA_REQUIRE_PEERS=1");
        eprintln!("{program} is not installed: this test proves nothing here");
    }
    found
}

/// Tries `done` every 20 ms until it is true; false when `limit` has passed.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a call that goes by the clock, again when what it lacked may have been the machine's fault, busy as it was just then: what is
/// wrong by itself is wrong each time.
///
/// # Panics
/// When something was lacking each time.
pub fn at_last(call: impl Fn() -> Result<(), String>) {
    let lacked: Vec<String> = (0..4).map_while(|_| call().err()).collect();
    assert!(lacked.len() < 4, "{lacked:#?}");
}

/// A folder of a test's own, removed when it is dropped unless the test is failing.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder below the system's temporary one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("denwa-{name}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what the peers wrote is kept in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A running program whose output goes to a log; ended with its whole process group when dropped.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts `command` with standard output and error in `<folder>/<name>.log`, with nothing on its input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        Self::spawn(name, folder, command.stdin(Stdio::null()))
    }

    /// The same for a program that is steered over its input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_with_input(name: &str, folder: &Path, command: &mut Command) -> (Self, ChildStdin) {
        let mut peer = Self::spawn(name, folder, command.stdin(Stdio::piped()));
        let input = peer.child.stdin.take().expect("its input is a pipe");
        (peer, input)
    }

    fn spawn(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file =
            File::options().create(true).append(true).open(&log).expect("the scratch folder is writable");
        let child = command
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the log has `text`.
    ///
    /// # Panics
    /// When it has not within `limit`, with the log's end.
    pub fn wait_for(&self, text: &str, limit: Duration) {
        if !wait_until(limit, || self.log().contains(text)) {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            panic!("{} never said {text:?}; its last lines:\n{}", self.name, tail.join("\n"));
        }
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for it to end by itself; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Sends SIGTERM and waits; after twenty seconds SIGKILL. The status with which it ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let status = self.wait(Duration::from_secs(20));
        if status.is_none() {
            self.signal(Signal::KILL);
            return self.wait(Duration::from_secs(20));
        }
        status
    }

    /// Sends SIGUSR1, by which a program may be asked how it is.
    pub fn ask(&self) {
        self.signal(Signal::USR1);
    }

    /// Lets it stand still, as a machine that hangs does: its sockets stay open, and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it without a chance to say good-bye.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.alive() {
            self.stop();
        }
        // Whatever it left behind in its group goes too.
        self.signal(Signal::KILL);
    }
}
