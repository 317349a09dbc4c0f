//! A changed file taken over while calls go on: they keep what they began with, and whatever comes next goes by the new one.

use super::desk::Policy;
use super::external::External;
use super::{Event, Exchange};
use crate::config::Config;
use crate::policy::directory::Directory;

impl Exchange {
    pub(super) fn reload(&mut self, file: Config, directory: Directory) {
        let before = std::mem::replace(&mut self.file, file);
        let now = self.desk.now;
        self.desk.setup.policy = Policy::new(&self.file);
        self.desk.directory = directory;
        self.desk.lamps_moved = true;
        self.registrar.forget_strangers(&mut self.desk);
        self.errands.plan_wakes(&self.desk);
        if self.file.network != before.network {
            self.desk.places.set_local(self.file.network.local.clone());
            self.external = External::new(&self.file.network, now);
        }
        self.rewriting.reload(&self.file.rewrites);
        if self.file.trunks != before.trunks {
            self.desk.links = self.desk.links.succeeded_by(&self.file.trunks, &self.file.sip.realm);
            self.supervision.reload(&self.desk);
            self.accounts.reload(&mut self.desk, &before.trunks);
        }
        // Whoever has mended the DNS reads the file anew.
        self.names.reload(&self.desk);
        if self.file.guard != before.guard || self.file.trunks != before.trunks {
            self.defence.reload(&self.file, &mut self.desk);
        }
        self.desk.tell(Event::Reloaded {
            extensions: self.desk.directory.len(),
            trunks: self.file.trunks.len(),
            routes: self.file.routes.len(),
        });
    }
}
