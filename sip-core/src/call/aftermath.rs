//! What still arrives for an INVITE that was answered: the same 2xx again, and the 2xx of other forks
//! (RFC 3261 §13.2.2.4, RFC 6026 §7.2).
//!
//! Each repeated 2xx gets the same ACK again. A telephone that answered too late gets its ACK and a BYE. The
//! transaction below stays in its Accepted state for 64·T1 and then takes this record with it.

use crate::{
    context::{Context, Owner},
    dialog::{Dialog, Face, Way},
    handle::AuthHandle,
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response},
    transport::Target,
};
use std::sync::Arc;

/// At most so many forks are remembered for one INVITE; of a further one each 2xx is acknowledged and hung up again.
const FORKS: usize = 16;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Aftermath {
    request: Request,
    face: Arc<Face>,
    way: Way,
    /// The highest number of a request in any of the early dialogs, which are forgotten: a PRACK or UPDATE may have gone
    /// before the BYE.
    sequence: u32,
    forks: Vec<Fork>,
}

#[derive(Debug)]
struct Fork {
    tag: Box<str>,
    /// `None`: the 2xx held an offer, and the application has not answered yet.
    ack: Option<(Request, Target)>,
}

impl Aftermath {
    pub(crate) fn new(request: Request, face: Arc<Face>, way: Way, sequence: u32) -> Self {
        Self { request, face, way, sequence, forks: Vec::new() }
    }

    /// Remembers what a fork's 2xx is acknowledged with.
    pub(crate) fn remember(&mut self, tag: &str, ack: Option<(Request, Target)>) {
        if let Some(fork) = self.forks.iter_mut().find(|fork| *fork.tag == *tag) {
            fork.ack = ack;
        } else if self.forks.len() < FORKS {
            // Mostly there is one.
            self.forks.reserve_exact(1);
            self.forks.push(Fork { tag: tag.into(), ack });
        }
    }

    /// A 2xx arrived.
    pub(crate) fn on_success(
        &mut self,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        auth: Option<AuthHandle>,
    ) {
        let tag = response.to_tag().unwrap_or_default();
        if let Some(fork) = self.forks.iter().find(|fork| *fork.tag == *tag) {
            if let Some((ack, target)) = &fork.ack {
                let _ = cx.transactions.send_ack(
                    ack.clone(),
                    target.clone(),
                    self.face.send_options(false),
                    cx.now,
                );
            }
            return;
        }
        // Acknowledged even if it cannot be hung up: a 2xx without ACK is repeated for half a minute.
        if let Some(ack) = self.hang_up_unwanted(cx, response, flow, auth) {
            self.remember(tag, Some(ack));
        }
    }

    /// Acknowledges a 2xx whose dialog nobody wants, and hangs it up.
    fn hang_up_unwanted(
        &self,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        auth: Option<AuthHandle>,
    ) -> Option<(Request, Target)> {
        let mut dialog = Dialog::of_client(&self.request, response, flow, self.way).ok()?;
        dialog.go_on_after(self.sequence);
        let sequence = response.cseq().ok()?.sequence;
        let target = dialog.target().ok()?;
        let ack = dialog.ack(sequence).ok()?.finish().ok()?;
        let options = self.face.send_options(false);
        let _ = cx.transactions.send_ack(ack.clone(), target.clone(), options, cx.now);
        let bye =
            dialog.request(Method::Bye).ok()?.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        if let Ok(bye) = bye.finish() {
            let options = self.face.send_options(false);
            let _ = cx.send(Owner::Farewell(None), bye, target.clone(), options, auth, None);
        }
        Some((ack, target))
    }
}
