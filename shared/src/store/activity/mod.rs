//! Figures of activity: derived from the log behind a cursor, so that deciding an issue costs
//! nothing more.

mod count;
mod figures;
mod read;

pub use self::count::CountedDecisions;
