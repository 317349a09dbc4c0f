//! Flows that telephones keep (RFC 5626), addresses of one device (RFC 5627), and who watches registrations (RFC 3680).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Response,
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
};
use ladder::Ladder;
use std::time::Duration;

const AOR: &str = "sip:1001@pbx.example";
const CONTACT: &str = "<sip:1001@192.0.2.1:5060>;+sip.instance=\"<urn:uuid:7>\";reg-id=1";

fn pbx() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.raw("phone", "192.0.2.1:5060");
    ladder.endpoint_with("pbx", "192.0.2.9:5060", |config| {
        config.registrar.outbound = true;
        config.registrar.gruu = true;
        config.registrar.flow_timer = Some(Duration::from_secs(120));
    });
    ladder
}

fn register(ladder: &mut Ladder, number: u32, fields: &str) -> Response {
    ladder.send(
        "phone",
        "pbx",
        &format!(
            "REGISTER sip:pbx.example SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKr{number}
            Max-Forwards: 70
            From: <{AOR}>;tag=a
            To: <{AOR}>
            Call-ID: c1
            CSeq: {number} REGISTER
            {fields}"
        ),
    );
    ladder.run();
    let (request, _) = ladder.incoming("pbx", Method::Register);
    ladder.tell("pbx", |endpoint, now| endpoint.accept_registration(request, AOR, now)).unwrap();
    ladder.run();
    ladder.received("phone").unwrap().as_response().unwrap().clone()
}

#[test]
fn rfc_5626_section_6_outbound_is_granted_to_a_first_hop_that_keeps_it() {
    let mut ladder = pbx();
    let granted = register(&mut ladder, 1, &format!("Contact: {CONTACT}\nSupported: path, outbound"));
    assert_eq!((granted.status(), granted.get("Require")), (StatusCode::OK, Some("outbound")));
    assert_eq!(granted.get("Flow-Timer"), Some("120"));
    let unasked = register(&mut ladder, 2, &format!("Contact: {CONTACT}"));
    assert_eq!((unasked.status(), unasked.get("Require")), (StatusCode::OK, None));
    let by_proxy = format!("Contact: {CONTACT}\nSupported: outbound\nPath: <sip:edge.example;lr>");
    let refused = register(&mut ladder, 3, &by_proxy);
    assert_eq!(refused.status(), StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT);
    let by_edge = register(&mut ladder, 4, &by_proxy.replace(";lr>", ";lr;ob>"));
    assert_eq!((by_edge.status(), by_edge.get("Require")), (StatusCode::OK, Some("outbound")));
}

#[test]
fn rfc_5626_section_6_a_new_flow_replaces_its_old_one_and_a_second_stands_beside() {
    let mut ladder = pbx();
    let contact = |id: u32, host: &str| {
        format!("Contact: <sip:1001@{host}>;+sip.instance=\"<urn:uuid:7>\";reg-id={id}\nSupported: outbound")
    };
    register(&mut ladder, 1, &contact(1, "10.0.0.1"));
    let both = register(&mut ladder, 2, &contact(2, "10.0.0.2"));
    assert_eq!(both.get_all("Contact").count(), 2);
    let moved = register(&mut ladder, 3, &contact(1, "10.0.0.3"));
    let contacts: Vec<&str> = moved.get_all("Contact").collect();
    assert_eq!(contacts.len(), 2);
    assert!(contacts[0].starts_with("<sip:1001@10.0.0.3>"), "{contacts:?}");
}

#[test]
fn rfc_5626_a_dead_flow_takes_its_bindings_along() {
    let mut ladder = pbx();
    register(&mut ladder, 1, &format!("Contact: {CONTACT}\nSupported: outbound"));
    register(&mut ladder, 2, "Contact: <sip:1001@192.0.2.1:5062>");
    let flow = ladder.user("pbx").endpoint.bindings(AOR)[0].flow;
    ladder.tell("pbx", |endpoint, now| endpoint.prune_flow(&flow, now));
    let left: Vec<String> =
        ladder.user("pbx").endpoint.bindings(AOR).iter().map(|it| it.contact.to_string()).collect();
    assert_eq!(left, ["sip:1001@192.0.2.1:5062"], "who asked for no outbound keeps his Contact");
    let gone = ladder.event("pbx", |event| match event {
        Event::BindingExpired { contact, .. } => Some(contact.to_string()),
        _ => None,
    });
    assert_eq!(gone, "sip:1001@192.0.2.1:5060");
    // Nothing is left of the flow to be pruned a second time.
    ladder.tell("pbx", |endpoint, now| endpoint.prune_flow(&flow, now));
    assert!(!ladder.has_event("pbx", |event| matches!(event, Event::BindingExpired { .. })));
}

#[test]
fn rfc_5627_a_device_is_granted_its_addresses_and_reached_by_them() {
    let mut ladder = pbx();
    let granted = register(&mut ladder, 1, &format!("Contact: {CONTACT}\nSupported: gruu"));
    let contact = granted.contact().unwrap().unwrap();
    let public = contact.params.unquoted("pub-gruu").unwrap().into_owned();
    let temporary = contact.params.unquoted("temp-gruu").unwrap().into_owned();
    assert_eq!(public, "sip:1001@pbx.example;gr=urn:uuid:7");
    assert!(!temporary.contains("1001") && temporary.ends_with("@pbx.example;gr"), "{temporary}");
    let endpoint = &ladder.user("pbx").endpoint;
    for gruu in [&public, &temporary] {
        let uri = UriBuf::parse(gruu).unwrap();
        let found = endpoint.bindings_of_gruu(&uri.as_uri()).unwrap();
        assert_eq!(found[0].contact.as_str(), "sip:1001@192.0.2.1:5060");
    }
    let other = UriBuf::parse("sip:1001@pbx.example;gr=urn:uuid:8").unwrap();
    assert!(endpoint.bindings_of_gruu(&other.as_uri()).is_none());
    // Who did not ask is granted none.
    let unasked = register(&mut ladder, 2, &format!("Contact: {CONTACT}"));
    assert!(!unasked.contact().unwrap().unwrap().params.has("pub-gruu"));
    // With another Call-ID the temporary ones are void (§5.4); the public one is for ever.
    ladder.tell("pbx", |endpoint, now| {
        let mut binding = endpoint.bindings(AOR)[0].clone();
        binding.call_id = "other".into();
        endpoint.load_bindings(AOR, vec![binding], now);
    });
    let endpoint = &ladder.user("pbx").endpoint;
    assert!(endpoint.bindings_of_gruu(&UriBuf::parse(&temporary).unwrap().as_uri()).is_none());
    assert!(endpoint.bindings_of_gruu(&UriBuf::parse(&public).unwrap().as_uri()).is_some());
}

#[test]
fn rfc_3680_what_is_registered_is_told_to_who_watches() {
    let mut ladder = pbx();
    register(&mut ladder, 1, "Contact: <sip:1001@192.0.2.1:5060>;expires=300");
    let info = ladder.user("pbx").endpoint.registration_info(AOR, 4);
    let entry = &info.registrations[0];
    assert_eq!((info.version, entry.state.as_str(), entry.contacts.len()), (4, "active", 1));
    assert_eq!(
        (entry.contacts[0].uri.as_str(), entry.contacts[0].expires),
        ("sip:1001@192.0.2.1:5060", Some(300))
    );
    let nobody = ladder.user("pbx").endpoint.registration_info("sip:nobody@pbx.example", 0);
    assert_eq!((nobody.registrations[0].state.as_str(), nobody.registrations[0].contacts.len()), ("init", 0));
}

// -- the device's side

fn flows() -> (Ladder, Vec<RegistrationHandle>) {
    let mut ladder = Ladder::new();
    ladder.endpoint("phone", "192.0.2.1:5060");
    for (name, address) in [("one", "192.0.2.8:5060"), ("two", "192.0.2.9:5060")] {
        ladder.endpoint_with(name, address, |config| {
            config.registrar.outbound = true;
            config.registrar.gruu = true;
        });
    }
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:pbx.example").unwrap(),
        target: ladder.target("one"),
        routes: Vec::new(),
        local: LocalIdentity { user: "1001".to_owned(), ..LocalIdentity::default() },
        headers: Headers::new(),
        credentials: Vec::new(),
        expires: Duration::from_secs(600),
    };
    let outbound = Outbound {
        instance: "urn:uuid:7".to_owned(),
        flows: vec![ladder.target("one"), ladder.target("two")],
        keep_alive: Duration::from_secs(30),
    };
    let handles =
        ladder.tell("phone", |endpoint, now| endpoint.register_outbound(&register, &outbound, now)).unwrap();
    (ladder, handles)
}

fn take(ladder: &mut Ladder, name: &str) -> denwa_sip_core::Request {
    ladder.run();
    let (request, message) = ladder.incoming(name, Method::Register);
    ladder.tell(name, |endpoint, now| endpoint.accept_registration(request, AOR, now)).unwrap();
    ladder.run();
    message
}

#[test]
fn rfc_5626_section_4_2_one_device_registers_over_several_flows() {
    let (mut ladder, handles) = flows();
    assert_eq!(handles.len(), 2);
    for (name, id) in [("one", 1), ("two", 2)] {
        let register = take(&mut ladder, name);
        assert!(register.lists(denwa_sip_core::HeaderName::Supported, "outbound"));
        let contact = register.contact().unwrap().unwrap();
        assert_eq!(contact.params.unquoted("+sip.instance").as_deref(), Some("<urn:uuid:7>"));
        assert_eq!(contact.params.number("reg-id"), Some(id));
        let gruu = ladder.event("phone", |event| match event {
            Event::Registered { gruu, .. } => Some(gruu.clone()),
            _ => None,
        });
        assert_eq!(gruu.unwrap().public.as_str(), "sip:1001@pbx.example;gr=urn:uuid:7");
    }
}

#[test]
fn rfc_5626_section_4_5_a_lost_flow_is_made_anew_and_waits_longer_while_others_stand() {
    let (mut ladder, handles) = flows();
    take(&mut ladder, "one");
    take(&mut ladder, "two");
    ladder.arrows();
    // `one` is silent from now on: six unanswered STUN requests tell that the flow is dead, and it is registered anew.
    ladder.lose(|arrow| arrow.starts_with("one ->"));
    ladder.forget_events("phone");
    ladder.pass_seconds(70);
    ladder.event("phone", |event| matches!(event, Event::FlowClosed { .. }).then_some(()));
    let arrows = ladder.arrows();
    assert!(arrows.iter().any(|it| it == "phone -> one REGISTER"), "{arrows:?}");
    ladder.pass_seconds(33);
    let (failed, retry_in) = ladder.event("phone", |event| match event {
        Event::RegistrationFailed { registration, retry_in, .. } => Some((*registration, *retry_in)),
        _ => None,
    });
    assert_eq!(failed, handles[0]);
    assert!(retry_in >= Duration::from_secs(45) && retry_in <= Duration::from_secs(90), "{retry_in:?}");
    ladder.lose_nothing();
    ladder.forget_events("one");
    ladder.pass(retry_in);
    take(&mut ladder, "one");
    ladder.event("phone", |event| matches!(event, Event::Registered { .. }).then_some(()));
}

// -- RFC 5627 section 4.4: the device uses what it was granted

fn contact_of(ladder: &Ladder, arrow: &str) -> String {
    let (_, message) = ladder.messages.iter().rev().find(|(it, _)| it == arrow).unwrap();
    message.contact().unwrap().unwrap().uri.to_string()
}

#[test]
fn rfc_5627_section_4_4_a_granted_gruu_stands_in_the_contact_for_as_long_as_the_registration_holds() {
    let (mut ladder, handles) = flows();
    take(&mut ladder, "one");
    take(&mut ladder, "two");
    ladder.endpoint("bob", "192.0.2.3:5060");
    let place = |ladder: &mut Ladder, contact| {
        let mut place = ladder.place("phone", "bob");
        place.local.contact = contact;
        let call = ladder.tell("phone", |endpoint, now| endpoint.place_call(place, now)).unwrap();
        ladder.run();
        let bobs = ladder.accept("bob");
        ladder.answer("bob", bobs);
        ladder.run();
        call
    };
    const PUBLIC: &str = "sip:1001@pbx.example;gr=urn:uuid:7";
    let call = place(&mut ladder, ContactAddress::Gruu(handles[0]));
    assert_eq!(contact_of(&ladder, "phone -> bob INVITE"), PUBLIC);
    // Requests that refresh the target say it again.
    ladder.tell("phone", |endpoint, now| endpoint.update(call, None, Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(contact_of(&ladder, "phone -> bob UPDATE"), PUBLIC);
    // Somebody who calls is told it in our answer.
    ladder.call("bob", "phone");
    ladder.run();
    let (request, _) = ladder.incoming("phone", Method::Invite);
    let local = LocalIdentity { contact: ContactAddress::Gruu(handles[1]), ..LocalIdentity::default() };
    let options = CallOptions::default();
    let called =
        ladder.tell("phone", |endpoint, now| endpoint.accept_call(request, &local, options, now)).unwrap();
    ladder.answer("phone", called);
    ladder.run();
    assert_eq!(contact_of(&ladder, "phone -> bob 200 INVITE"), PUBLIC);
    // An anonymous caller shows a temporary one, which tells nothing of him.
    place(&mut ladder, ContactAddress::TemporaryGruu(handles[1]));
    let temporary = contact_of(&ladder, "phone -> bob INVITE");
    assert!(temporary.ends_with("@pbx.example;gr") && !temporary.contains("1001"), "{temporary}");
    // A registration that was withdrawn grants nothing.
    ladder.tell("phone", |endpoint, now| endpoint.unregister(handles[0], now)).unwrap();
    place(&mut ladder, ContactAddress::Gruu(handles[0]));
    assert_eq!(contact_of(&ladder, "phone -> bob INVITE"), "sip:phone@192.0.2.1:5060");
}
