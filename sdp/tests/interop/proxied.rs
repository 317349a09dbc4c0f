//! baresip through Kamailio, with its description rewritten by rtpengine.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use denwa_sdp::{Capability, Codec};

use crate::baresip::Baresip;
use crate::peer::{Folder, PATIENCE, Running, free_port, free_ports, program};
use crate::user_agent::UserAgent;

/// A proxy that sends every call to one place and lets rtpengine rewrite both descriptions.
const CONFIGURATION: &str = r#"#!KAMAILIO
debug=0
log_stderror=yes
fork=no
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:@SIP@
loadmodule "@MODULES@/tm.so"
loadmodule "@MODULES@/sl.so"
loadmodule "@MODULES@/rr.so"
loadmodule "@MODULES@/pv.so"
loadmodule "@MODULES@/siputils.so"
loadmodule "@MODULES@/maxfwd.so"
loadmodule "@MODULES@/textops.so"
loadmodule "@MODULES@/sdpops.so"
loadmodule "@MODULES@/rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:@NG@")
request_route {
    if (has_totag()) {
        if (loose_route()) {
            if (has_body("application/sdp")) rtpengine_manage("replace-origin replace-session-connection");
            if (is_method("INVITE")) t_on_reply("ANSWER");
            t_relay();
        } else if (is_method("ACK")) {
            t_check_trans();
        }
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (is_method("INVITE")) {
        record_route();
        rtpengine_manage("replace-origin replace-session-connection");
        t_on_reply("ANSWER");
        $du = "sip:127.0.0.1:@TARGET@";
        t_relay();
        exit;
    }
    sl_send_reply("200", "OK");
}
onreply_route[ANSWER] {
    if (has_body("application/sdp")) rtpengine_manage("replace-origin replace-session-connection");
}
"#;

#[test]
fn a_rewritten_call_is_accepted() {
    let (Some(kamailio), Some(rtpengine)) = (program("kamailio"), program("rtpengine")) else { return };
    let Some(modules) = module_folder() else { panic!("Kamailio is installed without its modules") };
    let folder = Folder::new("proxied");
    let (sip, control, media) = (free_port(), free_port(), free_ports(30));
    let mut agent =
        UserAgent::new(Capability::telephone([Codec::pcma(), Codec::pcmu()]), "kamailio-rtpengine");
    let mut command = Command::new(rtpengine);
    command
        .args(["--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=4"])
        .args(["--interface=127.0.0.1", "--num-threads=1"])
        .arg(format!("--listen-ng=127.0.0.1:{control}"))
        .args([format!("--port-min={media}"), format!("--port-max={}", media + 29)])
        .stdin(Stdio::null());
    let mut engine = Running::start(&mut command, &folder, "rtpengine");
    wait_bound(control, &mut engine);
    let configuration = CONFIGURATION
        .replace("@SIP@", &sip.to_string())
        .replace("@NG@", &control.to_string())
        .replace("@TARGET@", &agent.port().to_string())
        .replace("@MODULES@", &modules);
    let file = folder.write("kamailio.cfg", configuration);
    let mut command = Command::new(kamailio);
    command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(file);
    command.arg("-Y").arg(folder.path()).arg("-w").arg(folder.path()).stdin(Stdio::null());
    let mut proxy = Running::start(&mut command, &folder, "kamailio");
    wait_bound(sip, &mut proxy);
    let Some(mut baresip) = Baresip::start(";audio_codecs=PCMU,PCMA", &["g711"], &[], Some(sip)) else {
        return;
    };
    baresip.command("dial", &format!("sip:denwa@127.0.0.1:{sip}"));
    agent.answer_invite();
    agent.expect_agreed_rtp();
}

fn module_folder() -> Option<String> {
    [
        "/usr/lib/x86_64-linux-gnu/kamailio/modules",
        "/usr/lib/aarch64-linux-gnu/kamailio/modules",
        "/usr/lib/kamailio/modules",
    ]
    .into_iter()
    .find(|folder| std::path::Path::new(folder).is_dir())
    .map(str::to_owned)
}

/// Waits until a program has bound its UDP port.
fn wait_bound(port: u16, program: &mut Running) {
    let give_up = Instant::now() + PATIENCE;
    while !denwa_interop::is_bound(port) {
        assert!(Instant::now() < give_up && !program.has_ended(), "not started:\n{}", program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
