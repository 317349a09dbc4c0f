//! The commands' end of the socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// The exchange answers at once; a machine under load may take a little.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no exchange runs here (nothing answers at {0})")]
    NotRunning(String),
    /// It may not be opened.
    #[error("{0} belongs to another user: only who runs the exchange may speak to it")]
    NotAllowed(String),
    /// The exchange refused, in its words.
    #[error("{0}")]
    Refused(String),
    /// Something else.
    #[error("the exchange did not answer: {0}")]
    Broken(io::Error),
}

/// Asks a running exchange.
///
/// # Errors
/// See [`AskError`].
pub fn ask(socket: &Path, request: &Value) -> Result<Value, AskError> {
    let mut reader = connect(socket, request)?;
    answer_line(&mut reader)
}

/// Asks for something that takes its time.
///
/// # Errors
/// See [`AskError`].
pub fn ask_patiently(socket: &Path, request: &Value, patience: Duration) -> Result<Value, AskError> {
    let mut reader = connect(socket, request)?;
    reader.get_ref().set_read_timeout(Some(patience)).map_err(AskError::Broken)?;
    answer_line(&mut reader)
}

/// Asks for a trace and writes what comes, at most `octets`; tells how many came. Ends when the exchange does.
///
/// # Errors
/// See [`AskError`].
pub fn trace(socket: &Path, request: &Value, octets: u64, output: &mut impl Write) -> Result<u64, AskError> {
    let mut reader = connect(socket, request)?;
    answer_line(&mut reader)?;
    reader.get_ref().set_read_timeout(None).map_err(AskError::Broken)?;
    let mut buffer = [0; 65_536];
    let mut written: u64 = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(written),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(AskError::Broken(error)),
        };
        let came = buffer.get(..count).unwrap_or_default();
        output.write_all(came).and_then(|()| output.flush()).map_err(AskError::Broken)?;
        written += came.len() as u64;
        if written >= octets {
            return Ok(written);
        }
    }
}

fn connect(socket: &Path, request: &Value) -> Result<BufReader<UnixStream>, AskError> {
    let name = socket.display().to_string();
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::NotAllowed(name),
        _ => AskError::NotRunning(name),
    })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(AskError::Broken)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(AskError::Broken)?;
    Ok(BufReader::new(stream))
}

fn answer_line(reader: &mut BufReader<UnixStream>) -> Result<Value, AskError> {
    let mut line = String::new();
    reader.read_line(&mut line).map_err(AskError::Broken)?;
    let mut answer: Value = serde_json::from_str(&line).map_err(|error| AskError::Broken(error.into()))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(sentence) => Err(AskError::Refused(sentence.to_owned())),
        None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
    }
}
