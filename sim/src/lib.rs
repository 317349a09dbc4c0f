//! A virtual network with virtual time, and the laws every state machine obeys.
#![forbid(unsafe_code)]
