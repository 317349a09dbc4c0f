//! A house with three real telephones that do everything people do with an exchange; each says a tone of its own, and what each
//! hears is looked for in what it records. One start of telephones for several features: each is a line of what happens in the house.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use denwa_codecs::g711::Law;
use denwa_codecs::wav;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{PATIENCE as LIMIT, audio, require, sipp, wait_until};
use interop_support::{Exchange, PASSWORD};

/// What each telephone says: none of it is a tone of the exchange, a key's, or a fax machine's.
const TONES: [f64; 3] = [605.0, 1_800.0, 2_700.0];

/// The telephones' numbers.
const NUMBERS: [&str; 3] = ["2001", "2002", "2003"];

/// A telephone, and how far its log has been read.
struct Telephone {
    phone: Phone,
    tone: f64,
    read: usize,
}

/// The exchange and its telephones.
struct House {
    exchange: Exchange,
}

impl House {
    /// `more` stands for the first, the second and the third telephone's extension, then for what follows.
    fn open(name: &str, more: [&str; 3], tables: &str) -> (Self, [Telephone; 3]) {
        let extensions: String = NUMBERS
            .iter()
            .zip(more)
            .map(|(number, more)| {
                format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"{PASSWORD}\"\ncodecs = [\"PCMA\"]\n{more}\n")
            })
            .collect();
        let common = "[clock]\noffset = \"+00:00\"\n[prompts]\nlanguage = \"en\"\n";
        let mut exchange = Exchange::start(name, &format!("{extensions}{common}{tables}"));
        let phones = [0, 1, 2].map(|index| Telephone::start(&mut exchange, index));
        phones.iter().for_each(|one| one.phone.wait_registered());
        (Self { exchange }, phones)
    }

    fn dial(&self, caller: &Telephone, number: &str) {
        caller.phone.dial(&self.exchange.uri(number));
    }

    /// Calls a number that the exchange answers, says a word and hangs up.
    fn order(&self, caller: &mut Telephone, number: &str) {
        self.dial(caller, number);
        caller.is_through();
        caller.phone.hang_up();
        self.rests(&mut [caller]);
    }

    /// Waits until these have no call any more, and the exchange none; then what they heard is forgotten.
    fn rests(&self, phones: &mut [&mut Telephone]) {
        let is_over = wait_until(LIMIT, || {
            phones.iter().all(|one| one.phone.command("listcalls", "").contains("calls (0)"))
        });
        assert!(is_over, "{}", self.exchange.peer.log());
        let is_over = wait_until(LIMIT, || self.command(&["calls", "--json"]).contains("\"going_on\": []"));
        assert!(is_over, "{}", self.command(&["calls", "--json"]));
        for one in phones {
            one.phone.forget_recordings();
            one.read = one.phone.peer.log().len();
        }
    }

    /// How many calls have ended.
    fn ended(&self) -> usize {
        self.exchange.peer.log().matches(" ended after ").count()
    }

    fn command(&self, arguments: &[&str]) -> String {
        let folder = self.exchange.scratch.path();
        let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml"])
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Telephone {
    fn start(exchange: &mut Exchange, index: usize) -> Self {
        let registrar = format!("127.0.0.1:{}", exchange.sip_port);
        let account = Account {
            name: ["alice", "bob", "carol"][index],
            answers: false,
            ..Account::registered(NUMBERS[index], PASSWORD, &registrar)
        };
        // Everybody knows the first: sees its lamp, and writes to it.
        let contact = format!("\"Alice\" <sip:{}@{registrar}>;presence=p2p\n", NUMBERS[0]);
        let contacts = if index == 0 { "" } else { &contact };
        let more = "module_app presence.so\n";
        let folder = exchange.scratch.path().to_owned();
        let says = audio::tone(TONES[index], 6_000.0, 300);
        let phone = Phone::start_knowing(&account, &folder, &mut exchange.ports, &says, more, contacts);
        Self { phone, tone: TONES[index], read: 0 }
    }

    /// Waits until its log says so, after what was waited for before.
    fn next(&mut self, text: &str) {
        let mut found = None;
        wait_until(LIMIT, || {
            let log = self.phone.peer.log();
            found = log.get(self.read..).and_then(|new| Some(self.read + new.find(text)? + text.len()));
            found.is_some()
        });
        self.read = found.unwrap_or_else(|| {
            let log = self.phone.peer.log();
            panic!("{text} never came after:\n{}", log.get(self.read..).unwrap_or_default())
        });
    }

    /// The other end has hung up. That a call is "terminated" baresip tells only of those that lasted a second.
    fn is_left(&mut self) {
        self.next("session closed");
    }

    fn rings(&mut self) {
        self.next("Incoming call from");
    }

    fn is_through(&mut self) {
        self.next("Call established");
    }

    fn lifts(&mut self) {
        self.rings();
        self.phone.command("accept", "");
        self.is_through();
    }

    fn presses(&self, keys: &str) {
        for key in keys.chars() {
            self.phone.command("sndcode", &key.to_string());
        }
    }

    /// The last three quarters of a second of what it heard, when there are as many.
    fn ear(&self) -> Option<Vec<i16>> {
        let heard = self.phone.newest_recording().1;
        heard.len().checked_sub(6_000).map(|begin| heard[begin..].to_vec())
    }

    /// Waits until it hears these, each as loud as the others, and nobody else.
    fn hears(&self, others: &[&Self]) {
        let wanted: Vec<f64> = others.iter().map(|other| other.tone).collect();
        let mut shares = Vec::new();
        let hears = wait_until(LIMIT, || {
            let Some(ear) = self.ear() else { return false };
            shares = TONES.map(|tone| (tone, audio::share_of_tone(&ear, tone))).to_vec();
            shares.iter().all(|(tone, share)| {
                if wanted.contains(tone) { *share > 0.6 / wanted.len() as f64 } else { *share < 0.05 }
            })
        });
        assert!(hears, "{wanted:?} should be heard, and these are: {shares:?}");
    }

    /// Waits until it hears a tone of the exchange for a while.
    fn hears_tone(&self, hertz: f64, milliseconds: usize) {
        let least = milliseconds / 100;
        let hears = wait_until(LIMIT, || {
            let heard = self.phone.newest_recording().1;
            let pure = |piece: &[i16]| audio::share_of_tone(piece, hertz) > 0.8;
            heard.chunks_exact(800).filter(|piece| pure(piece)).count() >= least
        });
        assert!(hears, "a tone of {hertz} Hz was not heard");
    }

    /// Waits until it has heard what the exchange says, word for word.
    fn hears_prompt(&self, names: &[&str]) {
        let said: Vec<i16> = names.iter().flat_map(|name| prompt(name)).collect();
        let mut verdict = None;
        let hears = wait_until(LIMIT, || {
            verdict = audio::compare(&said, &self.phone.newest_recording().1);
            verdict.is_some_and(|verdict| verdict.gaps <= 0.2)
        });
        assert!(hears, "{names:?} was not heard: {verdict:?}");
    }

    /// Waits until it has heard something that is no telephone's tone: music.
    fn hears_music(&self) {
        let hears = wait_until(LIMIT, || {
            self.ear().is_some_and(|ear| {
                let loud = ear.iter().filter(|sample| sample.unsigned_abs() > 200).count();
                loud > ear.len() / 4 && TONES.iter().all(|tone| audio::share_of_tone(&ear, *tone) < 0.3)
            })
        });
        assert!(hears, "there was no music");
    }

    /// Waits until it has spoken so much more.
    fn speaks(&self, seconds: usize) {
        let before = self.phone.said().len();
        assert!(wait_until(LIMIT, || self.phone.said().len() >= before + seconds * 8_000));
    }
}

/// Both hear each other.
fn talk(one: &Telephone, other: &Telephone) {
    one.hears(&[other]);
    other.hears(&[one]);
}

fn prompt(name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("prompts/en/{name}.al"));
    fs::read(path).unwrap().into_iter().map(|byte| Law::A.decode(byte)).collect()
}

/// The WAV files in a folder of the exchange.
fn wav_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|it| it == "wav")).collect()
}

#[test]
fn everyday_calls() {
    if !require("baresip") {
        return;
    }
    let tables = "[[extensions]]\nnumber = \"2004\"\npassword = \"x\"\nfollow_me = [\"2002\", \"2003\"]\nfollow_me_seconds = 2\n\
         [[groups]]\nnumber = \"600\"\nmembers = [\"2002\", \"2003\"]\n\
         [[groups]]\nnumber = \"601\"\nmembers = [\"2002\", \"2003\"]\nstrategy = \"hunt\"\nring_seconds = 2\n\
         [[rules]]\nnumber = \"520\"\nhours = \"mon-sun 00:00-24:00\"\nto = \"2003\"\n\
         [calls]\nannouncements = false\n";
    let (house, [mut alice, mut bob, mut carol]) =
        House::open("everyday", ["call_waiting = false", "", ""], tables);

    // A group: both ring, the one who lifts has it.
    house.dial(&alice, "600");
    bob.rings();
    carol.lifts();
    talk(&alice, &carol);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);

    // A hunt group, and whoever is looked for: one after the other. At these hours a number means another.
    for number in ["601", "2004"] {
        house.dial(&alice, number);
        bob.rings();
        carol.lifts();
        talk(&alice, &carol);
        carol.phone.hang_up();
        house.rests(&mut [&mut alice, &mut bob, &mut carol]);
    }
    house.dial(&alice, "520");
    carol.lifts();
    talk(&alice, &carol);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut carol]);

    // Star codes: do not disturb, and forward.
    house.order(&mut alice, "*78");
    house.dial(&bob, NUMBERS[0]);
    bob.next("486");
    house.order(&mut alice, "*79");
    house.order(&mut alice, "*722003");
    house.dial(&bob, NUMBERS[0]);
    carol.lifts();
    talk(&bob, &carol);
    bob.phone.hang_up();
    house.rests(&mut [&mut bob, &mut carol]);
    house.order(&mut alice, "*73");

    // Who calls without a number is seen without one.
    house.dial(&bob, &format!("*67{}", NUMBERS[2]));
    carol.next("Incoming call from: ");
    let shown = carol.phone.peer.log()[carol.read..].lines().next().unwrap_or_default().to_owned();
    assert!(shown.to_lowercase().contains("anonymous") && !shown.contains(NUMBERS[1]), "{shown}");
    bob.phone.hang_up();
    house.rests(&mut [&mut bob, &mut carol]);

    // Alice talks with Carol: her lamp is lit, Bob finds her busy, orders a call back, and has it.
    wait_for_lamp(&bob, "Online");
    house.dial(&alice, NUMBERS[2]);
    carol.lifts();
    talk(&alice, &carol);
    wait_for_lamp(&bob, "Busy");
    house.dial(&bob, NUMBERS[0]);
    bob.next("486");
    house.order_while_others_talk(&mut bob, "*66");
    bob.phone.forget_recordings();
    alice.phone.hang_up();
    bob.lifts();
    alice.phone.forget_recordings();
    alice.lifts();
    talk(&alice, &bob);
    bob.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);
    wait_for_lamp(&bob, "Online");

    // Call waiting: a second call is taken, and the first is played music meanwhile.
    house.dial(&bob, NUMBERS[2]);
    carol.lifts();
    talk(&bob, &carol);
    house.dial(&alice, NUMBERS[2]);
    carol.lifts();
    talk(&alice, &carol);
    alice.phone.hang_up();
    carol.is_left();
    // A recording of his ends with the hold, so what comes to him is counted.
    let before = bob.phone.packets_received();
    assert!(wait_until(LIMIT, || bob.phone.packets_received() > before + 50), "no music");
    carol.phone.command("resume", "");
    house.exchange.peer.wait_for("took the other side back", LIMIT);
    bob.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);

    // A word in writing.
    bob.phone.command("message", "the kettle boils");
    alice.next("the kettle boils");
}

impl House {
    /// As [`House::order`], for one beside whom others have a call.
    fn order_while_others_talk(&self, caller: &mut Telephone, number: &str) {
        self.dial(caller, number);
        caller.is_through();
        caller.phone.hang_up();
        assert!(wait_until(LIMIT, || caller.phone.command("listcalls", "").contains("calls (0)")));
    }
}

/// Waits until the first telephone's lamp at this one shows so.
fn wait_for_lamp(watcher: &Telephone, state: &str) {
    let shows = wait_until(LIMIT, || watcher.phone.command("contacts", "").contains(state));
    assert!(shows, "{state}: {}", watcher.phone.command("contacts", ""));
}

#[test]
fn calls_of_more_than_two() {
    if !require("baresip") || !require("sipp") {
        return;
    }
    let tables = "[[groups]]\nnumber = \"600\"\nmembers = [\"2003\"]\n\
                  [[groups]]\nnumber = \"700\"\nmembers = [\"2002\", \"2003\"]\nstrategy = \"page\"\n\
                  [[queues]]\nnumber = \"510\"\ngroup = \"600\"\nagain_seconds = 1\n\
                  [[menus]]\nnumber = \"500\"\nprompt = \"menu\"\nchoices = [\"1=2003\"]\n";
    let (mut house, [mut alice, mut bob, mut carol]) =
        House::open("company", ["", "", "call_waiting = false"], tables);

    // A conference: each hears the others and not himself; a mute one is not heard.
    for one in [&mut alice, &mut bob, &mut carol] {
        house.dial(one, "160");
        one.is_through();
    }
    alice.hears(&[&bob, &carol]);
    bob.hears(&[&alice, &carol]);
    carol.hears(&[&alice, &bob]);
    bob.presses("*6");
    alice.hears(&[&carol]);
    carol.hears(&[&alice]);
    [&alice, &bob, &carol].into_iter().for_each(|one| one.phone.hang_up());
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);

    // A queue: music until the one who is talking is free. A lamp shows what he does.
    let lines = ["dialog", "state.*confirmed", "state.*terminated"];
    let mut lamp = Lamp::watch(&mut house.exchange, NUMBERS[1], NUMBERS[2], lines);
    house.dial(&bob, NUMBERS[2]);
    carol.lifts();
    talk(&bob, &carol);
    house.dial(&alice, "510");
    alice.is_through();
    alice.hears_prompt(&["queue-position", "1"]);
    alice.hears_music();
    bob.phone.hang_up();
    carol.is_left();
    carol.phone.forget_recordings();
    carol.lifts();
    talk(&alice, &carol);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);
    lamp.was_lit_and_went_out();

    // Parked by the one whom she called, fetched by another.
    house.dial(&alice, NUMBERS[1]);
    bob.lifts();
    talk(&alice, &bob);
    bob.phone.command("transfer", &house.exchange.uri("*68"));
    house.exchange.peer.wait_for("transferred the other side to parking", LIMIT);
    alice.hears_music();
    house.dial(&carol, "*6801");
    carol.is_through();
    talk(&alice, &carol);
    carol.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);

    // A menu asks for a key.
    house.dial(&bob, "500");
    bob.is_through();
    bob.hears_prompt(&["menu"]);
    bob.presses("1");
    carol.lifts();
    talk(&bob, &carol);
    bob.phone.hang_up();
    house.rests(&mut [&mut bob, &mut carol]);

    // Intercom and paging: the telephones are told to lift by themselves (these do so because they always do from here on).
    for one in [&bob, &carol] {
        one.phone.command("answermode", "auto");
    }
    house.dial(&alice, &format!("*80{}", NUMBERS[1]));
    bob.next("Answer-Mode: Auto");
    bob.is_through();
    talk(&alice, &bob);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);
    house.dial(&alice, "700");
    for one in [&mut bob, &mut carol] {
        one.next("Answer-Mode: Auto");
        one.is_through();
        one.hears(&[&alice]);
    }
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob, &mut carol]);
}

/// A desk telephone's lamp, played by SIPp: it subscribes with its password to the calls of somebody (RFC 4235) or to its own mailbox
/// (RFC 3842), and waits until what it is told says the one thing, then the other.
struct Lamp(sipp::Sipp);

impl Lamp {
    fn watch(exchange: &mut Exchange, owner: &str, watched: &str, [package, lit, out]: [&str; 3]) -> Self {
        let words =
            [("OWNER", owner), ("WATCHED", watched), ("PACKAGE", package), ("LIT", lit), ("OUT", out)];
        let scenario = words
            .into_iter()
            .fold(include_str!("scenarios/lamp.xml").to_owned(), |text, (word, is)| text.replace(word, is));
        let (target, port, media_port) =
            (format!("127.0.0.1:{}", exchange.sip_port), exchange.ports.take(1), exchange.ports.take(2));
        let options = sipp::Options {
            name: "lamp",
            scenario: &scenario,
            target: Some(&target),
            port,
            media_port,
            arguments: &[
                "-m",
                "1",
                "-au",
                owner,
                "-ap",
                PASSWORD,
                "-trace_msg",
                "-message_file",
                "lamp.messages",
            ],
        };
        let lamp = Self(sipp::Sipp::start(&options, exchange.scratch.path()));
        let messages = exchange.scratch.path().join("lamp.messages");
        let is_told = || fs::read_to_string(&messages).unwrap_or_default().contains("NOTIFY sip:");
        assert!(wait_until(LIMIT, is_told), "{}", lamp.0.peer.log());
        lamp
    }

    fn was_lit_and_went_out(&mut self) {
        assert!(self.0.finish(LIMIT), "{}", self.0.peer.log());
    }
}

#[test]
fn what_the_exchange_says_and_keeps() {
    if !require("baresip") {
        return;
    }
    let more = ["", "forward_no_answer = \"voicemail\"\nring_seconds = 1\nvoicemail_pin = \"4711\"", ""];
    let (mut house, [mut alice, mut bob, mut carol]) =
        House::open("services", more, "[recording]\nannounced = false\nbeep_seconds = 1\n");
    let kept = house.exchange.scratch.path().join("pbx-data");

    // Bob does not lift: Alice leaves a message, a lamp of his shows it, and with his PIN he hears it.
    let messages = [
        "message-summary",
        "Messages-Waiting: yes.*Voice-Message: 1/0",
        "Messages-Waiting: no.*Voice-Message: 0/1",
    ];
    let mut lamp = Lamp::watch(&mut house.exchange, NUMBERS[1], NUMBERS[1], messages);
    house.dial(&alice, NUMBERS[1]);
    bob.rings();
    alice.is_through();
    alice.hears_prompt(&["leave-message"]);
    alice.hears_tone(1_000.0, 300);
    alice.speaks(3);
    alice.presses("#");
    house.exchange.peer.wait_for("2001 → 2002 ended", LIMIT);
    house.rests(&mut [&mut alice, &mut bob]);
    house.dial(&bob, "*97");
    bob.is_through();
    bob.hears_prompt(&["pin"]);
    bob.presses("4711#");
    bob.hears(&[&alice]);
    lamp.was_lit_and_went_out();
    bob.phone.hang_up();
    house.rests(&mut [&mut alice, &mut bob]);

    // A call is recorded when she wants it so, and both hear a short tone again and again.
    house.dial(&alice, NUMBERS[2]);
    carol.lifts();
    talk(&alice, &carol);
    alice.presses("*1");
    let recordings = kept.join("recordings");
    assert!(wait_until(LIMIT, || !wav_files(&recordings).is_empty()));
    alice.speaks(2);
    carol.speaks(2);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut carol]);
    let [recording] = &wav_files(&recordings)[..] else { panic!("one call, one recording") };
    assert!(holds(recording, &[alice.tone, carol.tone]), "{}", recording.display());

    // The greeting names who calls; what is dialled is read back; the clock speaks.
    house.dial(&carol, "123");
    carol.is_through();
    carol.hears_prompt(&["greeting", "you-are"]);
    house.rests(&mut [&mut carol]);
    house.dial(&carol, "184");
    carol.is_through();
    carol.hears_prompt(&["dial-digits"]);
    carol.presses("7#");
    carol.hears_prompt(&["7"]);
    carol.phone.hang_up();
    house.dial(&alice, "117");
    alice.is_through();
    alice.hears_prompt(&["clock"]);
    alice.phone.hang_up();
    house.rests(&mut [&mut alice, &mut carol]);

    // She is woken in the minute for which she ordered it. On a slow machine the order comes too late for that: then it is for
    // tomorrow, and she orders again.
    let is_woken = (0..6).any(|_| {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(3);
        let minute = unix.as_secs() / 60 % 1_440;
        let before = alice.phone.peer.log().matches("Incoming call from").count();
        let ended = house.ended();
        house.dial(&alice, &format!("*55{:02}{:02}", minute / 60, minute % 60));
        // The exchange hangs up when it has said that she will be woken; that may happen before.
        assert!(wait_until(LIMIT, || house.ended() > ended));
        wait_until(Duration::from_secs(5), || {
            alice.phone.peer.log().matches("Incoming call from").count() > before
        })
    });
    assert!(is_woken, "{}", house.exchange.peer.log());
    assert!(wait_until(LIMIT, || alice.phone.command("listcalls", "").contains("calls (1)")));
    alice.phone.forget_recordings();
    alice.phone.command("accept", "");
    alice.hears_prompt(&["wake-up"]);
}

/// Whether a recording holds each of these.
fn holds(recording: &Path, tones: &[f64]) -> bool {
    let sound = wav::read(fs::File::open(recording).unwrap()).unwrap();
    tones.iter().all(|tone| audio::share_of_tone(&sound.samples, *tone) > 0.2)
}
