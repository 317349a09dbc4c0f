//! A gateway on loopback with an exchange behind it, for tests with real peers.
#![allow(dead_code)]

pub(crate) mod ladder;

use denwa::evidence::Cause;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{PATIENCE, Ports, Scratch, wait_until};
use gateway::config::Config;
use gateway::gateway::{Command, Event};
use gateway::run::Running;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The password of every extension of the exchange, and of every user of the gateway.
pub(crate) const PASSWORD: &str = "wave-kettle-41";

pub(crate) struct Town {
    pub(crate) scratch: Scratch,
    pub(crate) ports: Ports,
    /// Where the exchange listens.
    pub(crate) exchange: u16,
    pub(crate) gateway: Gate,
}

/// A running gateway and its log.
pub(crate) struct Gate {
    running: Option<Running>,
    lines: Arc<Mutex<Vec<String>>>,
    causes: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    pub(crate) fn start(text: &str) -> Self {
        let config = Config::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (lines, causes) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (log, found) = (Arc::clone(&lines), Arc::clone(&causes));
        let running = gateway::run::start(config, move |event| match event {
            Event::Line(line) => log.lock().unwrap().push(line),
            Event::Ended(evidence) => {
                // What a busy machine lost on its own loopback is no fault of either end.
                let causes = evidence.findings().into_iter().map(|found| found.cause);
                let causes = causes.filter(|cause| *cause != Cause::PacketLoss);
                found.lock().unwrap().extend(causes.map(|cause| format!("{cause:?}")));
            }
            Event::Guest { .. } | Event::Note(_) => {}
        });
        Self { running: Some(running.unwrap()), lines, causes }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line with this in it.
    pub(crate) fn wait_for(&self, text: &str) {
        let there = wait_until(PATIENCE, || self.log().contains(text));
        assert!(there, "the gateway never said `{text}`:\n{}", self.log());
    }

    /// Ends it; the causes that were found in its calls.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.stop();
        self.causes.lock().unwrap().clone()
    }

    /// Ends it; all that it has logged.
    pub(crate) fn end_and_tell(mut self) -> Vec<String> {
        self.stop();
        self.lines.lock().unwrap().clone()
    }

    fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.handle().command(Command::Stop).unwrap();
        running.join().unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.handle().command(Command::Stop);
            let _ = running.join();
        }
    }
}

/// An exchange with the extensions 1001 to 1005 on loopback, in this process; `more` goes into each extension.
pub(crate) fn exchange(scratch: &Scratch, ports: &mut Ports, more: &str) -> u16 {
    let sip = ports.take(2);
    let first = ports.take(200);
    let mut text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\"]\nrealm = \"pbx.example\"\n\n[network]\nexternal = \"auto\"\nlocal = [\"127.0.0.0/8\"]\n\n\
         [media]\nports = [\"{first}-{}\"]\n\n[store]\nurl = \"sqlite:{}\"\n\n[calls]\nannouncements = false\n\n",
        first + 199,
        scratch.path().join("pbx.db").display()
    );
    for number in 1001..=1005 {
        text += &format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"{PASSWORD}\"\n{more}\n\n");
    }
    let file = scratch.path().join("pbx.toml");
    std::fs::write(&file, text).unwrap();
    std::thread::spawn(move || {
        pbx::commands::main(["pbx".into(), "--config".into(), file.into_os_string()]);
    });
    answers(sip);
    sip
}

/// Waits until OPTIONS are answered there.
pub(crate) fn answers(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let local = socket.local_addr().unwrap();
    let mut attempt = 0;
    let ready = wait_until(PATIENCE, || {
        attempt += 1;
        let request = format!(
            "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready{attempt};rport\r\n\
             From: <sip:ready@{local}>;tag=r{attempt}\r\nTo: <sip:127.0.0.1:{port}>\r\nCall-ID: ready{attempt}@{local}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = socket.send_to(request.as_bytes(), ("127.0.0.1", port));
        let mut buffer = [0; 2048];
        socket.recv(&mut buffer).is_ok_and(|count| buffer[..count].starts_with(b"SIP/2.0 "))
    });
    assert!(ready, "nobody answers OPTIONS on {port}");
}

/// A baresip that has registered with the exchange and lifts by itself.
pub(crate) fn phone(
    town: (&Scratch, &mut Ports, u16),
    user: &str,
    codecs: &str,
    parameters: &str,
    says: &[i16],
) -> Phone {
    let (scratch, ports, exchange) = town;
    let registrar = format!("127.0.0.1:{exchange}");
    let account = Account { codecs, parameters, ..Account::registered(user, PASSWORD, &registrar) };
    let phone = Phone::start(&account, scratch.path(), ports, says);
    phone.wait_registered();
    phone
}
