//! Voice robots: one that is called, and one that calls; the other end is a softphone on the other side of the gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
mod town;

use denwa::robot::{Said, SoundReader, to_bytes};
use denwa_interop::{PATIENCE, Ports, Scratch, at_last, audio};
use running::Running;
use softphone::phone::Outcome;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use town::Gate;
use tungstenite::{Message, WebSocket};

/// What a robot heard and was told until the end.
struct Heard {
    start: serde_json::Value,
    samples: Vec<i16>,
    texts: Vec<String>,
}

/// Talks as a robot does: says `says` all at once, listens, presses `keys`, and hangs up when it is told to or after `lasts`.
fn talk(mut socket: WebSocket<TcpStream>, says: &[i16], keys: &str, lasts: Duration) -> Heard {
    socket.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
    let start = socket.read().unwrap().into_text().unwrap();
    let mut heard =
        Heard { start: serde_json::from_str(&start).unwrap(), samples: Vec::new(), texts: Vec::new() };
    // Cut where no sample ends, as networks do.
    for piece in to_bytes(says).chunks(3333) {
        socket.send(Message::binary(piece.to_vec())).unwrap();
    }
    let (mut reader, end) = (SoundReader::default(), Instant::now() + lasts);
    let mut pressed = keys.is_empty();
    while Instant::now() < end {
        match socket.read() {
            Ok(Message::Binary(bytes)) => heard.samples.extend(reader.read(&bytes)),
            Ok(Message::Text(text)) => {
                heard.texts.push(text.as_str().to_owned());
                if text.contains("stop") {
                    return heard;
                }
            }
            Ok(_) => {}
            Err(_) => return heard,
        }
        if !pressed && heard.samples.len() > 8000 {
            pressed = true;
            let text = format!(r#"{{"event":"digits","digits":"{keys}"}}"#);
            assert_eq!(Said::read(&text), Said::Digits(keys.to_owned()));
            socket.send(Message::text(text)).unwrap();
        }
    }
    socket.send(Message::text(r#"{"event":"hangup"}"#)).unwrap();
    let _ = socket.flush();
    heard
}

fn gate(ports: &mut Ports, robots: &str, phones: &str) -> Gate {
    let first = ports.take(20);
    Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [[sides]]\nname = \"robots\"\nkind = \"pcm\"\nsample_rate = 8000\n{robots}\n\
         [[sides]]\nname = \"phones\"\nfrom = [\"127.0.0.2\"]\n{phones}\ncodecs = [\"PCMA\"]\n",
        first + 19
    ))
}

#[test]
fn a_robot_is_called() {
    at_last(robot_called);
}

fn robot_called() -> Result<(), String> {
    let (scratch, mut ports) = (Scratch::new("gateway-robot"), Ports::block());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let robot = listener.local_addr().unwrap();
    let (ann, hal) = (audio::signal(31, 3), audio::signal(32, 3));
    let says = hal.clone();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        tell.send(talk(socket, &says, "", Duration::from_secs(60))).unwrap();
    });
    let routes = format!("to = \"ws://{robot}/calls\"\n");
    let gate = gate(
        &mut ports,
        &routes,
        "\n[[routes]]\nfrom = \"phones\"\nto = \"robots\"\n[[sides]]\nname = \"spare\"\nto = \"udp:127.0.0.9:5060\"\n",
    );
    let path = |name: &str| scratch.path().join(name);
    softphone::wav::write(&path("ann.wav"), &ann, 8000).unwrap();
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:42@{} --user ann --listen udp:127.0.0.2:0 --codecs PCMA --play {} --record {} --digits 7 --expect-audio --hangup-after 6s",
        gate.running().listening()[0].address,
        path("ann.wav").display(),
        path("heard.wav").display()
    ))
    .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}\n{}", gate.log());
    let robot = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((robot.start["from"].as_str(), robot.start["to"].as_str()), (Some("ann"), Some("42")));
    assert_eq!(robot.start["format"]["sample_rate"], 8000);
    assert!(robot.texts.contains(&denwa::robot::digit('7')), "{:?}", robot.texts);
    let said = audio::likeness(&hal, &softphone::wav::read(&path("heard.wav"), 8000).unwrap());
    // Her first second went under the key.
    let heard = audio::likeness(&ann[8000..], &robot.samples);
    assert_eq!(gate.end(), Vec::<String>::new());
    let good = said > 0.9 && heard > 0.9;
    good.then_some(()).ok_or(format!("the robot was heard: {said}, it heard: {heard}"))
}

#[test]
fn a_robot_calls_and_one_that_is_not_there_is_told_of() {
    at_last(robot_calls);
}

fn robot_calls() -> Result<(), String> {
    let (scratch, mut ports) = (Scratch::new("gateway-robot-calls"), Ports::block());
    let hal = audio::signal(33, 3);
    let path = |name: &str| scratch.path().join(name);
    let mut bob = Running::start(&format!(
        "softphone answer --user 200 --listen udp:127.0.0.1:0 --calls 1 --codecs PCMA --record {}",
        path("heard.wav").display()
    ));
    let port = bob.expect("listening on udp:");
    let gate = gate(
        &mut ports,
        "to = \"ws://127.0.0.1:9/nobody\"\n",
        &format!(
            "to = \"udp:{port}\"\n[[routes]]\nfrom = \"robots\"\nto = \"phones\"\n[[routes]]\nfrom = \"phones\"\nto = \"robots\"\n\
                  [[sides]]\nname = \"spare\"\nto = \"udp:127.0.0.9:5060\"\n"
        ),
    );
    let web = gate.running().page().unwrap();
    let stream = TcpStream::connect(web).unwrap();
    let (socket, _) =
        tungstenite::client(format!("ws://{web}/robots/robot?to=200&from=hal"), stream).unwrap();
    let heard = talk(socket, &hal, "5", Duration::from_secs(6));
    assert_eq!(heard.start["to"], "200");
    let (outcome, lines) = bob.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}\n{}", gate.log());
    assert!(lines.contains(&"key 5".to_owned()), "{lines:#?}");
    let said = audio::likeness(&hal, &softphone::wav::read(&path("heard.wav"), 8000).unwrap());
    // The other way round there is nobody.
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:42@{} --listen udp:127.0.0.2:0 --codecs PCMA",
        gate.running().listening()[0].address
    ))
    .end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(lines.iter().any(|line| line.contains("480")), "{lines:#?}");
    assert!(gate.log().contains("no robot: ws://127.0.0.1:9/nobody"), "{}", gate.log());
    (said > 0.9).then_some(()).ok_or(format!("the robot was heard: {said}"))
}
