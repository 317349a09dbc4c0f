//! Says what a SIP message is, or where it is wrong and why.
//!
//! ```text
//! cargo run -p denwa-sip-core --example inspect -- [--json] [--strict] FILE…
//! ```
//!
//! A file is one datagram; `-` is standard input. `valid` is the strict grammar of the start line and of every header this
//! crate knows. What the lenient attitude would make of an invalid message is told as well, unless `--strict` is given.
//! The exit code is 0 when all files were valid, 1 when one was not, 2 when one could not be read.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    process::ExitCode,
};

use bytes::Bytes;
use denwa_sip_core::{Attitude, Forgiven, Message, ParseError, header::Name, message::ParseOptions};

const USAGE: &str = "inspect [--json] [--strict] FILE…";

fn main() -> ExitCode {
    let mut json = false;
    let mut strict = false;
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            "--strict" => strict = true,
            "--help" | "-h" => {
                print(USAGE);
                return ExitCode::SUCCESS;
            }
            option if option.starts_with("--") => {
                eprintln!("inspect: unknown option {option}\n{USAGE}");
                return ExitCode::from(2);
            }
            _ => files.push(argument),
        }
    }
    if files.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut code = 0;
    for file in files {
        match read(&file) {
            Ok(bytes) => {
                let report = Report::new(file, bytes.into(), strict);
                code = code.max(u8::from(!report.is_valid()));
                print(&if json { report.json() } else { report.text() });
            }
            Err(error) => {
                eprintln!("inspect: {file}: {error}");
                if json {
                    print(&unreadable(&file, &error));
                }
                code = 2;
            }
        }
    }
    ExitCode::from(code)
}

/// A closed pipe is no reason to fail.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn read(file: &str) -> std::io::Result<Vec<u8>> {
    if file != "-" {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A tool that reads lines gets one for each file.
fn unreadable(file: &str, error: &std::io::Error) -> String {
    let (file, error) = (string(file), string(&error.to_string()));
    format!(
        "{{\"file\":{file},\"valid\":false,\"lenient\":null,\"error\":{error},\"offset\":null,\"headers\":[]}}"
    )
}

/// What both attitudes say of one datagram.
struct Report {
    file: String,
    strict: Result<Message, ParseError>,
    /// What was forgiven, or what even the lenient attitude refuses; `None` with `--strict`.
    lenient: Option<Result<(Message, Vec<Forgiven>), ParseError>>,
}

fn judge(bytes: &Bytes, attitude: Attitude) -> Result<(Message, Vec<Forgiven>), ParseError> {
    let options = ParseOptions { attitude, ..ParseOptions::default() };
    let message = Message::parse(bytes.clone(), &options)?;
    let forgiven = message.validate(attitude)?;
    Ok((message, forgiven))
}

impl Report {
    fn new(file: String, bytes: Bytes, strict_only: bool) -> Self {
        let strict = judge(&bytes, Attitude::Strict).map(|(message, _)| message);
        let lenient = (!strict_only).then(|| judge(&bytes, Attitude::Lenient));
        Self { file, strict, lenient }
    }

    fn is_valid(&self) -> bool {
        self.strict.is_ok()
    }

    /// The message as well as it could be understood.
    fn message(&self) -> Option<&Message> {
        let lenient = self.lenient.as_ref().and_then(|outcome| outcome.as_ref().ok());
        self.strict.as_ref().ok().or(lenient.map(|(message, _)| message))
    }

    fn text(&self) -> String {
        let mut out = format!("{}: ", self.file);
        match &self.strict {
            Ok(_) => out.push_str("valid"),
            Err(error) => drop(write!(out, "{} {error}", error.status().code())),
        }
        if let (Err(_), Some(lenient)) = (&self.strict, &self.lenient) {
            match lenient {
                Ok((_, forgiven)) => {
                    let liberties: Vec<String> = forgiven
                        .iter()
                        .map(|note| format!("{:?} at byte {}", note.liberty, note.offset))
                        .collect();
                    let _ = write!(out, "\n  understood all the same: {}", liberties.join(", "));
                }
                Err(error) => drop(write!(out, "\n  not understood leniently either: {error}")),
            }
        }
        if let Some(message) = self.message() {
            let _ = write!(out, "\n  {}", message.start_line());
            for header in message.headers() {
                let _ = write!(out, "\n    {}: {}", header.name, header.value.escape_debug());
            }
            let _ = write!(out, "\n  {} bytes of body", message.body().len());
        }
        out
    }

    fn json(&self) -> String {
        let mut fields = vec![
            ("file", string(&self.file)),
            ("valid", self.is_valid().to_string()),
            ("lenient", self.lenient_json()),
            ("error", self.strict.as_ref().err().map_or("null".into(), |error| string(&error.to_string()))),
            ("offset", self.strict.as_ref().err().map_or("null".into(), |error| error.offset.to_string())),
        ];
        if let Err(error) = &self.strict {
            fields.push(("answer", error.status().code().to_string()));
        }
        match self.message() {
            Some(Message::Request(request)) => fields.push(("method", string(request.method().as_str()))),
            Some(Message::Response(response)) => {
                fields.push(("status", response.status().code().to_string()))
            }
            None => {}
        }
        fields.push(("headers", self.headers_json()));
        let body: Vec<String> =
            fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", body.join(","))
    }

    /// The liberties taken; `null` when the message is not understood, or was not to be.
    fn lenient_json(&self) -> String {
        match &self.lenient {
            Some(Ok((_, forgiven))) => {
                let list: Vec<String> =
                    forgiven.iter().map(|note| string(&format!("{:?}", note.liberty))).collect();
                format!("[{}]", list.join(","))
            }
            _ => "null".into(),
        }
    }

    fn headers_json(&self) -> String {
        let headers = self.message().into_iter().flat_map(|message| message.headers());
        let list: Vec<String> = headers
            .map(|header| {
                let name = match header.name {
                    Name::Known(name) => name.as_str(),
                    Name::Other(name) => name,
                };
                format!("{{\"name\":{},\"value\":{}}}", string(name), string(header.value))
            })
            .collect();
        format!("[{}]", list.join(","))
    }
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ if character.is_control() => drop(write!(out, "\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
