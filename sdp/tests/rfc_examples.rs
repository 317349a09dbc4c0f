//! The exchanges printed in RFC 3264, 4317, 4568, 8829, 8839 and 9143, played in both roles: this engine is each of the
//! two sides in turn, is configured with what that side can do, and hears the other side's printed words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use denwa_sdp::attribute::parameters::EventSet;
use denwa_sdp::*;

/// One printed description, resolved by this crate's own reader.
struct Step {
    bytes: Vec<u8>,
    offer: bool,
    by: String,
    said: RemoteDescription,
}

fn sequences() -> Vec<(String, Vec<Step>)> {
    let Some(folder) = common::shared("vectors/sdp") else { return Vec::new() };
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut all = Vec::new();
    for sequence in index["sequences"].as_array().unwrap() {
        let steps: Vec<Step> = sequence["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|step| {
                let bytes = std::fs::read(folder.join(step["file"].as_str().unwrap())).unwrap();
                let said = RemoteDescription::read(&Description::parse(&bytes).ok()?);
                let (offer, by) = (step["role"] == "offer", step["by"].as_str().unwrap().to_owned());
                Some(Step { bytes, offer, by, said })
            })
            .collect();
        all.push((sequence["id"].as_str().unwrap().to_owned(), steps));
    }
    all
}

fn is_event(name: &str) -> bool {
    name.starts_with("telephone-event")
}

/// What a side that says this can do.
fn capability(said: &RemoteDescription) -> Capability {
    let media = said.media.iter().map(|medium| {
        if !medium.is_live() {
            // Its place in the list is kept.
            return MediaCapability { offered: 0, ..MediaCapability::rtp(Kind::Other("gone".into()), []) };
        }
        if !medium.profile.is_rtp() {
            return MediaCapability::other(
                medium.kind.clone(),
                OtherCapability { profile: medium.profile.clone(), formats: medium.format_names.clone() },
            );
        }
        let codecs = medium.formats.iter().filter(|format| !is_event(&format.name));
        let events = medium.formats.iter().find(|format| is_event(&format.name));
        MediaCapability {
            codecs: codecs
                .map(|format| {
                    let mut codec =
                        Codec::new(format.name.clone(), format.clock_rate).at(format.payload_type);
                    codec.channels = format.channels;
                    codec.matching =
                        if format.name == "rtx" { ParameterRule::Equal } else { ParameterRule::ByCodec };
                    codec.with(format.parameters.clone())
                })
                .collect(),
            telephone_events: events.map(|format| EventSet::parse(&format.parameters).unwrap()),
            event_payload_types: medium
                .formats
                .iter()
                .filter(|format| is_event(&format.name))
                .map(|format| (format.clock_rate, format.payload_type))
                .collect(),
            direction: medium.direction,
            feedback: medium.profile.has_feedback(),
            feedback_kinds: medium.feedback.iter().map(|(_, what)| what.clone()).collect(),
            extensions: medium.extensions.iter().map(|(_, _, uri)| uri.clone()).collect(),
            ..MediaCapability::rtp(medium.kind.clone(), [])
        }
    });
    let mut capability = Capability::new(media);
    let first = said.media.first();
    let crypto: Vec<_> = first.map(|medium| medium.crypto.clone()).unwrap_or_default();
    if !crypto.is_empty() {
        let suites =
            crypto.iter().filter_map(|text| attribute::security::Crypto::parse(text).unwrap().suite());
        let mut encryption = EncryptionCapability::sdes(Encryption::Required);
        encryption.sdes.as_mut().unwrap().suites = suites.collect();
        capability.encryption = encryption;
    }
    if let Some(print) = first.and_then(|medium| medium.fingerprints.first()) {
        let fingerprint = LocalFingerprint { hash: print.hash.clone(), bytes: print.bytes.clone() };
        capability.encryption = EncryptionCapability::dtls(Encryption::Required, fingerprint);
        capability.encryption.dtls.as_mut().unwrap().setup = first.unwrap().setup.unwrap();
    }
    if first.is_some_and(|medium| medium.ice.is_some()) {
        capability.ice = Ice::Full;
    }
    capability.bundle = !said.bundles.is_empty();
    capability.rtcp_mux = match first {
        Some(medium) if medium.rtcp_mux_only => RtcpMux::Required,
        _ if said.media.iter().any(|medium| medium.rtcp_mux) => RtcpMux::Offered,
        _ => RtcpMux::Off,
    };
    capability
}

fn transport(medium: &RemoteMedium) -> Transport {
    let address = SocketAddr::from(([192, 0, 2, 7], medium.port.max(1)));
    let mut transport = Transport::new(medium.kind.clone(), address);
    transport.addresses.push(SocketAddr::new("2001:db8::7".parse().unwrap(), medium.port.max(1)));
    transport.ice = medium.ice.as_ref().map(|ice| LocalIce {
        ufrag: ice.ufrag.clone(),
        password: ice.password.clone(),
        candidates: ice.candidates.clone(),
        complete: ice.end_of_candidates,
    });
    transport
}

/// Makes `side` want what the printed side says.
fn instruct(side: &mut Negotiator, step: &Step, known: usize) {
    side.set_capability(capability(&step.said));
    for (slot, medium) in step.said.media.iter().enumerate() {
        if slot >= known {
            if medium.is_live() && !medium.bundle_only {
                side.add_transport(transport(medium));
                if step.offer && known > 0 {
                    side.add_medium(transport(medium)).unwrap();
                }
            }
            continue;
        }
        if !medium.is_live() {
            side.remove_medium(slot).unwrap();
        } else {
            side.set_direction(slot, medium.direction).unwrap();
            if !medium.bundle_only {
                side.set_transport(slot, transport(medium)).unwrap();
            }
        }
    }
}

/// The groups, by the places of their members: each side may choose its own names in an offer.
/// An answer follows the offer's order.
fn bundles(said: &RemoteDescription, offer: bool) -> Vec<Vec<Option<usize>>> {
    let place = |mid: &String| said.media.iter().position(|medium| medium.mid.as_ref() == Some(mid));
    let mut groups: Vec<Vec<_>> =
        said.bundles.iter().map(|group| group.iter().map(place).collect()).collect();
    if offer {
        groups.iter_mut().for_each(|group| group.sort());
    }
    groups
}

/// Telephone events in any order: nothing hangs on it.
fn events_sorted(names: &[String]) -> (Vec<&String>, Vec<&String>) {
    let (mut events, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_event(name));
    events.sort();
    (others, events)
}

fn names(medium: &RemoteMedium) -> Vec<String> {
    if medium.profile.is_rtp() {
        let names =
            medium.formats.iter().map(|format| format.name.trim_end_matches('s').to_ascii_lowercase());
        return names.collect();
    }
    medium.format_names.clone()
}

/// What this engine said and what the RFC prints are the same, addresses and keys aside.
fn compare(what: &str, ours: &[u8], step: &Step) {
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    let read = Description::parse_with(ours, &strict).unwrap_or_else(|error| panic!("{what}: {error}"));
    let ours = RemoteDescription::read(&read);
    let text = format!("{what}\n{}\n--- printed\n{}", read.as_str(), String::from_utf8_lossy(&step.bytes));
    assert_eq!(ours.media.len(), step.said.media.len(), "{text}");
    if !(step.offer && what.starts_with("rfc9143/18.4")) {
        // There the third medium is kept out of the group; this engine bundles all it has.
        assert_eq!(bundles(&ours, step.offer), bundles(&step.said, step.offer), "{text}");
    }
    for (ours, printed) in ours.media.iter().zip(&step.said.media) {
        assert_eq!((&ours.kind, &ours.profile), (&printed.kind, &printed.profile), "{text}");
        assert_eq!(ours.is_live(), printed.is_live(), "{text}");
        if !ours.is_live() {
            continue;
        }
        assert_eq!(events_sorted(&names(ours)), events_sorted(&names(printed)), "{text}");
        assert_eq!(ours.direction, printed.direction, "{text}");
        assert!(printed.mid.is_none() || ours.mid.is_some(), "{text}");
        assert!(!printed.rtcp_mux || ours.rtcp_mux, "{text}");
        assert_eq!(ours.setup, printed.setup, "{text}");
        assert_eq!(ours.fingerprints, printed.fingerprints, "{text}");
        assert_eq!(ours.ice.is_some(), printed.ice.is_some(), "{text}");
        assert_eq!(ours.crypto.len(), printed.crypto.len(), "{text}");
        for (ours, printed) in ours.crypto.iter().zip(&printed.crypto) {
            let words = |text: &str| text.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(ours), words(printed), "{text}");
        }
        if step.offer && ours.profile.is_rtp() && step.said.bundles.is_empty() {
            let sorted = |medium: &RemoteMedium| {
                let mut numbers = medium.format_names.clone();
                numbers.sort();
                numbers
            };
            assert_eq!(sorted(ours), sorted(printed), "{text}");
        }
    }
}

/// What was agreed follows from the two printed descriptions.
fn check_agreed(what: &str, side: &Negotiator, own: &RemoteDescription, theirs: &RemoteDescription) {
    let agreed = side.agreed().unwrap();
    assert_eq!(agreed.media.len(), theirs.media.len().max(own.media.len()), "{what}");
    for ((outcome, own), theirs) in agreed.media.iter().zip(&own.media).zip(&theirs.media) {
        let live = own.is_live() && theirs.is_live();
        let Some(active) = outcome.active() else {
            assert!(!live, "{what}: {outcome:?}");
            continue;
        };
        assert!(live, "{what}");
        // Who was not offered to receive does not hold by not receiving.
        let asked = agreed.role == Role::Answerer || own.direction.sends();
        let holds = asked && !theirs.direction.receives();
        let wanted = own.direction.and(theirs.direction.reversed());
        assert!(active.direction == wanted || theirs.held_by_address, "{what}: {:?}", active.direction);
        assert_eq!(active.hold.is_remote(), theirs.held_by_address || holds, "{what}");
        for codec in &active.send {
            let format = theirs.formats.iter().find(|format| format.payload_type == codec.payload_type);
            assert!(codec.is(&format.unwrap().name), "{what}: {codec:?}");
        }
        assert!(active.send.len() <= theirs.formats.len(), "{what}");
    }
}

/// Steps whose printed words break RFC 3264 themselves; this engine says something else, and rightly so.
const MISPRINTS: &[(&str, usize)] = &[
    // To `sendonly` the answer is neither `recvonly` nor `inactive`, and it has a codec that was not offered.
    ("rfc4317/3.2", 4),
];

fn play(id: &str, steps: &[Step], role: &str) {
    let mut side: Option<Negotiator> = None;
    let mut known = 0;
    for (number, step) in steps.iter().enumerate() {
        let what = format!("{id}, {role}, step {}", number + 1);
        let mine = step.by == role;
        let misprint = MISPRINTS.contains(&(id, number + 1));
        let side =
            side.get_or_insert_with(|| Negotiator::new(Capability::new([]), Vec::new(), Seed([3; 32])));
        if mine && step.offer {
            instruct(side, step, known);
            let offer = side.offer().unwrap_or_else(|error| panic!("{what}: {error}"));
            compare(&what, &offer, step);
        } else if mine {
            instruct(side, step, known);
            let answer = side.make_answer().unwrap_or_else(|error| panic!("{what}: {error}"));
            if !misprint {
                compare(&what, &answer, step);
                check_agreed(&what, side, &step.said, &steps[number - 1].said);
            }
            known = step.said.media.len();
        } else if step.offer {
            side.receive_offer(&step.bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        } else {
            side.accept_answer(&step.bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
            check_agreed(&what, side, &steps[number - 1].said, &step.said);
            known = step.said.media.len();
        }
    }
}

/// Exchanges, not loose examples.
fn exchanges() -> Vec<(String, Vec<Step>)> {
    let whole = |steps: &Vec<Step>| {
        steps.len() >= 2
            && steps.len().is_multiple_of(2)
            && steps.iter().enumerate().all(|(at, step)| step.offer == at.is_multiple_of(2))
    };
    sequences().into_iter().filter(|(_, steps)| whole(steps)).collect()
}

#[test]
fn every_exchange_is_played_in_both_roles() {
    let all = exchanges();
    if all.is_empty() {
        return;
    }
    assert_eq!(all.len(), 28, "{:?}", all.iter().map(|(id, _)| id).collect::<Vec<_>>());
    let mut played = 0;
    for (id, steps) in &all {
        let mut sides: Vec<&str> = steps.iter().map(|step| step.by.as_str()).collect();
        sides.sort_unstable();
        sides.dedup();
        assert_eq!(sides.len(), 2);
        for role in sides {
            // One example begins in the middle of a session: its first offer has a medium that is gone already.
            let begins_late =
                steps[0].by == role && steps[0].said.media.iter().any(|medium| !medium.is_live());
            assert!(!begins_late || id == "rfc9143/18.5", "{id}");
            if !begins_late {
                play(id, steps, role);
                played += 1;
            }
        }
    }
    assert_eq!(played, 2 * all.len() - 1);
}

/// RFC 8866 prints descriptions without an answer: they are answered by one who can do what they say.
#[test]
fn the_examples_of_rfc_8866_are_answered() {
    let Some(folder) = common::shared("vectors/sdp/corpus") else { return };
    for name in ["rfc8866-L469.sdp", "rfc8866-L1407.sdp"] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let said = RemoteDescription::read(&Description::parse(&bytes).unwrap());
        let transports = said.media.iter().map(transport).collect();
        let mut able = Negotiator::new(capability(&said), transports, Seed([1; 32]));
        let mut unable = Negotiator::new(Capability::new([]), Vec::new(), Seed([1; 32]));
        assert!(unable.answer(&bytes).unwrap_err().mismatch().is_some(), "{name}");
        able.answer(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(able.agreed().unwrap().active().count(), said.media.len(), "{name}");
    }
}

/// RFC 3264 §9: a description of what somebody could do tells why an offer was refused.
#[test]
fn capabilities_tell_why_an_offer_was_refused() {
    let Some(folder) = common::shared("vectors/sdp/offer-answer/rfc3264") else { return };
    let capabilities = std::fs::read(folder.join("9-capabilities.sdp")).unwrap();
    let mut side = Negotiator::new(
        Capability::telephone([Codec::opus(), Codec::g729(true)]),
        vec![Transport::audio("192.0.2.1:4000".parse().unwrap())],
        Seed([1; 32]),
    );
    side.offer().unwrap();
    assert_eq!(
        side.refused(Some(&capabilities), None).unwrap().to_string(),
        "no common audio codec: this side offers opus and G729, the other side has PCMU, 1016 and GSM"
    );
}
