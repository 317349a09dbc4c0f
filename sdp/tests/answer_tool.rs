//! The tool of `examples/answer.rs`, on what an operator has: files, messages, and pieces of logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../examples/answer.rs"]
mod answer;

use answer::{Outcome, description, run};

fn on(file: &str, options: &[&str]) -> Outcome {
    let file = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    run(std::iter::once(file).chain(options.iter().map(|option| (*option).to_owned())))
}

#[test]
fn an_answer_or_a_sentence_is_printed() {
    let Outcome::Answer(answer) = on("peers/baresip-codecs.sdp", &["--codecs", "G722, pcma"]) else {
        panic!()
    };
    assert!(answer.contains("m=audio 40000 RTP/AVP 9 8 101\r\n"), "{answer}");
    let Outcome::Answer(answer) = on("peers/linphone-srtp.sdp", &["--encryption", "required"]) else {
        panic!()
    };
    assert!(answer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "), "{answer}");
    assert_eq!(
        on("peers/linphone-srtp.sdp", &[]),
        Outcome::Refusal("the other side requires encrypted audio, and this side does not encrypt".into())
    );
    assert_eq!(
        on("peers/sipp.sdp", &["--codecs", "G729,opus"]),
        Outcome::Refusal(
            "no common audio codec: the other side offers PCMU, this side has G729 and opus".into()
        )
    );
    let Outcome::Answer(answer) = on("peers/chromium-offer.sdp", &["--encryption", "offered"]) else {
        panic!()
    };
    assert!(answer.contains("a=setup:active\r\n") && answer.contains("m=video 0 "), "{answer}");
}

#[test]
fn codecs_may_be_written_as_in_a_description() {
    // Telephone events are implied, and no mistake.
    let spelled = ["--codecs", "g722/8000, PCMA/8000/1,telephone-event/8000"];
    assert_eq!(
        on("peers/baresip-codecs.sdp", &spelled),
        on("peers/baresip-codecs.sdp", &["--codecs", "G722,PCMA"])
    );
    assert!(matches!(on("peers/sipp.sdp", &["--codecs", "PCMU/16000"]), Outcome::Usage(_)));
}

#[test]
fn wrong_words_are_named() {
    for options in
        [&["--codecs", "X"][..], &["--codecs"], &["--encryption", "maybe"], &["--what"], &["second"]]
    {
        assert!(matches!(on("peers/sipp.sdp", options), Outcome::Usage(_)), "{options:?}");
    }
    assert!(matches!(on("peers/none.sdp", &[]), Outcome::Usage(_)));
    assert!(matches!(run(std::iter::empty()), Outcome::Usage(_)));
}

#[test]
fn a_description_is_found_in_a_message_and_in_a_log() {
    let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
    let message = [b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n".as_slice(), body].concat();
    assert_eq!(description(&message), body);
    let log = b"12:00 received:\n    v=0\n    o=- 1 1 IN IP4 192.0.2.1\n12:01 sent 488\n";
    assert_eq!(description(log), b"v=0\no=- 1 1 IN IP4 192.0.2.1\n");
    assert_eq!(description(body), body);
    assert_eq!(description(b"garbage"), b"garbage");
}
