//! Recognising the tools that look for victims, by the names they give themselves.
//!
//! Names only: whoever hides his is caught by what he does. Names of honest test tools are kept apart, since an operator
//! may well run them against his own exchange.

/// A tool that announces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scanner {
    /// Made, or used by nearly all, to find and break into exchanges.
    Hostile(&'static str),
    /// Made for testing, and used for scanning as well.
    Tester(&'static str),
}

/// Looks for a known tool in the value of `User-Agent` or `Server`. Case does not matter.
pub fn recognise(user_agent: &str) -> Option<Scanner> {
    let found = |names: &'static [&'static str]| {
        names.iter().copied().find(|name| contains_ignoring_case(user_agent.as_bytes(), name.as_bytes()))
    };
    found(HOSTILE).map(Scanner::Hostile).or_else(|| found(TESTERS).map(Scanner::Tester))
}

fn contains_ignoring_case(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
}

const HOSTILE: &[&str] = &[
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "pplsip",
    "sipcli",
    "sip-scan",
    "sipscan",
    "siparmyknife",
    "sundayddr",
];

const TESTERS: &[&str] = &["sipsak", "sipp/"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_wild() {
        assert_eq!(recognise("friendly-scanner"), Some(Scanner::Hostile("friendly-scanner")));
        assert_eq!(recognise("PPLSIP 1.0"), Some(Scanner::Hostile("pplsip")));
        assert_eq!(recognise("sipsak 0.9.8.1"), Some(Scanner::Tester("sipsak")));
    }

    #[test]
    fn phones_are_no_scanners() {
        for phone in [
            "Grandstream HT801 1.0.47.4",
            "baresip v1.0.0 (x86_64/linux)",
            "Linphone/5.1.65",
            "snomD315/8.9.3.80",
            "MicroSIP/3.21.3",
            "Yealink SIP-T46S 66.85.0.5",
            "",
        ] {
            assert_eq!(recognise(phone), None, "{phone}");
        }
    }
}
