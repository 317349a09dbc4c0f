//! RTP, RTCP, SRTP, telephone events, jitter buffer, latching and quality, without sockets.
#![forbid(unsafe_code)]
