//! One side: who is on it, what it speaks, and how it likes its calls.

use super::Config;
use super::error::{ConfigError, Reader};
use super::rules;
use super::sections::{SideSection, Spanned};
use denwa::address::Network;
use denwa::media::TurnServer;
use denwa::rules::{NumberRules, Rules};
use denwa::tokio::Listen;
use denwa_ice::turn::client::TurnUri;
use denwa_sdp::Codec;
use denwa_sip_core::Protocol;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// One network.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Its name.
    pub name: String,
    /// What speaks there.
    pub kind: Kind,
    /// Calls from these addresses are its calls, without a password.
    pub from: Vec<Network>,
    /// Where calls to it go.
    pub place: Place,
    /// Those who register here, and call with their passwords.
    pub users: Vec<User>,
    /// The name it knows us by, when it asks.
    pub user: Option<String>,
    /// The password for it.
    pub password: Option<String>,
    /// Whether to register with it.
    pub register: bool,
    /// Each user of that side is registered here while he is registered there.
    pub registers_users_of: Option<String>,
    /// The host of addresses there, where that is no address.
    pub domain: Option<String>,
    /// Calls at a time, to and from it.
    pub calls: Option<usize>,
    /// New calls a second from it.
    pub calls_per_second: Option<u32>,
    /// What it can speak, the most liked first.
    pub codecs: Vec<Codec>,
    /// How much sound a packet should hold.
    pub packet_time: Option<Duration>,
    /// Whether media are encrypted there.
    pub encryption: Encryption,
    /// How keys are agreed on, the most liked first.
    pub keys: Vec<KeyExchange>,
    /// How paths are found.
    pub ice: IceMode,
    /// A TURN server that everything to and from this side goes by.
    pub relay: Option<TurnServer>,
    /// Whether RTCP may share the port of RTP.
    pub rtcp_mux: bool,
    /// Whether media may share one transport.
    pub bundle: bool,
    /// Whether the profiles with early feedback are offered.
    pub feedback: bool,
    /// How keys of the telephone are told.
    pub dtmf: Dtmf,
    /// Whether calls to it begin with an offer; if not, it is asked for one.
    pub offers: bool,
    /// How provisional responses are made reliable.
    pub reliable: Reliable,
    /// Session timers.
    pub session_timer: SessionTimer,
    /// How it is told that it is on hold.
    pub hold: HoldStyle,
    /// Identities that it asserts are believed, and it is told those of others.
    pub trusted: bool,
    /// In which header callers are vouched for, where that side is trusted.
    pub identity: IdentityHeader,
    /// How numbers are written.
    pub numbers: Numbers,
    /// Further header fields that pass to it.
    pub pass: Vec<String>,
    /// Header fields that do not, although they would.
    pub stop: Vec<String>,
    /// The request line of calls names the peer's address, though addresses there have a `domain`.
    pub request_by_address: bool,
    /// The peer is told the address that packets leave by, whatever others are told.
    pub own_address: bool,
    /// Its calls ring at once, before anybody's bell does.
    pub rings_at_once: bool,
    /// A call that was refused as busy or by a fault of the server is tried once more after this long.
    pub retry: Option<Duration>,
    /// The number that it calls is not in the request line but in To.
    pub number_in_to: bool,
    /// How long a registration there is asked to last.
    pub expires: Duration,
    /// Messages rewritten on their way to and from it.
    pub rules: Rules,
    /// Numbers that are called there, rewritten.
    pub called: NumberRules,
    /// Numbers of callers, rewritten for it.
    pub callers: NumberRules,
    /// The number that its page calls; `None`: the visitor is asked.
    pub call: Option<String>,
}

/// What speaks on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Telephones, exchanges, lines.
    Sip,
    /// Browsers: SIP over WebSocket, and the page.
    WebRtc,
    /// Voice robots.
    Pcm,
}

/// Where calls to a side go.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// There is no such place: it only calls.
    Nowhere,
    /// One peer.
    Peer(Target),
    /// To where the user has registered.
    Users,
    /// To a robot.
    Robot(Robot),
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At an address.
    Address(Protocol, SocketAddr),
    /// At a name, found by RFC 3263.
    Name {
        /// The transport; `None`: as the name server says.
        protocol: Option<Protocol>,
        /// The name.
        host: String,
        /// The port; `None`: as the name server says.
        port: Option<u16>,
    },
}

/// Where robots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Robot {
    /// The WebSocket that each call is a connection to.
    pub url: String,
    /// Samples a second, both ways.
    pub sample_rate_hz: u32,
}

/// Somebody who registers here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// His name, which is his number.
    pub name: String,
    /// His password.
    pub password: String,
}

/// Whether media are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    Off,
    /// When the peer can.
    Offered,
    /// Always.
    Required,
}

/// How keys are agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// By DTLS.
    Dtls,
    /// In the description.
    Sdes,
}

/// How paths are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceMode {
    /// As the description says.
    Off,
    /// By ICE.
    Full,
    /// By ICE, as the lite end.
    Lite,
}

/// How keys of the telephone are told to a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtmf {
    /// As events where they were agreed on, else in the sound.
    Events,
    /// By INFO.
    Info,
    /// In the sound.
    Sound,
}

/// Provisional responses (RFC 3262).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliable {
    /// Never reliable.
    Off,
    /// When the peer wants it.
    Supported,
    /// Demanded.
    Required,
}

/// Session timers (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTimer {
    /// Not known there.
    Off,
    /// As the peer likes.
    Follow,
    /// Asked for.
    Every(Duration),
}

/// How somebody is told that he is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStyle {
    /// By direction (RFC 3264).
    Direction,
    /// By the address 0.0.0.0 as well (RFC 2543).
    Zero,
}

/// In which header somebody is vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityHeader {
    /// P-Asserted-Identity (RFC 3325).
    Asserted,
    /// Remote-Party-ID, as exchanges from before that RFC have it.
    RemoteParty,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// `sip:200@host`.
    Sip,
    /// `sip:200@host;user=phone`.
    SipPhone,
    /// `tel:200`.
    Tel,
}

impl Side {
    /// The user of this name.
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Where robots are, if it is theirs.
    pub fn robot(&self) -> Option<&Robot> {
        match &self.place {
            Place::Robot(robot) => Some(robot),
            _ => None,
        }
    }
}

/// One of a few words.
fn word<T: Copy>(
    reader: &Reader<'_>,
    entry: Option<&Spanned<String>>,
    words: &[(&str, T)],
    usual: T,
) -> Result<T, ConfigError> {
    let Some(entry) = entry else { return Ok(usual) };
    let found = words.iter().find(|(word, _)| word == entry.get_ref());
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let expected: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        reader.at(entry, format!("`{}` is none of {}", entry.get_ref(), expected.join(", ")))
    })
}

/// Reads a side; `before` holds those that came before it.
pub(super) fn read(reader: &Reader<'_>, section: &SideSection, before: &Config) -> Result<Side, ConfigError> {
    let kinds = [("sip", Kind::Sip), ("webrtc", Kind::WebRtc), ("pcm", Kind::Pcm)];
    let kind = word(reader, section.kind.as_ref(), &kinds, Kind::Sip)?;
    let is_browser = kind == Kind::WebRtc;
    let encryptions =
        [("off", Encryption::Off), ("offered", Encryption::Offered), ("required", Encryption::Required)];
    let usual = if is_browser { Encryption::Required } else { Encryption::Off };
    let modes = [("off", IceMode::Off), ("full", IceMode::Full), ("lite", IceMode::Lite)];
    let usual_mode = if is_browser { IceMode::Full } else { IceMode::Off };
    let ways = [("events", Dtmf::Events), ("info", Dtmf::Info), ("sound", Dtmf::Sound)];
    let reliables =
        [("off", Reliable::Off), ("supported", Reliable::Supported), ("required", Reliable::Required)];
    let numbers = [("sip", Numbers::Sip), ("sip-phone", Numbers::SipPhone), ("tel", Numbers::Tel)];
    let identities = [("asserted", IdentityHeader::Asserted), ("remote-party", IdentityHeader::RemoteParty)];
    let holds = [("direction", HoldStyle::Direction), ("zero", HoldStyle::Zero)];
    let place = place(reader, section, kind)?;
    // What NTT's Hikari Denwa wants: a line that is known by its address, and particular about ours.
    let profiles = [("hikari", true), ("none", false)];
    let hikari = word(reader, section.profile.as_ref(), &profiles, false)?;
    let requests = [("address", true), ("domain", false)];
    let addresses = [("own", true), ("told", false)];
    let rings = [("at-once", true), ("callee", false)];
    let numbers_in = [("to", true), ("request", false)];
    let usual_expiry = if hikari { 3600 } else { 300 };
    if section.register && (section.user.is_none() || !matches!(place, Place::Peer(_))) {
        return Err(reader.at(&section.name, "to `register` takes a `to` and a `user`"));
    }
    let side = Side {
        name: section.name.get_ref().clone(),
        kind,
        from: from(reader, section, &place)?,
        place,
        users: users(reader, section, before)?,
        user: section.user.clone(),
        password: section.password.clone(),
        register: section.register,
        registers_users_of: section.register_users_of.as_ref().map(|name| name.get_ref().clone()),
        domain: section.domain.clone(),
        calls: section.calls,
        calls_per_second: section.calls_per_second,
        codecs: codecs(reader, section, kind, hikari)?,
        packet_time: packet_time(reader, section)?,
        encryption: word(reader, section.encryption.as_ref(), &encryptions, usual)?,
        keys: keys(reader, section, kind)?,
        ice: word(reader, section.ice.as_ref(), &modes, usual_mode)?,
        relay: relay(reader, section)?,
        rtcp_mux: section.rtcp_mux.unwrap_or(is_browser),
        bundle: section.bundle.unwrap_or(is_browser),
        feedback: section.feedback.unwrap_or(is_browser),
        dtmf: word(reader, section.dtmf.as_ref(), &ways, Dtmf::Events)?,
        offers: word(reader, section.offer.as_ref(), &[("early", true), ("late", false)], true)?,
        reliable: word(reader, section.reliable.as_ref(), &reliables, Reliable::Supported)?,
        session_timer: session_timer(reader, section)?,
        hold: word(reader, section.hold.as_ref(), &holds, HoldStyle::Direction)?,
        trusted: section.trusted,
        identity: word(reader, section.identity.as_ref(), &identities, IdentityHeader::Asserted)?,
        numbers: word(reader, section.numbers.as_ref(), &numbers, Numbers::Sip)?,
        pass: section.pass.clone(),
        stop: section.stop.clone(),
        request_by_address: word(reader, section.request.as_ref(), &requests, hikari)?,
        own_address: word(reader, section.address.as_ref(), &addresses, hikari)?,
        rings_at_once: word(reader, section.ring.as_ref(), &rings, hikari)?,
        retry: retry(reader, section, hikari)?,
        number_in_to: word(reader, section.number_in.as_ref(), &numbers_in, false)?,
        expires: Duration::from_secs(section.expires.as_ref().map_or(usual_expiry, |it| *it.get_ref())),
        rules: rules::messages(reader, &section.rules, kind)?,
        called: rules::numbers(reader, &section.called, &section.called_examples)?,
        callers: rules::numbers(reader, &section.callers, &section.callers_examples)?,
        call: section.call.clone(),
    };
    match &section.relay {
        Some(relay) if side.ice != IceMode::Full => Err(reader.at(relay, "a relay takes `ice = \"full\"`")),
        _ => Ok(side),
    }
}

fn place(reader: &Reader<'_>, section: &SideSection, kind: Kind) -> Result<Place, ConfigError> {
    let Some(entry) = &section.to else {
        return Ok(if section.users.is_empty() { Place::Nowhere } else { Place::Users });
    };
    let text = entry.get_ref();
    if kind == Kind::Pcm {
        if !text.starts_with("ws://") && !text.starts_with("wss://") {
            return Err(reader.at(entry, format!("`{text}`: expected ws://HOST:PORT/PATH or wss://…")));
        }
        let rate = section.sample_rate.as_ref().map_or(16_000, |rate| *rate.get_ref());
        if let Some(place) =
            section.sample_rate.as_ref().filter(|_| ![8000, 16_000, 24_000, 48_000].contains(&rate))
        {
            return Err(reader.at(place, format!("{rate} is none of 8000, 16000, 24000, 48000")));
        }
        return Ok(Place::Robot(Robot { url: text.clone(), sample_rate_hz: rate }));
    }
    if kind == Kind::WebRtc {
        return Err(
            reader.at(entry, "browsers are called where they have registered: expected `users`, not `to`")
        );
    }
    Ok(Place::Peer(target(reader, entry)?))
}

/// `udp:192.0.2.1:5060`, `tls:sip.example.com`, `sip.example.com`.
fn target(reader: &Reader<'_>, entry: &Spanned<String>) -> Result<Target, ConfigError> {
    let text = entry.get_ref();
    let wrong = || {
        let expected = "expected udp:192.0.2.1:5060, tls:sip.example.com:5061 or a name alone";
        reader.at(entry, format!("`{text}`: {expected}"))
    };
    if let Ok(Listen { protocol, address }) = text.parse::<Listen>() {
        return Ok(Target::Address(protocol, address));
    }
    let (protocol, rest) = match text.split_once(':') {
        Some((head, rest)) if Protocol::from_via_token(head).is_some() => {
            (Protocol::from_via_token(head), rest)
        }
        _ => (None, text.as_str()),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (rest, None),
    };
    let is_name = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // All digits: an address with a slip in it rather than a name.
    let is_host =
        host.trim_end_matches('.').split('.').all(is_name) && host.bytes().any(|it| it.is_ascii_alphabetic());
    if is_host { Ok(Target::Name { protocol, host: host.to_owned(), port }) } else { Err(wrong()) }
}

/// Who needs no password: those named, or else the peer that calls go to.
fn from(reader: &Reader<'_>, section: &SideSection, place: &Place) -> Result<Vec<Network>, ConfigError> {
    if let (true, Place::Peer(Target::Address(_, address))) = (section.from.is_empty(), place) {
        return Ok(vec![Network::host(address.ip())]);
    }
    section.from.iter().map(|entry| reader.parsed(entry)).collect()
}

fn users(reader: &Reader<'_>, section: &SideSection, before: &Config) -> Result<Vec<User>, ConfigError> {
    let mut users = Vec::new();
    for (name, password) in &section.users {
        if let Some(other) = before.sides.iter().find(|side| side.user_named(name).is_some()) {
            let sentence = format!("`{name}` is a user of the side `{}` already", other.name);
            return Err(reader.at(password, sentence));
        }
        if password.get_ref().is_empty() {
            return Err(reader.at(password, format!("`{name}` has no password")));
        }
        users.push(User { name: name.clone(), password: password.get_ref().clone() });
    }
    Ok(users)
}

fn codecs(
    reader: &Reader<'_>,
    section: &SideSection,
    kind: Kind,
    hikari: bool,
) -> Result<Vec<Codec>, ConfigError> {
    let mut codecs = Vec::new();
    for entry in &section.codecs {
        let name = entry.get_ref();
        let codec = Codec::by_name(name);
        codecs.push(codec.ok_or_else(|| reader.at(entry, format!("`{name}` is not a codec known here")))?);
    }
    if codecs.is_empty() {
        codecs = match kind {
            Kind::WebRtc => vec![Codec::opus(), Codec::g722(), Codec::pcma(), Codec::pcmu()],
            _ if hikari => vec![Codec::pcmu()],
            _ => vec![Codec::pcma(), Codec::pcmu()],
        };
    }
    Ok(codecs)
}

fn packet_time(reader: &Reader<'_>, section: &SideSection) -> Result<Option<Duration>, ConfigError> {
    let Some(entry) = &section.ptime else { return Ok(None) };
    let milliseconds = *entry.get_ref();
    if !(10..=200).contains(&milliseconds) || milliseconds % 10 != 0 {
        return Err(
            reader.at(entry, format!("{milliseconds} is no packet time: expected 10, 20, … 200 (ms)"))
        );
    }
    Ok(Some(Duration::from_millis(milliseconds.into())))
}

fn keys(reader: &Reader<'_>, section: &SideSection, kind: Kind) -> Result<Vec<KeyExchange>, ConfigError> {
    let words = [("dtls", KeyExchange::Dtls), ("sdes", KeyExchange::Sdes)];
    match &section.keys {
        None if kind == Kind::WebRtc => Ok(vec![KeyExchange::Dtls]),
        None => Ok(vec![KeyExchange::Sdes]),
        Some(entries) => {
            entries.iter().map(|entry| word(reader, Some(entry), &words, KeyExchange::Dtls)).collect()
        }
    }
}

fn relay(reader: &Reader<'_>, section: &SideSection) -> Result<Option<TurnServer>, ConfigError> {
    let Some(relay) = &section.relay else { return Ok(None) };
    let relay = relay.get_ref();
    let uri: TurnUri = reader.parsed(&relay.server)?;
    let mut found = (uri.host.as_str(), uri.port).to_socket_addrs().into_iter().flatten();
    let Some(address) = found.next() else {
        return Err(reader.at(&relay.server, format!("{} has no address", uri.host)));
    };
    Ok(Some(TurnServer::new(uri.at(address.ip()), &relay.user, &relay.password)))
}

/// Eight seconds is what the carrier's own terminals wait (TTC JJ-90.24).
fn retry(reader: &Reader<'_>, section: &SideSection, hikari: bool) -> Result<Option<Duration>, ConfigError> {
    let usual = if hikari { 8 } else { 0 };
    let given = section.retry.as_ref().map(|entry| (entry, *entry.get_ref()));
    if let Some((entry, seconds)) = given.filter(|(_, seconds)| *seconds > 60) {
        let sentence = format!("a caller will not wait for {seconds} s: expected 0 (no retry) to 60");
        return Err(reader.at(entry, sentence));
    }
    let seconds = given.map_or(usual, |(_, seconds)| seconds);
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn session_timer(reader: &Reader<'_>, section: &SideSection) -> Result<SessionTimer, ConfigError> {
    match section.session_timer.as_ref().map(|entry| (entry, *entry.get_ref())) {
        None => Ok(SessionTimer::Follow),
        Some((_, 0)) => Ok(SessionTimer::Off),
        Some((_, seconds)) if seconds >= 90 => Ok(SessionTimer::Every(Duration::from_secs(seconds))),
        Some((entry, seconds)) => {
            let sentence =
                format!("{seconds} s is too short for a session timer: expected 0 (none) or 90 and more");
            Err(reader.at(entry, sentence))
        }
    }
}
