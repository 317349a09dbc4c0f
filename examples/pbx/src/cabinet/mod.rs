//! Sound on disk: the messages of mailboxes, and recordings of calls, as WAV files on a thread of their own.
//!
//! `voicemail/NUMBER/TIME-CALLER.new.wav` (`.old.wav` once it was listened to), `recordings/TIME-call-N.wav`. A disk that is full or a
//! quota that is used up ends recordings, never calls; messages wait in memory until there is room again. Both are told.

mod shelf;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use denwa::bridge::Sound;

use crate::services::script::Message;

/// How often it is tried to write messages that found no room.
const AGAIN: Duration = Duration::from_secs(5);

/// Where sounds are kept, and how much.
#[derive(Clone, Debug)]
pub struct CabinetConfig {
    /// The folder of `voicemail/` and `recordings/`.
    pub folder: PathBuf,
    /// The folder of recordings, when it is another.
    pub recordings: Option<PathBuf>,
    /// The most octets of recordings.
    pub quota: u64,
    /// Run with mailbox, caller and file for each new message; nothing when empty.
    pub hook: String,
}

/// Something to be kept or found.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A message for a mailbox.
    Keep {
        /// Whose.
        mailbox: String,
        /// Who left it.
        caller: String,
        /// When.
        at: SystemTime,
        /// What was said, at 8000 Hz.
        samples: Vec<i16>,
    },
    /// Give a message back, for a call.
    Load {
        /// Given back with the answer.
        call: u64,
        /// Whose.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// It was listened to.
    MarkHeard {
        /// Whose.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// It is not wanted any more.
    Delete {
        /// Whose.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// More of the recording of a call: two channels at 8000 Hz.
    Record {
        /// Which call.
        call: u64,
        /// When the recording began.
        began: SystemTime,
        /// What was said.
        samples: Sound,
    },
    /// The recording of a call is complete.
    EndRecording {
        /// Which call.
        call: u64,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The messages in every mailbox, after each change.
    Mailboxes(BTreeMap<String, Vec<Message>>),
    /// The message that was asked for.
    Loaded {
        /// For which call.
        call: u64,
        /// The message; `None` when it is not there any more.
        sound: Option<Sound>,
    },
    /// Something could not be kept.
    Failed(String),
    /// Every message that waited for room has it now.
    Recovered,
}

/// The thread. It ends when every sender of its queue is gone; dropping this waits for it.
#[derive(Debug)]
pub struct Cabinet {
    thread: Option<JoinHandle<()>>,
}

impl Cabinet {
    /// Starts it; `answer` is called on it, first with the mailboxes as they are.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn start(
        config: CabinetConfig,
        queue: Receiver<Request>,
        mut answer: impl FnMut(Answer) + Send + 'static,
    ) -> io::Result<Self> {
        let work = move || {
            let mut shelf = shelf::Shelf::new(config);
            answer(Answer::Mailboxes(shelf.mailboxes()));
            loop {
                let next = match shelf.is_waiting() {
                    true => queue.recv_timeout(AGAIN),
                    false => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match next {
                    Ok(request) => shelf.carry_out(request, &mut answer),
                    Err(RecvTimeoutError::Timeout) => shelf.try_again(&mut answer),
                    Err(RecvTimeoutError::Disconnected) => return shelf.end(&mut answer),
                }
            }
        };
        Ok(Self { thread: Some(thread::Builder::new().name("cabinet".to_owned()).spawn(work)?) })
    }
}

impl Drop for Cabinet {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic on the thread has been reported by then.
            let _ = thread.join();
        }
    }
}
