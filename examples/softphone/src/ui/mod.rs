//! The telephone on a terminal: a pure machine that turns news and keys into a picture and actions.
//!
//! [`Model`] is everything that can be seen; [`view::draw`] shows it; [`Words`] says it in English or Japanese. No terminal,
//! no clock and no telephone is in here: [`crate::terminal`] joins them.

mod guide;
pub mod history;
mod keys;
mod line;
mod model;
mod news;
mod rows;
pub mod view;
mod words;
mod wrap;

pub use keys::Key;
pub use line::Line;
pub use model::{Mode, Model};
pub use news::{Action, CallNumber, News};
pub use rows::{
    AccountRow, AccountState, CallRow, CallState, Card, Notice, Past, Path, Quality, Text, TextState,
};
pub use words::{Language, Words};
