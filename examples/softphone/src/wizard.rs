//! The wizard: asks for an account and writes it to the file.

use crate::arguments::Arguments;
use crate::config::{self, CODECS};
use crate::{identity, secret};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

/// Asks, and writes.
///
/// # Errors
/// One sentence: there is nobody to ask, or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let file = match &arguments.config {
        Some(file) => file.clone(),
        None => identity::default_file().ok_or("there is no folder for the file: name one with --config")?,
    };
    println!("An account for this telephone. It is written to {}.\n", file.display());
    let (user, domain, _) = loop {
        let text = ask("Address, as 1001@pbx.example")?;
        match config::address(&text) {
            Ok(address) => break address,
            Err(sentence) => println!("{sentence}"),
        }
    };
    let name = ask("Name that others see (may be empty)")?;
    let password = if io::stdin().is_terminal() {
        secret::prompt("Password (not shown; may be empty): ")?
    } else {
        ask("Password")?
    };
    let server = ask("Server, when it is not the domain (may be empty)")?;
    let transport = loop {
        let text = ask("Transport: udp, tcp, tls, ws or wss (empty: udp)")?;
        if text.is_empty() {
            break text;
        }
        match config::transport(&text) {
            Ok(_) => break text,
            Err(sentence) => println!("{sentence}"),
        }
    };
    let encryption = choice(
        "Encryption of sound: off, offered or required (empty: offered)",
        &["off", "offered", "required"],
        "offered",
    )?;
    let codecs = loop {
        let text =
            ask(&format!("Codecs, the most liked first, of {} (empty: PCMA, PCMU)", CODECS.join(", ")))?;
        let names: Vec<String> =
            text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match names.iter().map(|name| config::codec(name)).collect::<Result<Vec<_>, _>>() {
            Ok(_) => break names,
            Err(sentence) => println!("{sentence}"),
        }
    };
    let mut text = String::from("[[accounts]]\n");
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        }
    };
    add("uri", &format!("sip:{user}@{domain}"));
    add("name", &name);
    add("password", &password);
    add("server", &server);
    add("transport", &transport);
    add("encryption", encryption);
    if !codecs.is_empty() {
        let names: Vec<String> = codecs.iter().map(|name| quoted(name)).collect();
        text.push_str(&format!("codecs = [{}]\n", names.join(", ")));
    }
    write(&file, &text).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    // What was written is what is read.
    config::read(&file).map_err(|problem| problem.to_string())?;
    println!("\nWritten. `softphone` opens the screen; `softphone register --for 0s` tries the password.");
    Ok(())
}

/// Adds to the file, which only its owner may read: it holds a password.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file)?;
    if out.metadata()?.len() > 0 {
        out.write_all(b"\n")?;
    }
    out.write_all(text.as_bytes())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn ask(question: &str) -> Result<String, String> {
    print!("{question}: ");
    io::stdout().flush().map_err(|error| error.to_string())?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err("the questions were not answered: nothing was written".to_owned()),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(format!("the terminal fails: {error}")),
    }
}

fn choice<'c>(question: &str, choices: &[&'c str], default: &'c str) -> Result<&'c str, String> {
    loop {
        let text = ask(question)?;
        if text.is_empty() {
            return Ok(default);
        }
        match choices.iter().find(|choice| **choice == text) {
            Some(choice) => return Ok(choice),
            None => println!("`{text}` is none of {}", choices.join(", ")),
        }
    }
}
