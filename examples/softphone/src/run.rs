//! From the command line to a running telephone, and from its end to an exit code.

use crate::arguments::{AccountArguments, Arguments, Command, TalkArguments};
use crate::config::Config;
use crate::happening::{Happening, Report};
use crate::phone::{Errand, Event, Interrupt, Outcome, Phone, Talk, Task};
use crate::ways::Ways;
use crate::{identity, interface, terminal, wav, wizard};
use denwa::Seed;
use denwa::address::{AddressPolicy, Network};
use denwa::media::PlayOut;
use denwa::tokio::{DriverConfig, DriverHandle, Listening, SignallingDriver, entropy, on_interrupt};
use denwa::ua::{UserAgent, UserAgentConfig};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Does what the command line asks.
pub fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.command {
        None => return screen(arguments),
        Some(Command::Wizard) => wizard::run(arguments).map(|()| Outcome::Good),
        Some(Command::Check) => check(arguments).map(|()| Outcome::Good),
        Some(_) => telephone(arguments, &mut |line| println!("{line}"), true),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(sentence) => {
            eprintln!("softphone: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// The screen, in a process that is watched by this one.
fn screen(arguments: &Arguments) -> ExitCode {
    let done = if terminal::is_guarded() {
        interface::run(arguments).map(|()| 0)
    } else {
        // What has to be asked for is asked before the screen is there.
        match interface::prepare(arguments) {
            Ok(()) => {
                terminal::guard().map_err(|error| format!("this program cannot be started again: {error}"))
            }
            Err(sentence) => Err(sentence),
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(sentence) => {
            eprintln!("softphone: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn check(arguments: &Arguments) -> Result<(), String> {
    let config = identity::load(arguments.config.as_deref())?;
    let file = arguments.config.clone().or_else(identity::default_file);
    if let Some(file) = file.filter(|file| !file.exists()) {
        return Err(format!("there is no file {}: `softphone wizard` makes it", file.display()));
    }
    for account in &config.accounts {
        let codecs: Vec<&str> = account.codecs.iter().map(|codec| &*codec.name).collect();
        println!("{} over {}: {}", account.address(), account.transport, codecs.join(", "));
    }
    println!("{} accounts, nothing wrong", config.accounts.len());
    Ok(())
}

/// Does what the command line asks, with a listener for its lines; interrupts of the process end it when `interruptible`.
///
/// # Errors
/// One sentence that says what is wrong with the command line, a file, or the system.
pub fn telephone(
    arguments: &Arguments,
    lines: &mut dyn FnMut(&str),
    interruptible: bool,
) -> Result<Outcome, String> {
    let Some(wanted) = arguments.command.as_ref().and_then(Wanted::of) else {
        return Err("this is not a call: expected call, answer, register, message or test".to_owned());
    };
    // A file that is not asked for is not looked at when the command line says everything.
    let says_all = wanted.account.account.is_none()
        && (wanted.account.user.is_some() || wanted.account.server.is_some());
    let config = match &arguments.config {
        None if says_all => Config::default(),
        named => identity::load(named.as_deref())?,
    };
    let chosen = identity::account(wanted.account, &config)?;
    if let Errand::Call(to) | Errand::Test { address: to, .. } | Errand::Message { to, .. } = &wanted.errand
        && chosen.server.is_none()
        && chosen.domain == "localhost"
        && !to.contains(['@', ':'])
    {
        return Err(format!(
            "`{to}` is a number at a server, and none is known: name it with --server, write an address as sip:{to}@HOST, or make an account by `softphone wizard`"
        ));
    }
    let rate = wanted.talk.map_or(8_000, |talk| talk.rate);
    let task = task(&wanted, &chosen, rate)?;
    let ways = Ways::of([&chosen])?;
    let servers: Vec<_> = identity::servers(&task.account).collect();
    let listen = identity::listen(&wanted.account.listen, &servers);
    let recording = wanted.talk.and_then(|talk| talk.record.clone()).map(|path| (path, rate));
    let (policy, ports) = (addresses(wanted.account), wanted.account.ports.clone());
    let seed = entropy().map_err(|error| format!("the system gives no entropy: {error}"))?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (transport, keys) = (chosen.transport, identity::keys(chosen.keys));
    let make = move |listening: &[Listening], now: Instant| {
        let mut config = UserAgentConfig::new(identity::listeners(listening, &[transport]));
        config.capability = ways.capability(&chosen);
        ways.give(&mut config);
        config.media_ports = ports;
        config.addresses = policy;
        config.sample_rate_hz = rate;
        config.keys = keys;
        // A recorder is in no hurry, and what it heard should stand in the file as it was said.
        config.play_out = PlayOut::Fixed(Duration::from_millis(80));
        config.since_1970 = since_1970;
        config.software = Some(concat!("Denwa softphone/", env!("CARGO_PKG_VERSION")).to_owned());
        Recorder { phone: Phone::new(UserAgent::new(config, Seed(seed), now), task, now), recording }
    };
    let tls = identity::tls(&config.tls)?;
    let mut config = DriverConfig::new(listen);
    (config.media, config.tls) = (None, tls);
    let (tell, told) = mpsc::channel();
    let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event)))
        .map_err(|error| error.to_string())?;
    for listening in driver.listening() {
        if arguments.json {
            lines(&serde_json::json!({ "event": "listening", "address": listening.to_string() }).to_string());
        } else {
            lines(&format!("listening on {listening}"));
        }
    }
    if interruptible {
        end_on_interrupt(driver.handle());
    }
    let mut outcome = Outcome::Failed;
    let mut report = Report::new(wanted.name);
    for event in told {
        match event {
            Told::Phone(Event::Happened(happening)) => {
                report.add(&happening);
                say(&happening, arguments.json, lines);
            }
            Told::Phone(Event::Finished(how)) => outcome = how,
            Told::NotWritten(sentence) => return Err(sentence),
        }
    }
    driver.join().map_err(|stopped| stopped.to_string())?;
    if let Some(path) = wanted.report {
        (report.exit_code, report.outcome) = (outcome.code(), outcome.name());
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n")
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(outcome)
}

fn say(happening: &Happening, json: bool, lines: &mut dyn FnMut(&str)) {
    if json {
        match serde_json::to_string(happening) {
            Ok(line) => lines(&line),
            Err(error) => lines(&format!("{{\"event\":\"fault\",\"why\":\"{error}\"}}")),
        }
        return;
    }
    for line in happening.to_string().lines() {
        lines(line);
    }
}

/// What a command wants, whatever its kind.
struct Wanted<'a> {
    name: &'static str,
    account: &'a AccountArguments,
    talk: Option<&'a TalkArguments>,
    report: Option<&'a PathBuf>,
    registers: Registers,
    errand: Errand,
}

/// Whether to register first.
enum Registers {
    Always,
    WhenAsked(bool),
    WithServer,
}

impl<'a> Wanted<'a> {
    fn of(command: &'a Command) -> Option<Self> {
        Some(match command {
            Command::Register { account, stay, report } => Self {
                name: "register",
                account,
                talk: None,
                report: report.as_ref(),
                registers: Registers::Always,
                errand: Errand::Stay(*stay),
            },
            Command::Call { address, account, talk, register } => Self {
                name: "call",
                account,
                talk: Some(talk),
                report: talk.report.as_ref(),
                registers: Registers::WhenAsked(*register),
                errand: Errand::Call(address.clone()),
            },
            Command::Answer { account, talk, calls, ring } => Self {
                name: "answer",
                account,
                talk: Some(talk),
                report: talk.report.as_ref(),
                registers: Registers::WithServer,
                errand: Errand::Answer { calls: *calls, ring: *ring },
            },
            Command::Message { address, text, account, register, report } => Self {
                name: "message",
                account,
                talk: None,
                report: report.as_ref(),
                registers: Registers::WhenAsked(*register),
                errand: Errand::Message { to: address.clone(), text: text.clone() },
            },
            Command::Test { address, account, register, lasts, report } => Self {
                name: "test",
                account,
                talk: None,
                report: report.as_ref(),
                registers: Registers::WhenAsked(*register),
                errand: Errand::Test { address: address.clone(), lasts: (*lasts).max(SHORTEST_TEST) },
            },
            Command::Wizard | Command::Check => return None,
        })
    }
}

/// An echo is not told from chance in less.
const SHORTEST_TEST: Duration = Duration::from_secs(3);

fn task(wanted: &Wanted<'_>, chosen: &crate::config::AccountConfig, rate: u32) -> Result<Task, String> {
    let account = identity::agent_account(chosen)?;
    let has_server = account.server.is_some() || chosen.domain != "localhost";
    let registers = match wanted.registers {
        Registers::Always if !has_server => {
            return Err("registering needs a --server, or an account of the file".to_owned());
        }
        Registers::Always => true,
        Registers::WhenAsked(asked) => asked,
        Registers::WithServer => chosen.register && has_server,
    };
    let play = match wanted.talk.and_then(|talk| talk.play.as_ref()) {
        Some(path) => Some(wav::read(path, rate)?),
        None => None,
    };
    let mut talk = wanted.talk.map_or_else(Talk::default, |talk| Talk {
        play,
        hangup_after: talk.hangup_after,
        hangup_at_end: talk.hangup_at_end,
        digits: talk.digits.clone(),
        expect_audio: talk.expect_audio,
        sample_rate_hz: rate,
    });
    talk.sample_rate_hz = rate;
    if let Errand::Test { lasts, .. } = &wanted.errand {
        talk.hangup_after = Some(*lasts);
    }
    Ok(Task { account, registers, errand: wanted.errand.clone(), talk })
}

fn addresses(account: &AccountArguments) -> AddressPolicy {
    let local = if account.local.is_empty() { Network::PRIVATE.to_vec() } else { account.local.clone() };
    let mut policy = AddressPolicy { local, ..AddressPolicy::default() };
    match account.external {
        Some(IpAddr::V4(address)) => policy.external_v4 = Some(address),
        Some(IpAddr::V6(address)) => policy.external_v6 = Some(address),
        None => {}
    }
    policy
}

/// The first interrupt ends the call properly; a second one ends the process as the system does.
fn end_on_interrupt(handle: DriverHandle<Interrupt>) {
    let mut is_asked = false;
    // Without signals an interrupt ends the process as the system does.
    let _ = on_interrupt(move || {
        if std::mem::replace(&mut is_asked, true) {
            std::process::exit(1);
        }
        // A telephone that has ended needs no interrupt.
        let _ = handle.command(Interrupt);
    });
}

/// The telephone, and the file it writes at its end.
struct Recorder {
    phone: Phone,
    recording: Option<(PathBuf, u32)>,
}

enum Told {
    Phone(Event),
    NotWritten(String),
}

mod recorder {
    //! Delegation, and the file at the end.

    use super::{Event, Interrupt, Recorder, Told, wav};
    use denwa::bridge;
    use denwa::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
    use denwa_sip_core::Input;
    use std::time::Instant;

    impl Machine for Recorder {
        type Command = Interrupt;
        type Event = Told;

        fn handle_input(&mut self, input: Input<'_>, now: Instant) {
            self.phone.handle_input(input, now);
        }

        fn handle_media(&mut self, event: bridge::Event, now: Instant) {
            self.phone.handle_media(event, now);
        }

        fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
            self.phone.handle_answer(question, answer, now);
        }

        fn handle_command(&mut self, command: Interrupt, now: Instant) {
            self.phone.handle_command(command, now);
        }

        fn handle_port(&mut self, port: PortId, news: PortNews<'_>, now: Instant) {
            self.phone.handle_port(port, news, now);
        }

        fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<PortPacket> {
            self.phone.next_packet(buffer, now)
        }

        fn handle_timeout(&mut self, now: Instant) {
            self.phone.handle_timeout(now);
        }

        fn poll_output(&mut self) -> Option<Output<Told>> {
            Some(match self.phone.poll_output()? {
                Output::Event(event @ Event::Finished(_)) => {
                    let written =
                        self.recording.take().map(|(path, rate)| wav::write(&path, self.phone.heard(), rate));
                    match written {
                        Some(Err(sentence)) => Output::Event(Told::NotWritten(sentence)),
                        _ => Output::Event(Told::Phone(event)),
                    }
                }
                output => output.map_event(Told::Phone),
            })
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.phone.poll_timeout()
        }
    }
}
