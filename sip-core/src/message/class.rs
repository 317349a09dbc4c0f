//! Octet classes of RFC 3261 §25.1 as one table of bits.

pub(crate) const TOKEN: u8 = 1;
/// Characters of a host name, dots and hyphens included.
pub(crate) const HOST: u8 = 2;
/// `user`: unreserved and user-unreserved; `%` is looked at apart.
pub(crate) const USER: u8 = 4;
/// `uri-parameter` characters: unreserved and param-unreserved.
pub(crate) const URI_PARAM: u8 = 8;
/// `header` characters of a URI: unreserved and hnv-unreserved.
pub(crate) const URI_HEADER: u8 = 16;
/// Digits.
pub(crate) const DIGIT: u8 = 32;
/// SP, HTAB and the CR and LF of folding.
pub(crate) const SPACE: u8 = 64;
/// `word` of RFC 3261: Call-ID.
pub(crate) const WORD: u8 = 128;

const fn class(b: u8) -> u8 {
    let alnum = b.is_ascii_alphanumeric();
    let mark = matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
    let mut bits = 0;
    if alnum || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
        bits |= TOKEN | WORD;
    }
    if matches!(b, b'(' | b')' | b'<' | b'>' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'{' | b'}')
    {
        bits |= WORD;
    }
    if alnum || matches!(b, b'-' | b'.') {
        bits |= HOST;
    }
    if alnum || mark || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/') {
        bits |= USER;
    }
    if alnum || mark || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$') {
        bits |= URI_PARAM;
    }
    if alnum || mark || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$') {
        bits |= URI_HEADER;
    }
    if b.is_ascii_digit() {
        bits |= DIGIT;
    }
    if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
        bits |= SPACE;
    }
    bits
}

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0_usize;
    while b < 256 {
        table[b] = class(b as u8);
        b += 1;
    }
    table
};

/// Whether `byte` is in one of the classes of `mask`.
#[inline(always)]
pub(crate) fn is(byte: u8, mask: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|bits| bits & mask != 0)
}

/// Length of the longest prefix of `bytes` that is in the classes of `mask`.
#[inline(always)]
pub(crate) fn span(bytes: &[u8], mask: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, mask)).unwrap_or(bytes.len())
}

/// Whether the whole of a non-empty text is a token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is(byte, TOKEN))
}
