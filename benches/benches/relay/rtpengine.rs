//! rtpengine without its kernel module, told of each call over its own control protocol.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::load::{Cost, G711, Phones, Relay, process_time, resident};

struct Engine {
    child: Child,
    control: UdpSocket,
    cookie: u32,
}

impl Engine {
    fn start() -> Option<Self> {
        let program = ["/usr/sbin/rtpengine", "/usr/bin/rtpengine"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = {
            let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        let child = Command::new(program)
            .args([
                "--config-file=none",
                "--table=-1",
                "--interface=127.0.0.1",
                "--foreground",
                "--log-stderr",
            ])
            .args([&format!("--listen-ng=127.0.0.1:{port}"), "--port-min=20000", "--port-max=40000"])
            .args(["--log-level=2", "--num-threads=1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        control.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        control.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut engine = Self { child, control, cookie: 0 };
        (0..30).any(|_| engine.ask("d7:command4:pinge").is_some()).then_some(engine)
    }

    /// A question in bencode; the answer without its cookie.
    fn ask(&mut self, question: &str) -> Option<String> {
        self.cookie += 1;
        let cookie = format!("c{} ", self.cookie);
        let mut buffer = [0; 8192];
        for _ in 0..5 {
            if self.control.send(format!("{cookie}{question}").as_bytes()).is_err() {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            // Refused: it does not listen yet.
            loop {
                let length = match self.control.recv(&mut buffer) {
                    Ok(length) => length,
                    Err(error) => {
                        if error.kind() == io::ErrorKind::ConnectionRefused {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                        break;
                    }
                };
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if let Some(answer) = text.strip_prefix(&cookie) {
                    return Some(answer.to_owned());
                }
            }
        }
        None
    }

    /// Where it receives for the description it is given.
    fn describe(&mut self, command: &str, call: usize, phone: SocketAddr, payload_type: u8) -> SocketAddr {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP {payload_type}\r\n",
            phone.port()
        );
        let string = |text: &str| format!("{}:{text}", text.len());
        let mut question = String::from("d");
        for (key, value) in
            [("call-id", format!("call{call}")), ("command", command.to_owned()), ("from-tag", "a".into())]
        {
            question += &format!("{}{}", string(key), string(&value));
        }
        question += &format!("{}{}", string("sdp"), string(&sdp));
        if command == "answer" {
            question += &format!("{}{}", string("to-tag"), string("b"));
        }
        question.push('e');
        let answer = self.ask(&question).unwrap_or_else(|| panic!("rtpengine does not answer"));
        let port = answer.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_else(|| panic!("{answer}"))))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn relay(phones: &Phones) -> Option<Cost> {
    let mut engine = Engine::start()?;
    let process = engine.child.id();
    let before = resident(&process.to_string());
    let mut legs = Vec::new();
    for call in 0..phones.calls {
        // What the callee is told is where it sends to, and the other way round.
        let callee = engine.describe("offer", call, phones.address(), 0);
        let caller = engine.describe("answer", call, phones.address(), 0);
        legs.extend([caller, callee]);
    }
    let used = || process_time(process);
    let mut cost = phones.talk(&Relay {
        legs,
        used: &used,
        keying: None,
        payload_types: [0, 0],
        ticks: [160; 2],
        payloads: [G711; 2],
    });
    cost.kilobytes_per_call = Some((resident(&process.to_string()) - before) / phones.calls as f64);
    Some(cost)
}
