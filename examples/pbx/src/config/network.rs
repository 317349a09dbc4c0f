//! `[network]` and `[media]`: what peers are told about where the exchange is, and which ports carry voice.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use denwa::address::{Network, NetworkFault};
use denwa::port_set::PortSet;

use super::address::{Host, HostPort};
use super::document::{Section, Text};
use super::problem::Problems;
use super::values::{checked, dscp};
use super::{External, Media, Networks, Turn};

/// The port of STUN (RFC 8489).
const STUN_PORT: u16 = 3478;

/// The port of DNS.
const DNS_PORT: u16 = 53;

pub(super) fn network(mut section: Section<'_>, problems: &mut Problems) -> Networks {
    let mut networks = Networks::default();
    if let Some(external) = section.text("external", problems) {
        networks.external = match (external.value.as_str(), Host::parse(&external.value)) {
            ("auto", _) => External::Auto,
            (_, Some(Host::Address(address))) if address.is_unspecified() || address.is_multicast() => {
                let message = format!("\"{address}\" is not an address that peers could send to");
                problems.add(&external.span, &external.key, message);
                External::Auto
            }
            (_, Some(host)) => External::Host(host),
            (wrong, None) => {
                let message = format!(
                    "\"{wrong}\" is neither \"auto\" nor an address nor a name; write it without a port"
                );
                problems.add(&external.span, &external.key, message);
                External::Auto
            }
        };
    }
    if let Some(texts) = section.texts("local", problems) {
        networks.local = texts.iter().filter_map(|text| checked(text, parse_network, problems)).collect();
    }
    if let Some(stun) = section.text("stun", problems)
        && !stun.value.is_empty()
    {
        networks.stun = HostPort::parse(&stun.value, STUN_PORT);
        if networks.stun.is_none() {
            let message =
                format!("\"{}\" is not a server, expected host:port as stun.example:3478", stun.value);
            problems.add(&stun.span, &stun.key, message);
        }
    }
    if let Some(texts) = section.texts("dns", problems) {
        networks.dns = texts.iter().filter_map(|text| checked(text, dns_server, problems)).collect();
    }
    section.finish(problems);
    networks
}

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    match HostPort::parse(text, DNS_PORT) {
        Some(HostPort { host: Host::Address(address), port }) => Ok(SocketAddr::new(address, port)),
        _ => Err(format!(
            "\"{text}\" is not a DNS server, expected an address as 192.0.2.53 or [2001:db8::53]:53"
        )),
    }
}

pub(super) fn parse_network(text: &str) -> Result<Network, String> {
    const EXPECTED: &str = "expected ADDRESS/BITS as 192.168.0.0/16 or fd00::/8";
    text.parse::<Network>().map_err(|error| match error.fault() {
        NetworkFault::HostBits(network) => {
            format!("\"{text}\" has bits set beyond its prefix, expected {network}")
        }
        _ => format!("\"{text}\" is not a network, {EXPECTED}"),
    })
}

pub(super) fn media(mut section: Section<'_>, problems: &mut Problems) -> Media {
    let mut media = Media::default();
    if let Some(texts) = section.texts("ports", problems) {
        let ranges = port_ranges(&texts, problems);
        let all = ranges.len() == texts.len();
        media.ports = PortSet::from_ranges(ranges);
        // RFC 3550 section 11: an even port for RTP and the odd one above it for RTCP, for each of a call's two sides.
        if all && media.ports.pairs() < 2 {
            let span = texts.first().map_or(section.span(), |text| &text.span);
            let message = "a call needs two pairs of ports, each an even one and the odd one above it; \
                           expected at least 4 ports, as \"20000-20999\"";
            problems.add(span, section.key("ports"), message);
        }
    }
    if let Some(map_e) = section.section("map_e", problems) {
        media.ports = map_e_ports(map_e, problems).unwrap_or(media.ports);
        media.ports_are_of_router = true;
    }
    if let Some(seconds) = section.whole("silence_seconds", 0..=86_400, problems) {
        media.silence = Duration::from_secs(seconds);
    }
    media.dscp = dscp(&mut section, problems);
    if let Some(fax) = section.flag("fax", problems) {
        media.fax = fax;
    }
    section.finish(problems);
    media
}

/// What is relayed is not used for voice.
pub(super) fn part_ports(media: &mut Media, turn: &Turn, wrong: impl FnOnce(&str)) {
    if media.ports_are_of_router && turn.ports_are_default {
        return wrong("is missing: say which of the router's ports are relayed; voice has the others");
    }
    if media.ports_are_of_router && media.ports.intersection(&turn.ports) != turn.ports {
        return wrong("has ports that are not of those that the router owns");
    }
    let left = media.ports.difference(&turn.ports);
    if left.pairs() < 2 {
        return wrong("leaves fewer than the two pairs of `[media] ports` that a call needs");
    }
    media.ports = left;
}

/// The ports that a router which shares its address owns (RFC 7597).
fn map_e_ports(mut section: Section<'_>, problems: &mut Problems) -> Option<PortSet> {
    let mut bits = |key, most: u64, problems: &mut Problems| section.whole(key, 0..=most, problems);
    let offset = bits("offset", 15, problems).unwrap_or(6);
    let length = bits("length", 16, problems);
    let psid = bits("psid", 65_535, problems);
    let (Some(length), Some(psid)) = (length, psid) else {
        problems.add(section.span(), section.key("psid"), "expected { offset = 6, length = 8, psid = 52 }");
        return None;
    };
    let span = section.span().clone();
    let key = section.key("psid");
    section.finish(problems);
    let narrow = |bits: u64| u8::try_from(bits).unwrap_or(u8::MAX);
    let set = PortSet::mape(narrow(offset), narrow(length), u16::try_from(psid).unwrap_or(u16::MAX));
    match set {
        Ok(set) if set.pairs() >= 2 => Some(set),
        Ok(_) => {
            problems.add(&span, key, "leaves fewer than the two pairs of ports that a call needs");
            None
        }
        Err(error) => {
            problems.add(&span, key, error.to_string());
            None
        }
    }
}

/// Ranges of ports that do not overlap.
pub(super) fn port_ranges(texts: &[Text], problems: &mut Problems) -> Vec<RangeInclusive<u16>> {
    let ranges: Vec<_> =
        texts.iter().filter_map(|text| Some((text, checked(text, port_range, problems)?))).collect();
    for (index, (text, range)) in ranges.iter().enumerate() {
        let mut before = ranges.iter().take(index);
        if let Some((other, _)) = before.find(|(_, other)| overlap(other, range)) {
            problems.add(&text.span, &text.key, format!("overlaps \"{}\"", other.value));
        }
    }
    ranges.into_iter().map(|(_, range)| range).collect()
}

fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("\"{text}\" is not a range of ports, expected FIRST-LAST as 20000-20999");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("\"{text}\" ends before it begins, expected \"{last}-{first}\""));
    }
    Ok(first..=last)
}
