//! SIPp with its built-in caller.

use std::process::{Command, Stdio};

use denwa_sdp::{Capability, Codec};

use crate::peer::{Folder, Running, free_port, program};
use crate::user_agent::UserAgent;

#[test]
fn its_call_is_accepted() {
    let Some(program) = program("sipp") else { return };
    let folder = Folder::new("sipp");
    let mut agent = UserAgent::new(Capability::telephone([Codec::pcma(), Codec::pcmu()]), "sipp");
    let mut command = Command::new(program);
    command
        .args(["-sn", "uac", "-m", "1", "-d", "100", "-i", "127.0.0.1", "-p", &free_port().to_string()])
        .args(["-mp", &free_port().to_string(), "-nostdin", "-timeout", "60", "-timeout_error"])
        .arg(format!("127.0.0.1:{}", agent.port()))
        .current_dir(folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::null());
    let mut sipp = Running::start(&mut command, &folder, "sipp");
    agent.answer_invite();
    let bye = agent.request("BYE");
    agent.respond(&bye, "200 OK", None);
    assert!(sipp.wait(), "SIPp counts the call as failed:\n{}", sipp.log());
}
