//! The last reading of Redis's memory.

use std::time::Instant;

/// The last reading of Redis's memory, shared by the clones of a store.
#[derive(Default)]
pub(crate) struct MemoryReading(pub(crate) std::sync::Mutex<Option<(Instant, u64, u64)>>);
