//! Whether and how a medium is encrypted: SDES (RFC 4568 §7), DTLS (RFC 5763 §5, RFC 8842), and encryption that is
//! offered without being demanded (RFC 8643).

use base64::Engine as _;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use crate::attribute::security::{BASE64, Crypto, Setup, SrtpParameter, SrtpSuite};

use super::agreed::{AgreedDtls, AgreedEncryption, AgreedSdes, DtlsRole, SrtpKey};
use super::capability::{DtlsCapability, Encryption, EncryptionCapability, KeyExchange, SdesCapability};
use super::mismatch::Rule;
use super::remote::RemoteMedium;
use super::slot::Slot;

/// What this side writes about encryption for one medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalEncryption {
    /// `crypto`: tag and key.
    pub(crate) crypto: Vec<(u32, SrtpKey)>,
    /// `fingerprint` and `setup`.
    pub(crate) dtls: Option<(DtlsCapability, Setup)>,
}

impl LocalEncryption {
    pub(crate) fn is_none(&self) -> bool {
        self.crypto.is_empty() && self.dtls.is_none()
    }
}

/// Which way an answer encrypts, and the peer's part of it.
pub(crate) struct Decision {
    pub(crate) local: LocalEncryption,
    pub(crate) agreed: AgreedEncryption,
}

impl Decision {
    fn plain() -> Self {
        Self { local: LocalEncryption::default(), agreed: AgreedEncryption::None }
    }
}

/// Decides how the answer to an offered medium encrypts.
///
/// # Errors
/// What is offered does not fit what is supported or demanded here.
pub(crate) fn decide(
    capability: &EncryptionCapability,
    remote: &RemoteMedium,
    slot: &mut Slot,
    random: &mut rand_chacha::ChaCha20Rng,
) -> Result<Decision, Rule> {
    let demanded = remote.profile.is_secure();
    if capability.policy == Encryption::None {
        return if demanded { Err(Rule::EncryptionUnsupported) } else { Ok(Decision::plain()) };
    }
    let offers_sdes = !remote.profile.is_dtls() && !remote.crypto.is_empty();
    let offers_dtls = !remote.fingerprints.is_empty();
    if remote.profile.is_dtls() && !offers_dtls {
        return Err(if capability.dtls.is_some() {
            Rule::FingerprintMissing
        } else {
            Rule::KeyExchange { offered: "DTLS", supported: "SDES" }
        });
    }
    let sdes = capability.sdes.as_ref().filter(|_| offers_sdes);
    let dtls = capability.dtls.as_ref().filter(|_| offers_dtls);
    let by_sdes = |sdes, slot: &mut Slot, random: &mut _| answer_sdes(sdes, remote, slot, random);
    let by_dtls = |dtls, slot: &mut Slot| answer_dtls(dtls, remote, slot);
    let decision = match (sdes, dtls) {
        (Some(sdes), Some(dtls)) if capability.preferred == KeyExchange::Sdes => {
            by_sdes(sdes, slot, random).or_else(|_| by_dtls(dtls, slot))
        }
        (Some(sdes), Some(dtls)) => by_dtls(dtls, slot).or_else(|_| by_sdes(sdes, slot, random)),
        (Some(sdes), None) => by_sdes(sdes, slot, random),
        (None, Some(dtls)) => by_dtls(dtls, slot),
        (None, None) => Err(nothing_common(capability, remote)),
    };
    match decision {
        // Encryption that neither side demands may fail without harm.
        Err(_) if !demanded && capability.policy == Encryption::Offered => Ok(Decision::plain()),
        other => other,
    }
}

fn nothing_common(capability: &EncryptionCapability, remote: &RemoteMedium) -> Rule {
    if remote.profile.is_dtls() || (!remote.fingerprints.is_empty() && remote.crypto.is_empty()) {
        return Rule::KeyExchange { offered: "DTLS", supported: "SDES" };
    }
    if !remote.crypto.is_empty() {
        return Rule::KeyExchange { offered: "SDES", supported: "DTLS" };
    }
    if remote.profile.is_secure() {
        return if capability.sdes.is_some() { Rule::KeyMissing } else { Rule::FingerprintMissing };
    }
    Rule::EncryptionRequired
}

/// Takes the first of the peer's `crypto` lines that this side has (RFC 4568 §7.1.2).
fn answer_sdes(
    sdes: &SdesCapability,
    remote: &RemoteMedium,
    slot: &mut Slot,
    random: &mut rand_chacha::ChaCha20Rng,
) -> Result<Decision, Rule> {
    let mut usable = false;
    for text in &remote.crypto {
        let Ok(crypto) = Crypto::parse(text) else { continue };
        let Some(mut keys) = read_keys(&crypto, sdes.accept_weak) else { continue };
        usable = true;
        let Some(suite) = crypto.suite().filter(|suite| sdes.suites.contains(suite)) else { continue };
        if keys.is_empty() {
            continue;
        }
        let mut own = slot.key(suite, random);
        // Parameters that hold both ways are repeated (RFC 4568 §7.1.2).
        own.parameters = negotiated_parameters(&crypto);
        let receive = keys.remove(0);
        let local = LocalEncryption { crypto: vec![(crypto.tag, own.clone())], dtls: None };
        return Ok(Decision {
            local,
            agreed: AgreedEncryption::Sdes(Box::new(AgreedSdes { send: own, receive, receive_others: keys })),
        });
    }
    if !usable && remote.crypto.iter().all(|text| Crypto::parse(text).is_ok_and(|c| c.suite().is_some())) {
        return Err(Rule::KeyMissing);
    }
    let offered =
        remote.crypto.iter().filter_map(|text| Some(Crypto::parse(text).ok()?.suite_name.to_owned()));
    Err(Rule::NoCommonSuite {
        offered: offered.collect(),
        supported: sdes.suites.iter().map(ToString::to_string).collect(),
    })
}

/// The keys of a line; `None` when its suite or one of its parameters is not understood, or no key can be read.
pub(crate) fn read_keys(crypto: &Crypto<'_>, accept_weak: bool) -> Option<Vec<SrtpKey>> {
    let suite = crypto.suite()?;
    let mut key_derivation_rate = None;
    for parameter in crypto.parameters() {
        match parameter {
            SrtpParameter::KeyDerivationRate(rate) => key_derivation_rate = Some(rate),
            SrtpParameter::WindowSize(_) | SrtpParameter::FecOrder(_) => {}
            // What begins with a dash may be ignored (RFC 4568 §6.3.7).
            SrtpParameter::Extension(text) if text.starts_with('-') => {}
            SrtpParameter::UnencryptedSrtp
            | SrtpParameter::UnencryptedSrtcp
            | SrtpParameter::UnauthenticatedSrtp
                if accept_weak => {}
            _ => return None,
        }
    }
    let mut keys = Vec::new();
    for parameter in crypto.keys() {
        let parameter = parameter.ok()?;
        let (key, salt) = parameter.decode(suite)?;
        keys.push(SrtpKey {
            suite,
            key: Zeroizing::new(key),
            salt: Zeroizing::new(salt),
            lifetime: parameter.lifetime,
            mki: parameter.mki,
            key_derivation_rate,
            parameters: crypto.session_parameters.to_owned(),
        });
    }
    if keys.is_empty() { None } else { Some(keys) }
}

/// The session parameters that hold in both directions.
fn negotiated_parameters(crypto: &Crypto<'_>) -> String {
    let words = crypto.session_parameters.split_ascii_whitespace();
    let both: Vec<&str> = words
        .filter(|word| word.starts_with("UNENCRYPTED_") || word.starts_with("UNAUTHENTICATED_"))
        .collect();
    both.join(" ")
}

/// Takes the role that is left (RFC 5763 §5), or the one this side has had so far.
fn answer_dtls(dtls: &DtlsCapability, remote: &RemoteMedium, slot: &mut Slot) -> Result<Decision, Rule> {
    let own = match remote.setup {
        Some(Setup::Active) => Setup::Passive,
        Some(Setup::Passive) => Setup::Active,
        Some(Setup::HoldConn) => return Err(Rule::Setup { said: "holdconn" }),
        // RFC 4145 §4 has `active` where nothing is said; who forgets the line knows of no choice either, and a
        // client never harms: the other end waits for it or takes it for its own.
        Some(Setup::ActPass) | None => match slot.dtls_role {
            Some(DtlsRole::Server) => Setup::Passive,
            Some(DtlsRole::Client) => Setup::Active,
            None if dtls.setup == Setup::Passive => Setup::Passive,
            None => Setup::Active,
        },
    };
    let role = if own == Setup::Active { DtlsRole::Client } else { DtlsRole::Server };
    slot.dtls_role = Some(role);
    let local = LocalEncryption { crypto: Vec::new(), dtls: Some((dtls.clone(), own)) };
    Ok(Decision { local, agreed: agreed_dtls(role, remote) })
}

fn agreed_dtls(role: DtlsRole, remote: &RemoteMedium) -> AgreedEncryption {
    AgreedEncryption::Dtls(AgreedDtls {
        role,
        fingerprints: remote.fingerprints.clone(),
        tls_id: remote.tls_id.clone(),
        new_association: true,
    })
}

/// What an offer says about encryption, whatever the profile is.
pub(crate) fn offer(
    capability: &EncryptionCapability,
    exchange: KeyExchange,
    slot: &mut Slot,
    random: &mut rand_chacha::ChaCha20Rng,
) -> LocalEncryption {
    match (exchange, &capability.sdes, &capability.dtls) {
        (KeyExchange::Sdes, Some(sdes), _) => {
            let tags = 1_u32..;
            let keys = sdes.suites.iter().map(|suite| slot.key(*suite, random));
            LocalEncryption { crypto: tags.zip(keys).collect(), dtls: None }
        }
        (KeyExchange::Dtls, _, Some(dtls)) => {
            LocalEncryption { crypto: Vec::new(), dtls: Some((dtls.clone(), Setup::ActPass)) }
        }
        _ => LocalEncryption::default(),
    }
}

/// How keys are agreed on in an offer; `None` for no encryption.
pub(crate) fn exchange(capability: &EncryptionCapability) -> Option<KeyExchange> {
    if capability.policy == Encryption::None {
        return None;
    }
    match (&capability.sdes, &capability.dtls) {
        (Some(_), Some(_)) => Some(capability.preferred),
        (Some(_), None) => Some(KeyExchange::Sdes),
        (None, Some(_)) => Some(KeyExchange::Dtls),
        (None, None) => None,
    }
}

/// What an answer made of the encryption this side offered.
///
/// # Errors
/// The answer leaves out what was demanded, or uses what was not offered.
pub(crate) fn accept(
    policy: Encryption,
    offered: &LocalEncryption,
    answer: &RemoteMedium,
    accept_weak: bool,
    slot: &mut Slot,
) -> Result<AgreedEncryption, Rule> {
    if let Some((_, said)) = &offered.dtls
        && !answer.fingerprints.is_empty()
    {
        let role = match (said, answer.setup) {
            (Setup::ActPass | Setup::Passive, Some(Setup::Active)) => DtlsRole::Server,
            (Setup::ActPass | Setup::Active, Some(Setup::Passive)) => DtlsRole::Client,
            // Who answers `actpass` or nothing leaves it to us; the offerer then waits (RFC 4145 §4.1).
            (_, None | Some(Setup::ActPass)) => slot.dtls_role.unwrap_or(DtlsRole::Server),
            (_, Some(other)) => return Err(Rule::Setup { said: other.as_str() }),
        };
        slot.dtls_role = Some(role);
        return Ok(agreed_dtls(role, answer));
    }
    if !offered.crypto.is_empty() && !answer.crypto.is_empty() {
        for text in &answer.crypto {
            let Ok(crypto) = Crypto::parse(text) else { continue };
            let fits = |(tag, key): &&(u32, SrtpKey)| *tag == crypto.tag && Some(key.suite) == crypto.suite();
            let by_suite = |(_, key): &&(u32, SrtpKey)| Some(key.suite) == crypto.suite();
            let ours = offered.crypto.iter().find(fits);
            // Some answer with a tag of their own; the suite tells which one they mean.
            let Some((_, send)) = ours.or_else(|| offered.crypto.iter().find(by_suite)) else { continue };
            let Some(mut keys) = read_keys(&crypto, accept_weak) else { continue };
            let receive = keys.remove(0);
            let sdes = AgreedSdes { send: send.clone(), receive, receive_others: keys };
            return Ok(AgreedEncryption::Sdes(Box::new(sdes)));
        }
        let names =
            answer.crypto.iter().filter_map(|text| Some(Crypto::parse(text).ok()?.suite_name.to_owned()));
        return Err(Rule::NoCommonSuite {
            offered: offered.crypto.iter().map(|(_, key)| key.suite.to_string()).collect(),
            supported: names.collect(),
        });
    }
    if answer.profile.is_dtls() && answer.fingerprints.is_empty() {
        return Err(Rule::FingerprintMissing);
    }
    if answer.profile.is_secure() {
        return Err(if offered.is_none() { Rule::EncryptionUnsupported } else { Rule::KeyMissing });
    }
    if policy == Encryption::Required { Err(Rule::EncryptionRequired) } else { Ok(AgreedEncryption::None) }
}

/// A new key for a suite.
pub(crate) fn generate(suite: SrtpSuite, random: &mut rand_chacha::ChaCha20Rng) -> SrtpKey {
    let mut draw = |length| {
        let mut bytes = Zeroizing::new(vec![0_u8; length]);
        random.fill_bytes(&mut bytes);
        bytes
    };
    SrtpKey {
        suite,
        key: draw(suite.key_length()),
        salt: draw(suite.salt_length()),
        lifetime: None,
        mki: None,
        key_derivation_rate: None,
        parameters: String::new(),
    }
}

/// The `crypto` line of a key.
pub(crate) fn write_key(tag: u32, key: &SrtpKey) -> Zeroizing<String> {
    let bytes = Zeroizing::new([key.key.as_slice(), key.salt.as_slice()].concat());
    let text = Zeroizing::new(BASE64.encode(&*bytes));
    let mut line = Zeroizing::new(format!("crypto:{tag} {} inline:{}", key.suite, &*text));
    if !key.parameters.is_empty() {
        line.push(' ');
        line.push_str(&key.parameters);
    }
    line
}
