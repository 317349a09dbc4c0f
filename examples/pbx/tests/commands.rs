//! The commands as an operator types them: what they print, and how they exit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder that is gone when the test ends, and commands run in it.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pbx-commands-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn pbx(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pbx")).args(arguments).current_dir(&self.0).output().unwrap()
    }

    /// What a command prints that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.pbx(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && error.is_empty(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of that must fail with exit code 1.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.pbx(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILE: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n\
                    [[extensions]]\nnumber = \"1001\"\nname = \"Kitchen\"\npassword = \"secret\"\n";

#[test]
fn check_tells_what_a_good_file_amounts_to() {
    let desk = Desk::new("good").file("pbx.toml", FILE);
    assert_eq!(
        desk.done(&["check", "pbx.toml"]),
        "pbx.toml: nothing is wrong with it. It listens on udp:127.0.0.1:5060, keeps its store in \
         sqlite:pbx-data/pbx.db, uses the RTP ports 20000-20999, and has 1 extension, no trunks, no routes and the \
         service numbers 100 milliwatt, 117 clock, 123 greeting, 160 conference, 184 read_back, 186 echo, 188 music, *97 voicemail, *68 parking, *8 pick_up, *55 wake_up, *66 call_back, *0 dial_tone.\n"
    );
    assert!(!desk.0.join("pbx-data").exists(), "a check makes nothing");
}

#[test]
fn check_tells_line_column_and_what_was_expected() {
    let desk = Desk::new("bad").file("pbx.toml", "[sip]\nlistn = []\n[media]\nports = [\"20000:20999\"]\n");
    assert_eq!(
        desk.refused(&["check", "pbx.toml"]),
        "pbx.toml: line 2, column 1: sip.listn: is not a key that is known here; did you mean `listen`?\n\
         pbx.toml: line 4, column 10: media.ports[0]: \"20000:20999\" is not a range of ports, expected FIRST-LAST as \
         20000-20999\n"
    );
    assert!(
        desk.refused(&["check", "other.toml"])
            .starts_with("pbx: cannot read the configuration file other.toml: ")
    );
}

#[test]
fn running_with_a_wrong_file_says_the_same_and_does_not_start() {
    let desk = Desk::new("run").file("pbx.toml", "[sip]\nrealm = 5\n");
    let expected =
        "pbx: pbx.toml: line 2, column 9: sip.realm: is a number, expected a string in quotation marks\n";
    assert_eq!(desk.refused(&["--config", "pbx.toml"]), expected);
    assert_eq!(desk.refused(&["run", "--config", "pbx.toml"]), expected);
}

#[test]
fn what_is_no_command_exits_with_two() {
    let desk = Desk::new("usage");
    assert_eq!(desk.pbx(&["fly"]).status.code(), Some(2));
    assert_eq!(desk.pbx(&["check"]).status.code(), Some(2));
    assert_eq!(desk.pbx(&["--version"]).status.code(), Some(0));
    assert!(desk.done(&["--help"]).contains("check"));
}

#[test]
fn extensions_are_made_listed_and_removed() {
    let desk = Desk::new("extensions");
    let made = desk.done(&["extensions", "add", "2001", "--name", "Workshop"]);
    let password = made.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(made, format!("Extension 2001 is made.\n    user      2001\n    password  {password}\n"));
    assert_eq!(password.len(), 16);
    assert!(desk.refused(&["extensions", "add", "2001"]).contains("is there already"));
    assert!(desk.refused(&["extensions", "add", "186"]).contains("186 is the service echo already"));
    assert!(desk.refused(&["extensions", "add", "a b"]).contains("is not a number to dial"));
    let changed = desk.done(&["extensions", "password", "2001", "--password", "other"]);
    assert!(changed.contains("has a new password") && changed.contains("password  other"));
    assert_eq!(
        desk.done(&["extensions", "list"]),
        "2001     Workshop             store  PCMA,PCMU  not registered\n"
    );
    assert_eq!(desk.done(&["extensions", "remove", "2001"]), "Extension 2001 is removed.\n");
    assert_eq!(desk.refused(&["extensions", "remove", "2001"]), "pbx: there is no extension 2001\n");
    assert_eq!(desk.done(&["extensions", "list"]), "");
}

#[test]
fn the_file_wins_over_the_store_and_the_commands_say_so() {
    let desk = Desk::new("wins").file("pbx.toml", FILE);
    let made = desk.done(&["--config", "pbx.toml", "extensions", "add", "1001"]);
    assert!(made.contains("Extension 1001 is in pbx.toml too, and the file wins"), "{made}");
    let list = desk.done(&["extensions", "list", "--config", "pbx.toml"]);
    assert!(list.starts_with("1001     Kitchen              file   PCMA,PCMU  not registered\n"), "{list}");
    assert!(list.contains("note: extension 1001 is in pbx.toml and in the store: the file wins"), "{list}");
    let removed = desk.done(&["--config", "pbx.toml", "extensions", "remove", "1001"]);
    assert!(removed.contains("it is in pbx.toml too, which wins: it goes on"), "{removed}");
    assert!(
        desk.refused(&["--config", "pbx.toml", "extensions", "password", "1001"]).contains("is in pbx.toml")
    );
}

#[test]
fn a_store_that_cannot_be_written_is_one_clear_sentence() {
    let desk = Desk::new("store").file("folder", "a file where a folder should be");
    let desk = desk.file("pbx.toml", "[store]\nurl = \"sqlite:folder/pbx.db\"\n");
    let error = desk.refused(&["--config", "pbx.toml", "extensions", "list"]);
    assert!(error.starts_with("pbx: cannot make the folder folder for the store: "), "{error}");
    assert_eq!(error.lines().count(), 1);
}
