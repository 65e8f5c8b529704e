//! Checks of every connection and call: connection limit, TLS, tokens, scopes and actors.

mod actor;
pub(crate) mod auth_layer;
pub(crate) mod connection_limit;
pub(crate) mod tls;
pub(crate) mod tls_stream;
pub(crate) mod tokens;
