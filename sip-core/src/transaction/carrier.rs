//! What client transactions ride on, and who hears when it breaks.

use std::net::SocketAddr;

use super::{
    EndReason, Transactions,
    client::{Client, Stage},
    reach::Reach,
};
use crate::{
    id::Id,
    io::{Flow, StreamId},
};

/// What client transactions ride on. When it breaks, all of them hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Carrier {
    Datagrams(SocketAddr),
    Stream(StreamId),
}

impl Transactions {
    pub(super) fn fail_carrier(&mut self, carrier: Carrier, reason: EndReason) {
        for id in self.users.remove(&carrier).unwrap_or_default() {
            self.fail_client(id, reason);
            // What goes on (an INVITE that rings) stays a user of its carrier.
            if let Some(flow) =
                self.clients.get(id).filter(|client| is_on(client, carrier)).and_then(|client| client.flow)
            {
                self.join_carrier(id, flow);
            }
        }
    }

    pub(super) fn join_carrier(&mut self, id: Id, flow: Flow) {
        let carrier = flow.stream.map_or(Carrier::Datagrams(flow.remote), Carrier::Stream);
        if flow.stream.is_some_and(|stream| self.streams.get(stream).is_none()) {
            return;
        }
        self.join(id, carrier);
    }

    pub(super) fn join(&mut self, id: Id, carrier: Carrier) {
        let users = self.users.entry(carrier).or_default();
        let place = users.len();
        users.push(id);
        if let Some(client) = self.clients.get_mut(id) {
            client.place = place;
        }
    }

    pub(super) fn leave_carrier(&mut self, id: Id) {
        let Some(client) = self.clients.get(id) else { return };
        let carrier = match (&client.stage, client.flow) {
            (Stage::Reaching(_, Reach::Opening(stream)), _) => Carrier::Stream(*stream),
            (Stage::Sent(..), Some(flow)) => {
                flow.stream.map_or(Carrier::Datagrams(flow.remote), Carrier::Stream)
            }
            _ => return,
        };
        let place = client.place;
        let Some(users) = self.users.get_mut(&carrier) else { return };
        if users.get(place) != Some(&id) {
            return;
        }
        users.swap_remove(place);
        let moved = users.get(place).copied();
        if users.is_empty() {
            self.users.remove(&carrier);
        }
        if let Some(moved) = moved.and_then(|moved| self.clients.get_mut(moved)) {
            moved.place = place;
        }
    }
}

fn is_on(client: &Client, carrier: Carrier) -> bool {
    matches!(client.stage, Stage::Sent(..))
        && client.flow.is_some_and(|flow| {
            flow.stream.map_or(Carrier::Datagrams(flow.remote), Carrier::Stream) == carrier
        })
}
