//! The exchange's end of the socket: a thread that accepts, and one for each connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use super::pcap::{Direction, PcapWriter};
use super::switchboard::{Answer, Switchboard};
use crate::exchange::{Filter, Question, Wanted};

/// Connections at a time.
const MOST_CONNECTIONS: usize = 32;

/// The longest request.
const LONGEST_REQUEST: u64 = 64 * 1024;

/// How long the exchange may take to answer, and a client to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the test of a way may take: it rings there first.
const PROBE_PATIENCE: Duration = Duration::from_secs(100);

/// What a connection can ask for.
pub trait Desk: Send + Sync + 'static {
    /// Puts a question to the exchange; its report comes to the switchboard.
    fn ask(&self, ticket: u64, question: Question);
    /// Begins a trace whose packets come to the switchboard.
    fn trace(&self, ticket: u64, wanted: Wanted);
    /// Ends it.
    fn end_trace(&self, ticket: u64);
    /// Reads the configuration anew; tells what could not be changed while it runs.
    ///
    /// # Errors
    /// What is wrong with the file; everything stays as it was.
    fn reload(&self) -> Result<Vec<String>, String>;
}

/// The socket, listened on until this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens on `path`, which only the owner of the process may open.
    ///
    /// # Errors
    /// What the system says; an exchange that listens there already counts as `AddrInUse`.
    pub fn start(path: &Path, desk: Arc<dyn Desk>, switchboard: Arc<Switchboard>) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let accept = move || {
            let open = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().map_while(Result::ok) {
                if open.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
                    continue;
                }
                open.fetch_add(1, Ordering::Relaxed);
                let (desk, switchboard, count) =
                    (Arc::clone(&desk), Arc::clone(&switchboard), Arc::clone(&open));
                let serve = move || {
                    // A client that went away needs nothing more.
                    let _ = serve(&stream, &*desk, &switchboard);
                    count.fetch_sub(1, Ordering::Relaxed);
                };
                if thread::Builder::new().name("control".to_owned()).spawn(serve).is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        };
        thread::Builder::new().name("control".to_owned()).spawn(accept)?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: &UnixStream, desk: &dyn Desk, switchboard: &Switchboard) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_REQUEST)).read_line(&mut line)?;
    let request: Value = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => return refuse(stream, &format!("that is not JSON: {error}")),
    };
    let call = || request.get("call").and_then(Value::as_u64);
    let question = match request.get("ask").and_then(Value::as_str) {
        Some("status") => Question::Status,
        Some("calls") => Question::Calls,
        Some("phones") => Question::Phones,
        Some("trunks") => Question::Trunks,
        Some("attacks") => Question::Attacks,
        Some("probe") => match request.get("trunk").and_then(Value::as_str) {
            Some(trunk) => Question::Probe {
                trunk: trunk.to_owned(),
                number: request.get("number").and_then(Value::as_str).map(str::to_owned),
            },
            None => return refuse(stream, "that names no trunk"),
        },
        Some("call") => Question::Call(call().unwrap_or(0)),
        Some("hangup") => Question::HangUp(call().unwrap_or(0)),
        Some("reload") => {
            return match desk.reload() {
                Ok(notices) => agree(stream, &json!({ "notices": notices })),
                Err(sentence) => refuse(stream, &sentence),
            };
        }
        Some("trace") => return trace(stream, desk, switchboard, &request),
        _ => return refuse(stream, "that cannot be asked"),
    };
    let (ticket, answers) = switchboard.ticket();
    let patience = if matches!(question, Question::Probe { .. }) { PROBE_PATIENCE } else { PATIENCE };
    desk.ask(ticket, question);
    let answer = answers.recv_timeout(patience);
    switchboard.give_back(ticket);
    match answer {
        Ok(Answer::Report(report)) => match serde_json::to_value(&*report) {
            Ok(value) => agree(stream, &value),
            Err(error) => refuse(stream, &error.to_string()),
        },
        _ => refuse(stream, "the exchange is too busy to answer"),
    }
}

fn agree(mut stream: &UnixStream, value: &Value) -> io::Result<()> {
    stream.write_all(format!("{}\n", json!({ "ok": value })).as_bytes())
}

fn refuse(mut stream: &UnixStream, sentence: &str) -> io::Result<()> {
    stream.write_all(format!("{}\n", json!({ "error": sentence })).as_bytes())
}

/// Writes the packets of a trace to the client until it goes, its time is over, or it has as many octets as it wanted.
fn trace(stream: &UnixStream, desk: &dyn Desk, switchboard: &Switchboard, request: &Value) -> io::Result<()> {
    let whole = |key: &str| request.get(key).and_then(Value::as_u64);
    let filter = match (whole("call"), request.get("phone").and_then(Value::as_str)) {
        (Some(call), _) => Filter::Call(call),
        (None, Some(phone)) => Filter::Phone(phone.to_owned()),
        (None, None) => Filter::All,
    };
    let octets = whole("octets").unwrap_or(u64::MAX);
    let until = whole("seconds").and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    agree(stream, &Value::Null)?;
    let (ticket, answers) = switchboard.ticket();
    let voice = request.get("voice").and_then(Value::as_bool).unwrap_or(true);
    desk.trace(ticket, Wanted { filter, voice });
    let mut output = stream;
    let mut write = || -> io::Result<()> {
        let mut pcap = PcapWriter::new(&mut output)?;
        while pcap.written() < octets && until.is_none_or(|until| Instant::now() < until) {
            match answers.recv_timeout(Duration::from_millis(200)) {
                Ok(Answer::Packet(packet)) => {
                    let direction = Direction { from: packet.from, to: packet.to };
                    pcap.packet(packet.at, packet.protocol.is_stream(), direction, &packet.payload)?;
                }
                Ok(Answer::Report(_)) => {}
                Err(RecvTimeoutError::Timeout) if is_gone(stream) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    };
    let written = write();
    desk.end_trace(ticket);
    switchboard.give_back(ticket);
    written
}

/// Whether the client has closed its end: it has nothing more to say in a trace.
fn is_gone(mut stream: &UnixStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let read = stream.read(&mut [0; 1]);
    let blocking = stream.set_nonblocking(false);
    matches!(read, Ok(0)) || blocking.is_err()
}
