//! The core without any runtime: one blocking UDP socket for signalling, one for media, one thread. Answers one call, says a
//! tone, and ends with it. `cargo run -p denwa --no-default-features --example blocking_udp -- 127.0.0.1:5060`

use denwa::Seed;
use denwa::driver::{Answer, Ask, Machine, Output, PortId, PortNews};
use denwa::ua::{Event, UserAgent, UserAgentConfig};
use denwa_codecs::tone::{Generator, Tone};
use denwa_sip_core::config::Listener;
use denwa_sip_core::io::RouteInfo;
use denwa_sip_core::{Input, Protocol};
use std::collections::HashMap;
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The agent and its sockets.
struct Program {
    agent: UserAgent,
    signalling: UdpSocket,
    ports: HashMap<PortId, UdpSocket>,
    tone: Generator,
    ended: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5060".to_owned());
    let signalling = UdpSocket::bind(address)?;
    let local = signalling.local_addr()?;
    println!("listening on udp:{local}");
    let config = UserAgentConfig::new(vec![Listener::new(Protocol::Udp, local)]);
    // A real program takes the seed from the system: tags and keys must not be guessed.
    let seed = Seed(std::array::from_fn(|n| std::process::id().to_le_bytes()[n % 4] ^ n as u8));
    let tone = Generator::new(&Tone::milliwatt(), 8000);
    let agent = UserAgent::new(config, seed, Instant::now());
    let mut program = Program { agent, signalling, ports: HashMap::new(), tone, ended: false };
    while !program.ended {
        program.do_what_is_wanted()?;
        program.wait()?;
    }
    Ok(())
}

impl Program {
    /// Everything the machine wants done, until it wants nothing more.
    fn do_what_is_wanted(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 2048];
        loop {
            let now = Instant::now();
            while let Some(packet) = self.agent.next_packet(&mut buffer, now) {
                if let Some(socket) = self.ports.get(&packet.port) {
                    socket.send_to(&buffer[..packet.length], packet.destination)?;
                }
            }
            let Some(output) = self.agent.poll_output() else { return Ok(()) };
            match output {
                Output::Transmit(transmit) => {
                    self.signalling.send_to(&transmit.payload, transmit.destination)?;
                }
                Output::SendFromPort { port, destination, payload } => {
                    if let Some(socket) = self.ports.get(&port) {
                        socket.send_to(&payload, destination)?;
                    }
                }
                Output::OpenPort { port, address } => {
                    let socket = UdpSocket::bind(address)?;
                    let address = socket.local_addr()?;
                    self.ports.insert(port, socket);
                    self.agent.handle_port(port, PortNews::Opened { address }, now);
                }
                Output::ClosePort { port } => drop(self.ports.remove(&port)),
                // One interface is all there is.
                Output::Ask { question, what: Ask::Route(_) } => {
                    let local = self.signalling.local_addr()?.ip();
                    let route = Some(RouteInfo { local, interface: "lo".into() });
                    self.agent.handle_answer(question, Answer::Route(route), now);
                }
                Output::Event(event) => self.react(event, now)?,
                // Streams and names: not in so small a program.
                _ => {}
            }
        }
    }

    fn react(&mut self, event: Event, now: Instant) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Incoming { call, .. } => self.agent.answer(call, now)?,
            Event::Sound { call, samples } => {
                let mut said = vec![0; samples.len()];
                self.tone.generate(&mut said);
                self.agent.say(call, &said)?;
            }
            Event::Ended { reason, .. } => {
                println!("{reason}");
                self.ended = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks at each socket in turn for a moment. A real program would poll them all at once.
    fn wait(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 65_535];
        let moment = Some(Duration::from_millis(1));
        self.signalling.set_read_timeout(moment)?;
        let local = self.signalling.local_addr()?;
        if let Some((length, remote)) = receive(&self.signalling, &mut buffer)? {
            let payload = &buffer[..length];
            self.agent.handle_input(Input::Datagram { local, remote, payload }, Instant::now());
        }
        for (port, socket) in &self.ports {
            socket.set_read_timeout(moment)?;
            while let Some((length, remote)) = receive(socket, &mut buffer)? {
                let news = PortNews::Datagram { remote, payload: &mut buffer[..length] };
                self.agent.handle_port(*port, news, Instant::now());
            }
        }
        let now = Instant::now();
        if self.agent.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.agent.handle_timeout(now);
        }
        Ok(())
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<Option<(usize, SocketAddr)>> {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}
