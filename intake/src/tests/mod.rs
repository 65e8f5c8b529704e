//! Tests of the whole crate: untrusted input, and `docs/errors.md`.

mod error_page;
mod fuzz;
