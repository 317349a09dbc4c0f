//! Which codecs two sides have in common, and what becomes of their parameters.

use crate::attribute::parameters::{self, Amr, EventSet, g729_annex_b, ilbc_mode};

use super::capability::{AnswerCodecs, Codec, MediaCapability, ParameterRule, Preference, TELEPHONE_EVENT};
use super::mismatch::Rule;
use super::remote::{Format, is_telephone_event};

/// A format this side writes into an `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFormat {
    pub(crate) payload_type: u8,
    pub(crate) codec: Codec,
    /// What `fmtp` says; empty for none.
    pub(crate) parameters: String,
}

impl LocalFormat {
    pub(crate) fn is_telephone_event(&self) -> bool {
        is_telephone_event(&self.codec.name)
    }
}

/// A format both have.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// The peer's format, by its place in the peer's list.
    pub(crate) remote: usize,
    /// Ours, by its place in our list.
    pub(crate) local: usize,
    pub(crate) settled: Settled,
}

/// What becomes of the parameters of a codec both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// What this side writes.
    pub(crate) write: String,
    /// What holds for what this side sends.
    pub(crate) send: String,
    /// What holds for what it receives.
    pub(crate) receive: String,
}

impl Settled {
    fn both(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { write: text.clone(), send: text.clone(), receive: text }
    }
}

/// Compares the parameters of a codec both have; `None` when they exclude each other.
pub(crate) fn settle(codec: &Codec, local: &str, remote: &str) -> Option<Settled> {
    let declared = Settled { write: local.to_owned(), send: remote.to_owned(), receive: local.to_owned() };
    match codec.matching {
        ParameterRule::Ignore => return Some(declared),
        ParameterRule::Equal => return (normal(local) == normal(remote)).then_some(declared),
        ParameterRule::ByCodec => {}
    }
    match codec.name.to_ascii_lowercase().as_str() {
        "g729" => {
            // Annex B is used only if both say so, and both say so by saying nothing (RFC 4856 §2.1.9).
            let both = g729_annex_b(local) && g729_annex_b(remote);
            let said = if both { "annexb=yes" } else { "annexb=no" };
            let write = if both && (local.is_empty() || remote.is_empty()) { "" } else { said };
            Some(Settled { write: write.into(), send: said.into(), receive: said.into() })
        }
        "g723" => {
            let annex_a =
                |text| !parameters::value(text, "annexa").is_some_and(|yes| yes.eq_ignore_ascii_case("no"));
            let both = annex_a(local) && annex_a(remote);
            let said = if both { "annexa=yes" } else { "annexa=no" };
            let write = if both && (local.is_empty() || remote.is_empty()) { "" } else { said };
            Some(Settled { write: write.into(), send: said.into(), receive: said.into() })
        }
        "ilbc" => {
            // The longer frame wins (RFC 3952 §5).
            let mode = ilbc_mode(local).max(ilbc_mode(remote));
            let said = format!("mode={mode}");
            let unsaid = mode == 30 && remote.is_empty();
            Some(Settled { write: if unsaid { String::new() } else { said.clone() }, ..Settled::both(said) })
        }
        "amr" | "amr-wb" if local.is_empty() => Some(Settled::both(remote)),
        "amr" | "amr-wb" => {
            Amr::parse(local).is_compatible(&Amr::parse(remote)).then(|| Settled::both(remote))
        }
        "h264" => {
            let mode = |text| parameters::value(text, "packetization-mode").unwrap_or("0").to_owned();
            let profile = |text| {
                let level = parameters::value(text, "profile-level-id").unwrap_or("42000A");
                level.get(..2).unwrap_or("42").to_ascii_lowercase()
            };
            let fits = mode(local) == mode(remote) && profile(local) == profile(remote);
            fits.then(|| Settled { write: remote.to_owned(), ..declared })
        }
        "vp9" => {
            let profile = |text| parameters::value(text, "profile-id").unwrap_or("0").to_owned();
            (profile(local) == profile(remote)).then_some(declared)
        }
        name if local.is_empty() && !is_known(name) => {
            // Passed through: what both ends have to say alike is said alike.
            Some(Settled { write: remote.to_owned(), send: remote.to_owned(), receive: remote.to_owned() })
        }
        _ => Some(declared),
    }
}

/// Codecs whose parameters, if there are any, say what their writer would like and bind nobody else.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "pcmu" | "pcma" | "g722" | "gsm" | "opus" | "cn" | "l16" | "speex" | "vp8" | "h263" | "h261" | "mpv"
    )
}

/// Parameters without regard to order and case.
fn normal(text: &str) -> Vec<String> {
    let mut pairs: Vec<String> = parameters::pairs(text)
        .map(|(name, value)| format!("{name}={}", value.unwrap_or("")).to_ascii_lowercase())
        .collect();
    pairs.sort();
    pairs
}

/// Formats that carry no medium by themselves.
fn is_auxiliary(name: &str) -> bool {
    ["CN", "red", "rtx", "ulpfec", "flexfec", "flexfec-03"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
        || is_telephone_event(name)
}

/// Which formats of an offer an answer has, in the answer's order.
pub(crate) struct Selection {
    pub(crate) formats: Vec<LocalFormat>,
    /// The peer's format for each of `formats`.
    pub(crate) common: Vec<Common>,
}

/// Chooses the formats of an answer (RFC 3264 §6.1).
///
/// # Errors
/// Nothing is common, or something is and its parameters exclude each other.
pub(crate) fn select(
    capability: &MediaCapability,
    offered: &[Format],
    preference: Preference,
    answer_codecs: AnswerCodecs,
    in_use: Option<(&str, u32)>,
) -> Result<Selection, Rule> {
    let mut matches: Vec<(usize, usize, Settled)> = Vec::new();
    let mut conflict = None;
    for (remote, format) in offered.iter().enumerate() {
        let same = capability.codecs.iter().enumerate().filter(|(local, codec)| {
            codec.is_same(&format.name, format.clock_rate, format.channels)
                && !matches.iter().any(|(_, taken, _)| taken == local)
        });
        for (local, codec) in same {
            match settle(codec, &codec.parameters, &format.parameters) {
                Some(settled) => {
                    matches.push((remote, local, settled));
                    break;
                }
                None => {
                    conflict.get_or_insert_with(|| Rule::IncompatibleParameters {
                        codec: codec.display_name(),
                        offered: format.parameters.clone(),
                        supported: codec.parameters.clone(),
                    });
                }
            }
        }
    }
    if preference == Preference::Local {
        matches.sort_by_key(|(_, local, _)| *local);
    }
    let name = |local: usize| capability.codecs.get(local).map_or("", |codec| &codec.name);
    // What carries no sound comes last.
    matches.sort_by_key(|(_, local, _)| is_auxiliary(name(*local)));
    if let Some((codec, clock_rate)) = in_use {
        let is_used = |remote: usize| {
            let format = offered.get(remote);
            format.is_some_and(|format| {
                format.name.eq_ignore_ascii_case(codec) && format.clock_rate == clock_rate
            })
        };
        matches.sort_by_key(|(remote, ..)| !is_used(*remote));
    }
    let only_events = offered.iter().all(Format::is_telephone_event) && capability.telephone_events.is_some();
    if !only_events && matches.first().is_none_or(|(_, local, _)| is_auxiliary(name(*local))) {
        return Err(conflict.unwrap_or(Rule::NoCommonCodec));
    }
    if answer_codecs == AnswerCodecs::One {
        matches.truncate(1);
    }
    let mut selection = Selection { formats: Vec::new(), common: Vec::new() };
    for (remote, local, settled) in matches {
        let (Some(format), Some(codec)) = (offered.get(remote), capability.codecs.get(local)) else {
            continue;
        };
        selection.push(remote, format, codec.clone(), settled);
    }
    selection.add_events(capability.telephone_events, offered, only_events);
    if selection.formats.is_empty() { Err(Rule::NoCommonCodec) } else { Ok(selection) }
}

impl Selection {
    fn push(&mut self, remote: usize, format: &Format, codec: Codec, settled: Settled) {
        // The offer's number is used: RFC 3264 §6.1 wants it where nothing speaks against it.
        self.formats.push(LocalFormat {
            payload_type: format.payload_type,
            codec,
            parameters: settled.write.clone(),
        });
        self.common.push(Common { remote, local: self.formats.len().saturating_sub(1), settled });
    }

    /// Telephone events at the clock rates of the chosen codecs; where the peer has none of those, the first it has,
    /// since many peers send events at 8000 Hz whatever the codec is.
    fn add_events(&mut self, own: Option<EventSet>, offered: &[Format], only_events: bool) {
        let Some(own) = own else { return };
        let rates: Vec<u32> = self.formats.iter().map(|format| format.codec.clock_rate).collect();
        let events = |rate: Option<u32>| {
            offered.iter().enumerate().find_map(|(place, format)| {
                let fits = format.is_telephone_event() && rate.is_none_or(|rate| rate == format.clock_rate);
                let set = EventSet::parse(&format.parameters).unwrap_or_default().and(own);
                (fits && !set.is_empty()).then_some((place, format, set))
            })
        };
        let mut chosen: Vec<(usize, &Format, EventSet)> = Vec::new();
        for rate in rates {
            let found = events(Some(rate));
            if let Some(found) = found
                && !chosen.iter().any(|(place, ..)| *place == found.0)
            {
                chosen.push(found);
            }
        }
        if chosen.is_empty() || only_events {
            chosen.extend(events(None));
            chosen.dedup_by_key(|(place, ..)| *place);
        }
        for (place, format, set) in chosen {
            let text = set.to_string();
            let codec = telephone_event(format.clock_rate, own);
            self.push(place, format, codec, Settled::both(text));
        }
    }
}

/// Telephone events as a codec.
pub(crate) fn telephone_event(clock_rate: u32, events: EventSet) -> Codec {
    Codec::new(TELEPHONE_EVENT, clock_rate).with(events.to_string())
}

/// Which formats of our offer an answer took, in the answer's order.
///
/// # Errors
/// Nothing is common, or something is and its parameters exclude each other.
pub(crate) fn accepted(offered: &[LocalFormat], answer: &[Format]) -> Result<Vec<Common>, Rule> {
    let mut all: Vec<Common> = Vec::new();
    let mut conflict = None;
    for (remote, format) in answer.iter().enumerate() {
        let fits = |place: &usize| {
            let free = !all.iter().any(|common| common.local == *place);
            free && offered.get(*place).is_some_and(|ours| is_same(ours, format))
        };
        let places = || (0..offered.len()).filter(fits);
        // The same number first: it tells apart two formats of one codec.
        let numbered =
            |place: &usize| offered.get(*place).is_some_and(|ours| ours.payload_type == format.payload_type);
        let candidates = places().filter(numbered).chain(places().filter(|place| !numbered(place)));
        let mut found = None;
        for place in candidates {
            let Some(ours) = offered.get(place) else { continue };
            match settle_answer(ours, format) {
                Some(settled) => {
                    found = Some((place, settled));
                    break;
                }
                None => {
                    conflict.get_or_insert_with(|| Rule::IncompatibleParameters {
                        codec: ours.codec.display_name(),
                        offered: ours.parameters.clone(),
                        supported: format.parameters.clone(),
                    });
                }
            }
        }
        if let Some((local, settled)) = found {
            all.push(Common { remote, local, settled });
        }
    }
    let auxiliary =
        |common: &Common| offered.get(common.local).is_none_or(|ours| is_auxiliary(&ours.codec.name));
    let only_events = offered.iter().all(LocalFormat::is_telephone_event);
    if all.is_empty() || (!only_events && all.iter().all(auxiliary)) {
        return Err(conflict.unwrap_or(Rule::NoCommonCodec));
    }
    Ok(all)
}

fn is_same(ours: &LocalFormat, theirs: &Format) -> bool {
    let events = ours.is_telephone_event() && theirs.is_telephone_event();
    (events && ours.codec.clock_rate == theirs.clock_rate)
        || ours.codec.is_same(&theirs.name, theirs.clock_rate, theirs.channels)
}

fn settle_answer(ours: &LocalFormat, theirs: &Format) -> Option<Settled> {
    if ours.is_telephone_event() {
        let own = EventSet::parse(&ours.parameters).unwrap_or_default();
        let set = EventSet::parse(&theirs.parameters).unwrap_or_default().and(own);
        return (!set.is_empty()).then(|| Settled::both(set.to_string()));
    }
    let settled = settle(&ours.codec, &ours.parameters, &theirs.parameters)?;
    // What an answer leaves unsaid about Annex B of G.729 follows the offer.
    let g729 = ours.codec.name.eq_ignore_ascii_case("g729");
    if g729 && !g729_annex_b(&ours.parameters) { Some(Settled::both("annexb=no")) } else { Some(settled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(codec: &Codec, remote: &str) -> Option<String> {
        settle(codec, &codec.parameters, remote).map(|settled| settled.write)
    }

    #[test]
    fn parameters_are_settled_as_their_rfcs_say() {
        assert_eq!(write(&Codec::g729(true), "annexb=no").as_deref(), Some("annexb=no"));
        assert_eq!(write(&Codec::g729(false), "").as_deref(), Some("annexb=no"));
        assert_eq!(write(&Codec::g729(true), "").as_deref(), Some(""));
        assert_eq!(write(&Codec::ilbc(20), "mode=20").as_deref(), Some("mode=20"));
        assert_eq!(write(&Codec::ilbc(20), "mode=30").as_deref(), Some("mode=30"));
        assert_eq!(write(&Codec::ilbc(20), "").as_deref(), Some(""));
        assert_eq!(write(&Codec::ilbc(30), "mode=20").as_deref(), Some("mode=30"));
        let amr = Codec::new("AMR", 8_000);
        assert_eq!(write(&amr, "octet-align=1").as_deref(), Some("octet-align=1"));
        assert_eq!(write(&amr.with("octet-align=0"), "octet-align=1"), None);
        let own = Codec::new("X-own", 8_000);
        assert_eq!(write(&own, "a=1").as_deref(), Some("a=1"));
        let mut equal = own.with("a=1; b=2");
        equal.matching = ParameterRule::Equal;
        assert_eq!(write(&equal, "B=2;A=1").as_deref(), Some("a=1; b=2"));
        assert_eq!(write(&equal, "a=1"), None);
        equal.matching = ParameterRule::Ignore;
        assert!(write(&equal, "a=1").is_some());
    }
}
