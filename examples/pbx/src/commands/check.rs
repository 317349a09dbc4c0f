//! `pbx check FILE`: everything that is wrong with a configuration file, or what it amounts to.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{Config, LoadError};

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
    super::say(&format!("{}: nothing is wrong with it. {}\n", file.display(), summary(&config)));
    ExitCode::SUCCESS
}

fn summary(config: &Config) -> String {
    let listen: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
    let services: Vec<String> =
        config.services.listed().map(|(service, number)| format!("{number} {service}")).collect();
    format!(
        "It listens on {}, keeps its store in {}, uses the RTP ports {}, and has {}, {}, {} and {}.",
        listen.join(", "),
        config.store,
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
