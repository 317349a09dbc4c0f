//! Two softphones with the gateway between them, on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
#[path = "../../softphone/tests/running/sound.rs"]
mod sound;

use denwa_interop::{Ports, at_last};
use gateway::config::Config;
use gateway::gateway::{Command, Event};
use running::Running;
use softphone::phone::Outcome;
use softphone::wav;
use sound::{noise, share_heard};
use std::path::Path;
use std::sync::mpsc;

/// The gateway from 127.0.0.2 (inside) to whoever answers at `port` (line), and its log.
struct Between {
    driver: gateway::run::Running,
    told: mpsc::Receiver<Event>,
    address: String,
    _ports: Ports,
}

impl Between {
    fn start(port: &str, inside: &str, line: &str) -> Self {
        let mut ports = Ports::block();
        let first = ports.take(40);
        let last = first + 39;
        let text = format!(
            r#"
            [sip]
            listen = ["udp:127.0.0.1:0"]
            [media]
            ports = ["{first}-{last}"]
            [[sides]]
            name = "inside"
            from = ["127.0.0.2"]
            codecs = [{inside}]
            [[sides]]
            name = "line"
            to = "udp:{port}"
            codecs = [{line}]
            [[routes]]
            from = "inside"
            to = "line"
            prefix = "9"
            strip = 1
            "#
        );
        let (tell, told) = mpsc::channel();
        let config = Config::parse(&text).unwrap();
        let driver = gateway::run::start(config, move |event| drop(tell.send(event))).unwrap();
        let address = driver.listening()[0].address.to_string();
        Self { driver, told, address, _ports: ports }
    }

    /// The log, and the causes found in each call.
    fn end(self) -> (Vec<String>, Vec<String>) {
        self.driver.handle().command(Command::Stop).unwrap();
        self.driver.join().unwrap();
        let (mut lines, mut causes) = (Vec::new(), Vec::new());
        for event in self.told {
            match event {
                Event::Line(line) => lines.push(line),
                Event::Guest { .. } | Event::Note(_) => {}
                Event::Ended(evidence) => {
                    causes.extend(evidence.findings().iter().map(|finding| format!("{:?}", finding.cause)));
                }
            }
        }
        (lines, causes)
    }
}

#[test]
fn a_call_passes_with_its_sound_untouched() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("passes");
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let (ann, bob) = (noise(1), noise(2));
    wav::write(&folder.join("ann.wav"), &ann, 8000).unwrap();
    wav::write(&folder.join("bob.wav"), &bob, 8000).unwrap();
    at_last(|| {
        let mut answers = Running::start(&format!(
            "softphone answer --user 200 --listen udp:127.0.0.1:0 --calls 1 --play {} --record {} --expect-audio",
            path("bob.wav"),
            path("bob-heard.wav")
        ));
        let port = answers.expect("listening on udp:");
        let between = Between::start(&port, "\"PCMA\"", "\"PCMU\", \"PCMA\"");
        let (outcome, lines) = Running::start(&format!(
        "softphone call sip:9200@{} --user ann --listen udp:127.0.0.2:0 --play {} --record {} --digits 7 --expect-audio --hangup-after 3s",
        between.address,
        path("ann.wav"),
        path("ann-heard.wav")
    ))
    .end();
        assert_eq!(outcome, Outcome::Good, "{lines:#?}");
        let (outcome, lines) = answers.end();
        assert_eq!(outcome, Outcome::Good, "{lines:#?}");
        assert!(
        lines
            .iter()
            .any(|line| line.starts_with("call from <sip:ann@") || line.starts_with("call from sip:ann@")),
        "{lines:#?}"
    );
        assert!(lines.contains(&"key 7".to_owned()), "{lines:#?}");
        let share = share_heard(&bob, &wav::read(&folder.join("ann-heard.wav"), 8000).unwrap());
        // Ann's first half second went under the key.
        let other = share_heard(&ann[4000..], &wav::read(&folder.join("bob-heard.wav"), 8000).unwrap());
        let (log, causes) = between.end();
        if share < 0.97 || other < 0.95 {
            return Err(format!("what Bob said reached Ann: {share}, what Ann said reached Bob: {other}"));
        }
        assert_eq!(causes, Vec::<String>::new(), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("ann calls 200")), "{log:#?}");
        Ok(())
    });
}

#[test]
fn sides_of_different_codecs_are_converted() {
    let mut answers = Running::start(
        "softphone answer --user 200 --listen udp:127.0.0.1:0 --calls 1 --codecs PCMU --expect-audio",
    );
    let port = answers.expect("listening on udp:");
    let between = Between::start(&port, "\"PCMA\"", "\"PCMU\"");
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:9200@{} --listen udp:127.0.0.2:0 --codecs PCMA --expect-audio --hangup-after 4s",
        between.address
    ))
    .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    assert_eq!(answers.end().0, Outcome::Good);
    assert_eq!(between.end().1, Vec::<String>::new());
}

#[test]
fn strangers_wrong_numbers_and_refusals() {
    let mut answers =
        Running::start("softphone answer --user 200 --listen udp:127.0.0.1:0 --codecs PCMU --calls 1");
    let port = answers.expect("listening on udp:");
    let between = Between::start(&port, "\"PCMA\"", "\"PCMA\"");
    let call = |number: &str, from: &str, codecs: &str| {
        let line = format!(
            "softphone call sip:{number}@{} --listen udp:{from}:0 --codecs {codecs}",
            between.address
        );
        let (outcome, lines) = Running::start(&line).end();
        assert_eq!(outcome, Outcome::Failed);
        lines.into_iter().find(|line| line.starts_with("call ended")).unwrap()
    };
    assert!(call("9200", "127.0.0.3", "PCMA").starts_with("call ended: refused: 403"));
    assert!(call("200", "127.0.0.2", "PCMA").starts_with("call ended: refused: 404"));
    let mismatch = call("9200", "127.0.0.2", "PCMU");
    assert!(mismatch.starts_with("call ended: refused: 488") && mismatch.contains("PCMU"), "{mismatch}");
    // The callee's own refusal comes through with its words.
    let refused = call("9200", "127.0.0.2", "PCMA");
    assert!(refused.starts_with("call ended: refused: 488") && refused.contains("PCMA"), "{refused}");
    assert_eq!(answers.end().0, Outcome::Failed);
    let (log, causes) = between.end();
    assert_eq!(causes, ["NoCommonCodec", "NoCommonCodec"], "{log:#?}");
    assert!(log.iter().any(|line| line.contains("it is of no side")), "{log:#?}");
}
