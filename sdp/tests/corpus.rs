//! Every description printed in an RFC, and every one captured from a peer: read, written back, and read again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use denwa_sdp::{Description, ErrorKind, ParseError, ParseOptions};

/// What the RFCs print that no reader can take: templates and gaps for numbers, and ports that do not exist.
const UNREADABLE: &[(&str, u32, ErrorKind)] = &[
    ("12.2-template-1-offer.sdp", 10, ErrorKind::NotANumber),
    ("12.2-template-2-answer.sdp", 10, ErrorKind::NotANumber),
    ("rfc5245-L4599.sdp", 8, ErrorKind::NotANumber),
    ("rfc5245-L4655.sdp", 8, ErrorKind::NotANumber),
    ("rfc6314-L1714.sdp", 5, ErrorKind::NotANumber),
    ("rfc6314-L1892.sdp", 5, ErrorKind::NotANumber),
    ("rfc6314-L2471.sdp", 7, ErrorKind::NotANumber),
    ("rfc6314-L2532.sdp", 6, ErrorKind::NotANumber),
    ("rfc6314-L2639.sdp", 7, ErrorKind::NotANumber),
    ("rfc6314-L2657.sdp", 7, ErrorKind::NotANumber),
    ("rfc6314-L2939.sdp", 5, ErrorKind::NotANumber),
    ("rfc6871-L849.sdp", 12, ErrorKind::OutOfRange),
    ("rfc7006-L257.sdp", 12, ErrorKind::OutOfRange),
    ("rfc8859-L2896.sdp", 9, ErrorKind::MissingField),
    ("rfc8859-L2919.sdp", 13, ErrorKind::OutOfRange),
];

/// Some files are pieces of a description.
fn read(bytes: &[u8]) -> Result<Description<'_>, ParseError> {
    let fragment = ParseOptions { fragment: true, ..ParseOptions::default() };
    Description::parse(bytes).or_else(|_| Description::parse_with(bytes, &fragment))
}

#[test]
fn descriptions_of_the_rfcs_are_read_and_written_back() {
    let Some(folder) = common::shared("vectors/sdp") else { return };
    let files = common::files(&folder, "sdp");
    assert!(files.len() > 300, "{} files", files.len());
    let mut refused = Vec::new();
    for (name, bytes) in &files {
        match read(bytes) {
            Ok(description) => {
                assert_eq!(description.to_bytes(), *bytes, "{name}");
                let lines: Vec<&str> = description.lines().map(|line| line.as_str()).collect();
                assert_eq!(lines.join("\r\n") + "\r\n", String::from_utf8_lossy(bytes), "{name}");
            }
            Err(error) => refused.push((name.rsplit('/').next().unwrap().to_owned(), error.line, error.kind)),
        }
    }
    refused.sort_by(|a, b| a.0.cmp(&b.0));
    let expected: Vec<_> =
        UNREADABLE.iter().map(|(name, line, kind)| ((*name).to_owned(), *line, *kind)).collect();
    assert_eq!(refused, expected);
}

#[test]
fn typed_attributes_of_the_rfcs_are_written_as_they_were_read() {
    let Some(folder) = common::shared("vectors/sdp") else { return };
    let (mut same, mut other, mut faults) = (0, Vec::new(), Vec::new());
    for (name, bytes) in common::files(&folder, "sdp") {
        let Ok(description) = read(&bytes) else { continue };
        let media: Vec<_> = description.media().collect();
        let all = description.attributes().chain(media.iter().flat_map(|medium| medium.attributes()));
        for line in all {
            let text = line.line().value();
            match line.typed() {
                Ok(attribute) if attribute.to_string() == text => same += 1,
                Ok(attribute) => other.push(format!("{name}: {text} became {attribute}")),
                Err(error) => faults.push(format!("{name}: {text}: {error}")),
            }
        }
    }
    assert!(same > 1_800, "{same} attributes");
    // A clock rate that is not said is 8000, and a space before a value is not written back.
    let known = |text: &&String| !text.contains("rtpmap:") && !text.contains("fingerprint: ");
    assert_eq!(other.iter().filter(known).collect::<Vec<_>>(), Vec::<&String>::new());
    // A tag left out, a line broken in the middle, and a password too short: misprints.
    assert_eq!(faults.len(), 4, "{faults:#?}");
}

#[test]
fn captured_descriptions_are_read_and_written_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = common::files(&folder, "sdp");
    assert!(files.len() >= 20, "{} files", files.len());
    for (name, bytes) in &files {
        let description = Description::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(description.to_bytes(), *bytes, "{name}");
        assert_eq!(description.leniencies(), [], "{name}");
        for medium in description.media() {
            for attribute in medium.attributes() {
                attribute.typed().unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}
