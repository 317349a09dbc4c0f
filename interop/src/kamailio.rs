//! Kamailio with a configuration of the test's own, as a neighbour or a proxy between two.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use crate::{PATIENCE, Peer, is_bound, wait_until};

/// A running one.
#[derive(Debug)]
pub struct Kamailio {
    /// The process.
    pub peer: Peer,
    /// Where it listens, UDP.
    pub address: SocketAddr,
}

impl Kamailio {
    /// Starts it on a port of the loopback: `more` modules and parameters, then routes that end what the common beginning
    /// of `request_route` has left: requests that begin something.
    ///
    /// # Panics
    /// When it never listens.
    #[must_use]
    pub fn start(folder: &Path, port: u16, more: &str, routes: &str) -> Self {
        let text = format!(
            r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
{more}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_ERR", "passed: $rm from $si:$sp\n");
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    t_check_trans();
    record_route();
    route(BEGIN);
    t_relay();
}}
{routes}
"#
        );
        let path = folder.join("kamailio.cfg");
        fs::write(&path, text).expect("the scratch folder is writable");
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(&path);
        command.arg("-Y").arg(folder).arg("-P").arg(folder.join("kamailio.pid"));
        let peer = Peer::start("kamailio", folder, &mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listens = wait_until(PATIENCE, || is_bound(port));
        assert!(listens, "{}", peer.log());
        Self { peer, address }
    }

    /// How many requests of a method it has seen.
    #[must_use]
    pub fn passed(&self, method: &str) -> usize {
        self.peer.log().matches(&format!("passed: {method} ")).count()
    }
}
