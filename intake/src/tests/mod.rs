//! Tests of the whole crate with untrusted input.

mod fuzz;
