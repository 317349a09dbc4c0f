//! What cannot be understood is an error value with a line and a column; what can, and should not be, is noted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sdp::*;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

fn fault(text: &str) -> (u32, u32, ErrorKind) {
    let error = Description::parse(text.as_bytes()).expect_err(text);
    assert!(error.to_string().contains("expected"), "{error}");
    (error.line, error.column, error.kind)
}

#[test]
fn every_fault_has_a_line_and_a_column() {
    let medium = |value: &str| fault(&format!("{HEAD}m={value}\r\n"));
    assert_eq!(medium("audio RTP/AVP 0"), (6, 9, ErrorKind::NotANumber), "no port");
    assert_eq!(medium("audio"), (6, 8, ErrorKind::MissingField));
    assert_eq!(medium("audio 65536 RTP/AVP 0"), (6, 9, ErrorKind::OutOfRange));
    assert_eq!(medium("audio -1 RTP/AVP 0"), (6, 9, ErrorKind::OutOfRange));
    assert_eq!(medium("audio 99999999999999999999 RTP/AVP 0"), (6, 9, ErrorKind::OutOfRange));
    assert_eq!(medium("audio 5000/0 RTP/AVP 0"), (6, 14, ErrorKind::OutOfRange));
    assert_eq!(medium("audio 5000/x RTP/AVP 0"), (6, 14, ErrorKind::NotANumber));
    assert_eq!(medium("audio 5000"), (6, 13, ErrorKind::MissingField));
    assert_eq!(medium("au\"dio 5000 RTP/AVP 0"), (6, 3, ErrorKind::Unexpected));
    assert_eq!(medium("audio 5000 RTP//AVP 0"), (6, 14, ErrorKind::Unexpected));

    let connection = |value: &str| fault(&format!("v=0\r\nc={value}\r\n"));
    assert_eq!(
        connection("IN IP4 233.252.0.1/-1"),
        (2, 22, ErrorKind::OutOfRange),
        "a negative time to live"
    );
    assert_eq!(connection("IN IP4 233.252.0.1/256"), (2, 22, ErrorKind::OutOfRange));
    assert_eq!(connection("IN IP4 233.252.0.1/1/0"), (2, 24, ErrorKind::OutOfRange));
    assert_eq!(connection("IN IP4"), (2, 9, ErrorKind::MissingField));

    assert_eq!(fault("v=0\r\ns=a\0b\r\n"), (2, 4, ErrorKind::Nul));
    assert_eq!(fault("v=0\r\ns=a\rb\r\n"), (2, 4, ErrorKind::LoneCarriageReturn));
    assert_eq!(fault("v=0\r\ns=a\r\r\n"), (2, 4, ErrorKind::LoneCarriageReturn));
    assert_eq!(fault("v=0\r"), (1, 4, ErrorKind::LoneCarriageReturn));
    assert_eq!(fault("v=0\r\nhello\r\n"), (2, 1, ErrorKind::NotALine));
    assert_eq!(fault("v=0\r\n=\r\n"), (2, 1, ErrorKind::NotALine));
    assert_eq!(fault("v=x\r\n"), (1, 3, ErrorKind::NotANumber));
    assert_eq!(fault("o=- 1 1 IN IP4 192.0.2.1\r\n"), (1, 0, ErrorKind::MissingLine));
    assert_eq!(fault(""), (0, 0, ErrorKind::Empty));

    let twice = format!("{HEAD}m=audio 1 RTP/AVP 0\r\na=mid:a\r\nm=audio 2 RTP/AVP 0\r\na=mid:a\r\n");
    assert_eq!(fault(&twice), (9, 7, ErrorKind::Duplicate));
    let twice = format!("{HEAD}m=audio 1 RTP/AVP 0\r\na=mid:a\r\na=mid:b\r\n");
    assert_eq!(fault(&twice), (8, 7, ErrorKind::Duplicate));
}

#[test]
fn attributes_that_cannot_be_read_are_faults_of_their_own() {
    let bad = [
        ("a=rtpmap:128 X/8000", 10, ErrorKind::OutOfRange),
        ("a=rtpmap:96 X/-1", 15, ErrorKind::OutOfRange),
        ("a=ptime:x", 9, ErrorKind::NotANumber),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 nothing", 36, ErrorKind::Unexpected),
        ("a=candidate:1 1 UDP 1 192.0.2.1 65536 typ host", 33, ErrorKind::OutOfRange),
        ("a=fingerprint:sha-256 AA:B", 23, ErrorKind::Unexpected),
        ("a=ssrc:4294967296 cname:x", 8, ErrorKind::OutOfRange),
        ("a=extmap:0 urn:x", 10, ErrorKind::OutOfRange),
        ("a=rtcp:65536", 8, ErrorKind::OutOfRange),
        ("a=T38FaxVersion:x", 17, ErrorKind::NotANumber),
    ];
    for (line, column, kind) in bad {
        let text = format!("{HEAD}m=audio 1 RTP/AVP 0\r\n{line}\r\n");
        let description = Description::parse(text.as_bytes()).unwrap();
        let medium = description.medium(0).unwrap();
        let error = medium.attributes().next().unwrap().typed().expect_err(line);
        assert_eq!((error.line, error.column, error.kind), (7, column, kind), "{line}");
        // A strict reader says the same of the whole; a negotiation goes on without it and says so.
        let strict = ParseOptions { strict: true, ..ParseOptions::default() };
        assert_eq!(Description::parse_with(text.as_bytes(), &strict), Err(error), "{line}");
        assert_eq!(RemoteDescription::read(&description).ignored, [error], "{line}");
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_costs_anything() {
    let small = Limits { bytes: 400, lines: 12, media: 2, attributes: 3, formats: 4 };
    let read = |text: &str| {
        let options = ParseOptions { limits: small, ..ParseOptions::default() };
        Description::parse_with(text.as_bytes(), &options)
            .map(|_| ())
            .map_err(|error| (error.line, error.kind))
    };
    let medium = "m=audio 1 RTP/AVP 0\r\n";
    let fits = format!("{HEAD}{medium}a=x\r\na=x\r\na=x\r\n{medium}a=x\r\n");
    assert_eq!(read(&fits), Ok(()));
    assert_eq!(read(&format!("{HEAD}{}", "x".repeat(400))), Err((0, ErrorKind::TooManyBytes)));
    assert_eq!(read(&format!("{HEAD}{}", "b=X:1\r\n".repeat(8))), Err((13, ErrorKind::TooManyLines)));
    assert_eq!(read(&format!("{HEAD}{}", "\r\n".repeat(8))), Err((13, ErrorKind::TooManyLines)));
    assert_eq!(read(&format!("{HEAD}{}", "b=X:1\r\n".repeat(7))), Ok(()));
    assert_eq!(read(&format!("{HEAD}{}", medium.repeat(3))), Err((8, ErrorKind::TooManyMedia)));
    assert_eq!(
        read(&format!("{HEAD}{medium}{}", "a=x\r\n".repeat(4))),
        Err((10, ErrorKind::TooManyAttributes))
    );
    assert_eq!(read(&format!("{HEAD}{}", "a=x\r\n".repeat(4))), Err((9, ErrorKind::TooManyAttributes)));
    assert_eq!(read(&format!("{HEAD}m=audio 1 RTP/AVP 0 1 2 3 4\r\n")), Err((6, ErrorKind::TooManyFormats)));
    // A negotiation keeps to the limits of its capability.
    let mut capability = Capability::telephone([Codec::pcmu()]);
    capability.limits = small;
    let mut side =
        Negotiator::new(capability, vec![Transport::audio(([192, 0, 2, 2], 2).into())], Seed([0; 32]));
    let error = side.answer(format!("{HEAD}{}", medium.repeat(3)).as_bytes()).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("line 8"), "{error}");
}

#[test]
fn what_is_forgiven_is_noted_and_refused_by_a_strict_reader() {
    use LeniencyKind::{
        BareLineFeed, BlankLine, EmptySessionName, MissingConnection, MissingOrigin, MissingSessionName,
        MissingStopTime, MissingTiming, NoFinalLineEnd, NoFormat, NotUtf8, OriginNotNumeric, OtherVersion,
        OutOfOrder, RepeatedLine, SpaceInUsername, StraySpace, TimeToLive, UnknownType, Unreadable,
    };
    let medium = "m=audio 1 RTP/AVP 0\r\n";
    let o = "o=- 1 1 IN IP4 192.0.2.1\r\n";
    let c = "c=IN IP4 192.0.2.1\r\n";
    let cases: Vec<(String, u32, LeniencyKind)> = vec![
        (format!("v=0\n{o}s=-\r\n{c}t=0 0\r\n"), 1, BareLineFeed),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0 0"), 5, NoFinalLineEnd),
        (format!("v=0\r\n{o}\r\ns=-\r\n{c}t=0 0\r\n"), 3, BlankLine),
        (format!("v=0\r\n{o}s=\r\n{c}t=0 0\r\n"), 3, EmptySessionName),
        (format!("v=0\r\n{o}s=-\r\nt=0 0\r\n{medium}"), 5, MissingConnection),
        (format!("v=0\r\ns=-\r\n{c}t=0 0\r\n{medium}"), 5, MissingOrigin),
        (format!("v=0\r\n{o}{c}t=0 0\r\n{medium}"), 5, MissingSessionName),
        (format!("v=0\r\n{o}s=-\r\n{c}{medium}"), 5, MissingTiming),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0\r\n"), 5, MissingStopTime),
        (format!("v=0\r\n{o}s=-\r\n{c}t=a b\r\n"), 5, Unreadable),
        (format!("v=0\r\n{o}s=-\r\n{c}b=AS\r\nt=0 0\r\n"), 5, Unreadable),
        (format!("v=0\r\no=- 1\r\ns=-\r\n{c}t=0 0\r\n"), 2, Unreadable),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0 0\r\nm=audio 1 RTP/AVP\r\n"), 6, NoFormat),
        (format!("v=0\r\no=- x 1 IN IP4 192.0.2.1\r\ns=-\r\n{c}t=0 0\r\n"), 2, OriginNotNumeric),
        (format!("v=0\r\no=A B 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{c}t=0 0\r\n"), 2, SpaceInUsername),
        (format!("v=1\r\n{o}s=-\r\n{c}t=0 0\r\n"), 1, OtherVersion),
        (format!("v=0\r\n{o}s=-\r\nt=0 0\r\n{c}"), 5, OutOfOrder),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0 0\r\na=x\r\ni=late\r\n"), 7, OutOfOrder),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0 0\r\n{medium}s=in a medium\r\n"), 7, OutOfOrder),
        (format!("v=0\r\n{o}s=-\r\ns=-\r\n{c}t=0 0\r\n"), 4, RepeatedLine),
        (format!("v=0\r\n{o}s=-\r\n{c}t=0 0\r\nx=y\r\n"), 6, UnknownType),
        (format!("v =0\r\n{o}s=-\r\n{c}t=0 0\r\n"), 1, StraySpace),
        (format!("v=0\r\n{o}s=-\r\nc=IN IP4 233.252.0.1\r\nt=0 0\r\n"), 4, TimeToLive),
        (format!("v=0\r\n{o}s=-\r\nc=IN IP4 192.0.2.1/7\r\nt=0 0\r\n"), 4, TimeToLive),
    ];
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    for (text, line, kind) in &cases {
        let description = Description::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}{error}"));
        assert_eq!(description.leniencies(), [Leniency { line: *line, kind: *kind }], "{text}");
        assert!(!description.leniencies()[0].to_string().is_empty());
        let error = Description::parse_with(text.as_bytes(), &strict).expect_err(text);
        assert_eq!(error.line, *line, "{text}");
        // Of a line that cannot be read a strict reader says what is wrong with it.
        assert!(error.kind == ErrorKind::Strict(*kind) || *kind == Unreadable, "{text}{error}");
    }
    let latin = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=Gespr\xe4ch\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    let description = Description::parse(latin).unwrap();
    assert_eq!(description.leniencies()[0].kind, NotUtf8);
    assert_eq!(description.session_name(), Some("Gespräch"));
    assert_eq!(&*description.to_bytes(), latin);
}

#[test]
fn doubled_spaces_are_understood_and_only_strictly_refused() {
    let text = "v=0\r\no=-  1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN  IP4  192.0.2.1 \r\nt=0 0\r\n\
                m=audio  4000 RTP/AVP  0  8 \r\na=rtpmap:0  PCMU/8000 \r\n";
    let description = Description::parse(text.as_bytes()).unwrap();
    let medium = description.medium(0).unwrap();
    assert_eq!(medium.payload_types().collect::<Vec<_>>(), [0, 8]);
    assert_eq!(medium.connection().unwrap().host.ip(), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(medium.rtpmap(0).unwrap().encoding, "PCMU");
    assert_eq!(description.leniencies(), []);
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    let error = Description::parse_with(text.as_bytes(), &strict).unwrap_err();
    assert_eq!((error.line, error.kind), (2, ErrorKind::Strict(LeniencyKind::StraySpace)));
}

#[test]
fn a_piece_of_a_description_may_be_read_as_such() {
    let piece = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:a\r\n\
                 a=candidate:1 1 UDP 1 192.0.2.1 3478 typ host\r\n";
    assert!(Description::parse(piece.as_bytes()).is_err());
    let options = ParseOptions { fragment: true, ..ParseOptions::default() };
    let description = Description::parse_with(piece.as_bytes(), &options).unwrap();
    assert_eq!(description.medium(0).unwrap().mid(), Some("a"));
    assert_eq!(description.attributes().count(), 2);
}

#[test]
fn a_hostile_body_costs_no_more_than_its_length() {
    // Many payload types, each with many maps and parameters: nothing is multiplied.
    let formats: Vec<String> = (0..128).map(|number| number.to_string()).collect();
    let mut text = format!("{HEAD}m=audio 1 RTP/AVP {}\r\n", formats.join(" "));
    for number in 0..256 {
        text.push_str(&format!(
            "a=rtpmap:{} X{number}/8000\r\na=fmtp:{} a={number}\r\n",
            number % 128,
            number % 128
        ));
    }
    let description = Description::parse(text.as_bytes()).unwrap();
    let read = RemoteDescription::read(&description);
    assert_eq!(read.media[0].formats.len(), 128);
    assert_eq!(read.media[0].formats[0].parameters, "a=0;a=128");
}
