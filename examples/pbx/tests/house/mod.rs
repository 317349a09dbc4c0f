//! An exchange with a few extensions on the loopback, and what its commands say.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::phone::{Phone, Program, folder, free_port};

/// See the module's words.
pub struct House {
    pub program: Program,
    pub server: SocketAddr,
    /// Where a neighbour is, when the tables name `TRUNK`.
    pub trunk: SocketAddr,
}

impl House {
    /// With the extensions 1001, 1002 …, `more` lines for each of them.
    pub fn new(name: &str, more: &[&str], tables: &str) -> Self {
        let (port, trunk) = (free_port(), free_port());
        let extensions: String = (1001..)
            .zip(more)
            .map(|(number, more)| {
                format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n{more}\n")
            })
            .collect();
        let text = format!(
            "{extensions}{}\n[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n",
            tables.replace("TRUNK", &format!("udp:127.0.0.1:{trunk}"))
        );
        let program = Program::start(folder(name), &text);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { program, server: at(port), trunk: at(trunk) }
    }

    /// A telephone of an extension, registered.
    pub fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    /// What a command prints.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml"])
            .args(arguments)
            .current_dir(&self.program.folder)
            .output()
            .unwrap()
    }

    /// What a command prints as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
