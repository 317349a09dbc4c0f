//! Request methods: one table gives the enum, the text and the parser. Methods are case-sensitive (RFC 3261 §7.1).

use std::fmt;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A request method.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// Any other token.
            Other(Box<str>),
        }

        impl Method {
            /// Every method that has a name here.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)*];

            /// The method as written on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// The method with this text; any token is one. `None` if the text is not a token.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ if super::class::is_token(text) => Some(Self::Other(text.into())),
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// RFC 3261 §17.1.1.3.
    Ack = "ACK",
    /// RFC 3261 §15.
    Bye = "BYE",
    /// RFC 3261 §9.
    Cancel = "CANCEL",
    /// RFC 6086.
    Info = "INFO",
    /// RFC 3261 §13.
    Invite = "INVITE",
    /// RFC 3428.
    Message = "MESSAGE",
    /// RFC 6665.
    Notify = "NOTIFY",
    /// RFC 3261 §11.
    Options = "OPTIONS",
    /// RFC 3262.
    Prack = "PRACK",
    /// RFC 3903.
    Publish = "PUBLISH",
    /// RFC 3515.
    Refer = "REFER",
    /// RFC 3261 §10.
    Register = "REGISTER",
    /// RFC 6665.
    Subscribe = "SUBSCRIBE",
    /// RFC 3311.
    Update = "UPDATE",
}

impl std::str::FromStr for Method {
    type Err = crate::error::ParseError;

    /// As [`Method::parse`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(crate::error::ParseError::new(0, crate::error::Problem::Expected("a method")))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_back() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str()).as_ref(), Some(method));
        }
    }

    #[test]
    fn case_matters_and_tokens_pass() {
        assert_eq!(Method::parse("invite"), Some(Method::Other("invite".into())));
        assert_eq!(Method::parse("!interesting-Method0123456789_*+`.%indeed'~").unwrap().as_str().len(), 43);
        assert_eq!(Method::parse("IN VITE"), None);
        assert_eq!(Method::parse(""), None);
    }
}
