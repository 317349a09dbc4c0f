//! SRTP in both directions, where there are keys; and RTCP's own keys, where it has a port and a DTLS association of its own
//! (RFC 5764 section 3).

use super::Session;
use super::media::Unheard;
use crate::Misuse;
use crate::srtp::{Inbound, Keying, NotAuthentic, Outbound};

#[derive(Debug, Default)]
pub(super) struct Protection {
    /// Nothing may pass in the clear.
    pub(super) required: bool,
    pub(super) outbound: Option<(Keying, Box<Outbound>)>,
    pub(super) inbound: Option<Box<Inbound>>,
    pub(super) outbound_wears_out: bool,
    pub(super) inbound_wears_out: bool,
    control: Control,
}

/// What protects RTCP.
#[derive(Debug, Default)]
enum Control {
    #[default]
    OfMedia,
    Awaited,
    Own(Box<Own>),
}

#[derive(Debug)]
struct Own {
    keying: Keying,
    outbound: Outbound,
    inbound: Inbound,
}

/// Which keys RTCP has.
#[derive(Clone, Copy, Debug)]
pub enum ControlKeys<'a> {
    /// Those of the media.
    OfMedia,
    /// Keys of its own, which are not there yet: it is neither sent nor read.
    Awaited,
    /// Keys of its own.
    Own {
        /// What we send is protected with.
        outbound: &'a Keying,
        /// What the peer sends is protected with.
        inbound: &'a Keying,
    },
}

impl Protection {
    pub(super) fn new(required: bool) -> Self {
        Self { required, ..Self::default() }
    }

    /// What protects the RTCP that is sent, if anything does.
    pub(super) fn outbound_of_control(&mut self) -> Option<&mut Outbound> {
        match &mut self.control {
            Control::OfMedia => self.outbound.as_mut().map(|(_, outbound)| outbound.as_mut()),
            Control::Awaited => None,
            Control::Own(own) => Some(&mut own.outbound),
        }
    }

    pub(super) const fn awaits_control_keys(&self) -> bool {
        matches!(self.control, Control::Awaited)
    }
}

impl Session {
    /// Keys of both directions, from the description (RFC 4568) or DTLS (RFC 5764); `None` for a direction in the clear.
    /// Keys equal to the present ones change nothing: rollover counters and replay windows live on over re-INVITE,
    /// hold and transfer. Under new ones the peer's former keys serve until the new have proved themselves.
    ///
    /// # Errors
    /// When a keying holds no key; nothing has changed then.
    pub fn set_keys(&mut self, outbound: Option<&Keying>, inbound: Option<&Keying>) -> Result<(), Misuse> {
        match outbound {
            Some(keying)
                if self.protection.outbound.as_ref().is_some_and(|(present, _)| present == keying) => {}
            Some(keying) => {
                self.protection.outbound = Some((keying.clone(), Box::new(Outbound::new(keying)?)));
                self.protection.outbound_wears_out = false;
            }
            None => self.protection.outbound = None,
        }
        match (inbound, &mut self.protection.inbound) {
            (Some(keying), Some(present)) => present.rekey(keying),
            (Some(keying), absent) => *absent = Some(Box::new(Inbound::new(keying))),
            (None, present) => *present = None,
        }
        self.protection.inbound_wears_out = false;
        Ok(())
    }

    /// Keys of RTCP, where it has a port of its own and DTLS made it keys of its own. Keys equal to the present ones change nothing.
    ///
    /// # Errors
    /// When a keying holds no key; nothing has changed then.
    pub fn set_control_keys(&mut self, keys: ControlKeys<'_>) -> Result<(), Misuse> {
        self.protection.control = match (keys, std::mem::take(&mut self.protection.control)) {
            (ControlKeys::OfMedia, _) => Control::OfMedia,
            (ControlKeys::Awaited, _) => Control::Awaited,
            (ControlKeys::Own { outbound, inbound }, Control::Own(mut own)) if own.keying == *outbound => {
                own.inbound.rekey(inbound);
                Control::Own(own)
            }
            (ControlKeys::Own { outbound: keying, inbound }, before) => match Outbound::new(keying) {
                Ok(outbound) => Control::Own(Box::new(Own {
                    keying: keying.clone(),
                    outbound,
                    inbound: Inbound::new(inbound),
                })),
                Err(misuse) => {
                    self.protection.control = before;
                    return Err(misuse);
                }
            },
        };
        Ok(())
    }

    /// The length of the plain RTCP packet, and whether SRTP vouches for it.
    pub(super) fn unprotect_control(&mut self, datagram: &mut [u8]) -> Result<(usize, bool), Unheard> {
        match &mut self.protection.control {
            Control::OfMedia => self.unprotect(datagram, Inbound::unprotect_control),
            Control::Awaited => Err(Unheard::NoKeys),
            Control::Own(own) => {
                let length = own.inbound.unprotect_control(datagram);
                length.map(|length| (length, true)).map_err(|NotAuthentic| Unheard::NotAuthentic)
            }
        }
    }
}
