//! The digest itself: RFC 7616 §3.4, with the forms of RFC 3261 §22.4 and RFC 2069 that old telephones send.
//!
//! Only arithmetic: reading headers is `header::auth`'s, nonces are [`nonce`](super::nonce)'s, and who may do what is
//! the application's.

use super::algorithm::{Algorithm, HexDigest};

/// Protection asked for and given (RFC 7616 §3.4: `qop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// No `qop`: the form of RFC 2069, without client nonce or count.
    Legacy,
    /// `auth`: method and URI.
    Request,
    /// `auth-int`: method, URI and body.
    RequestAndBody,
}

impl Protection {
    /// The token of `qop`; `None` for the form that has none.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Legacy => None,
            Self::Request => Some("auth"),
            Self::RequestAndBody => Some("auth-int"),
        }
    }
}

/// Everything a response digest covers beside HA1. Texts as they stand between the quotes.
#[derive(Clone, Copy, Debug)]
pub struct DigestInput<'a> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Nonce of the challenge.
    pub nonce: &'a str,
    /// Nonce of the client; not covered in [`Protection::Legacy`] unless the algorithm is a `-sess` one.
    pub client_nonce: &'a str,
    /// `nc`, eight hexadecimal digits as sent.
    pub nonce_count: &'a str,
    /// `qop`.
    pub protection: Protection,
    /// Request method, in capitals as on the wire.
    pub method: &'a str,
    /// `uri` as sent in the credentials.
    pub uri: &'a str,
    /// Entity body; covered by `auth-int` only.
    pub body: &'a [u8],
}

impl DigestInput<'_> {
    /// The `response` a client that holds `ha1` (of the plain form, without session mixing) sends.
    #[must_use]
    pub fn response(&self, ha1: &HexDigest) -> HexDigest {
        self.finish(ha1, self.method)
    }

    /// `rspauth` of `Authentication-Info` (RFC 7616 §3.5): the same digest with an empty method, by which the server
    /// shows that it knows the secret too.
    #[must_use]
    pub fn response_of_server(&self, ha1: &HexDigest) -> HexDigest {
        self.finish(ha1, "")
    }

    fn finish(&self, ha1: &HexDigest, method: &str) -> HexDigest {
        let hash = self.algorithm.hash();
        let session;
        let ha1 = if self.algorithm.is_session() {
            session =
                hash.colon_joined(&[ha1.as_bytes(), self.nonce.as_bytes(), self.client_nonce.as_bytes()]);
            &session
        } else {
            ha1
        };
        let ha2 = match self.protection {
            Protection::Legacy | Protection::Request => {
                hash.colon_joined(&[method.as_bytes(), self.uri.as_bytes()])
            }
            Protection::RequestAndBody => {
                let body = hash.colon_joined(&[self.body]);
                hash.colon_joined(&[method.as_bytes(), self.uri.as_bytes(), body.as_bytes()])
            }
        };
        match self.protection.as_str() {
            None => hash.colon_joined(&[ha1.as_bytes(), self.nonce.as_bytes(), ha2.as_bytes()]),
            Some(qop) => hash.colon_joined(&[
                ha1.as_bytes(),
                self.nonce.as_bytes(),
                self.nonce_count.as_bytes(),
                self.client_nonce.as_bytes(),
                qop.as_bytes(),
                ha2.as_bytes(),
            ]),
        }
    }
}

/// `username` when `userhash=true` (RFC 7616 §3.4.4): H(user ":" realm).
#[must_use]
pub fn user_hash(algorithm: Algorithm, username: &str, realm: &str) -> HexDigest {
    algorithm.hash().colon_joined(&[username.as_bytes(), realm.as_bytes()])
}
