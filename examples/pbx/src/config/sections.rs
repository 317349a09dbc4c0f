//! Each table of the file, read into its type, and what must agree between tables: distinct numbers, routes that name a
//! trunk, port ranges that do not overlap.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use denwa::media::KeyPath;
use denwa::tokio::Dscp;
use denwa_sip_core::auth::algorithm::Algorithm;
use toml::de::DeTable;

use super::acl::acl;
use super::address::{PeerAddress, parse_listen};
use super::document::{Section, Text, listed};
use super::network::{media, network, parse_network, part_ports};
use super::problem::{Problem, Problems};
use super::{
    Calls, Codec, Config, Control, Encryption, Extension, Forward, Group, GuardPolicy, Keying, KnownBy, Nat,
    Route, Secret, Services, Sip, StoreUrl, Strategy, Tones, Trunk, Voice,
};
use super::{features, rewrites, safety, trunks, turn};

/// The digest algorithms of `sip.digest`.
const DIGESTS: [&str; 3] = ["MD5", "SHA-256", "SHA-512-256"];

/// The longest number, name of a trunk, or prefix.
const LONGEST_NUMBER: usize = 64;

pub(super) fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            problems.add(&error.span().unwrap_or(0..0), "", format!("is not TOML: {message}"));
            return Err(problems.placed_in(text));
        }
    };
    let config = document_into_config(Section::root(&document), &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems.placed_in(text)) }
}

fn document_into_config(mut root: Section<'_>, problems: &mut Problems) -> Config {
    let mut taken = Taken::default();
    let sip = read(&mut root, "sip", problems, sip);
    let network = read(&mut root, "network", problems, network);
    let mut media = read(&mut root, "media", problems, media);
    let calls = read(&mut root, "calls", problems, calls);
    let mut guard = GuardPolicy { exempt: network.local.clone(), ..GuardPolicy::default() };
    if let Some(section) = root.section("guard", problems) {
        guard_policy(section, &mut guard, problems);
    }
    let store = read(&mut root, "store", problems, store);
    let control = read(&mut root, "control", problems, control);
    let extensions: Vec<Extension> = root
        .sections("extensions", problems)
        .into_iter()
        .filter_map(|section| extension(section, &mut taken, problems))
        .collect();
    let groups: Vec<Group> = root
        .sections("groups", problems)
        .into_iter()
        .filter_map(|section| group(section, &extensions, &mut taken, problems))
        .collect();
    let trunks: Vec<Trunk> = root
        .sections("trunks", problems)
        .into_iter()
        .filter_map(|section| trunks::trunk(section, &mut taken, problems))
        .collect();
    let written = root.sections("rewrites", problems).into_iter();
    let written = written.filter_map(|section| rewrites::rewrite(section, &extensions, &trunks, problems));
    let rewrites = written.chain(rewrites::of_styles(&trunks)).collect();
    let secrets = read(&mut root, "secrets", problems, safety::secrets);
    let identity = read(&mut root, "identity", problems, safety::identity);
    let metrics = read(&mut root, "metrics", problems, safety::metrics);
    let routes = root
        .sections("routes", problems)
        .into_iter()
        .filter_map(|section| route(section, &trunks, &mut taken, problems))
        .collect();
    let tls = read(&mut root, "tls", problems, features::tls);
    let turn = root.section("turn", problems).map(|section| {
        let (span, key) = (section.span().clone(), section.key("ports"));
        let turn = turn::turn(section, problems);
        part_ports(&mut media, &turn, |message| problems.add(&span, key, message));
        turn
    });
    let mantela = read(&mut root, "mantela", problems, features::mantela);
    let conference = read(&mut root, "conference", problems, features::conference);
    let voicemail = read(&mut root, "voicemail", problems, features::voicemail);
    let recording = read(&mut root, "recording", problems, features::recording);
    let prompts = read(&mut root, "prompts", problems, features::prompts);
    let clock = read(&mut root, "clock", problems, features::clock);
    let menus = root.sections("menus", problems);
    let menus =
        menus.into_iter().filter_map(|section| features::menu(section, &mut taken, problems)).collect();
    let queues = root.sections("queues", problems);
    let queues =
        queues.into_iter().filter_map(|section| features::queue(section, &mut taken, problems)).collect();
    let rules = root.sections("rules", problems);
    let rules = rules.into_iter().filter_map(|section| features::rule(section, problems)).collect();
    let services = match root.section("services", problems) {
        Some(section) => features::services(section, &mut taken, problems),
        None => Services::default().without(&taken),
    };
    root.finish(problems);
    Config {
        sip,
        network,
        media,
        calls,
        guard,
        store,
        control,
        extensions,
        groups,
        trunks,
        routes,
        services,
        tls,
        turn,
        mantela,
        conference,
        voicemail,
        recording,
        prompts,
        clock,
        menus,
        queues,
        rules,
        rewrites,
        secrets,
        identity,
        metrics,
    }
}

/// Reads one table, or gives its defaults when it is not there.
fn read<T: Default>(
    root: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
    reader: fn(Section<'_>, &mut Problems) -> T,
) -> T {
    root.section(key, problems).map(|section| reader(section, problems)).unwrap_or_default()
}

/// Names and numbers met so far, each with what it belongs to, so that the second use of one is a problem.
#[derive(Default)]
pub(super) struct Taken {
    numbers: HashMap<String, String>,
    trunks: HashMap<String, String>,
    addresses: HashMap<String, String>,
    prefixes: HashMap<String, String>,
}

impl Taken {
    pub(super) fn has_number(&self, number: &str) -> bool {
        self.numbers.contains_key(number)
    }

    pub(super) fn numbers_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.numbers
    }

    pub(super) fn trunks_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.trunks
    }

    pub(super) fn addresses_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.addresses
    }
}

/// Notes that `text` belongs to its key, or reports to whom it belonged already.
pub(super) fn take(text: &Text, owner: &str, taken: &mut HashMap<String, String>, problems: &mut Problems) {
    if let Some(first) = taken.get(&text.value) {
        problems.add(&text.span, &text.key, format!("\"{}\" is used by {first} already", text.value));
    } else {
        taken.insert(text.value.clone(), owner.to_owned());
    }
}

/// A mark on packets (RFC 2474).
pub(super) fn dscp(section: &mut Section<'_>, problems: &mut Problems) -> Option<Dscp> {
    section.whole("dscp", 0..=63, problems).and_then(|value| Dscp::new(u8::try_from(value).ok()?))
}

fn sip(mut section: Section<'_>, problems: &mut Problems) -> Sip {
    let mut sip = Sip::default();
    if let Some(texts) = section.texts("listen", problems) {
        sip.listen_is_default = false;
        sip.listen = Vec::new();
        for text in &texts {
            match parse_listen(&text.value) {
                Ok(listen) if sip.listen.contains(&listen) => {
                    problems.add(&text.span, &text.key, format!("\"{listen}\" is written twice"));
                }
                Ok(listen) => sip.listen.push(listen),
                Err(message) => problems.add(&text.span, &text.key, message),
            }
        }
        if texts.is_empty() {
            let message = "is empty, expected at least one address as \"udp:0.0.0.0:5060\"";
            problems.add(section.span(), section.key("listen"), message);
        }
    }
    sip.dscp = dscp(&mut section, problems);
    if let Some(realm) = section.text("realm", problems) {
        if realm.value.is_empty() || !realm.value.chars().all(is_realm_character) {
            problems.add(
                &realm.span,
                &realm.key,
                "expected a name without quotation marks, backslashes or line ends",
            );
        }
        sip.realm = realm.value;
    }
    if let Some(texts) = section.texts("digest", problems) {
        sip.digest =
            distinct(&texts, &DIGESTS, |text| DIGESTS.iter().position(|name| *name == text), problems)
                .into_iter()
                .filter_map(|index| DIGESTS.get(index).and_then(|name| Algorithm::from_token(name)))
                .collect();
        check_not_empty(&texts, &section, "digest", &DIGESTS, problems);
    }
    section.finish(problems);
    sip
}

fn is_realm_character(character: char) -> bool {
    !character.is_control() && !matches!(character, '"' | '\\')
}

fn calls(mut section: Section<'_>, problems: &mut Problems) -> Calls {
    let mut calls = Calls::default();
    if let Some(seconds) = section.whole("ring_seconds", 1..=3_600, problems) {
        calls.ring = Duration::from_secs(seconds);
    }
    if let Some(limit) = section.whole("limit", 1..=100_000, problems) {
        calls.limit = u32::try_from(limit).unwrap_or(calls.limit);
    }
    if let Some(texts) = section.texts("emergency", problems) {
        calls.emergency =
            texts.into_iter().filter_map(|text| number(text, problems).map(|text| text.value)).collect();
    }
    calls.blocked = features::prefixes(&mut section, "blocked", problems);
    if let Some(seconds) = section.whole("digit_seconds", 1..=30, problems) {
        calls.digits = Duration::from_secs(seconds);
    }
    if let Some(announcements) = section.flag("announcements", problems) {
        calls.announcements = announcements;
    }
    if let Some(music) = section.flag("music_on_hold", problems) {
        calls.music_on_hold = music;
    }
    if let Some(busy) = section.flag("announce_busy", problems) {
        calls.announce_busy = busy;
    }
    let tones = [("japan", Tones::Japan), ("north america", Tones::NorthAmerica), ("europe", Tones::Europe)];
    calls.tones = section.one_of("tones", &tones, problems).unwrap_or_default();
    section.finish(problems);
    calls
}

fn guard_policy(mut section: Section<'_>, guard: &mut GuardPolicy, problems: &mut Problems) {
    if let Some(texts) = section.texts("exempt", problems) {
        guard.exempt = texts.iter().filter_map(|text| checked(text, parse_network, problems)).collect();
    }
    if let Some(offences) = section.whole("offences", 1..=1_000, problems) {
        guard.offences = u32::try_from(offences).unwrap_or(guard.offences);
    }
    if let Some(seconds) = section.whole("ban_seconds", 1..=86_400, problems) {
        guard.ban = Duration::from_secs(seconds);
    }
    guard.allow = acl(&mut section, "allow", problems);
    guard.deny = acl(&mut section, "deny", problems);
    section.finish(problems);
}

fn store(mut section: Section<'_>, problems: &mut Problems) -> StoreUrl {
    const EXPECTED: &str = "expected sqlite:FILE as sqlite:pbx-data/pbx.db";
    let mut store = StoreUrl::default();
    if let Some(url) = section.text("url", problems) {
        match url.value.split_once(':') {
            Some(("sqlite", ":memory:")) => store = StoreUrl::Memory,
            Some(("sqlite", path)) if !path.is_empty() => {
                // sqlite:///absolute and sqlite:relative both mean the path that follows.
                store = StoreUrl::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path)));
            }
            Some(("postgres" | "postgresql", _)) => {
                problems.add(&url.span, &url.key, format!("postgres is not built yet, {EXPECTED}"));
            }
            _ => problems.add(&url.span, &url.key, format!("\"{}\" is not a store, {EXPECTED}", url.value)),
        }
    }
    section.finish(problems);
    store
}

fn control(mut section: Section<'_>, problems: &mut Problems) -> Control {
    let socket = section.text("socket", problems).map(|text| PathBuf::from(text.value));
    section.finish(problems);
    Control { socket }
}

fn extension(mut section: Section<'_>, taken: &mut Taken, problems: &mut Problems) -> Option<Extension> {
    let number = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &number {
        take(text, &format!("extension {}", text.value), &mut taken.numbers, problems);
    }
    let name = section.text("name", problems);
    if let Some(text) = &name
        && (text.value.chars().any(char::is_control) || text.value.chars().count() > LONGEST_NUMBER)
    {
        let message = format!("expected a name of at most {LONGEST_NUMBER} characters on one line");
        problems.add(&text.span, &text.key, message);
    }
    let password = section.required_text("password", problems);
    if let Some(text) = &password
        && (text.value.is_empty() || text.value.chars().any(char::is_control))
    {
        problems.add(
            &text.span,
            &text.key,
            "expected a password that is not empty, without control characters",
        );
    }
    let address = section.text("address", problems);
    let known_by = KnownBy {
        address: address.as_ref().and_then(|text| checked(text, PeerAddress::parse, problems)),
        certificate: section.text("certificate", problems).map(|text| text.value),
    };
    let voice = voice_or(&mut section, &Codec::DEFAULT, problems);
    let allow = acl(&mut section, "allow", problems);
    let overlap = section.flag("overlap", problems).unwrap_or(false);
    let challenges = section.flag("challenges", problems).unwrap_or(false);
    let forward = forward(&mut section, problems);
    let call_limit = section.whole("call_limit", 1..=1_000, problems);
    let call_waiting = section.flag("call_waiting", problems).unwrap_or(true);
    let published = section.flag("publish", problems).unwrap_or(true);
    let record = section.flag("record", problems).unwrap_or(false);
    let pin = section.text("voicemail_pin", problems).map(|text| text.value).unwrap_or_default();
    section.finish(problems);
    Some(Extension {
        known_by,
        published,
        record,
        allow,
        overlap,
        challenges,
        call_limit: call_limit.and_then(|limit| usize::try_from(limit).ok()),
        call_waiting,
        voicemail_pin: Secret::new(pin),
        number: number?.value,
        name: name.map(|text| text.value).unwrap_or_default(),
        password: Secret::new(password?.value),
        voice,
        forward,
    })
}

fn forward(section: &mut Section<'_>, problems: &mut Problems) -> Forward {
    let mut to = |key, problems: &mut Problems| optional_number(section, key, problems);
    let always = to("forward_always", problems);
    let busy = to("forward_busy", problems);
    let no_answer = to("forward_no_answer", problems);
    let unreachable = to("forward_unreachable", problems);
    let follow_me = features::prefixes(section, "follow_me", problems);
    let do_not_disturb = section.flag("do_not_disturb", problems).unwrap_or(false);
    let mut seconds =
        |key, problems: &mut Problems| section.whole(key, 1..=3_600, problems).map(Duration::from_secs);
    Forward {
        do_not_disturb,
        always,
        busy,
        no_answer,
        unreachable,
        ring: seconds("ring_seconds", problems),
        by_priority: seconds("priority_seconds", problems),
        follow_me,
        follow_me_ring: seconds("follow_me_seconds", problems),
    }
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

fn group(
    mut section: Section<'_>,
    extensions: &[Extension],
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Group> {
    let number = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &number {
        take(text, &format!("the group {}", text.value), &mut taken.numbers, problems);
    }
    let members = section.texts("members", problems);
    if members.as_ref().is_none_or(Vec::is_empty) {
        problems.add(section.span(), section.key("members"), "expected at least one extension's number");
    }
    let members = members.unwrap_or_default();
    for text in &members {
        // Others may live in the store: a slip is told apart from them only by the look of it.
        if !is_number(&text.value) {
            problems.add(&text.span, &text.key, format!("\"{}\" is not a number", text.value));
        } else if !extensions.is_empty() && !extensions.iter().any(|one| one.number == text.value) {
            let message = format!("\"{}\" is not an extension of this file", text.value);
            problems.add(&text.span, &text.key, message);
        }
    }
    let strategies = [
        ("all", Strategy::All),
        ("hunt", Strategy::Hunt),
        ("round robin", Strategy::RoundRobin),
        ("longest idle", Strategy::LongestIdle),
        ("page", Strategy::Page),
    ];
    let strategy = section.one_of("strategy", &strategies, problems).unwrap_or_default();
    let ring = section.whole("ring_seconds", 1..=3_600, problems).map(Duration::from_secs);
    let no_answer = optional_number(&mut section, "forward_no_answer", problems);
    section.finish(problems);
    let members = members.into_iter().map(|text| text.value).collect();
    Some(Group { number: number?.value, members, strategy, ring, no_answer })
}

fn route(
    mut section: Section<'_>,
    trunks: &[Trunk],
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Route> {
    let prefix = section.required_text("prefix", problems).and_then(|text| number(text, problems));
    if let Some(text) = &prefix {
        take(text, &format!("the route with prefix {}", text.value), &mut taken.prefixes, problems);
    }
    let strip = section.whole("strip", 0..=LONGEST_NUMBER as u64, problems);
    let trunk = section.required_text("trunk", problems);
    if let Some(text) = &trunk
        && !trunks.iter().any(|trunk| trunk.name == text.value)
    {
        let names: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        let known = if names.is_empty() {
            "there are no [[trunks]]".to_owned()
        } else {
            format!("expected one of {}", listed(&names))
        };
        problems.add(&text.span, &text.key, format!("\"{}\" is not a trunk, {known}", text.value));
    }
    section.finish(problems);
    let prefix = prefix?.value;
    let strip = strip.and_then(|strip| usize::try_from(strip).ok()).unwrap_or(prefix.len());
    Some(Route { prefix, strip, trunk: trunk?.value })
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
    }
}

fn codecs(section: &mut Section<'_>, default: &[Codec], problems: &mut Problems) -> Vec<Codec> {
    let Some(texts) = section.texts("codecs", problems) else { return default.to_vec() };
    let names = Codec::ALL.map(Codec::name);
    check_not_empty(&texts, section, "codecs", &names, problems);
    distinct(&texts, &names, Codec::by_name, problems)
}

/// What each text stands for, and complaints about those that stand for nothing or for the same.
fn distinct<T: PartialEq>(
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

fn check_not_empty(
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

/// Whether a text can be dialled: 1 to 64 of what stands in the user part of a SIP URI without escapes, and `#`.
pub(crate) fn is_number(text: &str) -> bool {
    (1..=LONGEST_NUMBER).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*#+._-".contains(&byte))
}
