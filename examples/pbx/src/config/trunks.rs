//! `[[trunks]]`: neighbours, how they are reached, and by what they are known. What a profile says counts where the file says
//! nothing.

use std::time::Duration;

use denwa_sip_core::auth::passport::PublicKey;
use denwa_sip_core::call::session_timer::SessionTimerPolicy;
use denwa_sip_core::endpoint::{CallOptions, ReliableProvisional};

use super::acl::{Acl, acl};
use super::address::{PeerAddress, Protocol};
use super::document::{Section, Text, listed};
use super::problem::Problems;
use super::profile::Profile;
use super::sections::{Taken, take};
use super::style::{self, TrunkStyle};
use super::values::{checked, number, optional_number, voice_or};
use super::{Host, Secret, Voice, features, is_number};
use crate::policy::limits::TrunkLimits;

/// The shortest session interval of RFC 4028.
const SHORTEST_SESSION: u64 = 90;

/// `[[trunks]]`: a neighbour known by its address, or by the password it registers with.
#[derive(Clone, Debug, PartialEq)]
pub struct Trunk {
    /// The name routes and the log use.
    pub name: String,
    /// Where calls to it go and calls from it come from: each tried in turn. Empty when it registers with us.
    pub servers: Vec<PeerAddress>,
    /// Everything to it goes there first, and everything from it comes from there.
    pub outbound_proxy: Option<PeerAddress>,
    /// The user name and password it asks for when it is called.
    pub account: Option<TrunkAccount>,
    /// The user name and password it calls and registers with.
    pub inbound: Option<InboundAccount>,
    /// What is called when it asks for the account's own number, or for one that reaches nothing here.
    pub incoming: Option<String>,
    /// Whether its callers' numbers are shown with the prefix that leads back to them.
    pub rewrite_caller: bool,
    /// How often it is asked by OPTIONS whether it lives; `None`: never. Unless the file says so, only neighbours on this
    /// very machine are not.
    pub supervise: Option<Duration>,
    /// Whether calls from it may leave by a trunk again: a hop.
    pub transit: bool,
    /// How it likes its calls.
    pub style: TrunkStyle,
    /// What calls with it may use of SIP's extensions.
    pub terms: Terms,
    /// How callers are signed, and whose signature is believed.
    pub signatures: Signatures,
    /// What Mantela calls it; its name when `None`.
    pub identifier: Option<String>,
    /// Where its own Mantela document is.
    pub mantela: Option<String>,
    /// The number there that echoes, for `pbx probe`.
    pub probe: Option<String>,
    /// What may go out by it.
    pub limits: TrunkLimits,
    /// How voice travels to and from it.
    pub voice: Voice,
}

/// What a neighbour knows us by.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkAccount {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Whether we register with it, so that it finds us.
    pub register: bool,
    /// The host of our address there; the server's when `None`.
    pub domain: Option<String>,
    /// For how long we register.
    pub expires: Duration,
}

/// What we know a neighbour by that has no address of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundAccount {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Where it may come from.
    pub allow: Acl,
}

/// What calls with a neighbour may use of SIP's extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// RFC 3262.
    pub reliable: ReliableProvisional,
    /// RFC 4028.
    pub session: SessionTerms,
    /// What becomes of voice before the answer.
    pub early_media: EarlyMedia,
    /// How long it may say nothing at all before the next server is tried, when there is one.
    pub patience: Duration,
    /// After busy or 500 it is tried once more, so much later; not at all when `None`.
    pub retry: Option<Duration>,
}

/// Session timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionTerms {
    /// Not spoken.
    Off,
    /// As the neighbour wishes, not below so many seconds.
    #[default]
    Accepted,
    /// The same, with a least interval.
    AtLeast(Duration),
    /// Asked for: the interval, and the least that is gone along with.
    Asked(Duration, Duration),
}

/// What becomes of voice that comes before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyMedia {
    /// The caller hears it.
    #[default]
    Heard,
    /// He hears it when P-Early-Media (RFC 5009) says so, or says nothing.
    Authorised,
    /// He hears a bell.
    Off,
}

/// Signed callers: RFC 8224.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Whether callers to it are signed with our key.
    pub sign: bool,
    /// The URL by which its signatures name its key, and the file that has the key.
    pub trusted: Option<(String, std::path::PathBuf)>,
    /// The key itself, once the file has been read.
    pub key: Option<PublicKey>,
    /// Whether calls from it without a good signature are refused.
    pub required: bool,
}

impl Signatures {
    /// The key that is trusted, and the URL by which it is named.
    pub fn trusted_key(&self) -> Option<(&str, PublicKey)> {
        self.trusted.as_ref().map(|(url, _)| url.as_str()).zip(self.key)
    }

    /// Reads the key.
    pub(super) fn read_key(&mut self) -> Result<(), String> {
        let Some((_, path)) = &self.trusted else { return Ok(()) };
        let failed = |what: &dyn std::fmt::Display| format!("the key {}: {what}", path.display());
        let pem = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        self.key = Some(PublicKey::from_pem(&pem).map_err(|error| failed(&error))?);
        Ok(())
    }
}

impl Terms {
    /// What the endpoint is told of a call.
    pub fn options(&self) -> CallOptions {
        let policy = |interval, minimum| Some(SessionTimerPolicy { interval, minimum, refresher: None });
        let session_timer = match self.session {
            SessionTerms::Off => None,
            SessionTerms::Accepted => policy(None, Duration::from_secs(SHORTEST_SESSION)),
            SessionTerms::AtLeast(minimum) => policy(None, minimum),
            SessionTerms::Asked(interval, minimum) => policy(Some(interval), minimum),
        };
        CallOptions {
            reliable_provisional: self.reliable,
            session_timer,
            ring_timeout: None,
            ..CallOptions::default()
        }
    }
}

impl Trunk {
    /// What stands for it where an address is shown.
    pub fn whereabouts(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        match (&self.inbound, servers.is_empty()) {
            (Some(inbound), true) => format!("registers as {}", inbound.user),
            _ => servers.join(", "),
        }
    }

    /// Whether anything of it speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        let is_tls = |address: &PeerAddress| matches!(address.protocol, Protocol::Tls | Protocol::Wss);
        self.servers.iter().chain(&self.outbound_proxy).any(is_tls)
    }
}

pub(super) fn trunk(mut section: Section<'_>, taken: &mut Taken, problems: &mut Problems) -> Option<Trunk> {
    let name = section.required_text("name", problems);
    if let Some(text) = &name {
        if is_number(&text.value) {
            take(text, &format!("trunk \"{}\"", text.value), taken.trunks_mut(), problems);
        } else {
            let message = format!("\"{}\" is not a name, expected letters, digits and . _ -", text.value);
            problems.add(&text.span, &text.key, message);
        }
    }
    let profile = profile(&mut section, problems);
    let owner = name.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    let inbound = inbound(&mut section, &owner, taken, problems);
    let servers = servers(&mut section, &owner, inbound.is_some(), taken, problems);
    let outbound_proxy = section
        .text("outbound_proxy", problems)
        .filter(|text| !text.value.is_empty())
        .and_then(|text| checked(&text, PeerAddress::parse, problems));
    let account = account(&mut section, &profile, problems);
    let incoming =
        section.text("incoming", problems).and_then(|text| number(text, problems)).map(|text| text.value);
    let rewrite_caller = section.flag("rewrite_caller", problems).unwrap_or(profile.rewrite_caller);
    let transit = section.flag("transit", problems).unwrap_or(profile.transit);
    let supervise = supervision(&mut section, &servers, problems);
    let style = style::trunk_style(&mut section, &profile, &servers, problems);
    let terms = terms(&mut section, &profile, problems);
    let signatures = signatures(&mut section, problems);
    let identifier = section.text("identifier", problems).map(|text| text.value);
    let mantela = section.text("mantela", problems).map(|text| text.value);
    let limits = features::trunk_limits(&mut section, problems);
    let probe = optional_number(&mut section, "probe", problems);
    let voice = voice_or(&mut section, &profile.codecs, problems);
    section.finish(problems);
    Some(Trunk {
        name: name?.value,
        servers: servers?,
        outbound_proxy,
        account,
        inbound,
        incoming,
        rewrite_caller,
        supervise,
        transit,
        style,
        terms,
        signatures,
        identifier,
        mantela,
        probe,
        limits,
        voice,
    })
}

fn profile(section: &mut Section<'_>, problems: &mut Problems) -> Profile {
    let Some(text) = section.text("profile", problems) else { return Profile::default() };
    Profile::named(&text.value).unwrap_or_else(|| {
        let message =
            format!("\"{}\" is not known here, expected one of {}", text.value, listed(&Profile::NAMES));
        problems.add(&text.span, &text.key, message);
        Profile::default()
    })
}

/// `address`, and further `servers`.
fn servers(
    section: &mut Section<'_>,
    owner: &str,
    registers: bool,
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Vec<PeerAddress>> {
    let first = match registers {
        true => section.text("address", problems),
        false => section.required_text("address", problems),
    };
    let further = section.texts("servers", problems).unwrap_or_default();
    let is_complete = registers || first.is_some();
    let mut servers = Vec::new();
    for text in first.into_iter().chain(further) {
        let Some(address) = checked(&text, PeerAddress::parse, problems) else { continue };
        take(
            &Text { value: address.key(), ..text },
            &format!("trunk \"{owner}\""),
            taken.addresses_mut(),
            problems,
        );
        servers.push(address);
    }
    (is_complete && (registers || !servers.is_empty())).then_some(servers)
}

fn supervision(
    section: &mut Section<'_>,
    servers: &Option<Vec<PeerAddress>>,
    problems: &mut Problems,
) -> Option<Duration> {
    let is_here = |server: &PeerAddress| matches!(server.host, Host::Address(ip) if ip.is_loopback());
    let all_here = servers.as_ref().is_some_and(|servers| !servers.is_empty() && servers.iter().all(is_here));
    let wanted = section.flag("supervise", problems).unwrap_or(!all_here);
    let seconds = section.whole("supervise_seconds", 5..=3_600, problems).unwrap_or(60);
    wanted.then(|| Duration::from_secs(seconds))
}

fn account(section: &mut Section<'_>, profile: &Profile, problems: &mut Problems) -> Option<TrunkAccount> {
    let user = user(section, "user", problems);
    let password = section.text("password", problems);
    let register = section.flag("register", problems);
    let domain = section.text("domain", problems).map(|text| text.value).filter(|domain| !domain.is_empty());
    let expires =
        section.whole("register_seconds", 60..=86_400, problems).unwrap_or(profile.register_seconds);
    let is_line = profile.needs_no_password;
    match (user, password) {
        (Some(user), password) if password.is_some() || is_line => Some(TrunkAccount {
            user: user.value,
            password: Secret::new(password.map(|text| text.value).unwrap_or_default()),
            register: register.unwrap_or(profile.register),
            domain,
            expires: Duration::from_secs(expires),
        }),
        (Some(_), _) => {
            problems.add(section.span(), section.key("password"), "is missing, for there is a user");
            None
        }
        (None, Some(_)) => {
            problems.add(section.span(), section.key("user"), "is missing, for there is a password");
            None
        }
        (None, None) if register == Some(true) => {
            problems.add(section.span(), section.key("user"), "is missing, for we are to register with it");
            None
        }
        (None, None) => None,
    }
}

fn inbound(
    section: &mut Section<'_>,
    owner: &str,
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<InboundAccount> {
    let user = user(section, "inbound_user", problems);
    let password = section.text("inbound_password", problems);
    let allow = acl(section, "inbound_allow", problems);
    match (user, password) {
        (Some(user), Some(password)) if !password.value.is_empty() => {
            take(&user, &format!("trunk \"{owner}\""), taken.numbers_mut(), problems);
            Some(InboundAccount { user: user.value, password: Secret::new(password.value), allow })
        }
        (None, None) => None,
        _ => {
            let message = "expected `inbound_user` and `inbound_password` together, neither of them empty";
            problems.add(section.span(), section.key("inbound_user"), message);
            None
        }
    }
}

fn user(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<Text> {
    let text = section.text(key, problems).filter(|text| !text.value.is_empty())?;
    if !is_number(&text.value) {
        let message =
            format!("\"{}\" is not a user name, expected letters, digits and * # + . _ -", text.value);
        problems.add(&text.span, &text.key, message);
    }
    Some(text)
}

fn terms(section: &mut Section<'_>, profile: &Profile, problems: &mut Problems) -> Terms {
    let reliable = section.choice("reliable", &["off", "supported", "required"], problems).map_or(
        profile.reliable,
        |index| match index {
            0 => ReliableProvisional::Off,
            1 => ReliableProvisional::Supported,
            _ => ReliableProvisional::Required,
        },
    );
    let timer = section.choice("session_timer", &["off", "accepted", "asked"], problems);
    let bounds = SHORTEST_SESSION..=86_400;
    let interval = section.whole("session_seconds", bounds.clone(), problems).map(Duration::from_secs);
    let least = section.whole("session_min_seconds", bounds, problems).map(Duration::from_secs);
    let session = match (timer, interval, least) {
        (None, None, None) => profile.session,
        (Some(0), ..) => SessionTerms::Off,
        (Some(2), ..) | (None, Some(_), _) => {
            let least = least.unwrap_or(Duration::from_secs(SHORTEST_SESSION));
            SessionTerms::Asked(interval.unwrap_or(Duration::from_secs(1_800)).max(least), least)
        }
        (_, _, Some(least)) => SessionTerms::AtLeast(least),
        _ => SessionTerms::Accepted,
    };
    let early_media = section.choice("early_media", &["heard", "authorised", "off"], problems).map_or(
        profile.early_media,
        |index| match index {
            0 => EarlyMedia::Heard,
            1 => EarlyMedia::Authorised,
            _ => EarlyMedia::Off,
        },
    );
    let patience = Duration::from_secs(section.whole("patience_seconds", 1..=32, problems).unwrap_or(4));
    let retry = section.whole("retry_seconds", 0..=60, problems).map(Duration::from_secs);
    let retry = retry.or(profile.retry).filter(|retry| !retry.is_zero());
    Terms { reliable, session, early_media, patience, retry }
}

fn signatures(section: &mut Section<'_>, problems: &mut Problems) -> Signatures {
    let sign = section.flag("sign", problems).unwrap_or(false);
    let url = section.text("trusted_url", problems).filter(|text| !text.value.is_empty());
    let key = section.text("trusted_key", problems).filter(|text| !text.value.is_empty());
    let required = section.flag("signature_required", problems).unwrap_or(false);
    if url.is_some() != key.is_some() || required && key.is_none() {
        let message = "expected `trusted_url` and `trusted_key` together: by which URL it names its key, and the file that has the key";
        problems.add(section.span(), section.key("trusted_url"), message);
    }
    let trusted = url.zip(key).map(|(url, key)| (url.value, key.value.into()));
    Signatures { sign, trusted, key: None, required }
}
