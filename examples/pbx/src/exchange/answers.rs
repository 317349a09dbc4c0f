//! The answers to what the exchange asked for: routes and names, the store, the cabinet.

use denwa::driver::Answer;

use super::call::Call;
use super::desk::Asked;
use super::whereabouts::Way;
use super::{Event, Exchange};
use crate::cabinet;
use crate::services::script::Heard;
use crate::store::thread::StoreAnswer;

impl Exchange {
    pub(super) fn answered(&mut self, asked: Asked, answer: Answer) {
        match answer {
            Answer::Route(route) => {
                self.routed(asked, route.map(|route| Way { local: route.local, interface: route.interface }));
            }
            Answer::Addresses(addresses) => match asked {
                Asked::External => self.external.named(&mut self.desk, &addresses),
                Asked::StunServer => self.external.server_named(&mut self.desk, &addresses),
                Asked::Route(_) | Asked::MediaRoute(..) | Asked::Outer | Asked::StunRoute(_) => {}
            },
        }
    }

    pub(super) fn routed(&mut self, asked: Asked, way: Option<Way>) {
        let now = self.desk.now;
        match asked {
            Asked::Route(peer) => {
                self.desk.places.routed(peer, way, now);
                let begun = self.admission.routed(&mut self.desk, peer, self.calls.len());
                self.admission.messages.routed(&mut self.desk);
                self.watch_waiting();
                for call in begun {
                    self.insert(call);
                }
                let numbers: Vec<u64> = self.calls.keys().copied().collect();
                for number in numbers {
                    self.with_call(number, Call::on_route);
                }
            }
            Asked::MediaRoute(leg, address) => {
                if let Some(number) = self.desk.call_of_leg(leg) {
                    self.with_call(number, |call, desk| {
                        call.on_media_route(desk, leg, address, way.as_ref())
                    });
                }
            }
            Asked::Outer => self.external.outer(&mut self.desk, way.map(|way| way.local)),
            Asked::StunRoute(server) => {
                self.external.server_routed(&mut self.desk, server, way.map(|way| way.local));
            }
            Asked::External | Asked::StunServer => {}
        }
    }

    pub(super) fn stored(&mut self, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Registrations { id, outcome } => self.registrar.stored(&mut self.desk, id, &outcome),
            StoreAnswer::CallLost { record, reason } => {
                let cause = format!("the record of call {} could not be kept: {reason}", record.call);
                self.desk.tell(Event::StoreFailed { cause });
            }
            StoreAnswer::Failing { reason } => {
                let cause = format!("{reason}; records of calls wait in memory until then");
                self.desk.tell(Event::StoreFailed { cause });
            }
            StoreAnswer::Recovered { waited } => self.desk.tell(Event::StoreRecovered { waited }),
            StoreAnswer::SettingLost { reason } => {
                self.desk
                    .tell(Event::StoreFailed { cause: format!("a setting could not be kept: {reason}") });
            }
            // The program joins them with its file and gives the result back as `Input::Directory`.
            StoreAnswer::People(_) | StoreAnswer::CallKept(_) => {}
        }
    }

    pub(super) fn cabinet(&mut self, answer: cabinet::Answer) {
        match answer {
            cabinet::Answer::Mailboxes(mailboxes) => {
                self.desk.mailboxes = mailboxes;
                self.desk.lamps_moved = true;
            }
            cabinet::Answer::Loaded { call, sound } => {
                self.with_call(call, |call, desk| call.hear(desk, Heard::Loaded(sound)));
            }
            cabinet::Answer::Recovered => self.desk.tell(Event::MessagesWritten),
            cabinet::Answer::Failed(cause) => self.desk.tell(Event::StoreFailed { cause }),
        }
    }
}
