//! Kamailio with routes of the test's own, as a neighbour, a registrar, an edge or a proxy between two: what all of them have in
//! common stands here once.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use crate::{PATIENCE, Peer, is_bound, wait_until};

/// A running one.
#[derive(Debug)]
pub struct Kamailio {
    /// The process.
    pub peer: Peer,
    /// Where it listens, UDP and perhaps TCP.
    pub address: SocketAddr,
}

/// What a test makes of it.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Of its log, and of its folder below the test's.
    pub name: &'a str,
    /// Where it listens on the loopback.
    pub port: u16,
    /// Whether it speaks TCP too.
    pub tcp: bool,
    /// Whether it says nothing of what passes.
    pub silent: bool,
    /// Further lines of its head, for instance where it listens for TLS.
    pub head: &'a str,
    /// Further modules and parameters.
    pub more: &'a str,
    /// `route[BEGIN]` and what it calls: requests that begin something come here when Max-Forwards, CANCEL, what is inside a
    /// dialog and Record-Route are done; what it leaves is relayed.
    pub routes: &'a str,
}

/// A registrar that keeps everything in its memory.
pub const REGISTRAR: &str = r#"loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)"#;

impl Kamailio {
    /// Starts it on a port of the loopback, over UDP.
    ///
    /// # Panics
    /// When it never listens.
    #[must_use]
    pub fn start(folder: &Path, port: u16, more: &str, routes: &str) -> Self {
        Self::set_up(
            folder,
            &Setup { name: "kamailio", port, tcp: false, silent: false, head: "", more, routes },
        )
    }

    /// The same without a word about what passes, as for measurements: [`Kamailio::passed`] counts nothing.
    ///
    /// # Panics
    /// When it never listens.
    #[must_use]
    pub fn start_silent(folder: &Path, port: u16, more: &str, routes: &str) -> Self {
        Self::set_up(
            folder,
            &Setup { name: "kamailio", port, tcp: false, silent: true, head: "", more, routes },
        )
    }

    /// Starts one of several, or one that speaks TCP.
    ///
    /// # Panics
    /// When it never listens.
    #[must_use]
    pub fn set_up(folder: &Path, setup: &Setup<'_>) -> Self {
        let Setup { name, port, tcp, silent, head, more, routes } = *setup;
        let watch = if silent { "" } else { r#"xlog("L_ERR", "passed: $rm over $proto from $si:$sp\n");"# };
        let listens_tcp = match tcp {
            true => format!("tcp_children=2\nlisten=tcp:127.0.0.1:{port}"),
            false => "disable_tcp=yes".to_owned(),
        };
        let text = format!(
            r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
listen=udp:127.0.0.1:{port}
{listens_tcp}
{head}
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
    {watch}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    t_check_trans();
    if (!is_method("REGISTER")) {{ record_route(); }}
    route(BEGIN);
    t_relay();
}}
{routes}
"#
        );
        let own = folder.join(name);
        fs::create_dir_all(&own).expect("the scratch folder is writable");
        let path = own.join("kamailio.cfg");
        fs::write(&path, text).expect("the scratch folder is writable");
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "256", "-M", "8", "-f"]).arg(&path);
        command.arg("-Y").arg(&own).arg("-P").arg(own.join("kamailio.pid"));
        let peer = Peer::start(name, folder, &mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let hears = || is_bound(port) && (!tcp || TcpStream::connect(address).is_ok());
        let listens = wait_until(PATIENCE, hears);
        assert!(listens, "{}", peer.log());
        Self { peer, address }
    }

    /// How many requests of a method it has seen; `BYE over tls` counts those that came by one transport.
    #[must_use]
    pub fn passed(&self, method: &str) -> usize {
        self.peer.log().matches(&format!("passed: {method} ")).count()
    }
}
