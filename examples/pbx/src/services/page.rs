//! Paging: the telephones of a group answer by themselves and hear who calls; nobody hears them.

use super::script::{Act, Heard, Scene, Script};

/// Whoever pages: he speaks at once, and is heard by each telephone from when it has answered.
#[derive(Debug)]
pub struct Pager {
    /// Whom.
    pub members: Vec<String>,
}

impl Script for Pager {
    fn hear(&mut self, heard: Heard, _: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![Act::Page(std::mem::take(&mut self.members))],
            _ => Vec::new(),
        }
    }
}

/// Whoever is paged.
#[derive(Debug)]
pub struct Paged {
    /// Where the pager speaks.
    pub room: String,
}

impl Script for Paged {
    fn hear(&mut self, heard: Heard, _: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![Act::Listen(self.room.clone())],
            _ => Vec::new(),
        }
    }
}
