//! SRTP of others in the same run: libsrtp2 through a small C program (the one of rtp's interop tests), and with
//! `--features peers` the webrtc-srtp crate. Best of many batches, ns to protect and to unprotect.

use std::{env, path::PathBuf, process::Command};

use denwa_rtp::srtp::Suite;

use crate::{key_material, report_pair};

const SUITES: [Suite; 2] = [Suite::Aes128CmHmacSha1Tag80, Suite::AeadAes128Gcm];

pub(crate) fn measure() {
    match libsrtp2() {
        Some(program) => {
            for suite in SUITES {
                let key: String = key_material(suite).iter().map(|octet| format!("{octet:02x}")).collect();
                let output =
                    Command::new(&program).args([suite.sdes_name(), &key, "bench"]).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout);
                let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
                let pair = (numbers.next().unwrap(), numbers.next().unwrap());
                report_pair(&format!("libsrtp2 as installed, {}", suite.sdes_name()), pair, None);
            }
        }
        None => println!("libsrtp2 is left out: no C compiler, or no srtp2/srtp.h (Debian: libsrtp2-dev)"),
    }
    #[cfg(feature = "peers")]
    webrtc::measure();
}

fn libsrtp2() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libsrtp2-peer");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../rtp/tests/libsrtp2/peer.c");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let made = Command::new(compiler)
        .args(["-std=c11", "-O2", "-o"])
        .arg(&program)
        .args([source, "-lsrtp2"])
        .output();
    made.is_ok_and(|output| output.status.success()).then_some(program)
}

#[cfg(feature = "peers")]
mod webrtc {
    use std::hint::black_box;

    use denwa_rtp::srtp::Suite;
    use webrtc_srtp::{context::Context, protection_profile::ProtectionProfile};

    use super::SUITES;
    use crate::{BATCH, Stream, best_of_batches, key_material, report_pair};

    pub(super) fn measure() {
        for suite in SUITES {
            let profile = match suite {
                Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
                _ => ProtectionProfile::Aes128CmHmacSha1_80,
            };
            let material = key_material(suite);
            let (key, salt) = material.split_at(suite.key_length());
            let context = || Context::new(key, salt, profile, None, None).unwrap();
            let plain = |stream: &mut Stream| -> Vec<Vec<u8>> {
                (0..BATCH).map(|_| stream.advance().to_vec()).collect()
            };
            let (mut out, mut stream) = (context(), Stream::new());
            let protect = best_of_batches(
                || plain(&mut stream),
                |packet| {
                    black_box(out.encrypt_rtp(packet).unwrap());
                },
            );
            let (mut out, mut inbound, mut stream) = (context(), context(), Stream::new());
            let unprotect = best_of_batches(
                || {
                    plain(&mut stream)
                        .iter()
                        .map(|packet| out.encrypt_rtp(packet).unwrap().to_vec())
                        .collect()
                },
                |packet| {
                    black_box(inbound.decrypt_rtp(packet).unwrap());
                },
            );
            report_pair(&format!("webrtc-srtp, {}", suite.sdes_name()), (protect, unprotect), None);
        }
    }
}
