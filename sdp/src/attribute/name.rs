//! The one table of attribute names this crate knows: enum, text and parser come from it. What each value means
//! is in the sibling files.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

macro_rules! attribute_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// The name of an attribute.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum AttributeName {
            /// A name this crate does not know; the text of the line has it.
            Other,
            $($(#[$doc])* #[doc = concat!("`a=", $text, "`.")] $variant,)+
        }

        const NAMES: &[(AttributeName, &str)] =
            &[(AttributeName::Other, ""), $((AttributeName::$variant, $text),)+];
    };
}

attribute_names! {
    RtpMap = "rtpmap",
    Fmtp = "fmtp",
    Ptime = "ptime",
    MaxPtime = "maxptime",
    SendRecv = "sendrecv",
    SendOnly = "sendonly",
    RecvOnly = "recvonly",
    Inactive = "inactive",
    Rtcp = "rtcp",
    RtcpMux = "rtcp-mux",
    RtcpMuxOnly = "rtcp-mux-only",
    RtcpRsize = "rtcp-rsize",
    RtcpFb = "rtcp-fb",
    ExtMap = "extmap",
    ExtMapAllowMixed = "extmap-allow-mixed",
    Ssrc = "ssrc",
    SsrcGroup = "ssrc-group",
    Crypto = "crypto",
    Fingerprint = "fingerprint",
    Setup = "setup",
    Connection = "connection",
    TlsId = "tls-id",
    Candidate = "candidate",
    RemoteCandidates = "remote-candidates",
    EndOfCandidates = "end-of-candidates",
    IceUfrag = "ice-ufrag",
    IcePwd = "ice-pwd",
    IceOptions = "ice-options",
    IceLite = "ice-lite",
    IceMismatch = "ice-mismatch",
    IcePacing = "ice-pacing",
    Group = "group",
    Mid = "mid",
    BundleOnly = "bundle-only",
    Msid = "msid",
    MsidSemantic = "msid-semantic",
    Label = "label",
    Content = "content",
    T38FaxVersion = "T38FaxVersion",
    T38MaxBitRate = "T38MaxBitRate",
    T38FaxFillBitRemoval = "T38FaxFillBitRemoval",
    T38FaxTranscodingMmr = "T38FaxTranscodingMMR",
    T38FaxTranscodingJbig = "T38FaxTranscodingJBIG",
    T38FaxRateManagement = "T38FaxRateManagement",
    T38FaxMaxBuffer = "T38FaxMaxBuffer",
    T38FaxMaxDatagram = "T38FaxMaxDatagram",
    T38FaxMaxIfp = "T38FaxMaxIFP",
    T38FaxUdpEc = "T38FaxUdpEC",
    T38FaxUdpEcDepth = "T38FaxUdpECDepth",
    T38FaxUdpFecMaxSpan = "T38FaxUdpFECMaxSpan",
    T38ModemType = "T38ModemType",
    T38VendorInfo = "T38VendorInfo",
    SilenceSupp = "silenceSupp",
    SctpPort = "sctp-port",
    SctpMap = "sctpmap",
    MaxMessageSize = "max-message-size",
    Rid = "rid",
    Simulcast = "simulcast",
    FrameRate = "framerate",
    Quality = "quality",
    Orient = "orient",
    Kind = "type",
    Charset = "charset",
    SdpLanguage = "sdplang",
    Language = "lang",
    Category = "cat",
    Keywords = "keywds",
    Tool = "tool",
}

impl AttributeName {
    /// The name as it is written; empty for [`Self::Other`].
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, text)| text)
    }

    /// The name that `text` is. Case counts (RFC 8866 §9), but where nothing else has the name, another case is
    /// understood: fax gateways do not agree on theirs.
    #[inline]
    pub fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (Some(first), Some(middle), Some(last)) =
            (bytes.first(), bytes.get(bytes.len() / 2), bytes.last())
        else {
            return Self::Other;
        };
        let index = TABLE.get(slot(bytes.len(), *first, *middle, *last)).copied().unwrap_or(0);
        if let Some((name, known)) = NAMES.get(usize::from(index))
            && *known == text
        {
            return *name;
        }
        if bytes.iter().any(u8::is_ascii_uppercase) { Self::parse_any_case(text) } else { Self::Other }
    }

    #[cold]
    fn parse_any_case(text: &str) -> Self {
        NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(text))
            .map_or(Self::Other, |(name, _)| *name)
    }
}

// A perfect hash, made and checked at compile time: the length and three bytes tell all known names apart.

const SLOTS: usize = 256;

#[inline]
const fn slot(length: usize, first: u8, middle: u8, last: u8) -> usize {
    length
        .wrapping_mul(109)
        .wrapping_add((first as usize).wrapping_mul(37))
        .wrapping_add((last as usize).wrapping_mul(180))
        .wrapping_add((middle as usize).wrapping_mul(3))
        % SLOTS
}

// Runs in the compiler only, where an index out of range is a compile error.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]
const TABLE: [u8; SLOTS] = {
    let mut table = [0; SLOTS];
    let mut index = 1;
    while index < NAMES.len() {
        let name = NAMES[index].1.as_bytes();
        let at = slot(name.len(), name[0], name[name.len() / 2], name[name.len() - 1]);
        assert!(table[at] == 0, "two attribute names meet in one slot: choose other multipliers");
        table[at] = index as u8;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (name, text) in NAMES.iter().skip(1) {
            assert_eq!(AttributeName::parse(text), *name);
            assert_eq!(AttributeName::parse(&text.to_ascii_uppercase()), *name);
            assert_eq!(name.as_str(), *text);
        }
        for text in ["", "x", "rtpma", "rtpmapx", "X-nat", "sendrecw", "é"] {
            assert_eq!(AttributeName::parse(text), AttributeName::Other);
        }
    }
}
