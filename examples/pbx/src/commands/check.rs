//! `pbx check FILE`: everything that is wrong with a configuration file, or what it amounts to.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{Config, LoadError, Secret};
use crate::secrets::SEALED;

pub(super) fn check(file: &Path, as_json: bool) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(LoadError::Wrong { problems, .. }) if as_json => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            super::say(&format!("{:#}\n", json!({ "problems": problems })));
            return ExitCode::FAILURE;
        }
        Err(LoadError::Wrong { path, problems }) => {
            for problem in &problems {
                eprintln!("{}: {problem}", path.display());
            }
            return ExitCode::FAILURE;
        }
        Err(error @ (LoadError::Read { .. } | LoadError::Secret { .. })) => return super::failed(error),
    };
    if as_json {
        super::say(&format!("{:#}\n", json!({ "problems": [], "summary": summary(&config) })));
        return ExitCode::SUCCESS;
    }
    let open = open_secrets(file);
    let hint = match open {
        0 => String::new(),
        _ => format!(
            " The secrets of {} stand in it in the open: `pbx seal` encrypts what is read by others at rest.",
            counted(open, "trunk")
        ),
    };
    super::say(&format!("{}: nothing is wrong with it. {}{hint}\n", file.display(), summary(&config)));
    ExitCode::SUCCESS
}

/// How many trunks' secrets stand in the file itself, neither sealed nor kept elsewhere.
fn open_secrets(file: &Path) -> usize {
    let written = std::fs::read_to_string(file).ok().and_then(|text| Config::parse(&text).ok());
    let is_open = |secret: &Secret| {
        let text = secret.reveal();
        !text.is_empty() && !["env:", "file:", SEALED].iter().any(|kept| text.starts_with(kept))
    };
    let trunks = written.iter().flat_map(|config| &config.trunks);
    trunks.filter(|trunk| trunk.account.as_ref().is_some_and(|account| is_open(&account.password))).count()
}

fn summary(config: &Config) -> String {
    let listen: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
    let services: Vec<String> =
        config.services.listed().map(|(service, number)| format!("{number} {service}")).collect();
    format!(
        "It listens on {}, keeps its store in {}, uses the RTP ports {}, and has {}, {}, {} and {}.",
        listen.join(", "),
        config.store.url,
        config.media.ports,
        counted(config.extensions.len(), "extension"),
        counted(config.trunks.len(), "trunk"),
        counted(config.routes.len(), "route"),
        if services.is_empty() {
            "no service numbers".to_owned()
        } else {
            format!("the service numbers {}", services.join(", "))
        },
    )
}

/// `no trunks`, `1 trunk`, `2 trunks`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        more => format!("{more} {noun}s"),
    }
}
