//! A PBX under test, started as its users start it: the binary, a file, a folder.
#![allow(dead_code)]

use std::{fs, net::UdpSocket, process::Command, time::Duration};

use denwa_interop::{PATIENCE, Peer, Ports, Scratch, baresip, baresip::Phone, wait_until};

/// The running exchange, its folder and its ports.
pub(crate) struct Exchange {
    pub(crate) scratch: Scratch,
    pub(crate) ports: Ports,
    pub(crate) sip_port: u16,
    /// For browsers: `ws:` here, `wss:` on the next one.
    pub(crate) web_port: u16,
    /// For a neighbour, who is called `{neighbour}` in the lines of configuration.
    pub(crate) neighbour_port: u16,
    pub(crate) media_ports: (u16, u16),
    pub(crate) peer: Peer,
    starts: u32,
}

/// The password of every extension of [`Exchange::start`].
pub(crate) const PASSWORD: &str = "wave-kettle-41";

impl Exchange {
    /// Starts one with the extensions 1001 to 1005, and `more` lines of configuration.
    pub(crate) fn start(name: &str, more: &str) -> Self {
        Self::start_with(name, &["PCMA", "PCMU"], more)
    }

    /// The same with the codecs that each extension may use.
    pub(crate) fn start_with(name: &str, codecs: &[&str], more: &str) -> Self {
        let scratch = Scratch::new(name);
        let mut ports = Ports::block();
        let sip_port = ports.take(2);
        let first = ports.take(300);
        let web_port = ports.take(2);
        let neighbour_port = ports.take(2);
        let codecs: Vec<_> = codecs.iter().map(|codec| format!("{codec:?}")).collect();
        let mut text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{sip_port}\", \"tcp:127.0.0.1:{sip_port}\", \"tls:127.0.0.1:{tls_port}\", \"ws:127.0.0.1:{web_port}\", \"wss:127.0.0.1:{safe_web_port}\"]\nrealm = \"pbx.example\"\n\n\
             [network]\nexternal = \"auto\"\nlocal = [\"127.0.0.0/8\"]\n\n\
             [media]\nports = [\"{first}-{last}\"]\n\n\
             [store]\nurl = \"sqlite:{store}\"\n\n",
            tls_port = sip_port + 1,
            safe_web_port = web_port + 1,
            last = first + 299,
            store = scratch.path().join("pbx-data/pbx.db").display(),
        );
        for number in 1001..=1005 {
            text += &format!(
                "[[extensions]]\nnumber = \"{number}\"\nname = \"Phone {number}\"\npassword = \"{PASSWORD}\"\ncodecs = [{}]\n\n",
                codecs.join(", ")
            );
        }
        text += &more.replace("{neighbour}", &neighbour_port.to_string());
        fs::write(scratch.path().join("pbx.toml"), text).unwrap();
        let peer = Self::launch(&scratch, 0);
        let media_ports = (first, first + 299);
        let exchange =
            Self { scratch, ports, sip_port, web_port, neighbour_port, media_ports, peer, starts: 0 };
        exchange.wait_answers();
        exchange
    }

    fn launch(scratch: &Scratch, number: u32) -> Peer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pbx"));
        command.current_dir(scratch.path()).arg("--config").arg(scratch.path().join("pbx.toml"));
        Peer::start(&format!("pbx-{number}"), scratch.path(), &mut command)
    }

    /// Ends it as an operator does and starts it again over the same folder.
    pub(crate) fn restart(&mut self) {
        let status = self.peer.stop().expect("SIGTERM ends the PBX");
        assert!(status.success(), "the PBX ended with {status}");
        self.start_again();
    }

    /// Ends it as a power cut does and starts it again.
    pub(crate) fn crash_and_restart(&mut self) {
        self.peer.kill();
        self.start_again();
    }

    fn start_again(&mut self) {
        self.starts += 1;
        self.peer = Self::launch(&self.scratch, self.starts);
        self.wait_answers();
    }

    /// Waits until it answers an OPTIONS.
    fn wait_answers(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let local = socket.local_addr().unwrap();
        let mut attempt = 0;
        let ready = wait_until(PATIENCE, || {
            attempt += 1;
            let request = format!(
                "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready{attempt};rport\r\n\
                 From: <sip:ready@{local}>;tag=r{attempt}\r\nTo: <sip:127.0.0.1:{port}>\r\nCall-ID: ready{attempt}@{local}\r\n\
                 CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                port = self.sip_port
            );
            let _ = socket.send_to(request.as_bytes(), ("127.0.0.1", self.sip_port));
            let mut buffer = [0; 2048];
            socket.recv(&mut buffer).is_ok_and(|count| buffer[..count].starts_with(b"SIP/2.0 "))
        });
        assert!(ready, "the PBX never answered OPTIONS:\n{}", self.peer.log());
    }

    /// A baresip on `transport` for an extension.
    pub(crate) fn phone(
        &mut self,
        user: &str,
        transport: &str,
        codecs: &str,
        answers: bool,
        says: &[i16],
    ) -> Phone {
        self.phone_with_password(user, PASSWORD, transport, codecs, answers, says)
    }

    /// The same with another password.
    pub(crate) fn phone_with_password(
        &mut self,
        user: &str,
        password: &str,
        transport: &str,
        codecs: &str,
        answers: bool,
        says: &[i16],
    ) -> Phone {
        // TLS is listened for at the port above.
        let registrar = format!("127.0.0.1:{}", self.sip_port + u16::from(transport == "tls"));
        let name = format!("phone-{user}-{transport}");
        let account = baresip::Account {
            name: &name,
            transport,
            codecs,
            answers,
            ..baresip::Account::registered(user, password, &registrar)
        };
        Phone::start(&account, self.scratch.path(), &mut self.ports, says)
    }

    /// The URI of a number here.
    pub(crate) fn uri(&self, number: &str) -> String {
        format!("sip:{number}@127.0.0.1:{}", self.sip_port)
    }

    /// How many UDP sockets the PBX holds on its media ports, from the kernel's table.
    pub(crate) fn open_media_ports(&self) -> usize {
        let mut count = 0;
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            let text = fs::read_to_string(table).unwrap_or_default();
            count += text
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().nth(1)?.rsplit(':').next())
                .filter_map(|port| u16::from_str_radix(port, 16).ok())
                .filter(|port| (self.media_ports.0..=self.media_ports.1).contains(port))
                .count();
        }
        count
    }
}
