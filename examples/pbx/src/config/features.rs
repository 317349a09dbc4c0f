//! The tables of what the exchange does by itself: services, voicemail, recordings, prompts, menus, queues, the clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::document::{Section, Text, listed};
use super::is_number;
use super::problem::Problems;
use super::sections::{Taken, take};
use super::values::{number, optional_number};
use crate::policy::hours::Hours;
use crate::policy::limits::TrunkLimits;
use crate::services::Service;
use crate::services::prompts::Language;

/// `[services]`: the number that reaches each that is not switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services(BTreeMap<Service, String>);

/// `[tls]`: what is shown to those who connect by TLS or secure WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those above it, in PEM; one of the exchange's own when `None`.
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
    /// Authorities that neighbours may prove themselves by, beside those that the system trusts, in PEM.
    pub trust: Option<PathBuf>,
    /// The authority of telephones' certificates, in PEM; needed where an extension has a `certificate`.
    pub clients: Option<PathBuf>,
}

/// `[mantela]`: how this exchange publishes itself to the network's viewers and phone books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mantela {
    /// Where the document is served by HTTP; nowhere when `None`.
    pub listen: Option<SocketAddr>,
    /// The exchange's name for people.
    pub name: String,
    /// Its name for programs.
    pub identifier: String,
    /// The prefix it would like to have.
    pub prefix: String,
    /// Its address; not published when empty.
    pub sip_uri: String,
}

/// `[conference]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conference {
    /// What is to be dialled before one is let in.
    pub pin: Option<String>,
    /// The most members.
    pub members: usize,
}

/// `[voicemail]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voicemail {
    /// Where messages and recordings are kept; beside the store when `None`.
    pub folder: Option<PathBuf>,
    /// The most messages of a mailbox.
    pub messages: usize,
    /// The longest message.
    pub longest: Duration,
    /// A program that is run for each new message with mailbox, caller and file; none when empty.
    pub hook: String,
}

/// `[recording]`: of calls. Off for every extension whose `record` is not true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where recordings go; `recordings/` beside the voicemail when `None`.
    pub folder: Option<PathBuf>,
    /// The most megabytes of them.
    pub quota_megabytes: u64,
    /// Whether both sides are told by a prompt that they are recorded.
    pub announced: bool,
    /// How often both sides hear a short tone while they are recorded; never when zero.
    pub beep: Duration,
}

/// `[prompts]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptFiles {
    /// The operator's own.
    pub folder: Option<PathBuf>,
    /// What is spoken.
    pub language: Language,
}

/// `[[menus]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The number dialled.
    pub number: String,
    /// The name of the prompt that is said.
    pub prompt: String,
    /// The number called for each key.
    pub choices: BTreeMap<char, String>,
    /// The number called when no key comes.
    pub otherwise: Option<String>,
    /// How long a key may take.
    pub patience: Duration,
}

/// `[[queues]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The number dialled.
    pub number: String,
    /// The number of the group that is tried.
    pub group: String,
    /// How long after nobody answered it is tried again.
    pub again: Duration,
    /// How long somebody waits at most.
    pub longest: Duration,
    /// The number called then.
    pub otherwise: Option<String>,
}

/// `[[rules]]`: at these hours a number means another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is dialled.
    pub number: String,
    /// When.
    pub hours: Hours,
    /// What it means then.
    pub to: String,
}

/// How times of day are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// As this machine tells them.
    #[default]
    System,
    /// So many seconds east of Greenwich.
    Fixed(i64),
}

impl Clock {
    /// Seconds since midnight at a time given in seconds since 1970.
    pub fn second_of_day(self, unix: u64) -> u64 {
        self.local(unix).rem_euclid(86_400).unsigned_abs()
    }

    /// The day of the week, Monday being 0.
    pub fn day_of_week(self, unix: u64) -> u64 {
        // 1970 began on a Thursday.
        (self.local(unix).div_euclid(86_400) + 3).rem_euclid(7).unsigned_abs()
    }

    fn local(self, unix: u64) -> i64 {
        let unix = i64::try_from(unix).unwrap_or(i64::MAX / 2);
        let offset = match self {
            Self::Fixed(offset) => offset,
            Self::System => {
                use chrono::{Offset as _, TimeZone as _};
                let local = chrono::Local.timestamp_opt(unix, 0).single();
                local.map_or(0, |local| i64::from(local.offset().fix().local_minus_utc()))
            }
        };
        unix.saturating_add(offset)
    }
}

impl Default for Services {
    fn default() -> Self {
        Self(Service::ALL.into_iter().map(|service| (service, service.default_number().to_owned())).collect())
    }
}

impl Services {
    /// Each service that is switched on, and its number.
    pub fn listed(&self) -> impl Iterator<Item = (Service, &str)> {
        self.0.iter().map(|(service, number)| (*service, number.as_str()))
    }

    /// The number of a service that is switched on.
    pub fn number(&self, service: Service) -> Option<&str> {
        self.0.get(&service).map(String::as_str)
    }

    /// A default number gives way to an extension that has it.
    pub(super) fn without(mut self, taken: &Taken) -> Self {
        self.0.retain(|_, number| !taken.has_number(number));
        self
    }
}

impl Default for Conference {
    fn default() -> Self {
        Self { pin: None, members: 64 }
    }
}

impl Default for Voicemail {
    fn default() -> Self {
        Self { folder: None, messages: 100, longest: Duration::from_secs(180), hook: String::new() }
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { folder: None, quota_megabytes: 1_000, announced: true, beep: Duration::from_secs(15) }
    }
}

pub(super) fn services(mut section: Section<'_>, taken: &mut Taken, problems: &mut Problems) -> Services {
    let mut numbers = BTreeMap::new();
    for service in Service::ALL {
        let Some(text) = section.text(service.name(), problems) else {
            let default = service.default_number().to_owned();
            if !taken.has_number(&default) {
                numbers.insert(service, default);
            }
            continue;
        };
        if text.value.is_empty() {
            continue;
        }
        if let Some(text) = number(text, problems) {
            take(&text, &format!("services.{}", service.name()), taken.numbers_mut(), problems);
            numbers.insert(service, text.value);
        }
    }
    section.finish(problems);
    Services(numbers)
}

pub(super) fn tls(mut section: Section<'_>, problems: &mut Problems) -> TlsFiles {
    let mut path = |key, problems: &mut Problems| -> Option<PathBuf> {
        section.text(key, problems).filter(|text| !text.value.is_empty()).map(|text| text.value.into())
    };
    let files = TlsFiles {
        certificate: path("certificate", problems),
        key: path("key", problems),
        trust: path("trust", problems),
        clients: path("clients", problems),
    };
    if files.certificate.is_some() != files.key.is_some() {
        problems.add(section.span(), section.key("certificate"), "certificate and key are given together");
    }
    section.finish(problems);
    files
}

pub(super) fn mantela(mut section: Section<'_>, problems: &mut Problems) -> Mantela {
    let listen = section.text("listen", problems).filter(|text| !text.value.is_empty()).and_then(|text| {
        let wrong = |_| problems.add(&text.span, &text.key, "expected ADDRESS:PORT as 127.0.0.1:8080");
        text.value.parse().map_err(wrong).ok()
    });
    let mut text = |key| section.text(key, problems).map(|text| text.value).unwrap_or_default();
    let (name, identifier) = (text("name"), text("identifier"));
    let (prefix, sip_uri) = (text("prefix"), text("sip_uri"));
    section.finish(problems);
    Mantela { listen, name, identifier, prefix, sip_uri }
}

pub(super) fn conference(mut section: Section<'_>, problems: &mut Problems) -> Conference {
    let mut conference = Conference::default();
    if let Some(pin) = section.text("pin", problems).filter(|pin| !pin.value.is_empty()) {
        if pin.value.bytes().all(|byte| byte.is_ascii_digit()) && pin.value.len() <= 32 {
            conference.pin = Some(pin.value);
        } else {
            problems.add(&pin.span, &pin.key, "expected at most 32 digits");
        }
    }
    if let Some(members) = section.whole("members", 2..=64, problems) {
        conference.members = usize::try_from(members).unwrap_or(conference.members);
    }
    section.finish(problems);
    conference
}

pub(super) fn voicemail(mut section: Section<'_>, problems: &mut Problems) -> Voicemail {
    let mut voicemail = Voicemail { folder: folder(&mut section, problems), ..Voicemail::default() };
    if let Some(messages) = section.whole("messages", 1..=10_000, problems) {
        voicemail.messages = usize::try_from(messages).unwrap_or(voicemail.messages);
    }
    if let Some(seconds) = section.whole("seconds", 5..=3_600, problems) {
        voicemail.longest = Duration::from_secs(seconds);
    }
    if let Some(hook) = section.text("hook", problems) {
        voicemail.hook = hook.value;
    }
    section.finish(problems);
    voicemail
}

pub(super) fn recording(mut section: Section<'_>, problems: &mut Problems) -> Recording {
    let mut recording = Recording { folder: folder(&mut section, problems), ..Recording::default() };
    if let Some(megabytes) = section.whole("quota_megabytes", 1..=1_000_000_000, problems) {
        recording.quota_megabytes = megabytes;
    }
    if let Some(announced) = section.flag("announced", problems) {
        recording.announced = announced;
    }
    if let Some(seconds) = section.whole("beep_seconds", 0..=3_600, problems) {
        recording.beep = Duration::from_secs(seconds);
    }
    section.finish(problems);
    recording
}

fn folder(section: &mut Section<'_>, problems: &mut Problems) -> Option<PathBuf> {
    section.text("folder", problems).filter(|text| !text.value.is_empty()).map(|text| text.value.into())
}

pub(super) fn prompts(mut section: Section<'_>, problems: &mut Problems) -> PromptFiles {
    let folder = folder(&mut section, problems);
    let mut language = Language::default();
    if let Some(text) = section.text("language", problems) {
        match text.value.as_str() {
            "en" => language = Language::English,
            "ja" => language = Language::Japanese,
            other => {
                let message =
                    format!("\"{other}\" is not spoken here, expected one of {}", listed(&["en", "ja"]));
                problems.add(&text.span, &text.key, message);
            }
        }
    }
    section.finish(problems);
    PromptFiles { folder, language }
}

pub(super) fn clock(mut section: Section<'_>, problems: &mut Problems) -> Clock {
    let clock = section.text("offset", problems).map_or(Clock::System, |text| {
        if text.value == "system" {
            return Clock::System;
        }
        offset(&text.value).map(Clock::Fixed).unwrap_or_else(|| {
            let message = format!("\"{}\" is no offset, expected \"system\" or +09:00", text.value);
            problems.add(&text.span, &text.key, message);
            Clock::System
        })
    });
    section.finish(problems);
    clock
}

/// `+09:00`
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 3_600 + minutes * 60))
}

pub(super) fn menu(mut section: Section<'_>, taken: &mut Taken, problems: &mut Problems) -> Option<Menu> {
    let text = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &text {
        take(text, &format!("the menu {}", text.value), taken.numbers_mut(), problems);
    }
    let prompt = section.text("prompt", problems).map_or_else(|| "menu".to_owned(), |text| text.value);
    let mut choices = BTreeMap::new();
    for choice in section.texts("choices", problems).unwrap_or_default() {
        let pair = choice.value.split_once('=').map(|(key, to)| (key.trim(), to.trim()));
        match pair {
            Some((key, to)) if is_number(to) && key.len() == 1 && "0123456789*#".contains(key) => {
                choices.extend(key.chars().map(|key| (key, to.to_owned())));
            }
            _ => {
                let message = format!("\"{}\" is no choice, expected KEY=NUMBER as 1=1001", choice.value);
                problems.add(&choice.span, &choice.key, message);
            }
        }
    }
    let otherwise = optional_number(&mut section, "otherwise", problems);
    let patience =
        section.whole("seconds", 1..=120, problems).map_or(Duration::from_secs(8), Duration::from_secs);
    section.finish(problems);
    Some(Menu { number: text?.value, prompt, choices, otherwise, patience })
}

pub(super) fn rule(mut section: Section<'_>, problems: &mut Problems) -> Option<Rule> {
    let from = section.required_text("number", problems).and_then(|text| number(text, problems));
    let to = section.required_text("to", problems).and_then(|text| number(text, problems));
    let hours = section.required_text("hours", problems).and_then(|text| hours(&text, problems));
    section.finish(problems);
    Some(Rule { number: from?.value, to: to?.value, hours: hours? })
}

fn hours(text: &Text, problems: &mut Problems) -> Option<Hours> {
    text.value.parse().map_err(|error: String| problems.add(&text.span, &text.key, error)).ok()
}

/// What of a trunk's table limits what goes out by it.
pub(super) fn trunk_limits(section: &mut Section<'_>, problems: &mut Problems) -> TrunkLimits {
    let mut count = |key, problems: &mut Problems| section.whole(key, 1..=1_000_000, problems);
    let calls = count("call_limit", problems).and_then(|count| usize::try_from(count).ok());
    let calls_an_hour = count("calls_an_hour", problems).and_then(|count| usize::try_from(count).ok());
    let minutes_a_day = count("minutes_a_day", problems);
    let quiet = section.text("quiet_hours", problems).filter(|text| !text.value.is_empty());
    let quiet = quiet.and_then(|text| hours(&text, problems));
    let barred = prefixes(section, "barred", problems);
    let pin_for = prefixes(section, "pin_for", problems);
    let pin = section.text("pin", problems).filter(|text| !text.value.is_empty());
    if pin.is_none() && !pin_for.is_empty() {
        problems.add(section.span(), section.key("pin"), "is missing, for there are numbers that need one");
    }
    let pin = pin.map(|text| super::Secret::new(text.value));
    TrunkLimits { calls, calls_an_hour, minutes_a_day, quiet, barred, pin_for, pin }
}

/// A list of the first digits of numbers.
pub(super) fn prefixes(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Vec<String> {
    let texts = section.texts(key, problems).unwrap_or_default();
    texts.into_iter().filter_map(|text| number(text, problems).map(|text| text.value)).collect()
}

pub(super) fn queue(mut section: Section<'_>, taken: &mut Taken, problems: &mut Problems) -> Option<Queue> {
    let text = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &text {
        take(text, &format!("the queue {}", text.value), taken.numbers_mut(), problems);
    }
    let group = section.required_text("group", problems).and_then(|text| number(text, problems));
    let seconds = |section: &mut Section<'_>, key, default, problems: &mut Problems| {
        section.whole(key, 1..=86_400, problems).map_or(Duration::from_secs(default), Duration::from_secs)
    };
    let again = seconds(&mut section, "again_seconds", 5, problems);
    let longest = seconds(&mut section, "longest_seconds", 600, problems);
    let otherwise = optional_number(&mut section, "otherwise", problems);
    section.finish(problems);
    Some(Queue { number: text?.value, group: group?.value, again, longest, otherwise })
}
