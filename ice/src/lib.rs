//! STUN, TURN and ICE without sockets.
#![forbid(unsafe_code)]
