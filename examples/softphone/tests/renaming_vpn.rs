//! A VPN that shows hosts under other addresses than their own, made of the kernel's namespaces and nftables: the laboratory
//! `kit/t18_renaming_vpn.sh` of the shared data, with our telephone at one end, a plain baresip at the other, and no
//! configuration at either. One host renamed, and both; ours at each end, calling and called; speech compared at both ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_interop::{Scratch, audio, require};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::thread;

/// What stands in for baresip at our end.
const OURS: &str = r#"common="--user $ME --listen udp:$MY_IP:$MY_SIP --ports $MY_RTP-$((MY_RTP+9)) --play $PLAY --record $REC"
if [ "$ROLE" = caller ]; then "$SOFTPHONE" call "sip:$PEER@$PEER_IP:$PEER_SIP" $common --hangup-after "${SECS}s"
else "$SOFTPHONE" answer $common; fi"#;

/// The laboratory's script and the Python it needs, when they and all else are here; says what is missing.
fn laboratory() -> Option<&'static (PathBuf, String)> {
    static FOUND: OnceLock<Option<(PathBuf, String)>> = OnceLock::new();
    FOUND.get_or_init(look_for_laboratory).as_ref()
}

fn look_for_laboratory() -> Option<(PathBuf, String)> {
    let required = std::env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    let missing = |what: &str| {
        assert!(!required, "{what}, and DENWA_REQUIRE_PEERS=1");
        println!("{what}: this test proves nothing here");
    };
    let shared = std::env::var_os("DENWA_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let script = shared.join("kit/t18_renaming_vpn.sh");
    if !script.is_file() {
        missing("the shared data have no kit/t18_renaming_vpn.sh");
        return None;
    }
    if !["baresip", "tcpdump", "nft", "ip", "unshare"].into_iter().all(require) {
        return None;
    }
    let python = std::env::var("DENWA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !quiet(Command::new(&python).args(["-c", "import numpy, scipy"])) {
        missing("the Python of DENWA_PYTHON has no numpy and scipy");
        return None;
    }
    let probe = format!("denwa-vpn-probe-{}", std::process::id());
    // Where namespaces may not be made, no peer is missing: the machine forbids it.
    if !quiet(Command::new("unshare").args(["--net", "ip", "netns", "add", &probe])) {
        println!("no network namespaces here: this test proves nothing");
        return None;
    }
    quiet(Command::new("ip").args(["netns", "del", &probe]));
    Some((script, python))
}

/// One call in a laboratory of its own; what it wrote, when voice did not pass both ways. The script goes by the clock: it dials
/// when it thinks that everybody listens, and judges some seconds of speech of which a busy machine may have dropped too much. So what
/// failed among others is made again alone; a way that is wrong is wrong each time.
fn call(mode: &'static str, ours: &'static str, caller: &'static str, number: usize) -> Result<(), String> {
    static ALONE: RwLock<()> = RwLock::new(());
    let Some((script, python)) = laboratory() else { return Ok(()) };
    let one = || try_call(script, python, (mode, ours, caller), number);
    let mut outcome = {
        let _among_others = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        one()
    };
    for _ in 0..3 {
        if outcome.is_ok() {
            break;
        }
        println!("{mode}, {ours}, {caller}: once more, alone");
        let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
        outcome = one();
    }
    outcome
}

fn try_call(
    script: &Path,
    python: &str,
    (mode, ours, caller): (&str, &str, &str),
    number: usize,
) -> Result<(), String> {
    let scratch = Scratch::new("renaming-vpn");
    let folder = scratch.path().join("audio");
    std::fs::create_dir_all(&folder).unwrap();
    audio::write_wav(&folder.join("speech_a_8000.wav"), &audio::signal(1, 3));
    audio::write_wav(&folder.join("speech_b_8000.wav"), &audio::signal(2, 3));
    let output = Command::new("bash")
        .arg(script)
        .arg(mode)
        .env("EXPECT", "audio")
        .env("CALLER", caller)
        .env("SECS", "6")
        .env(format!("PHONE_{ours}_CMD"), OURS)
        .env("SOFTPHONE", env!("CARGO_BIN_EXE_softphone"))
        .env("KIT_RUN", scratch.path())
        .env("KIT_PY", python)
        // Names its namespaces; ports are each namespace's own.
        .env("KIT_BASE", (4000 + std::process::id() as usize % 1000 * 10 + number).to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{mode} renamed, ours at {ours}, {caller} calls: {}", said.lines().last().unwrap_or_default());
    if output.status.success() {
        return Ok(());
    }
    let logs: String = ["t18a.log", "t18b.log"]
        .iter()
        .map(|name| std::fs::read_to_string(scratch.path().join(name)).unwrap_or_default())
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{mode} renamed, ours at {ours}, {caller} calls:\n{said}\n{errors}\n{logs}"))
}

fn cures(mode: &'static str) {
    // Each has namespaces of its own; they mostly wait for speech to be over.
    let calls: Vec<_> = [("A", "a"), ("A", "b"), ("B", "a"), ("B", "b")]
        .into_iter()
        .enumerate()
        .map(|(number, (ours, caller))| {
            let number = number + if mode == "one" { 0 } else { 4 };
            thread::spawn(move || call(mode, ours, caller, number))
        })
        .collect();
    for call in calls {
        call.join().unwrap().unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn one_end_cures_a_vpn_that_renames_one_host() {
    cures("one");
}

#[test]
fn one_end_cures_a_vpn_that_renames_both_hosts() {
    cures("both");
}
