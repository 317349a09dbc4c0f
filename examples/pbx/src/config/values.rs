//! What is written in several tables: numbers, marks, codecs, and texts out of a few.

use std::time::Duration;

use denwa::marking::Dscp;
use denwa::media::KeyPath;

use super::document::{Section, Text, listed};
use super::problem::Problems;
use super::{Codec, Encryption, Keying, Nat, Voice};

/// The longest number, name of a trunk, or prefix.
pub(super) const LONGEST_NUMBER: usize = 64;

/// A mark on packets (RFC 2474).
pub(super) fn dscp(section: &mut Section<'_>, problems: &mut Problems) -> Option<Dscp> {
    section.whole("dscp", 0..=63, problems).and_then(|value| Dscp::new(u8::try_from(value).ok()?))
}

/// How voice travels, with these codecs when none are written.
pub(super) fn voice_or(section: &mut Section<'_>, default: &[Codec], problems: &mut Problems) -> Voice {
    let codecs = codecs(section, default, problems);
    let encryption = [
        ("off", Encryption::Off),
        ("accepted", Encryption::Accepted),
        ("offered", Encryption::Offered),
        ("required", Encryption::Required),
    ];
    let keying = [("sdes", Keying::Sdes), ("dtls", Keying::Dtls)];
    let keys = [("auto", KeyPath::Agreed), ("in-band", KeyPath::InBand), ("info", KeyPath::Signalling)];
    let nat = [("auto", Nat::Auto), ("off", Nat::Off), ("behind", Nat::Behind)];
    Voice {
        codecs,
        encryption: section.one_of("encryption", &encryption, problems).unwrap_or_default(),
        keying: section.one_of("keys", &keying, problems).unwrap_or_default(),
        ice: section.flag("ice", problems).unwrap_or(false),
        one_port: false,
        keys: section.one_of("dtmf", &keys, problems).unwrap_or_default(),
        packet_time: section.whole("packet_ms", 10..=200, problems).map(Duration::from_millis),
        nat: section.one_of("nat", &nat, problems).unwrap_or_default(),
        dscp: dscp(section, problems),
    }
}

fn codecs(section: &mut Section<'_>, default: &[Codec], problems: &mut Problems) -> Vec<Codec> {
    let Some(texts) = section.texts("codecs", problems) else { return default.to_vec() };
    let names = Codec::ALL.map(Codec::name);
    check_not_empty(&texts, section, "codecs", &names, problems);
    distinct(&texts, &names, Codec::by_name, problems)
}

/// What each text stands for, and complaints about those that stand for nothing or for the same.
pub(super) fn distinct<T: PartialEq>(
    texts: &[Text],
    known: &[&str],
    parse: impl Fn(&str) -> Option<T>,
    problems: &mut Problems,
) -> Vec<T> {
    let mut values = Vec::new();
    for text in texts {
        match parse(&text.value) {
            Some(value) if values.contains(&value) => {
                problems.add(&text.span, &text.key, format!("\"{}\" is written twice", text.value));
            }
            Some(value) => values.push(value),
            None => {
                let message =
                    format!("\"{}\" is not known here, expected one of {}", text.value, listed(known));
                problems.add(&text.span, &text.key, message);
            }
        }
    }
    values
}

pub(super) fn check_not_empty(
    texts: &[Text],
    section: &Section<'_>,
    key: &str,
    known: &[&str],
    problems: &mut Problems,
) {
    if texts.is_empty() {
        let message = format!("is empty, expected at least one of {}", listed(known));
        problems.add(section.span(), section.key(key), message);
    }
}

/// A text that `parse` understands, or its complaint at the text's place.
pub(super) fn checked<T>(
    text: &Text,
    parse: impl Fn(&str) -> Result<T, String>,
    problems: &mut Problems,
) -> Option<T> {
    parse(&text.value).map_err(|message| problems.add(&text.span, &text.key, message)).ok()
}

pub(super) fn number(text: Text, problems: &mut Problems) -> Option<Text> {
    if is_number(&text.value) {
        return Some(text);
    }
    let message =
        format!("\"{}\" is not a number to dial, expected digits, letters and * # + . _ -", text.value);
    problems.add(&text.span, &text.key, message);
    None
}

/// A number, or none when it is not written or empty.
pub(super) fn optional_number(
    section: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
) -> Option<String> {
    let text = section.text(key, problems).filter(|text| !text.value.is_empty())?;
    number(text, problems).map(|text| text.value)
}

/// Whether a text can be dialled: 1 to 64 of what stands in the user part of a SIP URI without escapes, and `#`.
pub(crate) fn is_number(text: &str) -> bool {
    (1..=LONGEST_NUMBER).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*#+._-".contains(&byte))
}
