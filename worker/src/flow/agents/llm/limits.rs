//! The size limit of a reply.

/// The maximum size of an answer in bytes, equal to the maximum size of a document.
pub(super) const MAX_REPLY_BYTES: usize = 1 << 20;
