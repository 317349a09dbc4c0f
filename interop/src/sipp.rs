//! SIPp 3.6: scenarios as text, bounded in calls and time, with its own statistics read back.

use std::{
    ffi::OsStr,
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
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
    messages: PathBuf,
    address: SocketAddr,
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
    /// Everything else, e.g. `["-r", "20", "-m", "200"]`; `["-i", "::1"]` puts it elsewhere than at 127.0.0.1.
    pub arguments: &'a [&'a str],
}

/// A scenario of these elements.
#[must_use]
pub fn scenario(elements: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<scenario name=\"denwa\">\n{}</scenario>\n",
        elements.concat()
    )
}

/// An element that sends this message, over and over until it is answered when `retransmit`. Lines may be indented.
#[must_use]
pub fn send(text: &str, retransmit: bool) -> String {
    let text: String = text.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    let retransmit = if retransmit { " retrans=\"500\"" } else { "" };
    format!("<send{retransmit}><![CDATA[\n{text}\n]]></send>\n")
}

/// An element that waits for a message: `request="BYE"`, `response="200"`.
#[must_use]
pub fn receive(what: &str) -> String {
    format!("<recv {what}/>\n")
}

/// A message that was sent or received.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whether SIPp sent it.
    pub sent: bool,
    /// The whole of it.
    pub text: String,
}

impl Message {
    /// The request line or status line.
    #[must_use]
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// All header fields of this name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\n\n").next().unwrap_or_default();
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.trim()).collect()
    }

    /// The first header field of this name; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// The first line of the description that begins so, without the beginning; empty when there is none.
    #[must_use]
    pub fn described(&self, beginning: &str) -> &str {
        let body = self.text.split_once("\n\n").map_or("", |(_, body)| body);
        body.lines().find_map(|line| line.strip_prefix(beginning)).unwrap_or_default()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.sent { "→" } else { "←" }, self.text)
    }
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
        let messages = folder.join(format!("{name}.messages"));
        let elsewhere =
            options.arguments.iter().position(|it| *it == "-i").map(|at| options.arguments[at + 1]);
        let ip = elsewhere.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it| it.parse().expect("an address"));
        let mut command = Command::new("sipp");
        command.current_dir(folder);
        if let Some(target) = options.target {
            command.arg(target);
        }
        command.arg(flag).arg(scenario);
        command.args(["-i", &ip.to_string(), "-mi", &ip.to_string()]);
        command.args(["-p", &options.port.to_string(), "-mp", &options.media_port.to_string()]);
        command
            .args(["-nostdin", "-buff_size", "8388608", "-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics);
        command.args(["-trace_err", "-error_file"]).arg(folder.join(format!("{name}.errors")));
        command.arg("-message_file").arg(&messages);
        command.args(options.arguments);
        command.env("TERM", "dumb");
        let address = SocketAddr::new(ip, options.port);
        Self { peer: Peer::start(name, folder, &mut command), statistics, messages, address }
    }

    /// Waits until an answerer can be called; `transport` as in SIPp's `-t`.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_until_it_listens(&self, transport: &str) {
        let address = self.address;
        let listens = wait_until(PATIENCE, || match transport.as_bytes().first() {
            Some(b't') => TcpStream::connect(address).is_ok(),
            _ => is_bound(self.address.port()),
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

    /// What it has sent and received so far, when `-trace_msg` is among its arguments.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let text = fs::read_to_string(&self.messages).unwrap_or_default().replace("\r\n", "\n");
        // A line of dashes with the time, what it is, an empty line, the message.
        let entries = text.split("-----------------------------------------------").skip(1);
        let messages = entries.filter_map(|entry| {
            let (head, message) = entry.split_once("\n\n")?;
            Some(Message { sent: head.contains(" sent "), text: message.trim_start().to_owned() })
        });
        messages.collect()
    }
}
