//! Whom a certificate names (RFC 5922 §7.1): the hosts and `sip:` URIs of its subjectAltName, or its common name when there
//! is none of either.
//!
//! Names that are no host names are left out, so one with a NUL within cannot pass for what stands before it.

use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// The names in a certificate: hosts in lower case, and `sip:` URIs as they stand there.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<Arc<str>> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let uris = parsed.valid_uri_names().filter(|uri| sip_domain(uri).is_some()).map(Arc::from);
    let hosts = parsed.valid_dns_names().map(|name| Arc::from(name.to_ascii_lowercase()));
    let alternative: Vec<Arc<str>> = uris.chain(hosts).collect();
    if !alternative.is_empty() {
        return alternative;
    }
    common_name(parsed.subject())
        .filter(|name| is_host(name))
        .map(|name| name.to_ascii_lowercase().into())
        .into_iter()
        .collect()
}

/// The domain that a `sip:` URI names; none when it names a user of it (RFC 5922 §7.1).
pub(crate) fn sip_domain(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    (scheme.eq_ignore_ascii_case("sip") && is_host(rest)).then_some(rest)
}

fn is_host(text: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_of_one)
}

/// The last common name of a subject (X.520): a SEQUENCE of SETs of SEQUENCEs of an identifier and a string.
fn common_name(mut subject: &[u8]) -> Option<&str> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut found = None;
    while let Some((0x31, mut set, rest)) = element(subject) {
        subject = rest;
        while let Some((0x30, pair, rest)) = element(set) {
            set = rest;
            // UTF8String, PrintableString, IA5String.
            if let Some((0x06, COMMON_NAME, value)) = element(pair)
                && let Some((0x0c | 0x13 | 0x16, text, _)) = element(value)
            {
                found = std::str::from_utf8(text).ok();
            }
        }
    }
    found
}

/// The first element of DER: its tag, what is in it, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

#[cfg(test)]
mod tests {
    use super::{common_name, names as names_in};
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use rustls::pki_types::CertificateDer;

    fn certificate(names: Vec<SanType>, common: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::OrganizationName, "x".repeat(300));
        params.distinguished_name.push(DnType::CommonName, common);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    fn named(names: Vec<SanType>, common: &str) -> Vec<String> {
        names_in(&certificate(names, common)).iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn alternative_names_come_before_the_common_name() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let host = |text: &str| SanType::DnsName(text.try_into().unwrap());
        assert_eq!(
            named(
                vec![host("A.example.com"), uri("sip:example.com"), uri("https://example.com/")],
                "b.example.com"
            ),
            ["sip:example.com", "a.example.com"]
        );
        assert_eq!(named(vec![], "B.example.com"), ["b.example.com"]);
        assert_eq!(named(vec![uri("sip:alice@example.com")], "c.example.com"), ["c.example.com"]);
    }

    /// pjsip 2026-07: what follows a NUL was not looked at.
    #[test]
    fn a_name_with_a_nul_within_is_no_name() {
        assert_eq!(named(vec![], "bank.example\0.evil.example"), [""; 0]);
        assert_eq!(
            named(vec![SanType::DnsName("bank.example\0.evil.example".try_into().unwrap())], "x y"),
            [""; 0]
        );
    }

    #[test]
    fn broken_der_names_nobody() {
        let whole = certificate(vec![], "b.example.com");
        for length in 0..whole.len() {
            let part = CertificateDer::from(whole[..length].to_vec());
            assert!(names_in(&part).is_empty());
        }
        assert_eq!(common_name(&[0x31, 0x85, 1]), None);
        assert_eq!(common_name(&[0x31, 0x7f, 1]), None);
    }
}
