//! The one table of attribute names this crate knows: enum, text and parser come from it. What each value means
//! is in the sibling files.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::scan;

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
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, text)| text)
    }

    /// The name that `text` is. Case counts (RFC 8866 §9), but where nothing else has the name, another case is
    /// understood: fax gateways do not agree on theirs.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        match Self::of_words(scan::load(bytes, 0), scan::load(bytes, 8), bytes.len()) {
            Some(name) => name,
            None => Self::parse_odd(text),
        }
    }

    /// The name that is `length` bytes long and begins with these words. `None` for a name that is not known, is longer
    /// than sixteen bytes, or is written in another way.
    #[inline]
    pub(crate) fn of_words(first: u64, second: u64, length: usize) -> Option<Self> {
        let key =
            Key { first: first & low_bytes(length), second: second & low_bytes(length.saturating_sub(8)) };
        let index = TABLE.get(key.slot()).copied().unwrap_or(0);
        let (name, known) = KEYS.get(usize::from(index))?;
        (*known == key && length <= 16 && *name != Self::Other).then_some(*name)
    }

    /// A name that is long, in other letters, or followed by spaces.
    #[inline(never)]
    pub(crate) fn parse_odd(text: &str) -> Self {
        let text = text.trim_ascii_end();
        NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(text))
            .map_or(Self::Other, |(name, _)| *name)
    }
}

/// The bytes of a name, eight in each word, zeros after them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    second: u64,
}

/// As many of the lowest bytes as `count` says; all from 8 on.
#[inline]
const fn low_bytes(count: usize) -> u64 {
    let count = if count < 8 { count as u32 } else { 8 };
    1_u64.unbounded_shl(count.wrapping_mul(8)).wrapping_sub(1)
}

// A perfect hash, made and checked at compile time.

const SLOTS: usize = 256;

impl Key {
    #[inline]
    const fn slot(self) -> usize {
        ((self.first ^ self.second.wrapping_mul(3)).wrapping_mul(0x559d_0d59_67ed_27b3) >> 56) as usize
    }
}

// Run in the compiler only, where an index out of range is a compile error.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const KEYS: [(AttributeName, Key); NAMES.len()] = {
    let mut keys = [(AttributeName::Other, Key { first: 0, second: 0 }); NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        let (name, text) = NAMES[index];
        let bytes = text.as_bytes();
        let mut key = Key { first: 0, second: 0 };
        let mut at = 0;
        while at < bytes.len() && at < 16 {
            if at < 8 {
                key.first |= (bytes[at] as u64) << (8 * at);
            } else {
                key.second |= (bytes[at] as u64) << (8 * (at - 8));
            }
            at += 1;
        }
        keys[index] = (name, key);
        index += 1;
    }
    keys
};

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const TABLE: [u8; SLOTS] = {
    let mut table = [0; SLOTS];
    let mut index = 1;
    while index < NAMES.len() {
        // Longer names are looked for one by one: they are seldom.
        if NAMES[index].1.len() <= 16 {
            let at = KEYS[index].1.slot();
            assert!(table[at] == 0, "two attribute names meet in one slot: choose another multiplier");
            table[at] = index as u8;
        }
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
            assert_eq!(AttributeName::parse(&format!("{text} ")), *name);
            assert_eq!(name.as_str(), *text);
        }
        for text in ["", "x", "rtpma", "rtpmapx", "X-nat", "sendrecw", "é"] {
            assert_eq!(AttributeName::parse(text), AttributeName::Other);
        }
    }
}
