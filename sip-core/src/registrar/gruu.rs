//! Globally routable user agent URIs (RFC 5627): an address of one device of a user, granted when it registers.
//!
//! The public one names the user and the device. A temporary one tells neither: it is sealed with a key of this
//! registrar, so that it needs no memory, and holds as long as the device registers with the same Call-ID (§5.4).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    io::Seed,
    message::{Uri, UriBuf},
    random::{Random, hex},
};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

/// Makes and reads them.
#[derive(Debug)]
pub(crate) struct Gruus {
    key: Option<LessSafeKey>,
}

/// What a GRUU stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) address_of_record: String,
    /// `+sip.instance` without angle brackets.
    pub(crate) instance: String,
    /// A temporary one holds for registrations with this Call-ID only.
    pub(crate) call: Option<[u8; 8]>,
}

/// What temporary user parts begin with.
const PREFIX: &str = "tgruu.";

impl Gruus {
    pub(crate) fn new(secret: Seed) -> Self {
        let bytes = Sha256::digest(secret.0);
        let key = bytes.get(..16).and_then(|key| UnboundKey::new(&AES_128_GCM, key).ok());
        Self { key: key.map(LessSafeKey::new) }
    }

    /// The public one (§4.1): `sip:1001@pbx;gr=urn:uuid:…`.
    pub(crate) fn public(address_of_record: &str, instance: &str) -> Option<UriBuf> {
        let uri = UriBuf::parse(address_of_record).ok()?;
        Some(uri.with_param("gr", Some(bare(instance))))
    }

    /// A temporary one (§4.2): `sip:tgruu.…@pbx;gr`.
    pub(crate) fn temporary(
        &self,
        random: &mut Random,
        address_of_record: &str,
        instance: &str,
        call_id: &str,
    ) -> Option<UriBuf> {
        let uri = UriBuf::parse(address_of_record).ok()?;
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut sealed = mark(call_id).to_vec();
        sealed.extend_from_slice(address_of_record.as_bytes());
        sealed.push(0);
        sealed.extend_from_slice(bare(instance).as_bytes());
        let key = self.key.as_ref()?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
        let user = format!("{PREFIX}{}{}", hex(&nonce), hex(&sealed));
        let host = uri.as_uri().host_str().to_owned();
        let mut builder =
            if uri.as_uri().is_sips() { UriBuf::sips(&user, host) } else { UriBuf::sip(&user, host) };
        if let Some(port) = uri.as_uri().port() {
            builder = builder.port(port);
        }
        Some(builder.flag("gr").build())
    }

    /// What a request line means, if it is a GRUU of ours.
    pub(crate) fn read(&self, uri: &Uri<'_>) -> Option<Meaning> {
        let gr = uri.params().find("gr")?;
        if let Some(instance) = gr.value.filter(|instance| !instance.is_empty()) {
            let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
            let address_of_record =
                format!("{}:{}@{}{port}", uri.scheme_str(), uri.user().unwrap_or_default(), uri.host_str());
            return Some(Meaning { address_of_record, instance: instance.to_owned(), call: None });
        }
        let mut sealed = unhex(uri.user()?.strip_prefix(PREFIX)?)?;
        let nonce = Nonce::try_assume_unique_for_key(sealed.get(..NONCE_LEN)?).ok()?;
        let opened =
            self.key.as_ref()?.open_in_place(nonce, Aad::empty(), sealed.get_mut(NONCE_LEN..)?).ok()?;
        let (call, rest) = opened.split_first_chunk::<8>()?;
        let (address_of_record, instance) = core::str::from_utf8(rest).ok()?.split_once('\0')?;
        Some(Meaning {
            address_of_record: address_of_record.to_owned(),
            instance: instance.to_owned(),
            call: Some(*call),
        })
    }
}

/// `+sip.instance` without its angle brackets.
pub(crate) fn bare(instance: &str) -> &str {
    instance.trim().trim_start_matches('<').trim_end_matches('>')
}

/// What ties a temporary GRUU to the Call-ID of its registration.
pub(crate) fn mark(call_id: &str) -> [u8; 8] {
    let digest = Sha256::digest(call_id.as_bytes());
    digest.first_chunk().copied().unwrap_or_default()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > 1024 || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_gruu_tells_nothing_and_is_read_by_its_maker_alone() {
        let gruus = Gruus::new(Seed([1; 32]));
        let mut random = Random::new(Seed([2; 32]));
        let aor = "sip:1001@pbx.example:5070";
        let made = |random: &mut Random| gruus.temporary(random, aor, "<urn:uuid:7>", "c1").unwrap();
        let (first, second) = (made(&mut random), made(&mut random));
        assert_ne!(first, second, "two of one device cannot be told to belong together");
        assert!(!first.as_str().contains("1001"), "{first}");
        let meaning = gruus.read(&first.as_uri()).unwrap();
        assert_eq!((meaning.address_of_record.as_str(), meaning.instance.as_str()), (aor, "urn:uuid:7"));
        assert_eq!(meaning.call, Some(mark("c1")));
        assert_eq!(Gruus::new(Seed([3; 32])).read(&first.as_uri()), None);
        let public = Gruus::public(aor, "<urn:uuid:7>").unwrap();
        assert_eq!(public.as_str(), "sip:1001@pbx.example:5070;gr=urn:uuid:7");
        assert_eq!(gruus.read(&public.as_uri()), Some(Meaning { call: None, ..meaning }));
        for odd in ["sip:tgruu.00@pbx;gr", "sip:tgruu.zz@pbx;gr", "sip:1001@pbx", "sip:pbx;gr"] {
            assert_eq!(gruus.read(&UriBuf::parse(odd).unwrap().as_uri()), None, "{odd}");
        }
    }
}
