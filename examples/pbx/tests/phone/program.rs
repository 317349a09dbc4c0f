//! The program under test, started and stopped by its id.

use super::PATIENCE;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A running `pbx` in a folder of its own.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    pub folder: PathBuf,
    seen: Vec<String>,
}

/// A folder of its own for a test.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pbx-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A port for UDP and TCP that is dealt to no other test of this machine, nor by the kernel.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// So many of them in a row, and the first one.
pub fn free_ports(count: u16) -> u16 {
    static BLOCK: Mutex<Option<denwa_interop::Ports>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    block.get_or_insert_with(denwa_interop::Ports::block).take(count)
}

impl Program {
    /// Starts it with a configuration file in its folder, and waits until it says that it is ready.
    pub fn start(folder: PathBuf, file: &str) -> Self {
        fs::write(folder.join("pbx.toml"), file).unwrap();
        let mut program = Self::spawn(folder, &["--config", "pbx.toml"]);
        // The welcome comes by one stream and the log by the other, in any order.
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it over a folder where it ran before, with the file that is there.
    pub fn start_again(folder: PathBuf) -> Self {
        let mut program = Self::spawn(folder, &["--config", "pbx.toml"]);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it over a prepared folder, with more in its environment.
    pub fn start_with(folder: PathBuf, environment: &[(&str, &str)]) -> Self {
        let mut program = Self::spawn_with(folder, &["--config", "pbx.toml"], environment);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it under a limit of `prlimit`.
    pub fn start_limited(folder: PathBuf, limit: &str) -> Self {
        let mut program = Self::spawn_under(folder, &["prlimit", limit], &["--config", "pbx.toml"], &[]);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut does; its folder stays.
    pub fn kill(&mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::take(&mut self.folder)
    }

    pub fn spawn(folder: PathBuf, arguments: &[&str]) -> Self {
        Self::spawn_with(folder, arguments, &[])
    }

    fn spawn_with(folder: PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn_under(folder, &[], arguments, environment)
    }

    fn spawn_under(
        folder: PathBuf,
        before: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        // It ends with the test, also when that is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(before)
            .arg(env!("CARGO_BIN_EXE_pbx"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, folder, seen: Vec::new() }
    }

    /// Waits for a line that holds this text, and gives it.
    pub fn wait_for(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {text:?} among:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Everything printed so far.
    pub fn printed(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) -> PathBuf {
        self.signal("INT");
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.printed());
        std::mem::take(&mut self.folder)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
