//! Who may do what: the extensions there are, and what each caller is allowed.

pub mod directory;
pub mod hours;
pub mod limits;
