//! SIPp 3.6: scenarios as text, bounded in calls and time, with its own statistics read back.

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{PATIENCE, Peer, is_bound, wait_until};

/// One SIPp process.
#[derive(Debug)]
pub struct Sipp {
    /// The process.
    pub peer: Peer,
    statistics: PathBuf,
    port: u16,
}

/// How to start one.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Name of its files and log.
    pub name: &'a str,
    /// The scenario's XML, or the name of one that is built in.
    pub scenario: &'a str,
    /// `host:port` of the other side, for a caller.
    pub target: Option<&'a str>,
    /// Its SIP port.
    pub port: u16,
    /// Its first media port.
    pub media_port: u16,
    /// Everything else, e.g. `["-r", "20", "-m", "200"]`.
    pub arguments: &'a [&'a str],
}

impl Sipp {
    /// Starts SIPp in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(options: &Options<'_>, folder: &Path) -> Self {
        let scenario = folder.join(format!("{}.xml", options.name));
        fs::write(&scenario, options.scenario).expect("the scratch folder is writable");
        Self::run("-sf".as_ref(), scenario.as_os_str(), options, folder)
    }

    /// Starts SIPp in `folder` with a scenario that is built into it, of which `options.scenario` is the name.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_built_in(options: &Options<'_>, folder: &Path) -> Self {
        Self::run("-sn".as_ref(), options.scenario.as_ref(), options, folder)
    }

    fn run(flag: &OsStr, scenario: &OsStr, options: &Options<'_>, folder: &Path) -> Self {
        let name = options.name;
        let statistics = folder.join(format!("{name}.csv"));
        let mut command = Command::new("sipp");
        command.current_dir(folder);
        if let Some(target) = options.target {
            command.arg(target);
        }
        command.arg(flag).arg(scenario);
        command.args(["-i", "127.0.0.1", "-mi", "127.0.0.1"]);
        command.args(["-p", &options.port.to_string(), "-mp", &options.media_port.to_string()]);
        command
            .args(["-nostdin", "-buff_size", "8388608", "-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics);
        command.args(["-trace_err", "-error_file"]).arg(folder.join(format!("{name}.errors")));
        command.args(options.arguments);
        command.env("TERM", "dumb");
        Self { peer: Peer::start(name, folder, &mut command), statistics, port: options.port }
    }

    /// Waits until an answerer can be called; `transport` as in SIPp's `-t`.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_until_it_listens(&self, transport: &str) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listens = wait_until(PATIENCE, || match transport.as_bytes().first() {
            Some(b't') => TcpStream::connect(address).is_ok(),
            _ => is_bound(self.port),
        });
        assert!(listens, "SIPp does not listen at {address}: {}", self.peer.log());
    }

    /// Waits for its end; true when every call was good.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub fn finish(&mut self, limit: Duration) -> bool {
        let status = self.peer.wait(limit).unwrap_or_else(|| panic!("SIPp did not end within {limit:?}"));
        status.success()
    }

    /// A column of the last row of its statistics, e.g. `SuccessfulCall(C)`.
    #[must_use]
    pub fn figure(&self, column: &str) -> Option<String> {
        let text = fs::read_to_string(&self.statistics).ok()?;
        let mut lines = text.lines();
        let at = lines.next()?.split(';').position(|name| name == column)?;
        lines.last()?.split(';').nth(at).map(str::to_owned)
    }
}
