//! Errors of requests, and the gRPC status of each.

pub(crate) mod request_error;
pub(crate) mod status;
pub(crate) mod violations;
