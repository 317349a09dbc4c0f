//! Which numbers a call has been to: History-Info (RFC 7044), and Diversion (RFC 5806) of those who forwarded it.
//!
//! Each exchange that is told of it adds the number it was asked for and the one it asks for. A number of this exchange that
//! stands there too often closes a circle.

use denwa_sip_core::message::Request;

/// How many entries are carried on.
const MOST_ENTRIES: usize = 64;

/// How long an entry may be.
const LONGEST_ENTRY: usize = 512;

/// What a call has behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Entries that came, in order.
    entries: Vec<String>,
    /// Diversions that came.
    diversions: Vec<String>,
    /// What this exchange was asked for: the request line's URI.
    own: String,
}

/// Who forwarded a call here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diverted {
    /// The address that the call was for.
    pub(super) from: String,
    /// RFC 5806's word for why.
    pub(super) reason: &'static str,
}

impl Diverted {
    /// The value of Diversion.
    pub(super) fn diversion(&self) -> String {
        format!("<{}>;reason={}", self.from, self.reason)
    }

    /// The status that stands for the reason (RFC 4458 section 6).
    fn status(&self) -> u16 {
        match self.reason {
            "unconditional" => 302,
            "user-busy" => 486,
            "no-answer" => 408,
            _ => 503,
        }
    }
}

impl History {
    pub(super) fn of(message: &Request) -> Self {
        let values = |name: &str| -> Vec<String> {
            let all = message.get_all(name).flat_map(split).map(|value| value.trim().to_owned());
            all.filter(|value| value.len() <= LONGEST_ENTRY && value.contains("<sip"))
                .take(MOST_ENTRIES)
                .collect()
        };
        let own = message.uri_text().split([';', '?']).next().unwrap_or_default().to_owned();
        Self { entries: values("History-Info"), diversions: values("Diversion"), own }
    }

    /// How often a call has been asked for here by this very number.
    pub(super) fn passes(&self) -> usize {
        self.entries.iter().filter(|entry| uri_of(entry) == self.own).count()
    }

    /// The diversions that are told on, the latest first.
    pub(super) fn diversions<'a>(
        &'a self,
        latest: Option<&'a Diverted>,
    ) -> impl Iterator<Item = String> + 'a {
        latest.map(Diverted::diversion).into_iter().chain(self.diversions.iter().cloned())
    }

    /// The value of History-Info for a call that goes on to `target`.
    pub(super) fn on_to(&self, target: &str, diverted: Option<&Diverted>) -> String {
        let mut entries = self.entries.clone();
        let mut index = entries.last().and_then(|entry| index_of(entry)).unwrap_or_default();
        if entries.last().is_none_or(|last| uri_of(last) != self.own) {
            index = below(&index);
            entries.push(format!("<{}>;index={index}", self.own));
        }
        let mut mapped = "";
        if let Some(diverted) = diverted {
            index = below(&index);
            let reason = format!("SIP%3Bcause%3D{}", diverted.status());
            entries.push(format!("<{}?Reason={reason}>;index={index}", diverted.from));
            mapped = ";mp";
        }
        let previous = std::mem::take(&mut index);
        index = below(&previous);
        let mapped = if mapped.is_empty() { String::new() } else { format!(";mp={previous}") };
        entries.push(format!("<{target}>;index={index}{mapped}"));
        let surplus = entries.len().saturating_sub(MOST_ENTRIES);
        entries.split_off(surplus).join(", ")
    }
}

fn below(index: &str) -> String {
    if index.is_empty() { "1".to_owned() } else { format!("{index}.1") }
}

/// The URI of an entry without what hangs on it.
fn uri_of(entry: &str) -> &str {
    let inner = entry.split_once('<').map_or(entry, |(_, rest)| rest.split('>').next().unwrap_or_default());
    inner.split([';', '?']).next().unwrap_or_default()
}

fn index_of(entry: &str) -> Option<String> {
    let (_, parameters) = entry.rsplit_once('>')?;
    let index = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("index="))?;
    index.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| index.to_owned())
}

/// The values of a list: commas between angle brackets and quotes are part of them.
fn split(list: &str) -> Vec<&str> {
    let (mut values, mut from, mut in_quotes, mut depth) = (Vec::new(), 0, false, 0_u32);
    for (at, letter) in list.char_indices() {
        match letter {
            '"' => in_quotes = !in_quotes,
            '<' if !in_quotes => depth += 1,
            '>' if !in_quotes => depth = depth.saturating_sub(1),
            ',' if !in_quotes && depth == 0 => {
                values.extend(list.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    values.extend(list.get(from..));
    values
}

#[cfg(test)]
mod tests {
    use denwa_sip_core::message::Method;

    use super::*;

    fn history(entries: &[&str]) -> History {
        let mut builder = Request::builder(Method::Invite, "sip:0390200@192.0.2.1:5060;user=phone");
        for entry in entries {
            builder = builder.header("History-Info", entry);
        }
        History::of(&builder.finish().unwrap())
    }

    #[test]
    fn each_exchange_adds_what_it_was_asked_for_and_what_it_asks_for() {
        let first = history(&[]).on_to("sip:200@192.0.2.2:5060", None);
        assert_eq!(first, "<sip:0390200@192.0.2.1:5060>;index=1, <sip:200@192.0.2.2:5060>;index=1.1");
        // The one before has told us already what it asked us for.
        let came = history(&["<sip:0510@192.0.2.8>;index=1, <sip:0390200@192.0.2.1:5060>;index=1.1"]);
        assert!(came.on_to("sip:2@b", None).ends_with(">;index=1.1, <sip:2@b>;index=1.1.1"));
        assert_eq!((came.passes(), history(&[]).passes()), (1, 0));
    }

    #[test]
    fn who_forwarded_a_call_is_told_and_why() {
        let diverted = Diverted { from: "sip:1001@pbx.example".to_owned(), reason: "user-busy" };
        let told = history(&[]).on_to("sip:2@b", Some(&diverted));
        assert!(told.ends_with(
            "<sip:1001@pbx.example?Reason=SIP%3Bcause%3D486>;index=1.1, <sip:2@b>;index=1.1.1;mp=1.1"
        ));
        assert_eq!(diverted.diversion(), "<sip:1001@pbx.example>;reason=user-busy");
    }

    #[test]
    fn what_is_no_entry_is_not_carried_on() {
        assert!(history(&["nonsense", &format!("<sip:{}>", "9".repeat(600))]).entries.is_empty());
        assert_eq!(history(&["\"a, <b\" <sip:x@y,z>;index=1"]).entries.len(), 1);
    }
}
