//! Programs of others: found, started in a directory of their own, and ended by their process id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nothing here takes as long; reaching it means that the peer did not do what it should.
pub(crate) const PATIENCE: Duration = denwa_interop::PATIENCE;

/// Where a program is. `None` when it is not installed, which fails the test if peers are required.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let extra = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    let found = std::env::split_paths(&paths)
        .chain(extra)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var("DENWA_REQUIRE_PEERS").as_deref() != Ok("1"), "{name} is not installed");
        println!("{name} is not installed: passed over");
    }
    found
}

/// A directory that is removed with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("denwa-sdp-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that runs; it is ended with its owner.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command` with its output in `folder`.
    pub(crate) fn start(command: &mut Command, folder: &Folder, name: &str) -> Self {
        let log = folder.path().join(format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let home = folder.path();
        let child = command
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn stdin(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().unwrap()
    }

    /// Whether it ended by itself, and well, before our patience did.
    pub(crate) fn wait(&mut self) -> bool {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Politely first, so that a browser ends its own children.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let give_up = Instant::now() + Duration::from_secs(1);
        while Instant::now() < give_up {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// So many ports in a row, for UDP and TCP, that are dealt to no other test of this machine, nor by the kernel.
pub(crate) fn free_ports(count: u16) -> u16 {
    static BLOCK: Mutex<Option<denwa_interop::Ports>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    block.get_or_insert_with(denwa_interop::Ports::block).take(count)
}

/// One, and the one after it.
pub(crate) fn free_port() -> u16 {
    free_ports(2)
}

/// Writes a peer's description where captures are wanted.
pub(crate) fn capture(name: &str, body: &[u8]) {
    if let Some(folder) = std::env::var_os("DENWA_SDP_CAPTURE") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.sdp")), body).unwrap();
    }
}

/// Minutes of a quiet tone, mono, 16 bits, for peers that want a file for a microphone, and hang up at its end.
pub(crate) fn tone_wav(rate: u32) -> Vec<u8> {
    let samples: Vec<u8> = (0..120 * rate)
        .map(|at| ((f64::from(at) / f64::from(rate) * 440.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16)
        .flat_map(i16::to_le_bytes)
        .collect();
    let length = samples.len() as u32;
    let mut out = Vec::new();
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + length).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(rate * 2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&samples);
    out
}
