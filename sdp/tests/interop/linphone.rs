//! linphonec, driven over its standard input.

use std::io::Write as _;
use std::process::{Command, Stdio};

use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability};

use crate::peer::{Folder, Running, free_port, free_ports, program, tone_wav};
use crate::user_agent::UserAgent;

struct Linphone {
    running: Running,
    folder: Folder,
}

impl Linphone {
    fn start(encryption: &str) -> Option<Self> {
        let program = program("linphonec")?;
        let folder = Folder::new("linphone");
        let (sip, rtp) = (free_port(), free_ports(20));
        let rc = folder.write(
            "rc",
            format!(
                "[sip]\nbind_address=127.0.0.1\nsip_port={sip}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\n\
                 guess_hostname=0\nregister_only_when_network_is_up=0\nauto_net_state_mon=0\nkeepalive_period=0\n\
                 media_encryption={encryption}\n[net]\nfirewall_policy=0\ndns_srv_enabled=0\ndns_search_enabled=0\n\
                 [rtp]\naudio_rtp_port={rtp}-{}\n[video]\nenabled=0\ncapture=0\ndisplay=0\n\
                 automatically_initiate=0\nautomatically_accept=0\n[sound]\nechocancellation=0\n\
                 [misc]\nversion_check_url_root=\nlog_collection_upload_server_url=\nfile_transfer_server_url=\n",
                rtp + 19
            ),
        );
        std::fs::create_dir_all(folder.path().join(".local/share/linphone")).unwrap();
        folder.write("tone.wav", tone_wav(8_000));
        let mut command = Command::new(program);
        command.arg("-c").arg(rc).args(["-d", "0"]).stdin(Stdio::piped());
        let running = Running::start(&mut command, &folder, "linphonec");
        Some(Self { running, folder })
    }

    fn call(&mut self, agent: &UserAgent) {
        let tone = self.folder.path().join("tone.wav");
        let stdin = self.running.stdin();
        writeln!(stdin, "soundcard use files\nplay {}", tone.display()).unwrap();
        writeln!(stdin, "call sip:denwa@127.0.0.1:{}", agent.port()).unwrap();
    }
}

#[test]
fn a_plain_call_is_accepted() {
    let Some(mut linphone) = Linphone::start("none") else { return };
    let mut agent = UserAgent::new(Capability::telephone([Codec::pcma(), Codec::pcmu()]), "linphone-plain");
    linphone.call(&agent);
    agent.answer_invite();
    agent.expect_agreed_rtp();
}

#[test]
fn an_encrypted_call_is_accepted() {
    let Some(mut linphone) = Linphone::start("srtp") else { return };
    let capability = Capability::telephone([Codec::g729(true), Codec::pcma()])
        .with_encryption(EncryptionCapability::sdes(Encryption::Offered));
    let mut agent = UserAgent::new(capability, "linphone-srtp");
    linphone.call(&agent);
    agent.answer_invite();
    agent.expect_agreed_rtp();
}
