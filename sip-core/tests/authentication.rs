//! Digest authentication over messages: RFC 3261 §22, RFC 7616, RFC 8760.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    auth::{
        client::{ClientAuth, Subject},
        parameters::AuthValue,
    },
    endpoint::*,
    message::{Message, Method, Request, StatusCode, UriBuf},
};
use ladder::Ladder;
use std::time::Duration;

fn server() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.raw("phone", "192.0.2.1:5060");
    ladder.endpoint("pbx", "192.0.2.9:5060");
    let passwords = ladder.user("pbx").passwords.as_mut().unwrap();
    passwords.insert("1001".to_owned(), "secret".to_owned());
    ladder
}

fn policy() -> ChallengePolicy {
    ChallengePolicy::new("pbx.example")
}

fn register(cseq: u32, authorization: &str) -> String {
    format!(
        "REGISTER sip:pbx.example SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKr{cseq}
        Max-Forwards: 70
        From: <sip:1001@pbx.example>;tag=a
        To: <sip:1001@pbx.example>
        Call-ID: c1
        CSeq: {cseq} REGISTER
        Contact: <sip:1001@192.0.2.1:5060>
        {authorization}"
    )
}

/// Sends a REGISTER, lets the exchange ask for credentials, and gives what came back.
fn ask(
    ladder: &mut Ladder,
    cseq: u32,
    authorization: &str,
    policy: &ChallengePolicy,
) -> Option<denwa_sip_core::Response> {
    ladder.send("phone", "pbx", &register(cseq, authorization));
    ladder.run();
    let (request, _) = ladder.incoming("pbx", Method::Register);
    ladder.tell("pbx", |endpoint, now| endpoint.authenticate(request, policy, now)).unwrap();
    ladder.run();
    ladder.received("phone").map(|message| message.as_response().unwrap().clone())
}

/// What a client with this password answers to a challenge.
fn credentials(challenge: &denwa_sip_core::Response, username: &str, password: &str) -> (ClientAuth, String) {
    let mut client = ClientAuth::new();
    let own = Credentials {
        realm: Some("pbx.example".to_owned()),
        username: username.to_owned(),
        secret: Secret::password(password),
    };
    client.challenged(challenge.get_all("WWW-Authenticate"), std::iter::empty(), false, &[own]).unwrap();
    let value = next(&mut client);
    (client, value)
}

fn next(client: &mut ClientAuth) -> String {
    let subject = Subject { method: "REGISTER", uri: "sip:pbx.example", body: b"" };
    let value = client.authorize(subject, || "0a4f113b".to_owned()).remove(0).1;
    format!("Authorization: {value}")
}

#[test]
fn the_challenge_names_sha_256_first_and_md5_second() {
    let mut ladder = server();
    let challenge = ask(&mut ladder, 1, "X-None: 1", &policy()).unwrap();
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    let values: Vec<_> = challenge.get_all("WWW-Authenticate").map(AuthValue::with_scheme).collect();
    let algorithms: Vec<_> = values.iter().map(|value| value.get("algorithm").unwrap()).collect();
    assert_eq!(algorithms, ["SHA-256", "MD5"]);
    for value in values {
        assert_eq!(
            (value.get("realm"), value.get("qop"), value.get("stale")),
            (Some("pbx.example"), Some("auth"), None)
        );
    }
    let end = ladder.event("pbx", |event| match event {
        Event::RequestEnded { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(end, RequestEnd::Challenged { stale: false });
}

#[test]
fn the_right_password_is_known_under_each_algorithm() {
    for algorithm in Algorithm::ALL {
        let mut ladder = server();
        let policy = ChallengePolicy { algorithms: vec![algorithm], ..policy() };
        let challenge = ask(&mut ladder, 1, "X-None: 1", &policy).unwrap();
        let (_, authorization) = credentials(&challenge, "1001", "secret");
        assert_eq!(ask(&mut ladder, 2, &authorization, &policy), None, "not answered yet");
        let (request, user) = ladder.event("pbx", |event| match event {
            Event::Authenticated { request, username, algorithm: used, realm } => {
                assert_eq!((*used, realm.as_str()), (algorithm, "pbx.example"));
                Some((*request, username.clone()))
            }
            _ => None,
        });
        assert_eq!(user, "1001");
        let reply = Reply::new(StatusCode::OK);
        ladder.tell("pbx", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
        ladder.run();
        let answered = ladder.received_response("phone", 200);
        assert!(answered.get("Authentication-Info").unwrap().contains("rspauth="), "{}", algorithm.as_str());
    }
}

#[test]
fn wrong_password_and_unknown_user_look_the_same() {
    let mut answers = Vec::new();
    for (username, password, reason) in [
        ("1001", "guess", AuthenticationFailure::WrongPassword),
        ("9999", "guess", AuthenticationFailure::UnknownUser),
    ] {
        let mut ladder = server();
        let challenge = ask(&mut ladder, 1, "X-None: 1", &policy()).unwrap();
        let (_, authorization) = credentials(&challenge, username, password);
        let refused = ask(&mut ladder, 2, &authorization, &policy()).unwrap();
        let told = ladder.event("pbx", |event| match event {
            Event::AuthenticationFailed { reason, username: told, flow, .. } => {
                assert_eq!((told.as_str(), flow.remote.to_string()), (username, "192.0.2.1:5060".to_owned()));
                Some(*reason)
            }
            _ => None,
        });
        assert_eq!(told, reason);
        answers.push(String::from_utf8(refused.bytes().to_vec()).unwrap());
    }
    assert_eq!(answers[0], answers[1], "the same bytes: one seed, one clock");
    assert!(answers[0].starts_with("SIP/2.0 401"));
    assert!(!answers[0].contains("stale=true"));
}

#[test]
fn a_replayed_count_is_refused_and_a_higher_one_is_not() {
    let mut ladder = server();
    let challenge = ask(&mut ladder, 1, "X-None: 1", &policy()).unwrap();
    let (mut client, first) = credentials(&challenge, "1001", "secret");
    assert_eq!(ask(&mut ladder, 2, &first, &policy()), None);
    let replay = ask(&mut ladder, 3, &first, &policy()).unwrap();
    assert_eq!(replay.status(), StatusCode::UNAUTHORIZED);
    assert!(replay.get("WWW-Authenticate").unwrap().contains("stale=true"));
    ladder.event("pbx", |event| {
        matches!(event, Event::AuthenticationFailed { reason: AuthenticationFailure::ReplayedNonceCount, .. })
            .then_some(())
    });
    let second = next(&mut client);
    assert_eq!(ask(&mut ladder, 4, &second, &policy()), None);
    ladder.event("pbx", |event| matches!(event, Event::Authenticated { .. }).then_some(()));
}

#[test]
fn an_old_nonce_is_stale() {
    let mut ladder = server();
    let challenge = ask(&mut ladder, 1, "X-None: 1", &policy()).unwrap();
    let (_, authorization) = credentials(&challenge, "1001", "secret");
    ladder.pass(Duration::from_secs(301));
    let stale = ask(&mut ladder, 2, &authorization, &policy()).unwrap();
    assert!(stale.get("WWW-Authenticate").unwrap().contains("stale=true"));
    let end = ladder.event("pbx", |event| match event {
        Event::RequestEnded { reason: RequestEnd::Challenged { stale }, .. } => Some(*stale),
        _ => None,
    });
    assert!(end);
}

#[test]
fn a_telephone_of_rfc_2069_is_known_once_for_each_nonce() {
    let mut ladder = server();
    let policy = ChallengePolicy { algorithms: vec![Algorithm::Md5], ..policy() };
    let challenge = ask(&mut ladder, 1, "X-None: 1", &policy).unwrap();
    let nonce =
        AuthValue::with_scheme(challenge.get("WWW-Authenticate").unwrap()).get("nonce").unwrap().to_owned();
    // It ignores qop and algorithm.
    let without = format!("Digest realm=\"pbx.example\", nonce=\"{nonce}\"");
    let mut client = ClientAuth::new();
    let own = Credentials { realm: None, username: "1001".to_owned(), secret: Secret::password("secret") };
    client.challenged([without.as_str()].into_iter(), std::iter::empty(), false, &[own]).unwrap();
    let authorization = next(&mut client);
    assert!(!authorization.contains("qop"));
    assert_eq!(ask(&mut ladder, 2, &authorization, &policy), None);
    let again = ask(&mut ladder, 3, &authorization, &policy).unwrap();
    assert!(again.get("WWW-Authenticate").unwrap().contains("stale=true"));
}

#[test]
fn a_store_that_fails_is_answered_500() {
    let mut ladder = server();
    let challenge = ask(&mut ladder, 1, "X-None: 1", &policy()).unwrap();
    let (_, authorization) = credentials(&challenge, "1001", "secret");
    ladder.user("pbx").passwords = None;
    ladder.send("phone", "pbx", &register(2, &authorization));
    ladder.run();
    let (request, _) = ladder.incoming("pbx", Method::Register);
    let now = ladder.now;
    ladder.user("pbx").endpoint.authenticate(request, &policy(), now).unwrap();
    let id = loop {
        match ladder.user("pbx").endpoint.poll_output() {
            Some(Output::Lookup {
                id,
                lookup: Lookup::Credentials { user, algorithm: Algorithm::Sha256, .. },
            }) => {
                assert_eq!(&*user, "1001");
                break id;
            }
            Some(_) => {}
            None => panic!("nobody was asked"),
        }
    };
    ladder.user("pbx").endpoint.handle_input(Input::Provided { id, provided: Provided::Failed }, now);
    ladder.run();
    ladder.received_response("phone", 500);
}

// -- the client's side

/// A server that challenges everything once, by hand.
fn challenge(ladder: &mut Ladder, request: &Request, extra: &str) {
    let header =
        |name: &str| request.get_all(name).map(|value| format!("{name}: {value}\n")).collect::<String>();
    let text = format!(
        "SIP/2.0 407 Proxy Authentication Required\n{}{}{};tag=s\n{}{}{extra}",
        header("Via"),
        header("From"),
        header("To").trim_end(),
        header("Call-ID"),
        header("CSeq"),
    );
    ladder.send("proxy", "alice", &text);
}

fn client() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("proxy", "192.0.2.9:5060");
    ladder
}

fn own(realm: Option<&str>) -> Vec<Credentials> {
    vec![Credentials {
        realm: realm.map(str::to_owned),
        username: "alice".to_owned(),
        secret: Secret::password("wonderland"),
    }]
}

#[test]
fn a_challenged_invite_is_sent_again_with_credentials_and_the_next_sequence_number() {
    let mut ladder = client();
    let mut place = ladder.place("alice", "proxy");
    place.credentials = own(Some("proxy.example"));
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let first = ladder.received_request("proxy", Method::Invite);
    assert!(!first.has("Proxy-Authorization"));
    challenge(
        &mut ladder,
        &first,
        "Proxy-Authenticate: Digest realm=\"proxy.example\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"
         Proxy-Authenticate: Digest realm=\"proxy.example\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"",
    );
    ladder.run();
    let second = ladder.received_request("proxy", Method::Invite);
    let value = AuthValue::with_scheme(second.get("Proxy-Authorization").unwrap());
    assert_eq!(value.get("algorithm"), Some("SHA-256"), "the first that can be met");
    assert_eq!((value.get("nc"), value.get("username")), (Some("00000001"), Some("alice")));
    assert_eq!(second.cseq().unwrap().sequence, first.cseq().unwrap().sequence + 1);
    assert_eq!(second.call_id().unwrap(), first.call_id().unwrap());
    assert_eq!(second.from().unwrap().tag(), first.from().unwrap().tag());
    assert_ne!(second.via().unwrap().branch(), first.via().unwrap().branch());
    assert_eq!(second.body(), first.body());
}

#[test]
fn a_wrong_password_is_not_tried_for_ever() {
    let mut ladder = client();
    let mut place = ladder.place("alice", "proxy");
    place.credentials = own(None);
    let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    for nonce in ["n1", "n2"] {
        let request = ladder.received_request("proxy", Method::Invite);
        let header = format!("Proxy-Authenticate: Digest realm=\"any\", nonce=\"{nonce}\", qop=\"auth\"");
        challenge(&mut ladder, &request, &header);
        ladder.run();
    }
    let end = ladder.end_of("alice", call);
    assert!(
        matches!(end, CallEnd::NotAuthenticated { reason: ChallengeRefusal::AlreadyRefused, .. }),
        "{end:?}"
    );
    ladder.assert_nothing_left();
}

#[test]
fn a_stale_nonce_is_tried_again() {
    let mut ladder = client();
    let mut place = ladder.place("alice", "proxy");
    place.credentials = own(None);
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    for (nonce, stale) in [("n1", ""), ("n2", ", stale=true"), ("n3", ", stale=TRUE")] {
        let request = ladder.received_request("proxy", Method::Invite);
        let header =
            format!("Proxy-Authenticate: Digest realm=\"any\", nonce=\"{nonce}\", qop=\"auth\"{stale}");
        challenge(&mut ladder, &request, &header);
        ladder.run();
    }
    let last = ladder.received_request("proxy", Method::Invite);
    assert_eq!(AuthValue::with_scheme(last.get("Proxy-Authorization").unwrap()).get("nonce"), Some("n3"));
}

/// Class "Auth gaps" of FIELD.md: FreeSWITCH CVE-2021-41158, a digest leaked to anybody who sends 401.
#[test]
fn a_strangers_challenge_is_never_answered() {
    let mut ladder = client();
    let mut place = ladder.place("alice", "proxy");
    place.credentials = own(Some("home.example"));
    let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let request = ladder.received_request("proxy", Method::Invite);
    challenge(
        &mut ladder,
        &request,
        "Proxy-Authenticate: Digest realm=\"evil.example\", nonce=\"n\", qop=\"auth\"",
    );
    ladder.run();
    assert!(
        ladder
            .received("proxy")
            .is_some_and(|message| matches!(message, Message::Request(it) if *it.method() == Method::Ack))
    );
    assert!(ladder.received("proxy").is_none());
    let end = ladder.end_of("alice", call);
    assert!(
        matches!(end, CallEnd::NotAuthenticated { reason: ChallengeRefusal::NoCredentials, .. }),
        "{end:?}"
    );
    ladder.assert_nothing_left();
}

#[test]
fn two_exchanges_authenticate_each_others_requests() {
    let mut ladder = Ladder::alice_and_bob();
    ladder.user("bob").passwords.as_mut().unwrap().insert("alice".to_owned(), "wonderland".to_owned());
    let uri = UriBuf::parse("sip:bob.example").unwrap();
    let party = |name: &str| Party::new(UriBuf::parse(&format!("sip:{name}@bob.example")).unwrap());
    let mut message = SendRequest::new(Method::Message, party("alice"), party("bob"), ladder.target("bob"));
    message.request_uri = uri;
    message.credentials = own(Some("bob.example"));
    message.body = Some(Body::new("text/plain", "hello"));
    let sent = ladder.tell("alice", |endpoint, now| endpoint.send_request(message, now)).unwrap();
    let policy = ChallengePolicy { body: BodyProtection::Required, ..ChallengePolicy::new("bob.example") };
    for _ in 0..2 {
        ladder.run();
        let (request, _) = ladder.incoming("bob", Method::Message);
        ladder.tell("bob", |endpoint, now| endpoint.authenticate(request, &policy, now)).unwrap();
    }
    ladder.run();
    let request = ladder.event("bob", |event| match event {
        Event::Authenticated { request, username, .. } if username == "alice" => Some(*request),
        _ => None,
    });
    let reply = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
    ladder.run();
    let outcome = ladder.event("alice", |event| match event {
        Event::RequestCompleted { outgoing, outcome, round_trip } if *outgoing == sent => {
            assert_eq!(*round_trip, Some(4 * ladder::LATENCY));
            Some(outcome.clone())
        }
        _ => None,
    });
    assert!(matches!(outcome, Outcome::Response(response) if response.status() == StatusCode::OK));
    ladder.assert_nothing_left();
}
