//! Calls: the INVITE usage of a dialog (RFC 3261 §13–15 and what extends it).

pub mod offer_answer;
pub mod session_timer;
