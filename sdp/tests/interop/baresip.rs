//! baresip, driven over its control port.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use denwa_sdp::{
    Capability, Codec, Direction, Encryption, EncryptionCapability, Hold, Ice, LocalFingerprint, LocalIce,
    MediaCapability, Profile,
};

use crate::peer::{Folder, PATIENCE, Running, free_port, free_ports, program, tone_wav};
use crate::user_agent::UserAgent;

pub(crate) struct Baresip {
    running: Running,
    control: u16,
    pub(crate) sip: u16,
    _folder: Folder,
}

impl Baresip {
    /// Starts one; `account` are parameters of its account, `codecs` the modules it loads.
    pub(crate) fn start(
        account: &str,
        codecs: &[&str],
        modules: &[&str],
        proxy: Option<u16>,
    ) -> Option<Self> {
        // Somebody who asks nobody may have taken a port meanwhile: then with others.
        for _ in 0..5 {
            let mut baresip = Self::start_at("127.0.0.1", account, codecs, modules, proxy)?;
            let there = |baresip: &Self| TcpStream::connect((Ipv4Addr::LOCALHOST, baresip.control)).is_ok();
            denwa_interop::wait_until(PATIENCE, || there(&baresip) || baresip.running.has_ended());
            if !baresip.running.has_ended() || !baresip.running.log().contains("Address already in use") {
                return Some(baresip);
            }
        }
        panic!("baresip found its ports taken five times");
    }

    fn start_at(
        address: &str,
        account: &str,
        codecs: &[&str],
        modules: &[&str],
        proxy: Option<u16>,
    ) -> Option<Self> {
        let program = program("baresip")?;
        let folder = Folder::new("baresip");
        let wav = folder.write("tone.wav", tone_wav(8_000));
        let (sip, control, rtp) = (free_port(), free_port(), free_ports(20));
        let mut config = format!(
            "poll_method epoll\nsip_listen {address}:{sip}\nnet_interface {address}\n\
             audio_path /usr/share/baresip\naudio_source aufile,{}\naudio_player aubridge,sink\n\
             audio_alert aubridge,alert\nausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
             audio_txmode thread\nrtp_ports {rtp}-{}\nmodule_path /usr/lib/baresip/modules\n",
            wav.display(),
            rtp + 18
        );
        for module in codecs.iter().chain(&["aufile", "aubridge"]).chain(modules) {
            config.push_str(&format!("module {module}.so\n"));
        }
        config.push_str(
            "module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             module_app contact.so\nringback_disabled yes\nstatmode_default off\nmenu_bell no\n",
        );
        config.push_str(&format!("ctrl_tcp_listen 127.0.0.1:{control}\n"));
        folder.write("config", config);
        folder.write("contacts", "");
        let outbound = proxy.map(|port| format!(";outbound=\"sip:127.0.0.1:{port}\"")).unwrap_or_default();
        folder.write("accounts", format!("<sip:alice@127.0.0.1>;regint=0{outbound}{account}\n"));
        let mut command = Command::new(program);
        command.args(["-4", "-v", "-f"]).arg(folder.path()).stdin(std::process::Stdio::null());
        let running = Running::start(&mut command, &folder, "baresip");
        Some(Self { running, control, sip, _folder: folder })
    }

    /// One command; waits until the control port is there.
    pub(crate) fn command(&mut self, command: &str, parameters: &str) {
        let give_up = Instant::now() + PATIENCE;
        let mut stream = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.control)) {
                Ok(stream) => break stream,
                Err(error) => {
                    assert!(
                        Instant::now() < give_up && !self.running.has_ended(),
                        "baresip: {error}\n{}",
                        self.running.log()
                    );
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        let json = format!(r#"{{"command":"{command}","params":"{parameters}","token":"t"}}"#);
        stream.write_all(format!("{}:{json},", json.len()).as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains("\"response\":true") {
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => seen.push_str(&String::from_utf8_lossy(&buffer[..length])),
                _ => panic!("baresip: no response to {command}\n{}", self.running.log()),
            }
        }
    }

    fn call(&mut self, agent: &UserAgent) {
        self.command("dial", &format!("sip:denwa@127.0.0.1:{}", agent.port()));
    }
}

fn phone() -> Capability {
    Capability::telephone([Codec::pcma(), Codec::pcmu()])
}

#[test]
fn a_plain_call_is_accepted() {
    let Some(mut baresip) = Baresip::start(";audio_codecs=PCMU,PCMA", &["g711"], &[], None) else { return };
    let mut agent = UserAgent::new(phone(), "baresip-plain");
    baresip.call(&agent);
    agent.answer_invite();
    agent.expect_agreed_rtp();
}

#[test]
fn many_codecs_are_answered_with_ours() {
    let Some(mut baresip) = Baresip::start("", &["opus", "g722", "g711", "g726", "gsm"], &[], None) else {
        return;
    };
    let mut agent = UserAgent::new(Capability::telephone([Codec::g722(), Codec::pcma()]), "baresip-codecs");
    baresip.call(&agent);
    agent.answer_invite();
    let audio = agent.negotiator.agreed().unwrap().audio().unwrap();
    assert!(audio.codec().unwrap().is("G722"));
    agent.expect_agreed_rtp();
}

#[test]
fn hold_and_resume_are_understood() {
    let Some(mut baresip) = Baresip::start(";audio_codecs=PCMA", &["g711"], &[], None) else { return };
    let mut agent = UserAgent::new(phone(), "baresip-hold");
    baresip.call(&agent);
    agent.answer_invite();
    agent.expect_agreed_rtp();
    baresip.command("hold", "");
    agent.answer_invite();
    let audio = agent.negotiator.agreed().unwrap().audio().unwrap();
    assert_eq!(audio.hold, Hold::Remote);
    assert!(!audio.direction.sends());
    baresip.command("resume", "");
    agent.answer_invite();
    let audio = agent.negotiator.agreed().unwrap().audio().unwrap();
    assert_eq!((audio.hold, audio.direction), (Hold::None, Direction::SendRecv));
    agent.expect_agreed_rtp();
}

fn encrypted(policy: Encryption) -> Capability {
    phone().with_encryption(EncryptionCapability::sdes(policy))
}

#[test]
fn best_effort_sdes_is_accepted() {
    let Some(mut baresip) = Baresip::start(";audio_codecs=PCMA;mediaenc=srtp", &["g711"], &["srtp"], None)
    else {
        return;
    };
    let mut agent = UserAgent::new(encrypted(Encryption::Offered), "baresip-srtp");
    baresip.call(&agent);
    agent.answer_invite();
    agent.expect_agreed_rtp();
}

#[test]
fn required_sdes_is_accepted() {
    let Some(mut baresip) =
        Baresip::start(";audio_codecs=PCMA;mediaenc=srtp-mand", &["g711"], &["srtp"], None)
    else {
        return;
    };
    let mut agent = UserAgent::new(encrypted(Encryption::Required), "baresip-srtp-mand");
    baresip.call(&agent);
    let answer = agent.answer_invite();
    assert!(String::from_utf8(answer).unwrap().contains("RTP/SAVP"));
    assert_eq!(agent.negotiator.agreed().unwrap().audio().unwrap().profile, Profile::Savp);
    agent.expect_agreed_rtp();
}

#[test]
fn dtls_is_accepted() {
    let account = ";audio_codecs=PCMA;mediaenc=dtls_srtp";
    let Some(mut baresip) = Baresip::start(account, &["g711"], &["dtls_srtp"], None) else { return };
    let mut encryption =
        EncryptionCapability::dtls(Encryption::Required, LocalFingerprint::sha256([0xab; 32]));
    encryption.dtls.as_mut().unwrap().setup = denwa_sdp::attribute::security::Setup::Passive;
    let mut agent = UserAgent::new(phone().with_encryption(encryption), "baresip-dtls");
    baresip.call(&agent);
    agent.answer_invite();
    // As the client it was made, it opens the handshake.
    agent.media("DTLS ClientHello", |packet| packet.first() == Some(&22));
}

/// baresip takes no candidate from 127.0.0.1, and 127.0.0.2 only where the loopback interface has it:
/// `unshare -n sh -c 'ip link set lo up; ip addr add 127.0.0.2/32 dev lo; cargo test -p denwa-sdp --test interop'`.
#[test]
fn ice_is_accepted() {
    let account = ";audio_codecs=PCMA;medianat=ice";
    let Some(mut baresip) =
        Baresip::start_at("127.0.0.2", account, &["g711"], &["stun", "turn", "ice"], None)
    else {
        return;
    };
    let capability = phone().with_ice(Ice::Full);
    let mut agent = UserAgent::with_transport(capability, "baresip-ice", |transport| {
        let port = transport.addresses[0].port();
        transport.with_ice(LocalIce {
            ufrag: "denwa".into(),
            password: "denwadenwadenwadenwa1234".into(),
            candidates: vec![
                format!("1 1 UDP 2130706431 127.0.0.1 {port} typ host"),
                format!("1 2 UDP 2130706430 127.0.0.1 {} typ host", port + 1),
            ],
            complete: true,
        })
    });
    baresip.call(&agent);
    agent.answer_invite();
    let audio = agent.negotiator.agreed().unwrap().audio().unwrap();
    if audio.ice.is_none() {
        println!("baresip gathers no candidate here: passed over");
        return;
    }
    // It checks the candidate of the answer, with our fragment before its own in the user name.
    let name = b"denwa:";
    agent.media("STUN binding request", |packet| {
        packet.starts_with(&[0, 1]) && packet.windows(name.len()).any(|window| window == name)
    });
}

#[test]
fn our_offers_are_answered() {
    let account = ";audio_codecs=PCMU,PCMA;answermode=auto;mediaenc=srtp";
    let Some(mut baresip) = Baresip::start(account, &["g711"], &["srtp"], None) else { return };
    baresip.command("reginfo", "");
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, baresip.sip));
    for (policy, name) in
        [(Encryption::None, "baresip-called-plain"), (Encryption::Required, "baresip-called-srtp")]
    {
        let mut capability = encrypted(policy);
        capability.media = vec![MediaCapability::audio([Codec::pcma(), Codec::pcmu()])];
        let mut agent = UserAgent::new(capability, name);
        agent.call(peer);
        agent.expect_agreed_rtp();
    }
}
