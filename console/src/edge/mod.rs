//! What every request passes before a page sees it, and every response before it leaves.

pub(crate) mod fields;
pub(crate) mod form_token;
pub(crate) mod guard;
pub(crate) mod headers;
pub(crate) mod hosts;
pub(crate) mod sessions;
