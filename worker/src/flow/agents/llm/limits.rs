//! The limit of a reply.

/// The longest answer that is read, in bytes: as long as a document may be.
pub(super) const MAX_REPLY_BYTES: usize = 1 << 20;
