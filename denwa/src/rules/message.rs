//! A whole message taken into lines, rewritten, and put together again with the right length.
//!
//! What is no SIP message, or no UTF-8 before its body, passes as it is: judging it is the parser's.

use super::{Kind, Place, Rule, is_same_header};

/// The message with every rule applied in turn; `None` when none of them changed anything.
pub(super) fn rewrite<'a>(rules: impl Iterator<Item = &'a Rule>, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rules = rules.peekable();
    rules.peek()?;
    let mut message = Message::read(bytes)?;
    for rule in rules {
        if rule.kinds.is_empty() || rule.kinds.iter().any(|kind| message.is(kind)) {
            message.obey(rule);
        }
    }
    message.changed.then(|| message.written())
}

struct Message<'a> {
    first_line: String,
    /// Names as they were written, values without the folds of RFC 3261 section 7.3.1.
    headers: Vec<(String, String)>,
    body: &'a [u8],
    /// The lines of a description that a rule has touched.
    description: Option<Vec<String>>,
    changed: bool,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let body = bytes.get(end.checked_add(4)?..).unwrap_or_default();
        let mut lines = head.split("\r\n");
        let first_line = lines.next().filter(|line| line.contains("SIP/2.0"))?.to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((name.trim_end().to_owned(), value.trim().to_owned()));
            }
        }
        Some(Self { first_line, headers, body, description: None, changed: false })
    }

    fn is(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Method(method) => {
                self.first_line.split(' ').next().is_some_and(|own| own.eq_ignore_ascii_case(method))
            }
            Kind::Status(status) => {
                self.first_line.strip_prefix("SIP/2.0 ").is_some_and(|rest| rest.starts_with(status.as_str()))
            }
        }
    }

    fn obey(&mut self, rule: &Rule) {
        match &rule.place {
            Place::FirstLine => {
                let line = rule.apply(&self.first_line).unwrap_or_default();
                if line != self.first_line && !line.is_empty() {
                    self.first_line = line;
                    self.changed = true;
                }
            }
            Place::Header(name) => self.obey_in_header(rule, name),
            Place::Description => self.obey_in_description(rule),
        }
    }

    fn obey_in_header(&mut self, rule: &Rule, wanted: &str) {
        let mut met = false;
        let headers = std::mem::take(&mut self.headers);
        for (name, value) in headers {
            if !is_same_header(&name, wanted) {
                self.headers.push((name, value));
                continue;
            }
            // What is set stands once, in the place of the first.
            let is_further = std::mem::replace(&mut met, true) && rule.find.is_none();
            let becomes = rule.apply(&value).filter(|_| !is_further);
            self.changed |= becomes.as_ref() != Some(&value);
            self.headers.extend(becomes.map(|value| (name, value)));
        }
        if !met
            && rule.find.is_none()
            && let Some(value) = &rule.text.put
        {
            self.headers.push((wanted.to_owned(), value.clone()));
            self.changed = true;
        }
    }

    fn obey_in_description(&mut self, rule: &Rule) {
        if self.description.is_none() {
            let is_description = self.headers.iter().any(|(name, value)| {
                let kind = value.split(';').next().unwrap_or_default().trim();
                is_same_header(name, "Content-Type") && kind.eq_ignore_ascii_case("application/sdp")
            });
            let text = std::str::from_utf8(self.body).ok().filter(|text| is_description && !text.is_empty());
            let Some(text) = text else { return };
            self.description = Some(text.lines().map(str::to_owned).collect());
        }
        let Some(lines) = &mut self.description else { return };
        if rule.find.is_none() {
            lines.extend(rule.text.put.clone());
            self.changed = true;
            return;
        }
        let rewritten: Vec<String> = lines.iter().filter_map(|line| rule.apply(line)).collect();
        self.changed |= rewritten != *lines;
        *lines = rewritten;
    }

    fn written(&self) -> Vec<u8> {
        let described: Option<String> = self.description.as_ref().map(|lines| {
            lines.iter().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect()
        });
        let body = described.as_ref().map_or(self.body, |text| text.as_bytes());
        let mut bytes = self.first_line.clone().into_bytes();
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            let value = match described.is_some() && is_same_header(name, "Content-Length") {
                true => body.len().to_string(),
                false => value.clone(),
            };
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }
}
