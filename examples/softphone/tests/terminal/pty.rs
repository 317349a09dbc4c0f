//! A program on a pseudo-terminal, and what stands on it.
#![allow(dead_code)]

pub(crate) use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pty {
    master: File,
    /// Kept open, so that the terminal outlives the program.
    slave: File,
    child: Child,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Pty {
    /// The program of this package with these arguments, its files in `folder`.
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> Self {
        Self::start_with(arguments, folder, &[])
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], folder: &Path, variables: &[(&str, String)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_softphone"))
            .args(arguments)
            .env_remove("SOFTPHONE_GUARDED_BY")
            .env("TERM", "xterm-256color")
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("TZ", "UTC")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let screen = Arc::new((Mutex::new(vt100::Parser::new(24, 80, 0)), Condvar::new()));
        let (mut from, to) = (master.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                to.0.lock().unwrap().process(&bytes[..length]);
                to.1.notify_all();
            }
        });
        Self { master, slave, child, screen }
    }

    /// What stands on the screen now.
    pub(crate) fn text(&self) -> String {
        self.screen.0.lock().unwrap().screen().contents()
    }

    /// Waits until this stands on it; the whole screen then.
    pub(crate) fn wait_for(&self, what: &str) -> String {
        self.wait_for_times(what, 1)
    }

    /// Waits until this stands on it so many times.
    pub(crate) fn wait_for_times(&self, what: &str, times: usize) -> String {
        let until = Instant::now() + PATIENCE;
        let mut parser = self.screen.0.lock().unwrap();
        loop {
            let text = parser.screen().contents();
            if text.matches(what).count() >= times {
                return text;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{what}` never stood there, but:\n{text}");
            parser = self.screen.1.wait_timeout(parser, left).unwrap().0;
        }
    }

    /// Presses keys, as a terminal sends them.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process that draws.
    pub(crate) fn child_of_guard(&self) -> u32 {
        let id = self.child.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, process: u32, signal: Signal) {
        let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Waits for the end of the program.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end:\n{}", self.text());
    }

    /// Waits until no such process runs.
    pub(crate) fn wait_until_gone(&self, process: u32) {
        let until = Instant::now() + PATIENCE;
        // A process that nobody has waited for is gone too.
        let runs = || {
            std::fs::read_to_string(format!("/proc/{process}/stat"))
                .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
        };
        while runs() {
            assert!(Instant::now() < until, "process {process} goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether lines are edited by the terminal: not in raw mode.
    pub(crate) fn is_canonical(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Lines are edited and echoed, the cursor is seen, and the first screen is back.
    pub(crate) fn assert_terminal_is_usable(&self) {
        assert!(self.is_canonical(), "raw mode is left");
        let until = Instant::now() + PATIENCE;
        loop {
            let parser = self.screen.0.lock().unwrap();
            let screen = parser.screen();
            if !screen.alternate_screen() && !screen.hide_cursor() {
                return;
            }
            assert!(
                Instant::now() < until,
                "alternate {}, hidden {}",
                screen.alternate_screen(),
                screen.hide_cursor()
            );
            drop(parser);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
