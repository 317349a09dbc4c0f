//! The files themselves.

use std::collections::{BTreeMap, HashMap, VecDeque};
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

/// Characters of a caller in the name of a file, which may have 255 octets.
const LONGEST_CALLER: usize = 40;

/// Octets before the samples of a WAV file.
const WAV_HEADER: u64 = 44;

/// The most samples of messages that wait in memory for room on the disk: an hour and ten minutes.
const MOST_WAITING: usize = 32 << 20;

pub(super) struct Shelf {
    config: CabinetConfig,
    recordings: HashMap<u64, Recording>,
    /// Messages that could not be written, the oldest first.
    waiting: VecDeque<Kept>,
    /// Octets of recordings, as far as is known.
    used: u64,
}

/// A message.
struct Kept {
    mailbox: String,
    caller: String,
    at: SystemTime,
    samples: Vec<i16>,
}

enum Recording {
    Open(Box<wav::Recorder<BufWriter<File>>>),
    /// It could not be written, and is told once.
    GivenUp,
}

impl Shelf {
    pub(super) fn new(config: CabinetConfig) -> Self {
        Self { config, recordings: HashMap::new(), waiting: VecDeque::new(), used: 0 }
    }

    pub(super) fn carry_out(&mut self, request: Request, answer: &mut impl FnMut(Answer)) {
        let changed = match request {
            Request::Keep { mailbox, caller, at, samples } => {
                self.keep_or_wait(Kept { mailbox, caller, at, samples }, answer);
                return answer(Answer::Mailboxes(self.mailboxes()));
            }
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

    /// Whether messages wait for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what waits, as far as that is possible now.
    pub(super) fn try_again(&mut self, answer: &mut impl FnMut(Answer)) {
        let before = self.waiting.len();
        while let Some(kept) = self.waiting.pop_front() {
            if self.keep(&kept).is_err() {
                self.waiting.push_front(kept);
                break;
            }
        }
        if self.waiting.len() < before {
            answer(Answer::Mailboxes(self.mailboxes()));
        }
        if before > 0 && self.waiting.is_empty() {
            answer(Answer::Recovered);
        }
    }

    /// The last chance of what waits.
    pub(super) fn end(&mut self, answer: &mut impl FnMut(Answer)) {
        self.try_again(answer);
        for Kept { mailbox, caller, .. } in self.waiting.drain(..) {
            answer(Answer::Failed(format!(
                "the message of {caller} for {mailbox} is lost: the exchange ended before there was room for it"
            )));
        }
    }

    fn keep_or_wait(&mut self, kept: Kept, answer: &mut impl FnMut(Answer)) {
        self.try_again(answer);
        let Err(error) = self.keep(&kept) else { return };
        let waiting: usize = self.waiting.iter().map(|kept| kept.samples.len()).sum();
        let (mailbox, caller) = (&kept.mailbox, &kept.caller);
        if waiting.saturating_add(kept.samples.len()) > MOST_WAITING {
            return answer(Answer::Failed(format!(
                "the message of {caller} for {mailbox} is lost, for too many wait already: {error}"
            )));
        }
        answer(Answer::Failed(format!(
            "the message of {caller} for {mailbox} waits in memory, for it could not be written: {error}; make room there, or \
             give this user the folder back"
        )));
        self.waiting.push_back(kept);
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

    fn keep(&self, kept: &Kept) -> Result<(), String> {
        let Kept { mailbox, caller, at, samples } = kept;
        let milliseconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        // Two may end in the same millisecond, and names of callers may be longer than those of files.
        let caller_in_name: String = caller.chars().take(LONGEST_CALLER).collect();
        let free = (milliseconds..)
            .map(|time| self.message(mailbox, &format!("{time:015}-{caller_in_name}.new.wav")));
        let is_free =
            |path: &PathBuf| !path.exists() && !path.with_extension("").with_extension("old.wav").exists();
        let Some(path) = free.take(1_000).find(is_free) else {
            return Err("a thousand messages of one caller came in one second".to_owned());
        };
        let failed = |error: String| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        // Half a message would be listened to as if it were whole: it gets its name when it is.
        let half = path.with_extension("part");
        let written = File::create(&half)
            .map_err(|error| error.to_string())
            .and_then(|file| write(file, samples).map_err(|error| error.to_string()))
            .and_then(|()| fs::rename(&half, &path).map_err(|error| error.to_string()));
        if let Err(error) = written {
            let _ = fs::remove_file(&half);
            return Err(failed(error));
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
            Err(error) => format!("{error}; make room on its disk"),
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

fn write(file: File, samples: &[i16]) -> Result<(), wav::WavError> {
    let mut recorder = wav::Recorder::new(BufWriter::new(file), RATE_HZ, 1)?;
    recorder.write(samples)?;
    recorder.finish()
}

fn full(used: u64) -> String {
    format!(
        "{used} octets of recordings are there, as many as may be; remove some, or raise `[recording] quota_megabytes`"
    )
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

    fn keep(caller: &str) -> Request {
        let (mailbox, caller) = ("1002".to_owned(), caller.to_owned());
        Request::Keep { mailbox, caller, at: SystemTime::UNIX_EPOCH, samples: vec![7; 8_000] }
    }

    #[test]
    fn a_hundred_messages_of_one_moment_are_a_hundred_messages() {
        let (mut shelf, folder) = shelf("hundred", 1, "");
        for count in 1..=100 {
            let long = "9".repeat(200);
            let answers = carry_out(&mut shelf, keep(if count % 2 == 0 { "1001" } else { &long }));
            assert!(
                matches!(&answers[..], [Answer::Mailboxes(all)] if all["1002"].len() == count),
                "{answers:?}"
            );
        }
        assert!(
            entries(&folder.join("voicemail/1002")).iter().all(|path| path.extension().unwrap() == "wav")
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_message_that_finds_no_room_waits_for_it_and_is_told_of_with_a_remedy() {
        let (mut shelf, folder) = shelf("room", 1, "");
        // No folder can be made where a file is.
        fs::write(folder.join("voicemail"), "").unwrap();
        let answers = carry_out(&mut shelf, keep("1001"));
        let told = "the message of 1001 for 1002 waits in memory, for it could not be written: ";
        assert!(
            matches!(&answers[0], Answer::Failed(cause) if cause.starts_with(told) && cause.contains("make room")),
            "{answers:?}"
        );
        assert!(shelf.is_waiting());
        fs::remove_file(folder.join("voicemail")).unwrap();
        let mut answers = Vec::new();
        shelf.try_again(&mut |answer| answers.push(answer));
        assert!(
            matches!(&answers[..], [Answer::Mailboxes(all), Answer::Recovered] if all["1002"].len() == 1),
            "{answers:?}"
        );
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
