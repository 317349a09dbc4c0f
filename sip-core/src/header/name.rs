//! Header names: one table with the compact forms of the IANA registry gives enum, text, parser and test.
//!
//! A name is found through a small table that is computed when the crate is compiled; the cost does not depend on
//! what a peer sends. Names are compared without regard to case (RFC 3261 §7.3.1).

use std::fmt;

macro_rules! header_names {
    ($($variant:ident $text:literal $($compact:literal)?,)*) => {
        /// The name of a header that this crate knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
        }

        impl HeaderName {
            /// Every known name, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The long form as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The one-letter form, for those that have one.
            #[must_use]
            pub const fn compact(self) -> Option<char> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    _ => None,
                }
            }

            const fn from_compact(letter: u8) -> Option<Self> {
                match letter as char {
                    $($($compact => Some(Self::$variant),)?)*
                    _ => None,
                }
            }
        }
    };
}

header_names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" 'a',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AcceptResourcePriority "Accept-Resource-Priority",
    AdditionalIdentity "Additional-Identity",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" 'u',
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" 'i',
    CallInfo "Call-Info",
    Contact "Contact" 'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" 'e',
    ContentId "Content-ID",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" 'l',
    ContentType "Content-Type" 'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    Encryption "Encryption",
    ErrorInfo "Error-Info",
    Event "Event" 'o',
    Expires "Expires",
    FeatureCaps "Feature-Caps",
    FlowTimer "Flow-Timer",
    From "From" 'f',
    Geolocation "Geolocation",
    GeolocationError "Geolocation-Error",
    GeolocationRouting "Geolocation-Routing",
    Hide "Hide",
    HistoryInfo "History-Info",
    Identity "Identity" 'y',
    IdentityInfo "Identity-Info" 'n',
    InReplyTo "In-Reply-To",
    InfoPackage "Info-Package",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAnswerState "P-Answer-State",
    PAssertedIdentity "P-Asserted-Identity",
    PAssertedService "P-Asserted-Service",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PChargingFunctionAddresses "P-Charging-Function-Addresses",
    PChargingVector "P-Charging-Vector",
    PDcsBillingInfo "P-DCS-Billing-Info",
    PEarlyMedia "P-Early-Media",
    PMediaAuthorization "P-Media-Authorization",
    PPreferredIdentity "P-Preferred-Identity",
    PPreferredService "P-Preferred-Service",
    PProfileKey "P-Profile-Key",
    PServedUser "P-Served-User",
    PUserDatabase "P-User-Database",
    PVisitedNetworkId "P-Visited-Network-ID",
    Path "Path",
    PermissionMissing "Permission-Missing",
    PolicyContact "Policy-Contact",
    PolicyId "Policy-ID",
    Priority "Priority",
    PriorityShare "Priority-Share",
    PrivAnswerMode "Priv-Answer-Mode",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    ReasonPhrase "Reason-Phrase",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferEventsAt "Refer-Events-At",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" 'r',
    ReferredBy "Referred-By" 'b',
    RejectContact "Reject-Contact" 'j',
    RelayedCharge "Relayed-Charge",
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" 'd',
    Require "Require",
    ResourcePriority "Resource-Priority",
    ResourceShare "Resource-Share",
    ResponseKey "Response-Key",
    ResponseSource "Response-Source",
    RestorationInfo "Restoration-Info",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    Server "Server",
    ServiceInteractInfo "Service-Interact-Info",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" 'x',
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" 's',
    SubscriptionState "Subscription-State",
    Supported "Supported" 'k',
    SuppressIfMatch "Suppress-If-Match",
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" 't',
    TriggerConsent "Trigger-Consent",
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" 'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl HeaderName {
    /// The known header with this name, long or compact, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::from_bytes(name.as_bytes())
    }

    /// As [`HeaderName::parse`].
    #[inline]
    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        if let [letter] = name {
            return Self::from_compact(letter.to_ascii_lowercase());
        }
        let mut slot = hash(name);
        loop {
            // An index of 255 marks an empty slot; the table is never full, so the walk ends.
            let index = *SLOTS.get(slot)?;
            if is_same(NAMES.get(usize::from(index))?, name) {
                return Self::ALL.get(usize::from(index)).copied();
            }
            slot = (slot.wrapping_add(1)) & (SLOT_COUNT - 1);
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A known header name or the text of another one.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// One from the table.
    Known(HeaderName),
    /// Any other, as it was written.
    Other(&'a str),
}

impl<'a> Name<'a> {
    /// The name as it is written in a message made here: the long form of a known one.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Known(name) => name.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl From<HeaderName> for Name<'_> {
    fn from(name: HeaderName) -> Self {
        Self::Known(name)
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        HeaderName::parse(text).map_or(Self::Other(text), Self::Known)
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => a == b,
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

impl Eq for Name<'_> {}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The names by index, for comparison without a jump through a table of cases.
static NAMES: [&[u8]; HeaderName::ALL.len()] = {
    let mut names: [&[u8]; HeaderName::ALL.len()] = [&[]; HeaderName::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = HeaderName::ALL[index].as_str().as_bytes();
        index += 1;
    }
    names
};

/// Whether a token is the known name, without regard to case. Known names are of letters and hyphens; setting the bit
/// that tells lower case maps no other character of a token onto one of those.
///
/// Eight octets at a time: all but `To`, `From`, `Via` and a dozen others are that long, and the last eight may overlap.
#[inline]
fn is_same(known: &[u8], name: &[u8]) -> bool {
    if known.len() != name.len() {
        return false;
    }
    let (Some(known_last), Some(name_last)) = (known.last_chunk::<8>(), name.last_chunk::<8>()) else {
        return known.iter().zip(name).fold(0, |odd, (a, b)| odd | ((a ^ b) & !0x20)) == 0;
    };
    let differ =
        |a: [u8; 8], b: [u8; 8]| (u64::from_ne_bytes(a) ^ u64::from_ne_bytes(b)) & !0x2020_2020_2020_2020;
    let (known_words, name_words) = (known.as_chunks::<8>().0, name.as_chunks::<8>().0);
    let odd = known_words.iter().zip(name_words).fold(0, |odd, (a, b)| odd | differ(*a, *b));
    odd | differ(*known_last, *name_last) == 0
}

const SLOT_COUNT: usize = 512;
const EMPTY: u8 = 255;

/// Length and three letters decide the slot. What a peer sends cannot lengthen the walk: the table is fixed.
#[inline]
const fn hash(name: &[u8]) -> usize {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let middle = match name.split_at_checked(name.len() / 2) {
        Some((_, [middle, ..])) => *middle,
        _ => 0,
    };
    let mixed =
        ((*first | 0x20) as u32) << 24 ^ ((*last | 0x20) as u32) << 16 ^ ((middle | 0x20) as u32) << 8;
    // Multiplicative hashing: the upper bits of the product depend on all of the key.
    ((mixed ^ name.len() as u32).wrapping_mul(0x9e37_79b1) >> (32 - SLOT_COUNT.trailing_zeros())) as usize
}

static SLOTS: [u8; SLOT_COUNT] = {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut index = 0;
    while index < HeaderName::ALL.len() {
        let mut slot = hash(HeaderName::ALL[index].as_str().as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) & (SLOT_COUNT - 1);
        }
        slots[slot] = index as u8;
        index += 1;
    }
    slots
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case_and_compactly() {
        for &name in HeaderName::ALL {
            assert_eq!(HeaderName::parse(name.as_str()), Some(name));
            assert_eq!(HeaderName::parse(&name.as_str().to_lowercase()), Some(name));
            assert_eq!(HeaderName::parse(&name.as_str().to_uppercase()), Some(name));
            if let Some(letter) = name.compact() {
                assert_eq!(HeaderName::parse(&letter.to_string()), Some(name));
                assert_eq!(HeaderName::parse(&letter.to_uppercase().to_string()), Some(name));
            }
        }
    }

    #[test]
    fn other_names_are_compared_without_case() {
        assert_eq!(HeaderName::parse("X-Thing"), None);
        assert_eq!(HeaderName::parse(""), None);
        assert_eq!(HeaderName::parse("z"), None);
        assert_eq!(Name::from("x-thing"), Name::from("X-THING"));
        assert_ne!(Name::from("x-thing"), Name::from("Via"));
        assert_eq!(Name::from("v"), Name::from(HeaderName::Via));
    }

    #[test]
    fn no_walk_is_long() {
        for &name in HeaderName::ALL {
            let home = hash(name.as_str().as_bytes());
            let steps = (0..SLOT_COUNT).find(|step| SLOTS[(home + step) % SLOT_COUNT] == name as u8).unwrap();
            assert!(steps <= 6, "{name}: {steps}");
        }
    }
}
