//! The files themselves.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use denwa::bridge::Sound;
use denwa_codecs::wav;

use super::{Answer, CabinetConfig, Request};
use crate::services::script::Message;

/// Samples a second of everything kept here.
const RATE_HZ: u32 = 8_000;

/// Octets before the samples of a WAV file.
const WAV_HEADER: u64 = 44;

pub(super) struct Shelf {
    config: CabinetConfig,
    recordings: HashMap<u64, Recording>,
    /// Octets of recordings, as far as is known.
    used: u64,
}

enum Recording {
    Open(Box<wav::Recorder<BufWriter<File>>>),
    /// It could not be written, and is told once.
    GivenUp,
}

impl Shelf {
    pub(super) fn new(config: CabinetConfig) -> Self {
        Self { config, recordings: HashMap::new(), used: 0 }
    }

    pub(super) fn carry_out(&mut self, request: Request, answer: &mut impl FnMut(Answer)) {
        let changed = match request {
            Request::Keep { mailbox, caller, at, samples } => self.keep(&mailbox, &caller, at, &samples),
            Request::MarkHeard { mailbox, name } => {
                let path = self.message(&mailbox, &name);
                let heard = path.with_file_name(name.replace(".new.wav", ".old.wav"));
                fs::rename(&path, heard).map_err(|error| format!("{}: {error}", path.display()))
            }
            Request::Delete { mailbox, name } => {
                let path = self.message(&mailbox, &name);
                fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
            }
            Request::Load { call, mailbox, name } => {
                let sound = File::open(self.message(&mailbox, &name))
                    .ok()
                    .and_then(|file| wav::read(file).ok())
                    .map(|sound| Sound::new(sound.samples, sound.sample_rate_hz));
                return answer(Answer::Loaded { call, sound });
            }
            Request::Record { call, began, samples } => {
                if let Err(error) = self.record(call, began, &samples) {
                    answer(Answer::Failed(format!("the recording of call {call} ends: {error}")));
                }
                return;
            }
            Request::EndRecording { call } => {
                if let Some(Recording::Open(recorder)) = self.recordings.remove(&call)
                    && let Err(error) = recorder.finish()
                {
                    answer(Answer::Failed(format!("the recording of call {call}: {error}")));
                }
                return;
            }
        };
        if let Err(error) = changed {
            answer(Answer::Failed(format!("voicemail: {error}")));
        }
        answer(Answer::Mailboxes(self.mailboxes()));
    }

    /// Every message, the oldest first.
    pub(super) fn mailboxes(&self) -> BTreeMap<String, Vec<Message>> {
        let mut all = BTreeMap::new();
        for folder in entries(&self.config.folder.join("voicemail")) {
            let Some(number) = folder.file_name().and_then(|name| name.to_str()) else { continue };
            let mut messages: Vec<Message> =
                entries(&folder).iter().filter_map(|path| message(path)).collect();
            messages.sort_by(|one, other| one.name.cmp(&other.name));
            if !messages.is_empty() {
                all.insert(number.to_owned(), messages);
            }
        }
        all
    }

    fn message(&self, mailbox: &str, name: &str) -> PathBuf {
        // Both are file names that this program chose; a separator would lead out of the folder.
        let plain = |text: &str| text.replace(['/', '\\'], "_");
        self.config.folder.join("voicemail").join(plain(mailbox)).join(plain(name))
    }

    fn keep(&self, mailbox: &str, caller: &str, at: SystemTime, samples: &[i16]) -> Result<(), String> {
        let milliseconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let path = self.message(mailbox, &format!("{milliseconds:015}-{caller}.new.wav"));
        let failed = |error: String| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let file = File::create(&path).map_err(|error| failed(error.to_string()))?;
        let mut recorder = wav::Recorder::new(BufWriter::new(file), RATE_HZ, 1)
            .map_err(|error| failed(error.to_string()))?;
        let written = recorder.write(samples).and_then(|()| recorder.finish());
        if let Err(error) = written {
            // Half a message would be listened to as if it were whole.
            let _ = fs::remove_file(&path);
            return Err(failed(error.to_string()));
        }
        self.run_hook(mailbox, caller, &path);
        Ok(())
    }

    fn run_hook(&self, mailbox: &str, caller: &str, path: &Path) {
        if self.config.hook.is_empty() {
            return;
        }
        // It runs by itself; its end is awaited so that it leaves no zombie.
        if let Ok(mut child) = Command::new(&self.config.hook).args([mailbox, caller]).arg(path).spawn() {
            std::thread::spawn(move || child.wait());
        }
    }

    fn record(&mut self, call: u64, began: SystemTime, samples: &Sound) -> Result<(), String> {
        if !self.recordings.contains_key(&call) {
            let recording = self.open(call, began);
            let failed = recording.as_ref().err().cloned();
            self.recordings.insert(call, recording.unwrap_or(Recording::GivenUp));
            if let Some(error) = failed {
                return Err(error);
            }
        }
        let Some(Recording::Open(recorder)) = self.recordings.get_mut(&call) else { return Ok(()) };
        // A recording is whole up to its last second even when the program dies.
        let written = recorder.write(samples.samples()).and_then(|()| recorder.flush());
        self.used += samples.samples().len() as u64 * 2;
        let error = match written {
            Ok(()) if self.used <= self.config.quota => return Ok(()),
            Ok(()) => full(self.used),
            Err(error) => error.to_string(),
        };
        if let Some(Recording::Open(recorder)) = self.recordings.insert(call, Recording::GivenUp) {
            recorder.finish().map_err(|error| error.to_string())?;
        }
        Err(error)
    }

    fn open(&mut self, call: u64, began: SystemTime) -> Result<Recording, String> {
        let folder = self.config.recordings.clone().unwrap_or_else(|| self.config.folder.join("recordings"));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // The operator may have made room meanwhile.
        self.used = entries(&folder).iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
        if self.used >= self.config.quota {
            return Err(full(self.used));
        }
        let seconds = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = folder.join(format!("{seconds}-call-{call}.wav"));
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let recorder =
            wav::Recorder::new(BufWriter::new(file), RATE_HZ, 2).map_err(|error| error.to_string())?;
        Ok(Recording::Open(Box::new(recorder)))
    }
}

fn full(used: u64) -> String {
    format!("{used} octets of recordings are there, as many as may be")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn message(path: &Path) -> Option<Message> {
    let name = path.file_name()?.to_str()?;
    let (rest, is_new) = match (name.strip_suffix(".new.wav"), name.strip_suffix(".old.wav")) {
        (Some(rest), _) => (rest, true),
        (_, Some(rest)) => (rest, false),
        _ => return None,
    };
    let (_, caller) = rest.split_once('-')?;
    let octets = fs::metadata(path).ok()?.len().saturating_sub(WAV_HEADER);
    let lasts = Duration::from_millis(octets / 2 / u64::from(RATE_HZ / 1_000));
    Some(Message { name: name.to_owned(), caller: caller.to_owned(), is_new, lasts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(name: &str, quota: u64, hook: &str) -> (Shelf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("pbx-shelf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let config = CabinetConfig { folder: folder.clone(), recordings: None, quota, hook: hook.to_owned() };
        (Shelf::new(config), folder)
    }

    fn carry_out(shelf: &mut Shelf, request: Request) -> Vec<Answer> {
        let mut answers = Vec::new();
        shelf.carry_out(request, &mut |answer| answers.push(answer));
        answers
    }

    fn second(call: u64) -> Request {
        let samples = Sound::new(vec![100_i16; 16_000], RATE_HZ);
        Request::Record { call, began: SystemTime::UNIX_EPOCH, samples }
    }

    #[test]
    fn recordings_end_when_the_quota_is_used_up_and_go_on_when_there_is_room() {
        let (mut shelf, folder) = shelf("quota", 80_000, "");
        assert_eq!((carry_out(&mut shelf, second(1)), carry_out(&mut shelf, second(1))), (vec![], vec![]));
        let failed = carry_out(&mut shelf, second(1));
        assert!(
            matches!(&failed[..], [Answer::Failed(cause)] if cause.contains("as many as may be")),
            "{failed:?}"
        );
        // It is told once; what was recorded so far is whole.
        assert_eq!(carry_out(&mut shelf, second(1)), vec![]);
        assert_eq!(carry_out(&mut shelf, Request::EndRecording { call: 1 }), vec![]);
        let recorded: Vec<PathBuf> = entries(&folder.join("recordings"));
        let sound = wav::read(File::open(&recorded[0]).unwrap()).unwrap();
        // Three seconds: it ends with what went over.
        assert_eq!((recorded.len(), sound.samples.len()), (1, 24_000));
        assert!(matches!(carry_out(&mut shelf, second(2))[..], [Answer::Failed(_)]));
        fs::remove_file(&recorded[0]).unwrap();
        assert_eq!(carry_out(&mut shelf, second(3)), vec![]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_hook_is_run_with_mailbox_caller_and_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_, folder) = shelf("hook", 1, "");
        let (hook, told) = (folder.join("hook"), folder.join("told"));
        fs::write(
            &hook,
            format!("#!/bin/sh\nprintf '%s|' \"$@\" > {0}.part && mv {0}.part {0}\n", told.display()),
        )
        .unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
        let config = CabinetConfig {
            folder: folder.clone(),
            recordings: None,
            quota: 1,
            hook: hook.display().to_string(),
        };
        let mut shelf = Shelf::new(config);
        let (mailbox, caller) = ("1002".to_owned(), "1001".to_owned());
        let keep = Request::Keep { mailbox, caller, at: SystemTime::UNIX_EPOCH, samples: vec![1; 8_000] };
        let answers = carry_out(&mut shelf, keep);
        assert!(matches!(&answers[..], [Answer::Mailboxes(all)] if all["1002"][0].is_new), "{answers:?}");
        let text = std::iter::repeat_with(|| fs::read_to_string(&told).ok()).flatten().next().unwrap();
        let words: Vec<&str> = text.split('|').collect();
        assert_eq!((words[0], words[1]), ("1002", "1001"));
        assert_eq!(wav::read(File::open(words[2]).unwrap()).unwrap().samples.len(), 8_000);
        fs::remove_dir_all(folder).unwrap();
    }
}
