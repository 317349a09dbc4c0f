//! The table of suites: names for SDES (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1), numbers for DTLS-SRTP (RFC 5764
//! §4.1.2, RFC 7714 §14.2), lengths.

/// How the payload is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Counter,
    F8,
    Galois,
    Null,
}

macro_rules! suites {
    ($($(#[$doc:meta])* $name:ident: $sdes:literal, $dtls:expr, $mode:ident, key $key:literal, salt $salt:literal, tag $tag:literal;)*) => {
        /// A protection suite.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Suite { $($(#[$doc])* $name,)* }

        impl Suite {
            /// Every suite, the better ones first.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in a session description.
            #[must_use]
            pub const fn sdes_name(self) -> &'static str { match self { $(Self::$name => $sdes),* } }

            /// Its number in the DTLS extension `use_srtp`; `None` when it has none.
            #[must_use]
            pub const fn dtls_profile(self) -> Option<u16> { match self { $(Self::$name => $dtls),* } }

            /// Octets of the master key.
            #[must_use]
            pub const fn key_length(self) -> usize { match self { $(Self::$name => $key),* } }

            /// Octets of the master salt.
            #[must_use]
            pub const fn salt_length(self) -> usize { match self { $(Self::$name => $salt),* } }

            /// Octets of the tag on RTP.
            #[must_use]
            pub const fn tag_length(self) -> usize { match self { $(Self::$name => $tag),* } }

            pub(super) const fn mode(self) -> Mode { match self { $(Self::$name => Mode::$mode),* } }
        }
    };
}

suites! {
    /// RFC 7714.
    AeadAes256Gcm: "AEAD_AES_256_GCM", Some(0x0008), Galois, key 32, salt 12, tag 16;
    /// RFC 7714.
    AeadAes128Gcm: "AEAD_AES_128_GCM", Some(0x0007), Galois, key 16, salt 12, tag 16;
    /// RFC 6188.
    Aes256CmHmacSha1Tag80: "AES_256_CM_HMAC_SHA1_80", None, Counter, key 32, salt 14, tag 10;
    /// RFC 6188.
    Aes256CmHmacSha1Tag32: "AES_256_CM_HMAC_SHA1_32", None, Counter, key 32, salt 14, tag 4;
    /// RFC 6188.
    Aes192CmHmacSha1Tag80: "AES_192_CM_HMAC_SHA1_80", None, Counter, key 24, salt 14, tag 10;
    /// RFC 6188.
    Aes192CmHmacSha1Tag32: "AES_192_CM_HMAC_SHA1_32", None, Counter, key 24, salt 14, tag 4;
    /// RFC 3711: what every peer has.
    Aes128CmHmacSha1Tag80: "AES_CM_128_HMAC_SHA1_80", Some(0x0001), Counter, key 16, salt 14, tag 10;
    /// RFC 3711; RTCP has the long tag all the same.
    Aes128CmHmacSha1Tag32: "AES_CM_128_HMAC_SHA1_32", Some(0x0002), Counter, key 16, salt 14, tag 4;
    /// RFC 3711 §4.1.2.
    F8Aes128HmacSha1Tag80: "F8_128_HMAC_SHA1_80", None, F8, key 16, salt 14, tag 10;
    /// RFC 3711 §4.1.3: authenticated and readable, for tests. Takes key material like the AES-128 suites.
    NullHmacSha1Tag80: "NULL_HMAC_SHA1_80", Some(0x0005), Null, key 16, salt 14, tag 10;
    /// The same with the short tag on RTP.
    NullHmacSha1Tag32: "NULL_HMAC_SHA1_32", Some(0x0006), Null, key 16, salt 14, tag 4;
}

impl Suite {
    /// The suite of this name, exactly as written in a session description.
    #[must_use]
    pub fn of_sdes_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.sdes_name() == name)
    }

    /// The suite of this DTLS-SRTP profile.
    #[must_use]
    pub fn of_dtls_profile(profile: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.dtls_profile() == Some(profile))
    }

    /// Octets of the tag on RTCP: never the short one.
    #[must_use]
    pub const fn control_tag_length(self) -> usize {
        match self.mode() {
            Mode::Galois => 16,
            Mode::Counter | Mode::F8 | Mode::Null => 10,
        }
    }
}
