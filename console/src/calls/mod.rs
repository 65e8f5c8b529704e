//! The calls to intake, each with a time limit and the token of its person.

mod intake;
mod scope;

pub(crate) use self::intake::{Asker, Intake};
pub(crate) use self::scope::Scope;
