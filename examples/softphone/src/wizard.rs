//! The wizard: asks for an account and writes it to the file.

use crate::arguments::Arguments;
use crate::config::{self, CODECS, Config};
use crate::ui::Language;
use crate::{identity, interface, secret};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

/// Asks, and writes.
///
/// # Errors
/// One sentence: there is nobody to ask, or the file is broken or cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let file = match &arguments.config {
        Some(file) => file.clone(),
        None => identity::default_file().ok_or("there is no folder for the file: name one with --config")?,
    };
    // What is there already is kept, and an account added to something broken would be lost.
    let before = if file.exists() {
        config::read(&file).map_err(|problem| problem.to_string())?
    } else {
        Config::default()
    };
    let it = Wizard { language: interface::language(arguments, &before) };
    let place = file.display();
    println!(
        "{}\n",
        it.say(
            format!("An account for this telephone. It is written to {place}. Ctrl-C breaks off."),
            format!("この電話機のアカウントを設定します。{place} に書き込まれます。Ctrl-C で中止できます。"),
        )
    );
    let text = it.account()?;
    write(&file, &text).map_err(|error| format!("{place} cannot be written: {error}"))?;
    // What was written is what is read.
    config::read(&file).map_err(|problem| problem.to_string())?;
    let named = arguments.config.as_ref().map(|_| format!(" --config {place}")).unwrap_or_default();
    println!(
        "\n{}",
        it.say(
            format!("Written. `softphone{named}` opens the screen; `softphone{named} register --for 0s` tries the password."),
            format!("書き込みました。`softphone{named}` で画面が開きます。`softphone{named} register --for 0s` でパスワードを試せます。"),
        )
    );
    Ok(())
}

/// The questions, in a language.
struct Wizard {
    language: Language,
}

impl Wizard {
    /// The account, as the file has it.
    fn account(&self) -> Result<String, String> {
        let (user, domain, way) = self.until_right(
            ("Address, as 1001@pbx.example", "アドレス (例: 1001@pbx.example)"),
            "アドレスではありません。1001@pbx.example のように入力してください。",
            |text| {
                let address = config::address(text)?;
                address.2.as_deref().map(config::transport).transpose()?;
                Ok(address)
            },
        )?;
        let name = self.ask("Name that others see (may be empty)", "相手に表示される名前 (省略できます)")?;
        let password =
            if io::stdin().is_terminal() {
                secret::prompt(self.language.pick(
                    "Password (not shown; may be empty): ",
                    "パスワード (表示されません。省略できます): ",
                ))?
            } else {
                self.ask("Password", "パスワード")?
            };
        let server = self.until_right(
            ("Server, when it is not the domain (may be empty)", "サーバー (ドメインと違う場合だけ)"),
            "サーバーの名前かアドレスではありません。必要なら :ポート を付けてください。",
            |text| if text.is_empty() { Ok(String::new()) } else { config::server(text) },
        )?;
        let usual = way.unwrap_or_else(|| "udp".to_owned());
        let transport = self.until_right(
            (
                &format!("Transport: udp, tcp, tls, ws or wss (empty: {usual})"),
                &format!("トランスポート: udp, tcp, tls, ws, wss (空なら {usual})"),
            ),
            "udp, tcp, tls, ws, wss のどれかを入力してください。",
            |text| {
                let text = if text.is_empty() { usual.clone() } else { text.to_ascii_lowercase() };
                config::transport(&text).map(|_| text)
            },
        )?;
        let encryption = self.until_right(
            (
                "Encryption of sound: off, offered or required (empty: offered)",
                "音声の暗号化: off (なし), offered (できれば), required (必須) (空なら offered)",
            ),
            "off, offered, required のどれかを入力してください。",
            |text| match text {
                "" => Ok("offered"),
                text => ["off", "offered", "required"]
                    .into_iter()
                    .find(|choice| *choice == text)
                    .ok_or_else(|| format!("`{text}` is none of off, offered, required")),
            },
        )?;
        let codecs = self.until_right(
            (
                &format!("Codecs, the most liked first, of {} (empty: PCMA, PCMU)", CODECS.join(", ")),
                &format!("コーデック、優先順 ({}) (空なら PCMA, PCMU)", CODECS.join(", ")),
            ),
            "この電話機にないコーデックがあります。上の一覧から選んでください。",
            |text| {
                let names = text.split([',', ' ', '、']).filter(|name| !name.is_empty());
                names.map(|name| config::codec(name).map(|_| quoted(name))).collect::<Result<Vec<_>, _>>()
            },
        )?;
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
            text.push_str(&format!("codecs = [{}]\n", codecs.join(", ")));
        }
        Ok(text)
    }

    fn say(&self, english: String, japanese: String) -> String {
        self.language.pick(english, japanese)
    }

    /// Asks until the answer makes sense.
    fn until_right<T>(
        &self,
        question: (&str, &str),
        wrong: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        loop {
            match read(&self.ask(question.0, question.1)?) {
                Ok(right) => return Ok(right),
                Err(sentence) => println!("{}", self.say(sentence, wrong.to_owned())),
            }
        }
    }

    fn ask(&self, english: &str, japanese: &str) -> Result<String, String> {
        print!("{}: ", self.language.pick(english, japanese));
        io::stdout().flush().map_err(|error| error.to_string())?;
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) => Err("the questions were not answered: nothing was written".to_owned()),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(format!("the terminal fails: {error}")),
        }
    }
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
