//! Calls that outlive this run, should it be killed: written down while they are up, and ended at the next start. A neighbour
//! is given its password when it asks for one; what is written holds none.

use denwa::farewell::{Farewells, Left, Parted};
use denwa_sip_core::endpoint::{CallHandle, Credentials, Outcome, OutgoingHandle};

use super::{Event, Exchange, Output, planned};

impl Exchange {
    /// Writes calls down from now on, as [`Output::Note`], and ends what a former run left.
    pub fn keep_farewells(&mut self, left: Vec<Left>) {
        self.farewells = Farewells::new(left);
        self.part();
        self.settle();
    }

    /// Something happened to a call of the endpoint: what is written of it, and of the others of its call, may have changed.
    pub(super) fn write_down(&mut self, call: CallHandle) {
        let number = self.desk.call_of(call).and_then(|number| self.calls.get(&number));
        let mut handles = number.map(|call| call.handles()).unwrap_or_default();
        handles.push(call);
        for handle in handles {
            let label = || {
                let flow = self.desk.endpoint.call(handle).and_then(|snapshot| snapshot.flow);
                let link = flow.and_then(|flow| self.desk.links.from(flow.protocol, flow.remote));
                link.map(|link| link.trunk.name.clone()).unwrap_or_default()
            };
            self.farewells.look_at(&self.desk.endpoint, handle, label);
        }
        self.tell_journal();
    }

    /// Whether it was the answer to a farewell.
    pub(super) fn parted(&mut self, outgoing: OutgoingHandle, outcome: &Outcome) -> bool {
        let Some(parted) = self.farewells.completed(outgoing, outcome) else { return false };
        self.tell_parted(parted);
        self.part();
        true
    }

    fn part(&mut self) {
        let links = &self.desk.links;
        let credentials = |label: &str| -> Vec<Credentials> {
            let account = links.get(label).and_then(|link| link.trunk.account.as_ref());
            account.map(planned::credentials).into_iter().collect()
        };
        let failed = self.farewells.proceed(&mut self.desk.endpoint, credentials, self.desk.now);
        failed.into_iter().for_each(|parted| self.tell_parted(parted));
        self.tell_journal();
    }

    fn tell_parted(&mut self, parted: Parted) {
        self.desk.tell(Event::LeftBehind { parted });
    }

    fn tell_journal(&mut self) {
        while let Some(note) = self.farewells.poll_note() {
            self.desk.put(Output::Note(note));
        }
    }
}
