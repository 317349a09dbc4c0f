//! A bridge between telephone calls and a voice robot: each call becomes a WebSocket to the robot's server.
//!
//! `cargo run -p denwa --example voice_robot -- udp:127.0.0.1:5060 ws://127.0.0.1:9000/`
//!
//! What they say to one another is in [`denwa::robot`]; the caller's voice comes in messages of 20 ms.

use denwa::media;
use denwa::robot::{self, Said, SoundReader, Start};
use denwa::tokio::Telephone;
use denwa::ua::{CallId, Event};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::net::TcpStream;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

const RATE: u32 = 16_000;

/// A call and its robot.
struct Robot {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    /// What it said and the caller has not heard yet.
    said: VecDeque<i16>,
    reader: SoundReader,
    hangs_up: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, server, ..] = arguments.as_slice() else {
        return Err("voice_robot LISTEN ws://SERVER".into());
    };
    let (telephone, events) = Telephone::start(&[listen.parse()?], |config| config.sample_rate_hz = RATE)?;
    println!("listening on {}", telephone.listening()[0]);
    let mut robots: HashMap<CallId, Robot> = HashMap::new();
    for event in events {
        match event {
            Event::Incoming { call, from, .. } => match Robot::connect(server, call, &from) {
                Ok(robot) => {
                    robots.insert(call, robot);
                    telephone.with(move |agent, now| agent.answer(call, now))??;
                }
                Err(error) => {
                    println!("no robot for {call}: {error}");
                    let unavailable = denwa_sip_core::StatusCode::TEMPORARILY_UNAVAILABLE;
                    telephone.with(move |agent, now| drop(agent.refuse(call, unavailable, now)))?;
                }
            },
            Event::Sound { call, samples } => {
                let Some(robot) = robots.get_mut(&call) else { continue };
                let said = robot.exchange(&samples);
                let hangs_up = robot.hangs_up;
                telephone.with(move |agent, now| {
                    drop(agent.say(call, &said));
                    if hangs_up {
                        drop(agent.hang_up(call, now));
                    }
                })?;
            }
            Event::Media { call, event: media::Event::Digit { digit, .. } } => {
                if let Some(robot) = robots.get_mut(&call) {
                    robot.tell(&robot::digit(digit));
                }
            }
            Event::Ended { call, reason, .. } => {
                println!("{call}: {reason}");
                if let Some(mut robot) = robots.remove(&call) {
                    robot.tell(&robot::stop());
                    let _ = robot.socket.close(None);
                    let _ = robot.socket.flush();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Robot {
    fn connect(server: &str, call: CallId, from: &str) -> Result<Self, Box<dyn Error>> {
        let (mut socket, _) = tungstenite::connect(server)?;
        let start = Start { call: &call.to_string(), from, to: "", sample_rate_hz: RATE };
        socket.send(Message::text(start.to_text()))?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            // From now on the caller's voice is the clock: the robot is asked at each beat whether it has said something.
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        Ok(Self { socket, said: VecDeque::new(), reader: SoundReader::default(), hangs_up: false })
    }

    fn tell(&mut self, text: &str) {
        // A robot that went away hangs up.
        self.hangs_up |= self.socket.send(Message::text(text)).is_err_and(|error| !is_patience(&error));
    }

    /// 20 ms of the caller's voice for as much of the robot's.
    fn exchange(&mut self, heard: &[i16]) -> Vec<i16> {
        let bytes = robot::to_bytes(heard);
        self.hangs_up |= self.socket.send(Message::binary(bytes)).is_err_and(|error| !is_patience(&error));
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.said.extend(self.reader.read(&bytes)),
                Ok(Message::Text(text)) => match Said::read(&text) {
                    Said::Clear => self.said.clear(),
                    Said::HangUp => self.hangs_up = true,
                    Said::Digits(_) | Said::Other => {}
                },
                Ok(Message::Close(_)) => self.hangs_up = true,
                Ok(_) => {}
                Err(error) => {
                    self.hangs_up |= !is_patience(&error);
                    break;
                }
            }
        }
        let count = heard.len().min(self.said.len());
        let mut said: Vec<i16> = self.said.drain(..count).collect();
        said.resize(heard.len(), 0);
        said
    }
}

/// Nothing to read, or no room to write, just now.
fn is_patience(error: &tungstenite::Error) -> bool {
    matches!(error, tungstenite::Error::Io(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}
