//! Settings: records, their check, and the orbits that they name.

pub mod check;
pub mod orbit_entry;
pub mod records;

mod orbit_mirror;
