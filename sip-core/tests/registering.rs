//! The registrar and the registration client: RFC 3261 §10.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
};
use ladder::Ladder;
use std::time::Duration;

const AOR: &str = "sip:1001@pbx.example";

fn pbx() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.raw("phone", "192.0.2.1:5060");
    ladder.endpoint("pbx", "192.0.2.9:5060");
    ladder
}

/// A REGISTER the exchange accepts without asking; what comes back.
fn register(ladder: &mut Ladder, cseq: u32, fields: &str) -> denwa_sip_core::Response {
    ladder.send(
        "phone",
        "pbx",
        &format!(
            "REGISTER sip:pbx.example SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKr{cseq}
            Max-Forwards: 70
            From: <sip:1001@pbx.example>;tag=a
            To: <sip:1001@pbx.example>
            Call-ID: c1
            CSeq: {cseq} REGISTER
            {fields}"
        ),
    );
    ladder.run();
    let (request, _) = ladder.incoming("pbx", Method::Register);
    ladder.tell("pbx", |endpoint, now| endpoint.accept_registration(request, AOR, now)).unwrap();
    ladder.run();
    ladder.received("phone").unwrap().as_response().unwrap().clone()
}

fn contacts(response: &denwa_sip_core::Response) -> Vec<&str> {
    response.get_all("Contact").collect()
}

#[test]
fn a_binding_is_stored_before_the_200_and_kept_with_its_flow_and_path() {
    let mut ladder = pbx();
    let response = register(
        &mut ladder,
        1,
        "Contact: <sip:1001@10.0.0.7:5062>;q=0.5;+sip.instance=\"<urn:uuid:1>\";expires=120
         Path: <sip:p1.example;lr>
         User-Agent: Test 1.0",
    );
    assert_eq!(response.status(), StatusCode::OK);
    let expected = "<sip:1001@10.0.0.7:5062>;+sip.instance=\"<urn:uuid:1>\";q=0.500;expires=120";
    assert_eq!(contacts(&response), [expected]);
    assert_eq!(response.get("Path"), Some("<sip:p1.example;lr>"));
    let now = ladder.now;
    let user = ladder.user("pbx");
    let (stored_name, stored) = &user.stored[0];
    assert_eq!((stored_name.as_str(), stored.len()), (AOR, 1));
    let binding = user.endpoint.bindings(AOR)[0].clone();
    assert_eq!(binding, stored[0]);
    assert_eq!(binding.flow.remote.to_string(), "192.0.2.1:5060");
    assert_eq!((&*binding.user_agent, binding.quality), ("Test 1.0", 500));
    assert_eq!(binding.remaining(now).as_secs(), 119, "ten milliseconds on the way back");
    ladder.event("pbx", |event| match event {
        Event::BindingsChanged { address_of_record, bindings } => {
            assert_eq!((address_of_record.as_str(), bindings.len()), (AOR, 1));
            Some(())
        }
        _ => None,
    });
}

#[test]
fn several_contacts_a_question_a_removal_and_the_wildcard() {
    let mut ladder = pbx();
    register(&mut ladder, 1, "Contact: <sip:1001@a>, <sip:1001@b>;expires=600");
    let asked = register(&mut ladder, 2, "X: 1");
    assert_eq!(contacts(&asked), ["<sip:1001@a>;expires=3600", "<sip:1001@b>;expires=600"]);
    let removed = register(&mut ladder, 3, "Contact: <sip:1001@a>\nExpires: 0");
    assert_eq!(contacts(&removed), ["<sip:1001@b>;expires=600"]);
    let bad = register(&mut ladder, 4, "Contact: *");
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    let gone = register(&mut ladder, 5, "Contact: *\nExpires: 0");
    assert_eq!((gone.status(), contacts(&gone)), (StatusCode::OK, vec![]));
    assert_eq!(ladder.user("pbx").endpoint.counts().addresses_of_record, 0);
    assert_eq!(ladder.user("pbx").stored.len(), 3, "the question and the refusal changed nothing");
}

#[test]
fn too_brief_is_answered_423_with_the_minimum() {
    let mut ladder = pbx();
    let refused = register(&mut ladder, 1, "Contact: <sip:1001@a>;expires=10");
    assert_eq!((refused.status().code(), refused.get("Min-Expires")), (423, Some("60")));
    let end = ladder.event("pbx", |event| match event {
        Event::RequestEnded { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(end, RequestEnd::RegistrationRefused(RegistrationRefusal::TooBrief { minimum: 60 }));
}

#[test]
fn out_of_order_changes_nothing() {
    let mut ladder = pbx();
    register(&mut ladder, 7, "Contact: <sip:1001@a>");
    let refused = register(&mut ladder, 6, "Contact: <sip:1001@a>;expires=0");
    assert_eq!(refused.status(), StatusCode::SERVER_INTERNAL_ERROR);
    assert_eq!(ladder.user("pbx").endpoint.bindings(AOR).len(), 1);
}

#[test]
fn what_the_store_did_not_keep_did_not_happen() {
    let mut ladder = pbx();
    ladder.user("pbx").store_works = false;
    let failed = register(&mut ladder, 1, "Contact: <sip:1001@a>");
    assert_eq!(failed.status(), StatusCode::SERVER_INTERNAL_ERROR);
    assert!(ladder.user("pbx").endpoint.bindings(AOR).is_empty());
    ladder.user("pbx").store_works = true;
    assert_eq!(register(&mut ladder, 2, "Contact: <sip:1001@a>").status(), StatusCode::OK);
}

#[test]
fn bindings_run_out() {
    let mut ladder = pbx();
    register(&mut ladder, 1, "Contact: <sip:1001@a>;expires=60, <sip:1001@b>;expires=120");
    ladder.pass_seconds(61);
    let expired = ladder.event("pbx", |event| match event {
        Event::BindingExpired { address_of_record, contact } => {
            assert_eq!(address_of_record, AOR);
            Some(contact.to_string())
        }
        _ => None,
    });
    assert_eq!(expired, "sip:1001@a");
    assert_eq!(ladder.user("pbx").endpoint.bindings(AOR).len(), 1);
    ladder.pass_seconds(60);
    assert_eq!(ladder.user("pbx").endpoint.counts().bindings, 0);
}

#[test]
fn what_was_stored_is_loaded_after_a_restart() {
    let mut ladder = pbx();
    register(&mut ladder, 1, "Contact: <sip:1001@192.0.2.1:5060>;expires=600");
    let stored = ladder.user("pbx").stored[0].1.clone();
    ladder.endpoint("restarted", "192.0.2.10:5060");
    ladder.tell("restarted", |endpoint, now| endpoint.load_bindings(AOR, stored, now));
    let held = ladder.user("restarted").endpoint.bindings(AOR)[0].clone();
    assert_eq!(held.contact.as_str(), "sip:1001@192.0.2.1:5060");
    ladder.pass_seconds(601);
    assert_eq!(ladder.user("restarted").endpoint.counts().bindings, 0);
}

// -- the client

fn client() -> (Ladder, RegistrationHandle) {
    let mut ladder = Ladder::new();
    ladder.endpoint("phone", "192.0.2.1:5060");
    ladder.endpoint("pbx", "192.0.2.9:5060");
    ladder.user("pbx").passwords.as_mut().unwrap().insert("1001".to_owned(), "secret".to_owned());
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:pbx.example").unwrap(),
        target: ladder.target("pbx"),
        routes: Vec::new(),
        local: LocalIdentity { user: "1001".to_owned(), ..LocalIdentity::default() },
        headers: Headers::new(),
        credentials: vec![Credentials {
            realm: Some("pbx.example".to_owned()),
            username: "1001".to_owned(),
            secret: Secret::password("secret"),
        }],
        expires: Duration::from_secs(600),
    };
    let handle = ladder.tell("phone", |endpoint, now| endpoint.register(register, now)).unwrap();
    (ladder, handle)
}

/// The exchange asks for credentials and accepts.
fn serve(ladder: &mut Ladder) {
    ladder.run();
    let (request, _) = ladder.incoming("pbx", Method::Register);
    let policy = ChallengePolicy::new("pbx.example");
    ladder.tell("pbx", |endpoint, now| endpoint.authenticate(request, &policy, now)).unwrap();
    ladder.run();
    if ladder.has_event("pbx", |event| matches!(event, Event::Authenticated { .. })) {
        ladder.tell("pbx", |endpoint, now| endpoint.accept_registration(request, AOR, now)).unwrap();
        ladder.run();
        ladder.forget_events("pbx");
    }
}

#[test]
fn a_registration_is_made_kept_and_withdrawn() {
    let (mut ladder, handle) = client();
    serve(&mut ladder);
    serve(&mut ladder);
    let expires_in = ladder.event("phone", |event| match event {
        Event::Registered { registration, expires_in, .. } if *registration == handle => Some(*expires_in),
        _ => None,
    });
    assert_eq!(expires_in, Duration::from_secs(600));
    ladder.arrows();
    let binding = ladder.user("pbx").endpoint.bindings(AOR)[0].clone();
    assert_eq!(binding.contact.as_str(), "sip:1001@192.0.2.1:5060");
    // The refresh comes between half and nine tenths of the time, with credentials at once.
    ladder.pass_seconds(299);
    assert_eq!(ladder.arrows(), [] as [&str; 0]);
    let mut waited = 299;
    while ladder.arrows().is_empty() {
        waited += 1;
        ladder.pass_seconds(1);
    }
    assert!((300..=540).contains(&waited), "{waited}");
    // The nonce is older than five minutes by then, or nearly: one more round at most.
    serve(&mut ladder);
    if !ladder.has_event("phone", |event| matches!(event, Event::Registered { .. })) {
        serve(&mut ladder);
    }
    assert_eq!(ladder.user("pbx").endpoint.bindings(AOR).len(), 1);
    ladder.arrows();
    ladder.tell("phone", |endpoint, now| endpoint.unregister(handle, now)).unwrap();
    serve(&mut ladder);
    assert!(ladder.user("pbx").endpoint.bindings(AOR).is_empty());
    let ended = ladder.event("phone", |event| match event {
        Event::RegistrationEnded { registration, reason } if *registration == handle => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(ended, None);
    ladder.assert_nothing_left();
}

#[test]
fn failures_wait_longer_and_longer() {
    let mut ladder = Ladder::new();
    ladder.endpoint("phone", "192.0.2.1:5060");
    ladder.raw("pbx", "192.0.2.9:5060");
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:pbx.example").unwrap(),
        target: ladder.target("pbx"),
        routes: Vec::new(),
        local: LocalIdentity::default(),
        headers: Headers::new(),
        credentials: Vec::new(),
        expires: Duration::from_secs(600),
    };
    ladder.tell("phone", |endpoint, now| endpoint.register(register, now)).unwrap();
    let mut waits = Vec::new();
    for _ in 0..8 {
        ladder.pass_seconds(32);
        let wait = ladder.event("phone", |event| match event {
            Event::RegistrationFailed {
                reason: RegistrationFailure::Unreachable(EndReason::TimedOut),
                retry_in,
                ..
            } => Some(*retry_in),
            _ => None,
        });
        ladder.pass(wait);
        waits.push(wait.as_secs());
    }
    for (at, wait) in waits.iter().enumerate() {
        let full = (30 << at).min(1800);
        assert!((full / 2..=full).contains(wait), "{at}: {wait} of {full}");
    }
}

/// A request through an outbound proxy has its route from the start; what the registrar names by RFC 3608 §5 takes its place
/// for requests to come, in the registrar's order.
#[test]
fn rfc_3608_a_service_route_is_the_pre_loaded_route_of_requests_to_come() {
    const PROXY: &str = "<sip:192.0.2.9:5060;lr>";
    let mut ladder = Ladder::new();
    ladder.endpoint("phone", "192.0.2.1:5060");
    ladder.raw("proxy", "192.0.2.9:5060");
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:pbx.example").unwrap(),
        target: ladder.target("proxy"),
        routes: vec![PROXY.to_owned()],
        local: LocalIdentity { user: "1001".to_owned(), ..LocalIdentity::default() },
        headers: Headers::new(),
        credentials: Vec::new(),
        expires: Duration::from_secs(600),
    };
    ladder.tell("phone", |endpoint, now| endpoint.register(register, now)).unwrap();
    ladder.run();
    let request = ladder.received_request("proxy", Method::Register);
    assert_eq!(request.get("Route"), Some(PROXY));
    let registered = request
        .response(StatusCode::OK)
        .to_tag("r")
        .header("Contact", format_args!("{};expires=600", request.get("Contact").unwrap()))
        .header("Service-Route", format_args!("{PROXY}, <sip:home.example;lr>"))
        .finish()
        .unwrap();
    ladder.send("proxy", "phone", std::str::from_utf8(registered.bytes()).unwrap());
    ladder.run();
    let routes = ladder.event("phone", |event| match event {
        Event::Registered { service_route, .. } => Some(service_route.clone()),
        _ => None,
    });
    assert_eq!(routes, [PROXY, "<sip:home.example;lr>"]);
    let mut place = ladder.place("phone", "proxy");
    place.routes.clone_from(&routes);
    ladder.tell("phone", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let invite = ladder.received_request("proxy", Method::Invite);
    let written: Vec<String> = invite.routes().map(|route| format!("<{}>", route.unwrap().uri)).collect();
    assert_eq!(written, routes);
    assert_eq!(invite.uri_text(), ladder.uri("proxy").as_str());
}

/// For how long a telephone takes itself to be registered whose REGISTER is granted with these lines.
fn granted(contact_parameters: &str, lines: &str) -> u64 {
    let mut ladder = Ladder::new();
    ladder.endpoint("phone", "192.0.2.1:5060");
    ladder.raw("registrar", "192.0.2.9:5060");
    let local = LocalIdentity {
        user: "1001".to_owned(),
        contact_parameters: contact_parameters.to_owned(),
        ..LocalIdentity::default()
    };
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:pbx.example").unwrap(),
        target: ladder.target("registrar"),
        routes: Vec::new(),
        local,
        headers: Headers::new(),
        credentials: Vec::new(),
        expires: Duration::from_secs(600),
    };
    ladder.tell("phone", |endpoint, now| endpoint.register(register, now)).unwrap();
    ladder.run();
    let asked = ladder.received_request("registrar", Method::Register);
    let copied =
        ["Via", "From", "To", "Call-ID", "CSeq"].map(|it| format!("{it}: {}", asked.get(it).unwrap()));
    ladder.send("registrar", "phone", &format!("SIP/2.0 200 OK\n{}\n{lines}", copied.join("\n")));
    ladder.run();
    ladder.event("phone", |event| match event {
        Event::Registered { expires_in, .. } => Some(expires_in.as_secs()),
        _ => None,
    })
}

#[test]
fn rfc_3261_section_10_2_4_the_expiry_of_our_own_binding_counts() {
    let other = "Contact: <sip:1001@192.0.2.77>;expires=30";
    let own = "Contact: <sip:1001@192.0.2.1:5060>";
    assert_eq!(granted("", &format!("{other}\n{own};expires=500")), 500);
    assert_eq!(granted("", &format!("Expires: 400\n{other}\n{own}")), 400);
    // A box on the way has rewritten ours: whichever it is, it stands for the shortest.
    assert_eq!(granted("", &format!("Contact: <sip:1001@198.51.100.1:7>;expires=500\n{other}")), 30);
}

#[test]
fn rfc_5626_section_6_our_own_binding_is_known_by_its_device_and_flow() {
    let device = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let other_flow = device.replace("reg-id=1", "reg-id=2");
    let other = format!("Contact: <sip:1001@192.0.2.1:5060>{other_flow};expires=30");
    let own = format!("Contact: <sip:1001@198.51.100.1:7>{device};expires=500");
    assert_eq!(granted(device, &format!("{other}\n{own}")), 500);
}
