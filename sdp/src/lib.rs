//! Session descriptions, and offer/answer that says why it refused.
#![forbid(unsafe_code)]
