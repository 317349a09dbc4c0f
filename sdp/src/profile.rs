//! The two vocabularies of the `m=` line: kinds of media, and transport profiles (RFC 8866 §5.14).

use core::fmt;

/// What a medium is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// Text (RFC 4103).
    Text,
    /// Data that an application understands.
    Application,
    /// Messages (RFC 4975).
    Message,
    /// Pictures: fax.
    Image,
    /// Something else.
    Other(String),
}

impl Kind {
    /// The kind of that name; case is not minded.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = [Self::Audio, Self::Video, Self::Text, Self::Application, Self::Message, Self::Image];
        known
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Text => "text",
            Self::Application => "application",
            Self::Message => "message",
            Self::Image => "image",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a medium is carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `RTP/AVP`: plain.
    Avp,
    /// `RTP/AVPF`: plain, with early feedback (RFC 4585).
    Avpf,
    /// `RTP/SAVP`: encrypted, keys by SDES (RFC 3711, RFC 4568).
    Savp,
    /// `RTP/SAVPF`: both (RFC 5124).
    Savpf,
    /// `UDP/TLS/RTP/SAVP`: encrypted, keys by DTLS (RFC 5764).
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF`: that, with early feedback.
    DtlsSavpf,
    /// `udptl`: fax over UDP (T.38).
    Udptl,
    /// `UDP/TLS/UDPTL`: fax over DTLS (RFC 7345).
    DtlsUdptl,
    /// `UDP/DTLS/SCTP`: data channels (RFC 8841). `DTLS/SCTP` is understood too.
    DtlsSctp,
    /// Something else.
    Other(String),
}

impl Profile {
    const KNOWN: [(Self, &'static str); 9] = [
        (Self::Avp, "RTP/AVP"),
        (Self::Avpf, "RTP/AVPF"),
        (Self::Savp, "RTP/SAVP"),
        (Self::Savpf, "RTP/SAVPF"),
        (Self::DtlsSavp, "UDP/TLS/RTP/SAVP"),
        (Self::DtlsSavpf, "UDP/TLS/RTP/SAVPF"),
        (Self::Udptl, "udptl"),
        (Self::DtlsUdptl, "UDP/TLS/UDPTL"),
        (Self::DtlsSctp, "UDP/DTLS/SCTP"),
    ];

    /// The profile of that name; case is not minded.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        match known {
            Some((profile, _)) => profile,
            None => Self::Other(text.to_owned()),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => Self::KNOWN.iter().find(|(profile, _)| profile == known).map_or("", |(_, name)| name),
        }
    }

    /// Whether it carries RTP.
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        match self {
            Self::Avp | Self::Avpf | Self::Savp | Self::Savpf | Self::DtlsSavp | Self::DtlsSavpf => true,
            Self::Udptl | Self::DtlsUdptl | Self::DtlsSctp => false,
            Self::Other(text) => text.to_ascii_uppercase().contains("RTP/"),
        }
    }

    /// Whether it promises encryption.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        match self {
            Self::Savp | Self::Savpf => true,
            known => known.is_dtls(),
        }
    }

    /// Whether its keys come from DTLS.
    #[must_use]
    pub fn is_dtls(&self) -> bool {
        matches!(self, Self::DtlsSavp | Self::DtlsSavpf | Self::DtlsUdptl | Self::DtlsSctp)
    }

    /// Whether it has early feedback.
    #[must_use]
    pub fn has_feedback(&self) -> bool {
        matches!(self, Self::Avpf | Self::Savpf | Self::DtlsSavpf)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Profile::parse("rtp/avp"), Profile::Avp);
        assert_eq!(Profile::parse("UDPTL"), Profile::Udptl);
        assert_eq!(Profile::parse("TCP/TLS/RTP/SAVP").as_str(), "TCP/TLS/RTP/SAVP");
        assert!(Profile::parse("TCP/RTP/AVP").is_rtp());
        for (profile, name) in Profile::KNOWN {
            assert_eq!(profile.as_str(), name);
            assert_eq!(Profile::parse(name), profile);
        }
        assert_eq!(Kind::parse("AUDIO"), Kind::Audio);
        assert_eq!(Kind::parse("haptics").as_str(), "haptics");
    }
}
