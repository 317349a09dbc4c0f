//! RFC 6337: in which messages offers and answers travel (table 1), how an offer is refused in each (table 2), and what
//! happens when offers cross (figures 4 to 9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use denwa_sdp::*;

fn side(number: u8) -> Negotiator {
    let address = format!("192.0.2.{number}:4000").parse().unwrap();
    Negotiator::new(
        Capability::telephone([Codec::pcma()]),
        vec![Transport::audio(address)],
        Seed([number; 32]),
    )
}

/// Neither side is the caller or the callee to this engine: whoever offers, offers.
fn exchange(offerer: &mut Negotiator, answerer: &mut Negotiator) {
    let offer = offerer.offer().unwrap();
    assert_eq!(offerer.state(), State::HaveLocalOffer);
    answerer.receive_offer(&offer).unwrap();
    assert_eq!(answerer.state(), State::HaveRemoteOffer);
    let answer = answerer.make_answer().unwrap();
    assert_eq!(answerer.state(), State::Stable);
    offerer.accept_answer(&answer).unwrap();
    assert_eq!(offerer.state(), State::Stable);
}

#[test]
fn every_pattern_of_table_1_works_and_can_be_refused() {
    let Some(folder) = common::shared("vectors/sdp") else { return };
    let patterns = std::fs::read(folder.join("rfc6337-patterns.json")).unwrap();
    let patterns: serde_json::Value = serde_json::from_slice(&patterns).unwrap();
    let table = patterns["table1"].as_array().unwrap();
    assert_eq!(table.len(), 6);
    for pattern in table {
        let (mut caller, mut callee) = (side(1), side(2));
        // Requests go from the caller, responses from the callee; 3PCC and re-INVITEs turn that round.
        let offer_by_caller = !pattern["offer"].as_str().unwrap().contains("xx");
        if pattern["initial"] == false {
            exchange(&mut caller, &mut callee);
        }
        let (offerer, answerer) =
            if offer_by_caller { (&mut caller, &mut callee) } else { (&mut callee, &mut caller) };
        exchange(offerer, answerer);

        // Refused: by a failure response where there is one, else by an answer that takes nothing.
        let number = pattern["pattern"].to_string();
        let rejection = patterns["table2_rejection"][&number].as_str().unwrap();
        let agreed = offerer.agreed().cloned();
        offerer.hold(HoldStyle::Direction, Direction::Inactive);
        let offer = offerer.offer().unwrap();
        answerer.receive_offer(&offer).unwrap();
        if rejection.starts_with("488") {
            answerer.rollback();
            offerer.refused(None, None).unwrap();
            assert_eq!(offerer.agreed(), agreed.as_ref(), "pattern {number}: the session goes on");
        } else {
            let answer = answerer.decline().unwrap();
            let error = offerer.accept_answer(&answer).unwrap_err();
            assert_eq!(
                error.mismatch().unwrap().main().unwrap().rule,
                Rule::RejectedByPeer,
                "pattern {number}"
            );
        }
        assert_eq!((offerer.state(), answerer.state()), (State::Stable, State::Stable));
    }
}

#[test]
fn crossing_offers_get_491_and_500() {
    let Some(folder) = common::shared("vectors/sdp") else { return };
    let patterns = std::fs::read(folder.join("rfc6337-patterns.json")).unwrap();
    let patterns: serde_json::Value = serde_json::from_slice(&patterns).unwrap();
    let crossings = patterns["crossing"].as_array().unwrap();
    assert_eq!(crossings.len(), 6);
    for crossing in crossings {
        for words in [&crossing["UA_A"], &crossing["UA_B"]] {
            let (mut a, mut b) = (side(1), side(2));
            exchange(&mut a, &mut b);
            let first = a.offer().unwrap();
            let words = words.as_str().unwrap();
            if words.starts_with("491") {
                // Both have an offer out.
                let crossed = b.offer().unwrap();
                assert_eq!(a.receive_offer(&crossed).unwrap_err().status(), 491, "{crossing}");
                assert_eq!(b.receive_offer(&first).unwrap_err().status(), 491, "{crossing}");
                a.rollback();
                b.rollback();
            } else if words.starts_with("500") {
                // Another offer before the first is answered.
                b.receive_offer(&first).unwrap();
                assert_eq!(b.receive_offer(&first).unwrap_err().status(), 500, "{crossing}");
                let answer = b.make_answer().unwrap();
                a.accept_answer(&answer).unwrap();
            } else {
                // "Must not": this engine does not.
                assert_eq!(a.offer(), Err(Misuse::LocalOfferPending), "{crossing}");
                a.rollback();
            }
            exchange(&mut b, &mut a);
        }
    }
}
