//! RFC 3261 §10.3, step by step.

use super::*;
use crate::io::{Flow, Protocol};
use proptest::prelude::*;

fn flow() -> Flow {
    Flow {
        protocol: Protocol::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.7:5060".parse().unwrap(),
        stream: None,
    }
}

fn contact<'a>(uri: &'a str, expires: Option<u32>) -> ContactUpdate<'a> {
    ContactUpdate {
        uri: Uri::parse(uri, crate::error::Attitude::Strict).unwrap(),
        parameters: String::new(),
        expires,
        quality: None,
        instance: None,
    }
}

fn register<'a>(call_id: &'a str, sequence: u32, contacts: Vec<ContactUpdate<'a>>) -> Registration<'a> {
    Registration {
        call_id,
        sequence,
        expires: None,
        contacts: Contacts::List(contacts),
        path: Vec::new(),
        user_agent: "test",
        flow: flow(),
    }
}

fn uris(bindings: &[Binding]) -> Vec<&str> {
    bindings.iter().map(|binding| binding.contact.as_str()).collect()
}

const POLICY: ExpiryPolicy = ExpiryPolicy {
    minimum: Duration::from_secs(60),
    maximum: Duration::from_secs(600),
    default: Duration::from_secs(300),
    bindings: 3,
};

#[test]
fn two_telephones_are_held_and_one_is_refreshed() {
    let now = Instant::now();
    let first =
        register("a", 1, vec![contact("sip:1001@192.0.2.5", None), contact("sip:1001@192.0.2.6", Some(90))]);
    let held = apply(&[], &first, &POLICY, now).unwrap().bindings;
    assert_eq!(uris(&held), ["sip:1001@192.0.2.5", "sip:1001@192.0.2.6"]);
    assert_eq!(held[0].remaining(now), Duration::from_secs(300));
    assert_eq!(held[1].remaining(now), Duration::from_secs(90));
    let later = now + Duration::from_secs(80);
    let again = register("a", 2, vec![contact("sip:1001@192.0.2.6", Some(9999))]);
    let held = apply(&held, &again, &POLICY, later).unwrap().bindings;
    assert_eq!(held[0].remaining(later), Duration::from_secs(220));
    assert_eq!(held[1].remaining(later), Duration::from_secs(600), "cut to the maximum");
}

#[test]
fn a_question_changes_nothing() {
    let now = Instant::now();
    let held = apply(&[], &register("a", 1, vec![contact("sip:1@h", None)]), &POLICY, now).unwrap().bindings;
    let asked = apply(&held, &register("b", 7, vec![]), &POLICY, now).unwrap();
    assert_eq!(asked, Change { bindings: held, changed: false });
}

#[test]
fn zero_removes_one_and_the_wildcard_all() {
    let now = Instant::now();
    let both = register("a", 1, vec![contact("sip:1@a", None), contact("sip:1@b", None)]);
    let held = apply(&[], &both, &POLICY, now).unwrap().bindings;
    let one = apply(&held, &register("a", 2, vec![contact("sip:1@a", Some(0))]), &POLICY, now).unwrap();
    assert_eq!(uris(&one.bindings), ["sip:1@b"]);
    let mut all = register("b", 1, vec![]);
    all.contacts = Contacts::Wildcard;
    assert_eq!(apply(&held, &all, &POLICY, now), Err(RegistrationRefusal::BadWildcard));
    all.expires = Some(0);
    assert_eq!(apply(&held, &all, &POLICY, now).unwrap().bindings, []);
    all.call_id = "a";
    assert_eq!(apply(&held, &all, &POLICY, now), Err(RegistrationRefusal::OutOfOrder));
}

#[test]
fn too_brief_is_refused_with_the_minimum_and_refuses_the_whole() {
    let now = Instant::now();
    let mixed = register("a", 1, vec![contact("sip:1@a", Some(100)), contact("sip:1@b", Some(59))]);
    assert_eq!(apply(&[], &mixed, &POLICY, now), Err(RegistrationRefusal::TooBrief { minimum: 60 }));
}

#[test]
fn the_same_call_out_of_order_is_refused_another_call_is_not() {
    let now = Instant::now();
    let held = apply(&[], &register("a", 5, vec![contact("sip:1@h", None)]), &POLICY, now).unwrap().bindings;
    let again = |call_id, sequence| {
        apply(&held, &register(call_id, sequence, vec![contact("sip:1@h", None)]), &POLICY, now)
    };
    assert_eq!(again("a", 5), Err(RegistrationRefusal::OutOfOrder));
    assert_eq!(again("a", 4), Err(RegistrationRefusal::OutOfOrder));
    assert!(again("a", 6).is_ok());
    assert!(again("b", 1).is_ok(), "the telephone was restarted");
}

#[test]
fn expired_bindings_count_for_nothing() {
    let now = Instant::now();
    let held =
        apply(&[], &register("a", 5, vec![contact("sip:1@h", Some(60))]), &POLICY, now).unwrap().bindings;
    let later = now + Duration::from_secs(60);
    let change = apply(&held, &register("a", 1, vec![contact("sip:1@h", None)]), &POLICY, later).unwrap();
    assert_eq!(change.bindings.len(), 1);
    assert_eq!(change.bindings[0].sequence, 1);
}

#[test]
fn the_newcomer_is_refused_at_the_limit() {
    let now = Instant::now();
    let three = ["sip:1@a", "sip:1@b", "sip:1@c"].map(|uri| contact(uri, None)).to_vec();
    let held = apply(&[], &register("a", 1, three), &POLICY, now).unwrap().bindings;
    let fourth = register("b", 1, vec![contact("sip:1@d", None)]);
    assert_eq!(apply(&held, &fourth, &POLICY, now), Err(RegistrationRefusal::TooManyBindings { limit: 3 }));
    let refresh = register("c", 1, vec![contact("sip:1@b", None)]);
    assert!(apply(&held, &refresh, &POLICY, now).is_ok());
}

#[test]
fn a_new_flow_of_one_device_takes_the_place_of_the_old_rfc_5626() {
    let now = Instant::now();
    let with = |uri, registration| {
        let mut contact = contact(uri, None);
        contact.instance = Some(Instance { id: "<urn:uuid:1>".into(), registration });
        contact
    };
    let held =
        apply(&[], &register("a", 1, vec![with("sip:1@a:1000", Some(1))]), &POLICY, now).unwrap().bindings;
    let moved = apply(&held, &register("b", 1, vec![with("sip:1@a:2000", Some(1))]), &POLICY, now).unwrap();
    assert_eq!(uris(&moved.bindings), ["sip:1@a:2000"]);
    let second = apply(&held, &register("b", 1, vec![with("sip:1@a:2000", Some(2))]), &POLICY, now).unwrap();
    assert_eq!(second.bindings.len(), 2, "a second flow is one more binding");
    let plain = apply(&held, &register("b", 1, vec![with("sip:1@a:2000", None)]), &POLICY, now).unwrap();
    assert_eq!(plain.bindings.len(), 2, "no reg-id, no replacing");
}

proptest! {
    /// Whatever is sent: no contact twice, never beyond the limit, nothing shorter than the minimum.
    #[test]
    fn the_set_stays_sound(steps in proptest::collection::vec((0u8..6, 0u32..900, 0u8..3, 1u32..20, 0u64..200), 0..40)) {
        let mut now = Instant::now();
        let mut held = Vec::new();
        for (user, expires, call, sequence, pass) in steps {
            now += Duration::from_secs(pass);
            let uri = format!("sip:{user}@host");
            let call_id = call.to_string();
            let message = register(&call_id, sequence, vec![contact(&uri, Some(expires))]);
            if let Ok(change) = apply(&held, &message, &POLICY, now) {
                held = change.bindings;
                let mut seen = std::collections::HashSet::new();
                prop_assert!(held.iter().all(|binding: &Binding| seen.insert(binding.contact.as_str().to_owned())));
                prop_assert!(held.len() <= POLICY.bindings);
                prop_assert!(held.iter().all(|binding| binding.expires_at > now));
                let kept = held.iter().any(|binding| binding.contact.as_str() == uri);
                prop_assert_eq!(kept, expires > 0);
            }
        }
    }
}
