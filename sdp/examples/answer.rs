//! What would be answered to this offer, or why nothing would.
//!
//!     cargo run -p denwa-sdp --example answer -- OFFER.sdp [--codecs PCMA,PCMU,G729] [--encryption none|offered|required]
//!
//! OFFER.sdp is a session description, a SIP message that holds one, or `-` for the standard input; it may be indented, as
//! in a log. The answer goes to the standard output (exit 0), or else one sentence that says why there is none (exit 1).
//! Telephone events are implied. Addresses, keys and fingerprints in the answer are examples.

use std::io::Read as _;
use std::process::ExitCode;

use denwa_sdp::{
    Capability, Codec, DtlsCapability, Encryption, EncryptionCapability, Ice, Kind, LocalFingerprint,
    LocalIce, MediaCapability, Negotiator, RtcpMux, SdesCapability, Seed, Transport,
    attribute::security::Setup,
};

const USAGE: &str =
    "usage: answer OFFER.sdp|- [--codecs PCMA,PCMU,G729] [--encryption none|offered|required]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Outcome::Answer(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Outcome::Refusal(sentence) => {
            println!("{sentence}");
            ExitCode::FAILURE
        }
        Outcome::Usage(fault) => {
            eprintln!("{fault}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What there is to print.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Answer(String),
    Refusal(String),
    Usage(String),
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Outcome {
    let wanted = match Wanted::read(arguments) {
        Ok(wanted) => wanted,
        Err(fault) => return Outcome::Usage(fault),
    };
    let bytes = match read(&wanted.file) {
        Ok(bytes) => bytes,
        Err(error) => return Outcome::Usage(format!("{}: {error}", wanted.file)),
    };
    match wanted.side().answer(&description(&bytes)) {
        Ok(answer) => Outcome::Answer(String::from_utf8_lossy(&answer).into_owned()),
        Err(error) => Outcome::Refusal(error.to_string()),
    }
}

struct Wanted {
    file: String,
    codecs: Vec<Codec>,
    encryption: Encryption,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut file = None;
        let mut codecs = vec![Codec::pcma(), Codec::pcmu()];
        let mut encryption = Encryption::None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--codecs" => {
                    let names = value()?;
                    let all: Result<Vec<Codec>, String> = names
                        .split(',')
                        .filter(|name| !name.trim().is_empty())
                        .filter(|name| !name.trim().to_ascii_lowercase().starts_with("telephone-event"))
                        .map(|name| Codec::by_name(name).ok_or(format!("{name} is no codec known here")))
                        .collect();
                    codecs = all?;
                }
                "--encryption" => {
                    encryption = match value()?.as_str() {
                        "none" => Encryption::None,
                        "offered" => Encryption::Offered,
                        "required" => Encryption::Required,
                        other => return Err(format!("{other} is neither none nor offered nor required")),
                    };
                }
                option if option.starts_with("--") => return Err(format!("{option} is no option")),
                _ if file.is_some() => return Err("one file is enough".into()),
                _ => file = Some(argument),
            }
        }
        Ok(Self { file: file.ok_or("no file")?, codecs, encryption })
    }

    /// A side that can do this, and everything about transports that an offer may ask for.
    fn side(self) -> Negotiator {
        let audio = MediaCapability { feedback: true, ..MediaCapability::audio(self.codecs) };
        let mut capability = Capability::new([audio]).with_ice(Ice::Full);
        capability.encryption = EncryptionCapability {
            policy: self.encryption,
            sdes: Some(SdesCapability::default()),
            dtls: Some(DtlsCapability {
                fingerprints: vec![LocalFingerprint::sha256([0xda; 32])],
                setup: Setup::ActPass,
            }),
            ..EncryptionCapability::none()
        };
        (capability.bundle, capability.rtcp_mux) = (true, RtcpMux::Offered);
        let mut transport = Transport::new(Kind::Audio, ([192, 0, 2, 1], 40_000).into());
        let ipv6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];
        transport.addresses.push((ipv6, 40_000).into());
        let transport = transport.with_ice(LocalIce {
            ufrag: "example".into(),
            password: "example-password-of-ice".into(),
            candidates: vec!["1 1 UDP 2130706431 192.0.2.1 40000 typ host".into()],
            complete: true,
        });
        Negotiator::new(capability, vec![transport], Seed([0; 32]))
    }
}

fn read(file: &str) -> std::io::Result<Vec<u8>> {
    if file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

/// The description in a message or a log: from the first line that begins with `v=`, and as far as its lines are as much
/// indented and look like those of a description.
pub(crate) fn description(bytes: &[u8]) -> Vec<u8> {
    let indent = |line: &[u8]| line.len() - line.trim_ascii_start().len();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let Some(start) = lines.iter().position(|line| line.trim_ascii_start().starts_with(b"v=")) else {
        return bytes.to_vec();
    };
    let Some(first) = lines.get(start) else { return bytes.to_vec() };
    let depth = indent(first);
    if start == 0 && depth == 0 {
        // Nothing to guess: every fault is to be seen.
        return bytes.to_vec();
    }
    let body = lines.iter().skip(start).map(|line| line.get(depth.min(indent(line))..).unwrap_or(line));
    let known = |line: &&[u8]| matches!(line, [letter, b'=', ..] if letter.is_ascii_lowercase());
    body.take_while(known).collect::<Vec<_>>().concat()
}
