//! The bytes of a connection cut into whole messages, for rules work on nothing less. RFC 3261 section 18.3.

/// The longest message that is waited for; what is longer passes in pieces, unchanged.
const LONGEST: usize = 64 * 1024;

/// What came over one connection and is no whole message yet.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    held: Vec<u8>,
}

impl Messages {
    /// Adds what came; gives each whole message that there is now, and keep-alives between them, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(length) = self.next() {
            let rest = self.held.split_off(length.min(self.held.len()));
            whole.push(std::mem::replace(&mut self.held, rest));
        }
        if self.held.len() > LONGEST {
            whole.push(std::mem::take(&mut self.held));
        }
        whole
    }

    /// How long the first thing in the buffer is; `None` while it is not whole.
    fn next(&self) -> Option<usize> {
        // RFC 5626 section 3.5.1: line ends between messages keep the connection open.
        let empty = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return Some(empty);
        }
        let head = self.held.windows(4).position(|window| window == b"\r\n\r\n")?.checked_add(4)?;
        let text = String::from_utf8_lossy(self.held.get(..head)?);
        let body = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            let is_length = name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        let length = head.checked_add(body.unwrap_or(0))?;
        (length <= self.held.len() || length > LONGEST).then_some(length)
    }
}
