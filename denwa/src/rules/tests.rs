//! What rules do to messages, and what a rule that is wrong is told.

use super::*;
use proptest::prelude::*;

const INVITE: &str = "INVITE sip:200@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1;rport\r\n\
    f: <sip:anonymous@localhost>;tag=1\r\nt: <sip:200@192.0.2.1>\r\nX-Odd: one\r\nX-Odd: two\r\nc: application/sdp\r\n\
    l: 85\r\n\r\nv=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:20\r\n";

fn text(on: &str, at: &str, find: Option<&str>, put: Option<&str>) -> RuleText {
    RuleText {
        on: on.to_owned(),
        at: at.to_owned(),
        find: find.map(str::to_owned),
        put: put.map(str::to_owned),
        remove: put.is_none(),
        ..RuleText::default()
    }
}

fn rewritten(rules: &[RuleText], message: &str) -> Option<String> {
    let rules: Rules = rules.iter().map(|text| Rule::new(text).unwrap()).collect();
    rules.sent(message.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_header_is_found_by_either_of_its_names_and_keeps_its_own() {
    let rule = text("sent", "header From", Some("anonymous@localhost"), Some("1001@pbx.example"));
    let after = rewritten(&[rule], INVITE).unwrap();
    assert_eq!(after, INVITE.replace("anonymous@localhost", "1001@pbx.example"));
}

#[test]
fn headers_are_set_added_and_removed() {
    let set = text("sent", "header X-Odd", None, Some("three"));
    assert_eq!(
        rewritten(&[set], INVITE).unwrap(),
        INVITE.replace("X-Odd: one\r\nX-Odd: two", "X-Odd: three")
    );
    let added = text("sent", "header Privacy", None, Some("id"));
    assert!(rewritten(&[added], INVITE).unwrap().contains("\r\nl: 85\r\nPrivacy: id\r\n\r\nv=0"));
    let one = text("sent", "header x-odd", Some("^one$"), None);
    assert_eq!(rewritten(&[one], INVITE).unwrap(), INVITE.replace("X-Odd: one\r\n", ""));
    let none = text("sent", "header X-Odd", None, None);
    assert!(!rewritten(&[none], INVITE).unwrap().contains("X-Odd"));
    let parameter = text("sent", "header Via", Some(";rport\\b"), Some(""));
    assert_eq!(rewritten(&[parameter], INVITE).unwrap(), INVITE.replace(";rport", ""));
}

#[test]
fn a_description_changes_and_so_does_its_length() {
    let line = text("sent", "sdp", Some("^a=ptime:20$"), Some("a=ptime:30"));
    assert_eq!(rewritten(&[line], INVITE).unwrap(), INVITE.replace("ptime:20", "ptime:30"));
    let gone = text("sent", "sdp", Some("^a=ptime:"), None);
    let added = text("sent", "sdp", None, Some("a=maxptime:20"));
    let after = rewritten(&[gone, added], INVITE).unwrap();
    assert!(
        after.contains("\r\nl: 88\r\n\r\nv=0") && after.ends_with("RTP/AVP 0\r\na=maxptime:20\r\n"),
        "{after}"
    );
    let length = after.split_once("\r\n\r\n").unwrap().1.len();
    assert_eq!(length, 88);
    // Another body is none of theirs.
    let other = INVITE.replace("application/sdp", "text/plain");
    assert_eq!(rewritten(&[text("sent", "sdp", Some("ptime"), Some("x"))], &other), None);
}

#[test]
fn only_the_messages_named_are_touched() {
    let mut rule =
        text("sent", "first line", Some("sip:200@[0-9.]+"), Some("sip:200@example.net;user=phone"));
    rule.messages = vec!["INVITE".to_owned()];
    assert!(
        rewritten(&[rule.clone()], INVITE)
            .unwrap()
            .starts_with("INVITE sip:200@example.net;user=phone SIP/2.0")
    );
    assert_eq!(rewritten(&[rule.clone()], &INVITE.replace("INVITE", "BYE")), None);
    let mut rule = text("sent", "header X-Odd", None, None);
    rule.messages = vec!["18x".to_owned(), "200".to_owned()];
    let response = |line| INVITE.replace("INVITE sip:200@192.0.2.1 SIP/2.0", line);
    assert!(rewritten(&[rule.clone()], &response("SIP/2.0 183 Session Progress")).is_some());
    assert!(rewritten(&[rule.clone()], &response("SIP/2.0 200 OK")).is_some());
    assert!(rewritten(&[rule], &response("SIP/2.0 486 Busy Here")).is_none());
    let received = text("received", "header X-Odd", None, None);
    assert_eq!(rewritten(&[received], INVITE), None);
}

#[test]
fn a_wrong_rule_says_which_key_and_what_was_expected() {
    let failed = |text: RuleText| Rule::new(&text).unwrap_err().to_string();
    assert_eq!(failed(text("out", "sdp", None, None)), "on is \"out\", expected \"sent\" or \"received\"");
    assert_eq!(
        failed(text("sent", "body", None, None)),
        "at is \"body\", expected \"header NAME\", \"first line\" or \"sdp\""
    );
    assert!(failed(text("sent", "header l", None, Some("3"))).contains("holds a message together"));
    assert!(
        failed(text("sent", "header To", Some("("), Some(""))).starts_with("find is no regular expression")
    );
    assert!(
        failed(text("sent", "header To", None, Some("a\r\nEvil: 1"))).starts_with("put expected one line")
    );
    assert!(failed(text("sent", "sdp", None, None)).starts_with("find is missing"));
    let mut rule = text("sent", "header To", Some("1"), Some("2"));
    rule.examples = vec![("11".to_owned(), "21".to_owned())];
    assert_eq!(failed(rule.clone()), "examples do not come true: \"11\" becomes \"22\", not \"21\"");
    rule.examples.clear();
    rule.messages = vec!["invite".to_owned()];
    assert!(failed(rule).starts_with("messages have \"invite\""));
}

#[test]
fn what_a_connection_brings_is_cut_into_messages() {
    let mut messages = Messages::default();
    let stream = format!("\r\n\r\n{INVITE}{INVITE}");
    let (first, second) = stream.split_at(100);
    let mut whole = messages.push(first.as_bytes());
    assert_eq!(whole, [b"\r\n\r\n".to_vec()]);
    whole.extend(messages.push(second.as_bytes()));
    assert_eq!(whole.concat(), stream.as_bytes());
    assert_eq!(whole.len(), 3);
    // What never ends passes in pieces.
    assert_eq!(messages.push(&[b'x'; 70_000]).concat().len(), 70_000);
}

#[test]
fn numbers_are_rewritten_by_first_digits_and_by_expressions() {
    let rules: NumberRules = ["0=+81", "00=+", "9=", "/^7(..)$/=1${1}0"]
        .into_iter()
        .map(|text| NumberRule::parse(text).unwrap())
        .collect();
    for example in ["0312345678=+81312345678", "0044=+44", "9200=200", "9=9", "8=8", "712=1120", "7123=7123"]
    {
        assert_eq!(rules.try_example(example), Ok(()));
    }
    assert_eq!(
        rules.try_example("01=1").unwrap_err().message,
        "do not come true: \"01\" becomes \"+811\", not \"1\""
    );
    for wrong in ["", "0", "a b=1", "1=a b", "/(/=1", "/1=2"] {
        assert!(NumberRule::parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// Whatever comes, it passes whole or is rewritten: nothing panics, and a message that no rule fits stays as it is.
    #[test]
    fn nothing_that_comes_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
        let rules: Rules = [
            text("received", "header From", Some("a"), Some("$0$1${9}")),
            text("received", "sdp", Some("^m="), None),
            text("received", "first line", Some("sip"), Some("tel")),
        ].iter().map(|text| Rule::new(text).unwrap()).collect();
        let _ = rules.received(&bytes);
        let mut message = INVITE.as_bytes().to_vec();
        message.splice(cut.min(message.len())..cut.min(message.len()), bytes.iter().copied());
        let _ = rules.received(&message);
        let mut messages = Messages::default();
        let mut out = messages.push(&message).concat();
        out.extend(messages.push(b"\r\n\r\n").concat());
        prop_assert!(message.starts_with(&out) || out.starts_with(&message));
    }
}
