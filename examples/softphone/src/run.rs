//! From the command line to a running telephone, and from its end to an exit code.

use crate::arguments::{AccountArguments, Arguments, Command, ServerText, Srtp, TalkArguments};
use crate::phone::{Errand, Event, Interrupt, Outcome, Phone, Talk, Task};
use crate::wav;
use denwa::Seed;
use denwa::address::{AddressPolicy, Network};
use denwa::media::PlayOut;
use denwa::tokio::{DriverConfig, DriverHandle, Listen, Listening, SignallingDriver, entropy};
use denwa::ua::{Account, UserAgent, UserAgentConfig};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability};
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Does what the command line asks.
pub fn run(arguments: &Arguments) -> ExitCode {
    let mut lines = |line: &str| println!("{line}");
    match telephone(arguments, &mut lines, true) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Ok(Outcome::NoAudio) => ExitCode::from(3),
        Err(sentence) => {
            eprintln!("softphone: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// The same, with a listener for its lines; interrupts of the process end it when `interruptible`.
///
/// # Errors
/// One sentence that says what is wrong with the command line, a file, or the system.
pub fn telephone(
    arguments: &Arguments,
    lines: &mut dyn FnMut(&str),
    interruptible: bool,
) -> Result<Outcome, String> {
    let (account, talk) = match &arguments.command {
        Command::Register { account, .. } => (account, None),
        Command::Call { account, talk, .. } | Command::Answer { account, talk, .. } => (account, Some(talk)),
    };
    let task = task(arguments, account, talk)?;
    let capability = capability(account)?;
    let listen = listen(account, task.account.server.map(|server| server.address.ip()));
    let recording = talk.and_then(|talk| talk.record.clone());
    let (policy, ports) = (addresses(account), account.ports.clone());
    let seed = entropy().map_err(|error| format!("the system gives no entropy: {error}"))?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let make = move |listening: &[Listening], now: Instant| {
        let listeners = listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
        let mut config = UserAgentConfig::new(listeners);
        config.capability = capability;
        config.media_ports = ports;
        config.addresses = policy;
        // A recorder is in no hurry, and what it heard should stand in the file as it was said.
        config.play_out = PlayOut::Fixed(Duration::from_millis(80));
        config.since_1970 = since_1970;
        config.software = Some(concat!("Denwa softphone/", env!("CARGO_PKG_VERSION")).to_owned());
        Recorder { phone: Phone::new(UserAgent::new(config, Seed(seed), now), task, now), recording }
    };
    let mut config = DriverConfig::new(listen);
    config.media = None;
    let (tell, told) = mpsc::channel();
    let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event)))
        .map_err(|error| error.to_string())?;
    for listening in driver.listening() {
        lines(&format!("listening on {listening}"));
    }
    if interruptible {
        end_on_interrupt(driver.handle());
    }
    let mut outcome = Outcome::Failed;
    for event in told {
        match event {
            Told::Phone(Event::Line(line)) => lines(&line),
            Told::Phone(Event::Finished(how)) => outcome = how,
            Told::NotWritten(sentence) => return Err(sentence),
        }
    }
    driver.join().map_err(|stopped| stopped.to_string())?;
    Ok(outcome)
}

fn task(
    arguments: &Arguments,
    account: &AccountArguments,
    talk: Option<&TalkArguments>,
) -> Result<Task, String> {
    let server = account.server.as_deref().map(ServerText::parse);
    let domain = account.domain.clone().unwrap_or_else(|| match &server {
        Some(ServerText::Address(address)) if address.port() == 5060 => host(address.ip()),
        Some(ServerText::Address(address)) => address.to_string(),
        Some(ServerText::Name(name)) => name.clone(),
        None => "localhost".to_owned(),
    });
    let mut own = Account::new(&account.user, domain);
    own.password.clone_from(&account.password);
    own.display_name.clone_from(&account.name);
    if let Some(ServerText::Address(address)) = server {
        own = own.with_server(account.transport, address);
    }
    let play = match talk.and_then(|talk| talk.play.as_ref()) {
        Some(path) => Some(wav::read(path)?),
        None => None,
    };
    let (registers, errand) = match &arguments.command {
        Command::Register { stay, .. } if server.is_some() => (true, Errand::Stay(*stay)),
        Command::Register { .. } => return Err("registering needs a --server".to_owned()),
        Command::Call { address, register, .. } => (*register, Errand::Call(address.clone())),
        Command::Answer { calls, ring, .. } => {
            (server.is_some(), Errand::Answer { calls: *calls, ring: *ring })
        }
    };
    let talk = talk.map_or_else(Talk::default, |talk| Talk {
        play,
        hangup_after: talk.hangup_after,
        hangup_at_end: talk.hangup_at_end,
        digits: talk.digits.clone(),
        expect_audio: talk.expect_audio,
    });
    Ok(Task { account: own, registers, errand, talk })
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn capability(account: &AccountArguments) -> Result<Capability, String> {
    let mut codecs = Vec::new();
    for name in &account.codecs {
        let codec = Codec::by_name(name)
            .filter(|codec| denwa_codecs::registry::find(&codec.name, codec.clock_rate).is_some());
        codecs.push(codec.ok_or_else(|| format!("`{name}` is not a codec of this telephone"))?);
    }
    let mut encryption = match account.srtp {
        Srtp::Off => EncryptionCapability::none(),
        Srtp::Offer => EncryptionCapability::sdes(Encryption::Offered),
        Srtp::Require => EncryptionCapability::sdes(Encryption::Required),
    };
    if let Some(sdes) = &mut encryption.sdes {
        sdes.suites.clone_from(&account.srtp_suites);
    }
    Ok(Capability::telephone(codecs).with_encryption(encryption))
}

/// Where to listen: as told, else on every address of the server's family.
fn listen(account: &AccountArguments, server: Option<IpAddr>) -> Vec<Listen> {
    if !account.listen.is_empty() {
        return account.listen.clone();
    }
    let any: IpAddr = match server {
        Some(IpAddr::V6(_)) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    [Protocol::Udp, Protocol::Tcp].map(|protocol| Listen { protocol, address: (any, 0).into() }).to_vec()
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
    let waiting = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            if interrupted().await {
                // A telephone that has ended needs no interrupt.
                let _ = handle.command(Interrupt);
                interrupted().await;
                std::process::exit(1);
            }
        });
    };
    // Without this thread an interrupt ends the process as the system does.
    let _ = std::thread::Builder::new().name("softphone-signals".to_owned()).spawn(waiting);
}

#[cfg(unix)]
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return false;
    };
    std::future::poll_fn(|cx| {
        if interrupt.poll_recv(cx).is_ready() || terminate.poll_recv(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    true
}

#[cfg(not(unix))]
async fn interrupted() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

/// The telephone, and the file it writes at its end.
struct Recorder {
    phone: Phone,
    recording: Option<PathBuf>,
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
                    let written = self.recording.take().map(|path| wav::write(&path, self.phone.heard()));
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
